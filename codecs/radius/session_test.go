package radius

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/codecs/eap"
	"github.com/encase-tls/encase/frame"
)

var testSecret = &Secret{[]byte("testing123")}

// A driver is a codectest.Driver that takes packets apart.
type driver struct{ *codectest.Driver }

func newDriver(t testing.TB, role frame.Role, o Options) driver {
	t.Helper()
	o.Secret = testSecret
	mk, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return driver{codectest.NewDriver(t, codectest.Machine(t, mk, role))}
}

// only returns the one packet that the last call sent, taken apart.
func (d driver) only(t testing.TB) packet {
	t.Helper()
	if len(d.Sent) != 1 {
		t.Fatalf("%d packets are sent, want one", len(d.Sent))
	}
	p, err := parse(d.Sent[0])
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// signedRequest returns an Access-Request with an EAP packet and other attributes.
func signedRequest(id, authenticator byte, response []byte, others ...byte) []byte {
	s := newSigner(testSecret)
	d := newDraft(accessRequest, id)
	copy(d.authenticator(), bytes.Repeat([]byte{authenticator}, authenticatorLen))
	d.addEAP(response)
	copy(d.Append(len(others)), others)
	s.signRequest(d)
	return bytes.Clone(d.Bytes())
}

// signedReply returns a reply to a request.
func signedReply(code byte, request packet, packet []byte, others ...byte) []byte {
	s := newSigner(testSecret)
	d := newDraft(code, request.id)
	d.addEAP(packet)
	copy(d.Append(len(others)), others)
	s.signReply(d, request.authenticator())
	return bytes.Clone(d.Bytes())
}

var (
	identity = []byte{eap.CodeResponse, 7, 0, 6, 1, 'u'}
	start    = []byte{eap.CodeRequest, 1, 0, 6, 13, 0x20}
)

// challenged returns a server that has answered the request with the identity, and the State it has given out.
func challenged(t *testing.T, others ...byte) (d driver, state []byte) {
	t.Helper()
	d = newDriver(t, frame.Server, Options{})
	if err := d.Recv(signedRequest(1, 1, identity, others...)); err != nil {
		t.Fatal(err)
	}
	return d, d.only(t).attributes.keep(nil, attrState)
}

// hello is a response with a part of TLS, to the request with an identifier.
func hello(id byte) []byte { return []byte{eap.CodeResponse, id, 0, 8, 13, 0, 'h', 'i'} }

// A reply is signed for its request, and returns what proxies have left there, in order.
func TestReply(t *testing.T) {
	proxies := []byte{attrProxyState, 4, 'a', 'b', attrProxyState, 3, 'c'}
	d, _ := challenged(t, slices.Concat(proxies[:4], []byte{200, 2}, proxies[4:])...)
	p := d.only(t)
	s := newSigner(testSecret)
	if err := s.verifyReply(p, bytes.Repeat([]byte{1}, authenticatorLen)); err != nil {
		t.Error(err)
	}
	if p.code != accessChallenge || p.id != 1 || p.all[headerLen] != attrMessageAuthenticator {
		t.Errorf("code %d, id %d, first attribute %d", p.code, p.id, p.all[headerLen])
	}
	if got := p.attributes.keep(nil, attrProxyState); !bytes.Equal(got, proxies) {
		t.Errorf("Proxy-State is returned as %x", got)
	}
	if got := p.attributes.join(nil, attrEAPMessage); !bytes.Equal(got, []byte{1, 8, 0, 6, 13, 0x20}) {
		t.Errorf("EAP-Message is %x", got)
	}
}

// A request that comes again is answered as before, byte for byte, and TLS hears of it once.
func TestRepeatedRequest(t *testing.T) {
	d, state := challenged(t)
	first := d.Sent[0]
	if err := d.Recv(signedRequest(1, 1, identity)); err != nil || !bytes.Equal(d.only(t).all, first) {
		t.Errorf("%v: another answer", err)
	}
	second := signedRequest(2, 2, hello(8), state...)
	if err := d.Recv(second); err != nil || string(d.Got) != "hi" || len(d.Sent) > 0 {
		t.Fatalf("%v, got %q, sent %x", err, d.Got, d.Sent)
	}
	if err := d.Recv(second); err != nil || len(d.Got)+len(d.Sent) > 0 {
		t.Errorf("while it is being answered: %v, got %q, sent %x", err, d.Got, d.Sent)
	}
	if err := d.Recv(signedRequest(1, 1, identity)); err != nil || len(d.Got)+len(d.Sent) > 0 {
		t.Errorf("an older one: %v, got %q, sent %x", err, d.Got, d.Sent)
	}
	d.Send([]byte("answer"))
	if p := d.only(t); p.id != 2 {
		t.Errorf("the answer is to request %d", p.id)
	}
}

// An EAP response that comes in a new request has the answer that it had, in a reply to that request.
func TestRepeatedResponse(t *testing.T) {
	d, state := challenged(t)
	d.Recv(signedRequest(2, 2, hello(8), state...))
	d.Send([]byte("answer"))
	want := d.only(t).attributes.join(nil, attrEAPMessage)
	if err := d.Recv(signedRequest(3, 3, hello(8), state...)); err != nil || len(d.Got) > 0 {
		t.Fatalf("%v, got %q", err, d.Got)
	}
	p := d.only(t)
	s := newSigner(testSecret)
	if err := s.verifyReply(p, bytes.Repeat([]byte{3}, authenticatorLen)); err != nil || p.id != 3 {
		t.Errorf("%v, to request %d", err, p.id)
	}
	if got := p.attributes.join(nil, attrEAPMessage); !bytes.Equal(got, want) {
		t.Errorf("the answer is %x, was %x", got, want)
	}
}

// A stranger is known as one before there is a session.
func TestVerify(t *testing.T) {
	request := signedRequest(1, 1, identity)
	other, err := NewSecret([]byte("testing124"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		p    []byte
		s    *Secret
		want error
	}{
		{request, testSecret, nil},
		{request, other, errSignature},
		{request[:30], testSecret, errLength},
		{append([]byte{accessAccept}, request[1:]...), testSecret, errCode},
	} {
		if err := Verify(c.p, c.s); err != c.want {
			t.Errorf("%.8x: %v, want %v", c.p, err, c.want)
		}
	}
}

// A session answers only to its own State.
func TestState(t *testing.T) {
	d, state := challenged(t)
	other := bytes.Clone(state)
	other[5] ^= 1
	for _, s := range [][]byte{nil, other, {attrState, 2}, {attrState, 3, state[2]}} {
		err := d.Recv(signedRequest(2, byte(len(s)+9), hello(8), s...))
		if err != errState || len(d.Sent)+len(d.Got) > 0 {
			t.Errorf("State %x: %v, sent %x, got %q", s, err, d.Sent, d.Got)
		}
	}
	if err := d.Recv(signedRequest(2, 2, hello(8), state...)); err != nil || string(d.Got) != "hi" {
		t.Errorf("afterwards: %v, got %q", err, d.Got)
	}
	if got := State(signedRequest(2, 2, hello(8), state...)); !bytes.Equal(got, state[2:]) {
		t.Errorf("State says %x", got)
	}
	if got := State([]byte("no packet")); got != nil {
		t.Errorf("State says %x of no packet", got)
	}
}

// A server keeps its packets as short as the authenticator wants them, and not shorter.
func TestFramedMTU(t *testing.T) {
	for mtu, want := range map[uint32]int{100: 100, 5000: 1020, 3: 1020} {
		d, state := challenged(t, attrFramedMTU, 6, byte(mtu>>24), byte(mtu>>16), byte(mtu>>8), byte(mtu))
		d.Recv(signedRequest(2, 2, hello(8), state...))
		d.Send(make([]byte, 4000))
		if n := len(d.only(t).attributes.join(nil, attrEAPMessage)); n != want {
			t.Errorf("Framed-MTU %d: a packet of %d bytes, want %d", mtu, n, want)
		}
	}
}

// The authenticator may want the server to ask for the identity, more than once.
func TestEAPStart(t *testing.T) {
	d := newDriver(t, frame.Server, Options{})
	var state []byte
	for id := range byte(2) {
		if err := d.Recv(signedRequest(id, id+1, nil, append([]byte{attrEAPMessage, 2}, state...)...)); err != nil {
			t.Fatal(err)
		}
		if got := d.only(t).attributes.join(nil, attrEAPMessage); !bytes.Equal(got, []byte{1, 1, 0, 5, 1}) {
			t.Errorf("the answer is %x", got)
		}
		state = d.only(t).attributes.keep(nil, attrState)
	}
	if err := d.Recv(signedRequest(2, 9, []byte{eap.CodeResponse, 1, 0, 6, 1, 'u'}, state...)); err != nil {
		t.Fatal(err)
	}
	if got := d.only(t).attributes.join(nil, attrEAPMessage); got[4] != 13 {
		t.Errorf("the answer to the identity is %x", got)
	}
}

// A client repeats a request as it was, each time after twice as long, at most 16 s.
func TestResend(t *testing.T) {
	d := newDriver(t, frame.Client, Options{EAP: eap.Options{Timeout: time.Minute}})
	first, begin := d.Sent[0], d.Now
	var times []int
	for len(d.Done) == 0 {
		at, ok := d.Machine.(frame.Timed).Deadline()
		if !ok {
			t.Fatal("no Deadline")
		}
		d.Pass(at.Sub(d.Now))
		for _, p := range d.Sent {
			if !bytes.Equal(p, first) {
				t.Error("it repeats something else")
			}
			times = append(times, int(d.Now.Sub(begin).Seconds()))
		}
	}
	if fmt.Sprint(times) != "[2 6 14 30 46]" || !errors.Is(d.Done[0], eap.ErrSilent) || d.Now.Sub(begin) != time.Minute {
		t.Errorf("repeated after %v s, done %v after %v", times, d.Done, d.Now.Sub(begin))
	}
	if _, ok := d.Machine.(frame.Timed).Deadline(); ok {
		t.Error("a Deadline after the end")
	}
}

// Replies that are not signed for the request, or not at all, change nothing: the real one is still taken.
func TestForgedReplies(t *testing.T) {
	d := newDriver(t, frame.Client, Options{})
	request := d.only(t)
	good := signedReply(accessChallenge, request, start, attrState, 3, 's')
	other := request
	other.all = bytes.Repeat([]byte{5}, headerLen)
	forge := func(at int) []byte {
		p := bytes.Clone(good)
		p[at] ^= 1
		return p
	}
	for _, c := range []struct {
		name  string
		reply []byte
		want  error
	}{
		{"authenticator", forge(10), errSignature},
		{"Message-Authenticator", forge(signatureAt), errSignature},
		{"State", forge(len(good) - 1), errSignature},
		{"of another request", signedReply(accessChallenge, other, start), errSignature},
		{"identifier", forge(1), nil}, // one that is no more
		{"far identifier", append([]byte{accessChallenge, request.id + 100}, good[2:]...), errReply},
		{"code", append([]byte{1}, good[1:]...), errCode},
		{"accept", signedReply(accessAccept, other, []byte{3, 0, 0, 4}), errSignature},
		{"reject", signedReply(accessReject, other, []byte{4, 0, 0, 4}), errSignature},
		{"conflict", signedReply(accessAccept, request, start), errConflict},
		{"conflict the other way", signedReply(accessChallenge, request, []byte{3, 0, 0, 4}), errConflict},
		{"no EAP", signedReply(accessChallenge, request, nil), errNoEAP},
		{"early success", signedReply(accessAccept, request, []byte{3, 0, 0, 4}), frame.ErrMalformed},
	} {
		if err := d.Recv(c.reply); !errors.Is(err, c.want) || len(d.Sent)+len(d.Done) > 0 {
			t.Errorf("%s: %v, want %v; sent %x, done %v", c.name, err, c.want, d.Sent, d.Done)
		}
	}
	if err := d.Recv(good); err != nil {
		t.Errorf("the real one: %v", err)
	}
	d.Send([]byte("hello"))
	if state, _ := d.only(t).attributes.find(attrState); string(state) != "s" {
		t.Errorf("State is returned as %q", state)
	}
}

// Without a Message-Authenticator a reply is refused even if its authenticator is right: that can be forged.
func TestUnsignedReply(t *testing.T) {
	d := newDriver(t, frame.Client, Options{})
	request := d.only(t)
	s := newSigner(testSecret)
	p := []byte{accessReject, request.id, 0, headerLen}
	p = append(p, make([]byte, authenticatorLen)...)
	copy(p[authenticatorAt:], s.response(p, request.authenticator()))
	if err := d.Recv(p); err != errUnsigned || len(d.Done) > 0 {
		t.Errorf("%v, done %v", err, d.Done)
	}
}

// A reject is the end, with or without an EAP packet.
func TestReject(t *testing.T) {
	for _, packet := range [][]byte{nil, {eap.CodeFailure, 0, 0, 4}} {
		d := newDriver(t, frame.Client, Options{})
		err := d.Recv(signedReply(accessReject, d.only(t), packet))
		if err != nil || len(d.Done) != 1 || d.Done[0] != eap.ErrFailure {
			t.Errorf("%v, done %v", err, d.Done)
		}
	}
}

// Keys arrive as they were, and only with the same secret and request.
func TestKeys(t *testing.T) {
	var msk eap.Key
	for i := range msk {
		msk[i] = byte(i)
	}
	request := bytes.Repeat([]byte{7}, authenticatorLen)
	s := newSigner(testSecret)
	d := newDraft(accessAccept, 1)
	s.addKeys(d, request, &msk)
	s.signReply(d, request)
	p, err := parse(d.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	recv, send := p.attributes.vendor(vendorMicrosoft, mppeRecvKey), p.attributes.vendor(vendorMicrosoft, mppeSendKey)
	if len(recv) != mppeLen || len(send) != mppeLen || recv[0]&send[0]&0x80 == 0 || bytes.Equal(recv[:2], send[:2]) {
		t.Errorf("salts %x and %x", recv[:2], send[:2])
	}
	if bytes.Contains(d.Bytes(), msk[:16]) {
		t.Error("the key is there in clear")
	}
	if err := s.checkKeys(p.attributes, request, &msk); err != nil {
		t.Error(err)
	}
	for i := range msk { // every byte counts
		other := msk
		other[i] ^= 1
		if err := s.checkKeys(p.attributes, request, &other); err != errOtherKeys {
			t.Errorf("another byte %d: %v", i, err)
		}
	}
	if err := s.checkKeys(p.attributes, zeros[:], &msk); err == nil {
		t.Error("the keys are accepted for another request")
	}
	if err := s.checkKeys(nil, request, &msk); err != nil {
		t.Errorf("without keys: %v", err)
	}
	short := []byte{attrVendor, 10, 0, 0, 1, 0x37, mppeRecvKey, 4, 0x80, 1}
	if err := s.checkKeys(short, request, &msk); err != errKeyLength {
		t.Errorf("short keys: %v", err)
	}
}
