package tunnel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/encase-tls/encase/cmd/encase/confine"
	"github.com/encase-tls/encase/cmd/encase/control"
	"github.com/encase-tls/encase/tun/wire"
)

// searchPatience is how long a search for the path MTU is waited for: less than who asks waits for the answer. What has
// been found by then is the answer.
const searchPatience = 25 * time.Second

// handle answers requests over the control socket.
func (d *daemon) handle(ctx context.Context, q control.Request) (a control.Answer) {
	var err error
	switch q.Do {
	case control.Status:
		s := d.state()
		a.Status = &s
	case control.Reload:
		a.Text, err = d.reload()
	case control.Down:
		a.Text = "going down"
		go d.end()
	case control.Ping:
		a.Pongs, err = d.tunnel.Ping(ctx, q.Who)
	case control.MTU:
		ctx, cancel := context.WithTimeout(ctx, searchPatience)
		defer cancel()
		a.Paths, err = d.tunnel.PathMTU(ctx, q.Who, q.Search)
	case control.Leases, control.Kick, control.Ban, control.Unban, control.Bans:
		if d.server == nil {
			err = errors.New("this end is a client, only a server has clients")
			break
		}
		a, err = d.handleServer(q)
	default:
		err = fmt.Errorf("the daemon does not know %q; is it older than the command?", q.Do)
	}
	if err != nil {
		return control.Answer{Error: err.Error()}
	}
	return a
}

func (d *daemon) handleServer(q control.Request) (a control.Answer, err error) {
	now := time.Now()
	switch q.Do {
	case control.Leases:
		for _, l := range d.server.Leases() {
			a.Leases = append(a.Leases, control.LeaseEntry{Client: l.Client, Addresses: l.Addresses, Connected: l.InUse,
				Seen: l.Seen})
		}
	case control.Bans:
		a.Bans = d.policy.bans.all()
	case control.Kick:
		if !d.server.Kick(q.Who, wire.Bye{Reason: wire.ReasonKicked, Text: q.Text}) {
			return a, fmt.Errorf("%s is not connected; see: encase status", q.Who)
		}
		a.Text = q.Who + " is sent away"
	case control.Ban:
		if q.Who == "" {
			return a, errors.New("say whom to ban: a name, an address or a network")
		}
		if err := d.policy.bans.add(q.Who, time.Duration(q.For*float64(time.Second)), now); err != nil {
			return a, err
		}
		d.log.Info("banned", "who", q.Who)
		a.Text = fmt.Sprintf("%s is banned; %d sessions ended", q.Who, d.server.Review())
	case control.Unban:
		found, err := d.policy.bans.remove(q.Who, now)
		if err != nil {
			return a, err
		}
		if !found {
			return a, fmt.Errorf("%s is not banned; see: encase ban list", q.Who)
		}
		a.Text = q.Who + " is not banned any more"
	}
	return a, nil
}

func (d *daemon) state() control.State {
	d.mu.Lock()
	cfg, pending := d.cfg, slices.Clone(d.pending)
	d.mu.Unlock()
	now := time.Now()
	started := now.Add(-now.Sub(d.started)).Round(0) // by the clock as it goes now: it may have been set
	s := control.State{Status: d.tunnel.Status(), Version: d.version, PID: os.Getpid(), Config: cfg.doc.file,
		Started: started, Now: now, Expires: d.pair.Load().Leaf.NotAfter, DNS: d.steward.inUse(), Pending: pending,
		Confined: confine.Look()}
	if len(s.Sessions) > 0 && d.server == nil && cfg.peer != "" {
		s.Sessions[0].Peer = cfg.peer
	}
	if r := d.policy.revocations(); r != nil {
		s.CRLExpires = r.expires()
	}
	return s
}
