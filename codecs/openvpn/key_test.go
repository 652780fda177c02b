package openvpn_test

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/openvpn"
	"github.com/encase-tls/encase/frame"
)

const (
	begin = "-----BEGIN OpenVPN Static key V1-----\n"
	end   = "-----END OpenVPN Static key V1-----\n"
)

func TestParseStaticKey(t *testing.T) {
	digits := strings.Repeat("0123456789abcdef", 32)
	for text, want := range map[string]string{
		begin + digits + "\n" + end:                                        "",
		"# comment\r\n" + begin + digits + "\r\n" + end:                    "",
		begin + strings.ToUpper(digits) + "\n  " + end:                     "",
		begin + digits[:256] + "\n\n" + digits[256:] + "\n" + end + "more": "",
		"":                                    "no static key",
		begin + digits:                        "no static key",
		digits + "\n" + end:                   "no static key",
		end + digits + "\n" + begin:           "no static key",
		begin + end:                           "has 512 hexadecimal digits, here are 0",
		begin + digits[1:] + "\n" + end:       "here are 511",
		begin + digits + "00\n" + end:         "here are 514",
		begin + "x" + digits[1:] + "\n" + end: "hexadecimal digits and nothing else",
	} {
		k, err := openvpn.ParseStaticKey([]byte(text))
		checkParse(t, text, k != nil, err, want)
	}
}

// checkParse reports when a text is parsed though it should not be, or not for the reason given, or when the error
// shows digits of the key.
func checkParse(t *testing.T, text string, parsed bool, err error, want string) {
	t.Helper()
	if want == "" && (err != nil || !parsed) {
		t.Errorf("%.60q: %v", text, err)
	}
	if want != "" && (err == nil || !strings.HasPrefix(err.Error(), "openvpn: ") || !strings.Contains(err.Error(), want) ||
		strings.Contains(err.Error(), "23456789")) {
		t.Errorf("%.60q: %v, want an error with %q", text, err, want)
	}
}

// keysV2 returns keys that OpenVPN 2.6.14 has made, as text.
func keysV2(tb testing.TB) (client, server string) {
	tb.Helper()
	var texts [2]string
	for i, name := range []string{"client", "server"} {
		text, err := os.ReadFile("testdata/tls-crypt-v2-" + name + ".key")
		if err != nil {
			tb.Fatal(err)
		}
		texts[i] = string(text)
	}
	return texts[0], texts[1]
}

func TestParseKeysV2(t *testing.T) {
	client, server := keysV2(t)
	block, _ := pem.Decode([]byte(client))
	changed := func(f func([]byte) []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: f([]byte(string(block.Bytes)))}))
	}
	for text, want := range map[string]string{
		client: "",
		server: `no "OpenVPN tls-crypt-v2 client key"`,
		"":     "no ",
		changed(func(p []byte) []byte { return p[:256] }):             "want 546 to 1280",
		changed(func(p []byte) []byte { return make([]byte, 1281) }):  "want 546 to 1280",
		changed(func(p []byte) []byte { p[len(p)-1]++; return p }):    "length at the end",
		changed(func(p []byte) []byte { return append(p, 1, 43, 1) }): "length at the end",
	} {
		k, err := openvpn.ParseClientKey([]byte(text))
		checkParse(t, text, k != nil, err, want)
	}
	for text, want := range map[string]string{
		server:                                 "",
		client:                                 `no "OpenVPN tls-crypt-v2 server key"`,
		strings.Replace(server, "Z6q+", "", 1): "125 bytes, want 128 to 128",
	} {
		k, err := openvpn.ParseServerKey([]byte(text))
		checkParse(t, text, k != nil, err, want)
	}
}

