package main

import (
	"crypto/tls"
	"slices"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// bufferLen bounds each of the four buffers, give or take one record. A memory BIO of OpenSSL has no such bound: it
// grows for as long as the peer sends faster than anybody reads.
const bufferLen = 32 << 10

// A party is one end of a TLS connection: an engine between four buffers, and two callbacks that empty two of them.
//
//	network ──▶ cipherReceive ──▶ Open ─────────▶ clearReceive ──▶ onClear
//	onCipher ◀── cipherSend ◀── Seal, Flush ◀──── clearSend ◀──── application
type party struct {
	engine bio.Engine

	cipherReceive []byte // filled by BIO_write(rbio, ..)
	cipherSend    []byte // emptied by BIO_read(wbio, ..)
	clearReceive  []byte // filled by SSL_read
	clearSend     []byte // emptied by SSL_write

	onCipher func(p []byte) (n int, err error) // takes bytes for the peer, as wolfSSL_SetIOSend's: perhaps not all
	onClear  func(p []byte) (n int, err error) // takes bytes for the application: perhaps not all

	closing bool  // close_notify follows what is in clearSend
	err     error // what has ended this end; the first counts
}

func newParty(cfg *tls.Config, role frame.Role) (*party, error) {
	engines, err := bio.TLS(&bio.Config{TLS: cfg}) // SSL_CTX_new; one serves many connections
	if err != nil {
		return nil, err
	}
	engine, err := engines(role) // SSL_new, SSL_set_connect_state or SSL_set_accept_state
	if err != nil {
		return nil, err
	}
	return &party{engine: engine}, nil
}

// receive gives the party bytes from the peer, and write gives it bytes from the application. Both return how many
// bytes there was room for: the rest is the caller's, for later.
func (p *party) receive(b []byte) int { return fill(&p.cipherReceive, b) }
func (p *party) write(b []byte) int   { return fill(&p.clearSend, b) }

func fill(buf *[]byte, b []byte) int {
	n := min(len(b), max(0, bufferLen-len(*buf)))
	*buf = append(*buf, b[:n]...)
	return n
}

// step moves bytes as far as they go and returns how many moved. There is no WANT_READ and no WANT_WRITE: an engine
// takes what it can and says what it has. The one rule is to flush after everything, also after an error.
func (p *party) step() (moved int) {
	if p.err == nil {
		moved += p.open() + p.seal()
	}
	return moved + p.flush() + p.deliver()
}

// open decrypts (SSL_do_handshake, SSL_read). The application must take what it has before it gets more: that is what
// bounds clearReceive, and in the end makes the peer wait.
func (p *party) open() int {
	if len(p.cipherReceive) == 0 || len(p.clearReceive) > 0 {
		return 0
	}
	plain, status, err := p.engine.Open(p.clearReceive, p.cipherReceive)
	p.clearReceive = plain
	p.cipherReceive = slices.Delete(p.cipherReceive, 0, status.Consumed)
	p.failed(err)
	return status.Consumed
}

// seal encrypts (SSL_write), one record at a time, as long as there is room, and closes at the end (SSL_shutdown).
func (p *party) seal() (moved int) {
	if p.engine.State().Phase != bio.PhaseOpen {
		return 0 // the handshake comes first; what the application has written waits
	}
	for len(p.clearSend) > 0 && len(p.cipherSend) < bufferLen && p.err == nil {
		records, n, err := p.engine.Seal(p.cipherSend, p.clearSend)
		p.cipherSend = records
		p.clearSend = slices.Delete(p.clearSend, 0, n) // what Seal took, not what that became: records are longer
		p.failed(err)
		moved += n
	}
	if p.closing && len(p.clearSend) == 0 {
		p.failed(p.engine.CloseWrite())
	}
	return moved
}

// flush sends what the engine has to say by itself (handshake, session tickets, key updates, alerts) and what seal
// made.
func (p *party) flush() int {
	for more := true; more && len(p.cipherSend) < bufferLen; {
		p.cipherSend, more = p.engine.Flush(p.cipherSend, 0)
	}
	return p.hand(&p.cipherSend, p.onCipher)
}

// deliver gives the application what was decrypted, also what came before an error.
func (p *party) deliver() int { return p.hand(&p.clearReceive, p.onClear) }

// hand gives buf to a callback and keeps what that does not take.
func (p *party) hand(buf *[]byte, callback func([]byte) (int, error)) int {
	if len(*buf) == 0 {
		return 0
	}
	n, err := callback(*buf)
	*buf = slices.Delete(*buf, 0, n)
	p.failed(err)
	return n
}

// failed notes what has ended this end, unless something else has before.
func (p *party) failed(err error) {
	if p.err == nil {
		p.err = err
	}
}

// drained reports whether the application has nothing left to take or to send.
func (p *party) drained() bool { return len(p.clearReceive) == 0 && len(p.clearSend) == 0 }
