#!/usr/bin/env bash
# Unpacks an archive in another root file system, e.g. from debootstrap, and runs --version, doctor and demo there without root
# and without a network. Needs root for chroot.
#   scripts/try_dist.sh dist/reeldeck-VERSION-x86_64-linux.tar.gz ROOT
set -euo pipefail
archive=$1 root=$2
name=$(basename "$archive" .tar.gz)
home=$root/home/tester
chroot "$root" id tester >/dev/null 2>&1 || chroot "$root" /usr/sbin/useradd --create-home tester
rm -rf "${home:?}/$name" "$home/demo"
cp "$archive" "$home/"
mount --bind /proc "$root/proc"
trap 'umount "$root/proc"' EXIT
run() {
  printf '\n$ %s\n' "$1"
  unshare --net chroot --userspec=tester "$root" /bin/sh -c "export HOME=/home/tester LANG=C.UTF-8; cd; $1" || printf '(exit code %s)\n' $?
}
sed -n 's/^PRETTY_NAME=//p' "$root/etc/os-release"
run 'ldd --version | head -n 1'
run "tar xf $name.tar.gz"
run "$name/reeldeck --version"
run "$name/reeldeck doctor"
run "$name/reeldeck demo --dir demo"
run "$name/reeldeck verify --root demo/data --out demo/out --checkpoint seeded"
run "ls -l demo/out/exports/*"
