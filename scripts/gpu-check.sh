#!/usr/bin/env bash
# Checks reeldeck on a GPU, and measures it there: doctor, correctness, then the table. docs/GPU.md says more.
#
#   scripts/gpu-check.sh [--devices cuda:N] [--no-peer] …   `make gpu-check` builds first; the options are those of scripts/gpu/check.py
#   scripts/gpu-check.sh --devices cpu --quick              the same without a GPU, small: whether the check itself works
#
# Exit code 0: all is right. 1: something is not. 2: there is no GPU here.
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
