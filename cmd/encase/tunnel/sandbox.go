package tunnel

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/encase-tls/encase/cmd/encase/confine"
)

// confine takes from this program what it does not need any more, as the configuration says.
func (d *daemon) confine(cfg *config) error {
	if cfg.sandbox == "off" {
		return nil
	}
	strict := cfg.sandbox == "require"
	d.needs = cfg.needs()
	if err := confine.Enforce(d.needs, strict); err != nil {
		if strict {
			return err
		}
		d.log.Warn("not all was confined that could be", "error", err)
	}
	d.log.Info("confined", "by", confine.Look().String())
	return nil
}

// needs returns what a tunnel goes on to need when its sockets and its interface are there. Folders, not files, are
// what a reload reads from, since a file that is replaced is another.
func (c *config) needs() confine.Needs {
	n := confine.Needs{Capabilities: keptCapabilities()}
	for _, file := range c.reads() {
		n.Read = append(n.Read, filepath.Dir(file))
	}
	n.Read = append(n.Read, "/proc/self", "/proc/stat") // for metrics
	n.Write = append(n.Write, filepath.Dir(c.controlAt))
	for _, key := range []string{"server.lease_file", "server.ban_file"} {
		if file := get[string](c.doc, key); file != "" {
			n.Write = append(n.Write, filepath.Dir(file))
		}
	}
	if c.side == client {
		n.Write = append(n.Write, "/proc/sys/net/ipv4/conf/all/src_valid_mark")
		if c.looksUpNames() {
			n.Read = append(n.Read, "/etc", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager")
		}
	}
	slices.Sort(n.Read)
	n.Read, n.Write = slices.Compact(n.Read), slices.Compact(n.Write)
	return n
}

// reads returns the files that a reload reads.
func (c *config) reads() []string {
	files := []string{c.doc.file}
	for _, file := range []string{c.fields.cert, c.fields.key, c.fields.ca, c.fields.crl} {
		if file != "" {
			files = append(files, file)
		}
	}
	for _, e := range append(slices.Clone(c.listens), c.endpoints...) {
		_, file, _ := strings.Cut(e.spec, ":")
		if info, err := os.Stat(file); err == nil && !info.IsDir() { // a description, or a module
			files = append(files, file)
		}
	}
	return files
}

// hidden says which files of the configuration the kernel keeps from this program: they are in folders that it had no
// use for when it was started.
func (d *daemon) hidden() string {
	if len(d.needs.Read) == 0 {
		return ""
	}
	data, err := os.ReadFile(d.config().doc.file)
	if err != nil {
		return ""
	}
	doc, text := parse(d.config().doc.file, data), ""
	for _, key := range []string{"identity.cert", "identity.key", "identity.ca", "identity.crl"} {
		file := get[string](doc, key)
		if file == "" || slices.Contains(d.needs.Read, filepath.Dir(file)) {
			continue
		}
		if _, err := os.ReadDir(filepath.Dir(file)); errors.Is(err, fs.ErrPermission) {
			text += fmt.Sprintf("\n%s is outside of what interface.sandbox leaves this daemon; put it into %s, or restart",
				file, filepath.Dir(d.config().doc.file))
		}
	}
	return text
}

// looksUpNames reports whether a client knows its server by a name.
func (c *config) looksUpNames() bool {
	return slices.ContainsFunc(c.endpoints, func(e endpoint) bool {
		host, _, err := net.SplitHostPort(e.address)
		if err != nil {
			host = e.address
		}
		_, err = netip.ParseAddr(host)
		return err != nil
	})
}
