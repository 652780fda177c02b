package conf

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"strings"
	"testing"
	"time"
)

// A certificate is told of once: if it is not valid, or if it will soon not be.
func TestDates(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		from, to    time.Duration
		wrong, soon string
	}{
		"good":    {-time.Hour, ExpiresSoon, "", ""},
		"late":    {-2 * time.Hour, -time.Hour, "f: the certificate of CN=x expired on 2026-11-21 11:00 UTC; renew", ""},
		"early":   {time.Hour, 2 * ExpiresSoon, "is valid from 2026-11-21 13:00 UTC only", ""},
		"running": {-time.Hour, ExpiresSoon - time.Hour, "", "expires on 2026-12-12 11:00 UTC; renew it"},
	} {
		t.Run(name, func(t *testing.T) {
			cert := &x509.Certificate{Subject: pkix.Name{CommonName: "x"}, NotBefore: now.Add(c.from),
				NotAfter: now.Add(c.to)}
			wrong, soon := Dates("f", []*x509.Certificate{cert}, now)
			for _, o := range []struct {
				got  []string
				want string
			}{{wrong, c.wrong}, {soon, c.soon}} {
				if all := strings.Join(o.got, "\n"); (all == "") != (o.want == "") || !strings.Contains(all, o.want) {
					t.Errorf("%q, want %q", all, o.want)
				}
			}
		})
	}
}
