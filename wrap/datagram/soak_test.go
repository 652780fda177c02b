package datagram

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/wrap/datagram/lossy"
)

// soak reports whether tests shall take the time that their full size needs: ENCASE_SOAK=1, as "make soak" has it. Less
// is a part of it: ENCASE_SOAK=0.1 moves a tenth of the data and lasts a tenth of the time.
func soak() bool { return soakShare() > 0 }

func soakShare() float64 {
	share, err := strconv.ParseFloat(os.Getenv("ENCASE_SOAK"), 64)
	if err != nil {
		return 0
	}
	return share
}

// soaked returns what n and d are at this size, and skips the test if it is not to be run at all.
func soaked(t *testing.T, n int, d time.Duration) (int, time.Duration) {
	t.Helper()
	if !soak() {
		t.Skip("it takes minutes: ENCASE_SOAK=1")
	}
	return max(int(float64(n)*soakShare()), 1), time.Duration(float64(d) * soakShare())
}

// soakLoss are the shares of datagrams that get lost each way; as many of those left come twice, and are overtaken.
var soakLoss = []float64{0, 0.1, 0.3, 0.5}

// soakMTU is that of the relay: what is longer does not get through.
const soakMTU = 600

func soakConditions(loss float64) lossy.Conditions {
	return lossy.Conditions{Loss: loss, Duplicate: loss, Reorder: loss, MTU: soakMTU}
}

// soakTolerance is the share of messages that other programs may lose, or their sockets, although the relay has passed
// them on.
const soakTolerance = 0.005

// TestSoakOurselves moves 10 MB each way between two ends of ours, in both kinds of handshake.
func TestSoakOurselves(t *testing.T) {
	total, _ := soaked(t, 10<<20, 0)
	for _, m := range []method{methods[0], methods[2]} {
		for _, loss := range soakLoss {
			t.Run(fmt.Sprintf("%s/%.0f%%", m.name, 100*loss), func(t *testing.T) {
				client, server := m.configs(t)
				o := dtls.Options{FlightInterval: 25 * time.Millisecond, ReplayWindow: 1024}
				if m.name == "psk" {
					client.Stack = pskStack(o)
				} else {
					client.Stack = dtls.Stack(o)
				}
				server.Stack = client.Stack
				client.MTU, server.MTU = soakMTU, soakMTU
				client.Queue, server.Queue = total, total
				start := time.Now()
				relay, c, s := throughRelay(t, client, server, soakConditions(loss), nil)
				shook := time.Since(start)
				mean := (2*c.MTU() + c.MTU()/2 + 4 + 17) / 5 // of sizes
				both(t, c, s, total/mean, func() uint64 { return relay.Stats().Lost })
				t.Logf("handshake %v, then %d messages each way in %v; relay %+v",
					shook.Round(time.Millisecond), total/mean, time.Since(start).Round(time.Millisecond), relay.Stats())
				if n := relay.Stats().TooLong; n > 0 {
					t.Errorf("%d datagrams are longer than the MTU", n)
				}
			})
		}
	}
}
