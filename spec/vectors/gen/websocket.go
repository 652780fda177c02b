package main

import (
	"encoding/hex"
	"slices"
)

const ws = "websocket"

func websocketVectors() []vector {
	return slices.Concat(messageVectors(), capturedVectors(), headerVectors(), fragmentVectors(),
		controlVectors(), closeVectors())
}

// masked returns the key of the examples in RFC 6455 and the payload masked with it.
func masked(payload string) string {
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	p, err := octets(payload)
	if err != nil {
		panic(err) // a mistake in this program
	}
	for i := range p {
		p[i] ^= key[i%len(key)]
	}
	return hex.EncodeToString(key[:]) + " " + hex.EncodeToString(p)
}

// messageVectors: only what a server sends can be foretold, a client's masking key is random.
func messageVectors() []vector {
	return []vector{
		encode("websocket-encode", ws, hello, "82 05 "+hello).as("server"),
		encode("websocket-encode-125", ws, "5a*125", "82 7d 5a*125").as("server").
			with("", "the longest with a short length"),
		encode("websocket-encode-126", ws, "5a*126", "82 7e 00 7e 5a*126").as("server").
			with("", "the shortest with 16 bits of length"),
		encode("websocket-encode-65535", ws, "5a*65535", "82 7e ff ff 5a*65535").as("server").
			with("", "the longest with 16 bits of length"),
		encode("websocket-encode-65536", ws, "5a*65536", "82 7f 00 00 00 00 00 01 00 00 5a*65536").as("server").
			with("", "the shortest with 64 bits of length"),

		decode("websocket-decode-client", ws, "82 05 "+hello, hello).as("client"),
		decode("websocket-decode-server", ws, "82 85 "+masked(hello), hello).as("server").with("Masking", ""),
		decode("websocket-decode-empty-client", ws, "82 00", "").as("client").with("Empty", ""),
		decode("websocket-decode-empty-server", ws, "82 80 37 fa 21 3d", "").as("server").
			with("Empty Masking", "there is a key all the same"),
		decode("websocket-decode-126", ws, "82 7e 00 7e 5a*126", "5a*126").as("client"),
		decode("websocket-decode-65536", ws, "82 7f 00 00 00 00 00 01 00 00 5a*65536", "5a*65536").as("client"),
		decode("websocket-decode-zero-key", ws, "82 85 00 00 00 00 "+hello, hello).as("server").
			with("Masking", "a key of zeros is one like any other"),
	}
}

// capturedVectors: what python3-websockets 10.4 (client) and websockify 0.10 (server) sent to each other.
func capturedVectors() []vector {
	const capture = "from a capture: python3-websockets 10.4 and websockify 0.10"
	return []vector{
		decode("websocket-captured-server", ws,
			"82a3f3bcdc3ee4bfdf3eeddb160e7005038a1becc944c0f727bf767e855c766c79cde0ab3e4713c51f",
			"170303001e67ca3083b9dfb4e850157a334bfb8185c2596285d0a5f31317e279e079c3").as("server").
			with("Masking", capture),
		decode("websocket-captured-client", ws,
			"8223170303001ee20cbe84b4b13512580f78287f0b8d80ad5f6c4acd630d6f87bdd82681be",
			"170303001ee20cbe84b4b13512580f78287f0b8d80ad5f6c4acd630d6f87bdd82681be").as("client").with("", capture),
		flow("websocket-captured-close", ws, "ok", "< 88 82 73 17 e0 18 70 ff", "> 88 02 03 e8", "! done").as("server").
			with("Control Masking", capture),
		flow("websocket-captured-reason", ws, "ok", "! end", "> 88 02 03 e8",
			"< 88 8f 00 00 00 00 03 e8 54 61 72 67 65 74 20 63 6c 6f 73 65 64", "! done").as("server").
			with("Control", `status 1000, "Target closed", here with a key of zeros`),
	}
}

