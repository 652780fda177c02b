package preamble

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/encase-tls/encase/frame"
)

// NBD is the option STARTTLS of a network block device. Both sides agree on "fixed newstyle" and, if both have it, on
// "no zeroes". Behind it the client goes on with options; neither the server's greeting nor the client's flags come
// again.
//
// https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
type NBD struct{}

func init() {
	Register("nbd", Info{
		Summary: "NBD_OPT_STARTTLS of a network block device",
		Example: "nbd",
		Tested:  "nbdkit 1.32 as server, nbdinfo 1.14 as client",
	}, without("nbd", NBD{}))
}

const (
	nbdGreeting = "NBDMAGICIHAVEOPT"
	nbdOption   = "IHAVEOPT"
	nbdReply    = "\x00\x03\xe8\x89\x04\x55\x65\xa9"

	nbdFixed   = 1 // flags of the server and of the client
	nbdNoZeros = 2

	nbdExportName = 1
	nbdAbort      = 2
	nbdStartTLS   = 5

	nbdACK         = 1
	nbdErrors      = 1 << 31
	nbdTLSRequired = nbdErrors + 5

	nbdMaxData = 4 << 10 // bytes of an option or a reply: the longest name
)

const nbdInClear = "the client goes on without TLS; make TLS compulsory there"

var nbdRefusals = map[uint32]string{
	nbdErrors + 1: "unsupported", nbdErrors + 2: "policy", nbdErrors + 3: "invalid", nbdErrors + 4: "platform",
	nbdErrors + 7: "shutdown", nbdErrors + 9: "too big",
}

// Exchange implements [frame.Preamble].
func (n NBD) Exchange(_ context.Context, p frame.Peeker, role frame.Role) error {
	return hold("nbd", p, role, n.client, n.server)
}

func (NBD) client(t *talk) error {
	const wantGreeting = "the greeting " + nbdGreeting
	if err := t.expect(nbdGreeting, wantGreeting); err != nil {
		return err
	}
	b, err := t.take(2, wantGreeting)
	if err != nil {
		return err
	}
	flags := uint32(binary.BigEndian.Uint16(b))
	if flags&nbdFixed == 0 {
		return t.refused("a greeting with the flag for fixed newstyle", fmt.Sprintf("the flags %#x", flags), noStartTLS)
	}
	request := binary.BigEndian.AppendUint32(nil, flags&(nbdFixed|nbdNoZeros))
	request = binary.BigEndian.AppendUint32(append(request, nbdOption...), nbdStartTLS)
	request = binary.BigEndian.AppendUint32(request, 0)
	if err := t.send("STARTTLS", request); err != nil {
		return err
	}
	return nbdAcknowledged(t)
}

// nbdAcknowledged reads the reply to STARTTLS.
func nbdAcknowledged(t *talk) error {
	const want = "ACK to STARTTLS"
	if err := t.expect(nbdReply, want); err != nil {
		return err
	}
	head, err := t.take(12, want)
	if err != nil {
		return err
	}
	option, kind := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:])
	length := binary.BigEndian.Uint32(head[8:])
	switch {
	case option != nbdStartTLS || length > nbdMaxData || kind == nbdACK && length > 0:
		return t.wrong(want, head, "")
	case kind == nbdACK:
		return nil
	case kind < nbdErrors:
		return t.wrong(want, head, "")
	}
	text, err := t.take(int(length), want)
	if err != nil {
		return err
	}
	got := fmt.Sprintf("the error %d (%s) with the text %s", kind-nbdErrors, nbdRefusals[kind], show(text))
	return t.refused(want, got, noStartTLS)
}

func (NBD) server(t *talk) error {
	greeting := binary.BigEndian.AppendUint16([]byte(nbdGreeting), nbdFixed|nbdNoZeros)
	if err := t.send("the greeting", greeting); err != nil {
		return err
	}
	const want = "STARTTLS"
	b, err := t.take(4, want)
	if err != nil {
		return err
	}
	if flags := binary.BigEndian.Uint32(b); flags&^(nbdFixed|nbdNoZeros) != 0 || flags&nbdFixed == 0 {
		return t.wrong("flags with the one for fixed newstyle", b, guess(b))
	}
	return nbdOptions(t, want)
}

// nbdOptions answers options up to STARTTLS.
func nbdOptions(t *talk, want string) error {
	odd := "" // the first option that needs TLS
	for range maxCommands {
		option, err := nbdTakeOption(t, want)
		if err != nil {
			return err
		}
		switch option {
		case nbdStartTLS:
			return t.send("ACK", nbdAnswer(option, nbdACK))
		case nbdExportName: // to which there is no answer but the end of the connection
			return t.refused(want, "the option EXPORT_NAME", nbdInClear)
		case nbdAbort:
			if err := t.send("ACK", nbdAnswer(option, nbdACK)); err != nil {
				return err
			}
			if odd == "" {
				return t.refused(want, "the option ABORT", "the client goes away; does it want no TLS?")
			}
			return t.refused(want, odd, nbdInClear)
		}
		if err := t.send("an error", nbdAnswer(option, nbdTLSRequired)); err != nil {
			return err
		}
		if odd == "" {
			odd = fmt.Sprintf("the option %d", option)
		}
	}
	return t.wrong(want, nil, fmt.Sprintf("%d other options; make TLS compulsory there", maxCommands))
}

// nbdTakeOption reads an option of the client's, and drops its data.
func nbdTakeOption(t *talk, want string) (uint32, error) {
	if err := t.expect(nbdOption, want); err != nil {
		return 0, err
	}
	head, err := t.take(8, want)
	if err != nil {
		return 0, err
	}
	option, length := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:])
	if length > nbdMaxData || option == nbdStartTLS && length > 0 {
		return 0, t.wrong(want, head, fmt.Sprintf("the option %d with %d bytes", option, length))
	}
	if option == nbdExportName {
		return option, nil // its data matter no more
	}
	_, err = t.take(int(length), want)
	return option, err
}

func nbdAnswer(option, kind uint32) []byte {
	b := binary.BigEndian.AppendUint32([]byte(nbdReply), option)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, kind), 0)
}
