package main

import "slices"

// descVectors are descriptions as one line each. Those with values of a configuration cannot be written so; the codec
// itself tests them.
func descVectors() []vector {
	return slices.Concat(descConstants(), descLengths(), descCounts(), descPadding(), descSums(), descStreams())
}

func descConstants() []vector {
	const (
		bits  = "desc:a 3 = 5; b 10 any 0x155; c 3 = 1; payload"
		magic = "desc:magic 16 = 0xd71e; payload"
		flags = "desc:flags 4 any 0; type 4 = 1; payload"
		role  = "desc:type 8 client = 1 server = 2; payload"
		half  = "desc:type 8 client any 1 server = 2; payload"
		other = "desc:at 32 time unix; ms 48 time unix-ms; nonce 16 random; payload"
	)
	return []vector{
		encode("desc-bits-encode", bits, hello, "aaa9 "+hello),
		decode("desc-bits-decode", bits, "bff9 "+hello, hello).with("Ignored", ""),
		malformed("desc-bits-wrong", bits, "aaab "+hello),
		encode("desc-le-encode", "desc:a 24 le = 0x010203; b 16 le = 0x0405; payload", hello, "030201 0504 "+hello),
		encode("desc-constant-encode", magic, hello, "d71e "+hello),
		decode("desc-constant-decode", magic, "d71e "+hello, hello),
		decode("desc-constant-empty", magic, "d71e", "").with("Empty", ""),
		malformed("desc-constant-wrong", magic, "d71f "+hello),
		malformed("desc-constant-behind-wrong", "desc:payload; end 8 = 0x7e", hello+" 7f"),
		encode("desc-any-encode", flags, hello, "01 "+hello),
		decode("desc-any-decode", flags, "f1 "+hello, hello).with("Ignored", ""),
		malformed("desc-any-wrong", flags, "00 "+hello).with("", "the other field of the byte is required"),
		encode("desc-role-client", role, hello, "01 "+hello).as("client"),
		encode("desc-role-server", role, hello, "02 "+hello).as("server"),
		decode("desc-role-decode", role, "02 "+hello, hello).as("client"),
		malformed("desc-role-wrong", role, "01 "+hello).as("client").with("", "a client that is sent what a client sends"),
		decode("desc-role-any", half, "ff "+hello, hello).as("server").with("Ignored", ""),
		malformed("desc-role-any-wrong", half, "ff "+hello).as("client"),
		decode("desc-other-decode", other, "ff*12 "+hello, hello).with("Ignored", ""),
		malformed("desc-datagram-short", "desc:a 8 = 1; b 8 any 0; payload; c 8 = 1", "01 01").with("Truncated", ""),
		encode("desc-max-encode", "desc:a 8 = 1; payload max 5", hello, "01 "+hello).with("Maximum", ""),
		tooLarge("desc-max-over", "desc:a 8 = 1; payload max 4", hello).with("Maximum", ""),
		malformed("desc-max-decode-over", "desc:a 8 = 1; payload max 4", "01 "+hello).with("Maximum", ""),
	}
}

func descLengths() []vector {
	const (
		c     = "desc:magic 8 = 0xd7; length 16 len payload; payload"
		whole = "desc:length 16 len frame +1; payload; end 8 = 0x7e"
		small = "desc:length 4 len payload +1; rest 4 = 0; payload"
	)
	return []vector{
		encode("desc-len-encode", c, hello, "d7 0005 "+hello),
		encode("desc-len-encode-empty", c, "", "d7 0000").with("Empty", ""),
		decode("desc-len-decode", c, "d7 0005 "+hello, hello),
		malformed("desc-len-short", c, "d7 0004 "+hello).with("Trailing", ""),
		malformed("desc-len-long", c, "d7 0006 "+hello).with("Truncated", ""),
		malformed("desc-len-cut", c, "d7 00").with("Truncated", ""),
		encode("desc-len-frame-encode", whole, hello, "0009 "+hello+" 7e").with("Inclusive", "2 + 5 + 1, and one more"),
		decode("desc-len-frame-decode", whole, "0009 "+hello+" 7e", hello).with("Inclusive", ""),
		malformed("desc-len-underrun", whole, "0003 7e").with("Inclusive Underrun", "less than an empty payload"),
		encode("desc-len-most", small, "5a*14", "f0 5a*14").with("Maximum", ""),
		tooLarge("desc-len-most-over", small, "5a*15").with("Maximum", ""),
		malformed("desc-len-over", "desc:length 16 len payload; payload max 4", "0005 "+hello).with("Maximum", ""),
		encode("desc-len-le-encode", "desc:length 24 le len payload; payload", hello, "050000 "+hello),
		encode("desc-len-bits-encode", "desc:a 5 = 0x1f; length 22 len payload; b 5 = 0; payload", hello, "f80000a0 "+hello),
	}
}

