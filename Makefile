# weir: one static binary, no cgo. `make demo` shows it at work, `make test` runs every check.
export CGO_ENABLED = 0

GO       ?= go
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -X main.version=$(VERSION)
FUZZTIME ?= 3s
SOAK     ?= 1h

.PHONY: build test lint unit race fuzz soak bench onnxruntime demo generate clean

build:
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/weir ./cmd/weir

test: lint unit race fuzz

lint:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'run gofmt -w .'; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	GOARCH=arm64 $(GO) vet ./internal/kernel/... ./nn/...

unit:
	$(GO) test ./...
	$(GO) test -tags purego ./internal/kernel ./nn/...

# The race detector needs cgo and a C compiler; the binary never does. .ci/run installs one.
race:
	@if command -v "$$($(GO) env CC)" >/dev/null; then \
	  set -x; CGO_ENABLED=1 $(GO) test -race -short ./...; \
	else \
	  echo 'NOT CHECKED for data races: the race detector needs a C compiler (apt-get install gcc libc6-dev)'; \
	fi

# A short run of every fuzz target, one after the other. What one finds is saved in testdata/fuzz.
# The go command now and then takes the end of -fuzztime itself for a failure: "context deadline
# exceeded" and no input that fails. That is the end of the time, not a find.
fuzz:
	@log=$$(mktemp) && trap 'rm -f $$log' EXIT && \
	grep -ro --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sort | while IFS=: read -r file target; do \
	  target=$${target#func }; \
	  echo "fuzz $$file $$target"; \
	  $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x "$${file%/*}" >$$log 2>&1 || \
	    { grep -qx '    context deadline exceeded' $$log && ! grep -qE 'Failing input|seed corpus|panic' $$log; } || \
	    { cat $$log; exit 1; }; \
	done

# What exported networks are compared with. The package needs none of its install scripts.
onnxruntime:
	npm ci --ignore-scripts --no-audit --no-fund --prefix nn/onnx/testdata/onnxruntime

# An interface watched for an hour, or SOAK=5m, under every kind of traffic and attack; needs root, see .ci/run for the rest.
soak:
	WEIR_REQUIRE=live SOAK=$(SOAK) $(GO) test ./cmd/weir -run '^TestSoak$$' -v -count 1 -timeout 0

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

generate:
	$(GO) generate ./...

demo: build
	./lab/demo.sh $(ARGS)

clean:
	rm -rf bin models
