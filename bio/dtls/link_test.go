package dtls

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	mrand "math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

const serverName = "server.example"

// A kind is a kind of key in a certificate.
type kind string

const (
	ecKey kind = "ecdsa"
	rsKey kind = "rsa"
	edKey kind = "ed25519"
)

// rsaKey is slow to make, so all tests share one.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func (k kind) newKey(t testing.TB) crypto.Signer {
	switch k {
	case rsKey:
		return rsaKey()
	case edKey:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		check(t, err)
		return key
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	return key
}

// An authority signs certificates. Its clock is that of the test, which may be a bubble.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	a := &authority{key: ecKey.newKey(t), pool: x509.NewCertPool()}
	template := authorityTemplate("test authority")
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	check(t, err)
	a.cert, err = x509.ParseCertificate(der)
	check(t, err)
	a.pool.AddCert(a.cert)
	return a
}

// subordinate returns an authority that a answers for, without a pool.
func (a *authority) subordinate(t testing.TB) *authority {
	below := &authority{key: ecKey.newKey(t)}
	template := authorityTemplate("subordinate authority")
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, below.key.Public(), a.key)
	check(t, err)
	below.cert, err = x509.ParseCertificate(der)
	check(t, err)
	return below
}

func authorityTemplate(name string) *x509.Certificate {
	template := certTemplate(name)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	return template
}

