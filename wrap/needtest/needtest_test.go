package needtest_test

import (
	"runtime"
	"testing"

	"github.com/encase-tls/encase/wrap/needtest"
)

// A verdict is a testing.TB that keeps what a test is told; as with a real one, the test ends there.
type verdict struct {
	testing.TB
	failed, skipped bool
}

func (v *verdict) Helper()               {}
func (v *verdict) Fatalf(string, ...any) { v.failed = true; runtime.Goexit() }
func (v *verdict) Skipf(string, ...any)  { v.skipped = true; runtime.Goexit() }

func TestMissing(t *testing.T) {
	for ci, want := range map[string]verdict{"": {skipped: true}, "true": {failed: true}} {
		t.Setenv("CI", ci)
		var got verdict
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			needtest.Program(&got, "no-such-program", "no-such-package")
			t.Error("the test goes on")
		}()
		<-ended
		if got != want {
			t.Errorf("CI=%q: failed %v, skipped %v", ci, got.failed, got.skipped)
		}
	}
}

func TestThere(t *testing.T) {
	if path := needtest.Program(t, "go", "golang-go"); path == "" {
		t.Error("no path")
	}
}
