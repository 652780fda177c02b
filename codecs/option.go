package codecs

import (
	"fmt"
	"strings"
)

// EachOption takes the argument of a spec apart, for codecs whose argument is a list of options with commas between
// them: it calls set for each, with the whole of it, what stands in front of "=" and what stands behind. An empty
// argument has no options. The error is that of set, or says, in the name of the codec, which option is given twice.
func EachOption(codec, arg string, set func(option, name, value string) error) error {
	if arg == "" {
		return nil
	}
	seen := map[string]bool{}
	for option := range strings.SplitSeq(arg, ",") {
		name, value, _ := strings.Cut(option, "=")
		if seen[name] {
			return fmt.Errorf("%s: %s is given twice", codec, name)
		}
		seen[name] = true
		if err := set(option, name, value); err != nil {
			return err
		}
	}
	return nil
}
