package radius

import (
	"crypto/rand"
	"time"

	"github.com/encase-tls/encase/codecs/eap"
	"github.com/encase-tls/encase/frame"
)

// maxStale is how far behind the last identifier that of a reply may be that comes too late: it is ignored.
const maxStale = 8

// A client is the peer of EAP, and the authenticator that stands between it and the server.
type client struct {
	machine
	o             *Options
	id            byte // of the last request
	authenticator [authenticatorLen]byte
	state         []byte // of the last challenge
	waiting       bool   // for a reply
	resendAt      time.Time
	resendAfter   time.Duration
}

func newClient(o *Options) (*client, error) {
	base, err := newBase(o, frame.Client)
	c := &client{machine: base, o: o}
	c.carry = c.requests
	return c, err
}

// Start implements [frame.Machine]. The authenticator asks for the identity, so that the exchange begins with it.
func (c *client) Start(ev []frame.Event) ([]frame.Event, error) {
	ev, err := c.eap.Start(ev)
	if err != nil {
		return ev, err
	}
	c.inner = append(c.inner[:0], eap.IdentityRequest(0)...)
	return c.recvEAP(ev)
}

// requests makes a request of each packet that EAP sends.
func (c *client) requests(ev []frame.Event, from int) []frame.Event {
	for i := from; i < len(ev); i++ {
		if ev[i].Kind == frame.Out {
			response := ev[i].Buf
			ev[i].Buf = c.request(response.Bytes())
			response.Release()
		}
	}
	return ev
}

func (c *client) request(response []byte) *frame.Buf {
	const framed = 2
	c.id++
	rand.Read(c.authenticator[:])
	d := newDraft(accessRequest, c.id)
	copy(d.authenticator(), c.authenticator[:])
	d.addText(attrUserName, c.o.User)
	d.addText(attrNASIdentifier, c.o.NAS)
	d.addNumber(attrServiceType, framed)
	d.addNumber(attrFramedMTU, uint32(c.mtu()))
	d.addEAP(response)
	if len(c.state) > 0 {
		d.add(attrState, c.state)
	}
	c.signRequest(d)
	c.waiting = true
	c.schedule(c.o.Resend)
	return c.remember(d)
}

// mtu returns the longest EAP packet that the server may send: what this end sends itself.
func (c *client) mtu() int {
	if c.o.EAP.MTU > 0 {
		return c.o.EAP.MTU
	}
	return eap.DefaultMTU
}

// Recv implements [frame.Machine].
func (c *client) Recv(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	p, err := parse(b.Bytes())
	switch {
	case err != nil:
		return ev, err
	case p.code != accessChallenge && p.code != accessAccept && p.code != accessReject:
		return ev, errCode
	case p.id != c.id && c.id-p.id > maxStale:
		return ev, errReply
	case p.id != c.id, !c.waiting:
		return ev, nil // it has come before
	}
	if err := c.verifyReply(p, c.authenticator[:]); err != nil {
		return ev, err
	}
	c.inner = p.attributes.join(c.inner[:0], attrEAPMessage)
	switch {
	case p.code == accessReject:
		c.waiting = false
		return c.eap.Fail(ev, eap.ErrFailure), nil
	case len(c.inner) == 0:
		return ev, errNoEAP
	case p.code == accessAccept != (c.inner[0] == eap.CodeSuccess):
		return ev, errConflict
	case p.code == accessAccept:
		return c.recvAccept(ev, p)
	}
	state, _ := p.attributes.find(attrState)
	c.state = append(c.state[:0], state...)
	return c.recvReply(ev)
}

// recvAccept takes an Access-Accept. Its keys, if it has any, are those of TLS.
func (c *client) recvAccept(ev []frame.Event, p packet) ([]frame.Event, error) {
	if msk, ok := c.eap.Keys(); ok {
		if err := c.checkKeys(p.attributes, c.authenticator[:], msk); err != nil {
			c.waiting = false
			return c.eap.Fail(ev, err), err
		}
	}
	return c.recvReply(ev)
}

// recvReply takes the EAP packet of a reply. If that is refused, the request stays without an answer.
func (c *client) recvReply(ev []frame.Event) ([]frame.Event, error) {
	c.waiting = false
	id := c.id
	ev, err := c.recvEAP(ev)
	if err != nil && c.id == id {
		c.waiting = true
	}
	return ev, err
}

// schedule says when the request is to be repeated.
func (c *client) schedule(after time.Duration) {
	c.resendAfter, c.resendAt = after, time.Time{}
	if !c.now.IsZero() {
		c.resendAt = c.now.Add(after)
	}
}

// Deadline implements [frame.Timed].
func (c *client) Deadline() (time.Time, bool) {
	at, ok := c.eap.Deadline()
	if ok && c.waiting && c.resendAt.Before(at) {
		return c.resendAt, true
	}
	return at, ok
}

// Tick implements [frame.Timed]. A request is repeated as it was until EAP gives up.
func (c *client) Tick(ev []frame.Event, now time.Time) ([]frame.Event, error) {
	ev, err := c.machine.Tick(ev, now)
	if err != nil || !c.waiting {
		return ev, err
	}
	if _, ok := c.eap.Deadline(); !ok {
		c.waiting = false
		return ev, nil
	}
	if c.resendAt.IsZero() {
		c.resendAt = now.Add(c.resendAfter)
	}
	if now.Before(c.resendAt) {
		return ev, nil
	}
	c.schedule(min(2*c.resendAfter, maxResend))
	return c.again(ev), nil
}
