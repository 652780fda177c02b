package dtls

import (
	"bytes"
	"cmp"
	"container/list"
	"crypto/tls"
	"encoding/gob"
	"sync"
	"time"

	"github.com/encase-tls/encase/frame"
	pion "github.com/pion/dtls/v3"
)

// A SessionStore keeps the sessions of servers, outside of any of them. It must be safe for concurrent use. What it
// keeps decrypts every connection of the session, past and future: it must not leave the program unencrypted.
type SessionStore interface {
	// Put stores a session; both slices are the store's from then on.
	Put(id, session []byte)
	// Get returns what was stored under id, nil if nothing is. It must not keep id.
	Get(id []byte) []byte
	// Delete forgets a session.
	Delete(id []byte)
}

// NewSessionStore returns a store in memory for at most size sessions, each of which is good for lifetime after its
// handshake. RFC 5246 advises a day at most; shorter is better, since all that time its secret lies about.
// https://www.rfc-editor.org/rfc/rfc5246#appendix-F.1.4
func NewSessionStore(size int, lifetime time.Duration) SessionStore {
	return &memStore{size: size, lifetime: lifetime, byID: map[string]*list.Element{}}
}

// memStore forgets the oldest first.
type memStore struct {
	mu       sync.Mutex
	size     int
	lifetime time.Duration
	byAge    list.List // of *stored, the newest in front
	byID     map[string]*list.Element
}

type stored struct {
	id      string
	session []byte
	until   time.Time
}

// Put implements SessionStore.
func (m *memStore) Put(id, session []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remove(string(id))
	m.byID[string(id)] = m.byAge.PushFront(&stored{string(id), session, time.Now().Add(m.lifetime)})
	for m.byAge.Len() > m.size {
		m.remove(m.byAge.Back().Value.(*stored).id)
	}
}

// Get implements SessionStore.
func (m *memStore) Get(id []byte) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.byID[string(id)]
	if e == nil {
		return nil
	}
	s := e.Value.(*stored)
	if time.Now().After(s.until) {
		m.remove(s.id)
		return nil
	}
	return s.session
}

// Delete implements SessionStore.
func (m *memStore) Delete(id []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remove(string(id))
}

func (m *memStore) remove(id string) {
	if e := m.byID[id]; e != nil {
		m.byAge.Remove(e)
		delete(m.byID, id)
	}
}

// sessionStore returns pion's view of where an end of the given role keeps its sessions; nil if it does not.
func (s *settings) sessionStore(role frame.Role, stored func()) pion.SessionStore {
	name := cmp.Or(s.tls.ServerName, s.peer)
	switch {
	case s.tls.SessionTicketsDisabled:
		return nil
	case role == frame.Server && s.Sessions != nil:
		return serverSessions{s.Sessions}
	case role == frame.Client && s.tls.ClientSessionCache != nil && name != "":
		return clientSessions{s.tls.ClientSessionCache, "dtls:" + name, stored}
	}
	return nil
}

// serverSessions shows pion a SessionStore.
type serverSessions struct{ store SessionStore }

func (s serverSessions) Set(id []byte, session pion.Session) error {
	s.store.Put(bytes.Clone(id), encodeSession(&session))
	return nil
}

func (s serverSessions) Get(id []byte) (pion.Session, error) {
	return decodeSession(s.store.Get(id)), nil
}

func (s serverSessions) Del(id []byte) error {
	s.store.Delete(id)
	return nil
}

// clientSessions shows pion a tls.ClientSessionCache. The session travels as Extra of a SessionState: a cache that
// keeps the values, as that of tls.NewLRUClientSessionCache, can be shared with TLS; one that keeps their encoding
// loses what is not from crypto/tls, which costs a full handshake. pion's own key, with the address of a memConn in
// it, means nothing.
type clientSessions struct {
	cache  tls.ClientSessionCache
	key    string
	stored func()
}

// extraPrefix is how Extra can be told from that of others.
const extraPrefix = "encase dtls 1\n"

func (s clientSessions) Set(_ []byte, session pion.Session) error {
	extra := append([]byte(extraPrefix), encodeSession(&session)...)
	state, err := tls.NewResumptionState(session.ID, &tls.SessionState{Extra: [][]byte{extra}})
	if err != nil {
		return err
	}
	s.cache.Put(s.key, state)
	s.stored()
	return nil
}

func (s clientSessions) Get([]byte) (pion.Session, error) {
	cached, ok := s.cache.Get(s.key)
	if !ok {
		return pion.Session{}, nil
	}
	_, state, err := cached.ResumptionState()
	if err != nil || state == nil {
		return pion.Session{}, nil
	}
	for _, extra := range state.Extra {
		if session, ok := bytes.CutPrefix(extra, []byte(extraPrefix)); ok {
			return decodeSession(session), nil
		}
	}
	return pion.Session{}, nil
}

func (s clientSessions) Del([]byte) error {
	s.cache.Put(s.key, nil)
	return nil
}

func encodeSession(s *pion.Session) []byte {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(s); err != nil {
		panic(err) // it is plain data
	}
	return b.Bytes()
}

// decodeSession returns no session, which pion does not resume, for what cannot be read.
func decodeSession(p []byte) (s pion.Session) {
	if gob.NewDecoder(bytes.NewReader(p)).Decode(&s) != nil {
		return pion.Session{}
	}
	return s
}
