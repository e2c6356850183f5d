#!/usr/bin/env bash
# Makes a folder with which the GPU check runs on a machine that has only Python, PyTorch and a driver: programs with an FFmpeg of
# their own and without libtorch, videos, scripts. At most 64 MB. Started by scripts/gpu-check.sh --prepare.
#
#   scripts/gpu-check.sh --prepare DIR              builds the programs as `make dist` does
#   scripts/gpu-check.sh --prepare DIR --as-built   takes those of `make build`, for a machine with the same system and FFmpeg
#   … --profile dev                                 with another build profile than release
#
# Both need an ordinary build (`make build`), whose FFmpeg encodes the videos.
set -euo pipefail
say() { printf 'prepare: %s\n' "$*"; }
die() { printf 'prepare: %s\n' "$*" >&2; exit 1; }

[ $# -ge 1 ] && [[ $1 != -* ]] || die "name the folder to make"
mkdir -p "$1"
into=$(cd "$1" && pwd)
shift
profile=release as_built=
while [ $# -gt 0 ]; do
  case $1 in
    --as-built) as_built=1 ;;
    --profile) profile=${2:-} && shift ;;
    *) die "unknown option $1" ;;
  esac
  shift
done
folder=$profile
[ "$profile" != dev ] || folder=debug
cd "$(dirname "$0")/../.."

encoder=${CARGO_TARGET_DIR:-target}/$folder/reeldeck-probe
[ -x "$encoder" ] || die "$encoder is missing: run make build"
python3 scripts/gpu/carried.py "$encoder" "$into/videos"

if [ -n "$as_built" ]; then
  . scripts/env.sh
else
  scripts/setup.sh --libtorch
  scripts/ffmpeg.sh
  . scripts/env.sh
  if root=$(scripts/sysroot.sh); then
    PATH=$root/bin:$PATH
  else
    say "building against this system's own C library: that of the other machine must not be older"
  fi
  export REELDECK_DIST=1 CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target/dist}
fi
built=${CARGO_TARGET_DIR:-target}/$folder
say "building the programs"
# With the features of a build of the whole workspace: otherwise cargo builds the dependencies once more.
cargo build --quiet --workspace --profile "$profile" --locked --bins --example decode
table=$(cargo bench --quiet --workspace --profile "$profile" --locked --bench table --no-run --message-format json |
  sed -n 's/.*"name":"table".*"executable":"\([^"]*\)".*/\1/p')

mkdir -p "$into"/{bin/examples,assets/recipes,scripts/gpu,scripts/bench}
for program in reeldeck reeldeck-probe reeldeck-worker examples/decode; do strip -o "$into/bin/$program" "$built/$program"; done
strip -o "$into/bin/table" "$table"
cp assets/recipes/slowonly-r50-8x8-k700.toml "$into/assets/recipes/"
cp scripts/gpu-check.sh "$into/scripts/"
cp scripts/gpu/{check,bench,budget,plain_torch,programs,roofline,sampler,table}.py "$into/scripts/gpu/"
cp scripts/bench/{results,watch}.py "$into/scripts/bench/"

# Compressed, they take a third: each contains FFmpeg.
tar -C "$into" -czf "$into/bin.tar.gz" bin
rm -r "${into:?}/bin"

size=$(du -sm "$into" | cut -f1)
[ "$size" -le 64 ] || die "$into has $size MB, more than the 64 MB that it may have"
say "$into has $size MB; copy it to the other machine and run scripts/gpu-check.sh --prebuilt . in it"
