# oncue. `make help` lists what can be made.
SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --match 'v*' --always 2>/dev/null | sed 's/^v//' || echo devel)

# What the tests use beside Go: PROGRAM=DEBIAN-PACKAGES. A test whose program is missing skips itself and says so.
NEEDS := gcc=gcc,libc6-dev ffmpeg,ffprobe=ffmpeg obs=obs-studio,obs-plugins Xvfb=xvfb chromium-headless-shell=chromium-headless-shell \
	cvlc=vlc-bin,vlc-plugin-base systemd-analyze=systemd debootstrap=debootstrap

.PHONY: help test needs demo build man bench chaos release deb clean

help: ## this list
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/make \1\t\2/p' Makefile | expand -t 16

test: needs ## install what the tests need (apt), and run every check and every test
	@{ .ci/check gofmt gofmt -l . ; \
	   .ci/check vet go vet ./... ; \
	   .ci/check staticcheck go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./... ; \
	   go test -json -race -timeout 10m ./... ; \
	   go test -json -timeout 10m -run '$(PROPERTIES)' ./controller -args -rapid.checks=$(CASES) ; \
	 } 2>&1 | go run .ci/tally.go

# The machine's properties once more, with a number of cases each for which the race detector is too slow.
PROPERTIES := ^Test(Confluence|TruthWithPolls|Served|Caps|Holds|Kills|Pure)$$
CASES ?= 15000

needs:
	@.ci/packages $(NEEDS)

demo: ## the whole thing on this machine: a simulated platform, a real FFmpeg, a dashboard
	go run ./cmd/oncue demo --install

build: ## ./oncue
	go build -o oncue ./cmd/oncue

bench: needs ## measure: hooks, starts, decisions
	go test ./cmd/oncue -count 1 -timeout 30m -run TestBenchTable -v -bench-table

CHAOS ?= 1m
SEED ?= 1
chaos: needs ## break things at random for CHAOS (1m), the same for the same SEED (1)
	go test ./cmd/oncue -count 1 -timeout 0 -run TestChaos -v -chaos=$(CHAOS) -chaos.seed=$(SEED)

clean: ## remove what was built
	rm -rf oncue dist
