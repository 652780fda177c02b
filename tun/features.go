package tun

import (
	"slices"

	"github.com/encase-tls/encase/tun/device"
	"github.com/encase-tls/encase/tun/wire"
)

// featuresOf returns what a device here can take, in the words of the protocol.
func featuresOf(o device.Offloads) (list []string) {
	for _, f := range []struct {
		on   bool
		name string
	}{{o.TCP, wire.FeatureTCP}, {o.ECN, wire.FeatureECN}, {o.UDP, wire.FeatureUDP}, {true, wire.FeaturePartial}} {
		if f.on {
			list = append(list, f.name)
		}
	}
	return list
}

// offloadsOf returns what a peer can take. What it calls by other names is for later versions.
func offloadsOf(features []string) device.Offloads {
	has := func(name string) bool { return slices.Contains(features, name) }
	return device.Offloads{TCP: has(wire.FeatureTCP), ECN: has(wire.FeatureECN), UDP: has(wire.FeatureUDP)}
}
