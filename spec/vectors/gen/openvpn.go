package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

func openvpnVectors() []vector {
	return slices.Concat(openvpnSessions(), openvpnOrder(), openvpnWindow(), openvpnRefused(), openvpnTruncated(),
		openvpnTCP(), openvpnAuth(), openvpnCrypt())
}

// Session ids of the client and of the server, and the specs in which this end has one of them.
const (
	ovpnC = "c1c1c1c1c1c1c1c1"
	ovpnS = "5e5e5e5e5e5e5e5e"

	ovpnClient = "openvpn:udp,session=" + ovpnC
	ovpnServer = "openvpn:udp,session=" + ovpnS
)

// Packets of both ends, without what guards them.
const (
	ovpnResetC = "38 " + ovpnC + " 00 00000000"
	ovpnResetS = "40 " + ovpnS + " 01 00000000 " + ovpnC + " 00000000"
)

// ovpnAcks returns the field of acknowledgements by an end to a peer.
func ovpnAcks(peer string, ids ...uint32) string {
	s := fmt.Sprintf("%02x", len(ids))
	for _, id := range ids {
		s += fmt.Sprintf(" %08x", id)
	}
	if len(ids) > 0 {
		s += " " + peer
	}
	return s
}

func ovpnFromC(id uint32, payload string, acks ...uint32) string {
	return fmt.Sprintf("20 %s %s %08x %s", ovpnC, ovpnAcks(ovpnS, acks...), id, payload)
}

func ovpnFromS(id uint32, payload string, acks ...uint32) string {
	return fmt.Sprintf("20 %s %s %08x %s", ovpnS, ovpnAcks(ovpnC, acks...), id, payload)
}

func ovpnAckC(ids ...uint32) string { return "28 " + ovpnC + " " + ovpnAcks(ovpnS, ids...) }
func ovpnAckS(ids ...uint32) string { return "28 " + ovpnS + " " + ovpnAcks(ovpnC, ids...) }

// metServer begins a flow of a client, metClient one of a server.
func metServer(lines ...string) []string {
	return append([]string{"< " + ovpnResetS, "> " + ovpnResetC, "> " + ovpnAckC(0)}, lines...)
}

func metClient(lines ...string) []string {
	return append([]string{"< " + ovpnResetC, "> " + ovpnResetS, "< " + ovpnAckC(0)}, lines...)
}

func openvpnSessions() []vector {
	client := func(id string, lines ...string) vector { return flow(id, ovpnClient, "ok", lines...).as("client") }
	server := func(id string, lines ...string) vector { return flow(id, ovpnServer, "ok", lines...).as("server") }
	other := strings.Repeat("d2", 8)
	return []vector{
		client("openvpn-client", metServer()...).with("Control", "both resets, and the last is acknowledged"),
		client("openvpn-client-hello", "+ "+hello, "> "+ovpnResetC, "< "+ovpnResetS, "> "+ovpnFromC(1, hello, 0)).
			with("Control", "what is sent before the peer is known waits, and acknowledges"),
		server("openvpn-server", "< "+ovpnResetC, "> "+ovpnResetS, "< "+ovpnFromC(1, hello, 0), "= "+hello,
			"> "+ovpnAckS(1, 0)).with("Control", ""),
		server("openvpn-server-reset-again", "< "+ovpnResetC, "> "+ovpnResetS, "< "+ovpnResetC, "> "+ovpnResetS).
			with("Control", "the first answer was lost"),
		server("openvpn-server-unproved", "< "+ovpnResetC, "> "+ovpnResetS, "< "+ovpnFromC(1, hello), "> "+ovpnResetS,
			"< "+ovpnFromC(1, hello, 0), "= "+hello, "> "+ovpnAckS(1, 0)).
			with("Control", "nothing acknowledges the server's reset: it may be somebody else's address"),
		server("openvpn-server-another", "< 38 "+other+" 00 00000000", "> 40 "+ovpnS+" 01 00000000 "+other+" 00000000",
			"< "+ovpnResetC, "> "+ovpnResetS, "< "+ovpnFromC(1, hello, 0), "= "+hello, "> "+ovpnAckS(1, 0)).
			with("Control", "the first has proved nothing and is forgotten"),
		flow("openvpn-server-another-late", ovpnServer, "malformed",
			metClient("< 38 "+other+" 00 00000000")...).as("server").with("Control", ""),
		client("openvpn-server-reset-late", metServer("< "+ovpnResetS, "> "+ovpnAckC(0))...).
			with("Control", "the acknowledgement was lost"),
		client("openvpn-data", metServer("< 48 000000 00000001 5a*20", "! side", "< 30 00000001 5a*20", "! side")...).
			with("Side", "P_DATA_V2 and P_DATA_V1"),
		server("openvpn-early-negotiation", "< "+ovpnResetC+" 0001 0002 0001", "> "+ovpnResetS).
			with("Control Ignored", "what a reset has behind its id is not TLS"),
	}
}

