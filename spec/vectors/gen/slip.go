package main

import "slices"

func slipVectors() []vector {
	return slices.Concat(slipFrames(), slipStreams())
}

func slipFrames() []vector {
	const c = "slip"
	return []vector{
		encode("slip-encode", c, hello, "c0 "+hello+" c0"),
		encode("slip-encode-empty", c, "", "c0 c0").with("Empty", ""),
		encode("slip-encode-end", c, "61 c0 62", "c0 61 db dc 62 c0").with("Stuffing", ""),
		encode("slip-encode-esc", c, "61 db 62", "c0 61 db dd 62 c0").with("Stuffing", ""),
		encode("slip-encode-codes", c, "db dc dd c0", "c0 db dd dc dd db dc c0").
			with("Stuffing", "the bytes behind an ESC are not special on their own"),
		encode("slip-encode-all", c, "c0*1006", "c0 dbdc*1006 c0").
			with("Stuffing Maximum", "the longest frame: every byte escaped"),
		tooLarge("slip-encode-over", c, "5a*1007").with("Maximum", ""),
		tooLarge("slip-encode-over-option", "slip:max=4", hello).with("Maximum", ""),
		encode("slip-noflush-encode", "slip:noflush", hello, hello+" c0"),
		encode("slip-noflush-encode-empty", "slip:noflush", "", "c0 c0").
			with("Empty", "a single END could be the first one of a frame"),

		decode("slip-decode", c, "c0 "+hello+" c0", hello),
		decode("slip-decode-empty", c, "c0 c0", "").with("Empty", ""),
		decode("slip-decode-noflush", c, hello+" c0", hello).with("", "a peer that writes no END in front"),
		decode("slip-decode-escapes", c, "c0 db dc db dd db dd dc db dc c0", "c0 db db dc c0").with("Stuffing", ""),
		decode("slip-decode-all", c, "c0 dbdc*1006 c0", "c0*1006").with("Stuffing Maximum", ""),
		malformed("slip-truncated-01", c, "").with("Truncated", ""),
		malformed("slip-truncated-02", c, "c0").with("Truncated", ""),
		malformed("slip-truncated-03", c, "c0 "+hello).with("Truncated", ""),
		malformed("slip-two", c, "c0 61 c0 62 c0").with("Trailing", "two frames in one datagram"),
		malformed("slip-escape-wrong", c, "c0 61 db 61 c0").
			with("Stuffing", "the RFC would take the byte as it is; TLS could not use it"),
		malformed("slip-escape-twice", c, "c0 db db dc c0").with("Stuffing", ""),
		malformed("slip-escape-last", c, "c0 61 db c0").with("Stuffing", ""),
		malformed("slip-over-option", "slip:max=4", "c0 "+hello+" c0").with("Maximum", ""),
	}
}

func slipStreams() []vector {
	const c = "slip"
	return []vector{
		frameLen("slip-framelen-none", c, "", 0),
		frameLen("slip-framelen-end", c, "c0", 0).with("Truncated", ""),
		frameLen("slip-framelen-cut", c, "c0 61 db dc", 0).with("Truncated", ""),
		frameLen("slip-framelen", c, "c0 61 c0 c0 62", 3).with("Trailing", ""),
		frameLen("slip-framelen-noflush", c, "61 c0", 2),
		frameLen("slip-framelen-empty", c, "c0 c0 61", 2).with("Empty", ""),
		frameLen("slip-framelen-last", "slip:max=4", "c0 dbdc*4 c0", 10).with("Maximum", ""),
		noLen("slip-framelen-endless", "slip:max=4", "c0 61*9").with("Maximum", "no END where the last could be"),
		frameLen("slip-lossy-framelen-endless", "slip:max=4,lossy", "c0 61*12", 10).
			with("Maximum Lossy", "cut where the last END could be"),

		stream("slip-stream", c, "ok", "c0 68 65 c0 c0 c0 c0 6c db dc c0", "68 65 6c c0").with("Empty", ""),
		stream("slip-stream-shared", c, "ok", "c0 68 65 c0 6c 6c 6f c0", hello).
			with("", "one END between two frames"),
		stream("slip-stream-idle", c, "more", "c0*5 "+hello+" c0*4", hello).
			with("Empty", "the last END could be the first one of a frame"),
		stream("slip-stream-bad", c, "malformed", "c0 68 65 c0 c0 db 00 c0 c0 6c c0", "68 65").with("Stuffing", ""),
		stream("slip-lossy-stream-bad", "slip:lossy", "ok", "c0 68 65 c0 c0 db 00 c0 c0 6c c0", "68 65 6c").
			with("Stuffing Lossy", ""),
		stream("slip-lossy-stream-endless", "slip:lossy,max=4", "ok", "61*10 61*10 62 c0 c0 63 c0", "62 63").
			with("Maximum Lossy", "cut twice; the rest is a frame like any other"),
	}
}
