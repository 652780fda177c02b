package tunnel

const longUp = `Hold a tunnel until a signal or "encase down" ends it. The file says whether this
end is a server, with [[listen]], or a client, with [[peer]]; its keys are
described in encase.toml(5). It needs CAP_NET_ADMIN, which root has.

Every mistake in the file is reported at once, with its line. Names of servers are
resolved anew whenever they are connected to, and what the network does to the
tunnel never ends the program: it tries again.

A hang-up signal, or "encase reload", reads the file again: certificates, the list
of revoked ones, the clients and what they are told take effect at once, and the
log names what waits for a restart. A list of revoked certificates that changes on
disk is noticed, too. Whoever is not welcome any more is sent away.

SIGNALS

    SIGHUP           reload
    SIGTERM, SIGINT  say goodbye to the peers, put everything back, and end

EXIT STATUS

    0   the tunnel was taken down
    1   the machine prevented it
    2   the command line is wrong
    78  the configuration is wrong

ENVIRONMENT

    NOTIFY_SOCKET    where systemd waits for readiness; and WATCHDOG_USEC
    STATE_DIRECTORY  instead of /var/lib/encase, for what must outlive a crash

FILES

    /etc/encase/NAME.toml
    /run/encase/NAME.sock   the control socket, for its owner alone

SEE ALSO

encase-check(1), encase-status(1), encase-pki(1), encase.toml(5), encase(8)`

const exampleUp = `  encase up -c server.toml              in the foreground, until Ctrl-C
  encase up office                      as /etc/encase/office.toml says
  systemctl enable --now encase@office  likewise, and when the machine starts
  encase status office --watch          who is there, and how it goes`

const longCheck = `Read the configuration of a tunnel and the files that it names, and report every
mistake: its line, its key, and what to do. Certificates and lists of revoked ones
that will soon expire are warned about, and so are names that do not resolve, addresses
that are not this machine's, and folders that are not there. Nothing is changed.

EXIT STATUS

    0   all is well, but for warnings
    2   the command line is wrong
    78  there are mistakes

SEE ALSO

encase-up(1), encase.toml(5)`
