package main

import "fmt"

// eapolFrame returns a frame with an EAP packet of n bytes.
func eapolFrame(n int, packet string) string { return fmt.Sprintf("02 00 %04x %s", n, packet) }

func eapolVectors() []vector {
	const (
		c     = "eapol"
		start = "02 01 00 00"
	)
	ask := eapolFrame(5, request(1, "01"))
	answer := eapolFrame(14, response(1, "01 "+anonymous))
	return []vector{
		flow("eapol-start", c, "ok", "< "+ask, "> "+start, "> "+answer).as("client"),
		flow("eapol-version", "eapol:version=1", "ok", "< 03"+ask[2:], "> 01"+start[2:], "> 01"+answer[2:]).as("client").
			with("Ignored", "the version of the other end"),
		flow("eapol-padding", c, "ok", "< "+ask+" a5*37", "> "+start, "> "+answer).as("client").with("Padding Ignored", ""),
		flow("eapol-server", c, "ok", "< "+start, "> "+ask, "> "+ask).as("server").
			with("", "what the server has asked at the beginning, it asks again"),
		flow("eapol-server-exchange", c, "ok", "< "+eapolFrame(9, response(1, "01 "+userName)), "> "+ask,
			"> "+eapolFrame(6, request(2, "0d 20")), "< "+eapolFrame(11, response(2, "0d 00 "+hello)), "= "+hello,
			"+ 61", "> "+eapolFrame(7, request(3, "0d 00 61"))).as("server"),
		flow("eapol-start-late", c, "ok", "< "+eapolFrame(9, response(1, "01 "+userName)), "> "+ask,
			"> "+eapolFrame(6, request(2, "0d 20")), "< "+start).as("server").with("Ignored", "in the middle of the exchange"),
		flow("eapol-key", c, "ok", "< 02 03 00 05 "+hello, "> "+start, "! side").as("client").
			with("Side", "a key of a radio network"),
		flow("eapol-logoff", "eapol:logoff", "ok", "! end", "> "+start, "> 02 02 00 00").as("client").with("Control", ""),
		flow("eapol-no-logoff", c, "ok", "! end", "> "+start).as("client").with("Control", "unless it is asked for"),
		flow("eapol-server-logoff", c, "ok", "< 01 02 00 00", "> "+ask, "> "+eapolFrame(4, "04 01 00 04"), "! done").
			as("server").with("Control", ""),
		malformed("eapol-truncated-01", c, "").with("Truncated", ""),
		malformed("eapol-truncated-02", c, "02 00 00").with("Truncated", ""),
		malformed("eapol-truncated-03", c, "02 00 00 05 01 01 00 05").with("Truncated", ""),
		malformed("eapol-inner", c, "02 00 00 05 01 01 00 06 01").with("Truncated", "EAP says more than EAPOL"),
		malformed("eapol-version-0", c, "00 00 00 05 01 01 00 05 01").with("Reserved", ""),
		malformed("eapol-role-start", c, start).with("", "for a server").as("client"),
		malformed("eapol-role-logoff", c, "02 02 00 00").with("", "for a server").as("client"),
	}
}
