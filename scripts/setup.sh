#!/usr/bin/env bash
# Installs what a fresh machine lacks to build reeldeck: FFmpeg's headers (system packages) and a CPU
# libtorch (vendor/libtorch). Does nothing when all is there. `--check` only reports, exit 1 if something lacks.
set -euo pipefail
cd "$(dirname "$0")/.."

torch_version=2.11.0 # tch 0.24 is written against this release; Cargo.toml pins tch for the same reason
torch_dir=vendor/libtorch/torch
packages=(pkg-config g++ libclang-dev libavcodec-dev libavformat-dev libavutil-dev libswscale-dev)

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

missing_packages() {
  local package
  for package in "${packages[@]}"; do
    dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || printf '%s\n' "$package"
  done
}

have_libtorch() {
  [ "$(cat "$torch_dir/build-version" 2>/dev/null)" = "$torch_version" ] && [ -e "$torch_dir/lib/libtorch_cpu.so" ]
}

check_tools() {
  local tool
  for tool in cargo gcc python3; do
    command -v "$tool" >/dev/null || die "$tool is not installed; reeldeck's set-up needs Rust, gcc and Python 3 with pip"
  done
}

install_packages() {
  command -v apt-get >/dev/null ||
    die "this system has no apt-get; install FFmpeg's development files (libavcodec, libavformat, libavutil, libswscale), libclang, pkg-config and g++, then run it again"
  local sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "these system packages are missing and this is not root: $*; ask for: apt-get install $*"
    sudo=(sudo)
  fi
  say "about to install these system packages with ${sudo[*]:+sudo }apt-get: $*"
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

install_libtorch() {
  python3 -m pip --version >/dev/null 2>&1 || die "python3 has no pip, which fetches libtorch; install python3-pip"
  say "about to fetch libtorch $torch_version for the CPU from the Python package registry (about 530 MB, kept: 500 MB in $torch_dir)"
  local wheels=vendor/wheels.part
  rm -rf "$wheels" vendor/libtorch vendor/libtorch.part
  mkdir -p "$wheels"
  python3 -m pip download --quiet --no-deps --only-binary :all: --python-version 311 --require-hashes \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_25_x86_64 --platform manylinux2014_x86_64 \
    --dest "$wheels" -r scripts/libtorch-wheels.txt
  python3 scripts/unpack_libtorch.py "$wheels" vendor/libtorch.part/torch "$torch_version"
  mv vendor/libtorch.part vendor/libtorch
  rm -rf "$wheels"
}

check_tools
mapfile -t missing < <(missing_packages)
if [ "${1:-}" = --check ]; then
  status=0
  [ ${#missing[@]} -eq 0 ] || { say "missing system packages: ${missing[*]}"; status=1; }
  have_libtorch || { say "missing libtorch $torch_version in $torch_dir"; status=1; }
  exit $status
fi
[ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
have_libtorch || install_libtorch
say "all that the build needs is there"
