# make test sets up whatever is missing and passes every test; make check is the quick loop.

SHELL := bash
TOOLS := $(or $(KAKUNIN_TOOLS),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kakunin/tools)
export KAKUNIN_TOOLS := $(TOOLS)
export KAKUNIN_PYTHON := $(TOOLS)/venv/bin/python
API_SECONDS ?= $(if $(CI),90,40)
FUZZ_SECONDS ?= $(if $(CI),45,10)
# The whole sets that two tests read; without them they read samples.
DATA := $(if $(KAKUNIN_DATA),with the whole sets of KAKUNIN_DATA,on samples of the agent traces and of x509-limbo: \
KAKUNIN_DATA names a folder with the whole sets)

.PHONY: test check setup setup-bench bench bench-quick fuzz release

test: setup
	@echo "== tests: every crate, every feature"
	cargo test --workspace --all-features
	@echo "== tests: portable algorithms"
	cargo test -p kakunin-core -p kakunin-verify
	@echo "== the longer example"
	cargo run --release --example embedded
	@echo "== the demo: the story over the public API"
	cargo run --release -p kakunin-server -- demo
	@echo "== the README's lines for server and gateway"
	.ci/readme
	@echo "== the lines for gateways: nginx, Envoy, HAProxy, Caddy and Traefik"
	.ci/gateways
	@echo "== several servers over one database: examples/deploy"
	.ci/deploy
	@echo "== the API, attacked by its own description"
	.ci/api $(API_SECONDS)
	@echo "== light: what kakunin-verify pulls in, and wasm"
	.ci/light
	@echo "== fuzzing, $(FUZZ_SECONDS) s a target"
	.ci/fuzz $(FUZZ_SECONDS)
	@echo "== passed, $(DATA)"

check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	cargo test --workspace --lib
	RUSTFLAGS="--cfg fuzzing" cargo check --manifest-path kakunin-core/fuzz/Cargo.toml

setup:
	@echo "== setup"
	@.ci/setup

# The same, and what figures are compared with.
setup-bench:
	@echo "== setup"
	@.ci/setup bench

bench: setup-bench
	cargo bench -p kakunin-benches

bench-quick: setup-bench
	KAKUNIN_BENCH_QUICK=1 cargo bench -p kakunin-benches

# The server as it is shipped, and its lines beside it.
release:
	.ci/release

fuzz: setup
	.ci/fuzz $(FUZZ_SECONDS)
