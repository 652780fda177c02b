package main

func shimVectors() []vector {
	const (
		vxlan, geneve, gue = "shim:vxlan,vni=4242", "shim:geneve,vni=4242", "shim:gue"
		alert              = "15 fe fd 00 00 00 00 00 00 00 05 00 02 01 00"
	)
	return []vector{
		encode("shim-vxlan-encode", vxlan, alert, "08 00 00 00 00 10 92 00 "+alert),
		encode("shim-vxlan-encode-empty", vxlan, "", "08 00 00 00 00 10 92 00").with("Empty", ""),
		tooLarge("shim-vxlan-encode-over", vxlan, "5a*65500").with("Maximum", "more than a UDP datagram holds"),
		decode("shim-vxlan-decode", vxlan, "08 00 00 00 00 10 92 00 "+alert, alert),
		decode("shim-vxlan-reserved", vxlan, "ff ff ff ff 00 10 92 ff "+alert, alert).with("Ignored Reserved", ""),
		malformed("shim-vxlan-flag", vxlan, "00 00 00 00 00 10 92 00 "+alert).with("", "the VNI is said not to be one"),
		malformed("shim-vxlan-vni", vxlan, "08 00 00 00 00 10 93 00 "+alert).with("", "another network"),
		malformed("shim-vxlan-truncated-01", vxlan, "").with("Truncated", ""),
		malformed("shim-vxlan-truncated-02", vxlan, "08 00 00 00 00 10 92").with("Truncated", ""),

		encode("shim-geneve-encode", geneve, alert, "00 00 88 b5 00 10 92 00 "+alert),
		encode("shim-geneve-encode-proto", "shim:geneve,proto=0x6558", alert, "00 00 65 58 00 00 00 00 "+alert),
		decode("shim-geneve-decode", geneve, "00 00 88 b5 00 10 92 00 "+alert, alert),
		decode("shim-geneve-reserved", geneve, "00 3f 88 b5 00 10 92 ff "+alert, alert).with("Ignored Reserved", ""),
		decode("shim-geneve-options", geneve, "02 00 88 b5 00 10 92 00 01 02 03 01 aa bb cc dd "+alert, alert).
			with("Ignored", "one option, not critical"),
		malformed("shim-geneve-critical", geneve, "02 40 88 b5 00 10 92 00 01 02 83 01 aa bb cc dd "+alert).
			with("", "an option that must be understood"),
		malformed("shim-geneve-control", geneve, "00 80 88 b5 00 10 92 00 "+alert).with("Control", ""),
		malformed("shim-geneve-version", geneve, "40 00 88 b5 00 10 92 00 "+alert).with("Reserved", ""),
		malformed("shim-geneve-proto", geneve, "00 00 65 58 00 10 92 00 "+alert).with("", "another protocol"),
		malformed("shim-geneve-vni", geneve, "00 00 88 b5 00 10 93 00 "+alert).with("", "another network"),
		malformed("shim-geneve-truncated-01", geneve, "00 00 88 b5 00 10 92").with("Truncated", ""),
		malformed("shim-geneve-truncated-02", geneve, "02 00 88 b5 00 10 92 00 01 02 03 01").
			with("Truncated", "within the options"),

		encode("shim-gue-encode", gue, alert, "00 3b 00 00 "+alert),
		encode("shim-gue-encode-proto", "shim:gue,proto=17", alert, "00 11 00 00 "+alert),
		decode("shim-gue-decode", gue, "00 3b 00 00 "+alert, alert),
		malformed("shim-gue-control", gue, "20 3b 00 00 "+alert).with("Control", ""),
		malformed("shim-gue-variant", gue, "40 3b 00 00 "+alert).with("Reserved", "variant 1 has no header"),
		malformed("shim-gue-extension", gue, "01 3b 00 00 00 00 00 00 "+alert).with("Reserved", ""),
		malformed("shim-gue-flags", gue, "00 3b 80 00 "+alert).with("Reserved", ""),
		malformed("shim-gue-proto", gue, "00 11 00 00 "+alert).with("", "another protocol"),
		malformed("shim-gue-truncated", gue, "00 3b 00").with("Truncated", ""),
	}
}
