# weir: one static binary, no cgo. `make demo` shows it at work, `make test` runs every check.
export CGO_ENABLED = 0

GO       ?= go
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -X main.version=$(VERSION)
FUZZTIME ?= 3s
SOAK     ?= 1h

.PHONY: build test lint unit race fuzz soak bench onnxruntime deb demo generate clean

# With the dashboard where Node and npm are there to build it; the API is in every weir.
NODE := $(shell command -v npm >/dev/null && node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' && echo yes)
build:
ifeq ($(NODE),yes)
	$(MAKE) ui
	$(GO) build -tags ui -trimpath -ldflags '$(LDFLAGS)' -o bin/weir ./cmd/weir
else
	@echo 'weir is built WITHOUT its dashboard, for want of Node 20.19 or later with npm; its API is there'
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/weir ./cmd/weir
endif

UI := web/ui
ui: $(UI)/dist/index.html
$(UI)/dist/index.html: $(UI)/node_modules/.package-lock.json $(UI)/index.html $(UI)/vite.config.ts $(UI)/tsconfig.json $(wildcard $(UI)/src/* $(UI)/public/*)
	cd $(UI) && npm run --silent check && npm run --silent build -- --logLevel warn
$(UI)/node_modules/.package-lock.json: $(UI)/package.json $(UI)/package-lock.json
	cd $(UI) && npm ci --no-audit --no-fund

test: lint unit race fuzz browser

lint:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'run gofmt -w .'; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	GOARCH=arm64 $(GO) vet ./internal/kernel/... ./nn/...

unit:
	$(GO) test -timeout 30m ./...
	$(GO) test -tags purego ./internal/kernel ./nn/...

# The race detector needs cgo and a C compiler; the binary never does. .ci/run installs one.
race:
	@if command -v "$$($(GO) env CC)" >/dev/null; then \
	  set -x; CGO_ENABLED=1 $(GO) test -timeout 30m -race -short ./...; \
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

# The Debian package, bin/weir_VERSION_ARCH.deb: make deb, make deb GOARCH=arm64. Everything in it bears the time of the commit, and the
# same commit gives the same bytes. Its manual pages are made by a weir for this machine.
OUT     ?= bin
PAGES   := $(OUT)/pages
NATIVE  := env -u GOOS -u GOARCH $(GO)
EPOCH   := $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null || date +%s))
DEBARCH := $(or $(DEBARCH),$(patsubst 386,i386,$(patsubst arm,armhf,$(or $(GOARCH),$(shell $(GO) env GOARCH)))))
TAGS    := $(if $(NODE),-tags ui)
deb: $(if $(NODE),ui)
	@$(if $(NODE),,echo 'the package is built WITHOUT the dashboard, for want of Node 20.19 or later with npm; its API is there')
	rm -rf $(PAGES) && mkdir -p $(PAGES)/man1 $(PAGES)/completions
	$(NATIVE) build $(TAGS) -trimpath -ldflags '$(LDFLAGS)' -o $(PAGES)/weir ./cmd/weir
	SOURCE_DATE_EPOCH=$(EPOCH) $(PAGES)/weir man $(PAGES)/man1
	for shell in bash zsh fish; do $(PAGES)/weir completion $$shell >$(PAGES)/completions/weir.$$shell || exit; done
	GOOS=linux $(GO) list $(TAGS) -deps -f '{{with .Module}}{{if .Version}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/weir | packaging/licences.sh >$(PAGES)/modules
	GOOS=linux $(GO) build $(TAGS) -trimpath -ldflags '-s -w $(LDFLAGS)' -o $(OUT)/$(DEBARCH)/weir ./cmd/weir
	SOURCE_DATE_EPOCH=$(EPOCH) packaging/deb.sh $(VERSION) $(DEBARCH) $(OUT)/$(DEBARCH)/weir $(PAGES) $(OUT)

# What exported networks are compared with. The package needs none of its install scripts.
onnxruntime:
	npm ci --ignore-scripts --no-audit --no-fund --prefix nn/onnx/testdata/onnxruntime

# An interface watched for an hour, or SOAK=5m, under every kind of traffic and attack; needs root, see .ci/run for the rest.
soak:
	WEIR_REQUIRE=live SOAK=$(SOAK) $(GO) test ./cmd/weir -run '^TestSoak$$' -v -count 1 -timeout 0

# The dashboard as a person uses it, in a real browser. .ci/run installs one, and says that it must be there.
browser:
ifeq ($(NODE),yes)
	$(MAKE) ui
	@command -v chromium >/dev/null || echo 'NOT CHECKED in a browser: there is no chromium'
	$(GO) vet -tags 'ui browser' ./web
	$(GO) test -tags 'ui browser' -timeout 9m ./web
else
	@case "$$WEIR_REQUIRE" in *browser*) echo 'no Node 20.19 or later with npm'; exit 1;; esac
	@echo 'NOT CHECKED: the dashboard, for want of Node 20.19 or later with npm'
endif

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

generate:
	$(GO) generate ./...

demo: build
	./lab/demo.sh $(ARGS)

clean:
	rm -rf bin models $(UI)/dist $(UI)/node_modules
