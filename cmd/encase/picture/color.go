package picture

import "github.com/encase-tls/encase/cmd/encase/terminal"

func (k kind) ofBytes() terminal.Color {
	switch k {
	case wrapping:
		return terminal.Yellow
	case hidden:
		return terminal.Dim
	case trouble:
		return terminal.Red
	}
	return terminal.Normal
}

func (k kind) ofText() terminal.Color {
	if k == message {
		return terminal.Green
	}
	return k.ofBytes()
}
