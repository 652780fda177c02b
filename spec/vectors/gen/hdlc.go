package main

import "slices"

// The check sequences here were computed bit by bit, by another program.
func hdlcVectors() []vector {
	return slices.Concat(hdlcFrames(), hdlcOptions(), hdlcRefused(), hdlcStreams())
}

func hdlcFrames() []vector {
	const c = "hdlc"
	return []vector{
		encode("hdlc-encode", c, hello, "7e ff 03 "+hello+" 62 f5 7e"),
		encode("hdlc-encode-empty", c, "", "7e ff 03 1c c2 7e").with("Empty", ""),
		encode("hdlc-encode-flag", c, "61 7e 62", "7e ff 03 61 7d 5e 62 b1 6a 7e").with("Stuffing", ""),
		encode("hdlc-encode-escape", c, "61 7d 62", "7e ff 03 61 7d 5d 62 d9 40 7e").with("Stuffing", ""),
		encode("hdlc-encode-turned", c, "5d 5e 7d 7e", "7e ff 03 5d 5e 7d 5d 7d 5e 4d 00 7e").
			with("Stuffing", "the bytes behind an escape are not special on their own"),
		encode("hdlc-encode-fcs", c, "36", "7e ff 03 36 e2 7d 5e 7e").
			with("Stuffing Checksum", "the check sequence is stuffed, too"),
		encode("hdlc-encode-all", c, "7e*1500", "7e ff 03 7d5e*1500 28 f3 7e").with("Stuffing Maximum", ""),
		tooLarge("hdlc-encode-over", c, "5a*1501").with("Maximum", ""),

		decode("hdlc-decode", c, "7e ff 03 "+hello+" 62 f5 7e", hello),
		decode("hdlc-decode-empty", c, "7e ff 03 1c c2 7e", "").with("Empty", ""),
		decode("hdlc-decode-one-flag", c, "ff 03 "+hello+" 62 f5 7e", hello).
			with("", "the flag in front is that of the frame before"),
		decode("hdlc-decode-stuffed", c, "7e ff 03 5d 5e 7d 5d 7d 5e 4d 00 7e", "5d 5e 7d 7e").with("Stuffing", ""),
		decode("hdlc-decode-needless", c, "7e 7d df 03 7d 48 65 6c 6c 6f 7d 42 f5 7e", hello).
			with("Stuffing Ignored", "any byte may be escaped"),
		decode("hdlc-decode-control", c, "7e ff 03 00 11 13 1f 20 7f 80 76 ed 7e", "00 11 13 1f 20 7f 80").
			with("", "without an ACCM control characters are bytes like others"),
		decode("hdlc-decode-nothing", c, "7e 7e", "").with("Empty", ""),
		decode("hdlc-decode-short", c, "7e ff 03 1c 7e", "").
			with("Ignored", "shorter than header and check sequence: noise"),
		decode("hdlc-decode-aborted", c, "7e ff 03 "+hello+" 62 f5 7d 7e", "").
			with("Ignored", "an escape in front of the flag"),
	}
}

func hdlcOptions() []vector {
	const control = "00 11 13 1f 20 7f 80"
	return []vector{
		encode("hdlc-fcs32-encode", "hdlc:fcs=32", hello, "7e ff 03 "+hello+" 7b b6 fc 79 7e").with("Checksum", ""),
		encode("hdlc-fcs32-encode-empty", "hdlc:fcs=32", "", "7e ff 03 37 be f4 4b 7e").with("Checksum Empty", ""),
		decode("hdlc-fcs32-decode", "hdlc:fcs=32", "7e ff 03 "+hello+" 7b b6 fc 79 7e", hello).with("Checksum", ""),
		encode("hdlc-noheader-encode", "hdlc:header=none", "31 32 33 34 35 36 37 38 39",
			"7e 31 32 33 34 35 36 37 38 39 6e 90 7e").with("Checksum", "the check value of CRC-16/X-25"),
		encode("hdlc-noheader-fcs32-encode", "hdlc:header=none,fcs=32", "31 32 33 34 35 36 37 38 39",
			"7e 31 32 33 34 35 36 37 38 39 26 39 f4 cb 7e").with("Checksum", "the check value of CRC-32"),
		encode("hdlc-ppp-encode", "hdlc:header=ff030057", hello, "7e ff 03 00 57 "+hello+" 7c 20 7e").
			with("Filler", "a frame of PPP with protocol 0057"),
		decode("hdlc-ppp-decode", "hdlc:header=ff030057", "7e ff 03 00 57 "+hello+" 7c 20 7e", hello).with("Filler", ""),

		encode("hdlc-accm-encode", "hdlc:accm=ffffffff", control,
			"7e ff 7d 23 7d 20 7d 31 7d 33 7d 3f 20 7f 80 76 ed 7e").
			with("Stuffing", "every control character, that of the header, too"),
		encode("hdlc-accm-xonxoff-encode", "hdlc:accm=000a0000", control,
			"7e ff 03 00 7d 31 7d 33 1f 20 7f 80 76 ed 7e").with("Stuffing", "11 and 13 alone"),
		encode("hdlc-accm-all", "hdlc:accm=000f0000,max=7", control,
			"7e ff 03 00 7d 31 7d 33 1f 20 7f 80 76 ed 7e").with("Stuffing", "six special bytes, two there"),
		decode("hdlc-accm-decode", "hdlc:accm=ffffffff", "7e ff 7d 23 7d 20 7d 31 7d 33 7d 3f 20 7f 80 76 ed 7e", control).
			with("Stuffing", ""),
		decode("hdlc-accm-stray", "hdlc:accm=ffffffff",
			"7e ff 0a 7d 23 7d 0d 20 7d 31 7d 33 7d 3f 20 7f 80 76 00 ed 11 7e", control).
			with("Stuffing Ignored", "control characters that were put there on the way"),
		malformed("hdlc-accm-not-stray", "hdlc:accm=000a0000", "7e ff 03 00 7d 31 0a 7d 33 1f 20 7f 80 76 ed 7e").
			with("Stuffing", "one that the ACCM does not name is part of the frame"),
	}
}