// A key that others can read is refused; so is what is no file, or far too long.
func TestReadKey(t *testing.T) {
	path := keyFile(t)
	if _, err := openvpn.ReadStaticKey(path); err != nil {
		t.Error(err)
	}
	client, _ := keysV2(t)
	clientPath := writeFile(t, "client.key", client)
	if runtime.GOOS == "windows" {
		t.Skip("no file modes")
	}
	os.Chmod(path, 0o640)
	os.Chmod(clientPath, 0o604)
	long := writeFile(t, "long", strings.Repeat("#\n", 10000))
	for arg, want := range map[string]string{
		"tls-crypt=" + path:          "mode 0640",
		"tls-crypt-v2=" + clientPath: "mode 0604",
		"tls-auth=" + long:           "longer than",
		"tls-crypt-v2=" + long:       "longer than",
		"tls-auth=" + t.TempDir():    "not a regular file",
		"tls-crypt=/nonexistent":     "no such file",
	} {
		_, err := openvpn.Parse(arg)
		if err == nil || !strings.HasPrefix(err.Error(), "openvpn: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q): %v, want an error with %q", arg, err, want)
		}
	}
}

// A key does not show itself, however it is printed.
func TestKeysAreSecret(t *testing.T) {
	text, err := os.ReadFile("testdata/udp-tls-crypt.key")
	if err != nil {
		t.Fatal(err)
	}
	static, err := openvpn.ParseStaticKey(text)
	if err != nil {
		t.Fatal(err)
	}
	clientText, serverText := keysV2(t)
	client, err := openvpn.ParseClientKey([]byte(clientText))
	if err != nil {
		t.Fatal(err)
	}
	server, err := openvpn.ParseServerKey([]byte(serverText))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []any{static, *static, client, *client, server, *server} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%d"} {
			if got := fmt.Sprintf(verb, k); got != "(secret)" && got != "&(secret)" {
				t.Errorf("%s of a %T is %.60s", verb, k, got)
			}
		}
		if p, err := json.Marshal(k); err == nil {
			t.Errorf("a %T is %.60s in JSON", k, p)
		}
	}
	o := fmt.Sprintf("%+v", openvpn.Options{Auth: static, ClientKey: client, ServerKey: server})
	if strings.Contains(o, "128 168") || !strings.Contains(o, "(secret)") { // 80 a8: how the key begins
		t.Errorf("Options show %s", o)
	}
}

// v2Maker returns a Maker whose client has a client's key and whose server has the server's.
func v2Maker(tb testing.TB, options string) frame.Maker {
	tb.Helper()
	client, server := keysV2(tb)
	return byRole(parse(tb, options+",tls-crypt-v2="+writeFile(tb, "client.key", client)),
		parse(tb, options+",tls-crypt-v2="+writeFile(tb, "server.key", server)))
}

func byRole(client, server frame.Maker) frame.Maker {
	return func(role frame.Role) (frame.Machine, error) {
		if role == frame.Server {
			return server(role)
		}
		return client(role)
	}
}

// The key of tls-crypt-v2 must be that of the role.
func TestKeyOfTheOtherRole(t *testing.T) {
	client, server := keysV2(t)
	for role, text := range map[frame.Role]string{frame.Server: client, frame.Client: server} {
		mk := parse(t, "tls-crypt-v2="+writeFile(t, "key", text))
		if _, err := mk(role); err == nil {
			t.Errorf("the %v takes the key of the %v", role, role.Peer())
		}
	}
}

func FuzzKeys(f *testing.F) {
	client, server := keysV2(f)
	f.Add(client)
	f.Add(server)
	f.Add(begin + strings.Repeat("00", 256) + "\n" + end)
	f.Add("-----BEGIN OpenVPN tls-crypt-v2 client key-----\n" + base64.StdEncoding.EncodeToString(make([]byte, 600)) +
		"\n-----END OpenVPN tls-crypt-v2 client key-----\n")
	f.Fuzz(func(t *testing.T, text string) {
		openvpn.ParseStaticKey([]byte(text))
		openvpn.ParseServerKey([]byte(text))
		k, err := openvpn.ParseClientKey([]byte(text))
		if err != nil {
			return
		}
		mk, err := openvpn.New(openvpn.Options{ClientKey: k})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := mk(frame.Client); err != nil {
			t.Error(err)
		}
	})
}
