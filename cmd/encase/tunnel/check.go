package tunnel

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strings"
	"time"

	"github.com/encase-tls/encase/tun/carrier"
)

// resolveLimit bounds all look-ups of a check together.
const resolveLimit = 5 * time.Second

// probe reports what only the machine and the network can tell: whether it is true may change, so a daemon that starts
// does not look. It neither listens on a port that is named nor connects anywhere.
func (c *config) probe() {
	ctx, cancel := context.WithTimeout(context.Background(), resolveLimit)
	defer cancel()
	if _, err := os.Stat("/dev/net/tun"); err != nil && runtime.GOOS == "linux" {
		c.doc.warn("interface", "/dev/net/tun is not there; run: modprobe tun")
	}
	if c.frames != nil {
		if err := carrier.CheckForwarding(c.frames.Name, c.frames.Addresses); err != nil {
			c.doc.warn("carrier", "%v", err)
		}
	}
	c.probePrograms()
	for _, e := range c.listens {
		c.probeListen(&e)
	}
	for _, e := range c.endpoints {
		if _, err := net.DefaultResolver.LookupHost(ctx, e.host); err != nil {
			c.doc.warn(e.path+".address", "%s does not resolve at the moment: %v; correct it, or the resolver", e.host, err)
		}
	}
}

// probeListen reports an address that is not this machine's. Any port tells.
func (c *config) probeListen(e *endpoint) {
	if strings.HasPrefix(e.address, inheritedPrefix) || e.carrier == overFrames {
		return
	}
	l, err := net.Listen("tcp", net.JoinHostPort(e.host, "0"))
	if err != nil {
		c.doc.warn(e.path+".address", "%s is no address of this machine at the moment: %v", e.host, err)
		return
	}
	l.Close()
}

// probePrograms reports users and programs that are not there.
func (c *config) probePrograms() {
	if name := get[string](c.doc, "interface.user"); name != "" {
		if _, err := user.Lookup(name); err != nil {
			c.doc.wrong("interface.user", "there is no user %s; make one with: useradd --system %[1]s", name)
		}
	}
	for key, argv := range map[string][]string{"interface.post_up": c.postUp, "interface.pre_down": c.preDown} {
		if len(argv) == 0 {
			continue
		}
		if _, err := exec.LookPath(argv[0]); err != nil {
			c.doc.warn(key, "%q is no program that can be run: %v; write a program and its arguments as a list of strings", argv[0],
				errors.Unwrap(err))
		}
	}
}