func hdlcRefused() []vector {
	const c = "hdlc"
	return []vector{
		malformed("hdlc-truncated-01", c, "").with("Truncated", ""),
		malformed("hdlc-truncated-02", c, "7e").with("Truncated", ""),
		malformed("hdlc-truncated-03", c, "7e ff 03 "+hello+" 62 f5").with("Truncated", ""),
		malformed("hdlc-two", c, "7e ff 03 1c c2 7e ff 03 1c c2 7e").with("Trailing", "two frames in one datagram"),
		malformed("hdlc-fcs-wrong", c, "7e ff 03 "+hello+" 62 f4 7e").with("Checksum", ""),
		malformed("hdlc-fcs-order", c, "7e ff 03 "+hello+" f5 62 7e").with("Checksum", ""),
		malformed("hdlc-fcs-payload", c, "7e ff 03 68 65 6c 6c 6e 62 f5 7e").with("Checksum", ""),
		malformed("hdlc-fcs32-wrong", "hdlc:fcs=32", "7e ff 03 "+hello+" 7b b6 fc 78 7e").with("Checksum", ""),
		malformed("hdlc-fcs-other", "hdlc:fcs=32", "7e ff 03 "+hello+" 62 f5 7e").with("Checksum", "16 bits, not 32"),
		malformed("hdlc-header-wrong", c, "7e 31 32 33 34 35 36 37 38 39 6e 90 7e").with("Filler", ""),
		malformed("hdlc-over-option", "hdlc:max=4", "7e ff 03 "+hello+" 62 f5 7e").with("Maximum", ""),
	}
}

func hdlcStreams() []vector {
	const c, he, ll, o = "hdlc", "7e ff 03 68 65 56 49 7e", "7e ff 03 6c 6c f7 b3 7e", "7e ff 03 6f a6 b1 7e"
	return []vector{
		frameLen("hdlc-framelen-none", c, "", 0),
		frameLen("hdlc-framelen-flag", c, "7e", 0).with("Truncated", ""),
		frameLen("hdlc-framelen-cut", c, he[:len(he)-3], 0).with("Truncated", ""),
		frameLen("hdlc-framelen", c, he+" 7e", 8).with("Trailing", ""),
		noLen("hdlc-framelen-endless", "hdlc:max=4", "7e 55*17").with("Maximum", ""),
		frameLen("hdlc-lossy-framelen-endless", "hdlc:max=4,lossy", "7e 55*19", 18).with("Maximum Lossy", ""),
		stream("hdlc-stream", c, "ok", he+ll+o, hello),
		stream("hdlc-stream-shared", c, "ok", he+ll[3:]+o[3:], hello).with("", "one flag between two frames"),
		stream("hdlc-stream-noise", c, "ok", "55 11"+he+"7e*3 55"+ll+"7e 7d"+o, hello).
			with("Ignored", "noise between the frames, and one aborted"),
		stream("hdlc-stream-cut", c, "more", he+ll[:12], "68 65").with("Truncated", ""),
		stream("hdlc-stream-bad", c, "malformed", he+"7e ff 03 6c 6c f7 b2 7e"+o, "68 65").with("Checksum", ""),
		stream("hdlc-lossy-stream-bad", "hdlc:lossy", "ok", he+"7e ff 03 6c 6c f7 b2 7e"+o, "68 65 6f").
			with("Checksum Lossy", ""),
	}
}
