package demo

import "testing"

func TestSize(t *testing.T) {
	for in, want := range map[string]struct {
		bytes int64
		text  string
	}{
		"1":       {1, "1"},
		"1000":    {1000, "1000"},
		"4096":    {4096, "4KiB"},
		"256MiB":  {256 << 20, "256MiB"},
		"1536KiB": {1536 << 10, "1536KiB"},
		"1024GiB": {1 << 40, "1024GiB"},
	} {
		var s size
		if err := s.Set(in); err != nil || int64(s) != want.bytes || s.String() != want.text {
			t.Errorf("Set(%q): %d, %q, %v; want %d, %q", in, int64(s), s.String(), err, want.bytes, want.text)
		}
	}
	for _, in := range []string{"", "0", "-1", "1.5GiB", "1 MiB", "MiB", "1025GiB", "9999999999999999999", "1MB"} {
		s := size(7)
		if err := s.Set(in); err == nil || s != 7 {
			t.Errorf("Set(%q) has made it %d, %v", in, int64(s), err)
		}
	}
}
