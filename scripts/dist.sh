#!/usr/bin/env bash
# Builds dist/reeldeck-VERSION-x86_64-linux.tar.gz: the programs with FFmpeg linked in, the CPU libtorch in lib/, manual,
# completions and licences. Links an older C library if Debian's packages are available (scripts/sysroot.sh), and prints the
# oldest C library on which the programs run.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
name=reeldeck-$version-x86_64-linux
into=dist/$name
torch=vendor/libtorch/torch/lib

say() { printf 'dist: %s\n' "$*"; }

scripts/setup.sh --libtorch
# FFmpeg's objects bind to a C library only when a program is linked. If the headers are too new for the older C library, the
# linker fails here; the program does not fail on another machine.
scripts/ffmpeg.sh
. scripts/env.sh
if root=$(scripts/sysroot.sh); then
  PATH=$root/bin:$PATH # cargo's linker is `cc`, and so is its C compiler
else
  say "building against this system's own C library"
fi
export REELDECK_DIST=1 CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target/dist}
cargo build --release --locked

rm -rf "$into"
mkdir -p "$into"/{lib,licenses,share/man/man1,share/completions}
for program in reeldeck reeldeck-probe reeldeck-worker; do
  strip --strip-debug -o "$into/$program" "$CARGO_TARGET_DIR/release/$program"
done
# The libraries that libtorch needs, with the name by which the loader looks for its OpenMP.
for library in libtorch_cpu.so libc10.so libgomp.so.1 libcudart.so.13 libcupti.so.13; do
  cp -L "$torch/$library" "$into/lib/"
done
cp vendor/libtorch/torch/build-version "$into/lib/"
"$into/reeldeck" man --dir "$into/share/man/man1" 2>/dev/null
for shell in bash zsh fish; do "$into/reeldeck" completions $shell >"$into/share/completions/reeldeck.$shell"; done
cp -r README.md CHANGELOG.md config.example.toml docs assets "$into/"
cp LICENSE LICENSE-MIT LICENSE-APACHE "$into/licenses/"
cp vendor/ffmpeg/COPYING.LGPLv2.1 "$into/licenses/FFmpeg-LGPL-2.1.txt"
cat >"$into/licenses/NOTICE.txt" <<NOTICE
reeldeck $version is under MIT or Apache-2.0, at your option. This archive also contains

FFmpeg, LGPL 2.1 or later, linked into reeldeck-probe and reeldeck-worker. It was configured with
$(sed 's/^/    /' vendor/ffmpeg/options | grep -v -e '--prefix' -e '--cc=' -e '--pkg-config' -e '--extra-')
from Debian's source package; scripts/ffmpeg.sh in reeldeck's source does all of it, and builds the programs
with another FFmpeg as well.
dav1d, BSD 2-clause, and zlib, linked into the same programs.
libtorch $(cat vendor/libtorch/torch/build-version) (BSD 3-clause, pytorch.org) with libgomp (GPL with the GCC runtime
exception) and NVIDIA's libcudart and libcupti (NVIDIA's CUDA licence, redistributable), in lib/.

Rust packages, by licence:
$(cargo metadata --format-version 1 --locked | python3 scripts/licences.py)
NOTICE
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$(git log -1 --format=%ct)" -C dist -cf - "$name" |
  gzip -n >"dist/$name.tar.gz"

say "dist/$name.tar.gz, $(du -m "dist/$name.tar.gz" | cut -f1) MB, unpacked $(du -sm "$into" | cut -f1) MB"
needs() { objdump -T "$1" | grep -oE "$2_[0-9.]+" | sort -uV | tail -n 1; }
for file in "$into"/reeldeck* "$into"/lib/*.so*; do
  say "$(printf '%-22s needs %-12s %s' "$(basename "$file")" "$(needs "$file" GLIBC)" "$(needs "$file" GLIBCXX)")"
done
