# Sourced, with $project set. `build_tools` puts Meson, Ninja, pkg-config and libclang into vendor/tools and sets $tools.

build_tools() {
  tools=$project/vendor/tools
  local wanted
  wanted=$(sha256sum <"$project/scripts/build-tools.txt")
  [ "$(cat "$tools/made" 2>/dev/null)" != "$wanted" ] || return 0
  rm -rf "$tools" "$tools.part"
  python3 -m pip install --quiet --no-deps --only-binary :all: --require-hashes --target "$tools.part/python" \
    -r "$project/scripts/build-tools.txt"
  mkdir -p "$tools.part/bin"
  # pip's launchers contain the path of the folder in which they were installed; these do not.
  printf '#!/bin/sh\nPYTHONPATH="%s/python" exec python3 -m mesonbuild.mesonmain "$@"\n' "$tools" >"$tools.part/bin/meson"
  chmod +x "$tools.part/bin/meson"
  ln -s ../python/bin/ninja "$tools.part/bin/ninja"
  ln -s ../python/pkgconf/.bin/pkgconf "$tools.part/bin/pkg-config"
  printf '%s\n' "$wanted" >"$tools.part/made"
  mv "$tools.part" "$tools"
}
