#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The one list of Debian packages this project needs, and how to install them.
#
#   tests/deps.sh [GROUP…]          installs what is missing of these groups; without a group, of all
#   tests/deps.sh --list [GROUP…]   prints the names and changes nothing
#
# Groups: build (the programs), test (tests/run.sh), example (examples/), fuzz (the preset fuzz).
# Runs as root or through sudo, on Debian 12 or later and what is derived from it.
set -euo pipefail

build=(
    gcc libc6-dev cmake ninja-build pkg-config python3 dpkg-dev file
    libjansson-dev libsodium-dev libzstd-dev liblzma-dev libbz2-dev libarchive-dev libcurl4-openssl-dev libssl-dev
    libsqlite3-dev libmicrohttpd-dev libyaml-dev libp11-kit-dev
    libtss2-dev libdivsufsort-dev
)
test=(
    libcriterion-dev binutils man-db lintian python3-jsonschema
    curl openssl zstd procps e2fsprogs busybox-static tzdata softhsm2 opensc swtpm faketime nginx
)
# Arm NN's packages carry the number of its interface in their names; see versioned().
example=(
    python3 python3-numpy python3-flatbuffers python3-pyarmnn 'libarmnn-cpuref-backend[0-9]+' busybox-static
)
fuzz=(clang)
groups=(build test example)

die() {
    printf 'deps: %s\n' "$*" >&2
    exit 1
}

# The names of the chosen groups, one a line.
wanted() {
    local group
    for group in "$@"; do
        case $group in
        build) printf '%s\n' "${build[@]}" ;;
        test) printf '%s\n' "${test[@]}" ;;
        example) printf '%s\n' "${example[@]}" ;;
        fuzz) printf '%s\n' "${fuzz[@]}" ;;
        *) die "there is no group '$group'; there are build, test, example and fuzz" ;;
        esac
    done | sort -u
}

# Reads names and prints those that are not installed. A name with a pattern in it counts as installed
# when any package of that pattern is.
missing() {
    local name installed
    installed=$(dpkg-query -W -f '${db:Status-Abbrev}\t${Package}\n' | sed -n 's/^ii *\t//p')
    while read -r name; do
        grep -Eqx -e "$name" <<<"$installed" || printf '%s\n' "$name"
    done
}

# Reads names and replaces each pattern by the newest package that matches it.
versioned() {
    local name found
    while read -r name; do
        if [[ $name == *'['* ]]; then
            found=$(apt-cache search --names-only "^$name\$" | awk '{print $1}' | sort -V | tail -n 1)
            [[ -n $found ]] || die "this release has no package that matches $name"
            name=$found
        fi
        printf '%s\n' "$name"
    done
}

# What apt-get says matters only when it fails.
quietly() {
    "$@" >"$log" 2>&1 || {
        cat "$log" >&2
        die "this failed: $*"
    }
}

main() {
    local as_root=() lacking list=no
    [[ ${1:-} != --list ]] || { list=yes && shift; }
    [[ $# -gt 0 ]] || set -- "${groups[@]}"
    local names
    names=$(wanted "$@")
    if [[ $list == yes ]]; then
        printf '%s\n' "$names"
        return
    fi
    command -v apt-get >/dev/null && command -v dpkg-query >/dev/null ||
        die "this is no Debian system; install the equivalents of: ${names//$'\n'/ }"
    lacking=$(missing <<<"$names")
    if [[ -z $lacking ]]; then
        printf 'deps: all packages for %s are installed\n' "$*"
        return
    fi
    if [[ $(id -u) -ne 0 ]]; then
        command -v sudo >/dev/null ||
            die "run this as root: apt-get install ${lacking//$'\n'/ }"
        as_root=(sudo)
    fi
    printf 'deps: installing with apt-get: %s\n' "${lacking//$'\n'/ }"
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    quietly "${as_root[@]}" apt-get -q=2 update
    lacking=$(versioned <<<"$lacking")
    # shellcheck disable=SC2086  # one word per package
    quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -q=2 -o Dpkg::Use-Pty=0 install --no-install-recommends -y ${lacking//$'\n'/ }
    printf 'deps: done\n'
}

main "$@"
