// Package admission decides what peers that have proven nothing may cost a server of DTLS. It does no I/O, reads no
// clock, has no goroutine, and all that it remembers lies in tables of fixed size.
//
//	datagram ─▶ [Classify] ─▶ [ParseHello] ─▶ [Gate.Hello] ─┬▶ admitted: a [Ticket]; only now is an engine made
//	               other        no hello           refused ─┴▶ counted by [Reason], nothing else happens
//
// DTLS has the cookie against senders with false addresses: a server answers a first ClientHello with a cookie, keeps
// nothing, and begins to work when the cookie comes back. Whether a server can keep nothing is up to its stack. The
// stacks in Go keep the cookie in the connection, and it cannot be sent in their stead: message number and cookie of
// the exchange enter the hash that both ends sign at the end of the handshake. So each first ClientHello that is
// answered costs a connection, and what this package bounds is how many there are, and for how long:
//
//   - A datagram is parsed before anything is allocated for it.
//   - An address, which for IPv6 is a network of 64 bits, may send so many ClientHellos per second, and have so many
//     handshakes under way.
//   - All addresses together may start so many handshakes per second, and have so many under way. When there is no room
//     left, the oldest peer that has not returned its cookie goes, though not before it had time to.
//   - When half of that room is taken by peers that have not returned a cookie, the server is under load. Then nothing
//     is answered but a ClientHello that has come before, from the same address with the same random, a while ago. An
//     honest client repeats its ClientHello when there is no answer, after a second as a rule; who sends from many
//     false addresses, as fast as he can, does not.
//
// The last is a filter, not a proof: whoever sends every false ClientHello twice, in due distance, passes it, and is
// left with the bounds. The proof of an address is the cookie, see [Gate.Proven].
//
// https://www.rfc-editor.org/rfc/rfc6347#section-4.2.1
package admission
