#!/usr/bin/env bash
# Builds a private, static FFmpeg in vendor/ffmpeg, for accounts without root and for portable archives. It reads video only:
# no network, no programs, and no encoders except those of FFmpeg itself, for the demo. Needs no root and changes nothing
# outside vendor/. Does nothing if it has been built.
#
#   scripts/ffmpeg.sh              for reeldeck
#   scripts/ffmpeg.sh --encoders   for the tests: in vendor/ffmpeg-encoders, with x264, x265 and libvpx
#
# Fetches the sources from Debian with apt-get. Without apt-get, name downloaded tarballs:
#   FFMPEG_SOURCE=ffmpeg-5.1.9.tar.xz DAV1D_SOURCE=dav1d-1.0.0.tar.xz NASM_SOURCE=nasm-2.16.01.tar.xz
#   NV_CODEC_SOURCE=nv-codec-headers-11.1.5.2.tar.gz scripts/ffmpeg.sh
# Without DAV1D_SOURCE, AV1 is decoded on GPUs only. Without NV_CODEC_SOURCE, nothing is decoded on GPUs.
# CC selects another compiler than gcc.
set -euo pipefail
cd "$(dirname "$0")/.."
project=$PWD
. scripts/private-apt.sh
. scripts/build-tools.sh

suite=bookworm
name=ffmpeg
[ "${1:-}" != --encoders ] || name=ffmpeg-encoders
prefix=$project/vendor/$name
work=$project/vendor/$name.part
log=$work/log

say() { printf 'ffmpeg: %s\n' "$*"; }
die() { printf 'ffmpeg: %s\n' "$*" >&2; exit 1; }
# Prints the output of a command only if it fails, and then only its end.
logged() { "$@" >>"$log" 2>&1 || { tail -n 25 "$log" >&2; die "failed: $*; all of it is in $log"; }; }

video_decoders=h264,hevc,vp8,vp9,libdav1d,av1,mpeg4,mpeg1video,mpeg2video,mjpeg,msmpeg4v1,msmpeg4v2,msmpeg4v3,h263,h263i,h263p,flv
video_decoders+=,vp6,vp6a,vp6f,wmv1,wmv2,wmv3,vc1,theora,svq1,svq3,dvvideo,prores,ffv1,huffyuv,ffvhuff,utvideo,png,rawvideo
# Audio is never decoded. With these parsers FFmpeg detects the same stream properties as a full build.
audio_decoders=aac,aac_latm,mp2,mp3,ac3,eac3,vorbis,opus,flac,alac,amrnb,amrwb,wmav1,wmav2,wmapro,adpcm_ms,adpcm_ima_wav
audio_decoders+=,pcm_s16le,pcm_s16be,pcm_u8,pcm_s24le,pcm_mulaw,pcm_alaw
demuxers=mov,matroska,avi,mpegts,mpegps,mpegvideo,flv,live_flv,asf,ogg,h264,hevc,m4v,ivf,obu,av1,mjpeg,nut
encoders=mpeg4,mpeg1video,mpeg2video,mjpeg,ffv1,huffyuv,rawvideo,png,aac,pcm_s16le,flv
muxers=mp4,mov,matroska,webm,avi,mpegts,mpeg1system,mpeg2video,flv,asf,ogg,h264,hevc,m4v,ivf,mjpeg,nut,rawvideo,tgp,ipod
nvdec=h264,hevc,vp8,vp9,av1,mpeg1,mpeg2,mpeg4,mjpeg,vc1
cuvid=h264_cuvid,hevc_cuvid,vp8_cuvid,vp9_cuvid,av1_cuvid,mpeg1_cuvid,mpeg2_cuvid,mpeg4_cuvid,mjpeg_cuvid,vc1_cuvid

# Unpacks the tarball that the user names, or Debian's source package.
source_of() {
  local package=$1 tarball=$2
  if [ -n "$tarball" ]; then
    [ -e "$tarball" ] || die "$tarball does not exist"
    mkdir -p "$work/$package"
    tar -xf "$tarball" --strip-components=1 -C "$work/$package"
  else
    logged unpack_source "$suite" "$work" "$package"
  fi
}

