#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes the pairs that tests/bench/transport measures.
#
#   tests/bench/make-workloads.sh DIR [PART…]      without a part: all
#
#   rootfs     trees v1/, v2/ and their images rootfs-v1.ext4, rootfs-v2.ext4 (420 MiB): Debian 12 without
#              its security suite; then with all upgrades, four more packages and two edited settings
#   programs   node-v1, node-v2 and pg-v1, pg-v2: libnode and postgres before and after security releases
#   weights    v1, v2, v2h in f32, f16, bf16 and i8, .safetensors: see train-weights.py; half an hour
#
# What is there already stays; an image is made anew from its tree. Same packages, same bytes.
# Needs debootstrap, e2fsprogs, gpgv, debian-archive-keyring, python3-numpy and libopenblas0-pthread; for rootfs also
# root. Packages come from the mirror that apt here uses, or MIRROR; of Debian 12 and its security suite (beside the
# mirror, or SECURITY_MIRROR), whatever release apt is set to. When a mirror has dropped a version, NODE_VERSIONS and
# POSTGRES_VERSIONS name others: "OLD NEW".
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

release=bookworm
include=systemd,systemd-sysv,dbus,openssh-server,python3,python3-numpy,curl,ca-certificates,iproute2,udev,kmod,libssl3,openssl
include+=,nano,less,ethtool,gnupg,locales,iptables
later="jq tcpdump rsync socat"
node_package=libnode108 node_versions=${NODE_VERSIONS:-18.20.4+dfsg-1~deb12u2 18.20.4+dfsg-1~deb12u3}
postgres_package=postgresql-15 postgres_versions=${POSTGRES_VERSIONS:-15.18-0+deb12u1 15.20-0+deb12u1}
# 2025-01-01: no date in an image is later, so that it does not tell when it was made.
epoch=1735689600
image_size=420M
image_uuid=0d4be9d2-7c41-4f35-9a3b-5f0e6f2b8a11 image_hash_seed=0d4be9d2-7c41-4f35-9a3b-5f0e6f2b8a12

here=$(cd "$(dirname "$0")" && pwd)
mounted='' private='' from='' security_from=''

die() {
    printf 'make-workloads: %s\n' "$*" >&2
    exit 1
}

usage() {
    sed -n '/^# Makes/,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
}

needs() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || die "$program is not installed"
    done
}

# The archives that apt here is set to, in whichever format that is written.
archives() {
    apt-get --print-uris update 2>/dev/null | sed -n "s#^'\(.*\)/dists/[^']*InRelease' .*#\1#p" | grep -v snapshot || true
}

# Sets `from` and `security_from`.
find_mirrors() {
    from=${MIRROR:-$(archives | grep '/debian$' | head -n 1 || true)}
    [[ -n $from ]] || die "apt here uses no Debian mirror; name one: MIRROR=http://…/debian"
    from=${from%/}
    security_from=${SECURITY_MIRROR:-$(archives | grep 'debian-security$' | head -n 1 || true)}
    security_from=${security_from:-$from-security}
}

# sources OPTIONS: the whole of the release, in apt's older format.
sources() {
    printf "deb $1 %s %s main\n" "$from" "$release" "$from" "$release-updates" "$security_from" "$release-security"
}

# apt-get and apt-cache with lists of their own: the machine's may lack the security suite, or be another release's.
private_apt() {
    local program=$1
    shift
    "$program" -q -o "Dir::Etc::sourcelist=$private/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o "Dir::State::lists=$private/lists" -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache=" "$@"
}

# ── Root file systems ──────────────────────────────────────────────────────────────────────────────

