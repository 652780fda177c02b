package forward

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/wrap/porttest"
)

// These tests need libcoap's programs (Debian: libcoap3-bin), which know nothing of this one.

const (
	coapKey      = "a key of 16 byte"
	coapIdentity = "device-7"
)

// keyFile writes a file of pre-shared keys, identities and keys in turn.
func keyFile(t testing.TB, pairs ...string) (path string) {
	t.Helper()
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(&b, "%s:%s\n", pairs[i], hex.EncodeToString([]byte(pairs[i+1])))
	}
	path = t.TempDir() + "/keys"
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func coapKeys(t testing.TB) string {
	keys := keyFile(t, "another", "another key of 20 by", coapIdentity, coapKey)
	return fmt.Sprintf("dtls = true\npsk_file = %q\n", keys)
}

// coapServer starts a server of CoAP and returns the address where it hears args' kind of CoAP.
func coapServer(t testing.TB, program string, secure bool, args ...string) (address string) {
	t.Helper()
	needs(t, program)
	at := netip.MustParseAddrPort(porttest.Free(t))
	startProgram(t, program, append([]string{"-A", "127.0.0.1", "-p", fmt.Sprint(at.Port()), "-d", "10"}, args...)...)
	if secure { // there it listens on the port behind
		at = netip.AddrPortFrom(at.Addr(), at.Port()+1)
	}
	return "udp:" + at.String()
}

// coap runs a client of CoAP and returns what it prints.
func coap(t testing.TB, program, url string, args ...string) []byte {
	t.Helper()
	needs(t, program)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append(append([]string{"-B", "15"}, args...), url)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, url, err, &said)
	}
	return out
}

// useCoAP puts a resource of many blocks and gets it back.
func useCoAP(t testing.TB, program, base string, args ...string) {
	t.Helper()
	data := []byte(strings.Repeat("0123456789abcdef", 600))
	file := t.TempDir() + "/data"
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	coap(t, program, base+"/blob", append([]string{"-m", "put", "-b", "512", "-f", file}, args...)...)
	got := coap(t, program, base+"/blob", append([]string{"-m", "get", "-b", "512"}, args...)...)
	if !bytes.Equal(bytes.TrimSpace(got), data) {
		t.Errorf("%d bytes come back, %d were put: %.100q", len(got), len(data), got)
	}
}

// A device with a pre-shared key reaches a plain server: what it offers is AES-CCM_8, and with OpenSSL GCM, too.
func TestCoAPClients(t *testing.T) {
	for program, ciphers := range map[string]string{
		"coap-client-openssl": "PSK-AES128-GCM-SHA256",
		"coap-client-gnutls":  "PSK-AES128-CCM8",
	} {
		t.Run(program, func(t *testing.T) {
			server := coapServer(t, "coap-server-notls", false)
			d := run(t, forwardTOML("out", anyUDP, coapKeys(t)+fmt.Sprintf("ciphers = %q\n", ciphers), server, ""))
			base := "coaps://" + strings.TrimPrefix(d.address("out"), "udp:")
			useCoAP(t, program, base, "-u", coapIdentity, "-k", coapKey)
			e := d.find(t, 0, "connection closed", "by", "client")
			if got, _ := e["client_tls"].(map[string]any); got["identity"] != coapIdentity {
				t.Errorf("the log says %v", e)
			}
		})
	}
}

// A plain client reaches a server that wants DTLS with a pre-shared key.
func TestCoAPServers(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"coap-server-openssl", "coap-server-gnutls"} {
		t.Run(program, func(t *testing.T) {
			server := coapServer(t, program, true, "-k", coapKey, "-h", "")
			d := run(t, forwardTOML("in", anyUDP, "", server, coapKeys(t)+fmt.Sprintf("psk_identity = %q\n", coapIdentity)+
				"ciphers = [\"PSK-AES128-CCM8\", \"PSK-AES128-GCM-SHA256\"]\n")+"[limits]\nidle_timeout = \"500ms\"\n")
			useCoAP(t, "coap-client-notls", "coap://"+strings.TrimPrefix(d.address("in"), "udp:"))
			e := d.find(t, 0, "connection closed", "reason", "idle")
			t.Log(e["server_tls"])
		})
	}
}

// The wrong key, or an unknown identity, is refused, and the log says where to look.
func TestCoAPRefused(t *testing.T) {
	t.Parallel()
	needs(t, "coap-client-openssl", "coap-server-openssl")
	const soon = "[limits]\nhandshake_timeout = \"4s\"\n"
	for name, credentials := range map[string][]string{
		"key":      {"-u", coapIdentity, "-k", "some other key, too long"},
		"identity": {"-u", "nobody", "-k", coapKey},
	} {
		t.Run("client's "+name, func(t *testing.T) {
			d := run(t, forwardTOML("out", anyUDP, coapKeys(t), serveUDP(t, sameBack), "")+soon)
			cmd := exec.Command("coap-client-openssl", append(append([]string{"-B", "8"}, credentials...),
				"coaps://"+strings.TrimPrefix(d.address("out"), "udp:")+"/")...)
			out, _ := cmd.CombinedOutput()
			if n := d.count("accepted"); n > 0 {
				t.Errorf("%d clients were let in: %s", n, out)
			}
			d.find(t, 0, "connection failed", "remedy", "psk_file")
		})
	}
	t.Run("server's", func(t *testing.T) {
		server := coapServer(t, "coap-server-openssl", true, "-k", "some other key, too long", "-h", "")
		d := run(t, forwardTOML("in", anyUDP, "", server, coapKeys(t)+fmt.Sprintf("psk_identity = %q\n", coapIdentity))+soon)
		c := d.udp("in")
		for end := time.Now().Add(patience); d.count("connection failed") == 0; time.Sleep(100 * time.Millisecond) {
			c.Write([]byte("hello"))
			if time.Now().After(end) {
				t.Fatal("the server's other key is not noticed")
			}
		}
		d.find(t, 0, "connection failed", "remedy", "psk_file")
		if strings.Contains(d.String(), coapKey) || strings.Contains(d.String(), hex.EncodeToString([]byte(coapKey))) {
			t.Error("the key is in the log")
		}
	})
}
