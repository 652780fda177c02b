package tun

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/encase-tls/encase/tun/tuntest"
)

// Operators ping from either end, and what is pushed changes for those who come later.
func TestWhileItRuns(t *testing.T) {
	r := newRig(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), tuntest.Patience)
	defer cancel()
	if _, err := r.server.Ping(ctx, "alice.test"); !errors.Is(err, ErrNoSession) {
		t.Errorf("a ping of nobody: %v", err)
	}
	route := netip.MustParsePrefix("10.77.0.0/16")
	r.server.SetPush(Push{Routes: []netip.Prefix{route}})
	c := r.client("alice.test", nil, Stream)
	c.address()
	for who, ping := range map[string]func(context.Context, string) ([]Pong, error){"server": r.server.Ping,
		"client": c.client.Ping} {
		list, err := ping(ctx, "alice.test")
		if err != nil || len(list) != 1 || list[0].Carrier != "stream" || list[0].RTT <= 0 || list[0].Error != "" {
			t.Errorf("%s: %+v, %v", who, list, err)
		}
	}
	if routes := c.ns.IP("route", "show", "10.77.0.0/16"); routes == "" {
		t.Error("the client has no route to what was pushed")
	}
}

// Who is refused cannot replace the connection of a session either.
func TestAuthorizeEachConnection(t *testing.T) {
	var refuse atomic.Bool
	r := newRig(t, func(c *ServerConfig) {
		c.Rekey = time.Second
		c.Authorize = func(Identity) (Grant, error) {
			if refuse.Load() {
				return Grant{}, errors.New("not any more")
			}
			return Grant{}, nil
		}
	})
	c := r.client("alice.test", nil, Stream)
	c.address()
	refuse.Store(true)
	tuntest.Eventually(t, "the new connection is refused", func() bool { return r.server.Status().Refused > 0 })
}
