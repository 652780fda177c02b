package websocket

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/encase-tls/encase/frame"
)

const (
	// https://www.rfc-editor.org/rfc/rfc6455.html#section-1.3
	acceptSuffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	nonceLen     = 16

	version = "13"
)

// Exchange implements [frame.Preamble]: the upgrade of HTTP/1.1 to WebSocket. It takes the peer's request or answer
// and no byte more. A server tells the client with an HTTP status why it refuses a request.
//
// https://www.rfc-editor.org/rfc/rfc6455.html#section-4
func (m *machine) Exchange(ctx context.Context, p frame.Peeker, role frame.Role) error {
	if role == frame.Server {
		return m.options.accept(p)
	}
	o := m.options
	if o.Host == "" {
		o.Host = hostOf(frame.ServerName(ctx))
	}
	return o.connect(p)
}

// hostOf returns what to send as Host for the name of a server.
func hostOf(name string) string {
	if strings.Contains(name, ":") {
		name = "[" + name + "]" // an address of IPv6
	}
	if name == "" || !isHost(name) {
		return "localhost"
	}
	return name
}

func refuse(format string, args ...any) error {
	return fmt.Errorf("websocket: %w: "+format, append([]any{errUpgrade}, args...)...)
}

// errUpgrade is ErrMalformed in words that fit an upgrade.
var errUpgrade = fmt.Errorf("the upgrade fails: %w", frame.ErrMalformed)

// connect asks for the upgrade and checks the answer.
func (o *Options) connect(p frame.Peeker) error {
	nonce := make([]byte, nonceLen)
	rand.Read(nonce) // never fails
	key := base64.StdEncoding.EncodeToString(nonce)
	if _, err := p.Write(o.request(key)); err != nil {
		return fmt.Errorf("websocket: sending the upgrade request: %w", err)
	}
	head, err := peekHead(p)
	if err != nil {
		return fmt.Errorf("websocket: reading the answer to the upgrade request: %w", err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), nil)
	if err != nil {
		return refuse("the answer is not HTTP: %v", err)
	}
	if err := o.checkAnswer(answer, key); err != nil {
		return err
	}
	_, err = p.Discard(len(head))
	return err
}

