package dtls

// Stats counts what an engine has done, and what it has let pass without a word: on a network without an attacker the
// counters below Sealed stay small.
type Stats struct {
	Opened uint64 // messages
	Sealed uint64 // messages

	Malformed   uint64 // what is no record, with the rest of its datagram, and records not meant for this connection
	WrongEpoch  uint64 // records of an epoch that there is not
	Plaintext   uint64 // unprotected records after the handshake: its repetitions, and alerts that anybody could send
	Replayed    uint64 // records that had come before, or that are older than the replay window
	Forged      uint64 // records that did not authenticate
	Unexpected  uint64 // authentic records that mean nothing: warnings, stray handshake messages, unknown types
	Renegotiate uint64 // handshakes that the peer asked for and did not get

	Repeated    uint64 // times the last flight was sent again, because the peer repeated its own
	Early       uint64 // protected records that came before the handshake was done, and were kept
	EarlyLost   uint64 // and those that were too many
	OverBudget  uint64 // handshake records that were more than a handshake needs
	InputLost   uint64 // datagrams that the handshake was too slow for
	OutputLost  uint64 // datagrams that were not flushed in time
	AfterClosed uint64 // datagrams after the peer's close_notify
}

// count notes why a record was dropped.
func (s *Stats) count(v verdict) {
	switch v {
	case malformed:
		s.Malformed++
	case wrongEpoch:
		s.WrongEpoch++
	case plaintext:
		s.Plaintext++
	case replayed:
		s.Replayed++
	case forged:
		s.Forged++
	}
}

// Stats returns a snapshot. It may be called at any time; it waits for calls of Open and Seal.
func (e *Engine) Stats() Stats {
	e.open.Lock()
	defer e.open.Unlock()
	e.seal.Lock()
	defer e.seal.Unlock()
	s := e.stats
	s.Sealed = e.sealed
	s.OutputLost = e.out.dropped()
	if e.mem != nil {
		s.InputLost = e.mem.dropped()
	}
	return s
}
