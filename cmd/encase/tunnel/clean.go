package tunnel

import (
	"errors"
	"log/slog"

	"github.com/encase-tls/encase/tun/carrier"
	"github.com/encase-tls/encase/tun/network"
)

// CleanUp takes away what a daemon that was killed has left: the rules and routes of encase, and the name servers that
// it has set for the interface with a name.
func CleanUp(name string) error {
	log := slog.Default()
	n, err := network.Open("")
	if err != nil {
		return err
	}
	defer n.Close()
	removed, err := n.Sweep()
	if removed > 0 {
		log.Info("removed what was left", "rules_and_routes", removed)
	}
	rules, sweepErr := carrier.Sweep()
	if rules > 0 {
		log.Info("removed what was left", "rules_of_carriers", rules)
	}
	return errors.Join(err, sweepErr, newNameServers("auto", name, stateFolder(), log).restore())
}
