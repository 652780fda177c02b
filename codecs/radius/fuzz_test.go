package radius

import (
	"bytes"
	"errors"
	"testing"

	"github.com/encase-tls/encase/codecs/eap"
	"github.com/encase-tls/encase/frame"
)

// FuzzRequest gives a server what is signed: behind the signature, too, anything may be.
func FuzzRequest(f *testing.F) {
	f.Add([]byte{attrEAPMessage, 8, 2, 7, 0, 6, 1, 'u'}, []byte{attrEAPMessage, 10, 2, 8, 0, 8, 13, 0, 'h', 'i'}, true)
	f.Add([]byte{attrEAPMessage, 2}, []byte{attrProxyState, 3, 1}, true)
	f.Add([]byte{attrEAPMessage, 3, 2, attrEAPMessage, 7, 7, 0, 6, 1, 'u'}, []byte{attrFramedMTU, 6, 0, 0, 0, 0}, false)
	f.Fuzz(func(t *testing.T, first, second []byte, state bool) {
		if len(first)+len(second) > maxPacket-256 {
			return
		}
		d := newDriver(t, frame.Server, Options{})
		wantMalformed(t, d.Recv(signedRequest(1, 1, nil, first...)))
		if state && len(d.Sent) == 1 {
			second = append(d.only(t).attributes.keep(nil, attrState), second...)
		}
		wantMalformed(t, d.Recv(signedRequest(2, 2, nil, second...)))
		for _, p := range d.Sent {
			if _, err := parse(p); err != nil {
				t.Errorf("it answers %x: %v", p, err)
			}
		}
	})
}

// FuzzReply gives a client what is signed.
func FuzzReply(f *testing.F) {
	f.Add(byte(accessChallenge), []byte{attrEAPMessage, 8, 1, 1, 0, 6, 13, 0x20, attrState, 3, 1})
	f.Add(byte(accessAccept), []byte{attrEAPMessage, 6, 3, 0, 0, 4})
	f.Add(byte(accessReject), []byte{attrEAPMessage, 6, 4, 0, 0, 4})
	f.Fuzz(func(t *testing.T, code byte, attributes []byte) {
		if len(attributes) > maxPacket-256 {
			return
		}
		d := newDriver(t, frame.Client, Options{})
		wantMalformed(t, d.Recv(signedReply(code, d.only(t), nil, attributes...)))
		wantMalformed(t, d.Send([]byte("hello")))
		for _, p := range d.Sent {
			if _, err := parse(p); err != nil {
				t.Errorf("it sends %x: %v", p, err)
			}
		}
		for _, err := range d.Done {
			if err == nil {
				t.Error("it is let in without TLS")
			}
		}
	})
}

// FuzzKeys gives a client keys in an Access-Accept.
func FuzzKeys(f *testing.F) {
	s := newSigner(testSecret)
	d := newDraft(accessAccept, 1)
	s.addKeys(d, zeros[:], new(eap.Key))
	f.Add(bytes.Clone(d.Bytes()[signatureAt+authenticatorLen:]))
	f.Fuzz(func(t *testing.T, p []byte) {
		if a := attributes(p); a.valid() {
			s := newSigner(testSecret)
			wantMalformed(t, s.checkKeys(a, zeros[:], new(eap.Key)))
		}
	})
}

func wantMalformed(t *testing.T, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, frame.ErrMalformed) && !errors.Is(err, eap.ErrFailure) {
		t.Error(err)
	}
}
