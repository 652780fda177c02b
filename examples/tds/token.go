package main

import (
	"encoding/binary"
	"fmt"
)

// Tokens, which the messages of a server consist of.
//
// https://learn.microsoft.com/openspecs/windows_protocols/ms-tds/67b6113c-d722-42d1-902c-3f6e8de09173
const (
	tokenColumns  = 0x81
	tokenError    = 0xaa
	tokenInfo     = 0xab
	tokenLoginAck = 0xad
	tokenRow      = 0xd1
	tokenChange   = 0xe3
	tokenDone     = 0xfd
)

const (
	kindInt  = 0x38 // four bytes, never NULL
	kindText = 0xe7 // NVARCHAR

	doneError     = 0x0002
	doneCount     = 0x0010
	doneAttention = 0x0020
	doneLen       = 12

	severityRefused = 14 // of an error: the user may not do that
	severityWrong   = 15 // the statement is wrong

	changeSize = 4 // of an ENVCHANGE: the packet size
	maxText    = 2000
)

// collation is that of SQL Server where nobody asked for another: Latin1_General_CI_AS.
var collation = []byte{0x09, 0x04, 0xd0, 0x00, 0x34}

var le = binary.LittleEndian

// appendVar appends a text with its length in characters in one byte.
func appendVar(p []byte, s string) []byte {
	raw := wide(s)
	raw = raw[:min(len(raw), 2*255)]
	return append(append(p, byte(len(raw)/2)), raw...)
}

// appendSized appends a token whose length stands in two bytes behind it.
func appendSized(p []byte, token byte, body []byte) []byte {
	return append(le.AppendUint16(append(p, token), uint16(len(body))), body...)
}

// welcome returns the answer to a login.
func welcome(version uint32) []byte {
	size := fmt.Sprint(packetSize)
	p := appendSized(nil, tokenChange, appendVar(appendVar([]byte{changeSize}, size), size))
	ack := binary.BigEndian.AppendUint32([]byte{1}, version) // Transact-SQL, of TDS version
	ack = append(appendVar(ack, "encase example"), 16, 0, 0x03, 0xe8)
	return appendDone(appendSized(p, tokenLoginAck, ack), 0, 0)
}

// failure returns an answer that says what went wrong.
func failure(number uint32, severity byte, what string) []byte {
	raw := wide(what)
	raw = raw[:min(len(raw), 2*maxText)]
	body := append(le.AppendUint32(nil, number), 1, severity)
	body = append(le.AppendUint16(body, uint16(len(raw)/2)), raw...)
	body = appendVar(appendVar(body, "encase"), "")
	body = le.AppendUint32(body, 1) // the line
	return appendDone(appendSized(nil, tokenError, body), doneError, 0)
}

// oneRow returns an answer of one row with one column, an int32 or a string.
func oneRow(value any) []byte {
	p := le.AppendUint16([]byte{tokenColumns}, 1)
	p = append(p, 0, 0, 0, 0, 0, 0) // no type of a user's, no flags
	switch v := value.(type) {
	case int32:
		p = append(p, kindInt, 0, tokenRow)
		p = le.AppendUint32(p, uint32(v))
	case string:
		raw := wide(v)
		raw = raw[:min(len(raw), 2*maxText)]
		p = append(append(le.AppendUint16(append(p, kindText), 2*maxText), collation...), 0, tokenRow)
		p = append(le.AppendUint16(p, uint16(len(raw))), raw...)
	}
	return appendDone(p, doneCount, 1)
}

func appendDone(p []byte, status uint16, rows uint64) []byte {
	p = le.AppendUint16(append(p, tokenDone), status)
	p = le.AppendUint16(p, 0) // of no command in particular
	return le.AppendUint64(p, rows)
}
