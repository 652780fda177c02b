package forward

import (
	"crypto/tls"

	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/cmd/encase/datagrams"
	"github.com/encase-tls/encase/frame"
)

// readKeys reads the pre-shared keys of a side, nil if there are none.
func (r *sideReader) readKeys() *datagrams.Keys {
	file := r.text("psk_file")
	if file == "" {
		return nil
	}
	keys, err := datagrams.ReadKeys(file)
	if err != nil {
		r.wrong("psk_file", "%v", err)
		return nil
	}
	if n := keys.Shortest(); n < datagrams.GoodKey {
		r.doc.problems.Warn(r.at("psk_file"),
			"%s: a key has %d bytes and can be guessed; make one with: openssl rand -hex 32", file, n)
	}
	return keys
}

// readServerDTLS reads how what is accepted is wrapped; nil: it is plain.
func readServerDTLS(s *section, overStream bool) (*dtlsSide, faults) {
	r := sideReader{section: s, role: frame.Server}
	r.tls.ClientAuth = r.clientAuth()
	d := r.readDTLS(overStream)
	keys := r.readKeys()
	if d == nil {
		return nil, faults{}
	}
	if !r.has("cert") && !r.has("psk_file") {
		r.wrong("cert", "is missing: who accepts DTLS needs a certificate, or pre-shared keys: set %s", r.name("psk_file"))
	}
	r.tls.ClientCAs = r.roots
	r.checkClientAuth()
	if keys != nil {
		d.options.PSK = keys.Server()
		if r.tls.ClientAuth != tls.NoClientCert {
			r.wrong("psk_file", "lets clients without a certificate in; take it out, or %s", r.name("client_auth"))
		}
	}
	if r.tls.ClientAuth == tls.NoClientCert { // a session that is resumed shows no certificate
		d.options.Sessions = dtls.NewSessionStore(serverSessions, sessionLife)
	}
	return d, r.tryDTLS(d)
}

// readClientDTLS reads how what is connected is wrapped; nil: it is plain.
func readClientDTLS(s *section, addresses []address, overStream bool) (*dtlsSide, faults) {
	r := sideReader{section: s, role: frame.Client}
	r.tls.ServerName = r.text("server_name")
	answer := r.duration("answer_timeout", defaultAnswer, 0)
	d := r.readDTLS(overStream)
	keys, identity := r.readKeys(), r.text("psk_identity")
	if d == nil {
		return nil, faults{}
	}
	d.answer = answer
	r.tls.RootCAs = r.roots
	d.options.SendCID = d.cids && !overStream
	if len(r.rules.pins) == 0 { // a session that is resumed shows no certificate
		r.tls.ClientSessionCache = tls.NewLRUClientSessionCache(sessionsKept)
	}
	if r.has("psk_file") {
		r.useKey(d, keys, identity)
		r.tls.ServerName = commonHost(addresses) // by which sessions are remembered
	} else {
		r.chooseServerName(addresses)
	}
	if r.has("psk_identity") && !r.has("psk_file") {
		r.wrong("psk_identity", "has no effect without a key; set %s", r.name("psk_file"))
	}
	return d, r.tryDTLS(d)
}

// useKey takes the pre-shared key of a client.
func (r *sideReader) useKey(d *dtlsSide, keys *datagrams.Keys, identity string) {
	for _, key := range []string{"cert", "key", "ca", "server_name", "pins"} {
		if r.has(key) {
			r.wrong(key, "has no effect with %s: the key alone proves who both ends are; take one of the two out",
				r.name("psk_file"))
		}
	}
	if keys == nil {
		return
	}
	only, one := keys.Only()
	switch {
	case identity == "" && !one:
		r.wrong("psk_identity", "is missing: %s has %d keys; say whose to use", r.text("psk_file"), keys.Len())
		return
	case identity == "":
		identity = only
	case !keys.Has(identity):
		r.wrong("psk_identity", "%q is not in %s; add a line for it, or name another", identity, r.text("psk_file"))
		return
	}
	d.options.PSK, d.options.PSKIdentity = keys.Client(identity), []byte(identity)
}
