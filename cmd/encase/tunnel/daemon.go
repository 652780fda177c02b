package tunnel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/encase-tls/encase/cmd/encase/conf"
	"github.com/encase-tls/encase/cmd/encase/confine"
	"github.com/encase-tls/encase/cmd/encase/control"
	"github.com/encase-tls/encase/tun"
	"github.com/encase-tls/encase/tun/carrier"
)

// A daemon is a tunnel that runs, and what is around it.
type daemon struct {
	load    func() (*config, conf.Problems) // reads the configuration again
	version string
	log     *slog.Logger
	level   slog.LevelVar
	started time.Time

	control *control.Server
	notify  notifier
	pair    atomic.Pointer[tls.Certificate]
	policy  policy
	steward *steward // nil: nothing to do
	tunnel  running
	server  *tun.Server     // nil: a client
	metrics io.Closer       // nil: none
	frames  *carrier.Device // nil: none are IP packets
	needs   confine.Needs   // once confined
	stop    context.CancelCauseFunc
	ending  sync.Once

	reloads sync.Mutex // one at a time
	base    *config    // that it was started with

	mu      sync.Mutex
	cfg     *config
	pending []string  // keys whose new values wait for a restart
	crlSeen time.Time // when the file that counts was changed
}

// A running is a tun.Server or a tun.Client.
type running interface {
	Run(context.Context) error
	Status() tun.Status
	Ping(ctx context.Context, name string) ([]tun.Pong, error)
	PathMTU(ctx context.Context, name string, search bool) ([]tun.PathMTU, error)
}

// errDown says that somebody has asked for the end.
var errDown = errors.New("taken down")

// newDaemon returns a daemon that does nothing yet.
func newDaemon(cfg *config, load func() (*config, conf.Problems), logs io.Writer, version string) *daemon {
	d := &daemon{base: cfg, cfg: cfg, load: load, version: version, started: time.Now(), notify: newNotifier()}
	d.level.Set(cfg.logLevel)
	d.log = newLogger(logs, &d.level, cfg.logFormat)
	d.pair.Store(&cfg.who.pair)
	d.policy.set(cfg)
	d.crlSeen = cfg.who.crlTime
	return d
}

// run holds the tunnel until ctx ends, a signal says so, or it cannot go on.
func (d *daemon) run(ctx context.Context, signals <-chan os.Signal) error {
	cfg := d.cfg
	var err error
	if d.control, err = control.Listen(cfg.controlAt); err != nil {
		return err
	}
	defer d.control.Close()
	ctx, d.stop = context.WithCancelCause(ctx)
	defer d.stop(nil)
	defer d.closeFrames()
	if err := d.prepare(cfg); err != nil {
		return err
	}
	defer d.tell(doRestore)
	if d.metrics, err = d.serveMetrics(cfg.metricsAt); err != nil {
		return err
	}
	if d.server != nil {
		d.tell(doPostUp)
	}
	if err := d.confine(cfg); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- d.tunnel.Run(ctx) }()
	go d.control.Serve(d.handle)
	d.notify.ready()
	defer d.notify.stopping()
	return d.attend(signals, ended)
}

// prepare makes the tunnel.
func (d *daemon) prepare(cfg *config) (err error) {
	if err := d.steward.ask(stewardRequest{Do: doBegin, Task: cfg.task()}); err != nil {
		d.log.Warn("name servers", "error", err)
	}
	os.MkdirAll(stateFolder(), 0o750) // whoever wants to write there and cannot says so
	if d.policy.bans, err = openBans(get[string](cfg.doc, "server.ban_file")); err != nil {
		return err
	}
	if err := d.openFrames(cfg); err != nil {
		return err
	}
	if cfg.side == server {
		if d.server, err = d.newServer(cfg); err == nil {
			d.tunnel = d.server
		}
	} else {
		d.tunnel, err = d.newClient(cfg)
	}
	if err != nil {
		return err
	}
	if err := d.keepOut(cfg); err != nil {
		d.stop(err) // the tunnel, which is made, ends in order
	}
	return nil
}

// stateFolder is where is kept what must outlive a crash.
func stateFolder() string {
	if folder := os.Getenv("STATE_DIRECTORY"); folder != "" { // systemd
		return folder
	}
	return "/var/lib/encase"
}

const (
	reviewEvery = time.Minute
	lookEvery   = 5 * time.Second
)

