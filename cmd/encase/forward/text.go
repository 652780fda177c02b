package forward

const long = `Accept connections on one address and connect each of them to another. Either
side is plain, or TLS in the framing of a codec: what stunnel and ghostunnel do
for TLS, for TLS in any protocol; and the same for datagrams, with DTLS.

--accept-codec and --connect-codec say what TLS travels in; --accept-tls and
--connect-tls stand for TLS as it is. Addresses are those of TCP, HOST:PORT, of
UDP, udp:HOST:PORT, and of Unix sockets, unix:PATH. --connect can be given
several times: the first address that answers is taken.

Certificates are always verified, and no switch turns that off. Who connects
trusts the authorities of the system, or those in --ca instead, and wants a
certificate for the host or for --server-name. Who accepts asks for certificates
if --client-auth says so, and accepts those of --ca; --client-names and --pins
accept fewer of them.

The flags from --cert on belong to the side that has TLS. If both have, or to be
clear, put the side in front: --accept-cert, --connect-ca.

The end of what one side sends is the end of what the other gets: FIN becomes
close_notify, and the reverse. What was cut off becomes a reset, after all that
came before it has been delivered, so that nobody takes a part for the whole.
Unix sockets have no reset: there only the log tells.

DIALOGUES BEFORE TLS

--preamble names a dialogue in clear that comes before TLS: postgres, ldap, rdp,
xmpp; smtp, imap, pop3, ftp and nntp with their STARTTLS; connect:HOST:PORT and
socks5 through a proxy, proxy for the PROXY protocol. It belongs to the side
that has TLS; --accept-preamble and --connect-preamble name the side, and go for
a plain one where no TLS follows (connect, socks5, upgrade, proxy, greeting).
Several are held in order. "encase preamble list" shows all of them.

Where the server greets first, in clear and not again behind TLS, the other
side, if it is plain, gets a greeting of its own: neither program notices.

A proxy at --connect tells the server where the client's connection comes from,
and one at --accept is believed: let nobody in there but your proxy.

SQL SERVER

The codec tds on both sides stands between clients and servers of MS-TDS 7, and
each side agrees with its peer on encryption. With tds:login-only both may have
the login alone encrypted; behind it that side goes on in clear, which the log
tells (login_only). So a client that can do no better reaches a server that has
all encrypted, and the reverse. A plain side with tds on the other sees a login
without the PRELOGIN messages in front of it, which few servers take.

DATAGRAMS

With udp:HOST:PORT on both sides datagrams are forwarded, plain or in DTLS 1.2:
--accept-dtls, --connect-dtls, or a codec for datagrams. CoAP, syslog, DNS,
RADIUS, SNMP and their like need not know of it. A side with --accept-dtls or
--connect-dtls may also be a stream with a codec, for DTLS over TCP; a stream of
bytes and datagrams do not go together.

A client of plain UDP is an address, and has gone when nothing has come either
way for --idle-timeout (60 s); each has a socket, or a connection, of its own to
the server. What comes faster than it can leave is dropped beyond --buffer, and
counted. One datagram becomes one, never two: what is longer than --mtu allows
(1200 bytes, less what DTLS and the codec add) is dropped, counted, and named in
the log. Raise --mtu where the path carries more.

Certificates are the same as for TLS. --psk-file takes their place: lines of
identity:key, the key in hexadecimal ("openssl rand -hex 32"), all of which a
side that accepts knows; one that connects uses the one of --psk-identity. No
key is ever logged. Constrained devices have AES-CCM alone, which must be asked
for: --ciphers PSK-AES128-CCM8, or ECDHE-ECDSA-AES128-CCM8.

DTLS does not notice that its server was started anew: when a server that was
sent something is silent for --answer-timeout (30 s), the next datagram begins
anew. For protocols without answers, such as syslog, set it to 0s, or be greeted
anew now and then. A client of DTLS that gets another address, as behind a NAT,
goes on if it has connection IDs (--connection-ids); this program has.

An address may begin 100 handshakes a second, and have 128 under way: what comes
faster waits for the client's repetition.

FILE

Each flag for TLS is a key of [forward.accept] or [forward.connect], with _ in
place of -, and each limit one of [limits], or of [forward.limits] for one
forward alone:

    config_version = 1

    [log]
    format = "json"

    [limits]
    max_connections = 1000
    idle_timeout = "10m"

    [[forward]]
    name = "web"
    [forward.accept]
    address = ":9000"
    codec = "length:16be"
    cert = "/etc/encase/gate.pem"
    key = "/etc/encase/gate.key"
    ca = "/etc/encase/ca.pem"
    client_auth = "require"
    min_version = "1.3"
    [forward.connect]
    address = "unix:/run/web.sock"

All mistakes are told at once, each with its line. --check looks for more: names
that do not resolve, addresses that are not this machine's. A private key that
its group or others can read is refused: chmod 600 it.

SIGNALS

SIGTERM and SIGINT stop accepting, wait for the connections (--drain-timeout),
and end; a second one ends at once. SIGHUP reads configuration and certificates
again: new connections get the new ones, those that are there go on, and if
anything is wrong nothing changes. Clients of UDP that say nothing for two
seconds do not keep a program that ends.

COMING FROM STUNNEL

accept and connect, cert and key are the same, with -- in front; CAfile is --ca,
checkHost --server-name, requireCert --client-auth require, sslVersionMin
--min-version, ciphers --ciphers, TIMEOUTidle --idle-timeout, and client = yes
is --connect-tls; protocol = smtp is --preamble smtp; PSKsecrets is --psk-file
and PSKidentity --psk-identity, for DTLS; sslVersion = DTLSv1.2 is udp:HOST:PORT
on both sides with --accept-dtls or --connect-dtls. From ghostunnel: --listen
and --target are --accept and --connect, --cacert is --ca, --allow-dns
--client-names, --override-server-name --server-name; ghostunnel server is
--accept-tls --client-auth require.

EXIT STATUS

    0   ended in order, or --check has found no mistake
    1   the network or this machine failed
    2   the command line is wrong
    78  the configuration is wrong, or a file that it names: to start again
        will not help

SEE ALSO

encase-codec(1), encase-connect(1), encase-preamble(1), stunnel4(8)`

