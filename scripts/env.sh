# To be sourced in the project's folder before cargo. Exports the paths of the private FFmpeg and libclang if scripts/setup.sh
# has built them; does nothing otherwise. `. scripts/env.sh encoders` selects the FFmpeg with encoders, which the tests need.

private_ffmpeg=$PWD/vendor/ffmpeg${1:+-$1}
if [ -e "$private_ffmpeg/made" ]; then
  export FFMPEG_DIR=$private_ffmpeg
  export LIBCLANG_PATH=$PWD/vendor/tools/python/clang/native
  # This libclang does not include the headers of a compiler.
  BINDGEN_EXTRA_CLANG_ARGS="-isystem $(gcc -print-file-name=include)"
  export BINDGEN_EXTRA_CLANG_ARGS
fi
unset private_ffmpeg
