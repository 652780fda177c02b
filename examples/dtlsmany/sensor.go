package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"

	"github.com/encase-tls/encase/wrap/datagram"
)

// reportAll lets many sensors report at once.
func reportAll(ctx context.Context, address, dir string, count, reports int, stdout io.Writer) error {
	cfg, err := clientConfig(dir) // shared: what does not depend on the connection is computed once
	if err != nil {
		return err
	}
	failed := make([]error, count)
	var sensors sync.WaitGroup
	for i := range count {
		sensors.Go(func() {
			if err := report(ctx, address, cfg, reports); err != nil {
				failed[i] = fmt.Errorf("sensor %d: %w", i, err)
			}
		})
	}
	sensors.Wait()
	if err := errors.Join(failed...); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%d sensors, %d reports each: all arrived, and were counted once\n", count, reports)
	return err
}

// report is one sensor: it reports so many values and checks the mean that the station knows.
func report(ctx context.Context, address string, cfg *datagram.Config, reports int) error {
	conn, err := datagram.Dial(ctx, "udp", address, cfg)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var sum float64
	for number := 1; number <= reports; number++ {
		value := float64(rand.IntN(100)) / 4
		sum += value
		mean, err := tell(conn, number, value)
		if err != nil {
			return err
		}
		if want := fmt.Sprintf("%.2f", sum/float64(number)); mean != want {
			return fmt.Errorf("after %d reports the mean is %s, want %s", number, mean, want)
		}
	}
	return nil
}

// tell reports a value until that is confirmed, each time with more patience.
func tell(conn net.Conn, number int, value float64) (mean string, err error) {
	buf := make([]byte, 100)
	for wait := 250 * time.Millisecond; wait <= 8*time.Second; wait *= 2 {
		if _, err := fmt.Fprintf(conn, "%d %g", number, value); err != nil {
			return "", err
		}
		for conn.SetReadDeadline(time.Now().Add(wait)); err == nil; {
			var n, answered int
			if n, err = conn.Read(buf); err != nil {
				break
			}
			if _, err := fmt.Sscan(string(buf[:n]), &answered, &mean); err == nil && answered == number {
				return mean, nil
			} // else the answer to an earlier report that was repeated
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return "", err
		}
		err = nil
	}
	return "", errors.New("no answer")
}
