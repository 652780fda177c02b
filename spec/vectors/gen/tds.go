package main

import "slices"

// tdsVectors are those of the packets: the dialogue before them is no part of a vector.
func tdsVectors() []vector {
	return slices.Concat(tdsSent(), tdsReceived())
}

func tdsSent() []vector {
	const c, small = "tds:exchanged", "tds:exchanged,size=512"
	return []vector{
		encode("tds-encode", c, hello, "12 01 00 0d 00 00 01 00 "+hello),
		flow("tds-encode-empty", c, "ok", "+ ").with("Empty", "a flight without a byte is no packet"),
		encode("tds-encode-full", c, "5a*4088", "12 01 10 00 00 00 01 00 5a*4088").with("Maximum", "4096 bytes"),
		flow("tds-encode-cut", c, "ok", "+ 5a*4089",
			"> 12 00 10 00 00 00 01 00 5a*4088", "> 12 01 00 09 00 00 02 00 5a").
			with("Fragmentation", "only the last packet has the end of its message"),
		flow("tds-encode-cut-even", small, "ok", "+ 5a*1008",
			"> 12 00 02 00 00 00 01 00 5a*504", "> 12 01 02 00 00 00 02 00 5a*504").with("Fragmentation", ""),
		flow("tds-encode-numbers", small, "ok", "+ 5a*505",
			"> 12 00 02 00 00 00 01 00 5a*504", "> 12 01 00 09 00 00 02 00 5a",
			"+ 5b", "> 12 01 00 09 00 00 01 00 5b").
			with("Fragmentation", "the numbers begin again with each message"),
		encode("tds-encode-max", "tds:exchanged,size=32767", "5a*32759", "12 01 7f ff 00 00 01 00 5a*32759").
			with("Maximum", "the longest packet of TDS"),
		tooLarge("tds-encode-over", c, "5a*32760").with("Maximum", ""),
	}
}

func tdsReceived() []vector {
	const c = "tds:exchanged"
	return []vector{
		decode("tds-decode", c, "12 01 00 0d 00 00 01 00 "+hello, hello),
		decode("tds-decode-part", c, "12 00 00 0d 00 00 01 00 "+hello, hello).
			with("Fragmentation", "not the last of its message: released all the same"),
		decode("tds-decode-ignored", c, "12 fe 00 0d 00 33 00 ff "+hello, hello).
			with("Ignored", "status, SPID, number and window"),
		decode("tds-decode-empty", c, "12 01 00 08 00 00 01 00", "").with("Empty", ""),
		decode("tds-decode-reply", c, "04 01 00 0d 00 00 01 00 "+hello, hello).as("client").
			with("", "as old servers send it"),
		malformed("tds-decode-reply-server", c, "04 01 00 0d 00 00 01 00 "+hello).as("server").
			with("Reserved", "no client sends it"),
		decode("tds-decode-max", c, "12 01 7f ff 00 00 01 00 5a*32759", "5a*32759").with("Maximum", "whatever is sent here"),
		stream("tds-stream", c, "ok",
			"12 00 00 0a 00 00 00 00 68 65 12 01 00 08 00 00 01 00 12 01 00 0b 00 00 00 00 6c 6c 6f", hello).
			with("Fragmentation Empty", ""),
		stream("tds-stream-cut", c, "more", "12 00 00 0a 00 00 01 00 68 65 12 01 00 0b 00 00", "68 65").with("Truncated", ""),

		malformed("tds-truncated-01", c, "").with("Truncated", ""),
		malformed("tds-truncated-02", c, "12 01 00").with("Truncated", ""),
		malformed("tds-truncated-03", c, "12 01 00 0d 00 00 01 00 68 65").with("Truncated", ""),
		malformed("tds-trailing", c, "12 01 00 0a 00 00 01 00 "+hello).with("Trailing", ""),
		malformed("tds-underrun", c, "12 01 00 07 00 00 01").with("Underrun", ""),
		malformed("tds-over", c, "12 01 80 00 00 00 01 00 5a*32760").with("Maximum", "longer than a packet can be"),
		malformed("tds-login", c, "10 01 00 0d 00 00 01 00 "+hello).with("Reserved", "LOGIN7 in clear"),
		malformed("tds-batch", c, "01 01 00 0d 00 00 01 00 "+hello).with("Reserved", "SQL"),
		malformed("tds-bare", c, "16 03 01 00 05 "+hello).with("Reserved", "TLS by itself"),

		frameLen("tds-framelen-half", c, "12 01 00", 0).with("Truncated", ""),
		frameLen("tds-framelen", c, "12 01 00 0d", 13),
		frameLen("tds-framelen-max", c, "12 01 7f ff", 32767).with("Maximum", ""),
		noLen("tds-framelen-over", c, "12 01 80 00").with("Maximum", ""),
		noLen("tds-framelen-underrun", c, "12 01 00 07").with("Underrun", ""),
		noLen("tds-framelen-bare", c, "16").with("Reserved", "told from the first byte"),
		noLen("tds-framelen-login", c, "10").with("Reserved", ""),
	}
}
