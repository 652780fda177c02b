package main

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
)

func radiusVectors() []vector {
	return slices.Concat(radiusRequests(), radiusRefused(), radiusReplies())
}

const (
	radiusSpec   = "radius:secret-file=radius.secret"
	radiusSecret = "testing123"

	// unsigned is an attribute Message-Authenticator that radiusRequest fills in.
	unsigned = "50 12 00*16 "

	// identityUser is an EAP-Message with the identity "user".
	identityUser = "4f 0b 02 01 00 09 01 " + userName + " "
)

// radiusRequest returns an Access-Request with these attributes, and signs it if it has a place for that.
func radiusRequest(attributes string) string {
	p, err := octets("01 00 00 00 a5*16 " + attributes)
	if err != nil {
		panic(err) // a mistake in this program
	}
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	for at := 20; at+1 < len(p) && p[at+1] > 1; at += int(p[at+1]) {
		if p[at] == 0x50 && p[at+1] == 18 {
			mac := hmac.New(md5.New, []byte(radiusSecret))
			mac.Write(p)
			mac.Sum(p[:at+2])
		}
	}
	return hex.EncodeToString(p)
}

// What eapol_test 2.10 has sent first, and what FreeRADIUS 3.2 has answered.
const (
	capturedRequest = "01 00 00 7a 7f8ab494d6cf00814d2764c4aa6c1c6d 01 06 75736572 04 06 7f000001 " +
		"1f 13 30322d30302d30302d30302d30302d3031 0c 06 00000578 3d 06 00000013 06 06 00000002 " +
		"4d 18 434f4e4e4543542031314d627073203830322e313162 4f 0b 025000090175736572 " +
		"50 12 192b0626c63f803b5fa3fe3dc4801132"
	capturedReply = "0b 00 00 40 6ff91bad960db3fcdd0fb73866936fdb 4f 08 015100060d20 " +
		"50 12 bd91184e40fa934406754a4b0e8b02d1 18 12 4e94b9a74ec5b4cc56ac517138efaeef"
)

func accepted(id, request string) vector { return decode(id, radiusSpec, request, "").as("server") }
func refused(id, request string) vector  { return malformed(id, radiusSpec, request).as("server") }

func radiusRequests() []vector {
	return []vector{
		accepted("radius-captured", capturedRequest).with("", "sent by eapol_test"),
		accepted("radius-request", radiusRequest(unsigned+identityUser)),
		accepted("radius-signed-last", radiusRequest(identityUser+unsigned)),
		accepted("radius-padding", radiusRequest(unsigned+identityUser)+" 00*40").with("Padding Ignored", ""),
		accepted("radius-split", radiusRequest(unsigned+" 4f 05 02 01 00 4f 08 09 01 "+userName)).
			with("Fragmentation", "an EAP packet in two attributes"),
		accepted("radius-split-apart", radiusRequest("4f 05 02 01 00 "+unsigned+" 4f 08 09 01 "+userName)).
			with("Fragmentation", "and something else between them"),
		accepted("radius-eap-start", radiusRequest(unsigned+" 4f 02")).
			with("Empty", "the authenticator wants the server to ask for the identity"),
		accepted("radius-proxy-state", radiusRequest(unsigned+identityUser+" 21 06 01 02 03 04 21 02")),
		accepted("radius-unknown", radiusRequest(unsigned+identityUser+" fa 05 01 02 03")).with("Ignored", ""),
	}
}

func radiusRefused() []vector {
	good := radiusRequest(unsigned + identityUser)
	return []vector{
		refused("radius-truncated-01", "").with("Truncated", ""),
		refused("radius-truncated-02", good[:2*19]).with("Truncated", ""),
		refused("radius-truncated-03", good[:len(good)-2]).with("Truncated", ""),
		refused("radius-underrun", "01 00 00 13 a5*16").with("Underrun", ""),
		refused("radius-code", "0c"+good[2:]).with("Reserved", "Status-Server"),
		refused("radius-role", "02"+good[2:]).with("", "from the wrong end"),
		refused("radius-attribute-0", radiusRequest(unsigned+identityUser+" 01 00")).with("Underrun", ""),
		refused("radius-attribute-1", radiusRequest(unsigned+identityUser+" 01 01")).with("Underrun", ""),
		refused("radius-attribute-long", radiusRequest(unsigned+identityUser+" 01 06 61")).with("Truncated", ""),
		refused("radius-attribute-half", radiusRequest(unsigned+identityUser+" 01")).with("Truncated", ""),
		refused("radius-unsigned", radiusRequest(identityUser)).with("Guard", ""),
		refused("radius-signature", good[:2*22]+"00"+good[2*23:]).with("Guard", "one byte of it is another"),
		refused("radius-changed", good[:2]+"01"+good[4:]).with("Guard", "one byte of what is signed is another"),
		refused("radius-signature-short", radiusRequest("50 11 00*15 "+identityUser)).with("Guard", ""),
		refused("radius-signature-twice", radiusRequest(unsigned+identityUser+unsigned)).with("Guard", ""),
		refused("radius-no-eap", radiusRequest(unsigned+" 01 06 "+userName)),
		refused("radius-state", radiusRequest(unsigned+identityUser+" 18 06 01 02 03 04")).
			with("", "a State that was never given out"),
		refused("radius-inner", radiusRequest(unsigned+" 4f 06 02 01 00 09")).
			with("Truncated", "EAP says more than there is"),
		refused("radius-proxy-states", radiusRequest(unsigned+identityUser+" 21 ff 5a*253 21 ff 5a*253 21 ff 5a*253")).
			with("Maximum", "more than can be returned"),
		tooLarge("radius-over", radiusSpec, "5a*65537").as("server").
			with("Maximum", "more than may be handed over at once"),
	}
}

func radiusReplies() []vector {
	// reply returns the captured one with a code and an identifier: a client that has begun has sent 1.
	reply := func(code, id byte) string { return fmt.Sprintf("%02x %02x %s", code, id, capturedReply[6:]) }
	asClient := func(id, p string) vector { return malformed(id, radiusSpec, p).as("client") }
	return []vector{
		asClient("radius-reply-stranger", reply(11, 1)).with("Guard", "to another request"),
		asClient("radius-reply-accept", "02 01 00 14 a5*16").with("Guard", "anybody can write that"),
		asClient("radius-reply-reject", "03 01 00 14 a5*16").with("Guard", ""),
		asClient("radius-reply-identifier", reply(11, 9)).with("", "answers no request"),
		asClient("radius-reply-role", capturedRequest).with("", "from the wrong end"),
	}
}