func openvpnOrder() []vector {
	client := func(id string, lines ...string) vector {
		return flow(id, ovpnClient, "ok", metServer(lines...)...).as("client")
	}
	return []vector{
		client("openvpn-received", "< "+ovpnFromS(1, hello), "= "+hello, "> "+ovpnAckC(1, 0)),
		client("openvpn-received-twice", "< "+ovpnFromS(1, hello), "= "+hello, "> "+ovpnAckC(1, 0),
			"< "+ovpnFromS(1, hello), "> "+ovpnAckC(1, 0)).with("Control", "the acknowledgement was lost"),
		client("openvpn-received-empty", "< "+ovpnFromS(1, ""), "> "+ovpnAckC(1, 0), "< "+ovpnFromS(2, hello), "= "+hello,
			"> "+ovpnAckC(2, 1, 0)).with("Empty", "an empty packet takes its place"),
		client("openvpn-overtaken", "< "+ovpnFromS(3, "63"), "> "+ovpnAckC(3, 0), "< "+ovpnFromS(2, "62"),
			"> "+ovpnAckC(2, 3, 0), "< "+ovpnFromS(2, "62"), "> "+ovpnAckC(2, 3, 0), "< "+ovpnFromS(1, "61"),
			"= 61", "= 62", "= 63", "> "+ovpnAckC(1, 2, 3, 0)).with("Fragmentation", "packets come in any order"),
		client("openvpn-early", "< "+ovpnFromS(12, "62"), "> "+ovpnAckC(12, 0), "< "+ovpnFromS(13, "63")).
			with("Maximum", "twelve are kept; another is not acknowledged"),
		client("openvpn-acks", "< "+ovpnFromS(1, "61"), "= 61", "> "+ovpnAckC(1, 0),
			"< "+ovpnFromS(2, "62"), "= 62", "> "+ovpnAckC(2, 1, 0), "< "+ovpnFromS(3, "63"), "= 63", "> "+ovpnAckC(3, 2, 1, 0),
			"< "+ovpnFromS(4, "64"), "= 64", "> "+ovpnAckC(4, 3, 2, 1)).with("Control", "the last four are acknowledged"),
	}
}

func openvpnWindow() []vector {
	const spec = ovpnClient + ",mtu=384" // 346 bytes of TLS in a packet
	client := func(id string, lines ...string) vector {
		return flow(id, spec, "ok", metServer(lines...)...).as("client")
	}
	full := func(ids ...uint32) (lines []string) {
		for _, id := range ids {
			lines = append(lines, "> "+ovpnFromC(id, "5a*346", 0))
		}
		return lines
	}
	six := append([]string{"+ 5a*2423"}, full(1, 2, 3, 4, 5, 6)...)
	return []vector{
		client("openvpn-cut", "+ 5a*347", "> "+ovpnFromC(1, "5a*346", 0), "> "+ovpnFromC(2, "5a", 0)).
			with("Fragmentation", ""),
		client("openvpn-window", slices.Concat(six, []string{"< " + ovpnAckS(1)}, full(7),
			[]string{"< " + ovpnAckS(3, 1), "< " + ovpnAckS(2), "> " + ovpnFromC(8, "5a", 0)})...).
			with("Fragmentation Control", "six are under way; two more begin when the oldest have arrived"),
		client("openvpn-fast", slices.Concat(six, []string{"< " + ovpnAckS(3, 2), "< " + ovpnAckS(3, 2),
			"< " + ovpnAckS(4, 3, 2)}, full(1), []string{"< " + ovpnAckS(5, 4)})...).
			with("Control", "three later ones have arrived: the first is sent again; to say so again counts for nothing"),
		tooLarge("openvpn-over", ovpnServer, "5a*65538").as("server").with("Maximum", ""),
	}
}

