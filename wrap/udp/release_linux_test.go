package udp

import "testing"

func TestRelease(t *testing.T) {
	for _, c := range []struct {
		s              string
		want           release
		mangles, joins bool
	}{
		{"6.18.44-fc-v657", release{6, 18, 44}, false, true},
		{"7.0.0-14-generic", release{7, 0, 0}, true, true},
		{"7.0.0-rc1", release{7, 0, 0}, true, true},
		{"7.1.4", release{7, 1, 4}, true, true},
		{"7.1.5", release{7, 1, 5}, false, true},
		{"7.2", release{7, 2, 0}, false, true},
		{"5.12+", release{5, 12, 0}, false, true},
		{"5.11.22-300.fc34", release{5, 11, 22}, false, false},
		{"5.4.0.1", release{5, 4, 0}, false, false},
		{"", release{}, false, false},
		{"what.is.this", release{}, false, false},
	} {
		r := parseRelease(c.s)
		if r != c.want || r.mangles() != c.mangles || r.joinsWell() != c.joins {
			t.Errorf("%q: %v, mangles %v, joins well %v", c.s, r, r.mangles(), r.joinsWell())
		}
	}
}
