package main

func capwapVectors() []vector {
	const (
		c         = "capwap"
		alert     = "15 fe fd 00 00 00 00 00 00 00 05 00 02 01 00"
		discovery = "00 10 02 00 00 00 00 00 00 00 00 01 00 00 08 00 00 14 00 01 01"
	)
	return []vector{
		encode("capwap-encode", c, alert, "01 00 00 00 "+alert),
		encode("capwap-encode-empty", c, "", "01 00 00 00").with("Empty", ""),
		tooLarge("capwap-encode-over", c, "5a*65504").with("Maximum", "more than a UDP datagram holds"),
		decode("capwap-decode", c, "01 00 00 00 "+alert, alert),
		decode("capwap-decode-empty", c, "01 00 00 00", "").with("Empty", ""),
		decode("capwap-decode-reserved", c, "01 ff ff ff "+alert, alert).
			with("Ignored", "a reader must not look at the reserved bits"),
		flow("capwap-clear", c, "ok", "< "+discovery, "! side", "< 01 00 00 00 "+alert, "= "+alert).
			with("Side", "a Discovery Request in the clear"),
		malformed("capwap-truncated-01", c, "").with("Truncated", ""),
		malformed("capwap-truncated-02", c, "01").with("Truncated", ""),
		malformed("capwap-truncated-03", c, "01 00 00").with("Truncated", ""),
		malformed("capwap-clear-truncated", c, "00 10 02 00 00 00 00").
			with("Truncated Side", "shorter than the shortest CAPWAP header"),
		malformed("capwap-type", c, "02 00 00 00 "+alert).with("Reserved", ""),
		malformed("capwap-version", c, "11 00 00 00 "+alert).with("Reserved", ""),
		malformed("capwap-bare", c, alert).with("Reserved", "DTLS by itself"),
	}
}