func openvpnRefused() []vector {
	client := func(id, frame string) vector {
		return flow(id, ovpnClient, "malformed", metServer("< "+frame)...).as("client")
	}
	long := "20 " + ovpnS + " 09 00000000*9 " + ovpnC + " 00000001 " + hello
	return []vector{
		client("openvpn-ack-unsent", ovpnAckS(1)).with("Control", "an acknowledgement of what was never sent"),
		client("openvpn-ack-unsent-last", ovpnAckS(0xffffffff)).with("Control", ""),
		client("openvpn-ack-another", "28 "+ovpnS+" "+ovpnAcks(ovpnS, 0)).with("Control", "to somebody else"),
		client("openvpn-acks-9", long).with("Maximum", "eight at most"),
		client("openvpn-another", "20 d2d2d2d2d2d2d2d2 00 00000001 "+hello).with("", "a packet of another session"),
		client("openvpn-session-zero", "20 0000000000000000 00 00000001 "+hello).with("Reserved", ""),
		client("openvpn-key", "21 "+ovpnS+" 00 00000001 "+hello).with("", "of another TLS session"),
		client("openvpn-soft-reset-0", "18 "+ovpnS+" 00 00000001").with("Reserved", "a new TLS session has a new number"),
		client("openvpn-reset-id", "40 "+ovpnS+" 01 00000000 "+ovpnC+" 00000001").with("Control", "a reset is packet 0"),
		client("openvpn-payload-over", ovpnFromS(1, "5a*2049")).with("Maximum", "OpenVPN takes 2048"),
		client("openvpn-opcode-0", "00 "+ovpnS+" 00 00000001").with("Reserved", ""),
		client("openvpn-opcode-1", "08 "+ovpnS+" 00 00000001").with("Reserved", "a reset of key method 1"),
		client("openvpn-opcode-12", "60 "+ovpnS+" 00 00000001").with("Reserved", ""),
		client("openvpn-wkc", "58 "+ovpnS+" 00 00000001 "+hello).with("Reserved", "without tls-crypt-v2"),
		malformed("openvpn-two-clients", ovpnClient, "38 d2d2d2d2d2d2d2d2 00 00000000").as("client").with("", ""),
		malformed("openvpn-two-servers", ovpnServer, "40 d2d2d2d2d2d2d2d2 00 00000000").as("server").with("", ""),
		malformed("openvpn-reset-zero", ovpnServer, "38 0000000000000000 00 00000000").as("server").with("Reserved", ""),
		malformed("openvpn-no-session", ovpnServer, ovpnFromC(1, hello)).as("server").with("", "no reset before it"),
		malformed("openvpn-no-session-data", ovpnServer, "48 000000 00000001 5a*20").as("server").with("Side", ""),
	}
}

func openvpnTruncated() (all []vector) {
	p, err := octets(ovpnResetS)
	if err != nil {
		panic(err) // a mistake in this program
	}
	for _, n := range []int{0, 1, 8, 9, 10, 13, 14, 21, 22, 25} {
		all = append(all, malformed(fmt.Sprintf("openvpn-truncated-%02d", n), ovpnClient, hex.EncodeToString(p[:n])).
			as("client").with("Truncated", ""))
	}
	return all
}

