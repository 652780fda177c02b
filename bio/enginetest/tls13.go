package enginetest

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/encase-tls/encase/bio"
)

// Types of TLS 1.3 records. https://www.rfc-editor.org/rfc/rfc8446#section-5.1
const (
	alertType     = 21
	handshakeType = 22
	dataType      = 23
)

// A handmade peer speaks TLS 1.3 with TLS_AES_128_GCM_SHA256 to an engine in the place of another that has done the
// handshake. It says what no engine here can be made to say, such as KeyUpdate, and reads the answers.
type handmade struct {
	send, recv traffic
}

// traffic protects one direction. https://www.rfc-editor.org/rfc/rfc8446#section-7.3
type traffic struct {
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

// handmadePeer shakes hands and returns an end together with one that stands in for its peer.
func (k *kit) handmadePeer(which int) (*link, *end, *handmade, error) {
	var log bytes.Buffer
	l, err := k.open(withKeyLog(&log))
	if err != nil {
		return nil, nil, nil, err
	}
	if err := l.settle(); err != nil {
		return nil, nil, nil, err
	}
	e := l.ends()[which]
	if e.State().TLS.CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
		return nil, nil, nil, errNoSealer
	}
	secrets, err := appSecrets(&log)
	if err != nil {
		return nil, nil, nil, err
	}
	h := &handmade{}
	err = errors.Join(h.send.use(secrets[1-which]), h.recv.use(secrets[which]))
	return l, e, h, err
}

// appSecrets returns the first secrets that protect application data of the client and of the server.
// https://www.rfc-editor.org/rfc/rfc9850
func appSecrets(log *bytes.Buffer) (secrets [2][]byte, err error) {
	for lines := bufio.NewScanner(log); lines.Scan(); {
		f := strings.Fields(lines.Text())
		for i, label := range []string{"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"} {
			if len(f) == 3 && f[0] == label {
				secrets[i], err = hex.DecodeString(f[2])
			}
		}
	}
	if err == nil && (secrets[0] == nil || secrets[1] == nil) {
		err = errors.New("Config.TLS.KeyLogWriter did not get the traffic secrets")
	}
	return secrets, err
}

func (t *traffic) use(secret []byte) error {
	key, err := expand(secret, "key", 16)
	if err != nil {
		return err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	if t.aead, err = cipher.NewGCM(block); err != nil {
		return err
	}
	t.iv, err = expand(secret, "iv", 12)
	t.secret, t.seq = secret, 0
	return err
}

// update goes on with the next keys. https://www.rfc-editor.org/rfc/rfc8446#section-7.2
func (t *traffic) update() error {
	next, err := expand(t.secret, "traffic upd", sha256.Size)
	if err != nil {
		return err
	}
	return t.use(next)
}

// expand is HKDF-Expand-Label with an empty context. https://www.rfc-editor.org/rfc/rfc8446#section-7.1
func expand(secret []byte, label string, length int) ([]byte, error) {
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(length))
	info = append(info, byte(len(label)))
	info = append(info, label...)
	return hkdf.Expand(sha256.New, secret, string(append(info, 0)), length)
}

func (t *traffic) nonce() []byte {
	n := bytes.Clone(t.iv)
	low := n[len(n)-8:]
	binary.BigEndian.PutUint64(low, binary.BigEndian.Uint64(low)^t.seq)
	t.seq++
	return n
}

// seal appends one record to dst.
func (h *handmade) seal(dst []byte, typ byte, content []byte) []byte {
	inner := append(bytes.Clone(content), typ)
	header := []byte{dataType, 3, 3, 0, 0}
	binary.BigEndian.PutUint16(header[3:], uint16(len(inner)+h.send.aead.Overhead()))
	return h.send.aead.Seal(append(dst, header...), h.send.nonce(), inner, header)
}

// open returns what is in one record.
func (h *handmade) open(record []byte) (typ byte, content []byte, err error) {
	if len(record) < 5 || record[0] != dataType {
		return 0, nil, fmt.Errorf("this is no protected record: % .20x", record)
	}
	inner, err := h.recv.aead.Open(nil, h.recv.nonce(), record[5:], record[:5])
	if err != nil {
		return 0, nil, err
	}
	inner = bytes.TrimRight(inner, "\x00") // padding
	if len(inner) == 0 {
		return 0, nil, errors.New("a record without a type")
	}
	return inner[len(inner)-1], inner[:len(inner)-1], nil
}

// KeyUpdate messages. https://www.rfc-editor.org/rfc/rfc8446#section-4.6.3
var (
	keyUpdate        = []byte{24, 0, 0, 1, 0}
	keyUpdateRequest = []byte{24, 0, 0, 1, 1}
)

// https://www.rfc-editor.org/rfc/rfc8446#section-6.1
var closeNotify = []byte{1, 0}

// update appends a KeyUpdate to dst and changes the keys.
func (h *handmade) update(dst []byte, request bool) ([]byte, error) {
	message := keyUpdate
	if request {
		message = keyUpdateRequest
	}
	return h.seal(dst, handshakeType, message), h.send.update()
}

// read takes apart what an engine has sent, in order: the application data, and how many KeyUpdates were in between.
// Only close_notify may follow.
// Whatever is out of order cannot be decrypted.
func (h *handmade) read(wire []byte) (data []byte, updates int, err error) {
	list := records(wire)
	for i, r := range list {
		typ, content, err := h.open(r)
		switch {
		case err != nil:
			return data, updates, fmt.Errorf("record %d after %d KeyUpdates: %w", i, updates, err)
		case typ == dataType:
			data = append(data, content...)
		case typ == handshakeType && bytes.Equal(content, keyUpdate):
			updates++
			if err := h.recv.update(); err != nil {
				return nil, 0, err
			}
		case typ == alertType && bytes.Equal(content, closeNotify) && i == len(list)-1:
		default:
			return data, updates, fmt.Errorf("record %d has type %d and contents % .20x", i, typ, content)
		}
	}
	return data, updates, nil
}

// keyUpdates returns how often e was told that it has answered a KeyUpdate.
func (e *end) keyUpdates() int { return e.count(bio.EventKeysUpdated) }