const example = `  # from here to there with TLS in frames that begin with a 16-bit length
  encase forward --accept 127.0.0.1:1000 --connect gate.example:9000 \
    --connect-codec length:16be --ca ca.pem

  # and over there out of it, for clients with a certificate
  encase forward --accept :9000 --connect 127.0.0.1:80 \
    --accept-codec length:16be --cert gate.pem --key gate.key \
    --ca ca.pem --client-auth require

  # from TLS as it is to TLS in WebSocket messages
  encase forward --accept :443 --accept-tls --accept-cert a.pem \
    --accept-key a.key --connect ws.example:80 \
    --connect-codec websocket --connect-ca ca.pem

  # TLS for psql and a PostgreSQL server that has none, without changing either
  encase forward --accept :5433 --connect 127.0.0.1:5432 \
    --accept-tls --preamble postgres --cert db.pem --key db.key

  # drivers that encrypt no more than the login, to a server that encrypts all
  encase forward --accept 127.0.0.1:1433 --accept-codec tds:login-only,freetds \
    --accept-cert gate.pem --accept-key gate.key --connect db.example:1433 \
    --connect-codec tds --connect-ca ca.pem

  # CoAP: devices with keys, to a server that has no DTLS
  encase forward --accept udp::5684 --connect udp:127.0.0.1:5683 \
    --accept-dtls --psk-file devices.psk --ciphers PSK-AES128-CCM8

  # syslog, which has no answers, to a collector that wants DTLS (RFC 6012)
  encase forward --accept udp:127.0.0.1:514 --connect udp:log.example:6514 \
    --connect-dtls --ca ca.pem --answer-timeout 0s

  # DNS, from a resolver that knows only UDP (RFC 8094)
  encase forward --accept udp:127.0.0.1:53 --connect udp:dns.example:853 \
    --connect-dtls --ca ca.pem

  # RADIUS between two sites, with DTLS around it (RFC 7360)
  encase forward --accept udp:127.0.0.1:1812 --connect udp:aaa.example:2083 \
    --connect-dtls --ca ca.pem --cert nas.pem --key nas.key
  encase forward --accept udp::2083 --connect udp:127.0.0.1:1812 \
    --accept-dtls --cert aaa.pem --key aaa.key --ca ca.pem \
    --client-auth require

  # several forwards, after a look whether all is well
  encase forward --config encase.toml --check &&
    encase forward --config encase.toml`
