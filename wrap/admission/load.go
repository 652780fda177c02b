package admission

// load is the under-load mode. It begins when peers that have not returned their cookie have half of all the places. It
// ends when they have less than a quarter, and would have even if all that it has kept out since the last look had been
// let in: so it does not come and go during one flood.
type load struct {
	on      bool
	keptOut int   // since looked
	looked  int64 // when keptOut was 0
}

// update is called with each ClientHello. window is how long an unproven peer may stay.
func (l *load) update(now, window int64, unproven, places int) {
	switch {
	case !l.on && unproven >= (places+1)/2:
		*l = load{on: true, looked: now}
	case l.on && now-l.looked >= window:
		if unproven+l.keptOut < (places+3)/4 {
			l.on = false
		}
		l.keptOut, l.looked = 0, now
	}
}
