# What this project promises, as commands. `make test` keeps every promise but speed; the other
# targets are its parts, to be run alone while working.
#
#   make build    bin/latchkey, without cgo
#   make test     everything below except bench, after installing what it needs
#   make lint     formatting, vet, staticcheck, module checksums, known vulnerabilities
#   make unit     Go tests under the race detector, on SQLite and on a throw-away PostgreSQL
#   make clients  every package below test/: other people's clients, the pages in a browser
#   make fuzz     every fuzz target for FUZZTIME
#   make security-map   docs/security.md: which test holds which security rule
#   make bench    the lines of docs/performance.md, measured here and now
#   make chaos    the lines of docs/reliability.md: processes, databases and disks are broken on purpose
#   make settings what operating.md says of every setting
#   make third-party    THIRD_PARTY_LICENSES: whose code is in the binaries, and on which terms
#   make release  dist/: static binaries for six platforms, archives, bills of materials, SHA256SUMS; VERSION=v1.2.3
#   make release-check  build them all twice, the second time elsewhere and from nothing, and compare the bytes
#   make clean    what the above left behind

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS   += --no-print-directory
.DEFAULT_GOAL := build
.NOTPARALLEL:
.PHONY: build test need lint verify unit clients fuzz security-map settings third-party release release-check bench chaos clean

# Tools that are programs and not libraries stay out of go.mod: they are run at these versions.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.1
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

# SQLite is C that was translated, and works in memory of its own, which the race detector does not know and passes over:
# there it finds nothing and takes three quarters of the time of all tests. Its driver, and all of ours, is watched.
UNWATCHED := -gcflags=modernc.org/sqlite/lib=-race=false -gcflags=modernc.org/libc/...=-race=false

# A first look at every fuzz target belongs to each test run; a long one is `make fuzz FUZZTIME=10m`.
FUZZTIME ?= 60s

build:
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o bin/latchkey ./cmd/latchkey

test: need build lint unit clients
	@$(MAKE) fuzz FUZZTIME=2s
	@echo "make test: everything passed"

# With CI=true a tool that is missing and cannot be installed fails here; elsewhere its tests skip.
need:
	@tools/need c-compiler postgres curl openssl node chromium java systemd kannel

lint: verify
	@unformatted="$$(git ls-files '*.go' | xargs -r gofmt -l)"; \
	  if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go run $(STATICCHECK) ./...
	@tools/vulncheck $(GOVULNCHECK)

verify:
	go mod verify

unit:
	tools/with-postgres go test -race $(UNWATCHED) -timeout 15m ./...

# Each is a module or a package of its own, so that none of it is a dependency of ours, and each takes the
# built binary for what it is.
clients: build
	@tools/clients

fuzz:
	@tools/fuzz $(FUZZTIME)

security-map:
	go test ./docs -run TestSecurityMap -update
	@sed -n '/^## What is missing/,$$p' docs/security.md

chaos: build
	go run ./chaos -write docs/reliability.md

settings:
	go test ./docs -run TestEverySetting -update

third-party:
	go run ./tools/release third-party -write

# Without VERSION it is the tag of the commit.
release:
	go run ./tools/release build $(VERSION)

release-check:
	go test ./tools/release -run TestS88 -count=1 -timeout 60m -whole

bench: build
	go run ./bench -write docs/performance.md

clean:
	rm -rf bin dist test/*/node_modules test-artifacts
