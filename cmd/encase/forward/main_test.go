package forward

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/cmd/encase/exit"
	_ "github.com/encase-tls/encase/codecs/all"
	"github.com/encase-tls/encase/frame"
)

// asCommand in the environment makes the test binary the command: tests of signals, limits and speed need processes.
const asCommand = "ENCASE_FORWARD_TEST_COMMAND"

// TestMain makes released buffers unusable, but for benchmarks, and fails if the tests leave a goroutine behind.
func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		os.Exit(command(os.Args[1:]))
	}
	flag.Parse()
	frame.PoisonReleased(flag.Lookup("test.bench").Value.String() == "")
	code := m.Run()
	if leaked := leftOver(10 * time.Second); code == 0 && leaked != "" {
		fmt.Fprintf(os.Stderr, "goroutines are left behind:\n%s\n", leaked)
		code = 1
	}
	os.Exit(code)
}

// command does what main does.
func command(args []string) int {
	c := Command()
	c.SetArgs(args)
	err := c.Execute()
	if err != nil {
		fmt.Fprintln(os.Stderr, "encase forward:", err)
	}
	return exit.Status(err)
}

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
		if !test && (strings.Contains(stack, "encase-tls/encase") || strings.Contains(stack, "crypto/tls")) {
			ours = append(ours, stack)
		}
	}
	return ours
}
