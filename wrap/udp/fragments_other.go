//go:build !linux && !windows && !darwin && !freebsd

package udp

// forbidFragments does nothing: of these systems nothing is known.
func forbidFragments(uintptr) {}
