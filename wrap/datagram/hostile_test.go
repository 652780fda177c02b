package datagram

import (
	"crypto/rand"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/wrap/datagram/lossy"
)

// TestHostile has somebody on the path who can send with either end's address: plaintext alerts, what has come before,
// garbage, and the same cut short. All is counted and changes nothing.
func TestHostile(t *testing.T) {
	for _, codec := range []string{"", "length:16be", "channeldata:udp"} {
		client, server := configs(t, codec)
		var mu sync.Mutex
		var sent [2][][]byte
		relay, c, s := throughRelay(t, client, server, lossy.Conditions{}, func(toServer bool, p []byte) {
			mu.Lock()
			defer mu.Unlock()
			way := map[bool]int{false: 0, true: 1}[toServer]
			sent[way] = append(sent[way], append([]byte(nil), p...))
		})
		ping(t, c, s)
		mu.Lock()
		recorded := sent
		mu.Unlock()
		attack := func(send func(p []byte), recorded [][]byte) {
			count := 0
			for _, p := range append(recorded, foul(c)...) {
				for _, cut := range []int{len(p), len(p) / 2, len(p) - 1, 1, 0} {
					send(p[:min(max(cut, 0), len(p))])
				}
				if count++; count%10 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		}
		attack(relay.ToServer, recorded[1])
		attack(relay.ToClients, recorded[0])
		time.Sleep(50 * time.Millisecond)
		for range 3 {
			ping(t, c, s)
		}
		for name, end := range map[string]*Conn{"client": c, "server": s} {
			if n := end.Stats().MessagesIn; n != 4 {
				t.Errorf("%q: %d messages for the %s, want 4", codec, n, name)
			}
			e := end.Engine().(*dtls.Engine).Stats()
			if e.Plaintext == 0 || e.Replayed == 0 || e.Forged == 0 || e.Malformed == 0 {
				t.Errorf("%q: the %s's engine counts %+v", codec, name, e)
			}
			if n := end.Stats().Malformed; (n > 0) != (codec != "") {
				t.Errorf("%q: the %s's codec refuses %d frames", codec, name, n)
			}
		}
		goodbye(t, c, s)
	}
}

// foul returns datagrams that nobody should send, in the framing of c.
func foul(c *Conn) (list [][]byte) {
	record := func(typ, epoch byte, seq byte, body ...byte) []byte {
		p := append([]byte{typ, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, seq, 0, byte(len(body))}, body...)
		switch {
		case c.codec.send != nil:
			return append([]byte{0, byte(len(p))}, p...)
		case c.codec.mach != nil:
			return append([]byte{0x40, 0, 0, byte(len(p))}, p...)
		}
		return p
	}
	garbage := make([]byte, 60)
	rand.Read(garbage)
	return [][]byte{
		record(21, 0, 9, 1, 0),                                // close_notify
		record(21, 0, 10, 2, 40),                              // handshake_failure
		record(21, 1, 200, 2, 40),                             // as if it were protected
		record(23, 1, 100, garbage...),                        // a forgery
		record(23, 1, 101),                                    // without content
		record(23, 2, 102, garbage...),                        // of an epoch that there is not
		record(22, 0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), // HelloRequest
		record(20, 0, 12, 1),
		garbage, garbage[:13], {}, make([]byte, 2000),
	}
}

// TestSlowReader has two clients of one server, of which one is not read: its messages are dropped at the limit, the
// newest, and counted, and those of the other arrive.
func TestSlowReader(t *testing.T) {
	client, server := configs(t, "")
	server.Queue = 10 << 10
	h := newHost(t, server)
	slow, unread := h.dial(client)
	fast, read := h.dial(client)
	const count, size = 100, 1000
	for i := range count {
		p := noise(size, uint64(i))
		if _, err := slow.Write(p); err != nil {
			t.Fatal(err)
		}
		ping(t, fast, read)
	}
	deadline := time.Now().Add(5 * time.Second)
	for unread.Stats().MessagesIn < count && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if n := unread.Stats().Dropped; n != uint64(count-server.Queue/size) {
		t.Errorf("%d messages are dropped: %+v", n, unread.Stats())
	}
	buf := make([]byte, 2000)
	for i := range server.Queue / size { // the oldest are there
		if n, err := unread.Read(buf); err != nil || string(buf[:n]) != string(noise(size, uint64(i))) {
			t.Fatalf("message %d: %d bytes, %v", i, n, err)
		}
	}
	ping(t, slow, unread)
}
