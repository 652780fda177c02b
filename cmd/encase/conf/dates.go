package conf

import (
	"crypto/x509"
	"fmt"
	"time"
)

// ExpiresSoon is when a certificate that runs out is warned about.
const ExpiresSoon = 21 * 24 * time.Hour

// Dates says what is wrong with when the certificates of a file are valid, and what to do: wrong is what counts at now,
// soon what will.
func Dates(file string, list []*x509.Certificate, now time.Time) (wrong, soon []string) {
	for _, cert := range list {
		whose := fmt.Sprintf("%s: the certificate of %s", file, cert.Subject)
		switch {
		case now.After(cert.NotAfter):
			wrong = append(wrong, fmt.Sprintf("%s expired on %s; renew it", whose, Date(cert.NotAfter)))
		case now.Before(cert.NotBefore):
			wrong = append(wrong, fmt.Sprintf("%s is valid from %s only; is the clock of this machine right?", whose,
				Date(cert.NotBefore)))
		case cert.NotAfter.Sub(now) < ExpiresSoon:
			soon = append(soon, fmt.Sprintf("%s expires on %s; renew it", whose, Date(cert.NotAfter)))
		}
	}
	return wrong, soon
}

// Date writes a time for people anywhere.
func Date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
