package tunnel

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
)

// A notifier tells systemd how the daemon is. Without systemd it does nothing.
//
// https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
type notifier struct {
	conn     net.Conn
	watchdog time.Duration // 0: nobody watches
}

func newNotifier() (n notifier) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return n
	}
	if path[0] == '@' {
		path = "\x00" + path[1:]
	}
	if c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"}); err == nil {
		n.conn = c
	}
	usec, _ := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if pid := os.Getenv("WATCHDOG_PID"); pid == "" || pid == strconv.Itoa(os.Getpid()) {
		n.watchdog = time.Duration(usec) * time.Microsecond
	}
	return n
}

// interval returns how often to call alive, at most def.
func (n notifier) interval(def time.Duration) time.Duration {
	if n.watchdog > 0 {
		return min(def, n.watchdog/3)
	}
	return def
}

func (n notifier) say(state string) {
	if n.conn != nil {
		n.conn.Write([]byte(state)) // who does not listen any more need not know
	}
}

func (n notifier) ready()    { n.say("READY=1") }
func (n notifier) stopping() { n.say("STOPPING=1") }
func (n notifier) alive() {
	if n.watchdog > 0 {
		n.say("WATCHDOG=1")
	}
}

// reloading must come with the time on the monotonic clock.
func (n notifier) reloading() {
	n.say(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", monotonic().Microseconds()))
}
