#!/usr/bin/env bash
# Fuzzes each target for a while: scripts/fuzz.sh [SECONDS [TARGET...]]. Needs a nightly compiler and a C++ compiler.
#
# Passes the flags of `cargo fuzz`, so that cargo-fuzz is not needed. New inputs stay in fuzz/corpus. A crash, or an input that takes
# 10 s, ends the script with the path of the input; add it to a test.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
seconds=${1:-60}
shift || true
targets=("$@")
if [ ${#targets[@]} = 0 ]; then
    for source in targets/*.rs; do
        targets+=("$(basename "$source" .rs)")
    done
fi
rustup run nightly rustc --version >/dev/null || { echo "install a nightly compiler: rustup toolchain install nightly" >&2; exit 1; }
export RUSTFLAGS="--cfg fuzzing -Cdebug-assertions -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Zsanitizer=address"
host=$(rustup run nightly rustc -vV | sed -n 's/^host: //p')
for target in "${targets[@]}"; do
    features=()
    case $target in probe_cache | manifest | list | clients) features=(--features program) ;; esac
    # With an explicit target, build scripts and macros are built without the sanitizer.
    cargo +nightly build --quiet --release --target "$host" "${features[@]}" --bin "$target"
    mkdir -p "corpus/$target"
    echo "$target: $seconds s"
    "target/$host/release/$target" "corpus/$target" "seeds/$target" \
        -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 2>&1 |
        tee "target/$target.log" | grep -E "^(SUMMARY|stat::number_of_executed_units|==|.*Test unit written)" || true
    if grep -q "^SUMMARY" "target/$target.log"; then
        echo "$target: a crash, see fuzz/target/$target.log" >&2
        exit 1
    fi
done
