# Commands for newcomers: `make demo`, `make test` and `make bench`. They install what
# they need themselves, or say precisely what to install.

export ONLY QUICK HUGE RUNS SEED PEERS
CARGO ?= cargo
EXAMPLES := stars milestones triage ci-watch audit-trail follow-up no-sdk reviews notify environments
# The same in other languages: their compilers come from PyPI and npm.
LANGUAGES := wiki deploys protection reviews-py reviews-ts reviews-c notify-ts
# Of these, what needs a server beside the host: a chat, PostgreSQL.
NEEDY := notify environments
COMPONENTS := target/components

GUESTS := tests/guests/tally tests/guests/scores
# What the tests of the languages look at.
SPEAKERS := dice-c dice-python dice-typescript scores-c scores-python scores-typescript notice-c notice-python notice-typescript

.PHONY: demo test soak fuzz bench bench-smoke ci components languages host toolchain servers fmt clippy doc clean

## The main job on the embedded default, with real events.
demo: components
	@tools/demo.sh $(filter-out $(NEEDY),$(EXAMPLES))

## Every test, on SQLite and embedded stream as well as PostgreSQL and NATS.
# Servers first: they bring pip where it is missing.
test: HOST := --workspace --all-targets
test: components servers languages
	@tools/say.sh "tests of the host (real PostgreSQL and NATS, in temporary folders)"
	$(CARGO) test --workspace --no-fail-fast
	@tools/say.sh "tests of the example handlers, compiled natively"
	cd examples && $(CARGO) test --quiet

## Every fault under load, for longer than the tests do: make soak MINUTES=10 SEED=7
MINUTES ?= 10
SEED ?= 1
soak: components servers
	@tools/say.sh "soak of $(MINUTES) minutes, seed $(SEED)"
	QX_SOAK_MINUTES=$(MINUTES) QX_SEED=$(SEED) $(CARGO) test -p acceptance --test suites -- --nocapture soak::

## Looks for inputs that make a door of the host panic: make fuzz TARGET=envelope SECONDS=600
SECONDS ?= 60
fuzz:
	@tools/fuzz.sh "$(TARGET)" "$(SECONDS)"

## The host beside the raw limits of this machine and beside its predecessor.
## `make bench QUICK=1`, `make bench ONLY=relay,consumer`; more in tools/bench.sh.
bench: toolchain servers
	@tools/bench.sh

## Whether the bench works: a few events for each section, nothing timed.
bench-smoke: toolchain servers
	@tools/say.sh "smoke of the benchmark"
	@SMOKE=1 tools/bench.sh

## What CI runs: formatting, lints, docs, the tests above, and whether the bench still works.
ci: fmt clippy doc test bench-smoke

fmt:
	@tools/say.sh "formatting"
	$(CARGO) fmt --all --check
	cd examples && $(CARGO) fmt --all --check

clippy:
	@tools/say.sh "lints"
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	cd examples && $(CARGO) clippy --workspace --all-targets -- -D warnings

doc:
	@tools/say.sh "documentation"
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

## The example handlers as components, in target/components.
components: host toolchain
	@tools/components.sh $(COMPONENTS) $(EXAMPLES:%=examples/%) $(GUESTS)

## Those in other languages. Fetches what compiles them, once.
languages: host
	@tools/components.sh $(COMPONENTS) $(LANGUAGES:%=examples/%) $(SPEAKERS:%=tests/guests/%)

# The tests build it together with everything else: alone it has dependencies with fewer
# features, and those would all be compiled twice.
HOST := -p qx-host
host:
	@tools/say.sh "the host (about five minutes the first time)"
	$(CARGO) build $(HOST)

## What compiles Rust to wasm on this machine.
toolchain:
	@tools/guest-toolchain.sh

## PostgreSQL and nats-server for the tests.
servers:
	@tools/test-servers.sh

clean:
	rm -rf target examples/target
