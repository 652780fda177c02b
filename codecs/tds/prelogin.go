package tds

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// Encryption is what an end says of it in a Prelogin.
type Encryption byte

// What an end can say, as MS-TDS calls it. The names mislead: with Off on both sides the login is encrypted.
const (
	Off          Encryption = 0 // ENCRYPT_OFF: of the login alone
	On           Encryption = 1 // ENCRYPT_ON: of everything
	NotSupported Encryption = 2 // ENCRYPT_NOT_SUP: of nothing
	Required     Encryption = 3 // ENCRYPT_REQ: of everything, whatever the other end wants

	// encryptionFlags say how a client wants to log in, for example with its certificate. They change nothing in what is
	// encrypted.
	encryptionFlags Encryption = 0xf0
)

// String returns the name in MS-TDS without its prefix.
func (e Encryption) String() string {
	names := [...]string{"OFF", "ON", "NOT_SUP", "REQ"}
	if int(e) < len(names) {
		return names[e]
	}
	return fmt.Sprintf("%#02x", byte(e))
}

// A Version is that of a program, as SQL Server counts.
type Version struct {
	Major, Minor    byte
	Build, SubBuild uint16
}

// DefaultVersion is that of SQL Server 2022, of which programs expect TDS 7.4.
var DefaultVersion = Version{Major: 16, Build: 1000}

// String returns the four numbers with points between them.
func (v Version) String() string {
	return fmt.Sprintf("%d.%d.%d.%d", v.Major, v.Minor, v.Build, v.SubBuild)
}

// OtherInstance is the Instance of a server that is not the one asked for.
const OtherInstance = "\x01"

// A Prelogin is what either end says in clear before TLS: options, each with its data. A nil slice is an option that is
// left out. Options that are not listed here are ignored.
//
//	| token 1 | offset 2 | length 2 |    for each option; offsets count from the first byte here
//	| ff |                               ends the list
//	| data |
//
// https://learn.microsoft.com/openspecs/windows_protocols/ms-tds/60f56408-0188-4cd5-8b90-25c6f2423868
type Prelogin struct {
	Version    Version    // VERSION
	Encryption Encryption // ENCRYPTION; where it is left out, NotSupported
	Instance   string     // INSTOPT: the instance that a client asks for; of a server, OtherInstance or empty
	ThreadID   []byte     // THREADID, 4 bytes: of the client's thread, for its own log
	MARS       bool       // MARS: several requests at once are possible
	TraceID    []byte     // TRACEID, 36 bytes: connection, activity and number, for logs
	FedAuth    []byte     // FEDAUTHREQUIRED, 1 byte: 1 if a client can, and a server insists on, federated login
	Nonce      []byte     // NONCEOPT, 32 bytes
}

// Tokens of options.
const (
	optionVersion    = 0x00
	optionEncryption = 0x01
	optionInstance   = 0x02
	optionThreadID   = 0x03
	optionMARS       = 0x04
	optionTraceID    = 0x05
	optionFedAuth    = 0x06
	optionNonce      = 0x07
	optionEnd        = 0xff
)

const (
	entryLen    = 5 // of an option in the list
	versionLen  = 6
	threadIDLen = 4
	traceIDLen  = 36
	fedAuthLen  = 1
	nonceLen    = 32

	maxInstance = 255
)

// ParsePrelogin reads the message p, without the headers of its packets. What it returns shares nothing with p. The
// error wraps frame.ErrMalformed.
func ParsePrelogin(p []byte) (Prelogin, error) {
	pre := Prelogin{Encryption: NotSupported}
	if len(p) == 0 || p[0] != optionVersion {
		return pre, errVersionFirst
	}
	var seen [optionEnd]bool
	for list := p; ; list = list[entryLen:] {
		switch {
		case len(list) > 0 && list[0] == optionEnd:
			return pre, nil
		case len(list) < entryLen:
			return pre, errEndless
		case seen[list[0]]:
			return pre, errTwice
		}
		token, from, n := list[0], int(binary.BigEndian.Uint16(list[1:])), int(binary.BigEndian.Uint16(list[3:]))
		seen[token] = true
		if n == 0 && token != optionVersion {
			continue // as if left out, wherever it points to
		}
		if from+n > len(p) {
			return pre, errOutside
		}
		if err := pre.set(token, bytes.Clone(p[from:from+n])); err != nil {
			return pre, err
		}
	}
}

