package datagram

import "time"

// An agenda says which peer is to be looked at next: a heap of peers by time, one entry for each, instead of a timer
// for each. A peer that has been heard since is not moved: when its turn comes, it is looked at too early, and put off.
// So it costs something once in a timeout, and nothing with each datagram.
type agenda []*peer

// next returns when somebody is due.
func (a agenda) next() (at time.Time, ok bool) {
	if len(a) == 0 {
		return at, false
	}
	return a[0].due, true
}

// put enters p, or moves it, to be looked at at a time.
func (a *agenda) put(p *peer, at time.Time) {
	p.due = at
	if p.turn == 0 {
		*a = append(*a, p)
		p.turn = len(*a)
	}
	a.down(a.up(p.turn))
}

// remove takes p out, if it is in.
func (a *agenda) remove(p *peer) {
	turn := p.turn
	if turn == 0 {
		return
	}
	last := len(*a)
	a.set(turn, (*a)[last-1])
	(*a)[last-1] = nil
	*a = (*a)[:last-1]
	p.turn = 0
	if turn < last {
		a.down(a.up(turn))
	}
}

// Turns count from 1, so that 0 is "not in": the turns behind n are 2n and 2n+1.

func (a agenda) set(turn int, p *peer) {
	a[turn-1] = p
	p.turn = turn
}

func (a agenda) before(i, j int) bool { return a[i-1].due.Before(a[j-1].due) }

func (a agenda) swap(i, j int) {
	p := a[i-1]
	a.set(i, a[j-1])
	a.set(j, p)
}

// up moves the peer whose turn is i to the front as far as it belongs, and returns its turn.
func (a agenda) up(i int) int {
	for ; i > 1 && a.before(i, i/2); i /= 2 {
		a.swap(i, i/2)
	}
	return i
}

func (a agenda) down(i int) {
	for {
		first := i
		for _, j := range []int{2 * i, 2*i + 1} {
			if j <= len(a) && a.before(j, first) {
				first = j
			}
		}
		if first == i {
			return
		}
		a.swap(i, first)
		i = first
	}
}
