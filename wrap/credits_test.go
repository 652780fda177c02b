package wrap_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// A credits is a frame.Machine with flow control, as channels of SSH and L2CAP have it: an end sends as many bytes as
// the other has granted, and holds the rest back.
//
//	| kind 1 | length 2 | payload |      kind D: TLS bytes; kind C: how many more bytes may come, 4
type credits struct {
	mayTake int // bytes that the peer may still send
	mayGive int // bytes that the peer may still be sent
	held    []*frame.Buf
}

const (
	creditWindow  = 8 << 10
	creditHeader  = 3
	creditPayload = 1000
)

func creditsMaker(frame.Role) (frame.Machine, error) {
	return &credits{mayTake: creditWindow, mayGive: creditWindow}, nil
}

func creditsError(what string) error { return fmt.Errorf("credits: %w: %s", frame.ErrMalformed, what) }

// Limits implements frame.Machine.
func (m *credits) Limits() frame.Limits { return frame.Limits{Head: creditHeader, Max: creditPayload} }

// Start implements frame.Machine.
func (m *credits) Start(ev []frame.Event) ([]frame.Event, error) { return ev, nil }

// Send implements frame.Machine.
func (m *credits) Send(ev []frame.Event, b *frame.Buf, _ bool) ([]frame.Event, error) {
	if b != nil {
		m.held = append(m.held, b)
	}
	return m.spend(ev), nil
}

// spend sends what the peer's grant allows.
func (m *credits) spend(ev []frame.Event) []frame.Event {
	for len(m.held) > 0 && m.held[0].Len() <= m.mayGive {
		b := m.held[0]
		m.held = m.held[1:]
		m.mayGive -= b.Len()
		ev = append(ev, frame.Event{Kind: frame.Out, Buf: creditFrame('D', b)})
	}
	return ev
}

func creditFrame(kind byte, b *frame.Buf) *frame.Buf {
	length := b.Len()
	header := b.Prepend(creditHeader)
	header[0] = kind
	binary.BigEndian.PutUint16(header[1:], uint16(length))
	return b
}

// FrameLen implements frame.Delimiter.
func (m *credits) FrameLen(p []byte) (int, error) {
	if len(p) < creditHeader {
		return 0, nil
	}
	return creditHeader + int(binary.BigEndian.Uint16(p[1:])), nil
}

// Recv implements frame.Machine.
func (m *credits) Recv(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	if n, _ := m.FrameLen(b.Bytes()); n == 0 || n != b.Len() {
		return ev, creditsError("not as long as it says")
	}
	kind := b.Bytes()[0]
	b.TrimFront(creditHeader)
	switch {
	case kind == 'C' && b.Len() == 4:
		grant := binary.BigEndian.Uint32(b.Bytes())
		if m.mayGive += int(grant); grant > creditWindow || m.mayGive > creditWindow {
			return ev, creditsError("more credit than any window")
		}
		return m.spend(ev), nil
	case kind == 'D' && b.Len() > 0:
		return m.take(ev, b)
	}
	return ev, creditsError("neither data nor credit")
}

// take takes data, and grants more when half of the window is used up.
func (m *credits) take(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	if m.mayTake -= b.Len(); m.mayTake < 0 {
		return ev, creditsError("more than was granted")
	}
	ev = append(ev, frame.Event{Kind: frame.In, Buf: b})
	if m.mayTake > creditWindow/2 {
		return ev, nil
	}
	grant := frame.Get(creditHeader, 4)
	binary.BigEndian.PutUint32(grant.Append(4), uint32(creditWindow-m.mayTake))
	m.mayTake = creditWindow
	return append(ev, frame.Event{Kind: frame.Out, Buf: creditFrame('C', grant)}), nil
}

// Backlog implements frame.Backlogger.
func (m *credits) Backlog() (n int) {
	for _, b := range m.held {
		n += b.Len()
	}
	return n
}

// TestWindow lets a writer run into the peer's window: it waits, for it and within its deadline, and what it was told
// is taken arrives when the peer reads at last.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := over(t, creditsMaker)
		client.WriteBuffer = 32 << 10
		client.Linger = time.Minute
		a, b := bio.Pair(1 << 20)
		c, s := connect(t, a, b, client, server)
		shake(t, c, s)
		data := noise(1<<20, 1)
		c.SetWriteDeadline(time.Now().Add(time.Second))
		before := c.Stats().WireOut
		n, err := c.Write(data)
		wantErr(t, "Write", err, os.ErrDeadlineExceeded)
		if wire := c.Stats().WireOut - before; n > client.WriteBuffer+64<<10 || wire > creditWindow+1000 {
			t.Errorf("%d bytes were taken, %d were sent", n, wire)
		}
		got := make([]byte, n)
		if _, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, data[:n]) {
			t.Errorf("the peer reads: %v", err)
		}
		closed := make(chan error, 1)
		go func() {
			c.SetWriteDeadline(time.Time{})
			_, err := c.Write(data)
			closed <- errors.Join(err, c.Close())
		}()
		if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, data) {
			t.Errorf("the peer reads: %v", err)
		}
		if err := <-closed; err != nil {
			t.Errorf("Write and Close: %v", err)
		}
	})
}

// TestWindowBothWays writes both ways at once over a carrier that holds less than a window.
func TestWindowBothWays(t *testing.T) {
	client, server := over(t, creditsMaker)
	a, b := bio.Pair(500)
	c, s := connect(t, a, b, client, server)
	shake(t, c, s)
	transferBoth(t, c, s, 500<<10)
}