func openvpnTCP() []vector {
	const client, server = "openvpn:tcp,session=" + ovpnC, "openvpn:tcp,session=" + ovpnS
	return []vector{
		flow("openvpn-tcp", client, "ok", "< 001a "+ovpnResetS, "> 000e "+ovpnResetC, "> 0016 "+ovpnAckC(0), "+ "+hello,
			"> 001f "+ovpnFromC(1, hello, 0), "< 0023 "+ovpnFromS(1, hello, 0, 1), "= "+hello, "> 001a "+ovpnAckC(1, 0),
			"< 001c 48 000000 00000001 5a*20", "! side").as("client").with("", "the length does not count itself"),
		stream("openvpn-tcp-stream", server, "more", "000e "+ovpnResetC+" 001f "+ovpnFromC(1, hello, 0)+" 00", hello).
			as("server").with("Truncated", ""),
		frameLen("openvpn-tcp-framelen", client, "00 1a", 28).with("", ""),
		frameLen("openvpn-tcp-framelen-none", client, "00", 0).with("Truncated", ""),
		frameLen("openvpn-tcp-framelen-most", client, "ff ff", 65537).with("Maximum", ""),
		malformed("openvpn-tcp-empty", server, "00 00").as("server").with("Empty", ""),
		malformed("openvpn-tcp-short", server, "00 0f "+ovpnResetC).as("server").with("Truncated", ""),
		malformed("openvpn-tcp-trailing", server, "00 0d "+ovpnResetC).as("server").with("Trailing", ""),
	}
}

// ovpnTime is the time in vectors.
const ovpnTime = 1e9

// ovpnStamp returns a replay id and a time.
func ovpnStamp(id, time uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, id), time)
}

// ovpnHalf returns the keys for encryption and for authentication of static.key, which has the bytes 0 to 255: the
// server sends with the first half, the client with the second.
func ovpnHalf(role string) (encryption, authentication []byte) {
	key := make([]byte, 256)
	for i := range key {
		key[i] = byte(i)
	}
	if role == "client" {
		key = key[128:]
	}
	return key[:64], key[64:128]
}

// ovpnAuth guards a packet as tls-auth with SHA-1 does.
func ovpnAuth(role, packet string, stamp []byte) string {
	p, err := octets(packet)
	if err != nil {
		panic(err) // a mistake in this program
	}
	_, key := ovpnHalf(role)
	mac := hmac.New(sha1.New, key[:20])
	mac.Write(slices.Concat(stamp, p))
	return fmt.Sprintf("%x %x %x %x", p[:9], mac.Sum(nil), stamp, p[9:])
}

// ovpnCrypt guards a packet as tls-crypt does.
func ovpnCrypt(role, packet string, stamp []byte) string {
	p, err := octets(packet)
	if err != nil {
		panic(err) // a mistake in this program
	}
	encryption, key := ovpnHalf(role)
	clear := slices.Concat(p[:9], stamp)
	mac := hmac.New(sha256.New, key[:32])
	mac.Write(slices.Concat(clear, p[9:]))
	tag := mac.Sum(nil)
	block, err := aes.NewCipher(encryption[:32])
	if err != nil {
		panic(err) // a mistake in this program
	}
	cipher.NewCTR(block, tag[:16]).XORKeyStream(p[9:], p[9:])
	return fmt.Sprintf("%x %x %x", clear, tag, p[9:])
}

func openvpnAuth() []vector {
	const client, server = ovpnClient + ",tls-auth=static.key", ovpnServer + ",tls-auth=static.key"
	c := func(id uint32, packet string) string { return ovpnAuth("client", packet, ovpnStamp(id, ovpnTime)) }
	s := func(id uint32, packet string) string { return ovpnAuth("server", packet, ovpnStamp(id, ovpnTime)) }
	return []vector{
		flow("openvpn-auth-client", client, "ok", "< "+s(1, ovpnResetS), "> "+c(1, ovpnResetC), "> "+c(2, ovpnAckC(0)),
			"+ "+hello, "> "+c(3, ovpnFromC(1, hello, 0)), "< "+s(2, ovpnFromS(1, hello, 1)), "= "+hello,
			"> "+c(4, ovpnAckC(1, 0))).as("client").with("Guard", ""),
		flow("openvpn-auth-server", server, "ok", "< "+c(1, ovpnResetC), "> "+s(1, ovpnResetS),
			"< "+c(2, ovpnFromC(1, hello, 0)), "= "+hello, "> "+s(2, ovpnAckS(1, 0))).as("server").with("Guard", ""),
		flow("openvpn-auth-reverse", server+",direction=reverse", "ok",
			"< "+ovpnAuth("server", ovpnResetC, ovpnStamp(1, ovpnTime)),
			"> "+ovpnAuth("client", ovpnResetS, ovpnStamp(1, ovpnTime))).as("server").with("Guard", ""),
		flow("openvpn-auth-none", server+",direction=none", "ok",
			"< "+ovpnAuth("server", ovpnResetC, ovpnStamp(1, ovpnTime)),
			"> "+ovpnAuth("server", ovpnResetS, ovpnStamp(1, ovpnTime))).as("server").with("Guard", "one key for both"),
		malformed("openvpn-auth-wrong-half", server, ovpnAuth("server", ovpnResetC, ovpnStamp(1, ovpnTime))).as("server").
			with("Guard", "a packet of the server's own, sent back"),
		malformed("openvpn-auth-missing", server, ovpnResetC).as("server").with("Guard Truncated", ""),
		malformed("openvpn-auth-zero", server, c(0, ovpnResetC)).as("server").with("Guard", "replay ids begin with 1"),
	}
}

