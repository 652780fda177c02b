package desc

import "time"

// Compile is Parse without the rules of package check, which take their time.
func Compile(name string, text []byte, values map[string]string) (*Description, error) {
	return compile(name, text, values)
}

// RuleNames returns the stable names of all mistakes.
func RuleNames() []string { return ruleNames[:] }

// SetTime has d believe that it is always t.
func (d *Description) SetTime(t time.Time) {
	for _, p := range d.programs {
		p.now = func() time.Time { return t }
	}
}
