package datagram

import (
	"encoding/binary"
	"errors"

	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap/admission"
)

// A demux looks into datagrams before it is known whose they are. It has a framing of its own, which sees the frames of
// all peers and nothing of a beginning: so the framing must tell what is in a frame without having heard anything
// before. A pair of codecs does, since over datagrams it cannot insist on an order; so does a machine without a state.
type demux struct {
	recv frame.Codec   // of a pair; nil: not one
	mach frame.Machine // that is no pair; nil: none
	room []byte        // where they work: they may change what they take apart
	view frame.Buf
	ev   []frame.Event
	in   []byte // what mach has found
}

var errHasState = errors.New("datagram: Listen: the codec has a state, or a clock, for each peer: " +
	"who a frame is from cannot be told without it")

// newDemux returns a demux for the framing of a configuration.
func newDemux(cfg *Config) (*demux, error) {
	m, err := cfg.machine(frame.Server)
	if err != nil {
		return nil, err
	}
	if frame.IsRaw(m) {
		return &demux{}, nil
	}
	d := &demux{room: make([]byte, maxPayload)}
	_, recv, paired := frame.CodecsOf(m)
	_, timed := m.(frame.Timed)
	_, holds := m.(frame.Backlogger)
	switch {
	case paired:
		d.recv = recv
	case timed || holds:
		return nil, errHasState
	default:
		d.mach = m
		_, err = m.Start(nil)
	}
	return d, err
}

// look returns the records in a datagram, which stays as it is. They are valid until the next call. ok is false if
// there are none: it is something else that shares the port.
//
// Without framing the first byte tells. Otherwise the codec does, and then what is in the frame: an empty one, such as
// a keep-alive, is the peer's.
func (d *demux) look(datagram []byte) (records []byte, ok bool) {
	if d.room == nil {
		return datagram, isDTLS(datagram)
	}
	if len(datagram) > len(d.room) {
		return nil, false
	}
	d.view.Borrow(d.room, 0, copy(d.room, datagram))
	if d.recv != nil {
		ok = d.recv.Decode(&d.view) == nil
		records = d.view.Bytes()
	} else {
		records, ok = d.unframe()
	}
	return records, ok && (len(records) == 0 || isDTLS(records))
}

// unframe lets a machine take apart what is in view.
func (d *demux) unframe() (records []byte, ok bool) {
	var err error
	d.ev, err = d.mach.Recv(d.ev[:0], &d.view)
	d.in = d.in[:0]
	for _, e := range d.ev {
		ok = ok || e.Kind != frame.Side
		if e.Kind == frame.In {
			d.in = append(d.in, e.Buf.Bytes()...)
		}
		if e.Buf != nil {
			e.Buf.Release()
		}
	}
	return d.in, err == nil && (ok || len(d.ev) == 0)
}

// lookAll is look for datagrams of one sender that lie side by side; records are those of the first. Whether one that
// follows is for another peer, the sender's next will show; but what shares the port must not be taken for DTLS.
func (d *demux) lookAll(data []byte, segment int) (records []byte, ok bool) {
	if segment <= 0 || segment >= len(data) {
		return d.look(data)
	}
	if d.room == nil {
		for at := segment; at < len(data); at += segment {
			if !isDTLS(data[at:]) {
				return nil, false
			}
		}
	}
	return d.look(data[:segment])
}

func isDTLS(p []byte) bool { return admission.Classify(p) == admission.DTLS }

// unprotected reports whether a datagram begins with a record of epoch 0, as handshakes do.
// https://www.rfc-editor.org/rfc/rfc6347#section-4.1
func unprotected(records []byte) bool {
	const header = 13
	return len(records) >= header && binary.BigEndian.Uint16(records[3:]) == 0
}
