package codec

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/encase-tls/encase/cmd/encase/exit"
	"github.com/encase-tls/encase/frame"
)

const (
	maxInput = 16 << 20 // bytes of standard input that are encoded
	maxFrame = 1 << 20  // of a frame that is decoded
)

// A conversion is what encode and decode are told.
type conversion struct {
	hex, raw bool
	role     string
}

func (o *conversion) flags(c *cobra.Command) {
	c.Flags().BoolVar(&o.hex, "hex", false, "standard input is hexadecimal; blanks in it mean nothing")
	c.Flags().BoolVar(&o.raw, "raw", false, "write bytes, not text")
	c.Flags().StringVar(&o.role, "role", "client", "`END` that sends the frames: client or server")
	must(c.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{"client", "server"},
		cobra.ShellCompDirectiveNoFileComp)))
}

func (o *conversion) sender() (frame.Role, error) {
	switch o.role {
	case "client":
		return frame.Client, nil
	case "server":
		return frame.Server, nil
	}
	return 0, exit.Usagef("--role: there are client and server, not %q", o.role)
}

// input returns what is to be converted.
func (o *conversion) input(r io.Reader) io.Reader {
	if !o.hex {
		return r
	}
	return hex.NewDecoder(&digits{src: bufio.NewReader(r)})
}

// digits drops the blanks between digits.
type digits struct{ src *bufio.Reader }

func (d *digits) Read(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var c byte
		if c, err = d.src.ReadByte(); err == nil && !unicode.IsSpace(rune(c)) {
			p[n] = c
			n++
		}
	}
	if n > 0 {
		err = nil
	}
	return n, err
}

func encodeCommand() *cobra.Command {
	var o conversion
	c := &cobra.Command{
		Use:   "encode SPEC",
		Short: "Encode standard input, and show the frames field by field",
		Long: `Put what comes from standard input into frames, as one payload if the codec
takes so much, and show them: offset, bytes, field and value. Frames that open
the exchange come first. What a dialogue before the frames says is not shown.`,
		Example: `  echo hello | encase codec encode length:16be
  echo 68656c6c6f | encase codec encode desc:demo.frame --hex
  encase codec encode cobs --raw < payload > frame`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: complete,
		RunE: func(c *cobra.Command, args []string) error {
			d, role, err := o.open(args[0])
			if err != nil {
				return err
			}
			return d.encodeInput(c.OutOrStdout(), o.input(c.InOrStdin()), role, o.raw)
		},
	}
	o.flags(c)
	return c
}

func (o *conversion) open(spec string) (*description, frame.Role, error) {
	role, err := o.sender()
	if err != nil {
		return nil, 0, err
	}
	d, err := parse(spec)
	return d, role, err
}

