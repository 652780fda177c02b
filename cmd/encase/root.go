package main

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/cmd/encase/codec"
	"github.com/encase-tls/encase/cmd/encase/connect"
	"github.com/encase-tls/encase/cmd/encase/control"
	"github.com/encase-tls/encase/cmd/encase/demo"
	"github.com/encase-tls/encase/cmd/encase/forward"
	"github.com/encase-tls/encase/cmd/encase/migrate"
	"github.com/encase-tls/encase/cmd/encase/pki"
	"github.com/encase-tls/encase/cmd/encase/preamble"
	"github.com/encase-tls/encase/cmd/encase/tunnel"
	"github.com/encase-tls/encase/codecs"
	_ "github.com/encase-tls/encase/codecs/all"
)

// newRoot returns the command encase with all that belongs to it.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "encase",
		Short:         "TLS and DTLS inside other protocols",
		Long:          long,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version(),
	}
	root.Flags().Bool("version", false, "show the version, the TLS stacks and the codecs of this program")
	root.SetVersionTemplate("{{.Version}}")
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages ", ".FlagUsagesWrapped 80 "))
	root.AddCommand(codec.Command(), connect.Command(), demo.Command(), forward.Command(), preamble.Command(),
		pki.Command(), migrate.Command(), manCommand(newRoot))
	info, _ := debug.ReadBuildInfo()
	root.AddCommand(tunnel.Commands(moduleVersion(info))...)
	root.AddCommand(control.Commands(tunnel.CleanUp)...)
	return root
}

const long = `encase carries TLS and DTLS inside other protocols: each record travels in a
frame of a codec, which can be a length in front, the messages of WebSocket, or
the header of a protocol that only your equipment speaks.

To see what that looks like, run "encase demo". To talk to one peer, as netcat
does, use "encase connect"; to put TLS in a codec between programs that know
nothing of it, as stunnel does, use "encase forward". To carry all the packets of
a machine or a network, as a VPN does, use "encase up".

A codec authenticates nothing and hides nothing; TLS does. Peers are verified
always, and there is no switch that turns that off.

EXIT STATUS

    0   what was asked for has been done
    1   the peer, the network or this machine prevented it
    2   the command line, or a file that it names, is wrong
    78  the configuration of "encase forward" or "encase up" is wrong

ENVIRONMENT

    NO_COLOR            turns colours off if it is not empty; they are used on
                        terminals only
    SSL_CERT_FILE       instead of the authorities that the system trusts, and
    SSL_CERT_DIR        the directories of such files`

// version describes this program: where it comes from and what it is made of.
func version() string {
	var b strings.Builder
	info, _ := debug.ReadBuildInfo()
	fmt.Fprintf(&b, "encase %s\n", moduleVersion(info))
	fmt.Fprintf(&b, "built with %s for %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, s := range bio.Stacks() {
		var versions []string
		for _, v := range s.Versions {
			versions = append(versions, tls.VersionName(v))
		}
		fmt.Fprintf(&b, "stack %s: %s\n", s.Name, strings.Join(versions, ", "))
	}
	fmt.Fprintf(&b, "codecs: %s\n", strings.Join(codecs.Names(), ", "))
	return b.String()
}

// moduleVersion returns the version of the module. If the module was built without one, from a working copy, it names
// the commit.
func moduleVersion(info *debug.BuildInfo) string {
	const unversioned = "(devel)"
	if info == nil {
		return unversioned
	}
	version := cmp.Or(info.Main.Version, unversioned)
	if version != unversioned {
		return version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			version += " " + s.Value[:min(len(s.Value), 12)]
		}
		if s.Key == "vcs.modified" && s.Value == "true" {
			version += ", modified"
		}
	}
	return version
}