// set takes an option with data.
func (pre *Prelogin) set(token byte, data []byte) error {
	want := len(data)
	switch token {
	case optionVersion:
		if want = versionLen; len(data) == want {
			pre.Version = Version{data[0], data[1], binary.BigEndian.Uint16(data[2:]), binary.BigEndian.Uint16(data[4:])}
		}
	case optionEncryption:
		pre.Encryption, want = Encryption(data[0]), 1
	case optionInstance:
		name, _, _ := bytes.Cut(data, []byte{0})
		if len(name) > maxInstance {
			return errInstance
		}
		pre.Instance = string(name)
	case optionThreadID:
		pre.ThreadID, want = data, threadIDLen
	case optionMARS:
		pre.MARS, want = data[0] == 1, 1
	case optionTraceID:
		pre.TraceID, want = data, traceIDLen
	case optionFedAuth:
		pre.FedAuth, want = data, fedAuthLen
	case optionNonce:
		pre.Nonce, want = data, nonceLen
	}
	if len(data) != want {
		return errOption
	}
	return nil
}

// Append appends the message to dst. The error says what in pre cannot be said.
func (pre *Prelogin) Append(dst []byte) ([]byte, error) {
	if err := pre.check(); err != nil {
		return dst, err
	}
	options := pre.options()
	from := len(options)*entryLen + 1
	for _, o := range options {
		dst = append(dst, o.token)
		dst = binary.BigEndian.AppendUint16(dst, uint16(from))
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(o.data)))
		from += len(o.data)
	}
	dst = append(dst, optionEnd)
	for _, o := range options {
		dst = append(dst, o.data...)
	}
	return dst, nil
}

type option struct {
	token byte
	data  []byte
}

// options returns those that are said, in the order of their tokens. The first five always are.
func (pre *Prelogin) options() []option {
	v := pre.Version
	version := binary.BigEndian.AppendUint16([]byte{v.Major, v.Minor}, v.Build)
	mars := []byte{0}
	if pre.MARS {
		mars[0] = 1
	}
	list := []option{
		{optionVersion, binary.BigEndian.AppendUint16(version, v.SubBuild)},
		{optionEncryption, []byte{byte(pre.Encryption)}},
		{optionInstance, append([]byte(pre.Instance), 0)},
		{optionThreadID, pre.ThreadID},
		{optionMARS, mars},
	}
	for _, o := range []option{{optionTraceID, pre.TraceID}, {optionFedAuth, pre.FedAuth}, {optionNonce, pre.Nonce}} {
		if o.data != nil {
			list = append(list, o)
		}
	}
	return list
}

// check returns what in pre cannot be said.
func (pre *Prelogin) check() error {
	if len(pre.Instance) > maxInstance || strings.IndexByte(pre.Instance, 0) >= 0 {
		return fmt.Errorf("tds: bad instance %.40q (allowed: up to %d bytes, none of them zero)", pre.Instance, maxInstance)
	}
	for _, o := range []struct {
		name string
		data []byte
		want int
	}{
		{"thread id", pre.ThreadID, threadIDLen}, {"trace id", pre.TraceID, traceIDLen},
		{"FedAuth", pre.FedAuth, fedAuthLen}, {"nonce", pre.Nonce, nonceLen},
	} {
		if o.data != nil && len(o.data) != o.want {
			return fmt.Errorf("tds: a %s of %d bytes (allowed: %d, or nil)", o.name, len(o.data), o.want)
		}
	}
	return nil
}

var (
	errVersionFirst = malformed("no PRELOGIN: it does not begin with the option VERSION")
	errEndless      = malformed("the list of PRELOGIN options has no end")
	errTwice        = malformed("a PRELOGIN option is given twice")
	errOutside      = malformed("the data of a PRELOGIN option lie outside the message")
	errOption       = malformed("a PRELOGIN option of another length")
	errInstance     = malformed("the name of an instance of more than 255 bytes")
)
