# Ballast: make demo, make test; make help lists the rest.

GOLANGCI_VERSION := v2.6.2
TOOLS            := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ballast-tools
GOVULNCHECK_VERSION := v1.9.0
VULNDB_VERSION   := v0.0.0-20261105234957-e22db6528018
GOLANGCI         := $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION)/golangci-lint
FUZZTIME         ?= 60s

# XLA needs cgo, and cgo a C compiler; without one the pure Go engine is built by itself.
HAVE_CC := $(shell command -v $(or $(CC),cc) >/dev/null 2>&1 && echo yes)
ifneq ($(HAVE_CC),yes)
export CGO_ENABLED = 0
endif

# The Go engine's vector code; 20 % of a training step.
ifeq ($(shell go env GOARCH),amd64)
export GOEXPERIMENT = simd
endif

COMMIT  := $(shell git rev-parse --short=12 HEAD 2>/dev/null)$(shell test -z "$$(git status --porcelain 2>/dev/null)" || echo +dirty)
LDFLAGS := -X main.commit=$(COMMIT)

.PHONY: demo help test testdata build setup lint bench fuzz gallery writers signals kills walk race vuln clean

demo: setup ## train, audit, mend, audit again
	bin/ballast demo

help: ## what can be made
	@awk -F ':.*## ' -v most="$${COLUMNS:-80}" '/^[a-z]+:.*## / { line = sprintf("  %-9s", $$1); n = split($$2, words, " "); \
		for (i = 1; i <= n; i++) { if (length(line) + 1 + length(words[i]) > most) { print line; line = sprintf("  %-9s", "") } line = line " " words[i] } \
		print line }' $(firstword $(MAKEFILE_LIST))

test: setup testdata ## every test, on every engine that is here
	go test -timeout 20m ./...

build: ## the command, in bin/
	go build -ldflags '$(LDFLAGS)' -o bin/ballast ./cmd/ballast

setup: build ## the XLA plugin, where it can be had
	@bin/ballast engine install || echo "make: no XLA plugin here: the Go engine is used, which is slower" >&2
	@bin/ballast engine

lint: $(GOLANGCI) ## formatting, vet and the linters
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt would change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet ./...
	$(GOLANGCI) run ./...

$(GOLANGCI):
	GOBIN=$(dir $(GOLANGCI)) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

ONNX_TESTDATA := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ballast-onnx-testdata-1.12.0-2
ONNX_SHA256   := 7dc0912e02f79ece102331411a751b091bc0e191c9fb1287f8cdfbe5530f6027

testdata: ## the models of ONNX's own tests, from Debian, where they can be had
	@test -d $(ONNX_TESTDATA)/share || { tmp=$$(mktemp -d) && cd $$tmp && \
		curl -fsSLO http://deb.debian.org/debian/pool/main/o/onnx/libonnx-testdata_1.12.0-2_all.deb && \
		echo "$(ONNX_SHA256)  libonnx-testdata_1.12.0-2_all.deb" | sha256sum -c --quiet && \
		dpkg-deb -x libonnx-testdata_1.12.0-2_all.deb out && mkdir -p $(ONNX_TESTDATA) && cp -r out/usr/share $(ONNX_TESTDATA)/ && rm -rf $$tmp; } || \
		echo "make: no models of ONNX's tests here: the test of their coverage is left out" >&2

# Packages that open no engine, and two that do, on the Go engine: its matrix product fails the pointer checks (docs/upstream.md).
RACE_PACKAGES := ./format/... ./internal/... ./metric ./report ./calibrate ./merge ./merge/checkpoint ./merge/soup ./merge/signature ./merge/position ./fault ./data ./data/corrupt ./data/sample

race: build ## the race detector, where it can be had: it needs cgo
	@test "$$(go env CGO_ENABLED)" = 1 || { echo "make: no race detector without cgo" >&2; exit 0; }; \
	go test -race -short -timeout 10m $(RACE_PACKAGES) && \
		home=$$(mktemp -d) && trap 'rm -rf "$$home"' EXIT && \
		BALLAST_HOME=$$home go test -race -short -timeout 10m -gcflags=all=-d=checkptr=0 ./train ./lab

vuln: ## known weaknesses of what is built in, with the toolchain that go.mod names, by the copy of Go's database that is a module
	@export GOTOOLCHAIN=auto; \
	GOBIN=$(TOOLS) go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION) && \
		db=$$(cd $(TOOLS) && go mod download -json golang.org/x/vulndb@$(VULNDB_VERSION) | sed -n 's/.*"Dir": "\(.*\)".*/\1/p') && test -n "$$db" || \
		{ echo "make: govulncheck, its database or the toolchain cannot be had here: not checked" >&2; exit 0; }; \
	$(TOOLS)/govulncheck -db "file://$$db/data/osv" ./cmd/ballast

bench: setup ## benchmarks: checked first, timed after
	go test -run '^$$' -bench . -benchtime 1s ./...

