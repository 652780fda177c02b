package carrier

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/encase-tls/encase/tun/device"
	"github.com/encase-tls/encase/tun/packet"
)

// A Config says what a Device is like.
type Config struct {
	// Name of the interface, at most 15 bytes; empty means "carrier%d", which the kernel numbers.
	Name string
	// Addresses are those of this end, at least one. They must not be the machine's. With several of one family, several
	// Conns to one peer, such as one that replaces another, can have one each.
	Addresses []netip.Addr
	// MTU is the longest packet, in bytes; 0 means DefaultMTU. What the kernel hands over and is longer, the kernel
	// answers as routers do, and its sender learns.
	MTU int
	// Queue is how many bytes of frames, as they lie in memory, may wait for each Conn; 0 means DefaultQueue.
	Queue int
	// Warn, if set, is told of what will keep frames from arriving, such as a machine that does not forward.
	Warn func(error)
}

const (
	// DefaultMTU is that of Ethernet.
	DefaultMTU = 1500
	// DefaultQueue is what bursts need.
	DefaultQueue = 4 << 20

	defaultName = "carrier%d"
	leastMTU    = least4
)

func (c *Config) check() error {
	if len(c.Addresses) == 0 {
		return errors.New("carrier: Config.Addresses is empty; give this end an address, such as 198.18.0.2")
	}
	least := leastMTU
	for i, a := range c.Addresses {
		if err := CheckAddress(a); err != nil {
			return err
		}
		if slices.Contains(c.Addresses[:i], a) {
			return fmt.Errorf("carrier: %v is in Config.Addresses twice", a)
		}
		if a.Is6() {
			least = least6
		}
	}
	if c.MTU != 0 && (c.MTU < least || c.MTU > packet.MaxLen) {
		return fmt.Errorf("carrier: Config.MTU is %d, want %d to %d", c.MTU, least, packet.MaxLen)
	}
	return nil
}

// CheckName says what is wrong with the name of an interface.
func CheckName(name string) error { return device.CheckName(name) }

// A Device is a TUN interface whose packets hold frames. All methods may be called at any time.
type Device struct {
	dev   *device.Device
	queue *device.Queue
	host  *host
	mtu   int
	own   []netip.Addr
	limit int
	stats counters
	paths paths

	writing sync.Mutex // guards the next
	room    []byte

	mu        sync.RWMutex // guards the next two
	listening map[netip.Addr]*Conn
	dialed    map[pair][]*Conn

	ending sync.Once
	ended  chan struct{} // closed when nothing is received any more
	why    error         // valid then
}

// A pair is the two ends of a Conn that has a peer.
type pair struct{ local, peer netip.Addr }

// Open makes the interface, and leads packets for its addresses to it: with routes and rules of its own, which Close
// takes away, in the network namespace of the calling thread. It needs CAP_NET_ADMIN. That the machine as a whole
// forwards is left to who runs it: Config.Warn is told if it does not.
func Open(cfg Config) (*Device, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	dev, err := device.Open(device.Config{Name: cmp.Or(cfg.Name, defaultName), Offloads: &device.Offloads{}})
	if err != nil {
		return nil, fmt.Errorf("carrier: %w", err)
	}
	d := &Device{
		dev: dev, queue: dev.Queues()[0], mtu: cmp.Or(cfg.MTU, DefaultMTU), own: slices.Clone(cfg.Addresses),
		limit: cmp.Or(cfg.Queue, DefaultQueue), room: make([]byte, device.Headroom+packet.MaxLen),
		listening: map[netip.Addr]*Conn{}, dialed: map[pair][]*Conn{}, ended: make(chan struct{}),
	}
	if d.host, err = openHost(dev.Name(), dev.Index(), d.mtu, d.own); err != nil {
		dev.Close()
		return nil, err
	}
	if err := CheckForwarding(d.Name(), d.own); err != nil && cfg.Warn != nil {
		cfg.Warn(err)
	}
	go d.run()
	return d, nil
}

// Name returns the name of the interface.
func (d *Device) Name() string { return d.dev.Name() }

