package wasm

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/encase-tls/encase/frame"
)

// A direction says what an instance is for.
type direction int

const (
	encoding direction = iota
	decoding
)

// Numbers of encase_limits.
const (
	headLimit = iota
	tailLimit
	maxLimit
	windowLimit
	peekLimit
	lenientLimit
	limitCount
)

const (
	abiVersion = 1
	maxOptions = 1 << 10 // of the text of options, and of what a plugin says to it
	randomLen  = 32
	nowLen     = 8
)

// What encase_limits may return.
var (
	leastLimits = [limitCount]int{maxLimit: 1}
	mostLimits  = [limitCount]int{headLimit: 1 << 16, tailLimit: 1 << 16, maxLimit: 1 << 24, windowLimit: 1 << 16,
		peekLimit: 1 << 16, lenientLimit: 1}
)

// A shape is what an instance says about itself.
type shape struct {
	frame.Limits
	at      uint32 // address of the buffer
	room    int    // and its length
	whole   bool   // it sees all of a payload or a frame
	window  int    // otherwise so much of the front, at most
	peek    int    // it sees so much of a stream
	lenient bool   // it ignores something when it decodes
}

// A function is one that the module exports.
type function struct {
	api.Function
	name string
}

// An instance is a module at work for one direction of one connection.
type instance struct {
	module       api.Module
	direction    direction
	shape        *shape
	buffer       []byte // for what goes in and comes out
	now, random  []byte // for the time and for random bytes; nil: not wanted
	source       *rand.ChaCha8
	steps, stack api.MutableGlobal
	work         function // that encodes or decodes
	frameLen     function
	args         [3]uint64 // of a call, and its result
}

// start makes an instance for a direction of the frames that sender writes. The error is a *broken or an errOptions.
func (p *Plugin) start(sender frame.Role, d direction) (*instance, error) {
	s := &p.shapes[sender][d]
	in, err := p.instantiate(d)
	if err == nil {
		err = in.locate(s.at)
	}
	if err == nil {
		err = in.init(p, sender)
	}
	if err != nil {
		return nil, err
	}
	in.shape, in.buffer = s, in.buffer[:s.room:s.room]
	in.work = in.function([...]string{encoding: encodeName, decoding: decodeName}[d])
	if p.program.stream && d == decoding {
		in.frameLen = in.function(frameLenName)
	}
	return in, nil
}

// describe asks an instance of the same kind for its shape, which is that of all of them.
func (p *Plugin) describe(sender frame.Role, d direction) (s shape, err error) {
	in, err := p.instantiate(d)
	if err != nil {
		return s, err
	}
	version, err := in.ask(abiName)
	if err != nil {
		return s, err
	}
	if version != abiVersion {
		return s, breaks(ruleABI, "%s returns %d", abiName, version)
	}
	at, err := in.ask(bufferName)
	if err == nil {
		err = in.locate(uint32(at))
	}
	if err == nil {
		err = in.init(p, sender)
	}
	if err != nil {
		return s, err
	}
	return in.readShape(uint32(at))
}

// instantiate makes an instance that is yet to be told what it is for.
func (p *Plugin) instantiate(d direction) (*instance, error) {
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions()
	m, err := p.program.runtime.InstantiateModule(context.Background(), p.program.code, config)
	if err != nil {
		return nil, breaks(ruleStart, "%w", firstLine(err))
	}
	in := &instance{module: m, direction: d}
	runtime.AddCleanup(in, func(m api.Module) { m.Close(context.Background()) }, m)
	in.steps = m.ExportedGlobal(stepsName).(api.MutableGlobal)
	in.stack = m.ExportedGlobal(stackName).(api.MutableGlobal)
	for _, name := range []string{startName, initializeName} {
		if f := in.function(name); f.Function != nil {
			if _, err := in.call(f); err != nil {
				return nil, err
			}
		}
	}
	return in, nil
}

func (in *instance) function(name string) function {
	return function{in.module.ExportedFunction(name), name}
}

// locate finds the places in memory that the host writes to.
func (in *instance) locate(at uint32) (err error) {
	memory, _ := in.module.Memory().Read(0, in.module.Memory().Size())
	if _, err = within(memory, bufferName, uint64(at), maxOptions); err != nil {
		return err
	}
	in.buffer = memory[at:]
	if g := in.module.ExportedGlobal(nowName); g != nil {
		in.now, err = within(memory, nowName, g.Get(), nowLen)
	}
	if g := in.module.ExportedGlobal(randomName); g != nil && err == nil {
		in.random, err = within(memory, randomName, g.Get(), randomLen)
	}
	return err
}