func headerVectors() []vector {
	return []vector{
		malformed("websocket-truncated-01", ws, "").as("client").with("Truncated", ""),
		malformed("websocket-truncated-02", ws, "82").as("client").with("Truncated", ""),
		malformed("websocket-truncated-03", ws, "82 7e 01").as("client").with("Truncated", "half a length"),
		malformed("websocket-truncated-04", ws, "82 05 68 65 6c").as("client").
			with("Truncated", "length says five bytes, three follow"),
		malformed("websocket-truncated-05", ws, "82 85 37 fa 21").as("server").
			with("Truncated Masking", "a key of three bytes"),
		malformed("websocket-trailing", ws, "82 02 "+hello).as("client").with("Trailing", ""),
		frameLen("websocket-framelen-none", ws, "82", 0).as("client").with("Truncated", ""),
		frameLen("websocket-framelen-16", ws, "82 7e 01", 0).as("client").with("Truncated", ""),
		frameLen("websocket-framelen-64", ws, "82 7f 00 00 00 00 00 01 00", 0).as("client").with("Truncated", ""),
		frameLen("websocket-framelen-client", ws, "82 05", 7).as("client"),
		frameLen("websocket-framelen-server", ws, "82 85", 11).as("server").
			with("Masking", "the key is part of the frame"),
		frameLen("websocket-framelen-126", ws, "82 7e 00 7e", 130).as("client"),
		frameLen("websocket-framelen-65536", ws, "82 7f 00 00 00 00 00 01 00 00", 65546).as("client"),
		frameLen("websocket-framelen-ping", ws, "89 00", 2).as("client").with("Control", ""),

		malformed("websocket-masked-by-server", ws, "82 85 "+masked(hello)).as("client").
			with("Masking", "RFC 6455, section 5.1"),
		malformed("websocket-unmasked-by-client", ws, "82 05 "+hello).as("server").
			with("Masking", "RFC 6455, section 5.1"),
		malformed("websocket-unmasked-ping-by-client", ws, "89 00").as("server").
			with("Masking Control", "control frames are masked, too"),
		noLen("websocket-framelen-unmasked-by-client", ws, "82 05").as("server").
			with("Masking", "told before the payload comes"),
		malformed("websocket-nonminimal-01", ws, "82 7e 00 05 "+hello).as("client").
			with("NonMinimal", "five in 16 bits"),
		malformed("websocket-nonminimal-02", ws, "82 7f 00 00 00 00 00 00 00 05 "+hello).as("client").
			with("NonMinimal", "five in 64 bits"),
		malformed("websocket-nonminimal-03", ws, "82 7e 00 7d 5a*125").as("client").
			with("NonMinimal", "125 in 16 bits"),
		malformed("websocket-nonminimal-04", ws, "82 7f 00 00 00 00 00 00 ff ff 5a*65535").as("client").
			with("NonMinimal", "65535 in 64 bits"),
		noLen("websocket-length-top", ws, "82 7f 80 00 00 00 00 00 00 00").as("client").
			with("Maximum", "the top bit must be 0"),
		noLen("websocket-length-wrap", ws, "82 7f ff ff ff ff ff ff ff ff").as("client").
			with("Maximum", "adding the header would wrap around"),
		noLen("websocket-rsv1", ws, "c2 00").as("client").with("Reserved", "no extension was agreed"),
		noLen("websocket-rsv2", ws, "a2 00").as("client").with("Reserved", ""),
		noLen("websocket-rsv3", ws, "92 00").as("client").with("Reserved", ""),
		noLen("websocket-opcode-3", ws, "83 00").as("client").with("Reserved", ""),
		noLen("websocket-opcode-7", ws, "87 00").as("client").with("Reserved", ""),
		noLen("websocket-opcode-b", ws, "8b 00").as("client").with("Reserved Control", ""),
		noLen("websocket-opcode-f", ws, "8f 00").as("client").with("Reserved Control", ""),
		malformed("websocket-text", ws, "81 05 "+hello).as("client").with("Text", "TLS is not text"),
	}
}

func fragmentVectors() []vector {
	return []vector{
		stream("websocket-fragments", ws, "ok", "02 02 68 65 00 01 6c 80 02 6c 6f", hello).as("client").
			with("Fragmentation", ""),
		stream("websocket-fragments-empty", ws, "ok", "02 00 00 00 80 05 "+hello, hello).as("client").
			with("Fragmentation Empty", ""),
		stream("websocket-fragments-masked", ws, "ok", "02 82 "+masked("68 65")+" 80 83 "+masked("6c 6c 6f"), hello).as("server").
			with("Fragmentation Masking", "the key starts again with each frame"),
		stream("websocket-messages", ws, "ok", "82 02 68 65 82 00 82 03 6c 6c 6f", hello).as("client").
			with("Empty", "the boundaries of messages mean nothing"),
		stream("websocket-stream-cut", ws, "more", "82 02 68 65 82 03 6c", "68 65").as("client").with("Truncated", ""),
		stream("websocket-continuation-first", ws, "malformed", "80 05 "+hello, "").as("client").
			with("Fragmentation", "a continuation of nothing"),
		stream("websocket-continuation-after-end", ws, "malformed", "02 02 68 65 80 03 6c 6c 6f 80 01 21", hello).as("client").
			with("Fragmentation", "the message has ended before"),
		stream("websocket-interleaved", ws, "malformed", "02 02 68 65 82 03 6c 6c 6f", "68 65").as("client").
			with("Fragmentation", "a new message before the last one has ended"),
		stream("websocket-fragmented-ping", ws, "malformed", "82 02 68 65 09 00", "68 65").as("client").
			with("Fragmentation Control", "what came before it is released"),
	}
}

