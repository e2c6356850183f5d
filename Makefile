# Shortcuts. After `make setup`, plain cargo commands work as well.

DEMO_DIR ?= demo

# scripts/env.sh takes an argument when it is sourced, which only bash supports.
SHELL := bash

# With the private FFmpeg, if there is one.
CARGO = . scripts/env.sh && cargo
CARGO_FOR_TESTS = . scripts/env.sh encoders && cargo

.PHONY: setup build demo test check bench bench-full bench-limits gpu-check interop recall containers states scan-speed clean-demo attack soak scale ci deny typos dist setup-tests tui-bench picture

setup: ## install the libraries that the build needs: FFmpeg, libtorch
	@scripts/setup.sh

setup-tests:
	@scripts/setup.sh --tests

build: setup ## build all programs in release mode
	$(CARGO) build --release

demo: build ## create a small dataset, process it, check the result
	target/release/reeldeck demo --dir $(DEMO_DIR)

# Some tests start the programs of other packages; cargo builds these with the tests of the whole workspace.
# Most tests wait for processes, clocks and disks most of the time, so three times as many run as there are cores.
test: export NEXTEST_TEST_THREADS = $(shell echo $$((3 * $$(nproc))))
test: export RUST_TEST_THREADS = $(NEXTEST_TEST_THREADS)
test: setup-tests ## all tests, with cargo-nextest where it is installed
	if cargo nextest --version >/dev/null 2>&1; then \
	  $(CARGO_FOR_TESTS) nextest run --workspace && $(CARGO_FOR_TESTS) test --workspace --doc; \
	else $(CARGO_FOR_TESTS) test --workspace; fi

check: setup ## formatting, lints, documentation
	cargo fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	export RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links"; \
	  $(CARGO) doc --workspace --no-deps --document-private-items

ci: ## everything that CI runs
	@.ci/run

deny: ## licences, advisories and duplicates of dependencies; needs cargo-deny
	cargo deny --workspace check

typos: ## spelling; needs typos-cli
	typos

dist: ## a portable archive: the programs with FFmpeg, and libtorch
	@scripts/dist.sh

bench: build ## compare with MMAction2, then each stage with its own limit; 20 minutes on an idle machine
	@scripts/bench.sh

bench-full: build ## the same on 32 videos with all clips; more than a day on two cores
	@scripts/bench.sh --full

bench-limits: build ## only compare each stage with its own limit
	$(CARGO) bench -p reeldeck-worker --bench table

gpu-check: build ## on a machine with a GPU: check the results, then measure beside MMAction2
	@scripts/gpu-check.sh

soak: setup-tests ## kill the engine and its workers a thousand times; half an hour
	$(CARGO_FOR_TESTS) build --workspace --bins --examples
	export REELDECK_KILLS=1000; $(CARGO_FOR_TESTS) test --test program soak:: -- --nocapture

attack: setup-tests ## let every system call fail in turn, in each command; an hour
	$(CARGO_FOR_TESTS) build --workspace --bins --examples
	$(CARGO_FOR_TESTS) test --test program attack:: -- --ignored --nocapture

scale: setup-tests ## measure the engine with 5,000, 50,000 and 1,000,000 videos
	$(CARGO_FOR_TESTS) build --workspace --bins --examples
	$(CARGO_FOR_TESTS) test --test program scale:: -- --ignored --nocapture

tui-bench: setup-tests ## measure the terminal interface: frames, memory, bytes, latency
	$(CARGO_FOR_TESTS) build --release --workspace --bins --examples
	$(CARGO_FOR_TESTS) test --release -p reeldeck --lib tui::tests::figures -- --ignored --nocapture
	$(CARGO_FOR_TESTS) test --release -p reeldeck --test program tui::figures:: -- --ignored --nocapture

picture: build ## draw the screenshots in the README from a real run
	$(CARGO) build --release --example screenshot
	@scripts/screenshot

interop: setup ## read the exports with MMAction2, NumPy, h5py, …
	@scripts/interop.sh

recall: setup ## measure how much damage each probe level finds, and its cost; some minutes
	$(CARGO) run --release -p reeldeck-probe --example recall

containers: setup-tests ## list the frames and the verdict for each container and each kind of file
	$(CARGO_FOR_TESTS) test -p reeldeck-video --test suite containers::print_the_table -- --ignored --nocapture

states: build ## list the state that a scan gives to each kind of file
	@scripts/states.py

scan-speed: build ## measure a scan of 50,000 files beside a loop over ffprobe
	@scripts/scan_speed.py

clean-demo:
	rm -rf $(DEMO_DIR)
