package main

import (
	"fmt"
	"sync"

	"github.com/encase-tls/encase/wrap/datagram"
)

// A station collects what sensors report. A report is a line of text, NUMBER VALUE, and the answer is NUMBER MEAN. The
// numbers count up from 1: a sensor that gets no answer repeats its report, since either may have got lost, and only
// the number tells a repetition from a second report of the same value.
type station struct {
	mu      sync.Mutex
	sensors map[*datagram.Conn]*sensor
	reports int
	strange int // messages that were no reports
}

// A sensor is what the station knows of one.
type sensor struct {
	last int // number of the last report
	sum  float64
}

func newStation() *station { return &station{sensors: map[*datagram.Conn]*sensor{}} }

// heard takes a message, on the goroutine that reads the socket: it must not wait for anything, and Write does not. The
// messages of one Conn come one after the other, those of different ones at the same time if there are several sockets.
func (s *station) heard(c *datagram.Conn, message []byte) {
	var number int
	var value float64
	if _, err := fmt.Sscanf(string(message), "%d %g", &number, &value); err != nil {
		s.stranger()
		return
	}
	if mean, ok := s.count(c, number, value); ok {
		fmt.Fprintf(c, "%d %.2f\n", number, mean) // what happens to it is the sensor's to find out
	}
}

// count takes a report in. ok is false for one that was overtaken by a later one, whose sensor does not wait any more,
// and for one that leaves a gap.
func (s *station) count(c *datagram.Conn, number int, value float64) (mean float64, ok bool) {
	if number < 1 {
		return 0, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.sensors[c]
	if one == nil {
		one = new(sensor)
		s.sensors[c] = one
	}
	switch number {
	case one.last + 1:
		one.last++
		one.sum += value
		s.reports++
	case one.last: // a repetition
	default:
		return 0, false
	}
	return one.sum / float64(one.last), true
}

func (s *station) stranger() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.strange++
}

// gone forgets a sensor whose connection has ended, for whatever reason.
func (s *station) gone(c *datagram.Conn, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sensors, c)
}

func (s *station) summary(l datagram.ListenerStats) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("%d sensors, %d reports, %d messages that were none", l.Opened, s.reports, s.strange)
}