# What a built image does not ship: caches, logs, and what a device makes for itself.
scrub() {
    local tree=$1
    rm -rf "$tree"/var/cache/apt/* "$tree"/var/lib/apt/lists/* "$tree"/var/log/* "$tree"/tmp/* "$tree"/run/* \
        "$tree"/var/cache/ldconfig/* "$tree"/var/cache/debconf/*-old "$tree"/var/lib/dpkg/*-old \
        "$tree"/etc/resolv.conf "$tree"/etc/ssh/ssh_host_*
    : >"$tree/etc/machine-id"
    printf 'device\n' >"$tree/etc/hostname"
    find "$tree"/usr/lib/python3* -name __pycache__ -prune -exec rm -rf {} +
}

# Leaves the tree v2 however the program ends.
unmount() {
    [[ -z $mounted ]] || umount "$mounted"
    mounted=
}

upgrade() {
    local tree=$1
    cp /etc/resolv.conf "$tree/etc/"
    apt-config dump | grep -E '^Acquire::https?::Proxy ' >"$tree/etc/apt/apt.conf.d/99proxy" || true
    sources '' >"$tree/etc/apt/sources.list"
    printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d" # nothing is started in there
    chmod +x "$tree/usr/sbin/policy-rc.d"
    mount -t proc proc "$tree/proc"
    mounted=$tree/proc
    chroot "$tree" sh -c "apt-get update && apt-get -y upgrade &&
        apt-get -y --no-install-recommends install $later && apt-get clean" >upgrade.log 2>&1 ||
        die "upgrading failed; see $PWD/upgrade.log"
    unmount
    rm "$tree/usr/sbin/policy-rc.d" "$tree/etc/apt/apt.conf.d/99proxy"
    cp v1/etc/apt/sources.list "$tree/etc/apt/"
    printf '\nMaxAuthTries 3\nPermitRootLogin no\n' >>"$tree/etc/ssh/sshd_config"
    printf 'net.ipv4.tcp_syncookies = 1\nkernel.kptr_restrict = 2\n' >"$tree/etc/sysctl.d/90-release.conf"
}

# Dates of an inode that mke2fs takes from the tree are cut to the epoch before; ctime, which nobody can set there,
# becomes the mtime afterwards, in the image.
image() {
    local tree=$1 target=$2
    find "$tree" -newermt "@$epoch" -exec touch -h -m -d "@$epoch" {} +
    rm -f "$target.part"
    truncate -s "$image_size" "$target.part"
    E2FSPROGS_FAKE_TIME=$epoch mke2fs -q -t ext4 -b 4096 -m 1 -N 40000 -U "$image_uuid" -L rootfs -O ^has_journal \
        -E "hash_seed=$image_hash_seed,lazy_itable_init=0,root_owner=0:0" -d "$tree" "$target.part"
    find "$tree" -mindepth 1 -printf '/%P\t%Ts\n' | sort | awk -F'\t' '{
        for (i = split("atime mtime ctime", field, " "); i > 0; i--) printf "sif \"%s\" %s @%s\n", $1, field[i], $2
    }' >dates.debugfs
    E2FSPROGS_FAKE_TIME=$epoch debugfs -w -f dates.debugfs "$target.part" >dates.log 2>&1
    rm dates.debugfs dates.log
    mv "$target.part" "$target"
}

rootfs() {
    [[ $(id -u) -eq 0 ]] || die "rootfs needs root"
    needs debootstrap mke2fs debugfs
    local version
    if [[ ! -d v1 ]]; then
        rm -rf --one-file-system v1.part
        debootstrap --variant=minbase --include="$include" "$release" "$PWD/v1.part" "$from" >debootstrap.log ||
            die "debootstrap failed; see $PWD/debootstrap.log"
        mv v1.part v1
    fi
    if [[ ! -d v2 ]]; then
        rm -rf --one-file-system v2.part
        cp -a v1 v2.part
        trap unmount EXIT
        upgrade "$PWD/v2.part"
        mv v2.part v2
    fi
    for version in v1 v2; do
        scrub "$version"
        image "$version" "rootfs-$version.ext4"
    done
}

# ── Programs ───────────────────────────────────────────────────────────────────────────────────────

# program NAME PACKAGE "OLD NEW" PATH: the file at this path (a pattern) of two versions, as NAME-v1 and NAME-v2.
program() {
    local name=$1 package=$2 versions=$3 path=$4 version number=1 found
    for version in $versions; do
        if [[ ! -e $name-v$number ]]; then
            rm -rf unpacked
            mkdir -p unpacked
            (cd unpacked && private_apt apt-get download "$package=$version" >&2) ||
                die "the mirror has no $package $version; it has $(private_apt apt-cache madison "$package" |
                    awk -F' *[|] *' '{print $2}' | sort -uV | paste -sd ' '). See NODE_VERSIONS and POSTGRES_VERSIONS"
            dpkg-deb -x unpacked/*.deb unpacked
            found=$(find unpacked -path "unpacked/$path" -type f)
            [[ -f $found ]] || die "$package $version has no $path"
            cp "$found" "$name-v$number"
            rm -rf unpacked
        fi
        number=$((number + 1))
    done
}

programs() {
    needs dpkg-deb apt-get
    private=$PWD/apt
    mkdir -p "$private/lists/partial"
    sources '[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]' >"$private/sources.list"
    private_apt apt-get update >&2
    program node "$node_package" "$node_versions" '*/libnode.so.*'
    program pg "$postgres_package" "$postgres_versions" '*/bin/postgres'
    rm -rf "$private"
}

# ── Weights ────────────────────────────────────────────────────────────────────────────────────────

# Their own Python, since numpy comes from Debian.
weights() {
    local kind
    for kind in f32 f16 bf16 i8; do
        if [[ ! -e v2h.$kind.safetensors ]]; then
            /usr/bin/python3 "$here/train-weights.py" .
            return
        fi
    done
}

main() {
    local part folder
    case ${1:-} in
    -h | --help) usage && exit 0 ;;
    '' | -*) usage >&2 && exit 2 ;;
    esac
    folder=$1
    shift
    [[ $# -gt 0 ]] || set -- rootfs programs weights
    for part in "$@"; do
        [[ $part =~ ^(rootfs|programs|weights)$ ]] || die "there is no part '$part'; there are rootfs, programs and weights"
    done
    mkdir -p "$folder"
    cd "$folder"
    find_mirrors
    for part in "$@"; do
        "$part"
    done
}

main "$@"
