package dtls

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// plain returns an unprotected record.
func plain(typ contentType, epoch uint16, seq uint64, body ...byte) []byte {
	p := []byte{byte(typ), 0xfe, 0xfd}
	p = binary.BigEndian.AppendUint64(p, uint64(epoch)<<48|seq)
	p = binary.BigEndian.AppendUint16(p, uint16(len(body)))
	return append(p, body...)
}

// message returns a part of a handshake message.
func message(typ byte, seq uint16, length, offset int, part []byte) []byte {
	p := []byte{typ, byte(length >> 16), byte(length >> 8), byte(length), byte(seq >> 8), byte(seq)}
	p = append(p, byte(offset>>16), byte(offset>>8), byte(offset))
	p = append(p, byte(len(part)>>16), byte(len(part)>>8), byte(len(part)))
	return append(p, part...)
}

// TestBadDatagrams gives an established engine what an attacker can send. Nothing of it is an error, nothing is
// delivered, nothing is answered, and all of it is counted.
func TestBadDatagrams(t *testing.T) {
	client, server := benchPair(t, certSetup(t, ecKey))
	seal := func(p string) []byte {
		d, _, err := client.Seal(nil, []byte(p))
		check(t, err)
		return d
	}
	used := seal("once")
	forged := seal("forged")
	forged[len(forged)-1] ^= 1
	otherType := seal("type")
	otherType[0] = byte(typeAlert)
	cutOff := seal("cut off")
	tests := []struct {
		name  string
		d     []byte
		count func(s *Stats) *uint64
	}{
		{"nothing", nil, nil},
		{"one byte", []byte{23}, malformedOf},
		{"half a header", plain(typeData, 1, 9)[:12], malformedOf},
		{"a header and no body", plain(typeData, 1, 9), malformedOf},
		{"garbage", noise(100), malformedOf},
		{"a length beyond the end", cutOff[:len(cutOff)-1], malformedOf},
		{"a length into what follows", append(plain(typeData, 1, 9, noise(30)...)[:40], used...), nil},
		{"too short for a tag", plain(typeData, 1, 9, noise(23)...), malformedOf},
		{"too long for a record", plain(typeData, 1, 9, make([]byte, maxBody+1)...), malformedOf},
		{"a version of TLS", []byte{23, 3, 3, 0, 1, 0, 0, 0, 0, 0, 9, 0, 24, 23: 0, 36: 0}, malformedOf},
		{"a connection ID", plain(typeCID, 1, 9, noise(40)...), malformedOf},
		{"an unprotected alert", plain(typeAlert, 0, 9, alertFatal, 40), plaintextOf},
		{"an unprotected close_notify", plain(typeAlert, 0, 9, alertWarning, alertCloseNotify), plaintextOf},
		{"a new ClientHello", plain(typeHandshake, 0, 9, message(msgClientHello, 0, 50, 0, noise(50))...), plaintextOf},
		{"unprotected data", plain(typeData, 0, 9, noise(50)...), plaintextOf},
		{"ChangeCipherSpec", plain(typeCCS, 0, 9, 1), plaintextOf},
		{"epoch 2", plain(typeData, 2, 9, noise(50)...), epochOf},
		{"epoch 65535", plain(typeData, 65535, 9, noise(50)...), epochOf},
		{"a record that was changed", forged, forgedOf},
		{"a record of another type", otherType, forgedOf},
		{"a forged alert", plain(typeAlert, 1, 1000, noise(26)...), forgedOf},
		{"a forged Finished", plain(typeHandshake, 1, 1001, noise(48)...), forgedOf},
		{"a record far ahead", plain(typeData, 1, maxSeq, noise(40)...), forgedOf},
		{"a record that has come", used, replayedOf},
	}
	if got, _, err := server.Open(nil, bytes.Clone(used)); err != nil || string(got) != "once" {
		t.Fatalf("the good record: %q, %v", got, err)
	}
	for _, test := range tests {
		before := server.Stats()
		got, st, err := server.Open([]byte("dst"), bytes.Clone(test.d))
		if string(got) != "dst" || err != nil || st.Out != 0 || st.Consumed != len(test.d) {
			t.Errorf("%s: Open returns %q, %+v, %v", test.name, got, st, err)
		}
		after := server.Stats()
		if test.count != nil {
			*test.count(&before)++
		} else if len(test.d) > 0 {
			before = after
		}
		if before != after {
			t.Errorf("%s: counted as %+v, want %+v", test.name, after, before)
		}
	}
	for _, p := range []string{"after", "that"} {
		if got, _, err := server.Open(nil, seal(p)); err != nil || string(got) != p {
			t.Errorf("a good record afterwards: %q, %v", got, err)
		}
	}
}

