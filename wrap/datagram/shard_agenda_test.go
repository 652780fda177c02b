package datagram

import (
	"io"
	"testing"
	"time"
)

// TestAgenda compares the heap with what is plain.
func TestAgenda(t *testing.T) {
	var a agenda
	base, in := time.Unix(1000, 0), map[*peer]bool{}
	random := noise(4000, 5)
	for i, b := range random {
		switch {
		case b%3 > 0 || len(in) == 0:
			p := &peer{}
			a.put(p, base.Add(time.Duration(random[(i*7)%4000])*time.Second))
			in[p] = true
		case b%2 == 0:
			for p := range in {
				a.put(p, base.Add(time.Duration(b)*time.Second))
				break
			}
		default:
			for p := range in {
				a.remove(p)
				a.remove(p)
				delete(in, p)
				break
			}
		}
	}
	last := time.Time{}
	for at, ok := a.next(); ok; at, ok = a.next() {
		if at.Before(last) || !in[a[0]] || a[0].turn != 1 {
			t.Fatal("out of order, or not to be there")
		}
		last = at
		delete(in, a[0])
		a.remove(a[0])
	}
	if len(in) != 0 {
		t.Errorf("%d are lost", len(in))
	}
}

// TestListenerIdle ends who is idle, and tells it.
func TestListenerIdle(t *testing.T) {
	client, server := configs(t, "")
	server.IdleTimeout, server.PeerTimeout = 400*time.Millisecond, 200*time.Millisecond
	ends := make(chan error, 10)
	l := listen(t, server, ListenOptions{Closed: func(_ *Conn, why error) { ends <- why }})
	idle := dial(t, l, client)
	if why := <-ends; why != ErrIdle {
		t.Errorf("an idle peer: %v", why)
	}
	idle.SetReadDeadline(time.Now().Add(patience))
	if _, err := idle.Read(nil); err != io.EOF {
		t.Errorf("it hears %v", err)
	}
	if s := l.Stats(); s.Idle != 1 || s.Silent != 0 || s.Peers != 0 {
		t.Errorf("%+v", s)
	}
}

// TestListenerSilent ends who does not answer.
func TestListenerSilent(t *testing.T) {
	client, server := configs(t, "")
	server.PeerTimeout = 200 * time.Millisecond
	ends := make(chan error, 10)
	l := listen(t, server, ListenOptions{Closed: func(_ *Conn, why error) { ends <- why }})
	dial(t, l, client)
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	stop := time.After(patience)
	for why := error(nil); why == nil; {
		c.Write([]byte("are you there?"))
		select {
		case why = <-ends:
			if why != ErrPeerSilent {
				t.Errorf("a silent peer: %v", why)
			}
		case <-time.After(20 * time.Millisecond):
		case <-stop:
			t.Fatal("a silent peer stays")
		}
	}
	if s := l.Stats(); s.Idle != 0 || s.Silent != 1 || s.Peers != 0 {
		t.Errorf("%+v", s)
	}
}
