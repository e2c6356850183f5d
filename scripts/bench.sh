#!/usr/bin/env bash
# Runs `make bench` and `make bench-full`: compares reeldeck with MMAction2, then each stage with its own limit. Writes the
# results to target/bench. The options are those of scripts/bench/main.py.
set -euo pipefail
cd "$(dirname "$0")/.."

peer=$(scripts/peer.sh)
python3 scripts/bench/main.py --peer "$peer" "$@"
case " $* " in *" --full "*) short=() ;; *) short=(--short) ;; esac
echo
cargo bench --quiet -p reeldeck-worker --bench table -- "${short[@]}" | tee target/bench/limits.md
