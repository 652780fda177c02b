// Package tds carries TLS in MS-TDS 7.1 to 7.4, the protocol of Microsoft's SQL Server, TCP port 1433: its PRELOGIN
// messages, in both roles. None of them is authenticated; TLS, once it is there, is.
//
// # Before TLS
//
// Either end says in clear what it is and whether it wants encryption: see [Prelogin]. What comes of it:
//
//	client       server answers      then
//	ON, REQ      ON                  everything is encrypted
//	OFF          REQ                 everything is encrypted: the server insists
//	OFF          OFF                 the first packet of the login is, what follows is in clear
//	NOT_SUP      any                 refused here, with ErrNoEncryption: this package is about TLS
//	any          NOT_SUP             the same
//
// By default a client says ON and takes nothing less, and a server insists: somebody on the path, who can change the
// answer from ON to OFF, gains nothing but a connection that fails.
//
// # Packets
//
// The handshake of TLS travels in packets of the type PRELOGIN. What one end says before it waits for the other, a
// flight, is one message, in one packet or several.
//
//	offset  bytes
//	0       1      12; a client also takes 04, as from old servers
//	1       1      status: 01 in the last packet of a message; other bits are ignored
//	2       2      length of the whole packet, at most the packet size: 4096, until a login agrees on another
//	4       2      SPID: zero, and ignored by a reader
//	6       1      number of the packet in its message, from 1: ignored by a reader, since some count from 0
//	7       1      window: zero, and ignored by a reader
//	8              TLS
//
// When the handshake is done the packets end ([frame.SwitchRaw]): TLS records follow as they are, and inside them the
// packets of TDS, which are the caller's.
//
// https://learn.microsoft.com/openspecs/windows_protocols/ms-tds/60f56408-0188-4cd5-8b90-25c6f2423868
//
// # Encryption of the login alone
//
// With OFF on both sides only the first packet that the client sends under TLS is encrypted: LOGIN7, with the password.
// Everything behind it, in either direction, is in clear and open to whoever is on the path. A Conn never does that by
// itself. The caller, who knows where the packet ends, asks what was agreed and takes the stream back:
//
//	agreed, _ := tds.Agreed(conn.Machine()) // conn is a *wrap.Conn after its handshake
//	..                                      // a client writes, a server reads, the first packet
//	if agreed.LoginOnly {
//		clear, err = conn.Detach() // a net.Conn: what follows, in clear
//	}
//
// examples/tds does so in both roles, and "encase forward" on each of its sides. A program that leaves Detach out goes on
// under TLS.
//
// # TLS
//
// Session tickets are off: those of TLS 1.3 come after the handshake, when one end still sends packets and the other no
// longer looks for any. Clients exist that never send their last flight of TLS 1.3: FreeTDS 1.3 (tsql, pymssql and many
// drivers) waits for ever, go-mssqldb 1.8 goes on without it. A server that is to serve them sets the option freetds,
// and thereby TLS 1.2, with which all of them work.
//
// TDS 8.0 ("strict") has no use for this package: there TLS comes first, and all of TDS is inside. That is the codec
// raw with "tds/8.0" in tls.Config.NextProtos.
//
// # Options
//
// The argument of the spec is a list of options after a colon, with commas between them:
//
//	login-only    a client asks for encryption of the login alone, a server grants it to who asks
//	freetds       TLS 1.2 at most
//	size=N        longest packet that is sent, 512 to 32767 bytes; 4096 if left out
//	instance=NAME a client asks for this instance; a server refuses those who ask for another
//	version=N.N.N of this end, as SQL Server counts; 16.0.1000 if left out
//	mars          several requests at once are possible on the connection
//	exchanged     the PRELOGIN messages before the handshake have been exchanged already
package tds

import (
	"fmt"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
)

func init() {
	codecs.Register("tds", codecs.Info{
		Summary:  "PRELOGIN of MS-TDS 7.x (SQL Server): TLS shakes hands in packets and goes on without",
		Class:    codecs.PhaseSwitch,
		Carriers: codecs.Stream,
		Syntax:   syntax,
		Example:  "tds:freetds",
		Tested:   "FreeTDS 1.3, go-mssqldb 1.11 and 1.8, python-tds 1.11 as clients, tshark 4.0, own vectors",
	}, Parse)
}

const syntax = `[OPTION[,OPTION]...]
OPTION  login-only     only the login is encrypted, if both ends want that
        freetds        TLS 1.2 at most, which FreeTDS needs
        size=N         longest packet sent, 512 to 32767 bytes (default: 4096)
        instance=NAME  asked for; a server refuses others
        version=N.N.N  of this end (default: 16.0.1000)
        mars           several requests at once
        exchanged      PRELOGIN has been exchanged already`

const (
	// DefaultPacketSize is the longest packet, in bytes with its header, that any end takes before the login.
	DefaultPacketSize = 4096

	// MaxPacketSize is the longest packet that an end can agree to, and that is taken here.
	//
	// https://learn.microsoft.com/openspecs/windows_protocols/ms-tds/773a62b6-ee89-4c02-9e5e-344882630aac
	MaxPacketSize = 32767

	minPacketSize = 512
)

// Options say how a connection begins. The zero value is usable: everything is encrypted, or there is no connection.
type Options struct {
	LoginOnly  bool // only the first packet of the login is encrypted, if both ends want that
	FreeTDS    bool // TLS 1.2 at most
	PacketSize int  // longest packet that is sent, in bytes; 0: DefaultPacketSize
	Exchanged  bool // the dialogue before TLS is over: the Machine is no frame.Preamble, and Agreed knows nothing

	// Prelogin is what this end says of itself. A zero Version stands for DefaultVersion. Encryption is not looked at:
	// it follows from LoginOnly. A server says FedAuth only to a client that did, and keeps its Instance to itself.
	Prelogin Prelogin
}

// New returns the Maker of Machines that implement [frame.Delimiter] and, unless o.Exchanged, [frame.Preamble]. They
// limit TLS as the package documentation says, and end the framing after the handshake, by way of wrap.TLSLimiter and
// wrap.HandshakeObserver. The byte slices in o must not change any more.
func New(o Options) (frame.Maker, error) {
	if o.PacketSize == 0 {
		o.PacketSize = DefaultPacketSize
	}
	if o.PacketSize < minPacketSize || o.PacketSize > MaxPacketSize {
		return nil, fmt.Errorf("tds: bad size %d (allowed: %d to %d)", o.PacketSize, minPacketSize, MaxPacketSize)
	}
	if o.Prelogin.Version == (Version{}) {
		o.Prelogin.Version = DefaultVersion
	}
	if _, err := o.Prelogin.Append(nil); err != nil {
		return nil, err
	}
	return func(role frame.Role) (frame.Machine, error) {
		m := machine{role: role, payload: o.PacketSize - headerLen, freeTDS: o.FreeTDS}
		if o.Exchanged {
			return &m, nil
		}
		return &negotiator{machine: m, options: o}, nil
	}, nil
}
