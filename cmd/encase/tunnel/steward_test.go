package tunnel

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// A steward does what its task says, and nothing before it has one; when the daemon is gone it puts things back.
func TestSteward(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no such programs")
	}
	dir := t.TempDir()
	script := "#!/bin/sh\necho \"$@\" >> " + dir + "/calls\n"
	if err := os.WriteFile(filepath.Join(dir, "resolvectl"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	in, out := io.Pipe()
	answers, result := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- beSteward(in, result, io.Discard) }()
	ask, hear := json.NewEncoder(out), json.NewDecoder(answers)
	task := &stewardTask{Interface: "encase0", Folder: dir, Names: "resolvectl",
		PostUp: []string{"sh", "-c", "echo up $ENCASE_INTERFACE >>" + dir + "/calls"}, PreDown: []string{"sh", "-c",
			"echo no; exit 3"}}
	for _, c := range []struct {
		q    stewardRequest
		want string // in the error
		used string
	}{
		{stewardRequest{Do: doPostUp}, "at the wrong time", ""},
		{stewardRequest{Do: doBegin}, "at the wrong time", ""},
		{stewardRequest{Do: doBegin, Task: task}, "", ""},
		{stewardRequest{Do: doBegin, Task: task}, "at the wrong time", ""},
		{stewardRequest{Do: doPostUp}, "", ""},
		{stewardRequest{Do: doPreDown}, "exit status 3: no", ""},
		{stewardRequest{Do: doNames, Servers: nameServer, Domains: []string{"--help", "corp.test"}}, "", "resolvectl"},
		{stewardRequest{Do: "exec"}, "not known", "resolvectl"},
	} {
		var a stewardAnswer
		if err := ask.Encode(c.q); err != nil {
			t.Fatal(err)
		}
		if err := hear.Decode(&a); err != nil {
			t.Fatal(err)
		}
		if (a.Error == "") != (c.want == "") || !strings.Contains(a.Error, c.want) || a.Used != c.used {
			t.Errorf("%s: %+v, want %q and %q", c.q.Do, a, c.want, c.used)
		}
	}
	out.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	got, err := os.ReadFile(dir + "/calls")
	if want := "up encase0\ndns encase0 10.66.0.53\ndomain encase0 corp.test\nrevert encase0\n"; string(got) != want {
		t.Errorf("it has run %q, %v, want %q", got, err, want)
	}
}
