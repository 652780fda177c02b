package main

import (
	"fmt"
	"slices"
)

const hello = "68 65 6c 6c 6f"

func lengthVectors() []vector {
	return slices.Concat(fixedVectors(), widthVectors(), inclusiveVectors(), varintVectors(), fillerVectors())
}

func fixedVectors() []vector {
	const c = "length:16be"
	return []vector{
		encode("length-encode", c, hello, "00 05 "+hello),
		encode("length-encode-empty", c, "", "00 00").with("Empty", "an empty payload is legal and has a frame"),
		encode("length-encode-max", c, "5a*65535", "ff ff 5a*65535").with("Maximum", "as long as the field can say"),
		tooLarge("length-encode-over", c, "5a*65536").with("Maximum", "one byte more than the field can say"),
		tooLarge("length-encode-over-option", "length:16be,max=4", hello).
			with("Maximum", "five bytes, four are allowed"),

		decode("length-decode", c, "00 05 "+hello, hello),
		decode("length-decode-empty", c, "00 00", "").with("Empty", ""),
		decode("length-decode-max", c, "ff ff 5a*65535", "5a*65535").with("Maximum", ""),
		malformed("length-truncated-01", c, "").with("Truncated", "no byte at all"),
		malformed("length-truncated-02", c, "00").with("Truncated", "half a length field"),
		malformed("length-truncated-03", c, "00 05 68 65 6c").with("Truncated", "length says five bytes, three follow"),
		malformed("length-truncated-04", c, "00 05").with("Truncated", "length says five bytes, none follows"),
		malformed("length-trailing", c, "00 02 "+hello).
			with("Trailing", "length says two bytes, five follow: a datagram"),
		malformed("length-over-option", "length:16be,max=4", "00 05 "+hello).
			with("Maximum", "five bytes, four are allowed"),

		frameLen("length-framelen-none", c, "", 0),
		frameLen("length-framelen-half", c, "00", 0).with("Truncated", "half a length field"),
		frameLen("length-framelen-header", c, "00 05", 7).with("", "the field is enough, no payload needs to be there"),
		frameLen("length-framelen-behind", c, "00 05 "+hello+" ff ff ff", 7).
			with("Trailing", "the next frame does not matter"),
		noLen("length-framelen-over-option", "length:16be,max=4", "00 05").
			with("Maximum", "refused before the payload comes"),

		stream("length-stream", c, "ok", "00 05 "+hello+" 00 00 00 01 21", hello+" 21").
			with("Empty", "three frames, the second empty"),
		stream("length-stream-cut", c, "more", "00 05 "+hello+" 00 05 68", hello).
			with("Truncated", "ends inside the second frame"),
	}
}

func widthVectors() []vector {
	var all []vector
	for _, w := range []struct{ name, header string }{
		{"8", "05"}, {"16le", "05 00"}, {"24be", "00 00 05"}, {"24le", "05 00 00"}, {"32be", "00 00 00 05"},
		{"32le", "05 00 00 00"}, {"64be", "00 00 00 00 00 00 00 05"}, {"64le", "05 00 00 00 00 00 00 00"},
	} {
		codec := "length:" + w.name
		all = append(all,
			encode(fmt.Sprintf("length-%s-encode", w.name), codec, hello, w.header+" "+hello),
			decode(fmt.Sprintf("length-%s-decode", w.name), codec, w.header+" "+hello, hello))
	}
	return append(all,
		encode("length-8-encode-max", "length:8", "5a*255", "ff 5a*255").with("Maximum", ""),
		tooLarge("length-8-encode-over", "length:8", "5a*256").with("Maximum", ""),
		noLen("length-32be-framelen-top", "length:32be", "ff ff ff ff").with("Maximum", "more than 31 bits"),
		noLen("length-64be-framelen-top", "length:64be", "80 00 00 00 00 00 00 00").
			with("Maximum", "negative, to a careless reader"),
		noLen("length-64be-framelen-wrap", "length:64be", "ff ff ff ff ff ff ff ff").
			with("Maximum", "adding the header would wrap around"),
		noLen("length-64le-framelen-top", "length:64le", "00 00 00 00 00 00 00 80").with("Maximum", ""))
}

func inclusiveVectors() []vector {
	const c = "length:16be,incl"
	return []vector{
		encode("length-incl-encode", c, hello, "00 07 "+hello).with("Inclusive", ""),
		encode("length-incl-encode-empty", c, "", "00 02").with("Inclusive Empty", ""),
		encode("length-incl-encode-max", c, "5a*65533", "ff ff 5a*65533").with("Inclusive Maximum", ""),
		tooLarge("length-incl-encode-over", c, "5a*65534").with("Inclusive Maximum", ""),
		decode("length-incl-decode", c, "00 07 "+hello, hello).with("Inclusive", ""),
		decode("length-incl-decode-empty", c, "00 02", "").with("Inclusive Empty", ""),
		malformed("length-incl-underrun-01", c, "00 00").with("Inclusive Underrun", "less than the field itself"),
		malformed("length-incl-underrun-02", c, "00 01").with("Inclusive Underrun", "less than the field itself"),
		noLen("length-incl-framelen-underrun", c, "00 01").
			with("Inclusive Underrun", "a reader that goes on would never advance"),
		frameLen("length-incl-framelen", c, "00 07", 7).with("Inclusive", ""),
		encode("length-8-incl-encode-max", "length:8,incl", "5a*254", "ff 5a*254").with("Inclusive Maximum", ""),
		noLen("length-64be-incl-framelen-underrun", "length:64be,incl", "00 00 00 00 00 00 00 07").
			with("Inclusive Underrun", ""),
	}
}

