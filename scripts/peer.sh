#!/usr/bin/env bash
# Installs MMAction2 and OpenVINO, which `make bench` compares with reeldeck, in a Python environment (vendor/peer-venv, 5 GB). Does nothing
# if it is installed. Prints the path of the environment's Python.
#
#   PEER_PYTHON=/venv/bin/python    uses a Python that has mmaction2 1.2.0, torch 2.11.0 and openvino, and installs nothing
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'peer: %s\n' "$*" >&2; }

venv=$PWD/vendor/peer-venv
python=${PEER_PYTHON:-$venv/bin/python}
if [ -z "${PEER_PYTHON:-}" ] && [ ! -e "$venv/complete" ]; then
  say "about to install PyTorch 2.11.0, MMAction2 1.2.0, OpenVINO and what they need in $venv (5 GB; PEER_PYTHON names a Python that has them)"
  rm -rf "$venv"
  mkdir -p vendor
  python3 -m venv "$venv"
  # This build includes CUDA. Without a GPU, the CPU runs the same code.
  "$python" -m pip install --quiet torch==2.11.0 torchvision==0.26.0 >&2
  "$python" -m pip install --quiet -r scripts/interop-requirements.txt >&2
  # Its requirements include image packages that are not needed here.
  "$python" -m pip install --quiet --no-deps mmaction2==1.2.0 >&2
  "$python" -m pip install --quiet openvino==2026.4.1 >&2
  touch "$venv/complete"
fi
# The wheel imports a module that it does not contain. An empty class, which is never used, takes its place.
packages=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
localizers=$packages/mmaction/models/localizers
if [ -d "$localizers" ] && [ ! -e "$localizers/drn/drn.py" ]; then
  mkdir -p "$localizers/drn"
  printf 'class DRN:\n    pass\n' >"$localizers/drn/drn.py"
fi
"$python" -c 'import decord, mmaction, mmengine, openvino, torch; assert torch.__version__.startswith("2.11.0"), torch.__version__' >&2 ||
  { say "$python does not have mmaction2, mmengine, decord, openvino and torch 2.11.0"; exit 1; }
printf '%s\n' "$python"