// Addresses returns the addresses of this end, which the caller must not change.
func (d *Device) Addresses() []netip.Addr { return d.own }

// Avoid makes the interface with a number, such as that of a tunnel in these frames, one that frames never leave by,
// whatever the routes.
func (d *Device) Avoid(index int) error { return d.host.avoid(index) }

// Ended is closed when nothing is received any more: after Close, or because the interface is gone, as Err tells.
func (d *Device) Ended() <-chan struct{} { return d.ended }

// ErrGone is wrapped by the errors of a Device whose interface somebody has deleted, and of its Conns.
var ErrGone = errors.New("carrier: the interface is gone")

// Err returns why nothing is received any more: net.ErrClosed after Close, or what wraps ErrGone. It is nil before.
func (d *Device) Err() error {
	select {
	case <-d.ended:
		return d.why
	default:
		return nil
	}
}

// Listen returns a Conn for what anybody sends to one of the addresses, except those who a Conn of Dial hears.
func (d *Device) Listen(local netip.Addr) (*Conn, error) {
	if !slices.Contains(d.own, local) {
		return nil, fmt.Errorf("carrier: %v is not among the addresses of %s, which are %v", local, d.Name(), d.own)
	}
	c := &Conn{d: d, local: local, queue: newQueue(d.limit)}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listening[local] != nil {
		return nil, fmt.Errorf("carrier: %v is listened on already; close that Conn first", local)
	}
	if err := d.Err(); err != nil {
		return nil, err
	}
	d.listening[local] = c
	return c, nil
}

// Dial returns a Conn that sends to one peer and hears only it. Its address is the one of this end that has the fewest
// Conns to that peer. When it has others, all of them get what the peer sends there, and take what is theirs: DTLS can.
func (d *Device) Dial(peer netip.Addr) (*Conn, error) {
	peer = peer.Unmap()
	if err := CheckAddress(peer); err != nil {
		return nil, err
	}
	same := func(a netip.Addr) bool { return a.Is4() == peer.Is4() }
	switch {
	case slices.Contains(d.own, peer):
		return nil, fmt.Errorf("carrier: %v is an address of this end", peer)
	case !slices.ContainsFunc(d.own, same):
		return nil, fmt.Errorf("carrier: %v cannot be reached from %v: give this end an address of that family", peer, d.own)
	}
	if err := d.host.reach(peer); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.Err(); err != nil {
		return nil, err
	}
	local := d.choose(peer)
	c := &Conn{d: d, local: local, peer: peer, queue: newQueue(d.limit)}
	at := pair{local, peer}
	d.dialed[at] = append(slices.Clone(d.dialed[at]), c)
	return c, nil
}

// choose returns the address to reach a peer from; there is one.
func (d *Device) choose(peer netip.Addr) (best netip.Addr) {
	least := 0
	for _, a := range d.own {
		if n := len(d.dialed[pair{a, peer}]); a.Is4() == peer.Is4() && (!best.IsValid() || n < least) {
			best, least = a, n
		}
	}
	return best
}

// forget takes a Conn that was closed out of the tables.
func (d *Device) forget(c *Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listening[c.local] == c {
		delete(d.listening, c.local)
		return
	}
	at := pair{c.local, c.peer}
	rest := slices.DeleteFunc(slices.Clone(d.dialed[at]), func(o *Conn) bool { return o == c })
	if len(rest) == 0 {
		delete(d.dialed, at)
	} else {
		d.dialed[at] = rest
	}
}

// Close ends all Conns and takes the interface away. It returns what could not be taken away with it.
func (d *Device) Close() error {
	err := net.ErrClosed
	d.ending.Do(func() {
		d.dev.Close()
		<-d.ended
		err = d.host.close()
	})
	return err
}

// end makes it known that nothing comes any more.
func (d *Device) end(why error) {
	d.mu.Lock()
	d.why = why
	close(d.ended)
	var all []*Conn
	for _, c := range d.listening {
		all = append(all, c)
	}
	for _, list := range d.dialed {
		all = append(all, list...)
	}
	d.mu.Unlock()
	for _, c := range all {
		c.queue.end(why)
	}
}
