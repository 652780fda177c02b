package radius

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"

	"github.com/encase-tls/encase/codecs/eap"
	"github.com/encase-tls/encase/frame"
)

// A server is that of EAP, and answers requests: each with one reply, when EAP has one.
type server struct {
	machine
	state    [authenticatorLen]byte // of this session
	told     bool                   // the client knows it
	over     bool                   // the exchange is; only what has been said is said again
	pending  request
	answered []byte // the EAP packet to which reply is the answer
	reply    []byte // the EAP packet that was sent last; empty if none was sent to answered
	seen     history
}

// A request is one that has been or is to be answered.
type request struct {
	id            byte
	authenticator [authenticatorLen]byte
	proxies       []byte // attributes Proxy-State
	open          bool
}

// maxProxies bounds what is returned to proxies, in bytes: a reply has room for it whatever else is in it.
const maxProxies = 512

// A history is a memory of the authenticators of requests, by which those that come again are known.
type history struct {
	authenticators [8][authenticatorLen]byte
	count          int
}

func (h *history) has(authenticator []byte) bool {
	for i := range min(h.count, len(h.authenticators)) {
		if bytes.Equal(h.authenticators[i][:], authenticator) {
			return true
		}
	}
	return false
}

func (h *history) add(authenticator []byte) {
	copy(h.authenticators[h.count%len(h.authenticators)][:], authenticator)
	h.count++
}

func newServer(o *Options) (*server, error) {
	base, err := newBase(o, frame.Server)
	s := &server{machine: base}
	rand.Read(s.state[:])
	s.carry = s.replies
	return s, err
}

// Start implements [frame.Machine]. The first word is the client's.
func (s *server) Start(ev []frame.Event) ([]frame.Event, error) { return s.eap.Start(ev) }

// Recv implements [frame.Machine].
func (s *server) Recv(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	p, err := parse(b.Bytes())
	switch {
	case err != nil:
		return ev, err
	case p.code != accessRequest:
		return ev, errCode
	}
	if err := s.verify(p, p.authenticator()); err != nil {
		return ev, err
	}
	switch again := p.id == s.pending.id && bytes.Equal(p.authenticator(), s.pending.authenticator[:]); {
	case again && !s.pending.open && len(s.last) > 0:
		return s.machine.again(ev), nil
	case again && s.seen.count > 0, s.seen.has(p.authenticator()):
		return ev, nil
	}
	state, _ := p.attributes.find(attrState)
	switch {
	case s.told && !bytes.Equal(state, s.state[:]), !s.told && state != nil:
		return ev, errState
	case p.attributes.count(attrEAPMessage) == 0:
		return ev, errNoEAP
	case p.attributes.size(attrProxyState) > maxProxies:
		return ev, errProxies
	}
	return s.recvRequest(ev, p)
}

// recvRequest takes a request that is new.
func (s *server) recvRequest(ev []frame.Event, p packet) ([]frame.Event, error) {
	s.seen.add(p.authenticator())
	s.pending.id, s.pending.open = p.id, true
	copy(s.pending.authenticator[:], p.authenticator())
	s.pending.proxies = p.attributes.keep(s.pending.proxies[:0], attrProxyState)
	if mtu, _ := p.attributes.find(attrFramedMTU); len(mtu) == 4 {
		s.eap.LimitMTU(int(min(binary.BigEndian.Uint32(mtu), maxMTU)))
	}
	s.inner = p.attributes.join(s.inner[:0], attrEAPMessage)
	switch {
	case len(s.inner) == 0: // the authenticator wants the server to ask for the identity
		n := len(ev)
		return s.replies(s.eap.Begin(ev), n), nil
	case bytes.Equal(s.inner, s.answered):
		return s.repeat(ev), nil
	case s.over:
		return ev, nil
	}
	s.answered = append(s.answered[:0], s.inner...)
	s.reply = s.reply[:0]
	return s.recvEAP(ev)
}

// repeat answers a response of EAP that comes in another request as before, when that has been done.
func (s *server) repeat(ev []frame.Event) []frame.Event {
	if len(s.reply) == 0 {
		return ev // it will be
	}
	return append(ev, frame.Event{Kind: frame.Out, Buf: s.respond(s.reply)})
}

// replies makes a reply of each packet that EAP sends. Where no request waits for one, nothing can be sent.
func (s *server) replies(ev []frame.Event, from int) []frame.Event {
	rest := ev[:from]
	for _, e := range ev[from:] {
		switch {
		case e.Kind == frame.Out && !s.pending.open:
			e.Buf.Release()
			continue
		case e.Kind == frame.Out:
			packet := e.Buf
			s.reply = append(s.reply[:0], packet.Bytes()...)
			e.Buf = s.respond(s.reply)
			packet.Release()
		case e.Kind == frame.Done:
			s.over = true
		}
		rest = append(rest, e)
	}
	return rest
}

// respond answers the pending request.
func (s *server) respond(packet []byte) *frame.Buf {
	d := newDraft(s.code(packet), s.pending.id)
	d.addEAP(packet)
	switch d.Bytes()[0] {
	case accessChallenge:
		d.add(attrState, s.state[:])
		s.told = true
	case accessAccept:
		if name := s.eap.Identity(); len(name) > 0 && len(name) <= maxName {
			d.addText(attrUserName, name)
		}
		if msk, ok := s.eap.Keys(); ok {
			s.addKeys(d, s.pending.authenticator[:], msk)
		}
	}
	copy(d.Append(len(s.pending.proxies)), s.pending.proxies)
	s.signReply(d, s.pending.authenticator[:])
	s.pending.open = false
	return s.remember(d)
}

// code returns that of a reply with this EAP packet.
func (s *server) code(packet []byte) byte {
	switch packet[0] {
	case eap.CodeSuccess:
		return accessAccept
	case eap.CodeFailure:
		return accessReject
	}
	return accessChallenge
}
