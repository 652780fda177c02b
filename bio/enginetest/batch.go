package enginetest

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/encase-tls/encase/bio"
)

var batchRules = []rule{
	{"SealBatch", datagrams | batches, checkSealBatch,
		"SealBatch seals messages into datagrams that lie side by side, all of the length segment, except that the last " +
			"may be shorter; head and tail bytes are not written. Its methods count as Seal and Open."},
	{"SealBatchStops", datagrams | batches, checkSealBatchStops,
		"It stops before a message that would make a longer datagram, and behind one that makes a shorter. An error says " +
			"why it could not seal the first; dst is then as it was."},
	{"OpenBatch", datagrams | batches, checkOpenBatch,
		"OpenBatch appends the messages to dst, each of its own. Errors and Status are those of Open."},
}

const (
	headRoom = 8
	tailRoom = 3
)

// checkSealBatch opens, one by one, what was sealed at once, between messages that were sealed one by one.
func checkSealBatch(k *kit) error {
	return k.eachOpen(func(e *end) error {
		for round := range 3 {
			d, err := e.peer.sealOne(numbered(round))
			if err != nil {
				return err
			}
			if got, _, err := e.openOne(d); err != nil || !bytes.Equal(got, numbered(round)) {
				return fmt.Errorf("a single message before batch %d: %w", round, err)
			}
			messages := [][]byte{noise(300), noise(300), noise(300), noise(299 - round)}
			list, err := e.peer.sealBatch(messages)
			if err != nil {
				return err
			}
			for i, d := range list {
				if got, _, err := e.openOne(d); err != nil || !bytes.Equal(got, messages[i]) {
					return fmt.Errorf("datagram %d of batch %d: %w", i, round, err)
				}
			}
		}
		return nil
	})
}

// sealBatch seals all messages at once and returns the datagrams without the room around them, which it checks.
func (e *end) sealBatch(messages [][]byte) (list [][]byte, err error) {
	arena := bytes.Repeat([]byte{poison}, 4096)
	copy(arena, prefix)
	out, segment, n, err := e.Engine.(bio.Batcher).SealBatch(arena[:len(prefix)], messages, headRoom, tailRoom)
	if err != nil || n != len(messages) {
		return nil, fmt.Errorf("SealBatch took %d messages of %d: %w", n, len(messages), err)
	}
	if want := headRoom + len(messages[0]) + tailRoom; segment <= want || segment > want+e.Overhead() {
		return nil, fmt.Errorf("the segment has %d bytes, want %d and an overhead of %d at most",
			segment, want, e.Overhead())
	}
	if !bytes.HasPrefix(out, []byte(prefix)) || &out[0] != &arena[0] {
		return nil, errors.New("SealBatch has not appended to dst")
	}
	room := bytes.Repeat([]byte{poison}, headRoom)
	for rest := out[len(prefix):]; len(rest) > 0; {
		d := rest[:min(segment, len(rest))]
		rest = rest[len(d):]
		if len(d) < headRoom+tailRoom || !bytes.Equal(d[:headRoom], room) ||
			!bytes.Equal(d[len(d)-tailRoom:], room[:tailRoom]) {
			return nil, fmt.Errorf("the room around datagram %d is not there, or was written to", len(list))
		}
		list = append(list, bytes.Clone(d[headRoom:len(d)-tailRoom]))
	}
	if len(list) != len(messages) {
		return nil, fmt.Errorf("%d messages make %d datagrams", len(messages), len(list))
	}
	return list, nil
}

