package main

import "slices"

// tpktVectors are those of the frames: the dialogue before them is no part of a vector.
func tpktVectors() []vector {
	return slices.Concat(tpktSent(), tpktReceived())
}

func tpktSent() []vector {
	const c, small = "tpkt:connected", "tpkt:connected,size=128"
	return []vector{
		encode("tpkt-encode", c, hello, "03 00 00 0c 02 f0 80 "+hello),
		encode("tpkt-encode-empty", c, "", "03 00 00 07 02 f0 80").with("Empty", ""),
		encode("tpkt-encode-max", c, "5a*65528", "03 00 ff ff 02 f0 80 5a*65528").
			with("Maximum", "the longest packet of TPKT"),
		tooLarge("tpkt-encode-over", c, "5a*65529").with("Maximum", ""),
		encode("tpkt-encode-fits", small, "5a*125", "03 00 00 84 02 f0 80 5a*125").
			with("Fragmentation", "a TPDU of 128 bytes"),
		flow("tpkt-encode-cut", small, "ok", "+ 5a*126", "> 03 00 00 84 02 f0 00 5a*125", "> 03 00 00 08 02 f0 80 5a").
			with("Fragmentation", "only the last TPDU has the end of its unit"),
		flow("tpkt-encode-cut-even", small, "ok", "+ 5a*250",
			"> 03 00 00 84 02 f0 00 5a*125", "> 03 00 00 84 02 f0 80 5a*125").with("Fragmentation", ""),
	}
}

func tpktReceived() []vector {
	const c = "tpkt:connected"
	return []vector{
		decode("tpkt-decode", c, "03 00 00 0c 02 f0 80 "+hello, hello),
		decode("tpkt-decode-empty", c, "03 00 00 07 02 f0 80", "").with("Empty", ""),
		decode("tpkt-decode-part", c, "03 00 00 0c 02 f0 00 "+hello, hello).
			with("Fragmentation", "not the last of its unit: released all the same"),
		decode("tpkt-decode-ignored", c, "03 ff 00 0c 02 f0 a5 "+hello, hello).
			with("Ignored", "TPKT's reserved byte and the number of the TPDU"),
		stream("tpkt-stream", c, "ok",
			"03 00 00 09 02 f0 00 68 65 03 00 00 07 02 f0 80 03 00 00 0a 02 f0 80 6c 6c 6f", hello).
			with("Fragmentation Empty", ""),
		stream("tpkt-stream-cut", c, "more", "03 00 00 09 02 f0 80 68 65 03 00 00 0a 02 f0", "68 65").with("Truncated", ""),
		flow("tpkt-disconnect", c, "ok", "< 03 00 00 09 02 f0 80 68 65", "= 68 65",
			"< 03 00 00 0b 06 80 00 01 00 02 80", "! done").with("Control", "normal, by the session"),
		flow("tpkt-disconnect-none", c, "ok", "< 03 00 00 0b 06 80 00 01 00 02 00", "! done").
			with("Control", "no reason given"),
		flow("tpkt-disconnect-then-data", c, "malformed", "< 03 00 00 0b 06 80 00 01 00 02 80", "! done",
			"< 03 00 00 09 02 f0 80 68 65").with("Control", ""),
		malformed("tpkt-disconnect-short", c, "03 00 00 0a 05 80 00 01 00 02").with("Control Truncated", ""),

		malformed("tpkt-truncated-01", c, "").with("Truncated", ""),
		malformed("tpkt-truncated-02", c, "03 00 00").with("Truncated", ""),
		malformed("tpkt-truncated-03", c, "03 00 00 0c 02 f0 80 68 65").with("Truncated", ""),
		malformed("tpkt-trailing", c, "03 00 00 09 02 f0 80 "+hello).with("Trailing", ""),
		malformed("tpkt-underrun", c, "03 00 00 06 02 f0").with("Underrun", ""),
		malformed("tpkt-version", c, "02 00 00 0c 02 f0 80 "+hello).with("Reserved", ""),
		malformed("tpkt-header-long", c, "03 00 00 0c 03 f0 80 "+hello).with("Reserved", "a COTP header of four bytes"),
		malformed("tpkt-header-short", c, "03 00 00 0c 01 f0 80 "+hello).with("Reserved", ""),
		malformed("tpkt-request", c, "03 00 00 0b 06 e0 00 00 00 01 00").with("Control", "CR, when there is a connection"),
		malformed("tpkt-error", c, "03 00 00 09 04 70 00 01 00").with("Control", "ER"),
		malformed("tpkt-expedited", c, "03 00 00 0c 02 10 80 "+hello).with("Reserved", "not of class 0"),

		frameLen("tpkt-framelen-half", c, "03 00 00", 0).with("Truncated", ""),
		frameLen("tpkt-framelen", c, "03 00 00 0c", 12),
		frameLen("tpkt-framelen-max", c, "03 00 ff ff", 65535).with("Maximum", ""),
		noLen("tpkt-framelen-version", c, "16").with("Reserved", "TLS by itself, told from the first byte"),
		noLen("tpkt-framelen-underrun", c, "03 00 00 06").with("Underrun", ""),
	}
}
