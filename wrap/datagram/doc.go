// Package datagram carries messages with DTLS, in the framing of another protocol or in none: a [Conn] is a net.Conn
// whose Write sends one message and whose Read returns one. One message is one record is one frame is one datagram.
//
//	Write ─▶ engine ─▶ record ─▶ codec ─▶ frame ─▶ datagram
//	Read  ◀─ queue ◀─ engine ◀─ record ◀─ codec ◀─ frame ◀─ whoever receives
//
// The words are those of package wrap, which carries byte streams with TLS: [Client], [Server], [Dial], [Config]. The
// stack is that with the name "dtls", which a program links by importing package bio/dtls; its options, such as a
// pre-shared key, come as Config.Stack.
//
//	conn, err := datagram.Dial(ctx, "udp", "device.example:5684", &datagram.Config{
//		Stack: dtls.Stack(dtls.Options{PSK: key, PSKIdentity: identity}),
//	})
//
// # What a network does
//
// Datagrams get lost, come twice and overtake each other, and so may messages, except that none comes twice. A message
// that is too long for a datagram is refused with a [bio.TooLongError], and the connection goes on; [Conn.MTU] tells
// what fits. What strangers send, garbage, replays and forged alerts are counted and change nothing, and so does what
// ICMP says.
//
// Over a stream, through a codec that tells frames apart, nothing is lost: DTLS over TCP, as TURN has it.
//
// # Who receives
//
// A Conn does not receive by itself: whoever does gives it the datagrams, and it sends what they call for at once. Over
// a [wrap.Carrier], and after Dial, that is a goroutine of the Conn, so that handshakes, the repetition of a flight that
// the peer has lost, and the peer's close_notify do not depend on a Read. Behind a Listener it is one goroutine for
// each socket, and a Conn that waits has none, and no timer.
//
// Messages wait in a bounded queue for Read, or go to Config.Handler. When the queue is full, the newest are dropped,
// and counted: one slow reader stalls nobody. Over a stream, which belongs to one Conn, receiving waits instead.
//
// # Time
//
// The engine of the handshake has timers of its own, and so may codecs. Afterwards nothing acts by itself but
// Config.IdleTimeout and PeerTimeout. For a program with a poll loop of its own, which wants to be called by nothing,
// there is the engine itself (package bio): Open what was received, send what Flush returns, and during the handshake
// look at Ready.
package datagram