func openvpnCrypt() []vector {
	const client, server = ovpnClient + ",tls-crypt=static.key", ovpnServer + ",tls-crypt=static.key"
	at := func(time, id uint32, packet string) string { return ovpnCrypt("client", packet, ovpnStamp(id, time)) }
	c := func(id uint32, packet string) string { return at(ovpnTime, id, packet) }
	s := func(id uint32, packet string) string { return ovpnCrypt("server", packet, ovpnStamp(id, ovpnTime)) }
	bent := []byte(strings.ReplaceAll(c(1, ovpnResetC), " ", ""))
	bent[len(bent)-1] ^= 1
	met := func(lines ...string) []string {
		return append([]string{"< " + c(100, ovpnResetC), "> " + s(1, ovpnResetS)}, lines...)
	}
	served := func(id string, lines ...string) vector {
		return flow(id, server, "ok", met(lines...)...).as("server")
	}
	return []vector{
		flow("openvpn-crypt-client", client, "ok", "< "+s(1, ovpnResetS), "> "+c(1, ovpnResetC), "> "+c(2, ovpnAckC(0)),
			"+ "+hello, "> "+c(3, ovpnFromC(1, hello, 0)), "< "+s(2, ovpnFromS(1, hello, 1)), "= "+hello,
			"> "+c(4, ovpnAckC(1, 0))).as("client").with("Guard", ""),
		served("openvpn-crypt-server", "< "+c(101, ovpnFromC(1, hello, 0)), "= "+hello, "> "+s(2, ovpnAckS(1, 0))).
			with("Guard", "replay ids begin with any"),
		served("openvpn-crypt-replayed", "< "+c(100, ovpnResetC)).with("Guard", "the same packet: there is no answer"),
		served("openvpn-crypt-late", "< "+c(37, ovpnFromC(1, hello, 0)), "= "+hello, "> "+s(2, ovpnAckS(1, 0))).
			with("Guard", "64 replay ids may be under way"),
		served("openvpn-crypt-too-late", "< "+c(36, ovpnFromC(1, hello, 0))).with("Guard Maximum", ""),
		served("openvpn-crypt-anew", "< "+at(ovpnTime+1, 1, ovpnFromC(1, hello, 0)), "= "+hello, "> "+s(2, ovpnAckS(1, 0))).
			with("Guard", "replay ids begin anew at a later time"),
		served("openvpn-crypt-back", "< "+at(ovpnTime-1, 200, ovpnFromC(1, hello, 0))).
			with("Guard", "the time goes back: a replay"),
		served("openvpn-crypt-another", "< "+c(1, "38 d2d2d2d2d2d2d2d2 00 00000000"),
			"> "+s(2, "40 "+ovpnS+" 01 00000000 d2d2d2d2d2d2d2d2 00000000")).
			with("Guard", "another client has replay ids of its own"),
		malformed("openvpn-crypt-bent", server, string(bent)).as("server").with("Guard", ""),
		malformed("openvpn-crypt-wrong-half", server, ovpnCrypt("server", ovpnResetC, ovpnStamp(1, ovpnTime))).as("server").
			with("Guard", ""),
		malformed("openvpn-crypt-missing", server, ovpnResetC).as("server").with("Guard Truncated", ""),
	}
}
