package admission

import (
	"cmp"
	"errors"
	"time"
)

// Limits bound what unproven peers may cost. For each field, 0 stands for the default and a negative value for "no
// limit", which HalfOpen and the times cannot have.
type Limits struct {
	// HalfOpen is how many handshakes may be under way. Each costs what the engine takes for one: with pion/dtls about
	// 33 KiB and four goroutines. 0: 1024; at most 1<<20.
	HalfOpen int
	// HalfOpenPerAddr is how many of them one address may have under way; 0: 128. An address is one of IPv4, or 64 bits
	// of IPv6: who has one such address has them all.
	HalfOpenPerAddr int

	// HelloRate is how many ClientHellos per second one address may send, in the long run; as many again may come at
	// once. 0: 100. Whoever can send in the name of an address can use up its share.
	HelloRate int
	// AdmitRate is how many handshakes per second may be started for all addresses, likewise. It bounds the time that
	// unproven peers may take of a processor; 0: 2000.
	AdmitRate int

	// CookieTime is the time that a peer is given to return its cookie, if others wait for its place; then it may be
	// evicted. It should be longer than most round trips. 0: a second.
	CookieTime time.Duration
	// UnprovenTimeout is the time after which it is evicted in any case; 0: five seconds. A client that is still there
	// repeats its ClientHello and begins anew.
	UnprovenTimeout time.Duration

	// Remembered is how many first ClientHellos are remembered under load, of four bytes each: a multiple of 16. It
	// should be as many as arrive in the second after which clients repeat theirs. 0: 1<<20, which are 4 MiB.
	Remembered int
	// Addresses is how many addresses HelloRate is kept for, of 16 bytes each: a multiple of 4; when there are more,
	// the one that has sent least of late is forgotten. 0: 1<<15.
	Addresses int
}

const (
	defaultHalfOpen        = 1024
	maxHalfOpen            = 1 << 20
	defaultHalfOpenPerAddr = 128
	defaultHelloRate       = 100
	defaultAdmitRate       = 2000
	defaultCookieTime      = time.Second
	defaultUnprovenTimeout = 5 * time.Second
	defaultRemembered      = 1 << 20
	defaultAddresses       = 1 << 15
)

// settle returns l with the defaults in it, and 0 for "no limit".
func (l Limits) settle() (Limits, error) {
	switch {
	case l.HalfOpen < 0 || l.HalfOpen > maxHalfOpen:
		return l, errors.New("admission: Limits.HalfOpen must be 1 to 1<<20: each handshake has memory of its own")
	case l.CookieTime < 0 || l.UnprovenTimeout < 0:
		return l, errors.New("admission: Limits.CookieTime and UnprovenTimeout may not be negative")
	}
	settle(&l.HalfOpen, defaultHalfOpen)
	settle(&l.HalfOpenPerAddr, defaultHalfOpenPerAddr)
	settle(&l.HelloRate, defaultHelloRate)
	settle(&l.AdmitRate, defaultAdmitRate)
	l.CookieTime = cmp.Or(l.CookieTime, defaultCookieTime)
	l.UnprovenTimeout = cmp.Or(l.UnprovenTimeout, defaultUnprovenTimeout)
	settle(&l.Remembered, defaultRemembered)
	settle(&l.Addresses, defaultAddresses)
	if l.Remembered%seenWays != 0 || l.Addresses%rateWays != 0 {
		return l, errors.New("admission: Limits.Remembered must be a multiple of 16, Addresses one of 4")
	}
	return l, nil
}

func settle(n *int, def int) {
	switch {
	case *n == 0:
		*n = def
	case *n < 0:
		*n = 0
	}
}
