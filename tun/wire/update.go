package wire

import "encoding/binary"

// FeatureUpdate says that an end takes a Config while packets move, and answers it with TypeConfigured.
const FeatureUpdate = "update"

// TypeConfigured is the answer of a client to a Config that came while packets moved: its Revision, which the server
// then need not say again.
const TypeConfigured Type = 10

const configuredLen = 4

// AppendConfigured appends the body of the answer to dst.
func AppendConfigured(dst []byte, revision uint32) []byte {
	return binary.BigEndian.AppendUint32(dst, revision)
}

// ParseConfigured parses the body of the answer.
func ParseConfigured(p []byte) (revision uint32, err error) {
	if len(p) != configuredLen {
		return 0, malformed("an answer to a config of %d bytes", len(p))
	}
	return binary.BigEndian.Uint32(p), nil
}
