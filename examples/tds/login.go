package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
)

// Versions of TDS, as LOGIN7 has them. From 7.2 on all that is written here has the same form.
const (
	version72 = 0x72090002
	version74 = 0x74000004
)

// A login is what this program wants to know of a LOGIN7 message, or has to say in one.
//
// https://learn.microsoft.com/openspecs/windows_protocols/ms-tds/773a62b6-ee89-4c02-9e5e-344882630aac
type login struct {
	version                             uint32
	host, user, password, app, database string
}

const (
	loginFixed = 94 // bytes in front of the texts

	// Offsets of a text's offset, in bytes, and length, in characters.
	atHost     = 36
	atUser     = 40
	atPassword = 44
	atApp      = 48
	atDatabase = 68
)

// parseLogin reads a LOGIN7 message.
func parseLogin(p []byte) (l login, err error) {
	if len(p) < loginFixed || uint64(binary.LittleEndian.Uint32(p)) != uint64(len(p)) {
		return l, errors.New("a LOGIN7 message of another length than it says")
	}
	l.version = binary.LittleEndian.Uint32(p[4:])
	if l.version < version72 {
		return l, fmt.Errorf("TDS of the version %#x, at least 7.2 is needed", l.version)
	}
	for _, field := range []struct {
		at   int
		text *string
	}{{atHost, &l.host}, {atUser, &l.user}, {atApp, &l.app}, {atDatabase, &l.database}} {
		raw, err := loginText(p, field.at)
		if err != nil {
			return l, err
		}
		*field.text = text(raw)
	}
	raw, err := loginText(p, atPassword)
	if err != nil {
		return l, err
	}
	hidden := make([]byte, len(raw))
	for i, c := range raw {
		c ^= passwordMask
		hidden[i] = c<<4 | c>>4
	}
	l.password = text(hidden)
	return l, nil
}

// passwordMask hides a password from who looks over a shoulder, and from nobody else.
const passwordMask = 0xa5

// loginText returns the bytes of the text whose place is told at an offset.
func loginText(p []byte, at int) ([]byte, error) {
	from, n := int(binary.LittleEndian.Uint16(p[at:])), 2*int(binary.LittleEndian.Uint16(p[at+2:]))
	if from+n > len(p) {
		return nil, errors.New("a text of LOGIN7 lies outside the message")
	}
	return p[from : from+n], nil
}

// message returns the LOGIN7 message of a client. Each text may have 128 characters.
func (l *login) message() ([]byte, error) {
	p := make([]byte, loginFixed)
	le := binary.LittleEndian
	le.PutUint32(p[4:], l.version)
	le.PutUint32(p[8:], packetSize)
	for at := atHost; at < 72; at += 4 { // all texts, those without a character too
		le.PutUint16(p[at:], loginFixed)
	}
	for _, field := range []struct {
		at   int
		text string
	}{{atHost, l.host}, {atUser, l.user}, {atPassword, l.password}, {atApp, l.app}, {atDatabase, l.database}} {
		raw := wide(field.text)
		if len(raw) > 2*128 {
			return nil, fmt.Errorf("%.20q... is too long for a login", field.text)
		}
		if field.at == atPassword {
			for i, c := range raw {
				raw[i] = (c<<4 | c>>4) ^ passwordMask
			}
		}
		le.PutUint16(p[field.at:], uint16(len(p)))
		le.PutUint16(p[field.at+2:], uint16(len(raw)/2))
		p = append(p, raw...)
	}
	le.PutUint32(p, uint32(len(p)))
	return p, nil
}

// wide returns s as TDS writes text: UTF-16, least significant byte first.
func wide(s string) []byte {
	var p []byte
	for _, u := range utf16.Encode([]rune(s)) {
		p = binary.LittleEndian.AppendUint16(p, u)
	}
	return p
}

// text returns what wide has made p of. A last odd byte is dropped.
func text(p []byte) string {
	u := make([]uint16, len(p)/2)
	for i := range u {
		u[i] = binary.LittleEndian.Uint16(p[2*i:])
	}
	return string(utf16.Decode(u))
}
