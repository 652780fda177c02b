package main

import (
	"encoding/hex"
	"fmt"
	"slices"
)

func isotpVectors() []vector {
	return slices.Concat(isotpSent(), isotpMessages(), isotpReceived(), isotpRefused(), isotpFD())
}

const (
	clientID, serverID = 0x7e0, 0x7e8

	isotpGoOn = "30 00 00"
	tenBytes  = "61 62 63 64 65 66 67 68 69 6a"
)

// can returns a struct can_frame with a little-endian identifier, and data of ISO-TP padded to eight bytes.
func can(id uint16, data string) string {
	p, err := octets(data)
	if err != nil {
		panic(err) // a mistake in this program
	}
	for len(p) < 8 {
		p = append(p, 0xcc)
	}
	return fmt.Sprintf("%02x %02x 00 00 08 00 00 00 %s", byte(id), byte(id>>8), hex.EncodeToString(p))
}

// canFD returns a struct canfd_frame. The data has a length that CAN FD has.
func canFD(id uint16, data string) string {
	p, err := octets(data)
	if err != nil {
		panic(err) // a mistake in this program
	}
	return fmt.Sprintf("%02x %02x 00 00 %02x 04 00 00 %s 00*%d",
		byte(id), byte(id>>8), len(p), hex.EncodeToString(p), 64-len(p))
}

// client is flow for that role, from several groups of lines.
func client(id, codec, expect string, groups ...[]string) vector {
	return flow(id, codec, expect, slices.Concat(groups...)...).as("client")
}

// consecutive returns the lines of consecutive frames from the client, full of 5a.
func consecutive(from, to int) (lines []string) {
	for n := from; n <= to; n++ {
		lines = append(lines, "> "+can(clientID, fmt.Sprintf("2%x 5a*7", n%16)))
	}
	return lines
}

func isotpSent() []vector {
	const c = "isotp"
	return []vector{
		encode("isotp-single-client", c, hello, can(clientID, "05 "+hello)).as("client"),
		encode("isotp-single-server", c, hello, can(serverID, "05 "+hello)).as("server"),
		encode("isotp-single-longest", c, "5a*7", can(clientID, "07 5a*7")).as("client").with("Maximum", ""),
		encode("isotp-single-short", "isotp:pad=none", hello, "e0 07 00 00 06 00 00 00 05 "+hello+" 00 00").as("client").
			with("Padding", "the frame has six bytes, its place eight"),
		encode("isotp-single-pad", "isotp:pad=55", hello, "e0 07 00 00 08 00 00 00 05 "+hello+" 55 55").as("client").
			with("Padding", ""),
		encode("isotp-single-29", "isotp:be,ids=00000001/1fffffff", hello,
			"9f ff ff ff 08 00 00 00 05 "+hello+" cc cc").as("server").with("", "29 bits, big-endian"),
		tooLarge("isotp-over", c, "5a*65537").with("Maximum", "more than may be handed over at once"),
	}
}

func isotpMessages() []vector {
	const c = "isotp"
	first := []string{"+ " + tenBytes, "> " + can(clientID, "10 0a 61 62 63 64 65 66")}
	last := "> " + can(clientID, "21 67 68 69 6a")
	control := func(data string) []string { return []string{"< " + can(serverID, data)} }
	return []vector{
		client("isotp-message", c, "ok", first, control(isotpGoOn), []string{last}).with("Fragmentation", ""),
		client("isotp-message-number", c, "ok", []string{"+ 5a*120", "> " + can(clientID, "10 78 5a*6")},
			control(isotpGoOn), consecutive(1, 16), []string{"> " + can(clientID, "21 5a*2")}).
			with("Fragmentation", "numbers go from 1 to 15, and then from 0 on"),
		client("isotp-message-blocks", c, "ok", []string{"+ 5a*34", "> " + can(clientID, "10 22 5a*6")},
			control("30 02 00"), consecutive(1, 2), control("30 01 00"), consecutive(3, 3), control(isotpGoOn),
			consecutive(4, 4)).with("Fragmentation Control", ""),
		client("isotp-message-wait", c, "ok", first, control("31 00 00"), control("31 00 00"), control(isotpGoOn),
			[]string{last}).with("Fragmentation Control", ""),
		client("isotp-message-overflow", c, "malformed", first, control("32 00 00")).
			with("Fragmentation Control", "the peer has no room"),
		client("isotp-message-status", c, "malformed", first, control("33 00 00")).
			with("Fragmentation Control Reserved", ""),
		client("isotp-message-control-short", c, "malformed", first,
			[]string{"< e8 07 00 00 02 00 00 00 30 00 00 00 00 00 00 00"}).with("Control Truncated", ""),
		client("isotp-message-other", c, "ok", first, []string{"< " + can(0x7df, isotpGoOn), "! side"},
			control(isotpGoOn), []string{last}).with("Side", "flow control of somebody else"),
		client("isotp-message-long", "isotp:max=4096", "ok",
			[]string{"+ 5a*4096", "> " + can(clientID, "10 00 00 00 10 00 5a 5a")}).
			with("Fragmentation Maximum", "a length of 32 bits"),
		client("isotp-message-two", "isotp:max=64", "ok", []string{"+ 5a*70", "> " + can(clientID, "10 40 5a*6")},
			control(isotpGoOn), consecutive(1, 8),
			[]string{"> " + can(clientID, "29 5a*2"), "> " + can(clientID, "06 5a*6")}).
			with("Fragmentation Maximum", "what exceeds a message goes into the next"),
	}
}