have_apt() { private_apt "$suite" --version >/dev/null 2>&1; }

assembler() {
  if command -v nasm >/dev/null; then return; fi
  if [ -n "${NASM_SOURCE:-}" ]; then
    source_of nasm "$NASM_SOURCE"
    (cd "$work/nasm" && logged ./configure "--prefix=$work/nasm-root/usr" && logged make -j"$jobs" install)
  elif have_apt; then
    logged unpack_packages "$suite" "$work/nasm-root" nasm
  else
    die "nasm is missing, and without it some pictures differ in their last bit: name its source as NASM_SOURCE (https://www.nasm.us)"
  fi
  PATH=$work/nasm-root/usr/bin:$PATH
}

# Unpacks patch and xz, which Debian's sources need, if the system lacks them.
unpackers() {
  local missing=()
  command -v patch >/dev/null || missing+=(patch)
  command -v xz >/dev/null || missing+=(xz-utils)
  [ "${#missing[@]}" = 0 ] || logged unpack_packages "$suite" "$work/unpackers" "${missing[@]}"
  PATH=$work/unpackers/usr/bin:$PATH
}

# Copies the static libraries, headers and pkg-config files of a Debian package into the prefix.
take() {
  local unpacked=$work/take
  rm -rf "$unpacked"
  logged unpack_packages "$suite" "$unpacked" "$@"
  mkdir -p "$prefix.new/include" "$prefix.new/lib/pkgconfig"
  cp -rn "$unpacked"/usr/include/. "$prefix.new/include/" 2>/dev/null || true
  [ ! -d "$prefix.new/include/x86_64-linux-gnu" ] || cp -rn "$prefix.new"/include/x86_64-linux-gnu/. "$prefix.new/include/"
  find "$unpacked" -name '*.a' -exec cp -n {} "$prefix.new/lib/" \;
  find "$unpacked" -name '*.pc' | while read -r file; do
    sed -e "s#^prefix=.*#prefix=$prefix.new#" -e "s#^libdir=.*#libdir=$prefix.new/lib#" \
      -e "s#^includedir=.*#includedir=$prefix.new/include#" "$file" >"$prefix.new/lib/pkgconfig/$(basename "$file")"
  done
}

dav1d() {
  source_of dav1d "${DAV1D_SOURCE:-}"
  cat >"$work/gcc.ini" <<INI
[binaries]
c = ['$CC']
ar = 'ar'
strip = 'strip'
INI
  (
    cd "$work/dav1d"
    export PYTHONPATH=$tools/python # Ninja starts Python, too
    logged meson setup build --native-file "$work/gcc.ini" --buildtype release --default-library static \
      --prefix "$prefix.new" --libdir lib -Denable_tools=false -Denable_tests=false -Db_staticpic=true
    logged ninja -C build -j"$jobs" install
  )
}

