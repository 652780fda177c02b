package datagram

import "testing"

// connect returns both ends of a new connection over UDP.
func connect(tb testing.TB, client, server *Config) (c, s *Conn) {
	tb.Helper()
	return newHost(tb, server).dial(client)
}

func TestEcho(t *testing.T) {
	client, server := configs(t, "")
	c, s := connect(t, client, server)
	buf := make([]byte, 100)
	for range 3 {
		if _, err := c.Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		n, err := s.Read(buf)
		if err != nil || string(buf[:n]) != "ping" {
			t.Fatal(n, err)
		}
		s.Write([]byte("pong"))
		n, err = c.Read(buf)
		if err != nil || string(buf[:n]) != "pong" {
			t.Fatal(n, err)
		}
	}
}
