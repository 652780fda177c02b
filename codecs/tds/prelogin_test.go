package tds_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/tds"
	"github.com/encase-tls/encase/frame"
)

// Messages of other programs, without the headers of their packets.
const (
	// tsql 1.3.17 with encryption = require
	fromTSQL = "00001a0006 0100200001 020021000c 03002d0004 0400310001 ff" +
		"090000000000 01 4d5353514c53657276657200 521c0000 00"
	// the sample answer of MS-TDS, section 4.2
	fromSpec = "00001a0006 0100200001 0200210001 0300220000 0400220001 ff 09000fa40000 01 00 00"
)

func TestParsePrelogin(t *testing.T) {
	for _, c := range []struct {
		name, message string
		want          tds.Prelogin
	}{
		{"tsql", fromTSQL, tds.Prelogin{
			Version: tds.Version{Major: 9}, Encryption: tds.On, Instance: "MSSQLServer", ThreadID: []byte{0x52, 0x1c, 0, 0}}},
		{"a server", fromSpec, tds.Prelogin{Version: tds.Version{Major: 9, Build: 4004}, Encryption: tds.On}},
		{"nothing but a version", "00 0006 0006 ff 10 02 0304 0506", tds.Prelogin{
			Version: tds.Version{Major: 16, Minor: 2, Build: 0x304, SubBuild: 0x506}, Encryption: tds.NotSupported}},
		{"MARS, FedAuth", "00 0010 0006 04 0016 0001 06 0017 0001 ff 100000000000 01 00", tds.Prelogin{
			Version: tds.Version{Major: 16}, Encryption: tds.NotSupported, MARS: true, FedAuth: []byte{0}}},
		{"options without data", "00 0010 0006 01 ffff 0000 07 ffff 0000 ff 100000000000", tds.Prelogin{
			Version: tds.Version{Major: 16}, Encryption: tds.NotSupported}},
		{"an unknown option", "00 000b 0006 c8 0011 0002 ff 100000000000 abcd", tds.Prelogin{
			Version: tds.Version{Major: 16}, Encryption: tds.NotSupported}},
		{"an instance without its zero", "00 000b 0006 02 0011 0002 ff 100000000000 6162", tds.Prelogin{
			Version: tds.Version{Major: 16}, Encryption: tds.NotSupported, Instance: "ab"}},
	} {
		message := unhex(t, c.message)
		got, err := tds.ParsePrelogin(message)
		clear(message) // of which nothing may have been kept
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
}

func TestParsePreloginRefuses(t *testing.T) {
	const version = "00 000b 0006 "
	for message, want := range map[string]string{
		"":                                       "VERSION",
		"ff":                                     "VERSION",
		"01 0006 0001 ff 01":                     "VERSION", // it is not the first
		"aa 0100 0000":                           "VERSION", // an ERROR token
		"00":                                     "no end",
		"00 0000 0006 01":                        "no end",
		"00 0000 0006 01 0000 00":                "no end",
		"00 0000 0006 00 0000 0006 ff":           "given twice",
		"00 0006 0006 ff 1000000000":             "outside",
		"00 0006 0005 ff 100000000000":           "another length",
		"00 0006 0000 ff":                        "another length",
		"00 ffff ffff ff":                        "outside",
		version + "00 000b 0006 ff 100000000000": "given twice",
		version + "01 0011 0002 ff 100000000000 0101":                        "another length",
		version + "03 0011 0003 ff 100000000000 010101":                      "another length",
		version + "04 0011 0002 ff 100000000000 0101":                        "another length",
		version + "05 0011 0002 ff 100000000000 0101":                        "another length",
		version + "06 0011 0002 ff 100000000000 0101":                        "another length",
		version + "07 0011 0002 ff 100000000000 0101":                        "another length",
		version + "02 0011 0100 ff 100000000000" + strings.Repeat("61", 256): "more than 255",
		version + "02 0011 00ff ff 100000000000" + strings.Repeat("61", 200): "outside",
		version + "01 0011 0001 01 0011 0001 ff 100000000000 01":             "given twice",
		version + "fe 0011 0001 fe 0011 0001 ff 100000000000 01":             "given twice",
	} {
		_, err := tds.ParsePrelogin(unhex(t, message))
		if !errors.Is(err, frame.ErrMalformed) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", message, err, want)
		}
	}
}

// What this package writes is, byte for byte, what another program wrote for the same.
func TestAppend(t *testing.T) {
	pre, err := tds.ParsePrelogin(unhex(t, fromTSQL))
	if err != nil {
		t.Fatal(err)
	}
	got, err := pre.Append([]byte("kept"))
	if want := append([]byte("kept"), unhex(t, fromTSQL)...); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%x, %v; want %x", got, err, want)
	}
	for _, bad := range []tds.Prelogin{
		{ThreadID: make([]byte, 3)}, {TraceID: make([]byte, 35)}, {FedAuth: []byte{}}, {Nonce: make([]byte, 33)},
		{Instance: "a\x00"}, {Instance: long("a")},
	} {
		if got, err := bad.Append([]byte("kept")); err == nil || string(got) != "kept" {
			t.Errorf("%+v: %x, %v", bad, got, err)
		}
	}
}

func TestStrings(t *testing.T) {
	if s := tds.DefaultVersion.String(); s != "16.0.1000.0" {
		t.Error(s)
	}
	for e, want := range map[tds.Encryption]string{
		tds.Off: "OFF", tds.On: "ON", tds.NotSupported: "NOT_SUP", tds.Required: "REQ", 0x83: "0x83",
	} {
		if e.String() != want {
			t.Errorf("%v, want %s", e, want)
		}
	}
}

// FuzzPrelogin: what is understood, and said again, is understood in the same way; what is not is the peer's fault.
func FuzzPrelogin(f *testing.F) {
	for _, s := range []string{fromTSQL, fromSpec, "00 0010 0006 04 0016 0001 06 0017 0001 ff 100000000000 01 00"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		before := bytes.Clone(p)
		first, err := tds.ParsePrelogin(p)
		if !bytes.Equal(p, before) {
			t.Fatal("the message was changed")
		}
		if err != nil {
			if !errors.Is(err, frame.ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		said, err := first.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := tds.ParsePrelogin(said)
		if err != nil || !reflect.DeepEqual(first, again) {
			t.Fatalf("%+v and then %+v, %v: %s", first, again, err, hex.EncodeToString(said))
		}
	})
}
