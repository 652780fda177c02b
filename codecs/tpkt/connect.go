package tpkt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/encase-tls/encase/frame"
)

// Parameters of a connection request and confirm.
//
// https://www.rfc-editor.org/rfc/rfc905.html#section-13.3.4
const (
	paramSize    = 0xc0
	paramCalling = 0xc1
	paramCalled  = 0xc2
)

const (
	connectLen = 7 // of CR and CC in front of the parameters
	maxConnect = packetLen + 1 + 254

	// Numbers that this end calls a connection by. There is one per TCP connection, so they never change.
	clientReference = 1
	serverReference = 2
)

// caller is a machine that makes the connection first.
type caller struct {
	machine
	options Options
}

var _ frame.Preamble = (*caller)(nil)

// Exchange implements [frame.Preamble]: connection request and confirm. It takes these TPDUs and no byte more. A server
// tells a client that it refuses with a disconnect request.
func (c *caller) Exchange(_ context.Context, p frame.Peeker, role frame.Role) error {
	if role == frame.Client {
		return c.connect(p)
	}
	return c.accept(p)
}

// A connect is a CR or CC.
type connect struct {
	code            byte
	to, from        uint16 // references
	class           byte   // with options
	size            int    // longest TPDU, 0 if not said
	calling, called []byte
}

func (c *caller) connect(p frame.Peeker) error {
	request := connect{code: codeRequest, from: clientReference, size: c.options.Size,
		calling: c.options.Calling, called: c.options.Called}
	if _, err := p.Write(request.packet()); err != nil {
		return fmt.Errorf("tpkt: sending the connection request: %w", err)
	}
	tpdu, err := readTPDU(p, "the answer to the connection request")
	if err != nil {
		return err
	}
	if r, ok := disconnectReason(tpdu); ok && tpdu[1] == codeDisconnect {
		return fmt.Errorf("%w: the server says: %w", errRefused, r)
	}
	confirm, err := parseConnect(tpdu, codeConfirm)
	if err != nil {
		return err
	}
	// Whether it has our reference is of no importance: there is one connection, and some servers write zero.
	return c.agree(confirm.size)
}

func (c *caller) accept(p frame.Peeker) error {
	tpdu, err := readTPDU(p, "the connection request")
	if err != nil {
		return err
	}
	request, err := parseConnect(tpdu, codeRequest)
	if err != nil {
		return err
	}
	if r, err := c.check(&request); err != nil {
		_, werr := p.Write(disconnectPacket(request.from, r))
		return errors.Join(err, werr)
	}
	confirm := request
	confirm.code, confirm.to, confirm.from, confirm.class = codeConfirm, request.from, serverReference, 0
	if confirm.size == 0 || c.options.Size != 0 && c.options.Size < confirm.size {
		confirm.size = c.options.Size
	}
	if _, err := p.Write(confirm.packet()); err != nil {
		return fmt.Errorf("tpkt: sending the connection confirm: %w", err)
	}
	return c.agree(confirm.size)
}

// check returns why a request is refused.
func (c *caller) check(request *connect) (reason, error) {
	for _, tsap := range []struct {
		name      string
		want, got []byte
	}{{"called", c.options.Called, request.called}, {"calling", c.options.Calling, request.calling}} {
		if tsap.want != nil && !bytes.Equal(tsap.want, tsap.got) {
			return reasonUnknown, fmt.Errorf("%w: the %s TSAP is %.32q, not %q", errConnect, tsap.name, tsap.got, tsap.want)
		}
	}
	if request.class>>4 != 0 {
		return reasonFailed, fmt.Errorf("%w: it wants class %d, there is only class 0", errConnect, request.class>>4)
	}
	return 0, nil
}

// agree takes in how long a TPDU may be, 0 if nobody has said.
func (c *caller) agree(size int) error {
	if limit := c.options.Size; limit != 0 && size > limit {
		return fmt.Errorf("%w: TPDUs of %d bytes are confirmed, %d were asked for", errConnect, size, limit)
	}
	if size != 0 {
		c.tpdu = size
	}
	return nil
}

// readTPDU takes a packet and returns what is in it. what is for the error.
func readTPDU(p frame.Peeker, what string) ([]byte, error) {
	head, err := p.Peek(packetLen)
	n, wrong := packet(head)
	switch {
	case wrong != nil:
		return nil, wrong
	case n > maxConnect:
		return nil, errLongConnect
	}
	if err == nil {
		head, err = p.Peek(n)
	}
	if err != nil {
		return nil, fmt.Errorf("tpkt: reading %s: %w", what, err)
	}
	tpdu := bytes.Clone(head[packetLen:])
	_, err = p.Discard(n)
	return tpdu, err
}

func parseConnect(tpdu []byte, code byte) (c connect, err error) {
	if len(tpdu) < connectLen || int(tpdu[0]) != len(tpdu)-1 || tpdu[1]&0xf0 != code {
		return c, fmt.Errorf("%w: it is %.16x", errConnect, tpdu)
	}
	c = connect{code: code, to: binary.BigEndian.Uint16(tpdu[2:]), from: binary.BigEndian.Uint16(tpdu[4:]), class: tpdu[6]}
	for rest := tpdu[connectLen:]; len(rest) > 0; {
		if len(rest) < 2 || len(rest)-2 < int(rest[1]) {
			return c, fmt.Errorf("%w: a parameter is cut short", errConnect)
		}
		value := rest[2 : 2+int(rest[1])]
		if err := c.set(rest[0], value); err != nil {
			return c, err
		}
		rest = rest[2+len(value):]
	}
	return c, nil
}

// set takes a parameter. Those that it does not know it ignores.
func (c *connect) set(param byte, value []byte) error {
	switch param {
	case paramSize:
		if len(value) != 1 || value[0] < 7 || value[0] > 13 {
			return fmt.Errorf("%w: the size of TPDUs is %x", errConnect, value)
		}
		c.size = 1 << value[0]
	case paramCalling:
		c.calling = value
	case paramCalled:
		c.called = value
	}
	return nil
}

// packet returns a CR or CC with TPKT's header.
func (c *connect) packet() []byte {
	tpdu := []byte{0, c.code, byte(c.to >> 8), byte(c.to), byte(c.from >> 8), byte(c.from), c.class}
	if c.size != 0 {
		tpdu = append(tpdu, paramSize, 1, byte(bits.Len(uint(c.size))-1))
	}
	if c.calling != nil {
		tpdu = append(append(tpdu, paramCalling, byte(len(c.calling))), c.calling...)
	}
	if c.called != nil {
		tpdu = append(append(tpdu, paramCalled, byte(len(c.called))), c.called...)
	}
	return inPacket(tpdu)
}

// disconnectPacket returns a disconnect request for the connection that the peer calls to.
func disconnectPacket(to uint16, r reason) []byte {
	return inPacket([]byte{0, codeDisconnect, byte(to >> 8), byte(to), 0, 0, byte(r)})
}

// inPacket puts TPKT's header in front of a TPDU and sets its length.
func inPacket(tpdu []byte) []byte {
	tpdu[0] = byte(len(tpdu) - 1)
	n := packetLen + len(tpdu)
	return append([]byte{version, 0, byte(n >> 8), byte(n)}, tpdu...)
}

var (
	errConnect     = fmt.Errorf("tpkt: %w: no connection of COTP", frame.ErrMalformed)
	errRefused     = fmt.Errorf("tpkt: %w: the connection is refused; are the TSAPs right?", frame.ErrMalformed)
	errLongConnect = malformed("longer than a connection request or confirm can be")
)
