package preamble_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/encase-tls/encase/codecs/preamble"
	"github.com/encase-tls/encase/frame"
)

// What is slipped in behind a dialogue in clear, in the same segment, reaches TLS and is refused there: neither side
// takes it for something that was said in TLS.
func TestBytesInClearBehindTheDialogue(t *testing.T) {
	for _, c := range []struct {
		p                      frame.Preamble
		fromClient, fromServer string
	}{
		{preamble.SMTP{}, "EHLO x\r\nSTARTTLS\r\nMAIL FROM:<eve@example>\r\n",
			"220 x\r\n250-x\r\n250 STARTTLS\r\n220 go\r\n250 hello from eve\r\n"},
		{preamble.Postgres{}, hx("0000000804d2162f" + pgStartup), "SR\x00\x00\x00\x08"},
		{preamble.IMAP{}, "a STARTTLS\r\nb NOOP\r\n", "* OK\r\na1 OK\r\n* PREAUTH\r\n"},
	} {
		failed := make(chan error, 1)
		conn, err := net.Dial("tcp", echo(t, failed, c.p))
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, c.fromClient)
		select {
		case err := <-failed:
			if !isNoRecord(err) {
				t.Errorf("%T as server: %v", c.p, err)
			}
		case <-time.After(time.Minute):
			t.Errorf("%T as server: no error", c.p)
		}
		conn.Close()

		_, err = dial(t, listen(t, func(conn net.Conn) {
			io.WriteString(conn, c.fromServer)
			io.Copy(io.Discard, conn)
		}), c.p)
		if !isNoRecord(err) {
			t.Errorf("%T as client: %v", c.p, err)
		}
	}
}

// isNoRecord reports whether TLS has refused what is no record.
func isNoRecord(err error) bool {
	var wrong tls.RecordHeaderError
	return errors.As(err, &wrong)
}
