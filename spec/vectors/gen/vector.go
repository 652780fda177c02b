package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// A vector is one file. Bytes are in the notation of the files: "00 05", "5a*300".
type vector struct {
	id       string
	codec    string
	role     string // empty: either
	do       string
	expect   string
	length   int    // of framelen
	released string // bytes whose hash the vector gives, unless do is encode or framelen
	flags    string
	comment  string
	body     []string
}

func (v vector) name() string {
	dir, _, _ := strings.Cut(v.codec, ":")
	return dir + "/" + v.id + ".txt"
}

// text returns the contents of the file.
func (v vector) text() ([]byte, error) {
	var b bytes.Buffer
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	field("id", v.id)
	field("codec", v.codec)
	field("role", v.role)
	field("do", v.do)
	field("expect", v.expect)
	if v.do == "framelen" && v.expect == "ok" {
		field("length", strconv.Itoa(v.length))
	}
	if v.do != "encode" && v.do != "framelen" {
		p, err := octets(v.released)
		if err != nil {
			return nil, err
		}
		field("payload", fmt.Sprintf("%x", sha256.Sum256(p)))
	}
	field("flags", v.flags)
	field("comment", v.comment)
	b.WriteByte('\n')
	for _, line := range v.body {
		if _, err := octets(strings.TrimLeft(line, "+<>= ")); err != nil && !strings.HasPrefix(line, "! ") {
			return nil, err
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.Bytes(), nil
}

// octets returns the bytes of a line.
func octets(s string) ([]byte, error) {
	var p []byte
	for token := range strings.FieldsSeq(s) {
		digits, times, repeated := strings.Cut(token, "*")
		n := 1
		if repeated {
			var err error
			if n, err = strconv.Atoi(times); err != nil {
				return nil, err
			}
		}
		piece, err := hex.DecodeString(digits)
		if err != nil {
			return nil, err
		}
		p = append(p, bytes.Repeat(piece, n)...)
	}
	return p, nil
}

// What follows makes vectors of each kind. with adds to one what few of them have.

func (v vector) with(flags, comment string) vector {
	v.flags, v.comment = flags, comment
	return v
}

func (v vector) as(role string) vector {
	v.role = role
	return v
}

// encode: the payload becomes the frame.
func encode(id, codec, payload, frame string) vector {
	return vector{id: id, codec: codec, do: "encode", expect: "ok", body: []string{"+ " + payload, "> " + frame}}
}

// tooLarge: the payload is refused by the one who should send it.
func tooLarge(id, codec, payload string) vector {
	return vector{id: id, codec: codec, do: "encode", expect: "too-large", body: []string{"+ " + payload}}
}

// decode: the frame holds the payload.
func decode(id, codec, frame, payload string) vector {
	return vector{id: id, codec: codec, do: "decode", expect: "ok", released: payload, body: []string{frame}}
}

// malformed: the frame is refused, and nothing is released.
func malformed(id, codec, frame string) vector {
	return vector{id: id, codec: codec, do: "decode", expect: "malformed", body: []string{frame}}
}

// frameLen: the bytes at the front of a stream announce a frame of n bytes, or none yet if n is 0.
func frameLen(id, codec, front string, n int) vector {
	v := vector{id: id, codec: codec, do: "framelen", expect: "ok", length: n, body: []string{front}}
	if n == 0 {
		v.expect = "more"
	}
	return v
}

// noLen: the bytes at the front of a stream cannot begin a frame.
func noLen(id, codec, front string) vector {
	return vector{id: id, codec: codec, do: "framelen", expect: "malformed", body: []string{front}}
}

// stream: the bytes arrive in any pieces and release the payload before the end, or the fault.
func stream(id, codec, expect, bytes, payload string) vector {
	return vector{id: id, codec: codec, do: "stream", expect: expect, released: payload, body: []string{bytes}}
}

// flow: the lines happen in order. What they release is worked out from them.
func flow(id, codec, expect string, lines ...string) vector {
	v := vector{id: id, codec: codec, do: "flow", expect: expect, body: lines}
	for _, line := range lines {
		if payload, ok := strings.CutPrefix(line, "= "); ok {
			v.released += payload + " "
		}
	}
	return v
}
