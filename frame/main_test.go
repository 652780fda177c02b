package frame

import (
	"errors"
	"os"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	PoisonReleased(true)
	os.Exit(m.Run())
}

// mustPanic checks that f panics and that the message says so.
func mustPanic(t *testing.T, says string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		switch v := recover().(type) {
		case nil:
			t.Errorf("no panic, want one that says %q", says)
		case error:
			if !strings.Contains(v.Error(), says) {
				t.Errorf("panic says %q, want %q", v, says)
			}
		case string:
			if !strings.Contains(v, says) {
				t.Errorf("panic says %q, want %q", v, says)
			}
		}
	}()
	f()
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error is %v, want %v", err, want)
	}
}
