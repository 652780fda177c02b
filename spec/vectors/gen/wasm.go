package main

import (
	"slices"
	"strings"
)

func wasmVectors() []vector { return slices.Concat(pluginLengths(), pluginVeil()) }

// pluginLengths are of the sample length16, which is length:16be.
func pluginLengths() []vector {
	const c = "wasm:@length16"
	return []vector{
		encode("wasm-length16-encode", c, hello, "00 05 "+hello),
		encode("wasm-length16-encode-empty", c, "", "00 00").with("Empty", ""),
		encode("wasm-length16-encode-max", c, "5a*65535", "ff ff 5a*65535").with("Maximum", "more than the memory of the plugin"),
		tooLarge("wasm-length16-encode-over", c, "5a*65536").with("Maximum", ""),
		decode("wasm-length16-decode", c, "00 05 "+hello, hello),
		decode("wasm-length16-decode-empty", c, "00 00", "").with("Empty", ""),
		decode("wasm-length16-decode-max", c, "ff ff 5a*65535", "5a*65535").with("Maximum", ""),
		malformed("wasm-length16-truncated-01", c, "").with("Truncated", ""),
		malformed("wasm-length16-truncated-02", c, "00").with("Truncated", ""),
		malformed("wasm-length16-truncated-03", c, "00 05 68 65 6c").with("Truncated", ""),
		malformed("wasm-length16-trailing", c, "00 04 "+hello).with("Trailing", ""),
		malformed("wasm-length16-over", c, "ff ff 5a*65536").with("Maximum", "longer than any frame"),
		frameLen("wasm-length16-framelen-none", c, "", 0),
		frameLen("wasm-length16-framelen-half", c, "00", 0).with("Truncated", ""),
		frameLen("wasm-length16-framelen", c, "00 05", 7),
		frameLen("wasm-length16-framelen-behind", c, "00 05 "+hello+" 00 01", 7),
		stream("wasm-length16-stream", c, "ok", "00 05 "+hello+" 00 00 00 01 21", hello+" 21").with("Empty", ""),
		stream("wasm-length16-stream-cut", c, "more", "00 05 "+hello+" 00 05 68", hello).with("Truncated", ""),
	}
}

// The masks of these were computed by another program, and those of 127 and 128 bytes are masks of zeros: themselves.
func pluginVeil() []vector {
	const (
		c     = "wasm:@veil,key=0001020304050607"
		mask  = "08c8bef063e30f6d"
		world = "68656c6c6f2c20776f726c64"
	)
	masks := func(n int) string { return strings.Repeat(mask, n/8) + mask[:n%8*2] }
	return []vector{
		flow("wasm-veil-client", c, "ok", "+ "+hello, "> 05 60add29c0c", "+", "> 00", "+ "+world,
			"> 0c 9f8ddd1dc49c9829989add15").as("client").with("Masking Empty", "an empty payload rolls on, too"),
		flow("wasm-veil-server", c, "ok", "+ "+hello, "> 05 53c3a4ebee", "+", "> 00", "+ "+world,
			"> 0c acbec19b9d53609faba9c193").as("server").with("Masking", "the other mask"),
		flow("wasm-veil-to-client", c, "ok", "< 05 53c3a4ebee", "= "+hello, "< 00", "< 0c acbec19b9d53609faba9c193", "= "+world).
			as("client").with("Masking", ""),
		flow("wasm-veil-to-server", c, "ok", "< 05 60add29c0c", "= "+hello, "< 00", "< 0c 9f8ddd1dc49c9829989add15", "= "+world).
			as("server").with("Masking", ""),
		flow("wasm-veil-short-key", "wasm:@veil,key=c0ffee", "ok", "+ "+hello, "> 05 a0533e9f08").
			as("client").with("Masking", "filled up with zeros"),
		flow("wasm-veil-no-mask", "wasm:@veil,key=08c9bcf367e6096a", "ok", "+ "+hello, "> 05 69656c6c6f").
			as("client").with("Masking", "a key that would make a mask of zero, for ever"),
		encode("wasm-veil-encode-127", c, "00*127", "7f "+masks(127)).as("client").with("Maximum", "of one byte of length"),
		encode("wasm-veil-encode-128", c, "00*128", "80 80 "+masks(128)).as("client"),
		tooLarge("wasm-veil-encode-over", c, "5a*32768").with("Maximum", ""),
		decode("wasm-veil-decode-127", c, "7f "+masks(127), "00*127").as("server"),
		decode("wasm-veil-decode-128", c, "80 80 "+masks(128), "00*128").as("server"),
		malformed("wasm-veil-nonminimal", c, "80 05 "+hello).with("NonMinimal", ""),
		malformed("wasm-veil-nonminimal-127", c, "80 7f "+masks(127)).with("NonMinimal", ""),
		malformed("wasm-veil-truncated-01", c, "").with("Truncated", ""),
		malformed("wasm-veil-truncated-02", c, "80").with("Truncated", ""),
		malformed("wasm-veil-truncated-03", c, "05 68 65 6c 6c").with("Truncated", ""),
		malformed("wasm-veil-trailing", c, "04 "+hello).with("Trailing", ""),
		frameLen("wasm-veil-framelen-none", c, "", 0),
		frameLen("wasm-veil-framelen-one", c, "7f", 128),
		frameLen("wasm-veil-framelen-half", c, "80", 0).with("Truncated", ""),
		frameLen("wasm-veil-framelen-two", c, "80 80", 130),
		frameLen("wasm-veil-framelen-max", c, "ff ff", 32769).with("Maximum", ""),
		noLen("wasm-veil-framelen-nonminimal", c, "80 7f").with("NonMinimal", ""),
		stream("wasm-veil-stream", c, "ok", "05 60add29c0c 00 0c 9f8ddd1dc49c9829989add15", hello+" "+world).as("server").
			with("Masking", ""),
		stream("wasm-veil-stream-malformed", c, "malformed", "05 60add29c0c 80 00", hello).as("server").
			with("Masking NonMinimal", ""),
	}
}
