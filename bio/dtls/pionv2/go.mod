module github.com/encase-tls/encase/bio/dtls/pionv2

go 1.26.0

require (
	github.com/encase-tls/encase v0.0.0-00010101000000-000000000000
	github.com/pion/dtls/v2 v2.2.12
	github.com/pion/logging v0.2.4
	github.com/pion/transport/v2 v2.2.4
)

require (
	github.com/pion/dtls/v3 v3.1.15 // indirect
	github.com/pion/transport/v5 v5.0.0 // indirect
	github.com/valyala/bytebufferpool v1.0.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/encase-tls/encase => ../../..
