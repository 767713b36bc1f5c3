#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ctest: serial
#
# The packages hold what they should, where it should be, need the libraries they should, and nothing
# of the machine that built them. Reads the hardened build in EDGE_BUILD.
set -euo pipefail

build=${EDGE_BUILD:?names the build folder of the preset release}
source=${EDGE_SOURCE:?names the checkout}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

fail() {
    printf 'packages: %s\n' "$*" >&2
    failures=$((failures + 1))
}

# holds PACKAGE PATH…: the package has these files.
holds() {
    local package=$1 path
    shift
    for path in "$@"; do
        grep -qx "$path" "$work/$package.files" || fail "$package has no $path"
    done
}

# depends PACKAGE PATTERN yes|no
depends() {
    local found=no
    ! dpkg-deb -f "$work/$1.deb" Depends | grep -Eq "$2" || found=yes
    [[ $found == "$3" ]] || fail "$1: a dependency on $2 is there: $found, expected: $3"
}

unpack() {
    local package=$1 made
    made=$(find "$work/out" -maxdepth 1 -name "${package}_*.deb")
    [[ -f $made ]] || { fail "cpack made no $package package" && return 1; }
    mv "$made" "$work/$package.deb"
    dpkg-deb -x "$work/$package.deb" "$work/$package"
    dpkg-deb -e "$work/$package.deb" "$work/$package.control"
    (cd "$work/$package" && find . ! -type d | sed 's/^\.//' | sort) >"$work/$package.files"
}

# What one package must not: another machine's paths, symbols for a debugger, scripts that do not parse.
clean() {
    local package=$1 script path
    for script in $(find "$work/$package.control" -name 'p*' -printf '%f '); do
        sh -n "$work/$package.control/$script" || fail "$package: $script does not parse"
    done
    ! grep -rlF "$source/" "$work/$package" "$work/$package.control" || fail "$package contains the path of the checkout"
    while read -r path; do
        ! readelf -SW "$work/$package$path" 2>/dev/null | grep -q '\.symtab' || fail "$package: $path is not stripped"
    done <"$work/$package.files"
    lintian --allow-root --fail-on error --suppress-tags initial-upload-closes-no-bugs \
        "$work/$package.deb" || fail "$package: lintian objects"
}

# Every file of `cmake --install` is in exactly one package.
complete() {
    DESTDIR=$work/installed cmake --install "$build" >/dev/null
    (cd "$work/installed" && find . ! -type d | sed 's/^\.//' | sort) >"$work/installed.files"
    sort "$work"/edge*.files >"$work/packaged.files"
    diff "$work/installed.files" "$work/packaged.files" || fail "cmake --install and the packages differ"
}

cpack --config "$build/CPackConfig.cmake" -B "$work/out" >"$work/cpack.log" 2>&1 || {
    cat "$work/cpack.log"
    fail "cpack failed"
}
for package in edgectl edge-agent edge-agent-tpm; do
    unpack "$package" || exit 1
    clean "$package"
    holds "$package" "/usr/share/doc/$package/copyright"
done
for package in edgectl edge-agent; do
    for script in postinst prerm postrm; do
        [[ -x $work/$package.control/$script ]] || fail "$package has no $script"
    done
    holds "$package" "/usr/bin/$package" "/usr/lib/sysusers.d/$package.conf"
    depends "$package" 'libc6 ' yes
    depends "$package" libsodium23 yes
    depends "$package" libjansson4 yes
    grep -q "/usr/share/man/man[18]/$package\.[18]\.gz" "$work/$package.files" || fail "$package has no man page"
done
holds edgectl /usr/lib/systemd/system/edgectl-serve.service
holds edge-agent /usr/libexec/edge-agent/edge-agent-worker /usr/lib/systemd/system/edge-agent.service
holds edge-agent-tpm /usr/libexec/edge-agent/edge-agent-counter
depends edge-agent-tpm 'libtss2-esys' yes
depends edge-agent-tpm 'edge-agent \(= ' yes
depends edge-agent libtss2 no
for library in libarchive libsqlite3 libmicrohttpd libyaml; do
    depends edgectl "$library" yes
    depends edge-agent "$library" no
done
grep -q '^ExecStart=/usr/bin/edge-agent ' "$work/edge-agent/usr/lib/systemd/system/edge-agent.service" ||
    fail "the agent's unit does not start the installed program"
complete

[[ $failures -eq 0 ]] || exit 1
printf 'packages: edgectl, edge-agent and edge-agent-tpm are complete and clean\n'
