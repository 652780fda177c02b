// Package websocket carries TLS in the binary messages of WebSocket, as both client and server.
//
// # Grammar
//
// A spec is "websocket", followed by options after a colon, with commas between them:
//
//	websocket:host=example.com,path=/tunnel,protocol=binary
//
//	host=HOST       what the client names as Host; if left out the name of the server that TLS verifies, or
//	                "localhost" if there is none. A server does not look at it
//	path=PATH       what the client asks for, "/" if left out, perhaps with a query. A server refuses another path;
//	                one that was told none takes any
//	protocol=NAME   the subprotocol that a client offers, and that a server accepts when it is offered; none if left out
//
// A comma in a path is written as %2C.
//
// # Frames
//
// TLS is a stream in a stream: every payload becomes one binary message in one frame, and the payloads of the binary
// messages that arrive are strung together, however the peer, or a proxy, has cut them. Pings are answered, pongs
// ignored. Sixteen pings are answered at once, after that ten a second, the newest each time, so that a peer that
// sends pings and does not read costs little. The end is a close frame with status 1000; whoever gets the first one
// answers it.
//
// Text messages, extensions, and whatever RFC 6455 forbids make the connection fail; the close frame that End then
// sends says which of these it was.
package websocket

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
)

func init() {
	codecs.Register("websocket", codecs.Info{
		Summary:  "binary messages of WebSocket (RFC 6455) with the HTTP/1.1 upgrade",
		Class:    codecs.Transform,
		Carriers: codecs.Stream,
		Syntax:   syntax,
		Example:  "websocket:host=example.com,path=/tunnel,protocol=binary",
		Tested:   "websockify 0.10, python3-websockets 10.4, net/http, own vectors",
	}, Parse)
}

const syntax = `[OPTION[,OPTION]...]
OPTION  host=HOST      what the client names as Host (default: the server's name)
        path=PATH      what the client asks for (default: /), and all that a server accepts (default: any)
        protocol=NAME  the subprotocol to offer or accept (default: none)`

// Options describe the upgrade. The zero value is usable.
type Options struct {
	Host     string // of a client's request, perhaps with a port; empty: the server's name, see frame.ServerName
	Path     string // of the request, perhaps with a query; empty: "/" for a client, any for a server
	Protocol string // offered by a client, accepted by a server; empty: none
}

// isHost reports whether a string can stand in a request as Host.
func isHost(host string) bool {
	u, err := url.Parse("http://" + host)
	return err == nil && u.Host == host
}

// New returns the Maker of WebSocket Machines. They implement [frame.Delimiter], [frame.Preamble], [frame.Ender] and
// [frame.Timed].
func New(o Options) (frame.Maker, error) {
	if o.Host != "" && !isHost(o.Host) {
		return nil, fmt.Errorf("websocket: bad host %q (allowed: a name or an address, perhaps with :port)", o.Host)
	}
	if o.Path != "" {
		u, err := url.ParseRequestURI(o.Path)
		if err != nil || o.Path[0] != '/' || u.RequestURI() != o.Path {
			return nil, fmt.Errorf("websocket: bad path %q (allowed: a path from /, escaped as in a URL)", o.Path)
		}
	}
	if !isToken(o.Protocol) {
		return nil, fmt.Errorf("websocket: bad protocol %q (allowed: one HTTP token)", o.Protocol)
	}
	return func(role frame.Role) (frame.Machine, error) {
		return &machine{role: role, options: o, pongs: pongs{left: pongBurst}}, nil
	}, nil
}

// isToken reports whether s is empty or a token of HTTP.
//
// https://www.rfc-editor.org/rfc/rfc9110.html#section-5.6.2
func isToken(s string) bool {
	for _, c := range []byte(s) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
		if !letter && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return true
}

// Parse returns the Maker that the argument of a spec describes. The grammar is in the package documentation.
func Parse(arg string) (frame.Maker, error) {
	var o Options
	fields := map[string]*string{"host": &o.Host, "path": &o.Path, "protocol": &o.Protocol}
	err := codecs.EachOption("websocket", arg, func(_, name, value string) error {
		field, known := fields[name]
		switch {
		case !known:
			return fmt.Errorf("websocket: unknown option %q (have host=HOST, path=PATH, protocol=NAME)", name)
		case value == "":
			return fmt.Errorf("websocket: %s has no value (leave it out for the default)", name)
		}
		*field = value
		return nil
	})
	if err != nil {
		return nil, err
	}
	return New(o)
}
