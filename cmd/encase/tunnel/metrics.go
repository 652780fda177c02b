package tunnel

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/encase-tls/encase/tun"
	"github.com/encase-tls/encase/tun/carrier"
	"github.com/encase-tls/encase/tun/link"
)

// serveMetrics serves /metrics at an address; none if that is empty.
func (d *daemon) serveMetrics(address string) (io.Closer, error) {
	if address == "" {
		return io.NopCloser(nil), nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("observability.metrics: %w", err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&collector{d})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second,
		MaxHeaderBytes: 16 << 10}
	go s.Serve(l)
	d.log.Info("metrics", "address", l.Addr().String())
	return s, nil
}

// A collector makes metrics of what the tunnel tells about itself, when it is asked. Its labels have few values: only
// observability.per_peer_metrics gives each client series of its own.
type collector struct{ d *daemon }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("encase_"+name, help, labels, nil)
}

var (
	infoDesc     = desc("tunnel_info", "The tunnel; always 1.", "role", "interface", "version", "offloads")
	sessionsDesc = desc("sessions", "Peers with a session.")
	connDesc     = desc("connections", "Connections by carrier, and whether packets can be expected to arrive.",
		"carrier", "works")
	mtuDesc    = desc("mtu_bytes", "Longest packet in the tunnel.")
	deviceDesc = desc("device_packets_total", "Packets of the interface; those that stand for many count once.",
		"direction")
	deviceByteDesc = desc("device_bytes_total", "Bytes of the interface.", "direction")
	deviceErrDesc  = desc("device_dropped_total", "Packets that the interface or encase did not take.", "reason")
	refusedDesc    = desc("connections_refused_total", "Connections that came to nothing.", "reason")
	helloDesc      = desc("hellos_total", "Handshakes over datagrams that strangers wanted to begin, and what became of them.",
		"result")
	halfOpenDesc  = desc("half_open", "Connections that have not yet said who they are.", "carrier")
	underLoadDesc = desc("under_load", "Whether there are so many of those that strangers are treated less well.",
		"carrier")
	droppedDesc    = desc("client_dropped_total", "What clients have sent, or were to get, and was dropped.", "reason")
	brokenDesc     = desc("protocol_errors_total", "Connections that ended because a client broke the protocol.")
	queuedDesc     = desc("queued_bytes", "Memory of packets that wait for clients.")
	unroutableDesc = desc("unroutable_packets_total", "Packets for addresses that no client has.")
	reconnectDesc  = desc("reconnects_total", "Sessions that a client has begun after its first.")
	certDesc       = desc("certificate_expires_timestamp_seconds", "When the certificate of this end expires.")
	crlDesc        = desc("crl_expires_timestamp_seconds",
		"When the list of revoked certificates expires; nobody is let in then.")
	pendingDesc  = desc("config_needs_restart", "Keys whose new values wait for a restart.")
	frameDesc    = desc("carrier_frames_total", "Frames that travel as IP packets.", "direction")
	frameDrop    = desc("carrier_dropped_total", "Packets at the addresses of [carrier] that nobody got.", "reason")
	narrowDesc   = desc("carrier_narrowed_total", "Times that a router has said that a path is narrower.")
	peerByteDesc = desc("peer_bytes_total", "Bytes of packets of a session's present connections.", "peer", "direction")
	peerRTTDesc  = desc("peer_rtt_seconds", "Round trip of the connection that is in use.", "peer")
	peerMTUDesc  = desc("peer_mtu_bytes", "Longest packet to a peer over the connection that is in use.", "peer")
	peerLossDesc = desc("peer_loss_ratio", "Lately lost part of what was sent.", "peer")
	peerDropDesc = desc("peer_dropped_total", "Packets dropped on a session's present connections.", "peer", "reason")
)

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{infoDesc, sessionsDesc, connDesc, mtuDesc, deviceDesc, deviceByteDesc,
		deviceErrDesc,
		refusedDesc, helloDesc, halfOpenDesc, underLoadDesc, queuedDesc, droppedDesc, brokenDesc, unroutableDesc,
		reconnectDesc, certDesc, crlDesc, pendingDesc, frameDesc, frameDrop, narrowDesc, peerByteDesc, peerRTTDesc,
		peerMTUDesc, peerLossDesc,
		peerDropDesc} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.d.state()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(infoDesc, 1, s.Role, s.Interface, s.Version, s.Offloads)
	gauge(sessionsDesc, float64(len(s.Sessions)))
	gauge(mtuDesc, float64(s.MTU))
	gauge(certDesc, float64(s.Expires.Unix()))
	gauge(pendingDesc, float64(len(s.Pending)))
	if !s.CRLExpires.IsZero() {
		gauge(crlDesc, float64(s.CRLExpires.Unix()))
	}
	for kind, n := range kinds(s.Sessions) {
		gauge(connDesc, float64(n), kind.carrier, fmt.Sprint(kind.works))
	}
	dev := s.Device
	count(deviceDesc, dev.Read, "sent")
	count(deviceDesc, dev.Written, "received")
	count(deviceByteDesc, dev.ReadBytes, "sent")
	count(deviceByteDesc, dev.WrittenBytes, "received")
	count(deviceErrDesc, dev.ReadErrors, "read")
	count(deviceErrDesc, dev.WriteErrors, "write")
	count(deviceErrDesc, dev.Down, "down")
	count(refusedDesc, s.Refused, "refused")
	collectStrangers(&s, gauge, count)
	count(unroutableDesc, s.Unroutable)
	count(reconnectDesc, s.Reconnects)
	if c.d.frames != nil {
		collectFrames(c.d.frames.Stats(), count)
	}
	if c.d.config().perPeer {
		for _, p := range s.Sessions {
			collectPeer(p, gauge, count)
		}
	}
}

