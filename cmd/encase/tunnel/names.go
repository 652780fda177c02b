package tunnel

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/encase-tls/encase/cmd/encase/conf"
)

// nameServers sets the name servers of this machine while a tunnel is up, and puts back what was there. What it has
// done stands in a state file, so that the next program can put back what one that was killed could not.
type nameServers struct {
	iface string
	state string // file
	file  string // resolv.conf
	log   *slog.Logger
	ask   string // what the configuration says

	mu   sync.Mutex
	used string // the program in use; empty: nothing is set
}

const (
	resolvConf  = "/etc/resolv.conf" // of this machine
	programTime = 10 * time.Second
)

// A nameState is what was done, as the state file has it.
type nameState struct {
	Program string `json:"program"`
	Old     []byte `json:"old,omitempty"`  // what resolv.conf was
	Link    string `json:"link,omitempty"` // where it pointed to, if it was a symbolic link
	Missing bool   `json:"missing,omitempty"`
	New     []byte `json:"new,omitempty"` // what it is now; if it is something else, it is not ours any more
}

func newNameServers(program, iface, folder string, log *slog.Logger) *nameServers {
	return &nameServers{iface: iface, ask: program, file: resolvConf, state: filepath.Join(folder, "dns-"+iface+".json"),
		log: log}
}

// program returns how name servers are set here.
func (n *nameServers) program() string {
	if n.ask != "auto" {
		return n.ask
	}
	if _, err := os.Stat("/run/systemd/resolve"); err == nil {
		if _, err := exec.LookPath("resolvectl"); err == nil {
			return "resolvectl"
		}
	}
	if _, err := exec.LookPath("resolvconf"); err == nil {
		return "resolvconf"
	}
	return "file"
}

// set makes servers those of the machine, or of the domains.
func (n *nameServers) set(servers []netip.Addr, domains []string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(servers) == 0 || n.ask == "off" {
		return nil
	}
	domains = slices.DeleteFunc(slices.Clone(domains), func(d string) bool {
		bad := !isDomain(d)
		if bad {
			n.log.Warn("the server tells a domain that is none", "domain", d)
		}
		return bad
	})
	program := n.program()
	if n.used == "" { // else what was there before is known
		state := nameState{Program: program}
		if program == "file" {
			if err := state.remember(n.file, conventionalFile(servers, domains)); err != nil {
				return err
			}
		}
		if err := n.keep(state); err != nil {
			return err
		}
	}
	n.used = program
	n.log.Info("name servers", "program", program, "servers", fmt.Sprint(servers), "domains", domains)
	switch program {
	case "resolvectl":
		return n.setResolved(servers, domains)
	case "resolvconf":
		return call(conventionalFile(servers, domains), "resolvconf", "-a", n.iface+".encase")
	}
	return n.setFile(conventionalFile(servers, domains))
}

// isDomain reports whether a domain, or "~" and a domain, is one: what the server says goes into a file and into the
// arguments of programs.
func isDomain(d string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	d = strings.TrimPrefix(d, "~")
	return d != "" && len(d) < 254 && d[0] != '-' && strings.Trim(d, letters) == ""
}

// keep writes the state file.
func (n *nameServers) keep(s nameState) error {
	data, err := json.Marshal(s)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(n.state), 0o755)
	}
	if err == nil {
		err = conf.ReplaceFile(n.state, data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("what was there cannot be kept, so it stays: %w", err)
	}
	return nil
}

func (s *nameState) remember(file string, next []byte) error {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		s.Missing, err = true, nil
	}
	if err != nil {
		return err
	}
	s.Link, _ = os.Readlink(file) // empty if it is none
	s.Old, s.New = data, next
	return nil
}

func (n *nameServers) setResolved(servers []netip.Addr, domains []string) error {
	args := []string{"dns", n.iface}
	for _, a := range servers {
		args = append(args, a.String())
	}
	if len(domains) == 0 {
		domains = []string{"~."}
	}
	return errors.Join(call(nil, "resolvectl", args...),
		call(nil, "resolvectl", append([]string{"domain", n.iface}, domains...)...))
}

// setFile writes resolv.conf, and notes in the state what is there from now on.
func (n *nameServers) setFile(data []byte) error {
	s, err := n.kept()
	if err == nil {
		s.New = data
		err = n.keep(s)
	}
	if err == nil {
		err = writeResolvConf(n.file, data, s.Link != "")
	}
	return err
}

// writeResolvConf replaces the file, and not what a symbolic link leads to. Where it is mounted, as in containers, it
// is written in place.
func writeResolvConf(file string, data []byte, link bool) error {
	err := conf.ReplaceFile(file, data, 0o644)
	if err != nil && !link {
		err = os.WriteFile(file, data, 0o644)
	}
	return err
}

func (n *nameServers) kept() (s nameState, err error) {
	data, err := os.ReadFile(n.state)
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	return s, err
}

// restore puts back what was there, if there is something to put back: of this program, or of one before it.
func (n *nameServers) restore() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	s, err := n.kept()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		switch s.Program {
		case "resolvectl":
			call(nil, "resolvectl", "revert", n.iface) // an interface that is gone has taken them along
		case "resolvconf":
			err = call(nil, "resolvconf", "-d", n.iface+".encase")
		case "file":
			err = s.restoreFile(n.file, n.log)
		}
	}
	n.used = ""
	if err != nil {
		return fmt.Errorf("%s: %w", n.state, err)
	}
	n.log.Info("name servers are as before", "program", s.Program)
	return os.Remove(n.state)
}

func (s *nameState) restoreFile(file string, log *slog.Logger) error {
	now, err := os.ReadFile(file)
	if err == nil && !bytes.Equal(now, s.New) {
		log.Warn("the file is not what encase has written; it stays as it is", "file", file)
		return nil
	}
	switch {
	case s.Missing:
		return os.Remove(file)
	case s.Link != "":
		aside := file + ".encase"
		os.Remove(aside)
		return errors.Join(os.Symlink(s.Link, aside), os.Rename(aside, file))
	}
	return writeResolvConf(file, s.Old, false)
}

// conventionalFile returns what resolv.conf is to hold.
func conventionalFile(servers []netip.Addr, domains []string) []byte {
	var b strings.Builder
	b.WriteString("# Written by encase. What was here is put back when the tunnel goes down.\n")
	for _, a := range servers {
		fmt.Fprintf(&b, "nameserver %v\n", a)
	}
	var search []string
	for _, d := range domains {
		if !strings.HasPrefix(d, "~") {
			search = append(search, d)
		}
	}
	if len(search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(search, " "))
	}
	return []byte(b.String())
}

func call(stdin []byte, program string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), programTime)
	defer cancel()
	c := exec.CommandContext(ctx, program, args...)
	c.Stdin = bytes.NewReader(stdin)
	out, err := c.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, cut(string(out)))
	}
	return nil
}

// inUse returns the program that has set name servers; empty: none has.
func (n *nameServers) inUse() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.used
}
