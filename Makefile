# oncue. `make help` lists what can be made.
SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help

# Of the commit: a release is the same whoever makes it, whenever.
# Before the first tag, and so that the version of a later commit is the higher one: its time, and how many came before it.
VERSION ?= $(shell git describe --tags --match 'v[0-9]*' 2>/dev/null | sed 's/^v//; s/-/+/' | grep . || \
	TZ=UTC git log -1 --date=format-local:%Y%m%d%H%M%S --format="0.0.0~%cd.$$(git rev-list --count HEAD).%h")
COMMIT := $(shell git rev-parse HEAD)
DATE := $(shell TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd)

# What the tests use beside Go: PROGRAM=DEBIAN-PACKAGES. A test whose program is missing skips itself and says so.
NEEDS := gcc=gcc,libc6-dev ffmpeg,ffprobe=ffmpeg obs=obs-studio,obs-plugins Xvfb=xvfb chromium-headless-shell=chromium-headless-shell \
	cvlc=vlc-bin,vlc-plugin-base systemd-analyze=systemd gst-launch-1.0=gstreamer1.0-tools,gstreamer1.0-plugins-base,gstreamer1.0-plugins-good,gstreamer1.0-plugins-bad,gstreamer1.0-plugins-ugly \
	systemd-nspawn=systemd-container debootstrap=debootstrap lintian=lintian \
	podman=podman dbus-daemon,/lib/systemd/system/dbus.socket=dbus pkcheck=polkitd python3=python3 php=php-cli node=nodejs

.PHONY: help test needs demo build man bench chaos release deb clean

help: ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1\t\2/p' Makefile | expand -t 16

test: needs ## install what the tests need (apt), and run every check and every test
	@{ .ci/check gofmt gofmt -l . ; \
	   .ci/check width .ci/width ; \
	   .ci/check vet go vet ./... ; \
	   .ci/check staticcheck go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./... ; \
	   go test -json -race -timeout 25m ./... ; \
	   ONCUE_CHAOS=1 go test -json -timeout 15m -run '^TestChaos$$' ./cmd/oncue/systemtest ; \
	   go test -json -timeout 10m -run '$(PROPERTIES)' ./controller/machine -args -rapid.checks=$(CASES) -rapid.seed=$(SEED) ; \
	   go test -json -timeout 10m -run '^TestRedundantIngest$$' ./controller/runner -args -interleavings=$(INTERLEAVINGS) ; \
	 } 2>&1 | go run .ci/tally.go

# Properties of the machine, and of main and backup beside each other, once more, with a number of cases for which the race detector
# is too slow: the same cases each time, so that a change is judged by what it changes. SEED=0 searches elsewhere.
PROPERTIES := ^Test(Confluence|TruthWithPolls|Served|Caps|Holds|Kills|Pure)$$
CASES ?= 15000
SEED ?= 1
INTERLEAVINGS ?= 500

needs:
	@.ci/packages $(NEEDS)

demo: ## the whole thing on this machine: a simulated platform, a real FFmpeg, a dashboard
	go run ./cmd/oncue demo --install

build: ## ./oncue, for this machine
	go build -o oncue ./cmd/oncue

# A release is dist/: for each architecture that a compiler is there for, a binary, a Debian package and a bill of materials, and SHA256SUMS.
DIST ?= dist
HOST := $(shell go env GOARCH)
ARCHES := $(HOST) $(if $(shell command -v aarch64-linux-gnu-gcc),$(filter-out $(HOST),arm64))
CC_arm64 := $(if $(filter-out arm64,$(HOST)),aarch64-linux-gnu-gcc,gcc)
NFPM := go run github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
CYCLONEDX := go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

release: deb ## what is published: binaries, packages, bills of materials, checksums, the same bytes each time
	@cd $(DIST) && find . -maxdepth 1 -type f -name 'oncue*$(VERSION)*' -printf '%P\n' | LC_ALL=C sort | xargs sha256sum > SHA256SUMS && cat SHA256SUMS

deb: $(ARCHES:%=deb-%) ## the Debian packages

deb-%: binary-% man
	@stage=$(DIST)/stage/$*; mkdir -p $$stage; cp -r $(DIST)/stage/man $(DIST)/stage/completion $$stage/
	@cp $(DIST)/oncue-$(VERSION)-linux-$* $(DIST)/stage/$*/oncue
	@cp $(DIST)/oncue-$(VERSION)-linux-$*.cdx.json $(DIST)/stage/$*/sbom.cdx.json
	@gzip -9nc $(DIST)/stage/licenses-$*/NOTICE > $(DIST)/stage/$*/NOTICE.gz; cp $(DIST)/stage/licenses-$*/copyright $(DIST)/stage/$*/
	@git log -1 --date='format:%a, %d %b %Y %H:%M:%S %z' --format='oncue ($(VERSION)) stable; urgency=medium%n%n  * Built from commit %H.%n%n -- The oncue authors <oncue@users.noreply.github.com>  %cd' | \
		gzip -9n > $(DIST)/stage/$*/changelog.gz
	@ARCH=$* VERSION='$(VERSION)' STAGE=$(DIST)/stage/$* SOURCE_DATE_EPOCH=$$(date -d $(DATE) +%s) \
		$(NFPM) package --config systemd/nfpm.yaml --packager deb --target '$(DIST)/oncue_$(VERSION)_$*.deb'

binary-%:
	@mkdir -p $(DIST)
	CGO_ENABLED=1 GOOS=linux GOARCH=$* CC=$(or $(CC_$*),gcc) CGO_CFLAGS='-O2 -fstack-protector-strong -D_FORTIFY_SOURCE=2' \
		go build -trimpath -buildvcs=true -buildmode=pie -tags sqlite_omit_load_extension -o $(DIST)/oncue-$(VERSION)-linux-$* \
		-ldflags "-s -w -buildid= -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE) -linkmode=external -extldflags '-Wl,-z,relro,-z,now,--build-id=none'" ./cmd/oncue
	@$(CYCLONEDX) bin -json -noserial -notimestamp -version '$(VERSION)' -output $(DIST)/oncue-$(VERSION)-linux-$*.cdx.json $(DIST)/oncue-$(VERSION)-linux-$* 2>/dev/null
	@mkdir -p $(DIST)/stage/licenses-$*
	@go run .ci/licenses.go $(DIST)/oncue-$(VERSION)-linux-$* $(DIST)/stage/licenses-$*

man: binary-$(HOST) ## manual pages and completions, in dist/stage
	@rm -rf $(DIST)/stage/man && mkdir -p $(DIST)/stage/man $(DIST)/stage/completion
	@SOURCE_DATE_EPOCH=$$(date -d $(DATE) +%s) $(DIST)/oncue-$(VERSION)-linux-$(HOST) man $(DIST)/stage/man && gzip -9n $(DIST)/stage/man/*.1
	@for shell in bash zsh fish; do $(DIST)/oncue-$(VERSION)-linux-$(HOST) completion $$shell > $(DIST)/stage/completion/$$shell; done

bench: needs ## measure: hooks, starts, decisions
	go test ./cmd/oncue/systemtest -count 1 -timeout 30m -run TestBenchTable -v -bench-table

CHAOS ?= 1m
chaos: needs ## break things at random for CHAOS (1m), the same for the same SEED (1)
	go test ./cmd/oncue/systemtest -count 1 -timeout 0 -run TestChaos -v -chaos=$(CHAOS) -chaos.seed=$(SEED)

clean: ## remove what was built
	rm -rf oncue dist
