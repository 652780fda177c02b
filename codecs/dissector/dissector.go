// Package dissector writes dissectors for Wireshark, in Lua: what shows the fields of a codec's frames, says what a
// reader refuses them for, and hands the payloads to Wireshark's own dissector of TLS or DTLS.
//
// A dissector is generated from the description of the frames if there is one, see package described. Other codecs have
// one that was written by hand. Wireshark needs nothing but the file:
//
//	tshark -X lua_script:demo.lua -d tcp.port==4433,encase.demo -r traffic.pcap
//
// The files work with the Lua 5.2 of Wireshark 3 and 4.0 to 4.2, and avoid what later versions have removed.
package dissector

import (
	"embed"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/codecs/described"
)

//go:embed lua/*.lua
var files embed.FS

// ErrKnown is wrapped by the error of Lua for a codec that Wireshark needs no help with. The error says how it is told.
var ErrKnown = errors.New("Wireshark has a dissector of its own")

// ErrNone is wrapped by the error of Lua for a codec without a dissector.
var ErrNone = errors.New("there is no dissector for this codec")

// Options are for Lua. The zero value is usable.
type Options struct {
	Name string // of the protocol in filters, behind "encase."; empty: made from the spec
	TCP  uint16 // port at which the dissector is used without being asked for; 0: none
	UDP  uint16
}

// known says how Wireshark is told that it is one of its own protocols.
var known = map[string]string{
	"capwap":  "-d udp.port==5246,capwap",
	"eap":     "it is part of that of RADIUS and of that of EAPOL",
	"eapol":   "it needs a capture of the Ethernet",
	"isotp":   "it needs a capture of the bus: -d can.subdissector,iso15765",
	"openvpn": "-d udp.port==1194,openvpn or -d tcp.port==1194,openvpn",
	"radius":  "-d udp.port==1812,radius",
	"raw":     "-d tcp.port==4433,tls or -d udp.port==4433,dtls",
	"tds":     "-d tcp.port==1433,tds",
}

// written are the dissectors that were written by hand: the files that make one, between common.lua and finish.lua.
var written = map[string][]string{
	"cobs":      {"checksum.lua", "serial.lua", "cobs.lua"},
	"hdlc":      {"checksum.lua", "serial.lua", "hdlc.lua"},
	"slip":      {"serial.lua", "slip.lua"},
	"websocket": {"websocket.lua"},
}

// besides are the files that know what else a described protocol has.
var besides = map[string]string{"channeldata": "stun.lua", "tpkt": "cotp.lua"}

// Lua returns the dissector of a codec. The error is that of codecs.Parse if there is no such codec.
func Lua(spec string, o Options) ([]byte, error) {
	if _, err := codecs.Parse(spec); err != nil {
		return nil, err
	}
	name, arg, _ := strings.Cut(spec, ":")
	if how, ok := known[name]; ok {
		return nil, fmt.Errorf("dissector: %s: %w: %s", name, ErrKnown, how)
	}
	filter := o.Name
	if filter == "" {
		filter = filterOf(name, arg)
	}
	if err := checkName(filter); err != nil {
		return nil, err
	}
	var w writer
	w.head(spec, filter, o)
	d, err := described.Of(spec)
	switch {
	case err == nil:
		w.description(d.Description)
		w.include("common.lua", "checksum.lua", "described.lua")
		if file := besides[name]; file != "" {
			w.include(file)
		}
	case !errors.Is(err, described.ErrNone):
		return nil, err
	case written[name] != nil:
		w.options(arg)
		w.include("common.lua")
		w.include(written[name]...)
	case name == "length":
		w.options(arg)
		w.include("common.lua", "varint.lua")
	default:
		return nil, fmt.Errorf("dissector: %s: %w", name, ErrNone)
	}
	w.include("finish.lua")
	return []byte(w.String()), nil
}

// filterOf returns what a protocol is called in filters: after the file of its description, or after its codec.
func filterOf(codec, arg string) string {
	if codec != "desc" || strings.ContainsAny(arg, ";\n") {
		return codec
	}
	file, _, _ := strings.Cut(arg, ",")
	file = path.Base(strings.ReplaceAll(file, `\`, "/"))
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		}
		return '_'
	}, strings.TrimSuffix(file, path.Ext(file)))
	if name == "" {
		return codec
	}
	return name[:min(len(name), maxName)]
}

const maxName = 40

// checkName refuses what Wireshark would refuse.
func checkName(s string) error {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return fmt.Errorf("dissector: bad name %q (allowed: lower-case letters, digits, - and _)", s)
		}
	}
	if s == "" || len(s) > maxName {
		return fmt.Errorf("dissector: bad name %q (allowed: 1 to %d characters)", s, maxName)
	}
	return nil
}