// within returns the n bytes of memory at an address that a module gives.
func within(memory []byte, name string, at, n uint64) ([]byte, error) {
	if at+n > uint64(len(memory)) {
		return nil, breaks(ruleBuffer, "%s is at %d of %d bytes", name, at, len(memory))
	}
	return memory[at : at+n : at+n], nil
}

// init hands over role, direction and options.
func (in *instance) init(p *Plugin, sender frame.Role) error {
	if in.random != nil {
		var seed [32]byte
		crand.Read(seed[:]) // does not fail
		in.source = rand.NewChaCha8(seed)
	}
	if !p.program.options {
		return nil
	}
	role := sender
	if in.direction == decoding {
		role = sender.Peer()
	}
	in.refresh()
	n, err := in.ask(initName, uint64(role), uint64(in.direction), uint64(copy(in.buffer, p.options)))
	switch {
	case err != nil:
		return err
	case n < 0 || n > maxOptions:
		return breaks(ruleStart, "%s returns %d", initName, n)
	case n > 0:
		return errOptions{string(in.buffer[:n])}
	}
	return nil
}

// errOptions is what a plugin says to options that it refuses.
type errOptions struct{ said string }

func (e errOptions) Error() string { return e.said }

// readShape reads the limits of an instance with its buffer at that address.
func (in *instance) readShape(at uint32) (s shape, err error) {
	var v [limitCount]int
	f := in.function(limitsName)
	for i := range v {
		in.args[0] = uint64(i)
		n, err := in.call(f)
		if err != nil {
			return s, err
		}
		if v[i] = int(int32(n)); v[i] < leastLimits[i] || v[i] > mostLimits[i] {
			return s, breaks(ruleLimits, "%s(%d) is %d", limitsName, i, v[i])
		}
	}
	s = shape{
		Limits:  frame.Limits{Head: v[headLimit], Tail: v[tailLimit], Max: v[maxLimit]},
		at:      at,
		whole:   v[windowLimit] == 0,
		window:  v[windowLimit],
		lenient: v[lenientLimit] == 1,
	}
	s.room = s.Head + s.window
	if s.whole {
		s.room = s.MaxFrame()
	} else if s.Tail != 0 {
		return s, breaks(ruleLimits, "there is a window of %d bytes, and a tail of %d", s.window, s.Tail)
	}
	if s.room > len(in.buffer) {
		return s, breaks(ruleBuffer, "it has %d bytes up to the end of memory, the limits ask for %d", len(in.buffer), s.room)
	}
	s.peek = s.room
	if v[peekLimit] != 0 {
		s.peek = min(s.peek, v[peekLimit])
	}
	return s, nil
}

// refresh gives the module the time and random bytes, if it wants them.
func (in *instance) refresh() {
	if in.now != nil {
		binary.LittleEndian.PutUint64(in.now, uint64(time.Now().UnixMilli()))
	}
	if in.random != nil {
		in.source.Read(in.random)
	}
}

// ask calls a function that returns an i32, at the start.
func (in *instance) ask(name string, args ...uint64) (int32, error) {
	copy(in.args[:], args)
	v, err := in.call(in.function(name))
	return int32(v), err
}

// call calls f with the arguments in in.args, and returns its result.
func (in *instance) call(f function) (int64, error) {
	in.steps.Set(maxSteps)
	if err := f.CallWithStack(context.Background(), in.args[:]); err != nil {
		return 0, in.trapped(f.name, err)
	}
	return int64(in.args[0]), nil
}

// used returns how many steps the last call has taken.
func (in *instance) used() int64 { return maxSteps - int64(int32(in.steps.Get())) }

// trapped returns why a function has ended in a trap.
func (in *instance) trapped(name string, err error) error {
	switch {
	case in.used() > maxSteps:
		return breaks(ruleSteps, "%s does not end", name)
	case int32(in.stack.Get()) < 0:
		return breaks(ruleStack, "%s calls too deep", name)
	}
	return breaks(ruleTrap, "%s: %w", name, firstLine(err))
}

// firstLine returns an error without the trace of the stack behind it.
func firstLine(err error) error {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return errors.New(strings.TrimPrefix(line, "wasm error: "))
}
