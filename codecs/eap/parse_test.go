package eap

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for arg, want := range map[string]string{
		"":                                     "",
		"identity=a,mtu=64":                    "",
		"timeout=1s,repeat=100ms":              "",
		"max=16777216":                         "",
		"identity=":                            `bad value in "identity="`,
		"identity=a,identity=b":                "identity is given twice",
		"mtu=63":                               "bad mtu 63 (allowed: 64 to 65535)",
		"mtu=0":                                "bad mtu 1 (allowed",
		"mtu=x":                                `bad value in "mtu=x"`,
		"mtu=65536":                            "bad mtu 65536",
		"max=0":                                "bad max -1",
		"max=16777217":                         "bad max 16777217",
		"timeout=0s":                           "bad timeout 1ns",
		"timeout=5":                            `bad value in "timeout=5"`,
		"repeat=-1s":                           "bad repeat 1ns",
		"secret=a":                             `unknown option "secret" (have identity, mtu, max, timeout, repeat)`,
		",":                                    `unknown option ""`,
		"identity=" + strings.Repeat("a", 254): "bad identity: 254 bytes",
		"mtu=64,identity=" + strings.Repeat("a", 60): "an identity of 60 bytes",
	} {
		_, err := Parse(arg)
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", arg, err)
		case want != "" && (err == nil || !strings.HasPrefix(err.Error(), "eap: ")),
			want != "" && !strings.Contains(err.Error(), want):
			t.Errorf("%q: %v, want %s", arg, err, want)
		}
	}
}
