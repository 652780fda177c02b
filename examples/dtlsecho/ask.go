package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// How long an answer may take: what is not answered in time is sent again, and the time doubles.
const (
	firstWait = 250 * time.Millisecond
	lastWait  = 4 * time.Second
)

// askAll has messages said back over UDP or DTLS.
func askAll(ctx context.Context, conn net.Conn, messages []string, stdout io.Writer) error {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	for _, m := range messages {
		answer, err := ask(conn, m)
		if err != nil {
			return err
		}
		fmt.Fprintln(stdout, answer)
	}
	return nil
}

// ask sends a message, again and again if need be, until it comes back.
func ask(conn net.Conn, message string) (answer string, err error) {
	for wait := firstWait; wait <= lastWait; wait *= 2 {
		if _, err := conn.Write([]byte(message)); err != nil && !passing(err) {
			return "", err // among others *bio.TooLongError: it does not fit into one datagram
		}
		answer, err = hear(conn, message, time.Now().Add(wait))
		if err == nil || !passing(err) {
			return answer, err
		}
	}
	return "", fmt.Errorf("no answer: %w", err)
}

// hear waits for an answer. What else comes is the answer to an earlier question that has been sent twice.
func hear(conn net.Conn, want string, until time.Time) (string, error) {
	conn.SetReadDeadline(until) // SO_RCVTIMEO, wolfSSL_dtls_set_timeout_init
	buf := make([]byte, maxDatagram)
	for {
		n, err := conn.Read(buf)
		if errors.Is(err, syscall.ECONNREFUSED) {
			time.Sleep(time.Until(until)) // ICMP says that nobody listens: perhaps soon
		}
		if err != nil || string(buf[:n]) == want {
			return string(buf[:n]), err
		}
	}
}

// passing reports whether something is no reason to give up. That nobody listens only UDP tells: a DTLS connection does
// not believe what anybody can send.
func passing(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.ECONNREFUSED)
}
