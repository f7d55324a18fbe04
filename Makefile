# Ballast: make demo, make test. Nothing else is needed by hand.

GOLANGCI_VERSION := v2.6.2
TOOLS            := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ballast-tools
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

.PHONY: demo test build setup lint bench fuzz clean

demo: setup ## train, audit, mend, audit again
	bin/ballast demo

test: setup ## every test, on every engine that is here
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

bench: setup ## benchmarks: checked first, timed after
	go test -run '^$$' -bench . -benchtime 1s ./...

fuzz: ## every reader, FUZZTIME each
	go test ./format/safetensors -run '^$$' -fuzz '^FuzzParse$$' -fuzztime $(FUZZTIME)
	go test ./format/npy -run '^$$' -fuzz '^FuzzParse$$' -fuzztime $(FUZZTIME)
	go test ./format/tfevents -run '^$$' -fuzz '^FuzzReader$$' -fuzztime $(FUZZTIME)
	go test ./data -run '^$$' -fuzz '^FuzzIDX$$' -fuzztime $(FUZZTIME)

clean:
	rm -rf bin