func descCounts() []vector {
	const (
		wraps   = "desc:n 4 count from 14; rest 4 = 0; payload"
		ignored = "desc:n 8 count; length 8 len payload; payload"
		checked = "desc:n 8 count checked; length 8 len payload; payload max 4"
	)
	return []vector{
		flow("desc-count", wraps, "ok", "+ 61", "> e0 61", "+ 62", "> f0 62", "+ 63", "> 00 63", "< 70 61", "= 61"),
		stream("desc-count-ignored", ignored, "ok", "07 01 61 07 01 62", "61 62").with("Ignored", ""),
		stream("desc-count-checked", checked, "ok", "00 01 61 01 00 02 01 62", "61 62").with("Empty", "an empty one counts"),
		stream("desc-count-repeated", checked, "malformed", "00 01 61 00 01 62", "61"),
		stream("desc-count-skipped", checked, "malformed", "00 01 61 02 01 62", "61"),
	}
}

func descPadding() []vector {
	const (
		c       = "desc:length 8 len payload; payload; pad to 4"
		checked = "desc:length 8 len payload; payload; pad to 4 checked; end 8 = 0x7e"
		header  = "desc:a 8 = 1; pad to 4; payload"
	)
	return []vector{
		encode("desc-pad-encode", c, hello, "05 "+hello+" 0000"),
		encode("desc-pad-encode-none", c, "61 62 63", "03 61 62 63"),
		encode("desc-pad-encode-empty", c, "", "00 000000").with("Empty", ""),
		decode("desc-pad-decode", c, "05 "+hello+" 0000", hello),
		decode("desc-pad-ignored", c, "05 "+hello+" ffff", hello).with("Ignored", ""),
		malformed("desc-pad-missing", c, "05 "+hello).with("Truncated", ""),
		malformed("desc-pad-more", c, "05 "+hello+" 0000 00000000").with("Trailing", ""),
		encode("desc-pad-closing-encode", checked, hello, "05 "+hello+" 0000 7e"),
		malformed("desc-pad-checked", checked, "05 "+hello+" 0001 7e"),
		encode("desc-pad-header-encode", header, hello, "01 000000 "+hello),
		decode("desc-pad-header-decode", header, "01 010203 "+hello, hello).with("Ignored", ""),
		malformed("desc-pad-header-checked", "desc:a 8 = 1; pad to 4 checked; payload", "01 010203 "+hello),
	}
}

// The checksums were computed with programs that are not this one: each CRC bit by bit, after the catalogue.
func descSums() []vector {
	const (
		c      = "desc:a 8 = 1; payload; check 32 crc32c"
		own    = "desc:length 16 len payload; sum 16 sum16 over length to payload; payload"
		header = "desc:a 8 = 0x12; check 8 xor8; length 8 len payload; payload"
		nested = "desc:inner 8 xor8 over payload; payload; outer 16 le crc16-x25"
	)
	return []vector{
		encode("desc-sum-encode", c, hello, "01 "+hello+" 6719daea"),
		decode("desc-sum-decode", c, "01 "+hello+" 6719daea", hello),
		malformed("desc-sum-wrong", c, "01 68 65 6c 6c 6e 6719daea").with("Checksum", ""),
		encode("desc-sum-own", own, hello, "0005 bc28 "+hello).with("Checksum", "its own field counts as zero"),
		malformed("desc-sum-own-wrong", own, "0005 0000 "+hello).with("Checksum", ""),
		encode("desc-sum-header", header, hello, "12 12 05 "+hello).with("Checksum", ""),
		malformed("desc-sum-header-wrong", header, "12 13 05 "+hello).with("Checksum", ""),
		encode("desc-sum-nested", nested, hello, "62 "+hello+" a283").with("Checksum", "one covers the other"),
		malformed("desc-sum-nested-inner", nested, "63 "+hello+" a283").with("Checksum", ""),
	}
}

func descStreams() []vector {
	const c = "desc:magic 8 = 0xd7; length 8 len payload; behind 8 = 1; payload; pad to 4; end 8 = 0x7e"
	return []vector{
		frameLen("desc-framelen-none", c, "", 0),
		frameLen("desc-framelen-cut", c, "d7", 0).with("Truncated", ""),
		frameLen("desc-framelen", c, "d7 05", 9).with("", "3 + 5 + 1, known as soon as the length is there"),
		frameLen("desc-framelen-pad", c, "d7 06", 13),
		noLen("desc-framelen-constant", c, "d8 05").with("", "refused before the length is believed"),
		noLen("desc-framelen-over", "desc:length 8 len payload; payload max 4", "05").with("Maximum", ""),
		stream("desc-stream", c, "ok", "d7 01 01 61 7e d7 00 01 00 7e d7 02 01 62 63 000000 7e", "61 62 63").with("Empty", ""),
		stream("desc-stream-cut", c, "more", "d7 01 01 61 7e d7 01 01 61", "61").with("Truncated", ""),
		stream("desc-stream-bad", c, "malformed", "d7 01 01 61 7e d7 01 02 62 7e", "61").with("", "behind the length"),
	}
}
