package tpkt_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/codecs/tsharktest"
	"github.com/encase-tls/encase/frame"
)

// A script is a Peeker that reads what it was given, a byte at a time, and keeps what is written.
type script struct {
	*frame.Reader
	wrote bytes.Buffer
}

func (s *script) Write(p []byte) (int, error) { return s.wrote.Write(p) }

// exchange runs the Preamble of a machine on bytes from its peer. It returns what the machine wrote.
func exchange(t *testing.T, m frame.Machine, role frame.Role, peer string) (wrote, rest string, err error) {
	t.Helper()
	src := iotest.OneByteReader(bytes.NewReader(codectest.Bytes(t, peer)))
	s := &script{Reader: frame.NewReader(src, nil, 0)}
	err = m.(frame.Preamble).Exchange(context.Background(), s, role)
	left, readErr := io.ReadAll(s.Reader)
	if readErr != nil {
		t.Fatal(readErr)
	}
	return hex.EncodeToString(s.wrote.Bytes()), hex.EncodeToString(left), err
}

// What a client asks for, and what of the answers it takes.
func TestClient(t *testing.T) {
	const hmi = "53494d415449432d524f4f542d484d49" // SIMATIC-ROOT-HMI
	for _, c := range []struct{ arg, wrote, answer, why string }{
		{"", "0300000b 06e00000 0001 00", "0300000b 06d00001 0007 00", ""},
		{"", "0300000b 06e00000 0001 00", "0300000b 06d10001 0007 00", ""}, // a credit means nothing here
		{"called=SIMATIC-ROOT-HMI,calling=0x0600,size=1024",
			"03000024 1fe00000 0001 00 c0010a c1020600 c210" + hmi,
			"03000024 1fd00001 0007 00 c0010a c1020600 c210" + hmi, ""},
		{"size=1024", "0300000e 09e00000 0001 00 c0010a", "0300000e 09d00001 0007 00 c00107", ""},
		{"size=1024", "0300000e 09e00000 0001 00 c0010a", "0300000b 06d00001 0007 00", ""},
		{"", "0300000b 06e00000 0001 00", "0300000e 09d00001 0007 00 990100", ""}, // an unknown parameter
		{"size=1024", "0300000e 09e00000 0001 00 c0010a", "0300000e 09d00001 0007 00 c0010b", "2048 bytes are confirmed"},
		{"", "0300000b 06e00000 0001 00", "0300000b 06d00000 1234 00", ""}, // what xrdp 0.9.21 answers
		{"", "0300000b 06e00000 0001 00", "0300000b 0680 0001 0000 03", "no such TSAP"},
		{"", "0300000b 06e00000 0001 00", "0300000b 06e00001 0007 00", "no connection"},
		{"", "0300000b 06e00000 0001 00", "0300000b 07d00001 0007 00", "no connection"},
		{"", "0300000b 06e00000 0001 00", "0300000d 08d00001 0007 00 c001", "cut short"},
		{"", "0300000b 06e00000 0001 00", "0300000e 09d00001 0007 00 c0010e", "size of TPDUs"},
		{"", "0300000b 06e00000 0001 00", "0300000e 09d00001 0007 00 c00106", "size of TPDUs"},
		{"", "0300000b 06e00000 0001 00", "03000104", "longer than"},
		{"", "0300000b 06e00000 0001 00", "160303", "version 3"},
		{"", "0300000b 06e00000 0001 00", "03000006", "less than"},
	} {
		wrote, rest, err := exchange(t, newMachine(t, c.arg, frame.Client), frame.Client, c.answer+"1603")
		if wrote != strings.ReplaceAll(c.wrote, " ", "") {
			t.Errorf("%q: asks with %s, want %s", c.arg, wrote, c.wrote)
		}
		if c.why == "" && (err != nil || rest != "1603") {
			t.Errorf("%q: %s: %v, %s is left", c.arg, c.answer, err, rest)
		}
		if c.why != "" && (!errors.Is(err, frame.ErrMalformed) || !strings.Contains(err.Error(), c.why)) {
			t.Errorf("%q: %s: %v, want an error with %q", c.arg, c.answer, err, c.why)
		}
	}
}

