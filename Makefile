# The commands that people type. Everything else is plain cargo, after `make setup`.

DEMO_DIR ?= demo

.PHONY: setup build demo test check bench interop clean-demo soak scale picture tui-bench

setup: ## install what the build lacks: FFmpeg's headers, libtorch
	@scripts/setup.sh

build: setup ## build all programs, optimised
	cargo build --release

demo: build ## make a small dataset, run the main job on it, check what came of it
	target/release/reeldeck demo --dir $(DEMO_DIR)

test: setup ## all tests
	cargo test --workspace

check: setup ## what CI checks besides the tests
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

bench: build ## the model and the decoder against the machine's own limits
	cargo bench -p reeldeck-worker --bench table

soak: setup ## a thousand kills of the engine, its workers, and both; takes half an hour
	REELDECK_KILLS=1000 cargo test --test soak -- --nocapture

scale: setup ## what 5,000, 50,000 and 1,000,000 videos cost the engine
	cargo test --test scale -- --ignored --nocapture

picture: build ## the pictures of the screen in the README, from a real run
	cargo build --release --example screenshot
	@scripts/screenshot

tui-bench: setup ## what the terminal interface costs: frames, memory, bytes, latency
	cargo test --release -p reeldeck --lib tui::tests::figures -- --ignored --nocapture
	cargo test --release -p reeldeck --test tui figures -- --ignored --nocapture

interop: setup ## reeldeck's exports in the hands of those who are to read them: MMAction2, NumPy, h5py, …
	@scripts/interop.sh

clean-demo:
	rm -rf $(DEMO_DIR)
