package connect

const long = `Connect to a server, shake hands, and carry standard input to the peer and what
the peer sends to standard output: what "openssl s_client" does for TLS, for TLS
in the framing of a codec. With --listen be the server of one connection.

The peer is a TCP address, a Unix socket, or two FIFOs (or serial devices), one
for each direction; with --dtls it is a UDP address, see below. At the end of
standard input the peer gets a close_notify, and what it still has to say is
waited for. If the peer ends first, standard input is sent on until the peer
closes the connection itself.

The peer's certificate is always verified. A client trusts the authorities of
the system, or those in --ca instead, and wants the certificate to be for HOST or
for what --server-name says. To trust one self-signed certificate, give it as
--ca. A server asks for client certificates if --ca is given.

A stream that ends without close_notify is an error: somebody may have cut data
off. A signal cuts the connection, too, so that the peer notices.

--preamble holds a dialogue in clear first, as "openssl s_client -starttls" does:
smtp, imap, postgres, ldap, a web proxy's CONNECT and others; "encase preamble
list" shows them.

DTLS

With --dtls the connection carries messages, each in a datagram, over UDP if the
peer is HOST:PORT; over TCP, for tcp:HOST:PORT, a Unix socket or FIFOs, --codec
must tell datagrams apart. What one read of standard input returns is a message,
cut where it is longer than a datagram; with --lines each line is one, without
its end, and what comes is written as lines. Messages may get lost.

Datagrams have no end: when standard input has ended and nothing has come for
the time of --wait, or the peer has closed, the connection is closed. A server
waits until the handshake of one client is done, whatever others send.

--psk-file takes the place of certificates: lines of identity:key, the key in
hexadecimal, which a client uses one of and a server all. Devices that have no
more than AES-CCM need --ciphers PSK-AES128-CCM8.

EXIT STATUS

    0   both ends have closed TLS in order
    1   the peer, the network or this machine failed
    2   the command line, or a file that it names, is wrong

FILES

Keys and certificates are PEM. A key, or a file of pre-shared keys, that its
group or others can read is refused: chmod 600 it.

SEE ALSO

encase-codec(1), encase-demo(1), encase-preamble(1), openssl-s_client(1),
mkfifo(1)`

const example = `  # a server of one connection, and its client
  encase connect --listen --codec length:16be --cert s.crt --key s.key :4433
  encase connect --codec length:16be --ca ca.crt server.example:4433

  # what travels, frame by frame
  echo hello | encase connect -v --codec websocket --ca ca.crt localhost:4433

  # the same over two FIFOs, without a network
  mkfifo a b
  encase connect -l --cert s.crt --key s.key --fifo-in a --fifo-out b
  encase connect --ca ca.crt --server-name localhost --fifo-in b --fifo-out a

  # without framing, to any TLS server
  encase connect --alpn http/1.1 www.example.org:443

  # to a mail server that begins in clear, through a proxy
  encase connect --preamble connect:mail.example:25 --preamble smtp \
    --server-name mail.example proxy.example:3128

  # a question to a device, in DTLS with a pre-shared key
  echo "how are you?" | encase connect --dtls --lines --psk-file keys \
    --psk-identity me device.example:5684`