func malformedOf(s *Stats) *uint64 { return &s.Malformed }
func plaintextOf(s *Stats) *uint64 { return &s.Plaintext }
func epochOf(s *Stats) *uint64     { return &s.WrongEpoch }
func forgedOf(s *Stats) *uint64    { return &s.Forged }
func replayedOf(s *Stats) *uint64  { return &s.Replayed }

// TestSeveralRecords opens datagrams with more than one record: good ones are taken whatever stands between them.
func TestSeveralRecords(t *testing.T) {
	client, server := benchPair(t, certSetup(t, ecKey))
	seal := func(p string) []byte {
		d, _, err := client.Seal(nil, []byte(p))
		check(t, err)
		return d
	}
	forged := seal("forged")
	forged[20] ^= 1
	d := slices.Concat(seal("one"), plain(typeAlert, 0, 1, 2, 40), seal("two"), forged, seal("three"), []byte{23, 0xfe})
	got, _, err := server.OpenBatch(nil, bytes.Clone(d), 0)
	if err != nil || len(got) != 3 || string(bytes.Join(got, []byte(" "))) != "one two three" {
		t.Errorf("OpenBatch returns %q, %v", got, err)
	}
	if again, _, err := server.Open(nil, d); err != nil || len(again) > 0 {
		t.Errorf("the same datagram again: %q, %v", again, err)
	}
	if s := server.Stats(); s.Opened != 3 || s.Malformed != 2 || s.Plaintext != 2 || s.Forged != 2 || s.Replayed != 3 {
		t.Errorf("counted as %+v", s)
	}
}

// TestAuthenticNonsense sends what only the peer can, and should not.
func TestAuthenticNonsense(t *testing.T) {
	for _, test := range []struct {
		name string
		typ  contentType
		body []byte
	}{
		{"an empty record", typeHandshake, nil},
		{"an empty alert", typeAlert, nil},
		{"a long alert", typeAlert, []byte{alertFatal, 40, 0}},
		{"a warning", typeAlert, []byte{alertWarning, 90}},
		{"an alert of level 3", typeAlert, []byte{3, 40}},
		{"ChangeCipherSpec", typeCCS, []byte{1}},
		{"heartbeat", 24, noise(20)},
		{"a connection ID inside", typeCID, noise(20)},
		{"half a message", typeHandshake, message(11, 9, 100, 0, noise(50))},
		{"a cut message", typeHandshake, message(11, 9, 100, 0, noise(50))[:20]},
	} {
		client, server := benchPair(t, certSetup(t, ecKey))
		d := client.tx.seal(nil, test.typ, test.body)
		got, st, err := server.Open(nil, d)
		if s := server.Stats(); len(got) > 0 || st.Out > 0 || err != nil || s.Unexpected+s.Malformed != 1 {
			t.Errorf("%s: Open returns %q, %+v, %v; %+v", test.name, got, st, err, s)
		}
	}
}

