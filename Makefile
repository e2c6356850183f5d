# The commands that people type. Everything else is plain cargo, after `make setup`.

DEMO_DIR ?= demo

# Only bash hands a word to a file that it sources.
SHELL := bash

# Sources where a private FFmpeg is, if there is one.
CARGO = . scripts/env.sh && cargo
CARGO_FOR_TESTS = . scripts/env.sh encoders && cargo

.PHONY: setup build demo test check bench bench-full bench-limits gpu-check interop recall states scan-speed clean-demo soak scale ci deny typos dist setup-tests tui-bench picture

setup: ## install what the build lacks: FFmpeg, libtorch
	@scripts/setup.sh

setup-tests:
	@scripts/setup.sh --tests

build: setup ## build all programs, optimised
	$(CARGO) build --release

demo: build ## make a small dataset, run the main job on it, check what came of it
	target/release/reeldeck demo --dir $(DEMO_DIR)

# A test needs the programs of all packages; cargo builds them with the tests of the whole workspace.
test: setup-tests ## all tests, with cargo-nextest where it is installed
	if cargo nextest --version >/dev/null 2>&1; then \
	  $(CARGO_FOR_TESTS) nextest run --workspace && $(CARGO_FOR_TESTS) test --workspace --doc; \
	else $(CARGO_FOR_TESTS) test --workspace; fi

check: setup ## what CI checks besides the tests
	cargo fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	export RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links"; \
	  $(CARGO) doc --workspace --no-deps --document-private-items

ci: ## all that CI checks, in its order
	@.ci/run

deny: ## licences, advisories and duplicates of all dependencies; needs cargo-deny
	cargo deny --workspace check

typos: ## spelling; needs typos-cli
	typos

dist: ## one archive that runs on other distributions: programs, FFmpeg inside, libtorch beside
	@scripts/dist.sh

bench: build ## MMAction2 and reeldeck side by side, then each stage against its own limit; some twenty minutes on a quiet machine
	@scripts/bench.sh

bench-full: build ## the same on 32 videos with all clips: more than a day on two cores
	@scripts/bench.sh --full

bench-limits: build ## each stage against its own limit alone
	$(CARGO) bench -p reeldeck-worker --bench table

gpu-check: build ## on a machine with a GPU: is it right there, then how fast, beside MMAction2
	@scripts/gpu-check.sh

soak: setup-tests ## a thousand kills of the engine, its workers, and both; takes half an hour
	$(CARGO_FOR_TESTS) build --workspace --bins --examples
	export REELDECK_KILLS=1000; $(CARGO_FOR_TESTS) test --test program soak:: -- --nocapture

scale: setup-tests ## what 5,000, 50,000 and 1,000,000 videos cost the engine
	$(CARGO_FOR_TESTS) build --workspace --bins --examples
	$(CARGO_FOR_TESTS) test --test program scale:: -- --ignored --nocapture

tui-bench: setup-tests ## what the terminal interface costs: frames, memory, bytes, latency
	$(CARGO_FOR_TESTS) build --release --workspace --bins --examples
	$(CARGO_FOR_TESTS) test --release -p reeldeck --lib tui::tests::figures -- --ignored --nocapture
	$(CARGO_FOR_TESTS) test --release -p reeldeck --test program tui::figures:: -- --ignored --nocapture

picture: build ## the pictures of the screen in the README, from a real run
	$(CARGO) build --release --example screenshot
	@scripts/screenshot

interop: setup ## reeldeck's exports in the hands of those who are to read them: MMAction2, NumPy, h5py, …
	@scripts/interop.sh

recall: setup ## how much damage each level of the probe finds, and what it costs; takes some minutes
	$(CARGO) run --release -p reeldeck-probe --example recall

states: build ## which state a scan gives to which file
	@scripts/states.py

scan-speed: build ## how fast 50,000 files are scanned, against ffprobe in a loop
	@scripts/scan_speed.py

clean-demo:
	rm -rf $(DEMO_DIR)
