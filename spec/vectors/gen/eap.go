package main

import (
	"encoding/hex"
	"fmt"
	"slices"
)

func eapVectors() []vector {
	return slices.Concat(eapPeer(), eapFragments(), eapServer(), eapRefused())
}

const (
	anonymous = "61 6e 6f 6e 79 6d 6f 75 73"
	userName  = "75 73 65 72"
)

// eapPacket returns a packet of EAP with a type and data behind it.
func eapPacket(code, id byte, rest string) string {
	p, err := octets(rest)
	if err != nil {
		panic(err) // a mistake in this program
	}
	return fmt.Sprintf("%02x %02x %04x %s", code, id, 4+len(p), hex.EncodeToString(p))
}

func request(id byte, rest string) string  { return eapPacket(1, id, rest) }
func response(id byte, rest string) string { return eapPacket(2, id, rest) }

// started returns the lines in which a peer gets a start, with identifier 1, and answers it with hello.
func started() []string {
	return []string{"+ " + hello, "< " + request(1, "0d 20"), "> " + response(1, "0d 00 "+hello)}
}

func peer(id, codec, expect string, groups ...[]string) vector {
	return client(id, codec, expect, groups...)
}

func eapPeer() []vector {
	const c = "eap"
	identity := []string{"< " + request(1, "01"), "> " + response(1, "01 "+anonymous)}
	return []vector{
		peer("eap-identity", c, "ok", identity),
		peer("eap-identity-given", "eap:identity=user", "ok",
			[]string{"< " + request(1, "01"), "> " + response(1, "01 "+userName)}),
		peer("eap-identity-prompt", c, "ok",
			[]string{"< " + request(7, "01 48 69"), "> " + response(7, "01 "+anonymous)}).
			with("Ignored", "what the server says to a person"),
		peer("eap-identity-twice", c, "ok", identity,
			[]string{"< " + request(2, "01"), "> " + response(2, "01 "+anonymous)}),
		peer("eap-identity-repeated", c, "ok", identity, identity).
			with("Lossy", "the same request: the response was lost"),
		peer("eap-notification", c, "ok", []string{"< " + request(1, "02 48 69"), "> " + response(1, "02")}).
			with("Control", ""),
		peer("eap-nak", c, "ok", []string{"< " + request(1, "04 10 00*16"), "> " + response(1, "03 0d")}).
			with("Control", "MD5-Challenge: this end wants EAP-TLS"),
		peer("eap-nak-expanded", c, "ok",
			[]string{"< " + request(1, "fe 00 00 00 00 00 00 0d"), "> " + response(1, "03 0d")}).
			with("Control", ""),
		peer("eap-start", c, "ok", started()),
		peer("eap-start-first", c, "ok",
			[]string{"< " + request(1, "0d 20"), "+ " + hello, "> " + response(1, "0d 00 "+hello)}).
			with("", "TLS has something to say only now"),
		peer("eap-start-other", c, "ok", started(), []string{"< " + request(1, "0d 00 "+hello), "= " + hello}).
			with("", "the same identifier, another request"),
		peer("eap-padding", c, "ok", []string{"< " + request(1, "01") + " 00*41", "> " + response(1, "01 "+anonymous)}).
			with("Padding Ignored", ""),
		peer("eap-flight", c, "ok", started(), []string{"< " + request(2, "0d 00 "+hello), "= " + hello}),
		peer("eap-flight-length", c, "ok", started(),
			[]string{"< " + request(2, "0d 80 00 00 00 05 "+hello), "= " + hello}).
			with("", "the length, where it is not needed"),
		peer("eap-flight-repeated", c, "ok", started(), []string{"< " + request(2, "0d 00 "+hello), "= " + hello,
			"< " + request(2, "0d 00 "+hello)}).with("Lossy", "the response is not there yet"),
		peer("eap-late", c, "ok", started(), []string{"< " + request(2, "0d 00 "+hello), "= " + hello,
			"+ 61", "> " + response(2, "0d 00 61"), "< " + request(1, "0d 20")}).
			with("Lossy", "a request that was overtaken"),
		peer("eap-answer-repeated", c, "ok", started(),
			[]string{"< " + request(1, "0d 20"), "> " + response(1, "0d 00 "+hello)}).
			with("Lossy", ""),
		tooLarge("eap-over", c, "5a*65537").as("client").with("Maximum", "more than may be handed over at once"),
	}
}

