#!/usr/bin/env bash
# What `make bench` and `make bench-full` run: the peer and reeldeck side by side, then each stage against its own limit.
# The figures stay in target/bench. Options are those of scripts/bench/main.py.
set -euo pipefail
cd "$(dirname "$0")/.."

peer=$(scripts/peer.sh)
python3 scripts/bench/main.py --peer "$peer" "$@"
case " $* " in *" --full "*) short=() ;; *) short=(--short) ;; esac
echo
cargo bench --quiet -p reeldeck-worker --bench table -- "${short[@]}" | tee target/bench/limits.md
