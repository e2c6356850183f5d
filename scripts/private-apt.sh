# To be sourced, with $project set to the project's folder. apt-get for a user without root: its lists and its cache are in
# vendor/apt; those of the system stay unchanged. Signatures are verified with the Debian keys of the system.

# private_apt SUITE …: runs apt-get with these arguments; fails without apt-get or without keys.
private_apt() {
  local suite=$1 here=$project/vendor/apt/$1 keys=/usr/share/keyrings/debian-archive-keyring.gpg
  shift
  command -v apt-get >/dev/null && [ -e "$keys" ] || return 1
  local options=(
    -o "Dir::Etc::SourceList=$here/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State=$here/state"
    -o "Dir::State::Lists=$here/state/lists" -o "Dir::State::status=$here/status" -o "Dir::Cache=$here/cache" -o "Dir::Log=$here/log"
    -o "APT::Sandbox::User=$(id -un)" -o Debug::NoLocking=1 -o Acquire::Retries=3
  )
  if [ ! -e "$here/updated" ]; then
    mkdir -p "$here"/{state/lists/partial,cache/archives/partial,log}
    : >"$here/status" # no package counts as installed, so that all versions are those of the suite
    printf 'deb%s [signed-by='"$keys"'] http://deb.debian.org/debian '"$suite"' main\n' '' -src >"$here/sources.list"
    apt-get "${options[@]}" -qq update && touch "$here/updated" || return 1
  fi
  apt-get "${options[@]}" -qq "$@"
}

# unpack_packages SUITE FOLDER PACKAGE…: unpacks packages into FOLDER as if it were the root.
unpack_packages() {
  local suite=$1 into=$2 debs=$project/vendor/apt/debs.part deb
  shift 2
  rm -rf "$debs"
  mkdir -p "$debs" "$into"
  (cd "$debs" && private_apt "$suite" download "$@") || return 1
  for deb in "$debs"/*.deb; do dpkg-deb -x "$deb" "$into"; done
  rm -rf "$debs"
}

# unpack_source SUITE FOLDER PACKAGE: unpacks a source package with Debian's patches into FOLDER/PACKAGE.
unpack_source() {
  local suite=$1 into=$2 package=$3 sources=$project/vendor/apt/source.part patch
  rm -rf "$sources" "${into:?}/$package"
  mkdir -p "$sources" "$into/$package"
  (cd "$sources" && private_apt "$suite" source --download-only "$package") || return 1
  tar -xf "$(ls "$sources"/*.orig.tar.?z)" --strip-components=1 -C "$into/$package"
  tar -xf "$(ls "$sources"/*.debian.tar.?z)" -C "$into/$package"
  while read -r patch; do
    case $patch in '' | '#'*) continue ;; esac
    patch -d "$into/$package" -p1 -s <"$into/$package/debian/patches/$patch" || return 1
  done <"$into/$package/debian/patches/series"
  rm -rf "$sources"
}