func eapFragments() []vector {
	const c = "eap:mtu=64"
	sent := []string{"+ 5a*120", "< " + request(1, "0d 20"), "> " + response(1, "0d c0 00 00 00 78 5a*54"),
		"< " + request(2, "0d 00"), "> " + response(2, "0d 40 5a*58"), "< " + request(3, "0d 00"),
		"> " + response(3, "0d 00 5a*8")}
	received := []string{"< " + request(2, "0d c0 00 00 00 05 68 65"), "> " + response(2, "0d 00"),
		"< " + request(3, "0d 40 6c"), "> " + response(3, "0d 00"), "< " + request(4, "0d 00 6c 6f"), "= " + hello}
	everywhere := []string{"< " + request(2, "0d c0 00 00 00 05 68 65"), "> " + response(2, "0d 00"),
		"< " + request(3, "0d 80 00 00 00 05 6c 6c 6f"), "= " + hello}
	again := []string{received[0], received[1], received[0], received[1], received[2], received[3]}
	return []vector{
		peer("eap-fragments-sent", c, "ok", sent).with("Fragmentation", ""),
		peer("eap-fragments-none", c, "ok",
			[]string{"+ 5a*58", "< " + request(1, "0d 20"), "> " + response(1, "0d 00 5a*58")}).
			with("Fragmentation Maximum", "just fits"),
		peer("eap-fragments-received", c, "ok", started(), received).with("Fragmentation", ""),
		peer("eap-fragments-length", c, "ok", started(), everywhere).
			with("Fragmentation", "the length in each fragment"),
		peer("eap-fragments-again", c, "ok", started(), again).
			with("Fragmentation Lossy", "an acknowledgement was lost"),
	}
}

// let is what a server says at the beginning and hears: an identity, and the answer to the start.
func let() []string {
	return []string{"< " + response(1, "01 "+userName), "> " + request(1, "01"), "> " + request(2, "0d 20"),
		"< " + response(2, "0d 00 "+hello), "= " + hello}
}

func server(id, codec, expect string, groups ...[]string) vector {
	return flow(id, codec, expect, slices.Concat(groups...)...).as("server")
}

func eapServer() []vector {
	const c = "eap:mtu=64"
	return []vector{
		server("eap-server-start", c, "ok", let()),
		server("eap-server-flight", c, "ok", let(), []string{"+ 61", "> " + request(3, "0d 00 61"),
			"< " + response(3, "0d 00 62"), "= 62"}),
		server("eap-server-fragments-sent", c, "ok", let(),
			[]string{"+ 5a*60", "> " + request(3, "0d c0 00 00 00 3c 5a*54"),
				"< " + response(3, "0d 00"), "> " + request(4, "0d 00 5a*6")}).with("Fragmentation", ""),
		server("eap-server-fragments-received", c, "ok",
			[]string{"< " + response(1, "01 "+userName), "> " + request(1, "01"),
				"> " + request(2, "0d 20"), "< " + response(2, "0d c0 00 00 00 05 68"), "> " + request(3, "0d 00"),
				"< " + response(3, "0d 00 65 6c 6c 6f"), "= " + hello}).with("Fragmentation", ""),
		server("eap-server-repeated", c, "ok", let(), []string{"< " + response(2, "0d 00 "+hello)}).
			with("Lossy", "it is being answered"),
		server("eap-server-late", c, "ok", let(), []string{"+ 61", "> " + request(3, "0d 00 61"),
			"< " + response(2, "0d 00 "+hello), "< " + response(1, "01 "+userName)}).with("Lossy", ""),
	}
}

func eapRefused() []vector {
	const c = "eap"
	behind := func(id, bad string) vector { return peer(id, c, "malformed", started(), []string{"< " + bad}) }
	return []vector{
		malformed("eap-truncated-01", c, "").with("Truncated", ""),
		malformed("eap-truncated-02", c, "01 01 00").with("Truncated", ""),
		malformed("eap-truncated-03", c, "01 01 00 06 01").
			with("Truncated", "the length says six bytes, five are there"),
		malformed("eap-no-type", c, "01 01 00 04").with("Truncated", "").as("client"),
		malformed("eap-underrun", c, "01 01 00 03 01").with("Underrun", ""),
		malformed("eap-code", c, "05 01 00 05 01").with("Reserved", ""),
		malformed("eap-code-0", c, "00 01 00 05 01").with("Reserved", ""),
		malformed("eap-role-client", c, response(1, "01 "+userName)).with("", "from the wrong end").as("client"),
		malformed("eap-role-server", c, request(1, "01")).with("", "from the wrong end").as("server"),
		malformed("eap-stray-success", c, "03 01 00 04"),
		malformed("eap-stray-failure", c, "04 01 00 04"),
		malformed("eap-no-start", c, request(1, "0d 00")).as("client"),
		malformed("eap-no-flags", c, request(1, "0d")).with("Truncated", "").as("client"),
		malformed("eap-short-length", c, request(1, "0d a0 00 00 00")).with("Truncated", "").as("client"),
		behind("eap-early-success", "03 01 00 04").with("", "before TLS is established"),
		behind("eap-failure-stranger", "04 05 00 04").with("", "answers no response"),
		behind("eap-restart", request(2, "0d 20")),
		behind("eap-other-method", request(2, "04 10 00*16")).with("", "in the middle of EAP-TLS"),
		server("eap-identifier", c, "malformed", let(), []string{"< " + response(77, "0d 00 "+hello)}).
			with("", "answers no request"),
		server("eap-identity-again", c, "malformed",
			[]string{"< " + response(1, "01 "+userName), "> " + request(1, "01"),
				"> " + request(2, "0d 20"), "< " + response(2, "01 "+userName)}),
	}
}