func isotpReceived() []vector {
	const c = "isotp"
	first := []string{"< " + can(serverID, "10 0a 61 62 63 64 65 66"), "> " + can(clientID, isotpGoOn)}
	return []vector{
		decode("isotp-decode-single", c, can(serverID, "05 "+hello), hello).as("client"),
		decode("isotp-decode-unpadded", c, "e8 07 00 00 06 00 00 00 05 "+hello+" 00 00", hello).as("client").
			with("Padding", ""),
		client("isotp-received", c, "ok", first, []string{"< " + can(serverID, "21 67 68 69 6a"), "= " + tenBytes}).
			with("Fragmentation", ""),
		client("isotp-received-blocks", "isotp:bs=1,stmin=10ms", "ok",
			[]string{"< " + can(serverID, "10 14 61 62 63 64 65 66"), "> " + can(clientID, "30 01 0a"),
				"< " + can(serverID, "21 67 68 69 6a 6b 6c 6d"), "> " + can(clientID, "30 01 0a"),
				"< " + can(serverID, "22 6e 6f 70 71 72 73 74"),
				"= 61 62 63 64 65 66 67 68 69 6a 6b 6c 6d 6e 6f 70 71 72 73 74"}).with("Fragmentation Control", ""),
		client("isotp-received-anew", c, "ok", first, []string{"< " + can(serverID, "10 0a 61 62 63 64 65 66"),
			"> " + can(clientID, isotpGoOn), "< " + can(serverID, "21 67 68 69 6a"), "= " + tenBytes}).
			with("Fragmentation", "the peer begins again"),
		client("isotp-received-both", c, "ok",
			[]string{"+ " + tenBytes, "> " + can(clientID, "10 0a 61 62 63 64 65 66")}, first,
			[]string{"< " + can(serverID, isotpGoOn), "> " + can(clientID, "21 67 68 69 6a"),
				"< " + can(serverID, "21 67 68 69 6a"), "= " + tenBytes}).
			with("Fragmentation", "both directions at once"),
		client("isotp-received-half", "isotp:half", "ok",
			[]string{"+ " + tenBytes, "> " + can(clientID, "10 0a 61 62 63 64 65 66"),
				"< " + can(serverID, "10 0a 61 62 63 64 65 66"), "< " + can(serverID, isotpGoOn),
				"> " + can(clientID, "21 67 68 69 6a")}).
			with("Fragmentation", "both have begun: the client goes on"),
		flow("isotp-received-yield", "isotp:half", "ok",
			"+ "+tenBytes, "> "+can(serverID, "10 0a 61 62 63 64 65 66"),
			"< "+can(clientID, "10 0a 61 62 63 64 65 66"), "> "+can(serverID, isotpGoOn),
			"< "+can(clientID, "21 67 68 69 6a"), "= "+tenBytes, "> "+can(serverID, "10 0a 61 62 63 64 65 66"),
			"< "+can(clientID, isotpGoOn), "> "+can(serverID, "21 67 68 69 6a")).as("server").
			with("Fragmentation", "both have begun: the server yields, and begins again"),
		client("isotp-received-unasked", c, "ok", []string{"< " + can(serverID, "21 5a*7"),
			"< " + can(serverID, isotpGoOn), "< " + can(serverID, "32 00 00"), "< " + can(serverID, "05 "+hello),
			"= " + hello}).with("Ignored Control", "frames that nothing has asked for"),
		client("isotp-received-side", c, "ok", []string{"< " + can(0x7df, "05 "+hello), "! side",
			"< e8 07 00 80 08 00 00 00 05 " + hello + " cc cc", "! side", "< " + can(clientID, "05 "+hello), "! side"}).
			with("Side", "other identifiers: another, the same with 29 bits, one's own"),
	}
}