// encodeInput encodes in and writes the frames.
func (d *description) encodeInput(w io.Writer, in io.Reader, role frame.Role, raw bool) error {
	payload, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err != nil {
		return badInput(err)
	}
	if len(payload) > maxInput {
		return exit.Usagef("standard input is longer than %d bytes", maxInput)
	}
	traces, err := d.encode(role, payload)
	if err != nil {
		return err
	}
	dump, err := d.newDumper(w)
	if err != nil {
		return err
	}
	for _, t := range traces {
		if raw {
			_, err = w.Write(t.Frame)
		} else {
			err = dump.frame(t.Frame, d.seen(role, t.Frame, t.TLS), nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// seen returns the payload of a frame: all of what was given to a Machine that cuts it is not in one.
func (d *description) seen(role frame.Role, f, payload []byte) []byte {
	if bytes.Contains(f, payload) && len(payload) > 0 {
		return payload
	}
	r, err := d.newReceiver(role)
	if err != nil {
		return nil
	}
	payload, _ = r.recv(f)
	return payload
}

// badInput says whose fault it is when standard input cannot be read.
func badInput(err error) error {
	var digit hex.InvalidByteError
	if errors.As(err, &digit) || errors.Is(err, hex.ErrLength) || errors.Is(err, io.ErrUnexpectedEOF) {
		return exit.Usagef("standard input is not hexadecimal, as --hex says: %w", err)
	}
	return err
}

func decodeCommand() *cobra.Command {
	var o conversion
	c := &cobra.Command{
		Use:   "decode SPEC",
		Short: "Decode frames from standard input, and show them field by field",
		Long: `Take the frames that come from standard input apart, and show them: offset,
bytes, field and value, what is wrong with them, and the TLS records in them.
Without frames that can be told apart in a stream, all input is one datagram.

The frames are those behind the dialogue, if the protocol has one. With --raw
the payloads are written. A frame that is malformed ends with status 1.`,
		Example: `  echo 0005 68656c6c6f | encase codec decode length:16be --hex
  encase codec decode desc:demo.frame --role server < frames
  encase codec decode cobs --raw < frames > payloads`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: complete,
		RunE: func(c *cobra.Command, args []string) error {
			d, role, err := o.open(args[0])
			if err != nil {
				return err
			}
			return d.decodeInput(c.OutOrStdout(), o.input(c.InOrStdin()), role, o.raw)
		},
	}
	o.flags(c)
	return c
}

// A receiver reads the frames of one end.
type receiver struct {
	machine frame.Machine
	raw     bool // framing has ended
}

func (d *description) newReceiver(sender frame.Role) (*receiver, error) {
	m, err := d.maker(sender.Peer())
	if err != nil {
		return nil, err
	}
	opening, err := m.Start(nil)
	take(nil, opening, nil)
	return &receiver{machine: m}, err
}

// recv returns the payload of a frame, a copy.
func (r *receiver) recv(f []byte) (payload []byte, err error) {
	var ev []frame.Event
	if t, ok := r.machine.(frame.Timed); ok {
		if ev, err = t.Tick(nil, time.Now()); err != nil {
			return nil, err
		}
	}
	ev, err = r.machine.Recv(ev, frame.NewBuf(0, bytes.Clone(f), 0))
	for _, e := range ev {
		if e.Kind == frame.In {
			payload = append(payload, e.Buf.Bytes()...)
		}
		r.raw = r.raw || e.Kind == frame.SwitchRaw
	}
	take(nil, ev, nil)
	return payload, err
}

// decodeInput decodes in and writes what is in it.
func (d *description) decodeInput(w io.Writer, in io.Reader, role frame.Role, raw bool) error {
	r, err := d.newReceiver(role)
	if err != nil {
		return err
	}
	dump, err := d.newDumper(w)
	if err != nil {
		return err
	}
	delim, _ := r.machine.(frame.Delimiter)
	src := frame.NewReader(in, delim, maxFrame)
	next := src.Next
	if delim == nil {
		next = once(in)
	}
	for n := 1; ; n++ {
		b, err := next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return broken(dump, src, n, err, raw)
		}
		payload, err := r.recv(b.Bytes())
		if raw {
			_, werr := w.Write(payload)
			err = firstOf(err, werr)
		} else {
			err = firstOf(dump.frame(b.Bytes(), payload, err), err)
		}
		if err != nil {
			return fmt.Errorf("frame %d: %w", n, err)
		}
		if r.raw {
			src.SetDelimiter(nil)
		}
	}
}

// broken reports what is left of a stream when frame n cannot be cut out of it.
func broken(dump *dumper, src *frame.Reader, n int, err error, raw bool) error {
	rest, _ := src.Peek(min(src.Buffered(), maxFrame))
	if !raw && len(rest) > 0 {
		if err := dump.frame(rest, nil, nil); err != nil {
			return err
		}
	}
	switch {
	case err == io.ErrUnexpectedEOF:
		return fmt.Errorf("frame %d: standard input ends behind the first %s of it", n, bytesText(len(rest)))
	case errors.Is(err, frame.ErrMalformed):
		return fmt.Errorf("frame %d: %w", n, err)
	}
	return badInput(err)
}

// once returns all of in as one frame.
func once(in io.Reader) func() (*frame.Buf, error) {
	done := false
	return func() (*frame.Buf, error) {
		if done {
			return nil, io.EOF
		}
		done = true
		p, err := io.ReadAll(io.LimitReader(in, maxFrame+1))
		switch {
		case err != nil:
			return nil, err
		case len(p) > maxFrame:
			return nil, exit.Usagef("standard input is longer than a datagram: %d bytes at most", maxFrame)
		}
		return frame.NewBuf(0, p, 0), nil
	}
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
