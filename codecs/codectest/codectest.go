// Package codectest tests codecs: every rule of package check as a subtest, a fuzzer, and a runner of test vectors.
//
//	func TestRules(t *testing.T)   { codectest.Run(t, mk) }
//	func FuzzRecv(f *testing.F)    { codectest.Fuzz(f, mk) }
//	func TestVectors(t *testing.T) { codectest.Vectors(t, os.DirFS("testdata"), parse) }
//
// What else many tests of codecs need is here as well: the arguments of a spec that are wrong ([Refused]), streams of
// frames written down in hexadecimal ([Payloads]), a Machine that is taken through its protocol step by step ([Driver]),
// and benchmarks.
package codectest

import (
	"bytes"
	"errors"
	"testing"

	"github.com/encase-tls/encase/codecs/check"
	"github.com/encase-tls/encase/frame"
)

// Run checks each rule of the contract on the Machines of mk, in a subtest of its own. A rule that says nothing about
// such Machines passes, and the log says why.
func Run(t *testing.T, mk frame.Maker) {
	for _, rule := range check.Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			err := rule.Check(mk)
			switch {
			case errors.Is(err, check.ErrNotApplicable):
				t.Log(err)
			case err != nil:
				t.Error(err)
			}
		})
	}
}

// Fuzz gives Machines of mk bytes from their carrier, starting from frames that they send themselves.
func Fuzz(f *testing.F, mk frame.Maker) {
	samples := sample(f, mk)
	for _, role := range roles {
		f.Add(byte(role), bytes.Join(samples.Frames[role.Peer()], nil))
		for _, p := range samples.Frames[role.Peer()] {
			f.Add(byte(role), p)
		}
	}
	f.Fuzz(func(t *testing.T, role byte, data []byte) {
		if err := check.Feed(mk, frame.Role(role&1), data); err != nil {
			t.Error(err)
		}
	})
}

// FuzzPreamble gives the Preambles of Machines of mk bytes from their peer, starting from what they say themselves.
func FuzzPreamble(f *testing.F, mk frame.Maker) {
	samples := sample(f, mk)
	for _, role := range roles {
		f.Add(byte(role), samples.Dialogue[role.Peer()])
	}
	f.Fuzz(func(t *testing.T, role byte, data []byte) {
		if err := check.FeedPreamble(mk, frame.Role(role&1), data); err != nil {
			t.Error(err)
		}
	})
}

var roles = [...]frame.Role{frame.Client, frame.Server}

func sample(f *testing.F, mk frame.Maker) check.Samples {
	f.Helper()
	samples, err := check.Sample(mk)
	if err != nil {
		f.Fatal(err)
	}
	return samples
}
