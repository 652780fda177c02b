package check

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/encase-tls/encase/frame"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	m.Run()
}

// What is right passes every rule.
func TestRight(t *testing.T) {
	for name, mk := range map[string]frame.Maker{
		"codec":           codecs(func() frame.Codec { return &right{} }),
		"machine":         opaque(codecs(func() frame.Codec { return &right{} })),
		"datagram":        codecs(func() frame.Codec { return hideFrameLen{&right{}} }),
		"datagramMachine": opaque(codecs(func() frame.Codec { return hideFrameLen{&right{}} })),
		"lenient":         codecs(func() frame.Codec { return lenient{&anyMagic{}} }),
		"preamble":        greeting(exact),
		"ender":           ending(true),
		"timed":           timed(time.Second),
		"raw":             frame.Raw,
	} {
		if err := Codec(mk); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each broken codec and each broken Machine breaks the rule that it was made for, and no other; and each rule has one.
func TestBroken(t *testing.T) {
	type broken struct {
		rule string
		mk   func() frame.Maker
	}
	var codecsUnderTest, machines []broken
	for _, b := range brokenCodecs {
		mk := func() frame.Maker { return b.mk }
		codecsUnderTest = append(codecsUnderTest, broken{b.rule, mk})
		if b.rule != "Canonical" {
			machines = append(machines, broken{b.rule, func() frame.Maker { return opaque(b.mk) }})
		}
	}
	for rule, mk := range brokenMachines {
		machines = append(machines, broken{rule, func() frame.Maker { return mk }})
	}
	greedy := func() frame.Maker { return codedGreeting(greedy) }
	codecsUnderTest = append(codecsUnderTest, broken{"Preamble", greedy})

	seen := map[string]bool{}
	for kind, list := range map[string][]broken{"codec": codecsUnderTest, "machine": machines} {
		for _, b := range list {
			seen[kind+b.rule] = true
			if raceEnabled && (b.rule == "NoAlloc" || b.rule == "RejectNoAlloc") {
				continue
			}
			if got := rulesBrokenBy(b.mk()); !slices.Equal(got, []string{b.rule}) {
				t.Errorf("the %s that breaks %s is said to break %q", kind, b.rule, got)
			}
		}
	}
	for _, r := range Rules() {
		if r.codec != nil && !seen["codec"+r.Name] {
			t.Errorf("no codec breaks %s", r.Name)
		}
		if r.machine != nil && !seen["machine"+r.Name] {
			t.Errorf("no Machine breaks %s", r.Name)
		}
	}
}

func rulesBrokenBy(mk frame.Maker) []string {
	var names []string
	for _, r := range Rules() {
		if err := r.Check(mk); err != nil && !errors.Is(err, ErrNotApplicable) {
			names = append(names, r.Name)
		}
	}
	return names
}

func TestMakerFails(t *testing.T) {
	want := errors.New("no such file")
	err := Codec(func(frame.Role) (frame.Machine, error) { return nil, want })
	if !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
}

// codecs is frame.Symmetric with a fresh codec each time.
func codecs(mk func() frame.Codec) frame.Maker { return frame.Symmetric(mk) }

// opaque hides that the Machines of mk consist of codecs.
func opaque(mk frame.Maker) frame.Maker {
	return func(role frame.Role) (frame.Machine, error) {
		m, err := mk(role)
		if d, ok := m.(frame.Delimiter); ok {
			return struct {
				frame.Machine
				frame.Delimiter
			}{m, d}, err
		}
		return struct{ frame.Machine }{m}, err
	}
}

// right is a codec that breaks no rule: a magic byte, a length of 16 bits.
type right struct{}

const magic = 0xd7

var errRight = fmt.Errorf("right: %w", frame.ErrMalformed)

func (*right) Limits() frame.Limits { return frame.Limits{Head: 3, Tail: 2, Max: 20000} }

func (*right) Encode(b *frame.Buf) error {
	n := b.Len()
	if n > 20000 {
		return frame.ErrTooLarge
	}
	p := b.Prepend(3)
	p[0] = magic
	binary.BigEndian.PutUint16(p[1:], uint16(n))
	return nil
}

func (c *right) Decode(b *frame.Buf) error {
	if n, err := c.FrameLen(b.Bytes()); err != nil || n == 0 || n != b.Len() {
		return errRight
	}
	b.TrimFront(3)
	return nil
}

func (*right) FrameLen(p []byte) (int, error) {
	if len(p) < 3 {
		return 0, nil
	}
	n := int(binary.BigEndian.Uint16(p[1:]))
	if p[0] != magic || n > 20000 {
		return 0, errRight
	}
	return 3 + n, nil
}

// hideFrameLen makes a datagram codec of a codec.
type hideFrameLen struct{ c frame.Codec }

func (h hideFrameLen) Limits() frame.Limits      { return h.c.Limits() }
func (h hideFrameLen) Encode(b *frame.Buf) error { return h.c.Encode(b) }
func (h hideFrameLen) Decode(b *frame.Buf) error { return h.c.Decode(b) }

var brokenCodecs = []struct {
	rule string
	mk   frame.Maker
}{
	{"Limits", codecs(func() frame.Codec { return &shifty{} })},
	{"RoundTrip", codecs(func() frame.Codec { return &wrongAtRecordSize{} })},
	{"TooLarge", codecs(func() frame.Codec { return &ownError{} })},
	{"FrameLen", codecs(func() frame.Codec { return &guesser{} })},
	{"Truncated", codecs(func() frame.Codec { return &takesStubs{} })},
	{"Noise", codecs(func() frame.Codec { return &panics{} })},
	{"Noise", codecs(func() frame.Codec { return &foreignError{} })},
	{"Bounded", codecs(func() frame.Codec { return &boundless{} })},
	{"Retain", retaining()},
	{"Independent", sharing()},
	{"NoAlloc", codecs(func() frame.Codec { return &allocates{} })},
	{"RejectNoAlloc", codecs(func() frame.Codec { return &formats{} })},
	{"Lossy", codecs(func() frame.Codec { return hideFrameLen{&numbered{}} })},
	{"Canonical", codecs(func() frame.Codec { return &anyMagic{} })},
}

// shifty changes its limits.
type shifty struct {
	right
	calls int
}

func (c *shifty) Limits() frame.Limits {
	c.calls++
	return frame.Limits{Head: 3, Tail: 2 + c.calls&1, Max: 20000}
}

// wrongAtRecordSize spoils payloads of exactly one TLS record.
type wrongAtRecordSize struct{ right }

func (c *wrongAtRecordSize) Encode(b *frame.Buf) error {
	if b.Len() == 16384 {
		b.Bytes()[16383] ^= 1
	}
	return c.right.Encode(b)
}

// ownError does not say ErrTooLarge.
type ownError struct{ right }

func (c *ownError) Encode(b *frame.Buf) error {
	if b.Len() > 20000 {
		return errors.New("no")
	}
	return c.right.Encode(b)
}

// guesser announces a length before it can know it.
type guesser struct{ right }

func (c *guesser) FrameLen(p []byte) (int, error) {
	if len(p) == 2 {
		return 3 + int(p[1])<<6, nil
	}
	return c.right.FrameLen(p)
}

func (c *guesser) Decode(b *frame.Buf) error { return c.right.Decode(b) }

// takesStubs accepts frames that end inside the header.
type takesStubs struct{ right }

func (c *takesStubs) Decode(b *frame.Buf) error {
	if b.Len() < 3 {
		b.TrimFront(b.Len())
		return nil
	}
	return c.right.Decode(b)
}

// panics looks behind the end of a header with certain bytes.
type panics struct{ right }

func (c *panics) Decode(b *frame.Buf) error {
	if p := b.Bytes(); len(p) > 1 && p[1] == 0x7f {
		_ = p[len(p)+int(p[0])]
	}
	return c.right.Decode(b)
}

// foreignError refuses with an error of its own.
type foreignError struct{ right }

var errForeign = errors.New("wrong magic")

func (c *foreignError) Decode(b *frame.Buf) error {
	if p := b.Bytes(); len(p) > 0 && p[0] != magic {
		return errForeign
	}
	return c.right.Decode(b)
}

// boundless announces whatever its length field says.
type boundless struct{ right }

func (c *boundless) FrameLen(p []byte) (int, error) {
	if len(p) < 3 || p[0] != magic {
		return c.right.FrameLen(p)
	}
	return 3 + int(binary.BigEndian.Uint16(p[1:])), nil
}

// retainer adds to each payload what it finds in the buffer of the last one; follower undoes it.
type retainer struct {
	right
	last []byte
}

func (c *retainer) Encode(b *frame.Buf) error {
	if b.Len() > 20000 {
		return frame.ErrTooLarge
	}
	if p := b.Bytes(); len(p) > 0 {
		if c.last != nil {
			p[0] ^= c.last[0]
		}
		c.last = p
	}
	return c.right.Encode(b)
}

func retaining() frame.Maker {
	return frame.Codecs(func(frame.Role) (send, recv frame.Codec, err error) {
		return &retainer{}, &follower{}, nil
	})
}

type follower struct {
	right
	last byte
}

func (c *follower) Decode(b *frame.Buf) error {
	if err := c.right.Decode(b); err != nil {
		return err
	}
	if p := b.Bytes(); len(p) > 0 {
		c.last, p[0] = p[0], p[0]^c.last
	}
	return nil
}

// numbered has a number in place of the magic byte, and takes frames only in order.
type numbered struct {
	right
	sent, got *byte
}

func (c *numbered) counters() (sent, got *byte) {
	if c.sent == nil {
		c.sent, c.got = new(byte), new(byte)
	}
	return c.sent, c.got
}

func (c *numbered) Encode(b *frame.Buf) error {
	if err := c.right.Encode(b); err != nil {
		return err
	}
	sent, _ := c.counters()
	b.Bytes()[0] = *sent
	*sent++
	return nil
}

func (c *numbered) Decode(b *frame.Buf) error {
	_, got := c.counters()
	p := b.Bytes()
	if len(p) == 0 || p[0] != *got {
		return errRight
	}
	p[0] = magic
	if err := c.right.Decode(b); err != nil {
		p[0] = *got
		return err
	}
	*got++
	return nil
}

func (c *numbered) FrameLen(p []byte) (int, error) {
	if len(p) < 3 {
		return 0, nil
	}
	return c.right.FrameLen([]byte{magic, p[1], p[2]})
}

// sharing numbers the frames of all connections together; making one starts again at zero.
func sharing() frame.Maker {
	var sent, got [2]byte
	return frame.Codecs(func(role frame.Role) (send, recv frame.Codec, err error) {
		sent, got = [2]byte{}, [2]byte{}
		return &numbered{sent: &sent[role], got: new(byte)}, &numbered{sent: new(byte), got: &got[role.Peer()]}, nil
	})
}

// allocates makes something for each frame.
type allocates struct{ right }

var sink []byte

func (c *allocates) Encode(b *frame.Buf) error {
	sink = make([]byte, 8)
	return c.right.Encode(b)
}

// formats makes a new error for each refusal.
type formats struct{ right }

func (c *formats) Decode(b *frame.Buf) error {
	if err := c.right.Decode(b); err != nil {
		return fmt.Errorf("%d bytes: %w", b.Len(), err)
	}
	return nil
}

// anyMagic ignores the magic byte when reading.
type anyMagic struct{ right }

func (c *anyMagic) Decode(b *frame.Buf) error {
	if n, err := c.FrameLen(b.Bytes()); err != nil || n == 0 || n != b.Len() {
		return errRight
	}
	b.TrimFront(3)
	return nil
}

func (c *anyMagic) FrameLen(p []byte) (int, error) {
	if len(p) < 3 {
		return 0, nil
	}
	return c.right.FrameLen([]byte{magic, p[1], p[2]})
}

// lenient says what anyMagic does.
type lenient struct{ *anyMagic }

func (lenient) Lenient() string { return "the magic byte" }

var brokenMachines = map[string]frame.Maker{
	"Preamble": greeting(greedy),
	"End":      ending(false),
	"Clock":    timed(0),
}

// A machine is the right codec as a Machine, for others to embed.
type machine struct {
	frame.Machine
	frame.Delimiter
}

func newMachine() machine {
	m := frame.Pair(&right{}, &right{})
	return machine{m, m.(frame.Delimiter)}
}

// greeter has a dialogue of one line each way.
type greeter struct {
	machine
	read func(p frame.Peeker) error
}

func (g *greeter) Exchange(_ context.Context, p frame.Peeker, role frame.Role) error {
	if role == frame.Client {
		if _, err := io.WriteString(p, "hello\n"); err != nil {
			return err
		}
		return g.read(p)
	}
	if err := g.read(p); err != nil {
		return err
	}
	_, err := io.WriteString(p, "hello\n")
	return err
}

func greeting(read func(frame.Peeker) error) frame.Maker {
	return func(frame.Role) (frame.Machine, error) { return &greeter{newMachine(), read}, nil }
}

// codedGreeter is a greeter whose codecs can be had.
type codedGreeter struct{ *greeter }

func (codedGreeter) Codecs() (send, recv frame.Codec) { return &right{}, &right{} }

func codedGreeting(read func(frame.Peeker) error) frame.Maker {
	return func(frame.Role) (frame.Machine, error) {
		return codedGreeter{&greeter{newMachine(), read}}, nil
	}
}

// exact takes the line and no more.
func exact(p frame.Peeker) error {
	line, err := p.Peek(6)
	if err != nil {
		return err
	}
	if string(line) != "hello\n" {
		return errRight
	}
	_, err = p.Discard(6)
	return err
}

// greedy takes what has come with the line, too.
func greedy(p frame.Peeker) error {
	if err := exact(p); err != nil {
		return err
	}
	if r, ok := p.(interface{ Buffered() int }); ok {
		_, err := p.Discard(r.Buffered())
		return err
	}
	return nil
}

// ender says at the end that it ends: an empty frame.
type ender struct {
	machine
	understands bool
}

func (e *ender) End(ev []frame.Event) ([]frame.Event, error) {
	return e.Send(ev, frame.NewBuf(3, nil, 0), true)
}

func (e *ender) Recv(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	n := len(ev)
	ev, err := e.machine.Recv(ev, b)
	if err == nil && len(ev) == n && e.understands {
		ev = append(ev, frame.Event{Kind: frame.Done})
	}
	return ev, err
}

func ending(understands bool) frame.Maker {
	return func(frame.Role) (frame.Machine, error) { return &ender{newMachine(), understands}, nil }
}

// ticker wants to be called again after a while.
type ticker struct {
	machine
	every time.Duration
	next  time.Time
}

func (c *ticker) Deadline() (time.Time, bool) { return c.next, !c.next.IsZero() }

func (c *ticker) Tick(ev []frame.Event, now time.Time) ([]frame.Event, error) {
	if !now.Before(c.next) {
		c.next = now.Add(c.every)
	}
	return ev, nil
}

func timed(every time.Duration) frame.Maker {
	return func(frame.Role) (frame.Machine, error) { return &ticker{machine: newMachine(), every: every}, nil }
}
