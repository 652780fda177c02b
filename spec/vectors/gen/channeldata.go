package main

import "slices"

func channelDataVectors() []vector {
	return slices.Concat(channelDataUDP(), channelDataTCP(), channelDataCaptured())
}

func channelDataUDP() []vector {
	const c = "channeldata:udp"
	return []vector{
		encode("channeldata-udp-encode", c, hello, "40 00 00 05 "+hello),
		encode("channeldata-udp-encode-channel", "channeldata:udp,channel=4abc", hello, "4a bc 00 05 "+hello),
		encode("channeldata-udp-encode-empty", c, "", "40 00 00 00").with("Empty", ""),
		encode("channeldata-udp-encode-max", c, "5a*65535", "40 00 ff ff 5a*65535").with("Maximum", ""),
		tooLarge("channeldata-udp-encode-over", c, "5a*65536").with("Maximum", ""),
		decode("channeldata-udp-decode", c, "40 00 00 05 "+hello, hello),
		decode("channeldata-udp-decode-padded", c, "40 00 00 05 "+hello+" 00 00 00", hello).
			with("Padding", "not required, and allowed"),
		decode("channeldata-udp-decode-padding", c, "40 00 00 05 "+hello+" 01 02", hello).with("Padding Ignored", ""),
		decode("channeldata-udp-decode-empty", c, "40 00 00 00", "").with("Empty", ""),
		flow("channeldata-udp-other", c, "ok", "< 40 01 00 05 "+hello, "! side").
			with("Side", "another channel: not for this TLS"),
		flow("channeldata-udp-stun", c, "ok", "< 00 01 00 00 21 12 a4 42 00*12", "! side").
			with("Side", "a Binding Request"),
		malformed("channeldata-udp-truncated-01", c, "").with("Truncated", ""),
		malformed("channeldata-udp-truncated-02", c, "40 00 00").with("Truncated", ""),
		malformed("channeldata-udp-truncated-03", c, "40 00 00 05 68 65 6c 6c").with("Truncated", ""),
		malformed("channeldata-udp-trailing", c, "40 00 00 05 "+hello+" 00 00 00 00").
			with("Trailing", "more than padding"),
		malformed("channeldata-udp-trailing-aligned", c, "40 00 00 04 "+hello).
			with("Trailing", "data that needs no padding"),
		malformed("channeldata-udp-dtls", c, "16 fe fd 00 00 00 00 00 00 00 00 00 05 "+hello).
			with("Reserved", "DTLS by itself"),
		malformed("channeldata-udp-rtp", c, "80 00 00 05 "+hello).with("Reserved", ""),
		malformed("channeldata-udp-quic", c, "c0 00 00 05 "+hello).with("Reserved", ""),
		malformed("channeldata-udp-stun-cookie", c, "00 01 00 00 21 12 a4 43 00*12").with("Side", "another cookie"),
		malformed("channeldata-udp-stun-length", c, "00 01 00 04 21 12 a4 42 00*12").with("Side Truncated", ""),
	}
}

func channelDataTCP() []vector {
	const c = "channeldata:tcp"
	return []vector{
		encode("channeldata-tcp-encode", c, hello, "40 00 00 05 "+hello+" 00 00 00").with("Padding", ""),
		encode("channeldata-tcp-encode-aligned", c, "68 65 6c 6c", "40 00 00 04 68 65 6c 6c").with("Padding", ""),
		encode("channeldata-tcp-encode-max", c, "5a*65535", "40 00 ff ff 5a*65535 00").with("Maximum Padding", ""),
		tooLarge("channeldata-tcp-encode-over", c, "5a*65536").with("Maximum", ""),
		decode("channeldata-tcp-decode-padding", c, "40 00 00 05 "+hello+" ff ff ff", hello).
			with("Padding Ignored", ""),
		malformed("channeldata-tcp-unpadded", c, "40 00 00 05 "+hello).with("Padding Truncated", ""),

		frameLen("channeldata-tcp-framelen-half", c, "40 00 00", 0).with("Truncated", ""),
		frameLen("channeldata-tcp-framelen", c, "40 00 00 05", 12).with("Padding", ""),
		frameLen("channeldata-tcp-framelen-other", c, "7f ff 00 04", 8).with("Side", ""),
		frameLen("channeldata-tcp-framelen-max", c, "40 00 ff ff", 65540).with("Maximum Padding", ""),
		frameLen("channeldata-tcp-framelen-stun", c, "00 01 00 08", 28).with("Side", "the length is without the header"),
		noLen("channeldata-tcp-framelen-stun-unaligned", c, "00 01 00 05").with("Side", "STUN is aligned"),
		noLen("channeldata-tcp-framelen-rtp", c, "80 00 00 05").with("Reserved", ""),
		noLen("channeldata-tcp-framelen-quic", c, "c0 00 00 05").with("Reserved", ""),
		stream("channeldata-tcp-stream", c, "ok",
			"40 00 00 02 68 65 00 00 00 01 00 00 21 12 a4 42 00*12 40 01 00 01 7a 00 00 00 40 00 00 03 6c 6c 6f 00", hello).
			with("Side Padding", "a STUN message and another channel between"),
		stream("channeldata-tcp-stream-cut", c, "more", "40 00 00 02 68 65 00 00 40 00 00 03 6c 6c 6f", "68 65").
			with("Truncated Padding", "the padding is missing"),
		stream("channeldata-tcp-stream-cookie", c, "malformed",
			"40 00 00 02 68 65 00 00 00 01 00 00 21 12 a4 40 00*12", "68 65").with("Side", ""),
	}
}

// channelDataCaptured: what coturn 4.6.1 and its client, with OpenSSL's DTLS on both ends, sent to each other.
func channelDataCaptured() []vector {
	const (
		capture   = "from a capture: coturn 4.6.1 and OpenSSL 3.0"
		verifyUDP = "16feff00000000000000000023030000170000000000000017feff14e1ef6b25fb97f9773c35d54e751e1cedd75d4525"
		dataUDP   = "17fefd00010000000000010025f4fc10057ad2e491822279794918d24332ff3a4f71164ececd383f1950ad9e1d66135c791d"
		dataTCP   = "17fefd0001000000000001002536f5c1678bc0c2b8323a9208e21ad4ee42566bffc939e424103452edab20465b3c13222b58"
		alertTCP  = "15fefd0001000000000001001a8888b7e0ef669a0651d26706579a41edfa4f4d7416acaca3b93b"
		bound     = "010900182112a442d338f3ce25e29ff6da36bfcb80220014436f7475726e2d342e362e312027476f72737427"
	)
	return []vector{
		decode("channeldata-captured-udp-server", "channeldata:udp", "40000030"+verifyUDP, verifyUDP).with("", capture),
		encode("channeldata-captured-udp-client", "channeldata:udp", dataUDP, "40000032"+dataUDP).with("", capture),
		encode("channeldata-captured-tcp-client", "channeldata:tcp", dataTCP, "40000032"+dataTCP+"0000").
			with("Padding", capture),
		stream("channeldata-captured-tcp-server", "channeldata:tcp", "ok", bound+" 40000027"+alertTCP+"72", alertTCP).
			with("Side Padding Ignored", capture+"; its padding is what was in its memory"),
	}
}