// attend does what is to be done while the tunnel runs.
func (d *daemon) attend(signals <-chan os.Signal, ended <-chan error) error {
	look := time.NewTicker(d.notify.interval(lookEvery))
	defer look.Stop()
	reviewed := time.Now()
	for {
		select {
		case err := <-ended: // also when ctx is over, and goodbye has been said
			if errors.Is(err, errDown) {
				return nil
			}
			return err
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				d.reload()
				continue
			}
			d.log.Info("stopping", "signal", sig.String())
			d.end()
		case now := <-look.C:
			d.notify.alive()
			if d.rereadRevocations() || now.Sub(reviewed) >= reviewEvery {
				reviewed = now
				d.review()
			}
		}
	}
}

// end begins the end; a client's hook is run by down.
func (d *daemon) end() {
	d.ending.Do(func() {
		d.notify.stopping()
		if d.server != nil {
			d.tell(doPreDown)
		}
		d.stop(errDown)
	})
}

func (d *daemon) config() *config {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cfg
}

// review sends those away that are not welcome any more, and warns of what will end.
func (d *daemon) review() {
	if r := d.policy.revocations(); r != nil && time.Until(r.expires()) < listExpiresSoon {
		d.log.Warn("the list of revoked certificates expires; then nobody is let in", "on", conf.Date(r.expires()))
	}
	if end := d.pair.Load().Leaf.NotAfter; time.Until(end) < conf.ExpiresSoon {
		d.log.Warn("the certificate of this end expires", "on", conf.Date(end))
	}
	if d.server != nil {
		if gone := d.server.Review(); gone > 0 {
			d.log.Info("clients sent away that are not welcome any more", "clients", gone)
		}
	}
}

// tell asks the steward for something whose failure does not end the tunnel.
func (d *daemon) tell(do string) {
	if err := d.steward.ask(stewardRequest{Do: do}); err != nil {
		d.log.Error(do, "error", err)
	}
}

// rereadRevocations takes over a list that has changed on disk, and reports whether there was one. While it cannot be
// read, the old one counts until it expires.
func (d *daemon) rereadRevocations() bool {
	cfg := d.config()
	if cfg.fields.crl == "" {
		return false
	}
	changed := modified(cfg.fields.crl)
	d.mu.Lock()
	same := changed.IsZero() || changed.Equal(d.crlSeen)
	if !same {
		d.crlSeen = changed
	}
	d.mu.Unlock()
	if same {
		return false
	}
	r, err := loadRevocations(cfg.fields.crl, cfg.who.authorities)
	if err != nil {
		d.log.Error("the list of revoked certificates cannot be read; the one from before counts", "error", err)
		return false
	}
	d.policy.mu.Lock()
	d.policy.revoked = r
	d.policy.mu.Unlock()
	d.log.Info("the list of revoked certificates has changed", "revoked", len(r.serials), "expires", conf.Date(r.expires()))
	return true
}

// reload takes over what can be changed while the tunnel runs, or, if something is wrong, nothing. The text is for
// people.
func (d *daemon) reload() (string, error) {
	d.reloads.Lock()
	defer d.reloads.Unlock()
	d.notify.reloading()
	defer d.notify.ready()
	next, found := d.load()
	for _, p := range found.Warnings() {
		d.log.Warn("configuration", "at", p.Place.String(), "problem", p.Text)
	}
	if next == nil {
		var e *conf.Error
		errors.As(found.Err(), &e)
		for _, p := range e.Mistakes {
			d.log.Error("configuration", "at", p.Place.String(), "problem", p.Text)
		}
		d.log.Error("not reloaded: everything goes on as it was", "mistakes", len(e.Mistakes))
		return "", fmt.Errorf("not reloaded, everything goes on as it was:\n%w%s", e, d.hidden())
	}
	now, _ := changes(d.config(), next)
	_, later := changes(d.base, next)
	d.take(next, later)
	d.log.Info("reloaded", "changed", now, "needs_restart", later)
	d.review()
	return describe(now, later), nil
}

// take makes the live part of a configuration count.
func (d *daemon) take(next *config, later []string) {
	d.mu.Lock()
	d.cfg, d.pending, d.crlSeen = next.withRestartPartOf(d.base), later, next.who.crlTime
	d.mu.Unlock()
	d.level.Set(next.logLevel)
	d.pair.Store(&next.who.pair)
	d.policy.set(next)
	if d.server != nil {
		if err := d.server.SetPush(next.push.tun()); err != nil {
			d.log.Error("clients are not told what has changed", "error", err)
		}
	}
}
