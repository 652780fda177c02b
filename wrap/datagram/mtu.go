package datagram

import (
	"fmt"
	"math"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/udp"
)

// maxPayload is the longest datagram there is.
const maxPayload = udp.MaxDatagram

// fit takes in what framing and output need and allow, and returns how many bytes of DTLS fit a datagram.
func (c *Conn) fit() int {
	own, below := c.codec.lim, c.out.limits()
	c.codec.room = own
	c.codec.room.Head += below.Head
	c.codec.room.Tail += below.Tail
	mtu := c.cfg.mtu()
	if c.codec.stream && c.cfg.MTU <= 0 {
		mtu = min(own.MaxFrame(), c.cfg.maxFrame())
	}
	if below.Max > 0 {
		mtu = min(mtu, below.Max)
	}
	c.configured = min(mtu, math.MaxInt32)
	c.mtu.Store(int32(c.configured))
	return c.recordIn(mtu)
}

// recordIn returns how many bytes of DTLS fit a frame of mtu bytes.
func (c *Conn) recordIn(mtu int) int {
	own := c.codec.lim
	return min(own.Max, mtu-own.Head-own.Tail)
}

// roomIn returns how long a message may be if datagrams may be of mtu bytes.
func (c *Conn) roomIn(mtu int) int {
	return max(min(bio.MaxPlaintext, c.recordIn(mtu)-int(c.overhead.Load())), 0)
}

// MTU returns how long a message may be, in bytes: what a datagram holds, less what codec and DTLS add. It may become
// less when the network says so. Before the handshake is done it does not know what DTLS adds, and returns 0.
func (c *Conn) MTU() int {
	if c.overhead.Load() == 0 {
		return 0
	}
	return c.roomIn(int(c.mtu.Load()))
}

// ConfiguredMTU returns how long a message may be as Config has it, in bytes, whatever the network and SetMTU have said
// since; 0 before the handshake is done.
func (c *Conn) ConfiguredMTU() int {
	if c.overhead.Load() == 0 {
		return 0
	}
	return c.roomIn(c.configured)
}

// Overhead returns how many bytes codec and DTLS add to a message at most; 0 before the handshake is done. So a message of
// n bytes needs SetMTU(n + Overhead()).
func (c *Conn) Overhead() int {
	own := int(c.overhead.Load())
	if own == 0 {
		return 0
	}
	return own + c.codec.lim.Head + c.codec.lim.Tail
}

// SetMTU sets the longest datagram to send, in bytes, headers of IP and UDP not counted, as Config.MTU. It does not
// change what the socket and routers on the way let pass: see Probe.
func (c *Conn) SetMTU(datagram int) error {
	if n := c.recordIn(datagram); n < minRecord || datagram > math.MaxInt32 {
		return fmt.Errorf("datagram: SetMTU(%d): that leaves %d bytes for DTLS, at least %d are needed",
			datagram, n, minRecord)
	}
	c.mtu.Store(int32(datagram))
	return nil
}

// everyPath is what every path carries in one datagram. https://www.rfc-editor.org/rfc/rfc1122#section-3.3.2
const everyPath = 576 - 20 - 8

// narrow takes in that a datagram was too long for the path.
func (c *Conn) narrow(big *udp.TooBigError) {
	most := big.MaxPayload()
	switch {
	case most > 0:
	case big.Size > int(c.mtu.Load()): // a probe: it says nothing of what is shorter
		return
	case big.Size <= everyPath: // ICMP, of a longer one that left before
		return
	case big.Size <= wrap.DefaultMTU: // nobody knows
		most = everyPath
	default:
		most = wrap.DefaultMTU
	}
	most = max(most, int(c.codec.lim.Head+c.codec.lim.Tail)+minRecord)
	for {
		old := c.mtu.Load()
		if int(old) <= most {
			return
		}
		if c.mtu.CompareAndSwap(old, int32(most)) {
			c.narrowed.Store(true) // told without a lock
			return
		}
	}
}