func isotpRefused() []vector {
	const c = "isotp"
	refused := func(id, data string) vector { return malformed(id, c, can(serverID, data)).as("client") }
	begun := []string{"< " + can(serverID, "10 14 61 62 63 64 65 66"), "> " + can(clientID, isotpGoOn)}
	return []vector{
		frameLen("isotp-framelen", c, "e8", 16),
		malformed("isotp-truncated-01", c, "").with("Truncated", ""),
		malformed("isotp-truncated-02", c, "e8 07 00 00 08 00 00 00 05 "+hello+" cc").with("Truncated", ""),
		malformed("isotp-trailing", c, can(serverID, "05 "+hello)+" 00").with("Trailing", ""),
		malformed("isotp-length", c, "e8 07 00 00 09 00 00 00 05 "+hello+" cc cc").with("Maximum", "nine bytes of data"),
		malformed("isotp-no-data", c, "e8 07 00 00 00 00 00 00 05 "+hello+" cc cc").as("client").with("Empty", ""),
		refused("isotp-single-zero", "00 61").with("Empty", ""),
		refused("isotp-single-8", "08 5a*7").with("Underrun", ""),
		malformed("isotp-single-cut", c, "e8 07 00 00 05 00 00 00 05 "+hello+" cc cc").as("client").with("Truncated", ""),
		refused("isotp-first-7", "10 07 5a*6").with("NonMinimal", "it would fit a single frame"),
		refused("isotp-first-4095", "10 00 00 00 0f ff 5a 5a").with("NonMinimal", "it would fit 12 bits"),
		malformed("isotp-first-cut", c, "e8 07 00 00 07 00 00 00 10 0a 61 62 63 64 65 00").as("client").
			with("Truncated", "only the last frame of a message may be short"),
		client("isotp-first-over", "isotp:max=64", "malformed",
			[]string{"< " + can(serverID, "10 41 61 62 63 64 65 66"), "> " + can(clientID, "32 00 00")}).
			with("Maximum", "the peer is told"),
		client("isotp-first-top", c, "malformed",
			[]string{"< " + can(serverID, "10 00 ff ff ff ff 5a 5a"), "> " + can(clientID, "32 00 00")}).
			with("Maximum", "2^32-1 bytes"),
		refused("isotp-kind", "40 00 00").with("Reserved", ""),
		client("isotp-lost", c, "malformed", begun, []string{"< " + can(serverID, "22 5a*7")}).
			with("Fragmentation", "frame 1 is missing"),
		client("isotp-repeated", c, "malformed", begun,
			[]string{"< " + can(serverID, "21 5a*7"), "< " + can(serverID, "21 5a*7")}).with("Fragmentation", ""),
		client("isotp-short", c, "malformed", begun,
			[]string{"< e8 07 00 00 07 00 00 00 21 67 68 69 6a 6b 6c 00"}).with("Fragmentation Truncated", "not the last"),
	}
}

func isotpFD() []vector {
	const c = "isotp:fd"
	return []vector{
		encode("isotp-fd-7", c, "5a*7", canFD(clientID, "07 5a*7")).as("client"),
		encode("isotp-fd-8", c, "5a*8", canFD(clientID, "00 08 5a*8 cc cc")).as("client").
			with("Padding", "CAN FD has 8 bytes and 12, none between"),
		encode("isotp-fd-62", c, "5a*62", canFD(clientID, "00 3e 5a*62")).as("client").with("Maximum", ""),
		encode("isotp-fd-brs", "isotp:brs", hello, "e0 07 00 00 08 05 00 00 05 "+hello+" cc cc 00*56").as("client"),
		client("isotp-fd-message", c, "ok", []string{"+ 5a*130", "> " + canFD(clientID, "10 82 5a*62"),
			"< " + canFD(serverID, isotpGoOn), "> " + canFD(clientID, "21 5a*63"),
			"> " + canFD(clientID, "22 5a*5 cc cc")}).with("Fragmentation", ""),
		decode("isotp-fd-decode-7", c, canFD(serverID, "07 5a*7"), "5a*7").as("client"),
		decode("isotp-fd-decode-8", c, canFD(serverID, "00 08 5a*8 00 00"), "5a*8").as("client").with("Padding", ""),
		client("isotp-fd-received", c, "ok", []string{"< " + canFD(serverID, "10 14 5a*14"),
			"> " + canFD(clientID, "30 00 00 cc*5"), "< " + canFD(serverID, "21 5a*7"), "= 5a*20"}).
			with("Fragmentation", "from a peer whose frames have 16 bytes"),
		malformed("isotp-fd-single-short-form", c, canFD(serverID, "07 5a*11")).as("client").
			with("NonMinimal", "more than eight bytes want the other form"),
		malformed("isotp-fd-single-over", c, canFD(serverID, "00 0b 5a*10")).as("client").with("Underrun", ""),
		frameLen("isotp-fd-framelen", c, "e8", 72),
		malformed("isotp-fd-classic", c, can(serverID, "05 "+hello)).with("Truncated", "a frame of the other size"),
	}
}
