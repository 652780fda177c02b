package carrier

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
)

// The settings of the kernel that let it forward what comes in by an interface. For IPv6 there is one for all, and
// since Linux 6.17 one for each.
// https://docs.kernel.org/networking/ip-sysctl.html
const (
	forwarding4    = "/proc/sys/net/ipv4/conf/*/forwarding"
	forwarding6    = "/proc/sys/net/ipv6/conf/*/force_forwarding"
	forwarding6All = "/proc/sys/net/ipv6/conf/all/forwarding"
)

func settingOf(family int) string {
	if family == netlink.FAMILY_V6 {
		return forwarding6
	}
	return forwarding4
}

// forwardFrom lets the kernel forward what this program sends by a device. Whether that works, CheckForwarding tells.
func forwardFrom(name string, family int) {
	_ = os.WriteFile(strings.Replace(settingOf(family), "*", name, 1), []byte("1"), 0)
}

// CheckForwarding reports what keeps the machine from forwarding frames between the device with a name, which need not
// be there yet, and the network, for the families of some addresses; nil if nothing does. It looks at the network
// namespace of the calling thread, and not at firewalls.
func CheckForwarding(name string, addresses []netip.Addr) error {
	for _, family := range familiesOf(addresses) {
		if family == netlink.FAMILY_V6 && isOn(forwarding6All) {
			continue
		}
		own := strings.Replace(settingOf(family), "*", name, 1)
		if _, err := os.Stat(own); err == nil && !isOn(own) {
			return fmt.Errorf("carrier: frames that are sent do not leave this machine: %s", remedy(family))
		}
		if !anyForwards(family, name) {
			return fmt.Errorf("carrier: frames that come from the network do not get here, since this machine does not "+
				"forward: %s", remedy(family))
		}
	}
	return nil
}

func remedy(family int) string {
	if family == netlink.FAMILY_V6 {
		return "sysctl -w net.ipv6.conf.all.forwarding=1"
	}
	return "sysctl -w net.ipv4.ip_forward=1"
}

// anyForwards reports whether what comes in by an interface of the network is forwarded.
func anyForwards(family int, except string) bool {
	files, _ := filepath.Glob(settingOf(family))
	for _, f := range files {
		switch name := filepath.Base(filepath.Dir(f)); name {
		case except, "all", "default", "lo":
		default:
			if isOn(f) {
				return true
			}
		}
	}
	return false
}

func isOn(file string) bool {
	data, err := os.ReadFile(file)
	return err == nil && strings.TrimSpace(string(data)) != "0"
}
