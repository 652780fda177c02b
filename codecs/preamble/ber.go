package preamble

// The part of BER that LDAP uses: tags of one byte, definite lengths.
// https://www.rfc-editor.org/rfc/rfc4511.html#section-5.1

// appendBER appends an element with contents of fewer than 128 bytes.
func appendBER(b []byte, tag byte, contents ...[]byte) []byte {
	n := 0
	for _, c := range contents {
		n += len(c)
	}
	b = append(b, tag, byte(n))
	for _, c := range contents {
		b = append(b, c...)
	}
	return b
}

// berLength reads a length at the start of p: how many bytes it takes, and its value. More bytes than needed are legal,
// and some servers always use four. ok is false if p is too short, or if the length has more than four bytes or none.
func berLength(p []byte) (size, n int, ok bool) {
	const long = 0x80
	switch {
	case len(p) == 0:
		return 0, 0, false
	case p[0] < long:
		return 1, int(p[0]), true
	}
	size = 1 + int(p[0]-long)
	if size < 2 || size > 5 || len(p) < size {
		return 0, 0, false
	}
	var v uint32
	for _, c := range p[1:size] {
		v = v<<8 | uint32(c)
	}
	if v > 1<<31-1 {
		return 0, 0, false
	}
	return size, int(v), true
}

// cutBER takes the first element off p. ok is false if there is no whole one.
func cutBER(p []byte) (tag byte, contents, rest []byte, ok bool) {
	if len(p) == 0 {
		return 0, nil, nil, false
	}
	size, n, ok := berLength(p[1:])
	if !ok || n > len(p)-1-size {
		return 0, nil, nil, false
	}
	p, tag = p[1+size:], p[0]
	return tag, p[:n], p[n:], true
}
