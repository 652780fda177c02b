package picture

import (
	"crypto/tls"
	"fmt"
)

func typeName(t byte) string {
	switch t {
	case typeCCS:
		return "change cipher spec"
	case typeAlert:
		return "alert"
	case typeHandshake:
		return "handshake"
	case typeData:
		return "application data"
	case typeHeartbeat:
		return "heartbeat"
	case typeCID:
		return "tls12_cid"
	}
	return "unknown"
}

func versionName(v uint16) string {
	switch v {
	case 0xfeff:
		return "DTLS 1.0"
	case 0xfefd:
		return "DTLS 1.2"
	case 0xfefc:
		return "DTLS 1.3"
	case tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13:
		return tls.VersionName(v)
	}
	return fmt.Sprintf("unknown version 0x%04x", v)
}

// https://www.iana.org/assignments/tls-parameters/tls-parameters.xhtml#tls-parameters-7
var messageNames = map[byte]string{
	0: "HelloRequest", 1: "ClientHello", 2: "ServerHello", 3: "HelloVerifyRequest", 4: "NewSessionTicket",
	5: "EndOfEarlyData", 8: "EncryptedExtensions", 11: "Certificate", 12: "ServerKeyExchange",
	13: "CertificateRequest", 14: "ServerHelloDone", 15: "CertificateVerify", 16: "ClientKeyExchange",
	20: "Finished", 21: "CertificateURL", 22: "CertificateStatus", 23: "SupplementalData", 24: "KeyUpdate",
	25: "CompressedCertificate",
}

func messageName(t byte) string {
	if name, ok := messageNames[t]; ok {
		return name
	}
	return fmt.Sprintf("handshake message of unknown type %d", t)
}

// isGrease reports whether v is one of the values that mean nothing, which clients send so that servers learn to ignore
// what they do not know.
//
// https://www.rfc-editor.org/rfc/rfc8701#section-2
func isGrease(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }
