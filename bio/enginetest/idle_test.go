package enginetest

import "testing"

func TestIdleBytes(t *testing.T) {
	const size = 10_000
	got, err := IdleBytes(1000, func() (any, error) {
		_ = make([]byte, 50_000) // garbage does not count
		return make([]byte, size), nil
	})
	if err != nil || got < size || got > size*12/10 {
		t.Errorf("IdleBytes of slices of %d bytes returned %d, %v", size, got, err)
	}
}
