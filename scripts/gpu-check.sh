#!/usr/bin/env bash
# Checks and measures reeldeck on a GPU: doctor, correctness, then a table of speeds. See docs/GPU.md.
#
#   scripts/gpu-check.sh [--devices cuda:N] [--no-peer] …   `make gpu-check` builds first; the options are those of scripts/gpu/check.py
#   scripts/gpu-check.sh --devices cpu --quick              a short run without a GPU, to test the check itself
#   scripts/gpu-check.sh --prepare DIR                      makes a folder for a machine that has a GPU, but no compiler and no network
#   DIR/scripts/gpu-check.sh --prebuilt DIR                 the check on that machine, with its Python and PyTorch
#
# Exit codes: 0 all checks pass, 1 a check fails, 2 there is no GPU.
set -euo pipefail
cd_to=$(dirname "${BASH_SOURCE[0]}")/..

if [ "${1:-}" = --prepare ]; then
  shift
  exec "$cd_to/scripts/gpu/prepare.sh" "$@"
fi
device=cuda:0
prebuilt=
words=("$@")
for at in "${!words[@]}"; do
  case "${words[$at]}" in
    --devices) device=${words[$((at + 1))]:-} ;;
    --devices=*) device=${words[$at]#--devices=} ;;
    --prebuilt | --prebuilt=*) prebuilt=1 ;;
  esac
done
if [ "$device" != cpu ]; then
  if ! seen=$(nvidia-smi -L 2>&1) || [[ $seen != GPU* ]]; then
    # Some containers lack nvidia-smi.
    if ! python3 -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
      IFS= read -r first <<<"$seen" || true
      printf "gpu-check: no GPU here: nvidia-smi says '%s', and python3's PyTorch sees none\n" "${first##*line [0-9]*: }" >&2
      printf 'gpu-check: run it on a machine with an NVIDIA GPU and its driver; --devices cpu --quick tries the check itself\n' >&2
      exit 2
    fi
  fi
fi
if [ -z "$prebuilt" ]; then
  cd "$cd_to"
  . scripts/env.sh
  cd_to=.
fi
exec python3 "$cd_to/scripts/gpu/check.py" "$@"
