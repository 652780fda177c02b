package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A Watcher hears from the kernel when addresses, routes, rules or interfaces change, and knows which way packets take.
// It needs no privilege.
type Watcher struct {
	h      *netlink.Handle
	events *nl.NetlinkSocket
	c      chan struct{}
}

// Watch returns a Watcher of the namespace with a file such as /run/netns/red; empty means that of this program.
func Watch(namespace string) (*Watcher, error) {
	ns := netns.None()
	if namespace != "" {
		var err error
		if ns, err = netns.GetFromPath(namespace); err != nil {
			return nil, fmt.Errorf("network: the namespace %s: %w", namespace, err)
		}
		defer ns.Close()
	}
	w := &Watcher{c: make(chan struct{}, 1)}
	var err error
	if w.h, err = netlink.NewHandleAt(ns, unix.NETLINK_ROUTE); err != nil {
		return nil, fault("netlink", err)
	}
	w.events, err = nl.SubscribeAt(ns, netns.None(), unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR,
		unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE,
		unix.RTNLGRP_IPV6_RULE)
	if err != nil {
		w.h.Close()
		return nil, fault("netlink: what changes", err)
	}
	go w.listen()
	return w, nil
}

// listen turns what the kernel says, whatever it is, into one event. What the kernel had no room for has changed, too.
func (w *Watcher) listen() {
	defer close(w.c)
	for {
		if _, _, err := w.events.Receive(); errors.Is(err, os.ErrClosed) {
			return
		} else if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
			return
		}
		select {
		case w.c <- struct{}{}:
		default: // there is one that nobody has looked at yet
		}
	}
}

// Changes returns a channel that is given a value after something has changed, one for all that has since the last was
// taken. It is closed when nothing will be heard any more.
func (w *Watcher) Changes() <-chan struct{} { return w.c }

// Path returns the way to an address, for packets with a mark. One with a zone is at the interface of that name or number,
// and no other. It may be called by one goroutine at a time.
func (w *Watcher) Path(to netip.Addr, mark uint32) Path {
	o := netlink.RouteGetOptions{Mark: mark}
	if to.Zone() != "" {
		if o.OifIndex = w.index(to.Zone()); o.OifIndex == 0 {
			return Path{}
		}
	}
	routes, err := w.h.RouteGetWithOptions(net.IP(to.Unmap().AsSlice()), &o)
	if err != nil || len(routes) == 0 {
		return Path{}
	}
	p := Path{Interface: routes[0].LinkIndex}
	p.Source, _ = netip.AddrFromSlice(routes[0].Src)
	p.Gateway, _ = netip.AddrFromSlice(routes[0].Gw)
	p.Source, p.Gateway = p.Source.Unmap(), p.Gateway.Unmap()
	return p
}

// index returns the number of the interface that a zone stands for, 0 if there is none.
func (w *Watcher) index(zone string) int {
	if link, err := w.h.LinkByName(zone); err == nil {
		return link.Attrs().Index
	}
	number, err := strconv.Atoi(zone)
	if err != nil {
		return 0
	}
	return max(number, 0)
}

// Close ends the Watcher.
func (w *Watcher) Close() {
	w.events.Close()
	w.h.Close()
}
