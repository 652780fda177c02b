// Package control is how the commands of encase talk with a daemon that holds a tunnel: one request and one answer,
// each a line of JSON, over a Unix socket that is for its owner alone.
package control

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/encase-tls/encase/cmd/encase/confine"
	"github.com/encase-tls/encase/tun"
)

// What a request may ask for.
const (
	Status = "status" // Answer.Status
	Leases = "leases" // Answer.Leases
	Kick   = "kick"   // Who, Text
	Ban    = "ban"    // Who, For
	Unban  = "unban"  // Who
	Bans   = "bans"   // Answer.Bans
	Ping   = "ping"   // Who; Answer.Pongs
	MTU    = "mtu"    // Who, Search; Answer.Paths
	Reload = "reload" // Answer.Text
	Down   = "down"
)

// A Request is what a command asks for.
type Request struct {
	Do   string  `json:"do"`
	Who  string  `json:"who,omitempty"`  // the name of a client; for a ban, or an address or network
	Text string  `json:"text,omitempty"` // told to the client
	For  float64 `json:"for,omitempty"`  // seconds; 0: for ever
	// Search has what is asked for searched anew.
	Search bool `json:"search,omitempty"`
}

// An Answer is what the daemon says to it: an error, or what was asked for.
type Answer struct {
	Error  string       `json:"error,omitempty"`
	Text   string       `json:"text,omitempty"` // for people
	Status *State       `json:"status,omitempty"`
	Leases []LeaseEntry `json:"leases,omitempty"`
	Bans   []BanEntry   `json:"bans,omitempty"`
	Pongs  []tun.Pong   `json:"pongs,omitempty"`

	Paths []tun.PathMTU `json:"paths,omitempty"`
}

// A BanEntry is somebody who is kept out.
type BanEntry struct {
	Who   string    `json:"who"` // a name, an address or a network
	Since time.Time `json:"since"`
	Until time.Time `json:"until,omitzero"` // zero: for ever
}

// A LeaseEntry is a client and its addresses.
type LeaseEntry struct {
	Client    string       `json:"client"`
	Addresses []netip.Addr `json:"addresses"`
	Connected bool         `json:"connected"`
	Seen      time.Time    `json:"seen"` // when it has come or gone
}

// A State is a daemon and its tunnel.
type State struct {
	tun.Status
	Version    string        `json:"version"`
	PID        int           `json:"pid"`
	Config     string        `json:"config"` // the file
	Started    time.Time     `json:"started"`
	Now        time.Time     `json:"now"`
	CRLExpires time.Time     `json:"crl_expires,omitzero"`
	Expires    time.Time     `json:"certificate_expires"`
	DNS        string        `json:"dns,omitempty"` // how name servers were set
	Pending    []string      `json:"needs_restart,omitempty"`
	Confined   confine.State `json:"confined"`
}

const (
	maxRequest = 64 << 10 // bytes; nothing that a request holds is long
	maxAnswer  = 64 << 20 // many clients
	patience   = 30 * time.Second
)

// readRequest reads one request. Whatever else comes is an error, which tells the other end what is wrong.
func readRequest(r io.Reader) (q Request, err error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxRequest)).ReadBytes('\n')
	switch {
	case len(line) == maxRequest:
		return q, fmt.Errorf("control: a request of more than %d bytes", maxRequest)
	case err != nil && !errors.Is(err, io.EOF):
		return q, fmt.Errorf("control: %w", err)
	case len(line) == 0:
		return q, errors.New("control: there is no request")
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		return q, fmt.Errorf("control: not a request: %w", err)
	}
	if d.More() {
		return q, errors.New("control: something follows the request")
	}
	const year = 366 * 24 * 3600
	if q.For < 0 || q.For > 100*year {
		return q, fmt.Errorf("control: a ban for %v seconds", q.For)
	}
	return q, nil
}