ffmpeg() {
  source_of ffmpeg "${FFMPEG_SOURCE:-}"
  local options=(
    "--prefix=$prefix.new" --enable-static --disable-shared --enable-pic --disable-autodetect --disable-everything
    --disable-programs --disable-doc --disable-network --disable-avdevice --disable-avfilter --disable-postproc
    --disable-debug --enable-pthreads --enable-parsers --enable-bsfs --enable-protocol=file
    "--enable-decoder=$video_decoders,$audio_decoders" "--enable-demuxer=$demuxers" "--enable-muxer=$muxers"
    "--cc=$CC" "--pkg-config=$tools/bin/pkg-config" --pkg-config-flags=--static
    "--extra-cflags=-I$prefix.new/include" "--extra-ldflags=-L$prefix.new/lib"
  )
  [ ! -e "$prefix.new/lib/libdav1d.a" ] || options+=(--enable-libdav1d)
  [ ! -e "$prefix.new/lib/libz.a" ] || options+=(--enable-zlib)
  if [ -e "$prefix.new/include/ffnvcodec/nvEncodeAPI.h" ]; then
    options+=(--enable-ffnvcodec --enable-cuda --enable-cuvid --enable-nvdec)
    options+=("--enable-hwaccel=$(sed 's/\([a-z0-9]*\)/\1_nvdec/g' <<<"$nvdec")" "--enable-decoder=$cuvid")
  fi
  if [ "$name" = ffmpeg-encoders ]; then
    options+=(--enable-gpl --enable-libx264 --enable-libx265 --enable-libvpx)
    encoders+=,libx264,libx265,libvpx_vp8,libvpx_vp9,wmv1,wmv2,msmpeg4v2,msmpeg4v3,ffvhuff,utvideo,h263,svq1,prores,dvvideo
  fi
  options+=("--enable-encoder=$encoders")
  (
    cd "$work/ffmpeg"
    export PKG_CONFIG_PATH=$prefix.new/lib/pkgconfig
    logged ./configure "${options[@]}"
    logged make -j"$jobs"
    logged make install
    printf '%s\n' "${options[@]}" >"$prefix.new/options"
    cp COPYING.LGPLv2.1 LICENSE.md "$prefix.new/"
    sed -n 's/^EXTRALIBS-\(avformat\|avcodec\|avutil\|swscale\|swresample\)=//p' ffbuild/config.mak | tr ' ' '\n' |
      grep -- '^-l' | sort -u | tr '\n' ' ' >"$work/libs"
  )
}

# The bindings pass -lavcodec etc. to the linker without the libraries that these depend on, and in the wrong order. A linker
# script with the name of the shared library pulls in all of them.
linker_scripts() {
  local library libs
  libs=$(tr ' ' '\n' <"$work/libs" | grep -v -e '^-l\(av\|sw\)' -e '^-l\(m\|pthread\|dl\|rt\)$' -e '^$' | tr '\n' ' ')
  for library in avformat avcodec avutil swscale swresample; do
    printf 'GROUP ( libavformat.a libavcodec.a libswscale.a libswresample.a libavutil.a %s-lm -lpthread )\n' "$libs" \
      >"$prefix.new/lib/lib$library.so"
  done
}

fingerprint() { sha256sum scripts/ffmpeg.sh scripts/build-tools.txt | sha256sum | cut -c1-16; }
export CC=${CC:-gcc}
made="$(fingerprint) $CC"
[ "$(cat "$prefix/made" 2>/dev/null)" != "$made" ] || exit 0
jobs=${JOBS:-$(nproc)}
for tool in "$CC" make tar python3; do
  command -v "$tool" >/dev/null || die "$tool is not installed; building FFmpeg needs a C compiler, make, tar and Python 3 with pip"
done
have_apt || [ -n "${FFMPEG_SOURCE:-}" ] ||
  die "this system has no apt-get with Debian's keys: fetch FFmpeg's source (https://ffmpeg.org/releases/ffmpeg-5.1.9.tar.xz) and name it, FFMPEG_SOURCE=FILE; see the head of scripts/ffmpeg.sh for the others"
rm -rf "$work" "$prefix.new"
mkdir -p "$work" "$prefix.new/lib/pkgconfig"
say "about to build a private FFmpeg in vendor/$name; it takes some minutes"
build_tools
export PATH=$tools/bin:$PATH
if have_apt; then unpackers; fi
assembler
if have_apt; then
  take zlib1g-dev
  [ -n "${NV_CODEC_SOURCE:-}" ] || take libffmpeg-nvenc-dev
  [ "$name" != ffmpeg-encoders ] || take libx264-dev libx265-dev libvpx-dev libnuma-dev
fi
if [ -n "${NV_CODEC_SOURCE:-}" ]; then
  source_of nv-codec "$NV_CODEC_SOURCE"
  logged make -C "$work/nv-codec" "PREFIX=$prefix.new" install
fi
if have_apt || [ -n "${DAV1D_SOURCE:-}" ]; then dav1d; fi
ffmpeg
linker_scripts
printf '%s\n' "$made" >"$prefix.new/made"
rm -rf "$prefix"
mv "$prefix.new" "$prefix"
rm -rf "$work"
say "built; $(du -sm "$prefix" | cut -f1) MB in vendor/$name"
