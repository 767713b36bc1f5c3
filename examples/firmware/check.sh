#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Checks what build.sh makes: the same tree twice, another for another version, and fit to boot.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

fail() { printf 'check.sh: %s\n' "$*" >&2; exit 1; }
archive() { tar --sort=name --owner=0 --group=0 -C "$1" -cf - . | sha256sum; }

"$here/build.sh" "$tmp/a" 1.0
"$here/build.sh" "$tmp/b" 1.0 >/dev/null
"$here/build.sh" "$tmp/c" 1.1 >/dev/null

[ "$(archive "$tmp/a")" = "$(archive "$tmp/b")" ] || fail 'two builds of one version differ'
grep -qx VERSION_ID=1.1 "$tmp/c/etc/os-release" || fail 'os-release has another version'
changed=$(diff -rq --no-dereference "$tmp/a" "$tmp/c" | sed "s|$tmp/||g") || true
for path in etc/inittab etc/os-release 'etc: sysctl.conf'; do
    case $changed in
    *"$path"*) ;;
    *) fail "1.1 does not change $path: $changed" ;;
    esac
done

if "$here/build.sh" "$tmp/a" 1.2 2>/dev/null; then fail 'a directory in use was written into'; fi
if "$here/build.sh" "$tmp/d" '1/2' 2>/dev/null; then fail 'a version with a slash was taken'; fi

# What an updater of files carries: files, folders and links that stay inside.
odd=$(find "$tmp/c" ! -type f ! -type d ! -type l -o ! -type l -perm /7022)
[ -z "$odd" ] || fail "special files, or writable by others: $odd"
find "$tmp/c" -type l | while IFS= read -r link; do
    case $(realpath "$link") in
    "$(realpath "$tmp")"/c/*) ;;
    *) fail "$link leads out of the tree, or nowhere" ;;
    esac
done

# Each program that init starts is there, and each script is one that this busybox understands.
sed 's/^[^:]*:[^:]*:[^:]*://; s/ .*//' "$tmp/c/etc/inittab" | while IFS= read -r program; do
    [ -x "$tmp/c$program" ] || fail "inittab starts $program, which is not in the tree"
done
for script in "$tmp"/c/etc/init.d/* "$tmp/c/usr/share/udhcpc/default.script"; do
    "$tmp/c/bin/sh" -n "$script" || fail "$script is no shell script"
done
printf 'check.sh: ok\n'