fuzz: ## every reader, FUZZTIME each
	go test ./format/safetensors -run '^$$' -fuzz '^FuzzParse$$' -fuzztime $(FUZZTIME)
	go test ./format/npy -run '^$$' -fuzz '^FuzzParse$$' -fuzztime $(FUZZTIME)
	go test ./format/npy -run '^$$' -fuzz '^FuzzArchive$$' -fuzztime $(FUZZTIME)
	go test ./format/tfevents -run '^$$' -fuzz '^FuzzReader$$' -fuzztime $(FUZZTIME)
	go test ./format/gguf -run '^$$' -fuzz '^FuzzParse$$' -fuzztime $(FUZZTIME)
	go test ./format/gguf -run '^$$' -fuzz '^FuzzDecode$$' -fuzztime $(FUZZTIME)
	go test ./format/pytorch -run '^$$' -fuzz '^FuzzReader$$' -fuzztime $(FUZZTIME)
	go test ./format/tfjs -run '^$$' -fuzz '^FuzzManifest$$' -fuzztime $(FUZZTIME)
	go test ./format/hf -run '^$$' -fuzz '^FuzzConfig$$' -fuzztime $(FUZZTIME)
	go test ./format/hf -run '^$$' -fuzz '^FuzzCard$$' -fuzztime $(FUZZTIME)
	go test ./format/wordpiece -run '^$$' -fuzz '^FuzzParse$$' -fuzztime $(FUZZTIME)
	go test ./data -run '^$$' -fuzz '^FuzzIDX$$' -fuzztime $(FUZZTIME)
	go test ./data -run '^$$' -fuzz '^FuzzShards$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 5x
	go test ./data -run '^$$' -fuzz '^FuzzParquet$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 5x
	go test ./internal/picture -run '^$$' -fuzz '^FuzzDecode$$' -fuzztime $(FUZZTIME)
	go test ./merge/signature -run '^$$' -fuzz '^FuzzParse$$' -fuzztime $(FUZZTIME)
	go test ./format/onnx -run '^$$' -fuzz '^FuzzParse$$' -fuzztime $(FUZZTIME)
	go test ./format/onnx -run '^$$' -fuzz '^FuzzEdit$$' -fuzztime $(FUZZTIME)
	go test ./format/safetensors -run '^$$' -fuzz '^FuzzIndex$$' -fuzztime $(FUZZTIME)
	go test ./internal/zipread -run '^$$' -fuzz '^FuzzOpen$$' -fuzztime $(FUZZTIME)
	go test ./internal/strict -run '^$$' -fuzz '^FuzzDecode$$' -fuzztime $(FUZZTIME)
	go test ./internal/markdown -run '^$$' -fuzz '^FuzzText$$' -fuzztime $(FUZZTIME)
	go test ./format/decoder -run '^$$' -fuzz '^FuzzRead$$' -fuzztime $(FUZZTIME)
	go test ./format/decoder -run '^$$' -fuzz '^FuzzKeys$$' -fuzztime $(FUZZTIME)
	go test ./format/vocab -run '^$$' -fuzz '^FuzzRead$$' -fuzztime $(FUZZTIME)
	go test ./format/vocab -run '^$$' -fuzz '^FuzzFiles$$' -fuzztime $(FUZZTIME)
	go test ./merge/adapter -run '^$$' -fuzz '^FuzzOpen$$' -fuzztime $(FUZZTIME)
	go test ./data/preprocess -run '^$$' -fuzz '^FuzzParseConfig$$' -fuzztime $(FUZZTIME)

gallery: setup ## every hostile input against the real command, on every engine that is here
	BALLAST_GALLERY=all go test ./cmd/ballast -run '^TestGallery$$' -timeout 30m -v

signals: setup ## SIGINT, SIGTERM, SIGHUP and the second signal against every state of every verb
	BALLAST_SIGNALS=all go test ./cmd/ballast -run '^(TestSignals|TestDownloadsEndAtOnce)$$' -timeout 20m -v

writers: build ## every writing verb twice at once (20 rounds) and killed (50 moments)
	BALLAST_WRITERS=all go test ./cmd/ballast -run '^(TestTwoAtOnce|TestKilledWriters)$$' -timeout 60m -v

kills: ## a run with everything that an objective may have, killed at every boundary and at random moments, on every engine
	BALLAST_TEST_KILLS=all go test ./train -run '^TestProcedureKilled$$' -timeout 60m -v

walk: setup testdata ## every attribute of ONNX's schemas, every key and parameter of merges, every flag and refusal of every verb
	BALLAST_TEST_WALK=all go test ./onnxrun -run '^(TestWalk|TestCases|TestSchemas|TestFaults|TestTypePairs|TestHalf|TestCoverage)$$' -timeout 60m
	BALLAST_TEST_WALK=all go test ./merge/checkpoint -run Walk -timeout 30m -v
	BALLAST_TEST_WALK=all go test ./cmd/ballast -run '^(TestEveryFlag|TestUnusedFlags|TestRefusedChanges|TestMissingFile)' -timeout 30m

clean: ## remove what was built
	rm -rf bin
