package websocket

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// Status codes of close frames.
//
// https://www.rfc-editor.org/rfc/rfc6455.html#section-7.4.1
const (
	statusNormal      = 1000
	statusGoingAway   = 1001
	statusProtocol    = 1002
	statusUnsupported = 1003
	statusNotUTF8     = 1007
	statusPolicy      = 1008
	statusTooBig      = 1009
)

const statusLen = 2

// A CloseError is the end of a connection that the peer did not call normal.
type CloseError struct {
	Status uint16 // as in RFC 6455, section 7.4; never 1000 or 1001
	Reason string // what the peer said about it, for people; not to be trusted
}

// Error implements error.
func (e *CloseError) Error() string {
	return fmt.Sprintf("websocket: the peer closed with status %d, reason %q", e.Status, e.Reason)
}

// parseClose returns what a close frame with this payload means: nil for an orderly end.
func parseClose(p []byte) (*CloseError, *violation) {
	if len(p) == 0 {
		return nil, nil
	}
	if len(p) < statusLen {
		return nil, errCloseLength
	}
	status, reason := binary.BigEndian.Uint16(p), p[statusLen:]
	switch {
	case !validStatus(status):
		return nil, errCloseStatus
	case !utf8.Valid(reason):
		return nil, errCloseReason
	case status == statusNormal || status == statusGoingAway:
		return nil, nil
	}
	return &CloseError{status, string(reason)}, nil
}

// validStatus reports whether a close frame may have this status: those in the registry that may be sent, and those
// left to libraries and applications.
//
// https://www.rfc-editor.org/rfc/rfc6455.html#section-7.4.2
func validStatus(s uint16) bool {
	return s >= 1000 && s <= 1003 || s >= 1007 && s <= 1014 || s >= 3000 && s <= 4999
}
