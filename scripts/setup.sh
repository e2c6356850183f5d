#!/usr/bin/env bash
# Installs the libraries that a build needs: FFmpeg and a CPU libtorch (vendor/libtorch). Skips what is installed. With root or
# sudo, FFmpeg comes from the packages of the system; otherwise scripts/ffmpeg.sh builds it in vendor/ without root.
#
#   scripts/setup.sh             for the build
#   scripts/setup.sh --private   for the build, with a private FFmpeg in any case
#   scripts/setup.sh --tests     for the tests: if FFmpeg is private, also builds one with encoders; installs Slurm if it may
#   scripts/setup.sh --libtorch  only libtorch
#   scripts/setup.sh --check     only reports; exit code 1 if something is missing
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

# True for root, and if sudo needs no password: a prompt would block an unattended run.
may_install() {
  command -v apt-get >/dev/null || return 1
  [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null
}

install_packages() {
  local sudo=()
  [ "$(id -u)" -eq 0 ] || sudo=(sudo -n)
  say "about to install these system packages with ${sudo[*]:+sudo }apt-get: $*"
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# The tests of `reeldeck slurm` start a Slurm of their own. Debian starts no service for it: there is no configuration.
install_slurm() {
  command -v slurmctld >/dev/null || [ -x /usr/sbin/slurmctld ] && return
  if may_install && install_packages slurmctld slurmd slurm-client; then return; fi
  say "Slurm is not installed and cannot be installed here: the tests against a real Slurm are skipped"
}

is_private() { [ -e vendor/ffmpeg/made ]; }

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
mode=${1:-}
mapfile -t missing < <(missing_packages)
if [ "$mode" = --check ]; then
  status=0
  [ ${#missing[@]} -eq 0 ] || is_private || { say "missing system packages: ${missing[*]}; or a private FFmpeg"; status=1; }
  have_libtorch || { say "missing libtorch $torch_version in $torch_dir"; status=1; }
  exit $status
fi
if [ "$mode" = --libtorch ]; then
  :
elif [ "$mode" = --private ] || is_private; then
  scripts/ffmpeg.sh
elif [ ${#missing[@]} -gt 0 ] && may_install; then
  install_packages "${missing[@]}"
elif [ ${#missing[@]} -gt 0 ]; then
  command -v g++ >/dev/null || die "g++ is not installed; reeldeck's set-up needs a C++ compiler"
  say "these system packages are missing and this account may not install them: ${missing[*]}"
  say "using a private FFmpeg; to use the system's instead, have them installed and remove vendor/ffmpeg"
  scripts/ffmpeg.sh
fi
[ "$mode" != --tests ] || ! is_private || scripts/ffmpeg.sh --encoders
[ "$mode" != --tests ] || install_slurm
have_libtorch || install_libtorch
say "all that the build needs is there"
