#!/usr/bin/env bash
# Unpacks Debian's packages of an older C library into vendor/sysroot, without root. Programs linked to it run on older systems,
# too. The compiler is that of the system: bin/cc and bin/c++ start it with the older library. Prints the folder.
set -euo pipefail
cd "$(dirname "$0")/.."
project=$PWD
. scripts/private-apt.sh

suite=bullseye # glibc 2.31: Debian 11, Ubuntu 20.04, RHEL 9 and all later ones
root=$project/vendor/sysroot
made="$suite 2"
if [ "$(cat "$root/made" 2>/dev/null)" != "$made" ]; then
  rm -rf "$root" "$root.part"
  unpack_packages "$suite" "$root.part" libc6 libc6-dev linux-libc-dev libcrypt1 libcrypt-dev libgcc-s1 libstdc++6 libgomp1 >&2 ||
    { echo "sysroot: failed to fetch $suite's C library; this needs apt-get with Debian's keys" >&2; exit 1; }
  find "$root.part" -type l -lname '/*' | while read -r link; do
    ln -sfn "$root$(readlink "$link")" "$link" # an absolute link would leave the folder
  done
  # The compiler searches its C++ headers here; their library is that of the older system.
  ln -s /usr/include/c++ "$root.part/usr/include/c++"
  ln -s /usr/include/x86_64-linux-gnu/c++ "$root.part/usr/include/x86_64-linux-gnu/c++"
  mkdir "$root.part/cxx"
  ln -s ../usr/lib/x86_64-linux-gnu/libstdc++.so.6 "$root.part/cxx/libstdc++.so"
  ln -s ../usr/lib/x86_64-linux-gnu/libgomp.so.1 "$root.part/cxx/libgomp.so"
  ln -s ../lib/x86_64-linux-gnu/libgcc_s.so.1 "$root.part/cxx/libgcc_s.so.1"
  mkdir "$root.part/bin"
  for tool in cc:gcc c++:g++; do
    # -B and -L: without them the compiler searches its own folder before the system root.
    cat >"$root.part/bin/${tool%:*}" <<SH
#!/bin/sh
exec ${tool#*:} --sysroot=$root -B$root/usr/lib/x86_64-linux-gnu -L$root/cxx -L$root/usr/lib/x86_64-linux-gnu "\$@"
SH
    chmod +x "$root.part/bin/${tool%:*}"
  done
  echo "$made" >"$root.part/made"
  mv "$root.part" "$root"
fi
echo "$root"
