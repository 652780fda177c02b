package openvpn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// ErrKeyRefused is wrapped by what ends the connection of a client whose key Options.Verify refuses. The client is not
// told: nothing is sent to it any more.
var ErrKeyRefused = errors.New("openvpn: the key of the client is refused")

// Metadata is what whoever made a client's key of tls-crypt-v2 has put beside it. The server's key authenticates it:
// nobody can have made it up who has not that key.
//
// https://github.com/OpenVPN/openvpn/blob/master/doc/tls-crypt-v2.txt
type Metadata struct {
	Type MetadataType
	Data []byte // without the type, at most 733 bytes
}

// MetadataType is the first byte of metadata. There may be others than OpenVPN makes.
type MetadataType uint8

// The types of metadata that OpenVPN makes.
const (
	User      MetadataType = 0 // whatever OpenVPN was given for the key
	Timestamp MetadataType = 1 // when the key was made, if it was given nothing: seconds since 1970, 64 bits
)

const (
	timestampLen = 8
	maxTimestamp = 1 << 40 // seconds: what is more is nonsense, and a time.Time does not hold all of it
)

// Created returns when the key was made. ok is false if the metadata does not tell.
func (m Metadata) Created() (t time.Time, ok bool) {
	if m.Type != Timestamp || len(m.Data) < timestampLen {
		return t, false
	}
	seconds := binary.BigEndian.Uint64(m.Data)
	if seconds > maxTimestamp {
		return t, false
	}
	return time.Unix(int64(seconds), 0), true
}

// parseMetadata takes apart what was unwrapped behind a client's key; ok is false if there is nothing. Its Data is a
// part of p.
func parseMetadata(p []byte) (m Metadata, ok bool) {
	if len(p) == 0 {
		return m, false
	}
	return Metadata{MetadataType(p[0]), p[1:]}, true
}

// checkAge refuses the key that a client offers if it is too old. It does so before anything is answered: who has such a
// key is not even told that there is a server.
func (m *machine) checkAge() error {
	g, ok := m.guard.(*keyedGuard)
	if !ok || m.maxAge == 0 {
		return nil
	}
	metadata, _ := parseMetadata(g.offered.metadata)
	created, ok := metadata.Created()
	if !ok || m.now.IsZero() || m.now.Sub(created) > m.maxAge {
		m.counters.TooOld.Add(1)
		return errTooOld
	}
	return nil
}

// checkKey asks whether the key of the session is welcome, and ends the connection if it is not. It does so when the
// client has proved that it gets what is sent to it: who repeats packets of others causes no question.
func (m *machine) checkKey() {
	g, ok := m.guard.(*keyedGuard)
	if !ok || m.verify == nil {
		return
	}
	err := errNoMetadata
	if metadata, ok := parseMetadata(g.current.metadata); ok {
		err = m.verify(metadata)
	}
	if err != nil {
		m.counters.Refused.Add(1)
		m.end(fmt.Errorf("%w: %w", ErrKeyRefused, err))
	}
}

// checkMetadata reports what is wrong with the options that are about metadata.
func (o *Options) checkMetadata() error {
	switch {
	case o.MaxAge < 0 || o.MaxAge > maxMaxAge*day:
		return fmt.Errorf("openvpn: bad max-age of %v (allowed: up to %d days)", o.MaxAge, maxMaxAge)
	case o.ServerKey == nil && (o.MaxAge != 0 || o.Verify != nil):
		return errors.New("openvpn: max-age and Verify are for a server with its key of tls-crypt-v2")
	}
	return nil
}

const (
	day       = 24 * time.Hour
	maxMaxAge = 36500 // days: no key of tls-crypt-v2 is that old
)

var (
	errTooOld     = malformed("the key of a client is older than allowed, or has no time at which it was made")
	errNoMetadata = errors.New("it has no metadata")
)
