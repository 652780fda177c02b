package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/encase-tls/encase/wrap"
)

const (
	pushRequest = "PUSH_REQUEST"
	pushReply   = "PUSH_REPLY"
	authFailed  = "AUTH_FAILED"
	more        = "push-continuation 2" // another reply follows

	askAgain = 2 * time.Second // a server that is not ready does not answer
)

// clientInfo says what the client can do: packets of the data channel with a peer id (IV_PROTO 2), and ciphers.
const clientInfo = "IV_VER=2.6.0\nIV_PLAT=linux\nIV_NCP=2\nIV_TCPNL=1\nIV_PROTO=2\n" +
	"IV_CIPHERS=AES-256-GCM:AES-128-GCM:CHACHA20-POLY1305\n"

// config is what the server pushes: an address, in a net of its own, and how to find out that the other end is gone.
const config = "ifconfig 10.78.0.2 255.255.255.0,topology subnet,route-gateway 10.78.0.1,ping 2,ping-restart 30," +
	"peer-id 0,cipher AES-256-GCM"

// writeCommand says a command of the control channel: a text with a zero behind it, in a record of its own.
func writeCommand(c *wrap.Conn, command string) error {
	_, err := c.Write(append([]byte(command), 0))
	return err
}

// readCommand reads one. It is no longer than the buffer of r.
func readCommand(r *bufio.Reader) (string, error) {
	p, err := r.ReadSlice(0)
	if err != nil {
		return "", err
	}
	return string(p[:len(p)-1]), nil
}

// negotiate is the client's part, until ctx ends: key method 2, and the configuration, whose options it returns.
func negotiate(ctx context.Context, c *wrap.Conn, proto string) (pushed []string, err error) {
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	if _, err := c.Write(newKeyMessage("client", proto, clientInfo).bytes()); err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(c, maxText)
	if _, err := readKeyMessage(r, serverRandomLen); err != nil {
		return nil, err
	}
	for {
		if err := writeCommand(c, pushRequest); err != nil {
			return nil, err
		}
		c.SetReadDeadline(time.Now().Add(askAgain))
		pushed, err = readPush(r, pushed)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return pushed, err
		}
	}
}

// readPush reads replies until the last, and adds their options to pushed.
func readPush(r *bufio.Reader, pushed []string) ([]string, error) {
	for {
		command, err := readCommand(r)
		if err != nil {
			return pushed, err
		}
		verb, rest, _ := strings.Cut(command, ",")
		switch verb {
		case authFailed:
			return pushed, fmt.Errorf("the server refuses: %s", command)
		case pushReply:
			options := strings.Split(rest, ",")
			last := options[len(options)-1] != more
			if pushed = append(pushed, options...); last {
				return pushed, nil
			}
		}
	}
}

// attend is the server's part: key method 2, and a configuration for who asks for it, until the client goes away or
// nothing has come from it, not even in the data channel, for as long as idle.
func attend(c *wrap.Conn, proto string, ready func(*keyMessage)) error {
	r := bufio.NewReaderSize(c, maxText)
	client, err := readKeyMessage(r, clientRandomLen)
	if err != nil {
		return err
	}
	ready(client)
	if _, err := c.Write(newKeyMessage("server", proto, "").bytes()); err != nil {
		return err
	}
	for {
		c.SetReadDeadline(time.Now().Add(idle))
		command, err := readCommand(r)
		if err != nil {
			return err
		}
		if command == pushRequest {
			if err := writeCommand(c, pushReply+","+config); err != nil {
				return err
			}
		}
	}
}

// idle is longer than a client waits until it begins anew.
const idle = time.Minute
