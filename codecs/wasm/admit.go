package wasm

import (
	"errors"
	"sync/atomic"

	"github.com/encase-tls/encase/codecs/check"
)

// maxAudit is how many steps the rules of codecs may take together: what is within the limits of
// one call may still be so slow that it takes hours to see that it is right.
const maxAudit = 1 << 30

// An audit is what the codecs of a plugin share while it is being admitted. The first fault ends it: a plugin that
// loops would otherwise do so thousands of times.
type audit struct {
	steps atomic.Int64
	fault atomic.Pointer[error]
}

// failed returns the first fault.
func (a *audit) failed() error {
	if err := a.fault.Load(); err != nil {
		return *err
	}
	return nil
}

func (a *audit) fail(err error) { a.fault.CompareAndSwap(nil, &err) }

// charge reports when too many steps have been taken.
func (a *audit) charge(steps int64) error {
	if a.steps.Add(steps) > maxAudit {
		return breaks(ruleSteps, "the rules of codecs take more than %d together", maxAudit)
	}
	return nil
}

// admit checks the rules of codecs, all but those that count allocations: these measure the whole process, which may be
// a busy one, and no plugin can change what the host allocates for a frame.
func (p *Plugin) admit() error {
	var wrong []error
	a := &audit{}
	for _, rule := range check.Rules() {
		if rule.Name == "NoAlloc" || rule.Name == "RejectNoAlloc" {
			continue
		}
		err := rule.Check(p.maker(a))
		if fault := a.failed(); fault != nil {
			return fault
		}
		if err != nil && !errors.Is(err, check.ErrNotApplicable) {
			wrong = append(wrong, err)
		}
	}
	if wrong != nil {
		return p.named(breaks(ruleCodec, "%w", errors.Join(wrong...)))
	}
	return nil
}
