package codectest

import (
	"bytes"
	"testing"
	"time"

	"github.com/encase-tls/encase/frame"
)

// A Driver gives a Machine frames, data and the time, step by step, and says what came of each. The bytes in it are
// copies.
type Driver struct {
	Machine frame.Machine
	Now     time.Time // moves when Pass is called, or is set
	Sent    [][]byte  // frames, by the last step
	Side    [][]byte  // by the last step
	Got     []byte    // for TLS, by the last step
	Done    []error   // by all steps
	tb      testing.TB
}

// NewDriver returns the Driver of a Machine, which it starts.
func NewDriver(tb testing.TB, m frame.Machine) *Driver {
	tb.Helper()
	d := &Driver{Machine: m, Now: time.Unix(1e9, 0), tb: tb}
	if err := d.Step(m.Start); err != nil {
		tb.Fatal(err)
	}
	return d
}

// Step makes one call of the Machine. A frame.Timed is told the time before.
func (d *Driver) Step(call func([]frame.Event) ([]frame.Event, error)) error {
	d.Sent, d.Side, d.Got = nil, nil, nil
	var ev []frame.Event
	var err error
	if timed, ok := d.Machine.(frame.Timed); ok {
		ev, err = timed.Tick(nil, d.Now)
	}
	if err == nil {
		ev, err = call(ev)
	}
	for _, e := range ev {
		d.take(e)
	}
	return err
}

func (d *Driver) take(e frame.Event) {
	switch e.Kind {
	case frame.Out:
		d.Sent = append(d.Sent, bytes.Clone(e.Buf.Bytes()))
	case frame.Side:
		d.Side = append(d.Side, bytes.Clone(e.Buf.Bytes()))
	case frame.In:
		d.Got = append(d.Got, e.Buf.Bytes()...)
	case frame.Done:
		d.Done = append(d.Done, e.Err)
	}
	if e.Buf != nil {
		e.Buf.Release()
	}
}

// Recv is a step in which the frame p arrives.
func (d *Driver) Recv(p []byte) error {
	return d.Step(func(ev []frame.Event) ([]frame.Event, error) { return d.Machine.Recv(ev, frame.NewBuf(0, p, 0)) })
}

// Send is a step in which TLS says p, which is a flight.
func (d *Driver) Send(p []byte) error {
	l := d.Machine.Limits()
	return d.Step(func(ev []frame.Event) ([]frame.Event, error) {
		return d.Machine.Send(ev, frame.NewBuf(l.Head, p, l.Tail), true)
	})
}

// Pass is a step in which time passes, and nothing else. An error fails the test.
func (d *Driver) Pass(t time.Duration) {
	d.tb.Helper()
	d.Now = d.Now.Add(t)
	if err := d.Step(func(ev []frame.Event) ([]frame.Event, error) { return ev, nil }); err != nil {
		d.tb.Error(err)
	}
}
