# Sourced, with $project set to the project's folder. apt-get for a user without rights: its lists and its cache lie in
# vendor/apt, and the system's own stay as they are. Signatures are checked with the Debian keys that the system has.

# private_apt SUITE …: apt-get with these arguments; fails where there is no apt-get or there are no keys.
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
    : >"$here/status" # as if nothing were installed: versions are the suite's
    printf 'deb%s [signed-by='"$keys"'] http://deb.debian.org/debian '"$suite"' main\n' '' -src >"$here/sources.list"
    apt-get "${options[@]}" -qq update && touch "$here/updated" || return 1
  fi
  apt-get "${options[@]}" -qq "$@"
}

# unpack_packages SUITE FOLDER PACKAGE…: the packages' files, as they would lie in the root.
unpack_packages() {
  local suite=$1 into=$2 debs=$project/vendor/apt/debs.part deb
  shift 2
  rm -rf "$debs"
  mkdir -p "$debs" "$into"
  (cd "$debs" && private_apt "$suite" download "$@") || return 1
  for deb in "$debs"/*.deb; do dpkg-deb -x "$deb" "$into"; done
  rm -rf "$debs"
}

# unpack_source SUITE FOLDER PACKAGE: a source package with Debian's patches, in FOLDER/PACKAGE.
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
