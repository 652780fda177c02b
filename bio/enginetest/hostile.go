package enginetest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/encase-tls/encase/bio"
)

var hostileRules = []rule{
	{"SpoofedAlert", datagrams, checkSpoofedAlert,
		"Once the handshake is done, what is not protected changes nothing: anybody can send it."},
	{"Garbage", datagrams, checkGarbage,
		"Datagrams that make no sense are no error: nothing is delivered, answered or ended."},
	{"GarbageEarly", datagrams, checkGarbageEarly,
		"Datagrams that make no sense are no error, during the handshake either."},
}

// Types of DTLS 1.2 records besides those of TLS. https://www.rfc-editor.org/rfc/rfc9146#section-4
const (
	ccsType = 20
	cidType = 25
)

// record returns a record of DTLS 1.2. https://www.rfc-editor.org/rfc/rfc6347#section-4.1
func record(typ byte, epoch uint16, seq uint64, body ...byte) []byte {
	p := []byte{typ, 0xfe, 0xfd}
	p = binary.BigEndian.AppendUint64(p, uint64(epoch)<<48|seq)
	p = binary.BigEndian.AppendUint16(p, uint16(len(body)))
	return append(p, body...)
}

// checkSpoofedAlert sends unprotected alerts with numbers that were used and numbers that were not.
func checkSpoofedAlert(k *kit) error {
	return k.eachOpen(func(e *end) error {
		for _, seq := range []uint64{0, 5, 1000, 1<<48 - 1} {
			for _, alert := range [][]byte{{2, 40}, {2, 0}, {1, 0}, {2, 20}, {1, 100}} {
				if err := e.ignores(record(alertType, 0, seq, alert...)); err != nil {
					return fmt.Errorf("an unprotected alert % x: %w", alert, err)
				}
			}
		}
		return nil
	})
}

// checkGarbage sends what an attacker can send, and what errors in the network may make of a good record.
func checkGarbage(k *kit) error {
	return k.eachOpen(func(e *end) error {
		p := noise(100)
		good, err := e.peer.sealOne(p)
		if err != nil {
			return err
		}
		for name, d := range garbage(good) {
			if err := e.ignores(d); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		for at := range good {
			d := bytes.Clone(good)
			d[at] ^= 1 << (at % 8)
			if err := e.ignores(d); err != nil {
				return fmt.Errorf("byte %d of a good record changed: %w", at, err)
			}
		}
		spoilt := append(bytes.Clone(nonsense["epoch 65535"]), good...)
		if got, _, err := e.openOne(spoilt); err != nil || !bytes.Equal(got, p) {
			return fmt.Errorf("a good record behind one of another epoch is not delivered: %w", err)
		}
		return nil
	})
}

// garbage returns what makes no sense when the handshake is done. good is a record that would.
func garbage(good []byte) map[string][]byte {
	list := map[string][]byte{
		"a record without its last byte":  good[:len(good)-1],
		"half a record":                   good[:len(good)/2],
		"half a header":                   good[:dtlsHeader/2],
		"a header without a body":         good[:dtlsHeader],
		"an unprotected handshake":        record(handshakeType, 0, 9, noise(60)...),
		"an unprotected ClientHello":      record(handshakeType, 0, 9, 1, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4),
		"ChangeCipherSpec":                record(ccsType, 0, 9, 1),
		"a forged alert":                  record(alertType, 1, 5000, noise(26)...),
		"a forged Finished":               record(handshakeType, 1, 5001, noise(48)...),
		"forged data of the last number":  record(dataType, 1, 1<<48-1, noise(80)...),
		"too short to be authentic":       record(dataType, 1, 5002, noise(20)...),
		"a record without content":        record(dataType, 1, 5003),
		"a connection ID of nobody":       record(cidType, 1, 5004, noise(50)...),
		"a length that ends in the next":  append(record(dataType, 1, 5005, noise(30)...)[:35], good...),
		"a long datagram of short pieces": bytes.Repeat(record(dataType, 1, 5006), 100),
	}
	for name, d := range nonsense {
		list[name] = d
	}
	return list
}

// nonsense never makes sense.
var nonsense = map[string][]byte{
	"one byte":                  {dataType},
	"noise":                     noise(1200),
	"zeros":                     make([]byte, 64),
	"a record of TLS":           {dataType, 3, 3, 0, 16, 15: 7, 20: 9},
	"a header of TLS 1.2":       append([]byte{dataType, 3, 3, 0, 1, 0, 0, 0, 0, 0, 9, 0, 40}, noise(40)...),
	"an unknown type":           record(99, 0, 9, noise(40)...),
	"unprotected data":          record(dataType, 0, 9, noise(40)...),
	"epoch 2":                   record(dataType, 2, 9, noise(60)...),
	"epoch 65535":               record(dataType, 65535, 9, noise(60)...),
	"nothing in it":             record(handshakeType, 0, 9),
	"a piece of no handshake":   record(handshakeType, 0, 9, 1, 2, 3),
	"an alert that is too long": record(alertType, 0, 9, 2, 40, 0),
}

// checkGarbageEarly sends nonsense to both ends between any two datagrams of their handshake.
func checkGarbageEarly(k *kit) error {
	l, err := k.pair()
	if err != nil {
		return err
	}
	defer l.abort()
	for l.client.State().Phase != bio.PhaseOpen || l.server.State().Phase != bio.PhaseOpen {
		for _, e := range l.ends() {
			for name, d := range nonsense {
				if _, err := e.open(d); err != nil || e.err != nil || len(e.got) > 0 {
					return fmt.Errorf("%s: the %s delivers %d bytes: %w", name, e.name, len(e.got), errors.Join(err, e.err))
				}
			}
		}
		moved, err := l.advance()
		if err = errors.Join(err, l.client.failed(), l.server.failed()); err != nil || !moved {
			return fmt.Errorf("the handshake does not go on (%v, %v): %w",
				l.client.State().Phase, l.server.State().Phase, err)
		}
	}
	for _, e := range l.ends() {
		if err := l.talk(e, noise(100)); err != nil {
			return err
		}
	}
	return nil
}
