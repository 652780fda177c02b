package admission

// A Reason says what became of a datagram of an unknown peer, or of an unproven one.
type Reason uint8

// The reasons. Whoever refuses because of one says nothing to the peer.
const (
	Admitted       Reason = iota // make an engine
	NoHello                      // it is no ClientHello of DTLS 1.2, or not its beginning
	LateCookie                   // a cookie of a connection that there is not, perhaps any more: the client begins anew
	HelloRate                    // its address sends too many
	AdmitRate                    // all together start too many handshakes
	FirstUnderLoad               // under load, it was not there before
	PerAddr                      // its address has too many handshakes under way
	Full                         // too many are under way, and none that might be evicted
	Evicted                      // no refusal: a peer that did not return its cookie had to go
	reasons
)

// String returns a name of one or two words in lower case.
func (r Reason) String() string {
	names := [...]string{"admitted", "no hello", "late cookie", "hello rate", "admit rate", "first under load",
		"per address", "full", "evicted"}
	if int(r) < len(names) {
		return names[r]
	}
	return "unknown"
}

// Stats is a snapshot of a Gate.
type Stats struct {
	HalfOpen  int             // handshakes under way
	Unproven  int             // those whose peer has not returned its cookie
	UnderLoad bool            // only repeated ClientHellos are answered
	Counts    [reasons]uint64 // by Reason, since the Gate was made
}

// Stats returns a snapshot.
func (g *Gate) Stats() Stats {
	return Stats{HalfOpen: g.open.used(), Unproven: g.open.unproven, UnderLoad: g.load.on, Counts: g.counts}
}
