// Package check holds the rules of the contract in package frame as functions. [Codec] runs them all on what a Maker
// makes, so that a program can refuse a codec that was written elsewhere, in a description or a module, before any peer
// meets it. Tests use package codectest, which runs the same rules.
//
// A Machine that [frame.CodecsOf] takes apart is checked as two codecs. Any other Machine is checked as a client and a
// server that are joined by a link in memory, with a clock of its own: the same properties, as they show in Send and
// Recv.
//
// The rules use payloads of at most 128 KiB, the same random bytes in every run, and take well under a second
// together. A codec that passes them keeps the contract as far as that can be seen from outside; it may still
// disagree with the protocol that it is named after, which test vectors find out.
package check

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"

	"github.com/encase-tls/encase/frame"
)

// ErrNotApplicable is wrapped by what Rule.Check returns when the rule says nothing about such a Machine.
var ErrNotApplicable = errors.New("the rule does not apply")

func notApplicable(why string) error { return fmt.Errorf("check: %w: %s", ErrNotApplicable, why) }

// A Rule is one promise of the contract.
type Rule struct {
	Name     string
	Contract string // the promise, in one sentence

	codec   func(*subject) error // for codecs; nil: says nothing about them
	machine func(*subject) error // for any other Machine; nil: says nothing about them
}

// Codec checks every rule and returns all that are broken, joined; nil if none is.
func Codec(mk frame.Maker) error {
	var broken []error
	for _, r := range Rules() {
		if err := r.Check(mk); err != nil && !errors.Is(err, ErrNotApplicable) {
			broken = append(broken, err)
		}
	}
	return errors.Join(broken...)
}

// Check returns an error that tells how the Machines of mk break the rule, or one that wraps ErrNotApplicable if they
// are of a kind that the rule says nothing about. It tries what the client sends, and what the server sends.
func (r Rule) Check(mk frame.Maker) error {
	var skipped error
	for _, from := range []frame.Role{frame.Client, frame.Server} {
		err := r.checkFrom(mk, from)
		switch {
		case errors.Is(err, ErrNotApplicable):
			skipped = err
		case err != nil:
			return fmt.Errorf("check: %s, sent by the %v: %w\n\tthe rule: %s", r.Name, from, err, r.Contract)
		default:
			skipped = nil
		}
	}
	return skipped
}

func (r Rule) checkFrom(mk frame.Maker, from frame.Role) error {
	s := newSubject(mk, from)
	return guard(func() error {
		m := s.machine(from)
		f := r.machine
		if _, _, ok := frame.CodecsOf(m); ok && r.codec != nil {
			f = r.codec
		}
		if f == nil {
			return notApplicable("it says nothing about such a Machine")
		}
		return f(s)
	})
}

// guard turns a panic of f into an error that says where it happened.
func guard(f func() error) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case makerFailed:
			err = fmt.Errorf("the Maker fails: %w", p.err)
		default:
			err = &panicked{p, panicSite()}
		}
	}()
	return f()
}

// panicked is a panic as an error.
type panicked struct {
	value any
	site  string
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v (%s)", p.value, p.site) }

// panicSite returns the place of the innermost function of the panic that is neither Go's nor package frame's.
func panicSite() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "runtime.") && !strings.Contains(f.Function, "/encase/frame.") {
			return fmt.Sprintf("%s:%d", f.File[strings.LastIndexByte(f.File, '/')+1:], f.Line)
		}
		if !more {
			return "unknown place"
		}
	}
}

// A subject is what a rule looks at: the traffic in one direction between Machines of one Maker.
type subject struct {
	mk    frame.Maker
	from  frame.Role // who sends
	rng   *rand.Rand
	front int // how many bytes of a frame are bent: its header
}

func newSubject(mk frame.Maker, from frame.Role) *subject {
	return &subject{mk: mk, from: from, rng: rand.New(rand.NewPCG(1, 2)), front: 24}
}

type makerFailed struct{ err error }

func (s *subject) machine(role frame.Role) frame.Machine {
	m, err := s.mk(role)
	if err != nil {
		panic(makerFailed{err})
	}
	return m
}

// payload returns n random bytes.
func (s *subject) payload(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(s.rng.Uint32())
	}
	return p
}

// maxTried bounds the payloads that are tried, whatever a codec says that it can take.
const maxTried = 128 << 10

// sizes returns the payload lengths to try: those at which length fields, padding and records change, and the ends of
// what a codec with this limit takes.
func sizes(limit int) []int {
	all := []int{0, 1, 2, 3, 15, 16, 17, 124, 125, 126, 127, 128, 253, 254, 255, 256, 1399, 16383, 16384, 65535, 65536,
		limit - 1, limit}
	var fit []int
	for _, n := range all {
		if n >= 0 && n <= min(limit, maxTried) {
			fit = append(fit, n)
		}
	}
	return fit
}
