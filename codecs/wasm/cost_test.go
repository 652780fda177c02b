package wasm_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/encase-tls/encase/codecs/wasm"
	"github.com/encase-tls/encase/frame"
)

// perConnection is what a connection may keep, in bytes: two instances, each with a page of 64 KiB for its memory, and
// the stacks on which its functions run.
const perConnection = 192 << 10

// connections makes n connections that have carried a frame each way.
func connections(t *testing.T, mk frame.Maker, n int) []frame.Machine {
	all := make([]frame.Machine, n)
	for i := range all {
		m, err := mk(frame.Client)
		if err != nil {
			t.Fatal(err)
		}
		send, recv, _ := frame.CodecsOf(m)
		b := frame.NewBuf(send.Limits().Head, []byte("hello"), 0)
		if err := send.Encode(b); err != nil {
			t.Fatal(err)
		}
		if n, err := recv.(frame.Delimiter).FrameLen(b.Bytes()); err != nil || n != b.Len() {
			t.Fatal(n, err)
		}
		if err := recv.Decode(b); err != nil {
			t.Fatal(err)
		}
		all[i] = m
	}
	return all
}

func live() int64 {
	for range 3 { // the first finds what is gone, cleanups close it, the next takes it away
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A connection keeps no more than is said, and nothing when it is gone: no one has to close a codec.
func TestMemoryOfConnections(t *testing.T) {
	const n = 200
	mk := parse(t, "@length16")
	connections(t, mk, 1)
	before := live()
	all := connections(t, mk, n)
	kept := (live() - before) / n
	runtime.KeepAlive(all)
	t.Logf("%d bytes per connection", kept)
	if kept > perConnection {
		t.Errorf("a connection keeps %d bytes, more than %d", kept, perConnection)
	}
	all = nil
	for range 20 {
		if live()-before < perConnection*n/20 {
			break
		}
	}
	if left := live() - before; left > perConnection*n/20 {
		t.Errorf("%d bytes are left of %d connections that are gone", left, n)
	}
	runtime.KeepAlive(mk)
}

// A connection that carries nothing has no instance.
func TestIdleConnection(t *testing.T) {
	const n = 200
	mk := parse(t, "@length16")
	before := live()
	all := make([]frame.Machine, n)
	for i := range all {
		all[i], _ = mk(frame.Client)
	}
	if kept := (live() - before) / n; kept > 1024 {
		t.Errorf("a connection that has carried nothing keeps %d bytes", kept)
	}
	runtime.KeepAlive(all)
}

// The longest call that a plugin can make ends soon, with the compiler and without it. What takes longest for a step
// are divisions.
func TestLongestCall(t *testing.T) {
	file := modules(t)["divides-on"]
	for name, load := range map[string]func(string, []byte, string) (*wasm.Plugin, error){
		"compiled": wasm.Unchecked, "interpreted": wasm.Interpreted,
	} {
		if name == "interpreted" && (raceEnabled || testing.Short()) {
			continue
		}
		start := time.Now()
		p, err := load(name, file, "")
		if err == nil {
			send, _, _ := frame.CodecsOf(machine(t, p, frame.Client))
			start = time.Now()
			err = send.Encode(frame.NewBuf(2, []byte("hello"), 0))
		}
		spent := time.Since(start)
		t.Logf("%s: %v", name, spent)
		checkFault(t, err, name, "steps", "encase_encode does not end")
		if spent > time.Minute {
			t.Errorf("%s: it takes %v", name, spent)
		}
	}
}

// A file that is in use is compiled and checked once.
func TestCompiledOnce(t *testing.T) {
	file, err := wasm.Read("@length16")
	if err != nil {
		t.Fatal(err)
	}
	first, err := wasm.New("once", file, "")
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	if again, err := wasm.New("once", file, ""); err != nil || again != first {
		t.Errorf("the second time it is another plugin (%v)", err)
	}
	other, err := wasm.New("another name", file, "")
	if err != nil || other == first || other.Name() != "another name" || !wasm.SameProgram(first, other) {
		t.Errorf("under another name it is the same plugin, or another program (%v)", err)
	}
	runtime.KeepAlive(first)
}
