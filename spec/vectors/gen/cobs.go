package main

import (
	"encoding/hex"
	"slices"
)

func cobsVectors() []vector {
	return slices.Concat(cobsFrames(), cobsSums(), cobsStreams())
}

// upTo returns the bytes from the first to the last.
func upTo(first, last byte) string {
	var p []byte
	for v := int(first); v <= int(last); v++ {
		p = append(p, byte(v))
	}
	return hex.EncodeToString(p)
}

func cobsFrames() []vector {
	const c = "cobs"
	return []vector{
		encode("cobs-encode", c, hello, "06 "+hello+" 00"),
		encode("cobs-encode-empty", c, "", "01 00").with("Empty", ""),
		encode("cobs-encode-zero", c, "00", "01 01 00").with("Stuffing", ""),
		encode("cobs-encode-zeros", c, "00 00", "01 01 01 00").with("Stuffing", ""),
		encode("cobs-encode-inside", c, "11 22 00 33", "03 11 22 02 33 00").with("Stuffing", ""),
		encode("cobs-encode-behind", c, "11 00 00 00", "02 11 01 01 01 00").with("Stuffing", ""),
		encode("cobs-encode-253", c, upTo(1, 253), "fe "+upTo(1, 253)+" 00").
			with("Stuffing", "the longest piece that a zero may follow"),
		encode("cobs-encode-254", c, upTo(1, 254), "ff "+upTo(1, 254)+" 00").
			with("Stuffing", "a full block, and no empty one behind it"),
		encode("cobs-encode-255", c, upTo(1, 255), "ff "+upTo(1, 254)+" 02 ff 00").with("Stuffing", ""),
		encode("cobs-encode-508", c, "5a*508", "ff 5a*254 ff 5a*254 00").with("Stuffing", ""),
		encode("cobs-encode-zero-254", c, "00 "+upTo(1, 254), "01 ff "+upTo(1, 254)+" 00").with("Stuffing", ""),
		encode("cobs-encode-253-zero", c, upTo(1, 253)+" 00", "fe "+upTo(1, 253)+" 01 00").with("Stuffing", ""),
		encode("cobs-encode-254-zero", c, upTo(1, 254)+" 00", "ff "+upTo(1, 254)+" 01 01 00").
			with("Stuffing", "the zero is not that of the full block"),
		encode("cobs-encode-253-zero-1", c, upTo(3, 255)+" 00 01", "fe "+upTo(3, 255)+" 02 01 00").with("Stuffing", ""),
		encode("cobs-encode-max", "cobs:max=300", "00*300", "01*301 00").with("Maximum Stuffing", ""),
		tooLarge("cobs-encode-over", c, "5a*18438").with("Maximum", "one byte more than the longest TLS record"),
		tooLarge("cobs-encode-over-option", "cobs:max=4", hello).with("Maximum", ""),

		decode("cobs-decode", c, "06 "+hello+" 00", hello),
		decode("cobs-decode-empty", c, "01 00", "").with("Empty", ""),
		decode("cobs-decode-nothing", c, "00", "").with("Empty", "a zero without a frame"),
		decode("cobs-decode-inside", c, "03 11 22 02 33 00", "11 22 00 33").with("Stuffing", ""),
		decode("cobs-decode-254", c, "ff "+upTo(1, 254)+" 00", upTo(1, 254)).with("Stuffing", ""),
		decode("cobs-decode-254-empty", c, "ff "+upTo(1, 254)+" 01 00", upTo(1, 254)).
			with("Stuffing Ignored", "the empty block that the algorithm of the paper writes"),
		decode("cobs-decode-254-zero", c, "ff "+upTo(1, 254)+" 01 01 00", upTo(1, 254)+" 00").with("Stuffing", ""),
		malformed("cobs-truncated-01", c, "").with("Truncated", ""),
		malformed("cobs-truncated-02", c, "06 "+hello).with("Truncated", ""),
		malformed("cobs-block-cut-01", c, "03 61 00").with("Truncated Stuffing", "two bytes announced, one there"),
		malformed("cobs-block-cut-02", c, "02 61 02 00").with("Truncated Stuffing", "in the second block"),
		malformed("cobs-block-cut-03", c, "ff 5a*253 00").with("Truncated Stuffing", ""),
		malformed("cobs-two", c, "02 61 00 02 62 00").with("Trailing", "two frames in one datagram"),
		malformed("cobs-over-option", "cobs:max=4", "06 "+hello+" 00").with("Maximum", ""),
	}
}

func cobsSums() []vector {
	const digits = "31 32 33 34 35 36 37 38 39"
	return []vector{
		encode("cobs-crc16-encode", "cobs:crc=16", digits, "0c "+digits+" 6e 90 00").
			with("Checksum", "the check value of CRC-16/X-25"),
		encode("cobs-crc32-encode", "cobs:crc=32", digits, "0e "+digits+" 26 39 f4 cb 00").
			with("Checksum", "the check value of CRC-32"),
		encode("cobs-crc16-encode-empty", "cobs:crc=16", "", "01 01 01 00").
			with("Checksum Empty", "the checksum of nothing is zero"),
		encode("cobs-crc32-encode-empty", "cobs:crc=32", "", "01 01 01 01 01 00").with("Checksum Empty", ""),
		decode("cobs-crc16-decode", "cobs:crc=16", "0c "+digits+" 6e 90 00", digits).with("Checksum", ""),
		decode("cobs-crc32-decode", "cobs:crc=32", "0e "+digits+" 26 39 f4 cb 00", digits).with("Checksum", ""),
		malformed("cobs-crc16-order", "cobs:crc=16", "0c "+digits+" 90 6e 00").
			with("Checksum", "the most significant byte first"),
		malformed("cobs-crc16-wrong", "cobs:crc=16", "0c 30"+digits[2:]+" 6e 90 00").with("Checksum", ""),
		malformed("cobs-crc32-wrong", "cobs:crc=32", "0e "+digits+" 26 39 f4 ca 00").with("Checksum", ""),
		malformed("cobs-crc16-short", "cobs:crc=16", "02 61 00").with("Checksum Truncated", "shorter than a checksum"),
	}
}

func cobsStreams() []vector {
	const c = "cobs"
	return []vector{
		frameLen("cobs-framelen-none", c, "", 0),
		frameLen("cobs-framelen-cut", c, "06 68", 0).with("Truncated", ""),
		frameLen("cobs-framelen", c, "06 "+hello+" 00 02", 7).with("Trailing", ""),
		frameLen("cobs-framelen-zero", c, "00 02 61 00", 1).with("Empty", ""),
		noLen("cobs-framelen-endless", "cobs:max=4", "01*6").with("Maximum", ""),
		frameLen("cobs-lossy-framelen-endless", "cobs:max=4,lossy", "01*8", 6).with("Maximum Lossy", ""),
		stream("cobs-stream", c, "ok", "03 68 65 00 00 00 03 6c 6c 00 02 6f 00", hello).with("Empty", ""),
		stream("cobs-stream-cut", c, "more", "03 68 65 00 03 6c", "68 65").with("Truncated", ""),
		stream("cobs-stream-bad", c, "malformed", "03 68 65 00 09 6c 00 02 6f 00", "68 65"),
		stream("cobs-lossy-stream-bad", "cobs:lossy", "ok", "03 68 65 00 09 6c 00 02 6f 00", "68 65 6f").
			with("Lossy", ""),
		stream("cobs-lossy-stream-sum", "cobs:lossy,crc=16", "ok",
			"02 61 00 0c 31 32 33 34 35 36 37 38 39 60 90 00 04 61 f7 82 00", "61").with("Lossy Checksum", ""),
	}
}