func collectFrames(s carrier.Stats, count func(*prometheus.Desc, uint64, ...string)) {
	count(frameDesc, s.Sent, "sent")
	count(frameDesc, s.Received, "received")
	count(narrowDesc, s.Narrowed)
	count(frameDrop, s.Malformed, "malformed")
	count(frameDrop, s.Fragments, "fragment")
	count(frameDrop, s.BadSource, "source")
	count(frameDrop, s.Other, "other_protocol")
	count(frameDrop, s.Unexpected, "unexpected")
	count(frameDrop, s.Full, "full")
	count(frameDrop, s.Unreachable, "unreachable")
	count(frameDrop, s.TooBig, "too_big")
	count(frameDrop, s.Unsent, "unsent")
}

type connKind struct {
	carrier string
	works   bool
}

// kinds counts connections.
func kinds(list []tun.Session) map[connKind]int {
	out := map[connKind]int{}
	for _, carrier := range []tun.Carrier{tun.Stream, tun.Datagrams} {
		out[connKind{string(carrier), true}], out[connKind{string(carrier), false}] = 0, 0
	}
	for _, s := range list {
		for _, c := range s.Connections {
			out[connKind{c.Carrier, c.Works}]++
		}
	}
	return out
}

func collectPeer(p tun.Session, gauge func(*prometheus.Desc, float64, ...string),
	count func(*prometheus.Desc, uint64, ...string)) {
	var all link.Stats
	for _, c := range p.Connections {
		all.SentBytes += c.Stats.SentBytes
		all.ReceivedBytes += c.Stats.ReceivedBytes
		all.DroppedFull += c.Stats.DroppedFull
		all.DroppedLate += c.Stats.DroppedLate
		all.Spoofed += c.Stats.Spoofed
		all.Refused += c.Stats.Refused
		all.TooBig += c.Stats.TooBig
		if c.Carrier == p.Active {
			gauge(peerRTTDesc, c.RTT/1000, p.Peer)
			gauge(peerMTUDesc, float64(c.MTU), p.Peer)
			gauge(peerLossDesc, c.Loss, p.Peer)
			p.Active = "" // one of several while keys change
		}
	}
	count(peerByteDesc, all.SentBytes, p.Peer, "sent")
	count(peerByteDesc, all.ReceivedBytes, p.Peer, "received")
	count(peerDropDesc, all.DroppedFull, p.Peer, "full")
	count(peerDropDesc, all.DroppedLate, p.Peer, "late")
	count(peerDropDesc, all.Spoofed, p.Peer, "spoofed")
	count(peerDropDesc, all.Refused, p.Peer, "malformed")
	count(peerDropDesc, all.TooBig, p.Peer, "too_big")
}

// MetricNames returns the names of all metrics of tunnels.
func MetricNames() map[string]bool {
	names := map[string]bool{}
	for _, m := range metrics() {
		names[m.name] = true
	}
	return names
}
