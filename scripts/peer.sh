#!/usr/bin/env bash
# Installs the peer that `make bench` runs side by side with reeldeck: MMAction2, as its own users install it, in a Python
# environment of its own (vendor/peer-venv, 5 GB). Does nothing when it is there. Prints the environment's Python.
#
#   PEER_PYTHON=/venv/bin/python    uses a Python that has mmaction2 1.2.0 and torch 2.11.0, and installs nothing
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'peer: %s\n' "$*" >&2; }

venv=$PWD/vendor/peer-venv
python=${PEER_PYTHON:-$venv/bin/python}
if [ -z "${PEER_PYTHON:-}" ] && [ ! -e "$venv/complete" ]; then
  say "about to install PyTorch 2.11.0, MMAction2 1.2.0 and what they need in $venv (5 GB; PEER_PYTHON names a Python that has them)"
  rm -rf "$venv"
  mkdir -p vendor
  python3 -m venv "$venv"
  # The registry's build brings CUDA along. On a machine without it, the CPU runs the same code.
  "$python" -m pip install --quiet torch==2.11.0 torchvision==0.26.0 >&2
  "$python" -m pip install --quiet -r scripts/interop-requirements.txt >&2
  # Its requirements ask for packages to look at pictures that nothing here needs.
  "$python" -m pip install --quiet --no-deps mmaction2==1.2.0 >&2
  touch "$venv/complete"
fi
# The wheel lacks a file that it imports: an empty class in its place cures that and is never used.
packages=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
localizers=$packages/mmaction/models/localizers
if [ -d "$localizers" ] && [ ! -e "$localizers/drn/drn.py" ]; then
  mkdir -p "$localizers/drn"
  printf 'class DRN:\n    pass\n' >"$localizers/drn/drn.py"
fi
"$python" -c 'import decord, mmaction, mmengine, torch; assert torch.__version__.startswith("2.11.0"), torch.__version__' >&2 ||
  { say "$python does not have mmaction2, mmengine, decord and torch 2.11.0"; exit 1; }
printf '%s\n' "$python"
