package main

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A keyMessage is what each end says first, by key method 2: random bytes, of which keys of the data channel can be
// made, and texts. The client's is first.
//
//	4 bytes       zero
//	1             2
//	112 or 64     random bytes: 48 for a secret, of the client only, and twice 32
//	              options, user name, password, and what the end can do: each a length of 16 bits and so many bytes, the
//	              last of which is zero
type keyMessage struct {
	random                        []byte
	options, user, password, info string
}

const (
	keyMethod       = 2
	clientRandomLen = 48 + 32 + 32
	serverRandomLen = 32 + 32
	maxText         = 4096
)

// options describe the data channel. OpenVPN compares them with its own and warns of differences.
const options = "V4,dev-type tun,link-mtu 1549,tun-mtu 1500,proto %s,cipher AES-256-GCM,auth [null-digest]," +
	"keysize 256,key-method 2,tls-%s"

// newKeyMessage returns the message of the "client" or the "server".
func newKeyMessage(role, proto, info string) *keyMessage {
	n := clientRandomLen
	if role == "server" {
		n = serverRandomLen
	}
	carrier := "UDPv4"
	if proto == "tcp" {
		carrier = "TCPv4_" + strings.ToUpper(role)
	}
	m := &keyMessage{random: make([]byte, n), options: fmt.Sprintf(options, carrier, role), info: info}
	rand.Read(m.random)
	return m
}

// bytes returns the message. OpenVPN wants all of it in one record of TLS: it goes into one Write.
func (m *keyMessage) bytes() []byte {
	p := append([]byte{0, 0, 0, 0, keyMethod}, m.random...)
	for _, s := range []string{m.options, m.user, m.password, m.info} {
		if s == "" {
			p = append(p, 0, 0)
			continue
		}
		p = binary.BigEndian.AppendUint16(p, uint16(len(s)+1))
		p = append(append(p, s...), 0)
	}
	return p
}

// readKeyMessage reads the message of the other end, whose random part has this length.
func readKeyMessage(r *bufio.Reader, randomLen int) (*keyMessage, error) {
	head := make([]byte, 5+randomLen)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, fmt.Errorf("key method 2: %w", err)
	}
	if method := head[4] & 0x0f; method != keyMethod {
		return nil, fmt.Errorf("the other end has key method %d, want %d", method, keyMethod)
	}
	m := &keyMessage{random: head[5:]}
	for _, s := range []*string{&m.options, &m.user, &m.password, &m.info} {
		var err error
		if *s, err = readText(r); err != nil {
			return nil, fmt.Errorf("key method 2: %w", err)
		}
	}
	return m, nil
}

func readText(r *bufio.Reader) (string, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return "", err
	}
	n := int(binary.BigEndian.Uint16(size[:]))
	if n == 0 {
		return "", nil
	}
	if n > maxText {
		return "", fmt.Errorf("a text of %d bytes, at most %d are accepted", n, maxText)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return "", err
	}
	if text[n-1] != 0 {
		return "", errors.New("a text without a zero at its end")
	}
	return string(text[:n-1]), nil
}
