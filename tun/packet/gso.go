package packet

// A Kind says whether a packet is one or many.
type Kind uint8

const (
	Single Kind = iota // one packet, as it is
	TCP4               // TCP over IPv4, to be cut
	TCP6               // TCP over IPv6
	UDP4               // datagrams of UDP over IPv4
	UDP6               // and over IPv6
)

// GSO says what is left to do to a packet before it can go over a network that knows no offloads ("generic segmentation
// offload"). The zero value says: nothing.
type GSO struct {
	Kind Kind
	// Partial says that the transport's checksum is still to be computed: its field holds the sum of the pseudo header.
	// It is always so for what is to be cut.
	Partial bool
	// ECN says that the first segment of TCP, and no other, has the flag CWR.
	// https://www.rfc-editor.org/rfc/rfc3168#section-6.1.2
	ECN bool
	// Size is the payload, in bytes, of each segment but the last, which may be shorter.
	Size uint16
}

// MaxSegments is how many packets a super-packet may stand for: enough for segments of 64 bytes. More of them are work
// that nobody has a use for but who wants to make some.
const MaxSegments = 1024

// MaxUDPSegments is how many datagrams Linux takes in one packet: 64 before version 6.9.
const MaxUDPSegments = 64

// Check reports whether g can be true of the packet p, whose headers are h, and whether p may travel whole. Who takes a
// super-packet from somebody else calls it before anything looks at g: the kernel's own checks have had holes. The
// error wraps ErrMalformed.
func (g GSO) Check(p []byte, h *Header) error {
	if err := g.CheckCut(h); err != nil || g.Kind == Single {
		return err
	}
	switch {
	case !h.Plain && h.Version == 6:
		return malformed("offload behind extension headers")
	case g.Segments(p, h) > MaxSegments:
		return malformed("%d segments in one packet", g.Segments(p, h))
	case h.Protocol == UDP && (g.ECN || g.Segments(p, h) > MaxUDPSegments):
		return malformed("%d datagrams in one packet", g.Segments(p, h))
	}
	return nil
}

// CheckCut reports whether a Segmenter can cut what g is true of. It asks for less than Check, and is enough for what
// comes from this machine's kernel.
func (g GSO) CheckCut(h *Header) error {
	if g.Kind == Single {
		return g.checkSingle(h)
	}
	want := [...]struct{ version, protocol uint8 }{TCP4: {4, TCP}, TCP6: {6, TCP}, UDP4: {4, UDP}, UDP6: {6, UDP}}
	switch {
	case int(g.Kind) >= len(want):
		return malformed("offload of kind %d", g.Kind)
	case h.Version != want[g.Kind].version || h.Protocol != want[g.Kind].protocol || h.Payload == 0:
		return malformed("offload of kind %d for protocol %d of IPv%d", g.Kind, h.Protocol, h.Version)
	case h.Payload > maxHeader:
		return malformed("%d bytes of headers", h.Payload)
	case !g.Partial:
		return malformed("offload without a checksum to compute")
	case g.Size == 0 || g.Size == 0xffff: // the latter has a meaning of its own in Linux: GSO_BY_FRAGS
		return malformed("segments of %d bytes", g.Size)
	}
	return nil
}

func (g GSO) checkSingle(h *Header) error {
	switch {
	case g.Size != 0 || g.ECN:
		return malformed("a segment size for a packet that is not to be cut")
	case g.Partial && h.Payload == 0:
		return malformed("a checksum to compute for protocol %d", h.Protocol)
	}
	return nil
}

// Segments returns how many packets p stands for.
func (g GSO) Segments(p []byte, h *Header) int {
	if g.Kind == Single || g.Size == 0 {
		return 1
	}
	return max(1, (len(p)-h.Payload+int(g.Size)-1)/int(g.Size))
}

// Finish computes the checksum that g leaves to be computed, of a packet that is not to be cut.
func Finish(p []byte, h *Header, g GSO) {
	if g.Partial && h.Payload > 0 {
		putChecksum(p, h)
	}
}