// TestRenegotiation refuses a second handshake with a warning, and goes on.
func TestRenegotiation(t *testing.T) {
	client, server := benchPair(t, certSetup(t, ecKey))
	hello := message(msgClientHello, 7, 40, 0, noise(40))
	request := message(msgHelloRequest, 7, 0, 0, nil)
	for _, x := range []struct {
		from, to *Engine
		body     []byte
	}{{client, server, hello}, {server, client, request}} {
		_, st, err := x.to.Open(nil, x.from.tx.seal(nil, typeHandshake, x.body))
		if err != nil || st.Out == 0 {
			t.Fatalf("the %v: %+v, %v", x.to.role, st, err)
		}
		answer, _ := x.to.Flush(nil, 0)
		r, _, _ := cut(answer, 0)
		content, typ, v := x.from.rx.open(nil, &r)
		if v != authentic || typ != typeAlert || !bytes.Equal(content, []byte{alertWarning, alertNoRenegotiation}) {
			t.Errorf("the %v answers with type %d: %x", x.to.role, typ, content)
		}
		if x.to.Stats().Renegotiate != 1 || x.to.State().Phase != bio.PhaseOpen {
			t.Errorf("the %v: %+v", x.to.role, x.to.Stats())
		}
	}
}

// TestBadDatagramsInHandshake sends each end, at every step, what an attacker can: the handshake goes through.
func TestBadDatagramsInHandshake(t *testing.T) {
	long := message(11, 40, maxMessageLen+1, 0, noise(100))
	bad := [][]byte{
		{}, {22}, noise(60),
		plain(typeData, 0, 1000, noise(40)...),                       // pion ends the handshake for it
		plain(99, 0, 1001, noise(40)...),                             // and for it
		plain(typeAlert, 0, 1002, 2),                                 // and for it
		plain(typeAlert, 0, 1003, 3, 40),                             //
		plain(typeCCS, 0, 1004, 2),                                   // and for it
		plain(typeHandshake, 0, 1005),                                //
		plain(typeHandshake, 0, 1006, long...),                       // for the longest message that there could be
		plain(typeHandshake, 0, 1007, noise(40)...),                  //
		plain(typeHandshake, 3, 1008, noise(40)...),                  // of an epoch that there is not
		plain(typeHandshake, 1, 1009, noise(48)...),                  // what may be Finished
		plain(typeAlert, 1, 1010, noise(26)...),                      // what may be an alert
		plain(typeData, 1, 1011, noise(60)...),                       // what may be data
		plain(typeHandshake, 0, 1012, noise(maxRead-10)...),          // more than pion reads
		append(plain(typeCCS, 0, 1013, 1)[:13], 0, 0, 0, 0xff),       // something behind a whole record
		plain(typeHandshake, 0, 1014, message(11, 40, 9, 0, nil)...), // a part without content
	}
	synctest.Test(t, func(t *testing.T) {
		l := certSetup(t, ecKey).dial(t, &network{})
		for range 20 {
			for _, e := range l.ends() {
				for _, d := range bad {
					e.in <- bytes.Clone(d)
				}
			}
			time.Sleep(time.Millisecond)
		}
		l.handshake(t)
		l.talk(t, noise(100))
		for _, e := range l.ends() {
			if s := e.Stats(); s.Malformed == 0 || s.WrongEpoch == 0 {
				t.Errorf("the %s: %+v", e.name, s)
			}
		}
	})
}

// TestEndlessFragments sends a server fragments without end: what it holds is bounded, and it counts the rest.
func TestEndlessFragments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		deaf := &network{fate: func(from frame.Role, _ int) bool { return from == frame.Server }}
		l, n := certSetup(t, ecKey).dial(t, deaf), 0
		for msg := range uint16(maxMessages) {
			for offset := 0; offset < maxMessageLen-1000; offset += 2000 {
				part := message(11, msg, maxMessageLen, offset, noise(1000))
				l.server.in <- plain(typeHandshake, 0, uint64(n), part...)
				n++
			}
		}
		synctest.Wait()
		if s := l.server.Stats(); s.OverBudget+s.InputLost < uint64(n)-handshakeBudget/1000 {
			t.Errorf("of %d fragments: %+v", n, s)
		}
		l.server.until(t, "its end", func() bool { return l.server.State().Phase == bio.PhaseFailed })
	})
}

