#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds a small root file system from Debian's busybox-static: something real to update as a
# component of files.
#
#   build.sh DIR VERSION     DIR must be absent or empty
#
# The package comes by apt-get download; with no network, from what is installed. FIRMWARE_DEB=FILE
# names a package instead (of another architecture, say; then nothing of it is run).
# The configuration is what lies in files/, and from version 1.1 on, over it, in files-1.1/: a
# watchdog and kernel settings, so that an update changes what the device does.
# The same package and version give the same tree, times included (SOURCE_DATE_EPOCH, if set). No
# account has a password: nobody can log in until you give one.
set -eu
umask 022

# Where each applet is expected by scripts and by the kernel (sbin/init).
applets_bin='ash cat chmod chown cp date dd df dmesg echo egrep false fgrep grep gunzip gzip
    hostname kill ln login ls mkdir mknod mktemp more mount mv netstat pidof ping ps pwd rm rmdir
    sed sh sleep stat stty sync tar touch true umount uname usleep vi zcat'
applets_sbin='blockdev fdisk fstrim getty halt hwclock ifconfig init insmod ip klogd losetup lsmod
    mdev modprobe pivot_root poweroff reboot rmmod route start-stop-daemon sulogin swapoff swapon
    switch_root sysctl syslogd udhcpc watchdog'
applets_usr_bin='[ [[ awk basename clear cmp cut diff dirname du env expr find free head hexdump id
    less logger logread md5sum nc nslookup od printf readlink realpath sha256sum sort strings tail
    tee test time timeout top tr traceroute uniq uptime wc wget which whoami xargs'
applets_usr_sbin='chroot crond httpd rdate'

say() { printf 'build.sh: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

[ $# -eq 2 ] || die 'usage: build.sh DIR VERSION'
here=$(cd "$(dirname "$0")" && pwd)
tree=$1
version=$2
case $version in
'' | *[!0-9A-Za-z.+~-]*) die "version \"$version\": letters, digits and . + ~ - only" ;;
esac
[ ! -e "$tree" ] || [ -z "$(ls -A "$tree")" ] ||
    die "$tree is not empty: remove it, or give another directory"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# apt's sandbox user could not write into our folder.
download() {
    (cd "$tmp" && apt-get -qq -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=1 \
        -o Acquire::http::Timeout=15 download busybox-static)
}

# Leaves the package's files in $tmp/package and its version in $package_version.
fetch_package() {
    deb=${FIRMWARE_DEB:-}
    if [ -z "$deb" ] && download >"$tmp/apt.log" 2>&1; then
        deb=$(find "$tmp" -name 'busybox-static_*.deb')
    fi
    if [ -n "$deb" ]; then
        dpkg-deb --extract "$deb" "$tmp/package"
        package_version=$(dpkg-deb --field "$deb" Version)
        return
    fi
    package_version=$(dpkg-query -W -f '${Version}' busybox-static 2>/dev/null) ||
        die "busybox-static is not installed, and no download: $(tail -n 1 "$tmp/apt.log")"
    say "no download ($(tail -n 1 "$tmp/apt.log")), taking the installed package"
    dpkg -L busybox-static | while IFS= read -r path; do
        if [ -f "$path" ] && [ ! -L "$path" ]; then
            mkdir -p "$tmp/package${path%/*}"
            cp "$path" "$tmp/package$path"
        fi
    done
}

# link_applets DIR PATH-TO-BUSYBOX APPLET…: relative links, so that the tree works wherever it lies.
link_applets() {
    dir=$1
    target=$2
    shift 2
    mkdir -p "$tree/$dir"
    for applet; do
        if grep -qxF -e "$applet" "$tmp/applets"; then
            ln -s "$target" "$tree/$dir/$applet"
        else
            say "this busybox has no $applet, left out"
        fi
    done
}

install_busybox() {
    install -D -m 0755 "$tmp/package/bin/busybox" "$tree/bin/busybox" 2>/dev/null ||
        install -D -m 0755 "$tmp/package/usr/bin/busybox" "$tree/bin/busybox"
    # A package of another architecture cannot be asked.
    if ! "$tree/bin/busybox" --list >"$tmp/applets" 2>/dev/null; then
        say 'this machine cannot run the package, taking the applets on trust'
        printf '%s\n' $applets_bin $applets_sbin $applets_usr_bin $applets_usr_sbin >"$tmp/applets"
    fi
    set -f # one applet is called [
    link_applets bin busybox $applets_bin
    link_applets sbin ../bin/busybox $applets_sbin
    link_applets usr/bin ../../bin/busybox $applets_usr_bin
    link_applets usr/sbin ../../bin/busybox $applets_usr_sbin
    set +f
    doc=$tmp/package/usr/share/doc/busybox-static
    # An installed system may have been told to leave documentation out.
    if [ -f "$doc/examples/udhcp/simple.script" ]; then
        install -D -m 0755 "$doc/examples/udhcp/simple.script" \
            "$tree/usr/share/udhcpc/default.script"
        install -D -m 0644 "$doc/examples/mdev.conf" "$tree/etc/mdev.conf"
    fi
    if [ -f "$doc/copyright" ]; then
        install -D -m 0644 "$doc/copyright" "$tree/usr/share/doc/busybox-static/copyright"
    fi
}

# Copies the files below a folder of ours; executable or not is all that counts of their modes.
install_files() {
    (cd "$1" && find . -type f) | while IFS= read -r path; do
        if [ -x "$1/$path" ]; then mode=0755; else mode=0644; fi
        install -D -m "$mode" "$1/$path" "$tree/$path"
    done
}

write_configuration() {
    for dir in dev mnt proc root run sys tmp var; do
        mkdir "$tree/$dir"
    done
    ln -s ../run "$tree/var/run"
    ln -s ../tmp "$tree/var/tmp"
    install_files "$here/files"
    if dpkg --compare-versions "$version" ge 1.1; then
        install_files "$here/files-1.1"
    fi
    cat >"$tree/etc/os-release" <<END
NAME="Example firmware"
ID=example-firmware
VERSION_ID=$version
PRETTY_NAME="Example firmware $version"
BUSYBOX_PACKAGE_VERSION=$package_version
END
    printf 'Example firmware %s \\n \\l\n\n' "$version" >"$tree/etc/issue"
}

fetch_package
mkdir -p "$tree"
install_busybox
write_configuration
find "$tree" -depth -exec touch -h -d "@${SOURCE_DATE_EPOCH:-1704067200}" {} +
printf '%s: example firmware %s, busybox-static %s, %s files and links, %s KiB\n' \
    "$tree" "$version" "$package_version" \
    "$(find "$tree" ! -type d | wc -l)" "$(du -sk "$tree" | cut -f1)"