func controlVectors() []vector {
	return []vector{
		flow("websocket-ping", ws, "ok", "< 89 85 "+masked(hello), "> 8a 05 "+hello).as("server").
			with("Control Masking", ""),
		flow("websocket-ping-empty", ws, "ok", "< 89 80 37 fa 21 3d", "> 8a 00").as("server").with("Control Empty", ""),
		flow("websocket-ping-125", ws, "ok", "< 89 fd 00 00 00 00 5a*125", "> 8a 7d 5a*125").as("server").
			with("Control Maximum", ""),
		flow("websocket-ping-inside", ws, "ok", "< 02 82 "+masked("68 65"), "= 68 65", "< 89 80 37 fa 21 3d", "> 8a 00",
			"< 80 83 "+masked("6c 6c 6f"), "= 6c 6c 6f").as("server").
			with("Control Fragmentation", "between the fragments of a message"),
		flow("websocket-pong", ws, "ok", "< 8a 81 37 fa 21 3d 37", "< 82 85 "+masked(hello), "= "+hello).as("server").
			with("Control", "a pong that nobody asked for is ignored"),
		noLen("websocket-ping-126", ws, "89 7e 00 7e").as("client").
			with("Control Maximum", "control frames have 125 bytes at most"),
		noLen("websocket-ping-fragmented", ws, "09 00").as("client").with("Control Fragmentation", ""),
		noLen("websocket-close-fragmented", ws, "08 00").as("client").with("Control Fragmentation", ""),
	}
}

func closeVectors() []vector {
	zero := " 00 00 00 00 "
	bad := func(id, frame, comment string) vector {
		return flow(id, ws, "malformed", "< "+frame).as("server").with("Control", comment)
	}
	return []vector{
		flow("websocket-close", ws, "ok", "< 88 82"+zero+"03 e8", "> 88 02 03 e8", "! done").as("server").
			with("Control", ""),
		flow("websocket-close-empty", ws, "ok", "< 88 80"+zero, "> 88 00", "! done").as("server").
			with("Control Empty", "no status: none in the answer"),
		flow("websocket-close-going-away", ws, "ok", "< 88 82"+zero+"03 e9", "> 88 02 03 e9", "! done").as("server").
			with("Control", ""),
		flow("websocket-close-twice", ws, "malformed", "< 88 80"+zero, "> 88 00", "! done", "< 88 80"+zero).as("server").
			with("Control", ""),
		flow("websocket-close-then-data", ws, "malformed", "< 88 80"+zero, "> 88 00", "! done", "< 82 85 "+masked(hello)).as("server").
			with("Control", "nothing may follow a close frame"),
		flow("websocket-end", ws, "ok", "+ "+hello, "> 82 05 "+hello, "! end", "> 88 02 03 e8").as("server").
			with("Control", ""),
		flow("websocket-end-crossing", ws, "ok", "! end", "> 88 02 03 e8", "< 82 85 "+masked(hello), "= "+hello,
			"< 88 82"+zero+"03 e8", "! done").as("server").
			with("Control", "data may cross our close frame; its answer is not answered"),
		flow("websocket-end-no-pong", ws, "ok", "! end", "> 88 02 03 e8", "< 89 80"+zero).as("server").
			with("Control", "no pong after a close frame"),
		bad("websocket-close-half-status", "88 81"+zero+"03", "half a status"),
		bad("websocket-close-status-0", "88 82"+zero+"00 00", ""),
		bad("websocket-close-status-999", "88 82"+zero+"03 e7", ""),
		bad("websocket-close-status-1004", "88 82"+zero+"03 ec", "reserved"),
		bad("websocket-close-status-1005", "88 82"+zero+"03 ed", "stands for no status, never sent"),
		bad("websocket-close-status-1006", "88 82"+zero+"03 ee", "stands for no close frame, never sent"),
		bad("websocket-close-status-1015", "88 82"+zero+"03 f7", "stands for a TLS failure, never sent"),
		bad("websocket-close-status-5000", "88 82"+zero+"13 88", ""),
		bad("websocket-close-not-utf8", "88 84"+zero+"03 e8 c3 28", "the reason is not UTF-8"),
	}
}
