//go:build race

package bio_test

const raceEnabled = true
