//go:build !linux

package demo

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
)

func (o *options) runTunnel(context.Context, *cobra.Command) error {
	return errors.New("tunnels need Linux")
}
