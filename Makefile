# The two commands a newcomer needs: make demo, make test. Each does all of its set-up.

SHELL := /bin/bash
GO ?= go
export GOFLAGS := -buildvcs=false $(GOFLAGS)

# The race detector needs cgo, and cgo a C compiler: make test installs one where it can.
RACE = $(shell command -v cc >/dev/null 2>&1 && echo -race)

# NODE=22 runs the functions of all tests on that version of Node.js instead of the PATH's.
ifdef NODE
export PATH := $(shell ./scripts/node.sh $(NODE)):$(PATH)
endif

.PHONY: demo test build lint bench soak setup fuzz clean

demo: build ## the story in one minute
	./bin/weir demo

# Without the race detector: pure logic, and what only drives other programs.
PURE = ./test/attacks ./internal/policy/... ./test/netlify ./test/packs ./test/sdks
# Lint has vetted the tests already, and nobody debugs their binaries. Those that run in parallel mostly wait.
TESTFLAGS = -vet=off -ldflags='-s -w' $(if $(ZYGOTE),-tags weirzygote) -timeout 10m -parallel 4

test: setup build lint ## all tests
	@[ -n "$(RACE)" ] || echo "make test: no C compiler, so the race detector is off and the native probes are skipped"
	$(GO) test $(TESTFLAGS) $(PURE)
	$(GO) test $(TESTFLAGS) $(RACE) $$($(GO) list ./... | grep -vE '/internal/policy(/|$$)|/test/(attacks|netlify|packs|sdks)$$')

build: bin/weir ## bin/weir, with the small init built in

# The init is built apart, static and small, and embedded under the tag weirinit. Without it the
# binary would re-execute itself: correct, but slower to start. The addon by which Node.js is forked
# is embedded under the tag weirzygote. Without it, or a C compiler, each instance is started anew.
ZYGOTE = $(shell command -v cc >/dev/null 2>&1 && echo ,weirzygote)

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)

.PHONY: bin/weir
bin/weir:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o internal/sandbox/weir-init.bin ./cmd/weir-init
	@[ -n "$(ZYGOTE)" ] && $(ADDON) || echo "make build: no C compiler, so instances can't be forked and start more slowly"
	CGO_ENABLED=0 $(GO) build -trimpath -tags weirinit$(ZYGOTE) -ldflags='-X github.com/weir-run/weir/internal/weir.version=$(VERSION)' -o bin/weir ./cmd/weir

ADDON = cc -O2 -Wall -Wextra -Werror -std=gnu11 -fPIC -shared -s -Wl,-z,now -o internal/sandbox/zygote/fork.node internal/sandbox/zygote/addon/fork.c

lint: ## vet, staticcheck, formatting, tidiness
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "gofmt these: $$out"; exit 1; }
	$(GO) mod tidy -diff

bench: build ## every benchmark, with ratios; BENCH=-quick for a first look
	./bench/run.sh $(BENCH)

soak: build ## an hour of load and attacks, SOAK=10m for less; and 10,000 invocations that end in every way; 100 kills of servers
	WEIR_SOAK=$${SOAK:-1h} $(GO) test -timeout 3h -count=1 -run 'Soak|Killed' -v ./test/... ./internal/jobs ./internal/store/natsstore

FUZZTIME ?= 30s
fuzz: ## every fuzz target for FUZZTIME
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep ^Fuzz); do \
	    echo "== $$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
	  done; \
	done

setup:
	@./scripts/setup.sh

clean:
	rm -rf bin internal/sandbox/weir-init.bin internal/sandbox/zygote/fork.node