func varintVectors() []vector {
	const c = "length:varint"
	return []vector{
		encode("length-varint-encode", c, hello, "05 "+hello),
		encode("length-varint-encode-empty", c, "", "00").with("Empty", ""),
		encode("length-varint-encode-127", c, "5a*127", "7f 5a*127").with("", "the longest with one byte"),
		encode("length-varint-encode-128", c, "5a*128", "80 01 5a*128").with("", "the shortest with two bytes"),
		encode("length-varint-encode-300", c, "5a*300", "ac 02 5a*300").
			with("", "the example of the protobuf documentation"),
		encode("length-varint-encode-16384", c, "5a*16384", "80 80 01 5a*16384").
			with("", "the shortest with three bytes"),
		decode("length-varint-decode", c, "05 "+hello, hello),
		decode("length-varint-decode-empty", c, "00", "").with("Empty", ""),
		decode("length-varint-decode-300", c, "ac 02 5a*300", "5a*300"),
		malformed("length-varint-truncated-01", c, "").with("Truncated", ""),
		malformed("length-varint-truncated-02", c, "ac").with("Truncated", "half a varint"),
		malformed("length-varint-truncated-03", c, "05 68 65 6c").
			with("Truncated", "length says five bytes, three follow"),
		malformed("length-varint-trailing", c, "02 "+hello).with("Trailing", ""),
		malformed("length-varint-nonminimal-01", c, "80 00").with("NonMinimal", "zero in two bytes"),
		malformed("length-varint-nonminimal-02", c, "85 80 00 "+hello).with("NonMinimal", "five in three bytes"),
		noLen("length-varint-framelen-nonminimal", c, "85 80 00").with("NonMinimal", ""),
		noLen("length-varint-framelen-overlong-01", c, "80 80 80 80 80 01").with("Maximum", "35 bits and more"),
		noLen("length-varint-framelen-overlong-02", c, "80 80 80 80 80").
			with("Maximum", "told from the fifth byte: it may not go on"),
		noLen("length-varint-framelen-top", c, "ff ff ff ff 0f").with("Maximum", "32 bits"),
		frameLen("length-varint-framelen-half", c, "ac", 0).with("Truncated", ""),
		frameLen("length-varint-framelen", c, "ac 02", 302),
		stream("length-varint-stream", c, "ok", "05 "+hello+" 80 01 5a*128 00", hello+" 5a*128"),
	}
}

func fillerVectors() []vector {
	const (
		tpkt  = "length:16be,prefix=0300,suffix=02f080,incl"
		http2 = "length:24be,suffix=000000000001,adjust=6"
		tds   = "length:16be,prefix=12~01,suffix=~00~00~00~00,incl"
		field = "length:varint,prefix=0a"
	)
	return []vector{
		encode("length-filler-encode", tpkt, hello, "03 00 00 0c 02 f0 80 "+hello).
			with("Filler Inclusive", "COTP data in TPKT"),
		decode("length-filler-decode", tpkt, "03 00 00 0c 02 f0 80 "+hello, hello).with("Filler Inclusive", ""),
		malformed("length-filler-prefix", tpkt, "04 00 00 0c 02 f0 80 "+hello).
			with("Filler", "the first byte is wrong"),
		malformed("length-filler-suffix", tpkt, "03 00 00 0c 02 f0 00 "+hello).
			with("Filler", "the last byte in front of the payload is wrong"),
		malformed("length-filler-truncated", tpkt, "03 00 00 06 02 f0").
			with("Filler Truncated Underrun", "ends inside the suffix, and says so"),
		noLen("length-filler-framelen-prefix", tpkt, "04 00 00 0c").with("Filler", ""),
		frameLen("length-filler-framelen-half", tpkt, "03 00 00", 0).with("Filler Truncated", ""),
		frameLen("length-filler-framelen", tpkt, "03 00 00 0c", 12).with("Filler Inclusive", ""),

		encode("length-adjust-encode", http2, hello, "00 00 05 00 00 00 00 00 01 "+hello).
			with("Filler", "the field counts the payload alone"),
		decode("length-adjust-decode", http2, "00 00 05 00 00 00 00 00 01 "+hello, hello).with("Filler", ""),
		frameLen("length-adjust-framelen", http2, "00 00 05", 14).with("Filler", ""),
		encode("length-adjust-negative-encode", "length:16be,prefix=d701,adjust=-2", hello, "d7 01 00 07 "+hello).
			with("Filler", "the field counts itself, too, but not the prefix"),
		malformed("length-adjust-negative-underrun", "length:16be,prefix=d701,adjust=-2", "d7 01 00 01").
			with("Filler Underrun", ""),

		encode("length-ignored-encode", tds, hello, "12 01 00 0d 00 00 00 00 "+hello).
			with("Filler Ignored", "a header like that of TDS"),
		decode("length-ignored-decode", tds, "12 00 00 0d 00 33 01 00 "+hello, hello).
			with("Filler Ignored", "other values in the bytes that a reader ignores"),
		malformed("length-ignored-required", tds, "13 01 00 0d 00 00 00 00 "+hello).
			with("Filler Ignored", "but not in the others"),

		encode("length-field-encode", field, hello, "0a 05 "+hello).with("Filler", "a protobuf message with field 1"),
		decode("length-field-decode", field, "0a 05 "+hello, hello).with("Filler", ""),
		malformed("length-field-prefix", field, "12 05 "+hello).with("Filler", ""),
	}
}