func checkSealBatchStops(k *kit) error {
	l, err := k.pair()
	if err != nil {
		return err
	}
	for _, e := range l.ends() {
		if err := e.noBatch([][]byte{noise(10)}, bio.ErrNotOpen); err != nil {
			return fmt.Errorf("before the handshake: %w", err)
		}
	}
	if err := errors.Join(l.handshake(), l.settle()); err != nil {
		return err
	}
	for _, e := range l.ends() {
		for _, test := range []struct {
			sizes []int
			n     int
		}{
			{nil, 0}, {[]int{50}, 1}, {[]int{50, 80}, 1}, {[]int{50, 50, 51}, 2}, {[]int{50, 20, 50}, 2},
			{[]int{50, 0, 50}, 2}, {[]int{0, 0, 1}, 2}, {[]int{50, 70_000}, 1},
		} {
			var messages [][]byte
			for _, size := range test.sizes {
				messages = append(messages, noise(size))
			}
			if _, _, n, err := e.Engine.(bio.Batcher).SealBatch(nil, messages, 0, 0); n != test.n || err != nil {
				return fmt.Errorf("SealBatch of messages of %d bytes took %d, want %d: %w", test.sizes, n, test.n, err)
			}
		}
		if err := e.noBatch([][]byte{noise(70_000), noise(10)}, nil); err != nil {
			return fmt.Errorf("a message that is too long: %w", err)
		}
		if err := l.talk(e, noise(100)); err != nil {
			return err
		}
		if err := e.CloseWrite(); err != nil {
			return err
		}
		if err := e.noBatch([][]byte{noise(10)}, bio.ErrWriteClosed); err != nil {
			return fmt.Errorf("after CloseWrite: %w", err)
		}
	}
	return nil
}

// noBatch checks that messages are refused with want, or, if that is nil, with a TooLongError.
func (e *end) noBatch(messages [][]byte, want error) error {
	out, _, n, err := e.Engine.(bio.Batcher).SealBatch([]byte(prefix), messages, headRoom, tailRoom)
	var tooLong *bio.TooLongError
	if right := err == want && want != nil || want == nil && errors.As(err, &tooLong); !right {
		return fmt.Errorf("SealBatch of the %s returned %v", e.name, err)
	}
	if n != 0 || string(out) != prefix {
		return fmt.Errorf("SealBatch of the %s failed, and took %d messages and made %q", e.name, n, out)
	}
	return nil
}

// checkOpenBatch opens, at once, what was sealed one by one, with a datagram of noise in it, and all again.
func checkOpenBatch(k *kit) error {
	return k.eachOpen(func(e *end) error {
		messages := [][]byte{noise(200), noise(201)[1:], numbered(1)}
		var flat []byte
		segment := 0
		for i, p := range messages {
			d, err := e.peer.sealOne(p)
			if err != nil {
				return err
			}
			if flat = append(flat, d...); i == 0 {
				segment = len(d)
				flat = append(flat, bytes.Repeat([]byte{poison}, segment)...)
			}
		}
		replay := bytes.Clone(flat)
		if err := e.opensBatch(flat, segment, messages); err != nil {
			return err
		}
		if err := e.opensBatch(replay, segment, nil); err != nil {
			return fmt.Errorf("all of it again: %w", err)
		}
		d, err := e.peer.sealOne(numbered(2))
		if err != nil {
			return err
		}
		if err := e.opensBatch(d, 0, [][]byte{numbered(2)}); err != nil {
			return fmt.Errorf("one datagram, segment 0: %w", err)
		}
		return nil
	})
}

func (e *end) opensBatch(flat []byte, segment int, want [][]byte) error {
	first := []byte("contents of dst")
	got, st, err := e.Engine.(bio.Batcher).OpenBatch([][]byte{first}, flat, segment)
	if err != nil || st.Consumed != len(flat) || st.Events&bio.EventPeerClosed != 0 {
		return fmt.Errorf("OpenBatch took %d of %d bytes, events %b: %w", st.Consumed, len(flat), st.Events, err)
	}
	if len(got) != len(want)+1 || !bytes.Equal(got[0], first) {
		return fmt.Errorf("OpenBatch of %d messages appended %d", len(want), len(got)-1)
	}
	got = got[1:]
	for _, p := range got {
		_ = append(p, make([]byte, 100)...) // must not reach the next
	}
	for i, p := range got {
		if !bytes.Equal(p, want[i]) {
			return fmt.Errorf("message %d of %d has %d bytes and is not what was sent", i, len(want), len(p))
		}
	}
	return nil
}
