# Sourced in the project's folder before cargo: where the private FFmpeg and libclang are, if scripts/setup.sh made them. Does
# nothing on a machine with the system's packages. `. scripts/env.sh encoders` takes the FFmpeg that tests make media with.

private_ffmpeg=$PWD/vendor/ffmpeg${1:+-$1}
if [ -e "$private_ffmpeg/made" ]; then
  export FFMPEG_DIR=$private_ffmpeg
  export LIBCLANG_PATH=$PWD/vendor/tools/python/clang/native
  # This libclang comes without the compiler's own headers.
  BINDGEN_EXTRA_CLANG_ARGS="-isystem $(gcc -print-file-name=include)"
  export BINDGEN_EXTRA_CLANG_ARGS
fi
unset private_ffmpeg
