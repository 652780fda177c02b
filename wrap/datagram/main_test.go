package datagram

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/frame"
)

// TestMain makes released buffers unusable, but for benchmarks, and fails if the tests leave a goroutine behind.
func TestMain(m *testing.M) {
	flag.Parse()
	frame.PoisonReleased(flag.Lookup("test.bench").Value.String() == "")
	code := m.Run()
	if leaked := leftOver(5 * time.Second); code == 0 && leaked != "" {
		fmt.Fprintf(os.Stderr, "goroutines are left behind:\n%s\n", leaked)
		code = 1
	}
	os.Exit(code)
}

// leftOver waits until no goroutine of this module or of pion is left but tests themselves, and returns the stacks of
// those that stay.
func leftOver(patience time.Duration) string {
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		stacks := ourGoroutines()
		if len(stacks) == 0 || time.Now().After(end) {
			return strings.Join(stacks, "\n\n")
		}
	}
}

func ourGoroutines() (ours []string) {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for i, stack := range strings.Split(string(buf), "\n\n") {
		test := i == 0 || strings.Contains(stack, "testing.tRunner(")
		if !test && (strings.Contains(stack, "encase-tls/encase") || strings.Contains(stack, "pion/dtls")) {
			ours = append(ours, stack)
		}
	}
	return ours
}
