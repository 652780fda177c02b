module github.com/encase-tls/encase

go 1.26.0

require github.com/valyala/bytebufferpool v1.0.0

require golang.org/x/net v0.62.0 // indirect
