#!/usr/bin/env bash
# Checks and measures reeldeck on a GPU: doctor, correctness, then a table of speeds. See docs/GPU.md.
#
#   scripts/gpu-check.sh [--devices cuda:N] [--no-peer] …   `make gpu-check` builds first; the options are those of scripts/gpu/check.py
#   scripts/gpu-check.sh --devices cpu --quick              a short run without a GPU, to test the check itself
#
# Exit codes: 0 all checks pass, 1 a check fails, 2 there is no GPU.
set -euo pipefail
cd "$(dirname "$0")/.."

device=cuda:0
words=("$@")
for at in "${!words[@]}"; do
  case "${words[$at]}" in
    --devices) device=${words[$((at + 1))]:-} ;;
    --devices=*) device=${words[$at]#--devices=} ;;
  esac
done
if [ "$device" != cpu ]; then
  seen=$(nvidia-smi -L 2>&1) && [[ $seen == GPU* ]] || {
    printf 'gpu-check: no GPU here: nvidia-smi says %s\n' "'$(head -n 1 <<<"$seen" | sed 's/^.*line [0-9]*: //')'" >&2
    printf 'gpu-check: run it on a machine with an NVIDIA GPU and its driver; --devices cpu --quick tries the check itself\n' >&2
    exit 2
  }
fi
. scripts/env.sh
exec python3 scripts/gpu/check.py "$@"