// TestPlaintextAlert: before the keys are there, an unprotected alert is how a peer says no, so it ends a handshake,
// and says so.
func TestPlaintextAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := certSetup(t, ecKey).dial(t, &network{fate: func(frame.Role, int) bool { return false }})
		time.Sleep(10 * time.Millisecond)
		l.client.in <- plain(typeAlert, 0, 0, alertFatal, 71)
		var alert *bio.AlertError
		if err := l.client.fails(t); !errors.As(err, &alert) || alert.Sent || alert.Alert != 71 {
			t.Errorf("the client says: %v", err)
		}
	})
}

// TestForgeries ends a connection when as many records were forged as the cipher bears, and warns before.
// https://www.rfc-editor.org/rfc/rfc9147#section-4.5.3
func TestForgeries(t *testing.T) {
	client, server := benchPair(t, certSetup(t, ecKey))
	junk := plain(typeData, 1, 500, noise(60)...)
	server.rx.forged = maxForged/8*7 - 1
	if _, st, err := server.Open(nil, bytes.Clone(junk)); err != nil || !st.Events.Has(bio.EventRekey) {
		t.Errorf("at seven eighths: %+v, %v", st, err)
	}
	server.rx.forged = maxForged - 1
	_, st, err := server.Open(nil, bytes.Clone(junk))
	if !errors.Is(err, ErrWornOut) || st.Out == 0 || st.Events.Has(bio.EventRekey) {
		t.Fatalf("at the limit: %+v, %v", st, err)
	}
	alert, _ := server.Flush(nil, 0)
	var e *bio.AlertError
	if _, _, err := client.Open(nil, alert); !errors.As(err, &e) || e.Alert != alertBadRecordMAC {
		t.Errorf("the peer is told: %v", err)
	}
}

// TestWornOut stops sealing at the limit of the cipher and at the end of the numbers, and warns before.
func TestWornOut(t *testing.T) {
	for _, wear := range []struct {
		name       string
		warn, stop func(s *sender)
	}{
		{"blocks",
			func(s *sender) { s.blocks = s.maxBlocks/8 + 1 },
			func(s *sender) { s.blocks = 10 }},
		{"numbers",
			func(s *sender) { s.number = 1<<48 | maxSeq/8*7 - 1 },
			func(s *sender) { s.number = 1<<48 | maxSeq - 10 }},
	} {
		t.Run(wear.name, func(t *testing.T) {
			client, server := benchPair(t, certSetup(t, ecKey))
			wear.warn(client.tx)
			for range 2 {
				if _, _, err := client.Seal(nil, noise(200)); err != nil {
					t.Fatal(err)
				}
			}
			select {
			case <-client.Ready():
			default:
				t.Error("Ready says nothing")
			}
			if st, err := client.Tick(time.Time{}); err != nil || !st.Events.Has(bio.EventRekey) {
				t.Errorf("no warning: %+v, %v", st, err)
			}
			wear.stop(client.tx)
			if out, n, err := client.Seal([]byte("dst"), noise(200)); !errors.Is(err, ErrWornOut) || n != 0 ||
				string(out) != "dst" {
				t.Errorf("Seal at the limit: %q, %d, %v", out, n, err)
			}
			if st, err := client.Tick(time.Time{}); err != nil || st.Events.Has(bio.EventRekey) {
				t.Errorf("after the limit: %+v, %v", st, err)
			}
			check(t, client.CloseWrite()) // there is a reserve for that
			alert, _ := client.Flush(nil, 0)
			if _, st, err := server.Open(nil, alert); err != nil || !st.Events.Has(bio.EventPeerClosed) {
				t.Errorf("close_notify at the limit: %+v, %v", st, err)
			}
		})
	}
}
