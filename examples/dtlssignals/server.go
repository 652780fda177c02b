package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	_ "github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/wrap/datagram"
)

// patience is how long jobs that are under way may take at the end.
const patience = 5 * time.Second

// A server does jobs for clients. A job is a text like "200ms", and takes so long.
type server struct {
	dir      string
	listener *datagram.Listener
	cert     atomic.Pointer[tls.Certificate]
	ending   context.Context // no new jobs
	giveUp   context.Context // no jobs at all

	door    sync.Mutex // who comes in does so before ending
	clients sync.WaitGroup

	underWay, done, given atomic.Int64 // jobs
}

// serve serves until a signal, or ctx, tells it to end.
func serve(ctx context.Context, address, dir string, stdout io.Writer, signals <-chan os.Signal) error {
	s := &server{dir: dir}
	err := s.renew()
	if err != nil {
		return err
	}
	s.listener, err = datagram.Listen("udp", address, &datagram.Config{
		TLS:         &tls.Config{GetCertificate: s.certificate},
		IdleTimeout: time.Minute,
	}, datagram.ListenOptions{})
	if err != nil {
		return err
	}
	ending, end := context.WithCancel(ctx)
	giveUp, stop := context.WithCancel(ctx)
	defer stop()
	s.ending, s.giveUp = ending, giveUp
	accepting := make(chan struct{})
	go func() { s.accept(); close(accepting) }()
	fmt.Fprintln(stdout, "listening on", s.listener.Addr())

	err = s.waitForEnd(ctx, stdout, signals)
	fmt.Fprintf(stdout, "ending: %s under way\n", jobs(s.underWay.Load()))
	s.door.Lock()
	end()
	s.door.Unlock()
	s.drain(signals, stop)
	err = errors.Join(err, s.listener.Close()) // close_notify to whoever is left
	<-accepting
	s.clients.Wait()
	fmt.Fprintf(stdout, "goodbye: %s done, %d given up\n", jobs(s.done.Load()), s.given.Load())
	return err
}

func jobs(n int64) string {
	if n == 1 {
		return "1 job"
	}
	return fmt.Sprint(n, " jobs")
}

// waitForEnd returns when it is time to end.
func (s *server) waitForEnd(ctx context.Context, stdout io.Writer, signals <-chan os.Signal) error {
	for {
		select {
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				return nil
			}
			if err := s.renew(); err != nil { // the old one is still good
				fmt.Fprintln(stdout, "certificate:", err)
				continue
			}
			fmt.Fprintln(stdout, "new certificate")
		case <-ctx.Done():
			return nil
		}
	}
}

// drain waits until no job is under way. A second signal, and the end of all patience, make that soon.
func (s *server) drain(signals <-chan os.Signal, giveUp func()) {
	late := time.NewTimer(patience)
	defer late.Stop()
	finished := make(chan struct{})
	go func() { s.clients.Wait(); close(finished) }()
	for {
		select {
		case <-finished:
			return
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				continue
			}
			giveUp()
		case <-late.C:
			giveUp()
		}
	}
}

// renew takes a new certificate. This one is made on the spot; a real one is read from its file.
func (s *server) renew() error {
	ca, err := ephemeral.New("dtlssignals CA")
	if err != nil {
		return err
	}
	cert, err := ca.Issue("server.example")
	if err != nil {
		return err
	}
	if err := ca.WriteFiles(s.dir, nil); err != nil {
		return err
	}
	s.cert.Store(&cert)
	return nil
}

func (s *server) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return s.cert.Load(), nil
}

// accept serves clients until the listener is closed.
func (s *server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.admit(conn)
	}
}

// admit serves a client, or, while the server ends, says goodbye at once.
func (s *server) admit(conn net.Conn) {
	s.door.Lock()
	defer s.door.Unlock()
	if s.ending.Err() != nil {
		conn.Close()
		return
	}
	s.clients.Go(func() { s.work(conn) })
}

// work does a client's jobs, one after the other. When the server ends, the one that is under way is the last.
func (s *server) work(conn net.Conn) {
	defer conn.Close() // close_notify
	// A Read that waits for the next job ends with the server; the answer to the last one is still written.
	defer context.AfterFunc(s.ending, func() { conn.SetReadDeadline(time.Now()) })()
	buf := make([]byte, 100)
	for s.ending.Err() == nil {
		n, err := conn.Read(buf)
		if err != nil {
			return // the client's goodbye, or the deadline
		}
		s.underWay.Add(1)
		answer := s.do(string(buf[:n]))
		s.underWay.Add(-1)
		fmt.Fprintf(conn, "%s: %s", buf[:n], answer)
	}
}

// do does a job.
func (s *server) do(job string) string {
	length, err := time.ParseDuration(job)
	if err != nil || length < 0 {
		return "no job"
	}
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
		s.done.Add(1)
		return "done"
	case <-s.giveUp.Done():
		s.given.Add(1)
		return "given up"
	}
}
