//go:build race

package check

// raceEnabled tells that the race detector, which allocates at will, is part of the program.
const raceEnabled = true