func certTemplate(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(240 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func (a *authority) issue(t testing.TB, k kind, name string) tls.Certificate {
	key := k.newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, certTemplate(name), a.cert, key.Public(), a.key)
	check(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// A setup is what both ends of a connection are made from.
type setup struct {
	client, server         bio.Config
	clientOpts, serverOpts Options
}

// certSetup authenticates the server with a certificate.
func certSetup(t testing.TB, k kind) *setup {
	a := newAuthority(t)
	return &setup{
		client: bio.Config{TLS: &tls.Config{ServerName: serverName, RootCAs: a.pool}},
		server: bio.Config{TLS: &tls.Config{Certificates: []tls.Certificate{a.issue(t, k, serverName)}}},
	}
}

// pskSetup authenticates both ends with a key.
func pskSetup() *setup {
	key := func([]byte) ([]byte, error) { return []byte("0123456789abcdef"), nil }
	return &setup{
		clientOpts: Options{PSK: key, PSKIdentity: []byte("client-7")},
		serverOpts: Options{PSK: key},
	}
}

func (s *setup) suite(id uint16) *setup {
	s.clientOpts.CipherSuites, s.serverOpts.CipherSuites = []uint16{id}, []uint16{id}
	return s
}

func (s *setup) both(change func(o *Options)) *setup {
	change(&s.clientOpts)
	change(&s.serverOpts)
	return s
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// An end is an engine with a goroutine that moves its datagrams.
type end struct {
	*Engine
	name string
	peer *end
	net  *network
	wire func(d []byte) // instead of net, if it is there
	in   chan []byte
	stop chan struct{}
	idle sync.WaitGroup

	mu     sync.Mutex
	sent   [][]byte // every datagram, also those that the network loses
	got    [][]byte // messages
	events map[bio.Events]int
	err    error
	moved  chan struct{} // a token: something above has changed
}

// A link is two ends and the network between them.
type link struct {
	client, server *end
}

// A network loses, repeats and delays datagrams. The zero value does nothing of it.
type network struct {
	loss, dup, reorder float64
	// fate decides about the nth datagram of an end, from 0, instead of chance: false loses it.
	fate func(from frame.Role, n int) bool
	mu   sync.Mutex
	rng  *mrand.Rand
}

func (n *network) chance(p float64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return p > 0 && n.rng.Float64() < p
}

func (n *network) delay() time.Duration {
	if !n.chance(n.reorder) {
		return 0
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Duration(n.rng.IntN(int(200 * time.Millisecond)))
}

// send carries the nth datagram from an end to its peer, or not.
func (n *network) send(from *end, d []byte, nth int) {
	if n.fate != nil && !n.fate(from.role, nth) || n.chance(n.loss) {
		return
	}
	for range 1 + btoi(n.chance(n.dup)) {
		d := bytes.Clone(d)
		deliver := func() {
			select {
			case from.peer.in <- d:
			case <-from.peer.stop:
			}
		}
		if wait := n.delay(); wait > 0 {
			time.AfterFunc(wait, deliver)
		} else {
			deliver()
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// makePair returns two engines that have not exchanged anything.
func (s *setup) makePair(t testing.TB) (client, server *Engine) {
	t.Helper()
	make := func(cfg *bio.Config, opts Options, role frame.Role) *Engine {
		maker, err := New(cfg, opts)
		check(t, err)
		e, err := maker(role)
		check(t, err)
		return e.(*Engine)
	}
	return make(&s.client, s.clientOpts, frame.Client), make(&s.server, s.serverOpts, frame.Server)
}

// dial connects two new engines over n and lets them run.
func (s *setup) dial(t testing.TB, n *network) *link {
	t.Helper()
	if n.rng == nil {
		n.rng = mrand.New(mrand.NewPCG(1, 2))
	}
	c, sv := s.makePair(t)
	l := &link{newEnd(c), newEnd(sv)}
	l.client.net, l.server.net = n, n
	l.client.peer, l.server.peer = l.server, l.client
	for _, e := range l.ends() {
		e.idle.Go(e.run)
	}
	t.Cleanup(l.close)
	return l
}

func newEnd(e *Engine) *end {
	return &end{Engine: e, name: e.role.String(), in: make(chan []byte, 4096), stop: make(chan struct{}),
		events: map[bio.Events]int{}, moved: make(chan struct{}, 1)}
}

func (l *link) ends() []*end { return []*end{l.client, l.server} }

// close ends both goroutines and engines.
func (l *link) close() {
	for _, e := range l.ends() {
		select {
		case <-e.stop:
		default:
			close(e.stop)
		}
		e.idle.Wait()
		e.Abort(nil)
	}
}

// run is how a program drives an engine.
func (e *end) run() {
	for {
		e.flush()
		select {
		case d := <-e.in:
			e.feed(d)
		case <-e.Ready():
			e.feed(nil)
		case <-e.stop:
			return
		}
	}
}

// feed opens a datagram, in one of the two ways that there are.
func (e *end) feed(d []byte) {
	messages, st, err := e.OpenBatch(nil, d, 0)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, m := range messages {
		e.got = append(e.got, bytes.Clone(m))
	}
	for ev := bio.Events(1); ev != 0; ev <<= 1 {
		if st.Events.Has(ev) {
			e.events[ev]++
		}
	}
	if e.err == nil {
		e.err = err
	}
	select {
	case e.moved <- struct{}{}:
	default:
	}
}

func (e *end) flush() {
	for more := true; more; {
		var d []byte
		if d, more = e.Flush(nil, 0); len(d) > 0 {
			e.send(d)
		}
	}
}

func (e *end) send(d []byte) {
	e.mu.Lock()
	nth := len(e.sent)
	e.sent = append(e.sent, bytes.Clone(d))
	e.mu.Unlock()
	if e.wire != nil {
		e.wire(d)
	} else {
		e.net.send(e, d, nth)
	}
}

// say seals a message and sends it.
func (e *end) say(t testing.TB, p []byte) {
	t.Helper()
	d, n, err := e.Seal(nil, p)
	if err != nil || n != len(p) {
		t.Fatalf("Seal of the %s took %d of %d bytes: %v", e.name, n, len(p), err)
	}
	e.send(d)
}

// until waits until done says so; done sees the end locked.
func (e *end) until(t testing.TB, what string, done func() bool) {
	t.Helper()
	const limit = 2 * time.Hour // in a bubble, time costs nothing
	patience := limit
	if !bubbled() {
		patience = 20 * time.Second
	}
	timeout := time.After(patience)
	for {
		e.mu.Lock()
		ok, err := done(), e.err
		e.mu.Unlock()
		if ok {
			return
		}
		if err != nil {
			t.Fatalf("the %s, waiting for %s: %v", e.name, what, err)
		}
		select {
		case <-e.moved:
		case <-timeout:
			t.Fatalf("the %s, waiting for %s: nothing comes (%v, %+v)", e.name, what, e.State().Phase, e.Stats())
		}
	}
}

// bubbled reports whether time is that of a synctest bubble.
func bubbled() bool { return time.Now().Year() < 2020 }

// handshake waits until both ends are open.
func (l *link) handshake(t testing.TB) {
	t.Helper()
	for _, e := range l.ends() {
		e.until(t, "the handshake", func() bool { return e.State().Phase == bio.PhaseOpen })
	}
}

// talk sends a message in each direction, as often as it takes, and waits until it is there.
func (l *link) talk(t testing.TB, p []byte) {
	t.Helper()
	for _, e := range l.ends() {
		arrived := func() bool {
			e.peer.mu.Lock()
			defer e.peer.mu.Unlock()
			for _, m := range e.peer.got {
				if bytes.Equal(m, p) {
					return true
				}
			}
			return false
		}
		for try := 0; !arrived(); try++ {
			if try > 1000 {
				t.Fatalf("a message of %d bytes from the %s does not arrive: %+v", len(p), e.name, e.peer.Stats())
			}
			e.say(t, p)
			time.Sleep(time.Millisecond)
		}
	}
}

// fails waits until an end has failed and returns its error.
func (e *end) fails(t testing.TB) error {
	t.Helper()
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		e.mu.Lock()
		err := e.err
		e.mu.Unlock()
		if err != nil {
			return err
		}
		if time.Since(start) > time.Hour || !bubbled() && time.Since(start) > 20*time.Second {
			t.Fatalf("the %s does not fail", e.name)
		}
	}
}

// noise returns n bytes that look like nothing, the same at every call.
func noise(n int) []byte {
	p := make([]byte, n)
	mrand.NewChaCha8([32]byte{'n'}).Read(p)
	return p
}
