package enginetest

import (
	"fmt"
	"runtime"
)

// IdleBytes calls open n times, keeps what it returns, and returns how many bytes of heap and of stacks each of them
// holds. open returns what belongs to an idle connection and leaves the rest, such as the other end, to the garbage
// collector. The figure is good if n is so large that what the runtime does on its own does not count: 1000 or more.
func IdleBytes(n int, open func() (any, error)) (int, error) {
	kept := make([]any, n)
	before := inUse()
	for i := range kept {
		idle, err := open()
		if err != nil {
			return 0, fmt.Errorf("enginetest: connection %d of %d: %w", i, n, err)
		}
		kept[i] = idle
	}
	after := inUse()
	runtime.KeepAlive(kept)
	return int(after-before) / n, nil
}

// inUse returns the bytes of heap and stacks in use after a collection.
func inUse() int64 {
	runtime.GC()
	runtime.GC() // what has a finalizer, or lies in a sync.Pool, goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
