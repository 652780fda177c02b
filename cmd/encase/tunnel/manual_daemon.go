package tunnel

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/encase-tls/encase/cmd/encase/control"
)

// DaemonManual returns the page encase(8) as roff: what an operator needs besides the format of the configuration. It
// lists the fields of the status and the metrics as the program knows them.
func DaemonManual(date, version string) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH \"ENCASE\" \"8\" %q %q \"encase manual\"\n", date, "encase "+version)
	b.WriteString(daemonHead)
	b.WriteString(".SH STATUS\n.B encase status \\-\\-json\nwrites one object. Its fields keep their names and meanings; " +
		"new ones may come. Times are as in RFC 3339.\n")
	for _, f := range control.Fields() {
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", escaped(f.Path), escaped(f.Doc))
	}
	b.WriteString(".SH METRICS\nAt\n.BR observability.metrics ,\nfor Prometheus, besides those of Go and of the process:\n")
	for _, m := range metrics() {
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", escaped(m.name), escaped(m.help))
	}
	b.WriteString(daemonTail)
	return b.String()
}

type metric struct{ name, help string }

// metrics returns those of tunnels.
func metrics() (all []metric) {
	out := make(chan *prometheus.Desc)
	go func() {
		new(collector).Describe(out)
		close(out)
	}()
	for d := range out {
		_, rest, _ := strings.Cut(d.String(), `fqName: "`)
		name, rest, _ := strings.Cut(rest, `"`)
		_, rest, _ = strings.Cut(rest, `help: "`)
		help, _, _ := strings.Cut(rest, `", constLabels`)
		all = append(all, metric{name, help})
	}
	return all
}

const daemonHead = `.SH NAME
encase \- the daemon of a tunnel, and how to operate it
.SH SYNOPSIS
.B systemctl enable \-\-now encase@NAME
.br
.B encase up
.I NAME
.br
.B encase status
.RI [ NAME ]
.SH DESCRIPTION
.B encase up
holds a tunnel as /etc/encase/NAME.toml says, see
.BR encase.toml (5).
The unit encase@NAME.service runs it; its interface is best called NAME, too. The daemon is ready when its sockets are
open and its interface is there, and says so to systemd; it is restarted when it does not say within half a minute that
it lives, and when it ends for another reason than
.B encase down
or a mistake in its configuration.
.SH OPERATING
.TP
.BR "encase check " NAME
tells every mistake of a configuration, with line, key and remedy.
.TP
.BR "encase reload " NAME
takes over what can be changed at once, and names what waits for a restart. With a mistake nothing changes.
.TP
.BR "encase status" ", " "encase ping" ", " "encase leases"
show who is there.
.TP
.BR "encase kick" ", " "encase ban"
send clients away, and keep them out.
.TP
.BR "encase down " NAME
ends a tunnel in order: peers are told, routes and name servers are put back. With
.B \-\-clean
it takes away what a daemon that was killed has left: a kill switch, routes, name servers.
.SH PRIVILEGES
The daemon needs CAP_NET_ADMIN, and CAP_NET_BIND_SERVICE for ports below 1024. With
.B interface.user
it becomes another user first; the unit does that by itself. When it is set up it gives up
.RB ( interface.sandbox )
all files but those in the folders that its configuration names (Landlock), executing and system calls that only
managers of machines need (seccomp), and all capabilities but CAP_NET_ADMIN; as root it keeps CAP_DAC_OVERRIDE, too.
.PP
Name servers and the programs in
.BR interface.post_up " and " interface.pre_down
are for a second process, encase\-steward, which keeps the rights that encase was started with, hears from nobody but
the daemon, and does nothing else. It puts name servers back also when the daemon was killed. Under the unit it has no
more rights than the daemon: name servers are then set through systemd\-resolved, if polkit allows it, and otherwise
with a drop\-in that has User=root and a CapabilityBoundingSet= with CAP_SETUID, CAP_SETGID, CAP_SETPCAP, CAP_CHOWN and
CAP_DAC_OVERRIDE besides, beside interface.user = "encase".
.SH SOCKETS OF SYSTEMD
With address = "fd:udp" a
.B [[listen]]
takes the socket of encase@NAME.socket that is called udp (FileDescriptorName=).
.SH SIGNALS
SIGHUP: as encase reload. SIGTERM and SIGINT: as encase down.
.SH EXIT STATUS
0: taken down. 1: the machine or the network prevented it. 2: the command line is wrong. 78: the configuration is.
.SH FILES
.TP
/etc/encase/NAME.toml
the configuration
.TP
/run/encase/NAME.sock
the control socket, with the name of the interface; for its owner alone
.TP
/var/lib/encase
leases and bans, if the configuration says so, and what name servers were
`

const daemonTail = `.SH SEE ALSO
.BR encase.toml (5),
.BR encase\-up (1),
.BR encase\-check (1),
.BR encase\-status (1),
.BR encase\-pki (1)
`
