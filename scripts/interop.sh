#!/usr/bin/env bash
# Reads reeldeck's exports with MMAction2, its scripts, NumPy, h5py, and if available ActionFormer and OpenTAD. Prints what it
# skips. Not a part of `make test`.
#
#   make interop                                 installs its requirements in target/interop (some GB) and runs
#   INTEROP_PYTHON=/venv/bin/python make interop uses a Python that has mmaction2, mmengine, mmcv-lite, torch and numpy
#   ACTIONFORMER=DIR OPENTAD=DIR make interop    also runs the loaders of these clones
#   WRITE_FEATURE_CSV=FILE make interop          MMAction2's CSV writer, if the wheel does not contain it
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'interop: %s\n' "$*"; }

work=target/interop
python=${INTEROP_PYTHON:-$work/venv/bin/python}
if [ -z "${INTEROP_PYTHON:-}" ] && [ ! -e "$work/venv/complete" ]; then
  say "about to install PyTorch, MMAction2 and what they need in $work/venv (some GB; INTEROP_PYTHON names a Python that has them)"
  rm -rf "$work/venv"
  python3 -m venv "$work/venv"
  # The build without CUDA has a tenth of the size.
  "$python" -m pip install --quiet --retries 1 --timeout 15 torch==2.11.0 torchvision==0.26.0 \
    --index-url https://download.pytorch.org/whl/cpu 2>"$work/pip.log" ||
    "$python" -m pip install --quiet torch==2.11.0 torchvision==0.26.0
  # setuptools 82 dropped pkg_resources, which mmengine imports.
  "$python" -m pip install --quiet -r scripts/interop-requirements.txt
  # Its requirements include image packages that are not needed here.
  "$python" -m pip install --quiet --no-deps mmaction2==1.2.0
  touch "$work/venv/complete"
fi
# An absolute path. A link in a virtual environment must not be resolved.
case $python in /*) ;; *) python=$PWD/$python ;; esac
"$python" -c 'import mmaction, mmengine, numpy, torch' ||
  { say "$python lacks mmaction2, mmengine, numpy or torch" >&2; exit 1; }

say "building"
cargo build --quiet --release
cargo build --quiet --release --package reeldeck --example made_features
rm -rf "$work/data"
target/release/examples/made_features "$work/data" 24
failed=0
"$python" scripts/interop.py "$PWD/target/release/reeldeck" "$PWD/$work/data" || failed=1
say "strided features: the time of each row"
"$python" scripts/interop_strided.py "$PWD/target/release/reeldeck" "$PWD/$work/strided" || failed=1
exit "$failed"
