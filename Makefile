# weir: one static binary, no cgo. `make demo` shows it at work, `make test` runs every check.
export CGO_ENABLED = 0

GO       ?= go
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -X main.version=$(VERSION)
FUZZTIME ?= 5s

.PHONY: build test lint unit race fuzz bench demo generate clean

build:
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/weir ./cmd/weir

test: lint unit race fuzz

lint:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'run gofmt -w .'; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	GOARCH=arm64 $(GO) vet ./...

unit:
	$(GO) test ./...
	$(GO) test -tags purego ./internal/kernel ./nn/...

# The race detector needs cgo and a C compiler; the binary never does.
race:
	CGO_ENABLED=1 $(GO) test -race -short ./...

# A short run of every fuzz target, one after the other.
fuzz:
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "fuzz $$pkg $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg >$${TMPDIR:-/tmp}/weir-fuzz.log 2>&1 || { cat $${TMPDIR:-/tmp}/weir-fuzz.log; exit 1; }; \
	  done; \
	done

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

generate:
	$(GO) generate ./...

demo: build
	./lab/demo.sh $(ARGS)

clean:
	rm -rf bin models