// What a server confirms, and what it refuses, with what it then says.
func TestServer(t *testing.T) {
	const negotiated = "0300000b 0680 0001 0000 82"
	for _, c := range []struct{ arg, request, wrote, why string }{
		{"", "0300000b 06e00000 0001 00", "0300000b 06d00001 0002 00", ""},
		{"", "0300000d 08e00000 0001 00 c001", "", "cut short"},
		{"", "03000014 0fe00000 0001 00 c0010a c10161 c20162", "03000014 0fd00001 0002 00 c0010a c10161 c20162", ""},
		{"size=512", "0300000e 09e00000 0001 00 c0010a", "0300000e 09d00001 0002 00 c00109", ""},
		{"size=2048", "0300000e 09e00000 0001 00 c0010a", "0300000e 09d00001 0002 00 c0010a", ""},
		{"size=512", "0300000b 06e00000 0001 00", "0300000e 09d00001 0002 00 c00109", ""},
		{"called=b,calling=a", "03000014 0fe00000 0001 00 c0010a c10161 c20162",
			"03000014 0fd00001 0002 00 c0010a c10161 c20162", ""},
		{"called=b", "0300000e 09e00000 0001 00 c20161", "0300000b 0680 0001 0000 03", "the called TSAP"},
		{"called=b", "0300000b 06e00000 0001 00", "0300000b 0680 0001 0000 03", "the called TSAP"},
		{"calling=b", "0300000e 09e00000 0001 00 c10161", "0300000b 0680 0001 0000 03", "the calling TSAP"},
		{"", "0300000b 06e00000 0001 20", negotiated, "wants class 2"},
		{"", "03000103 fee00000 0001 00 99f6" + strings.Repeat("00", 246), "0300000b 06d00001 0002 00", ""},
		{"", "0300000b 06d00000 0001 00", "", "no connection"},
		{"", "03000007 02f080", "", "no connection"},
	} {
		wrote, rest, err := exchange(t, newMachine(t, c.arg, frame.Server), frame.Server, c.request+"1603")
		if wrote != strings.ReplaceAll(c.wrote, " ", "") {
			t.Errorf("%q: answers %s with %s, want %s", c.arg, c.request, wrote, c.wrote)
		}
		if c.why == "" && (err != nil || rest != "1603") {
			t.Errorf("%q: %s: %v, %s is left", c.arg, c.request, err, rest)
		}
		if c.why != "" && (!errors.Is(err, frame.ErrMalformed) || !strings.Contains(err.Error(), c.why)) {
			t.Errorf("%q: %s: %v, want an error with %q", c.arg, c.request, err, c.why)
		}
	}
}

// What the server confirms is how long the TPDUs of both are.
func TestAgreedSize(t *testing.T) {
	client, server := newMachine(t, "size=1024", frame.Client), newMachine(t, "", frame.Server)
	if _, _, err := exchange(t, client, frame.Client, "0300000e 09d00001 0007 00 c00107"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := exchange(t, server, frame.Server, "0300000e 09e00000 0001 00 c00107"); err != nil {
		t.Fatal(err)
	}
	for role, m := range []frame.Machine{client, server} {
		ev, err := m.Send(nil, frame.NewBuf(m.Limits().Head, make([]byte, 300), 0), true)
		if err != nil || len(ev) != 3 || ev[0].Buf.Len() != 4+128 {
			t.Errorf("%v: %d frames, %v; want 3, the first of 132 bytes", frame.Role(role), len(ev), err)
		}
	}
}

// tshark reads what both ends say as TPKT and COTP, and puts the parts of a unit together.
func TestTshark(t *testing.T) {
	client := newMachine(t, "calling=encase,called=SIMATIC-ROOT-HMI,size=1024", frame.Client)
	request, _, err := exchange(t, client, frame.Client, "0300000e 09d00001 0007 00 c0010a")
	if err != nil {
		t.Fatal(err)
	}
	confirm, _, err := exchange(t, newMachine(t, "size=512", frame.Server), frame.Server, request)
	if err != nil {
		t.Fatal(err)
	}
	refusal, _, _ := exchange(t, newMachine(t, "called=x", frame.Server), frame.Server, request)
	packets := [][]byte{codectest.Bytes(t, request), codectest.Bytes(t, confirm), codectest.Bytes(t, refusal)}
	for _, n := range []int{7, 1500} {
		ev, err := client.Send(nil, frame.NewBuf(7, make([]byte, n), 0), true)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range ev {
			packets = append(packets, e.Buf.Bytes())
		}
	}
	want := []string{
		"[3 40 35 0x0e encase SIMATIC-ROOT-HMI 1024   ]",
		"[3 40 35 0x0d encase SIMATIC-ROOT-HMI 512   ]",
		"[3 11 6 0x08    3  ]",
		"[3 14 2 0x0f     1 ]",
		"[3 1028 2 0x0f     0 ]",
		"[3 486 2 0x0f     1 1500]",
	}
	for i, row := range tsharktest.TCP(102, packets...).Fields(t, "tpkt.version", "tpkt.length", "cotp.li", "cotp.type",
		"cotp.src-tsap", "cotp.dst-tsap", "cotp.tpdu_size", "cotp.cause", "cotp.eot", "cotp.reassembled.length") {
		if fmt.Sprint(row) != want[i] {
			t.Errorf("tshark finds %v, want %s", row, want[i])
		}
	}
}
