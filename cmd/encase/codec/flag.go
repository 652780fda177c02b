package codec

import (
	"cmp"
	"errors"

	"github.com/spf13/cobra"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
)

// A Flag is the value of --codec.
type Flag struct {
	Spec  string
	Maker frame.Maker

	Datagrams bool // codecs for datagrams alone are taken, too: see Streams
}

// AddFlag gives c the flag --codec. spec is what it means if it is not given.
func AddFlag(c *cobra.Command, spec string) *Flag {
	f := &Flag{}
	if err := f.Set(spec); err != nil {
		panic(err) // a default is part of this program
	}
	c.Flags().Var(f, "codec", "`SPEC` of the framing, see encase-codec(1)")
	if err := c.RegisterFlagCompletionFunc("codec", complete); err != nil {
		panic(err) // the flag exists
	}
	return f
}

// Set implements pflag.Value.
func (f *Flag) Set(spec string) error {
	d, err := parse(spec)
	if err != nil {
		return err
	}
	m, err := d.maker(frame.Client)
	if err != nil {
		return err
	}
	if !f.Datagrams && !streams(m) {
		return errDatagrams
	}
	f.Spec, f.Maker = d.spec, d.maker
	return nil
}

var errDatagrams = errors.New("its frames cannot be told apart in a stream; it is for datagrams only")

// Streams returns an error if the codec is for datagrams only.
func (f *Flag) Streams() error {
	if m, err := f.Maker(frame.Client); err != nil || !streams(m) {
		return cmp.Or(err, errDatagrams)
	}
	return nil
}

func streams(m frame.Machine) bool {
	_, delimits := m.(frame.Delimiter)
	return delimits || frame.IsRaw(m)
}

// String implements pflag.Value.
func (f *Flag) String() string { return f.Spec }

// Type implements pflag.Value.
func (f *Flag) Type() string { return "SPEC" }

// complete offers the examples of all codecs to a shell.
func complete(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var specs []string
	for _, info := range codecs.List() {
		specs = append(specs, cmp.Or(info.Example, info.Name)+"\t"+info.Summary)
	}
	return specs, cobra.ShellCompDirectiveNoFileComp
}
