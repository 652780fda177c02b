# encase. `make demo` shows the main job, `make test` proves it; `make help` lists the rest.
GO      ?= go
BIN     := bin
FUZZ    ?= 30s
COUNT   ?= 5
PREFIX  ?= /usr/local
PKGS    := ./...
# Those whose tests take longest begin first. Tests wait more than they compute, so more run at once than there are
# processors.
SLOW    := ./tun ./cmd/encase/forward ./cmd/encase/packaging
AT_ONCE := 4
# A module of its own, which ./... leaves out.
NESTED  := bio/dtls/pionv2

.PHONY: help bench-tunnel build demo test race soak check fuzz bench vectors man install deb rpm clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

build: ## bin/encase
	$(GO) build -trimpath -o $(BIN)/encase ./cmd/encase

demo: build ## TLS in a framed protocol over loopback, as a picture and beside plain TLS
	$(BIN)/encase demo

test: ## all tests but the race detector's: under five minutes on two cores
	$(GO) vet $(PKGS)
	$(GO) test -p $(AT_ONCE) -shuffle=on -timeout 10m $(SLOW) $(PKGS)
	cd $(NESTED) && $(GO) vet ./... && $(GO) test -shuffle=on -timeout 10m ./...

race: ## the same under the race detector
	$(GO) test -race -shuffle=on -timeout 15m $(PKGS)
	cd $(NESTED) && $(GO) test -race -shuffle=on -timeout 10m ./...

soak: ## tests at their full size: floods, thousands of peers
	ENCASE_SOAK=1 $(GO) test -timeout 60m $(PKGS)

check: ## modules tidy, vectors as generated
	$(GO) mod verify
	$(GO) mod tidy -diff
	cd $(NESTED) && $(GO) mod verify && $(GO) mod tidy -diff
	$(MAKE) --no-print-directory vectors
	git diff --exit-code -- spec

fuzz: ## each fuzz target for FUZZ (30s)
	@FUZZ=$(FUZZ) GO=$(GO) .ci/fuzz $(PKGS)
	@cd $(NESTED) && FUZZ=$(FUZZ) GO=$(GO) $(CURDIR)/.ci/fuzz ./...

bench: ## side by side with OpenSSL, crypto/tls, pion, stunnel4 and socat; parts: bio/bench/run.sh
	COUNT=$(COUNT) GO=$(GO) bash bio/bench/run.sh

bench-tunnel: ## tunnels side by side, in namespaces; root only: tun/bench/run.sh
	GO=$(GO) bash tun/bench/run.sh

vectors: ## write spec/vectors anew
	$(GO) run ./spec/vectors/gen

man: build ## man pages into man/
	@mkdir -p man
	$(BIN)/encase man man

install: build man ## the command and its man pages into PREFIX (/usr/local)
	install -D -m 755 $(BIN)/encase $(DESTDIR)$(PREFIX)/bin/encase
	for page in man/*.[158]; do \
	  install -D -m 644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$$(basename $$page); done

deb: ## a Debian package in bin/; VERSION= sets its version, GOARCH= the machine
	GO=$(GO) VERSION=$(VERSION) sh cmd/encase/packaging/build.sh $(BIN) deb

rpm: ## likewise, for Fedora and its like
	GO=$(GO) VERSION=$(VERSION) sh cmd/encase/packaging/build.sh $(BIN) rpm

clean: ## what was built
	rm -rf $(BIN) man
