package enginetest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/encase-tls/encase/bio"
)

var lossRules = []rule{
	{"BadNetwork", datagrams, checkBadNetwork,
		"Datagrams may be lost, come twice or out of order, and so may messages, except that none is delivered twice."},
	{"LastFlight", datagrams, checkLastFlight,
		"The end that has the last word in the handshake repeats it when the peer repeats its own, and never uses a " +
			"number for two records."},
	{"MTU", datagrams, checkMTU,
		"Config.MTU bounds what Flush returns of a handshake. Flush returns one datagram."},
}

func checkBadNetwork(k *kit) error {
	return k.inFakeTime(func(k *kit) error {
		for _, rate := range []float64{0, 0.1, 0.3, 0.5} {
			for seed := range uint64(3) {
				if err := k.badNetwork(rate, seed); err != nil {
					return fmt.Errorf("a network that loses, repeats and delays %v of all datagrams, seed %d: %w",
						rate, seed, err)
				}
			}
		}
		return nil
	})
}

// badNetwork makes a connection, at the second or third try if an engine gives up for the time it takes.
func (k *kit) badNetwork(rate float64, seed uint64) error {
	const tries = 5
	var err error
	for try := range uint64(tries) {
		var l *link
		l, err = k.pair(withMTU([]int{0, 600, 300}[seed%3]))
		if err != nil {
			return err
		}
		l.net = newNetwork(rate, seed+100*try)
		err = l.survive(rate)
		l.abort()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
	}
	return err
}

func withMTU(mtu int) change {
	return func(c, s *bio.Config) { c.MTU, s.MTU = mtu, mtu }
}

// survive shakes hands and lets both ends send numbered messages, of which as many must arrive as the network lets
// through, whole, unchanged and once.
func (l *link) survive(rate float64) error {
	const messages, pause = 200, 10 * time.Millisecond
	if err := l.handshake(); err != nil {
		return err
	}
	for i := range messages {
		for _, e := range l.ends() {
			if err := e.seal(numbered(i)); err != nil {
				return err
			}
		}
		if err := l.run(pause); err != nil {
			return err
		}
	}
	if err := l.run(2 * maxDelay); err != nil {
		return err
	}
	for _, e := range l.ends() {
		arrived, err := once(e.got, messages)
		if err != nil {
			return fmt.Errorf("the %s: %w", e.name, err)
		}
		if least := messages * (1 - rate) * 0.7; float64(arrived) < least || rate == 0 && arrived < messages {
			return fmt.Errorf("the %s got %d of %d messages", e.name, arrived, messages)
		}
	}
	return nil
}

// run lets time pass.
func (l *link) run(d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end); {
		if moved, err := l.step(); err != nil || moved {
			if err := errors.Join(err, l.client.failed(), l.server.failed()); err != nil {
				return err
			}
			continue
		}
		if moved, err := l.await(time.Until(end)); err != nil || !moved {
			time.Sleep(time.Until(end))
		}
	}
	return nil
}

const numberedSize = 40

// numbered returns message i, which is like no other.
func numbered(i int) []byte {
	p := make([]byte, numberedSize)
	rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)}).Read(p)
	binary.BigEndian.PutUint32(p, uint32(i))
	return p
}

// once returns how many of messages are in got.
func once(got []byte, messages int) (arrived int, err error) {
	seen := make([]bool, messages)
	for ; len(got) >= numberedSize; got = got[numberedSize:] {
		i := int(binary.BigEndian.Uint32(got))
		switch {
		case i >= messages || !bytes.Equal(got[:numberedSize], numbered(i)):
			return arrived, errors.New("a message was changed, or is of another length")
		case seen[i]:
			return arrived, fmt.Errorf("message %d was delivered twice", i)
		}
		seen[i] = true
		arrived++
	}
	if len(got) > 0 {
		return arrived, fmt.Errorf("%d bytes are left over", len(got))
	}
	return arrived, nil
}

// checkLastFlight loses the Finished message of each end, once and several times.
func checkLastFlight(k *kit) error {
	return k.inFakeTime(func(k *kit) error {
		for which := range 2 {
			for times := 1; times <= 3; times++ {
				if err := k.loseFinished(which, times); err != nil {
					return fmt.Errorf("the Finished of the %v is lost %d times: %w",
						[]string{"client", "server"}[which], times, err)
				}
			}
		}
		return nil
	})
}

func (k *kit) loseFinished(which, times int) error {
	l, err := k.pair()
	if err != nil {
		return err
	}
	defer l.abort()
	lost := 0
	l.net = newNetwork(0, 0)
	l.net.lose = func(from *end, d []byte) bool {
		if from != l.ends()[which] || lost == times || !hasFinished(d) {
			return false
		}
		lost++
		return true
	}
	if err := l.handshake(); err != nil {
		return err
	}
	if lost < times {
		return fmt.Errorf("only %d datagrams with it were sent: this rule sees nothing", lost)
	}
	for _, e := range l.ends() {
		if err := l.talk(e, noise(100)); err != nil {
			return err
		}
	}
	if err := l.run(5 * time.Minute); err != nil { // for what a timer might still want to say
		return err
	}
	for _, e := range l.ends() {
		if err := oneRecordPerNumber(l.net.sent[e]); err != nil {
			return fmt.Errorf("the %s: %w", e.name, err)
		}
	}
	return nil
}

// hasFinished reports whether a datagram of a handshake holds a protected record.
func hasFinished(d []byte) bool {
	list, _ := dtlsRecords(d)
	for _, r := range list {
		if r[4] > 0 && r[0] == handshakeType {
			return true
		}
	}
	return false
}

// oneRecordPerNumber checks that protected records with the same epoch and sequence number are the same: anything else
// uses a nonce twice, where that is made of the two.
func oneRecordPerNumber(sent [][]byte) error {
	seen := map[uint64][]byte{}
	for _, d := range sent {
		list, rest := dtlsRecords(d)
		if len(rest) > 0 {
			return fmt.Errorf("%d bytes of a datagram are no record", len(rest))
		}
		for _, r := range list {
			number := binary.BigEndian.Uint64(r[3:])
			if before := seen[number]; number>>48 > 0 && before != nil && !bytes.Equal(before, r) {
				return fmt.Errorf("two records have the number %#x", number)
			}
			seen[number] = r
		}
	}
	return nil
}

// dtlsRecords cuts a datagram without connection IDs into its records, and returns what is left.
// https://www.rfc-editor.org/rfc/rfc6347#section-4.1
func dtlsRecords(d []byte) (list [][]byte, rest []byte) {
	for len(d) >= dtlsHeader {
		n := dtlsHeader + int(binary.BigEndian.Uint16(d[dtlsHeader-2:]))
		if n > len(d) {
			break
		}
		list, d = append(list, d[:n]), d[n:]
	}
	return list, d
}

// dtlsHeader is | type | version 2 | epoch 2 | sequence 6 | length 2 |.
const dtlsHeader = 13

func checkMTU(k *kit) error {
	for _, mtu := range []int{300, 600} {
		l, err := k.pair(withMTU(mtu))
		if err != nil {
			return err
		}
		l.net = newNetwork(0, 0)
		if err := l.handshake(); err != nil {
			return fmt.Errorf("MTU %d: %w", mtu, err)
		}
		for _, e := range l.ends() {
			for _, d := range l.net.sent[e] {
				if _, rest := dtlsRecords(d); len(d) > mtu || len(rest) > 0 {
					return fmt.Errorf("the %s sent a datagram of %d bytes, MTU %d, of which %d are no record",
						e.name, len(d), mtu, len(rest))
				}
			}
		}
	}
	return nil
}
