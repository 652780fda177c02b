package bench

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// probe compiles where openssl_membio.c must compile: it keeps a missing library apart from a fault of ours.
const probe = `#include <malloc.h>
#include <openssl/ssl.h>
#if OPENSSL_VERSION_NUMBER < 0x30000000L
#error OpenSSL 3.0 or later is needed
#endif
int main(void) { return mallinfo2().uordblks == 0 || OPENSSL_version_major() < 3; }
`

// TestOpenSSLMembio builds openssl_membio and checks that each mode prints a result that benchstat can read and that
// agrees with itself.
func TestOpenSSLMembio(t *testing.T) {
	program := buildMembio(t)
	tests := []struct {
		args, name, unit string
		size             float64 // bytes per operation when throughput is printed as well
	}{
		{"-s 0.2 record 1400", "BenchmarkRecord/openssl/1400", "ns/op", 1400},
		{"-s 0.05 -v 1.2 -p record 16384", "BenchmarkRecord/openssl-tls1.2-pair/16384", "ns/op", 16384},
		{"-s 0.05 handshake", "BenchmarkHandshake/openssl", "ns/op", 0},
		{"-s 0.05 -v dtls1.2 record 1350", "BenchmarkDTLSRecord/openssl/1350", "ns/op", 1350},
		{"-s 0.05 -v dtls1.2 handshake", "BenchmarkDTLSHandshake/openssl", "ns/op", 0},
		{"memory 20 1400", "BenchmarkMemory/openssl/1400", "B/conn", 0},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			out := command(t, time.Minute, program, strings.Fields(tt.args)...)
			r, err := parseResult(out, tt.name)
			if err != nil {
				t.Fatalf("%v in\n%s", err, out)
			}
			if r[tt.unit] <= 0 {
				t.Errorf("%v %s in\n%s", r[tt.unit], tt.unit, out)
			}
			if want := tt.size / r["ns/op"] * 1000; tt.size > 0 && math.Abs(r["MB/s"]-want) > want/100 {
				t.Errorf("%v MB/s, want %.2f from the time in\n%s", r["MB/s"], want, out)
			}
		})
	}
}

// parseResult returns the values, by unit, of the one line of out that is a result of the benchmark name.
func parseResult(out []byte, name string) (map[string]float64, error) {
	var result map[string]float64
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != name {
			continue
		}
		if result != nil {
			return nil, fmt.Errorf("bench: two results of %s", name)
		}
		var err error
		if result, err = parseValues(f[1:]); err != nil {
			return nil, fmt.Errorf("bench: line %q: %w", line, err)
		}
	}
	if result == nil {
		return nil, fmt.Errorf("bench: no result of %s", name)
	}
	return result, nil
}

// parseValues takes the fields after the name: the count of operations, then pairs of value and unit.
func parseValues(f []string) (map[string]float64, error) {
	if len(f) < 3 || len(f)%2 == 0 {
		return nil, fmt.Errorf("%d fields after the name", len(f))
	}
	if n, err := strconv.Atoi(f[0]); err != nil || n < 1 {
		return nil, fmt.Errorf("count %q", f[0])
	}
	values := make(map[string]float64)
	for i := 1; i < len(f); i += 2 {
		v, err := strconv.ParseFloat(f[i], 64)
		if err != nil {
			return nil, err
		}
		values[f[i+1]] = v
	}
	return values, nil
}

// buildMembio returns the path of a freshly built openssl_membio. It skips the test where a C compiler or OpenSSL's
// headers are missing, except in CI.
func buildMembio(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(dir, "probe.c")
	if err := os.WriteFile(source, []byte(probe), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := compile(t, source, filepath.Join(dir, "probe")); err != nil {
		unavailable(t, "no C compiler with OpenSSL 3 (packages gcc and libssl-dev): %v\n%s", err, out)
	}
	program := filepath.Join(dir, "openssl_membio")
	if out, err := compile(t, "openssl_membio.c", program); err != nil || len(out) > 0 {
		t.Fatalf("compiling openssl_membio.c: error %v, want no error and no warning\n%s", err, out)
	}
	return program
}

func compile(t *testing.T, source, program string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	args := []string{"-O2", "-Wall", "-Wextra", "-o", program, source, "-lssl", "-lcrypto"}
	return exec.CommandContext(ctx, cmp.Or(os.Getenv("CC"), "cc"), args...).CombinedOutput()
}

func unavailable(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// command runs a program and returns what it prints; it fails the test when the program fails.
func command(t *testing.T, timeout time.Duration, name string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, &stderr)
	}
	return stdout.Bytes()
}
