package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"syscall"
	"time"
)

// Ask sends a request to the daemon whose socket is at path. An error that the daemon reports is returned as one.
func Ask(ctx context.Context, path string, q Request) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return Answer{}, unreachable(path, err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	line, err := json.Marshal(q)
	if err != nil {
		return Answer{}, err
	}
	if _, err := c.Write(append(line, '\n')); err != nil {
		return Answer{}, fmt.Errorf("control: %w", err)
	}
	var a Answer
	if err := json.NewDecoder(bufio.NewReader(io.LimitReader(c, maxAnswer))).Decode(&a); err != nil {
		return a, fmt.Errorf("control: the daemon at %s gives no answer: %w", path, err)
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

// unreachable says why there is nobody to ask.
func unreachable(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no tunnel is up at %s; start one with: encase up -c FILE", path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s is for its owner alone; run this as root, or as the daemon's user", path)
	}
	return fmt.Errorf("control: %w", err)
}
