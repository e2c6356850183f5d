#!/usr/bin/env bash
# Hands reeldeck's exports to the programs that are to read them: MMAction2, its own scripts, NumPy, h5py, and where they
# are at hand ActionFormer and OpenTAD. Says what it skips. No part of `make test`.
#
#   make interop                                 installs what it needs in target/interop (some GB) and runs
#   INTEROP_PYTHON=/venv/bin/python make interop uses a Python that has mmaction2, mmengine, mmcv-lite, torch and numpy
#   ACTIONFORMER=DIR OPENTAD=DIR make interop    also runs the loaders of these clones
#   WRITE_FEATURE_CSV=FILE make interop          the original's CSV writer, where mmaction2's wheel does not bring it
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'interop: %s\n' "$*"; }

work=target/interop
python=${INTEROP_PYTHON:-$work/venv/bin/python}
if [ -z "${INTEROP_PYTHON:-}" ] && [ ! -e "$work/venv/complete" ]; then
  say "about to install PyTorch, MMAction2 and what they need in $work/venv (some GB; INTEROP_PYTHON names a Python that has them)"
  rm -rf "$work/venv"
  python3 -m venv "$work/venv"
  # PyTorch's own registry has a build without CUDA, a tenth of the size.
  "$python" -m pip install --quiet --retries 1 --timeout 15 torch==2.11.0 torchvision==0.26.0 \
    --index-url https://download.pytorch.org/whl/cpu 2>"$work/pip.log" ||
    "$python" -m pip install --quiet torch==2.11.0 torchvision==0.26.0
  # setuptools 82 dropped pkg_resources, which mmengine imports.
  "$python" -m pip install --quiet -r scripts/interop-requirements.txt
  # Its requirements ask for packages to look at pictures that nothing here needs.
  "$python" -m pip install --quiet --no-deps mmaction2==1.2.0
  touch "$work/venv/complete"
fi
# A path that holds when the folder changes, and a link in a venv must not be resolved.
case $python in /*) ;; *) python=$PWD/$python ;; esac
"$python" -c 'import mmaction, mmengine, numpy, torch' ||
  { say "$python lacks mmaction2, mmengine, numpy or torch" >&2; exit 1; }

say "building"
cargo build --quiet --release --package reeldeck --bin reeldeck --example made_features
rm -rf "$work/data"
target/release/examples/made_features "$work/data" 24
exec "$python" scripts/interop.py "$PWD/target/release/reeldeck" "$PWD/$work/data"