func (o *Options) request(key string) []byte {
	path := o.Path
	if path == "" {
		path = "/"
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", path, o.Host)
	fmt.Fprintf(&b, "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: %s\r\n", key, version)
	if o.Protocol != "" {
		fmt.Fprintf(&b, "Sec-WebSocket-Protocol: %s\r\n", o.Protocol)
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// checkAnswer does what a client has to.
//
// https://www.rfc-editor.org/rfc/rfc6455.html#section-4.1
func (o *Options) checkAnswer(answer *http.Response, key string) error {
	h := answer.Header
	switch {
	case answer.StatusCode != http.StatusSwitchingProtocols:
		return refuse("the server answers %.80q, not 101; are host and path right?", answer.Status)
	case !answer.ProtoAtLeast(1, 1):
		return refuse("the server speaks %.20q", answer.Proto)
	case !hasToken(h, "Upgrade", "websocket"), !hasToken(h, "Connection", "upgrade"):
		return refuse("the answer lacks Upgrade: websocket or Connection: Upgrade")
	case len(h["Sec-Websocket-Accept"]) != 1 || h.Get("Sec-WebSocket-Accept") != acceptFor(key):
		return refuse("Sec-WebSocket-Accept is not the answer to this request")
	case len(h["Sec-Websocket-Extensions"]) > 0:
		return refuse("the server uses extensions %.80q, none was offered", h.Get("Sec-WebSocket-Extensions"))
	}
	if chosen := h["Sec-Websocket-Protocol"]; len(chosen) > 1 || len(chosen) == 1 && chosen[0] != o.Protocol {
		return refuse("the server chooses the subprotocol %.80q, offered was %q", chosen, o.Protocol)
	}
	return nil
}

// acceptFor returns what a server answers to a key.
func acceptFor(key string) string {
	sum := sha1.Sum([]byte(key + acceptSuffix))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// accept reads a request and answers it.
func (o *Options) accept(p frame.Peeker) error {
	head, err := peekHead(p)
	if err != nil {
		err = fmt.Errorf("websocket: reading the upgrade request: %w", err)
		if errors.Is(err, frame.ErrMalformed) {
			err = errors.Join(err, respond(p, http.StatusBadRequest, ""))
		}
		return err
	}
	status, reason := http.StatusBadRequest, error(nil)
	request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		reason = refuse("the request is not HTTP: %v", err)
	} else {
		status, reason = o.checkRequest(request)
	}
	if _, err := p.Discard(len(head)); err != nil {
		return err
	}
	if reason != nil {
		return errors.Join(reason, respond(p, status, ""))
	}
	fields := "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		acceptFor(request.Header.Get("Sec-WebSocket-Key")) + "\r\n"
	if o.Protocol != "" && hasValue(request.Header, "Sec-WebSocket-Protocol", o.Protocol) {
		fields += "Sec-WebSocket-Protocol: " + o.Protocol + "\r\n"
	}
	return respond(p, status, fields)
}

// checkRequest does what a server has to, and returns the status of its answer.
//
// https://www.rfc-editor.org/rfc/rfc6455.html#section-4.2.1
func (o *Options) checkRequest(r *http.Request) (status int, err error) {
	keys := r.Header["Sec-Websocket-Key"]
	switch {
	case r.Method != http.MethodGet:
		return http.StatusMethodNotAllowed, refuse("the method is %.20q, not GET", r.Method)
	case !r.ProtoAtLeast(1, 1) || r.Host == "":
		return http.StatusBadRequest, refuse("not HTTP/1.1, or no Host")
	case !hasToken(r.Header, "Upgrade", "websocket"), !hasToken(r.Header, "Connection", "upgrade"):
		return http.StatusUpgradeRequired, refuse("the request does not ask for an upgrade to WebSocket")
	case r.Header.Get("Sec-WebSocket-Version") != version:
		return http.StatusUpgradeRequired, refuse("the version is %.20q, not 13", r.Header.Get("Sec-WebSocket-Version"))
	case len(keys) != 1 || !isNonce(keys[0]):
		return http.StatusBadRequest, refuse("Sec-WebSocket-Key is not 16 bytes in base64")
	case r.ContentLength != 0:
		return http.StatusBadRequest, refuse("the request has a body")
	case o.Path != "" && !samePath(r, o.Path):
		return http.StatusNotFound, refuse("the path is %.80q, not %q", r.URL.RequestURI(), o.Path)
	}
	return http.StatusSwitchingProtocols, nil
}

func isNonce(key string) bool {
	nonce, err := base64.StdEncoding.DecodeString(key)
	return err == nil && len(nonce) == nonceLen
}

// samePath reports whether r asks for path. A query counts only if path has one.
func samePath(r *http.Request, path string) bool {
	if strings.Contains(path, "?") {
		return r.URL.RequestURI() == path
	}
	return r.URL.EscapedPath() == path
}

// respond writes an answer with these header fields, and what its status demands.
func respond(w io.Writer, status int, fields string) error {
	switch status {
	case http.StatusSwitchingProtocols:
	case http.StatusUpgradeRequired:
		fields = "Upgrade: websocket\r\nConnection: Upgrade, close\r\nSec-WebSocket-Version: " + version + "\r\n"
	case http.StatusMethodNotAllowed:
		fields = "Allow: GET\r\nConnection: close\r\n"
	default:
		fields = "Connection: close\r\n"
	}
	if status != http.StatusSwitchingProtocols {
		fields += "Content-Length: 0\r\n"
	}
	_, err := fmt.Fprintf(w, "HTTP/1.1 %d %s\r\n%s\r\n", status, http.StatusText(status), fields)
	if err != nil {
		return fmt.Errorf("websocket: answering the upgrade request: %w", err)
	}
	return nil
}
