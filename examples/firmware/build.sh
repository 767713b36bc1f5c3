#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds a small root file system from Debian's busybox-static: something real to update as a
# component of files.
#
#   build.sh DIR VERSION     DIR must be absent or empty
#
# The package comes by apt-get download; with no network, from what is installed. FIRMWARE_DEB=FILE
# names a package instead (of another architecture, say; then nothing of it is run).
# From version 1.1 on the tree has a watchdog and a hardened kernel configuration, so that an update
# changes what the device does. The same package and version give the same tree, times included
# (SOURCE_DATE_EPOCH, if set). No account has a password: nobody can log in until you give one.
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

# put MODE PATH: stdin into a file of the tree.
put() {
    mkdir -p "$tree/$(dirname "$2")"
    cat >"$tree/$2"
    chmod "$1" "$tree/$2"
}

write_configuration() {
    for dir in dev mnt proc root run sys tmp var; do
        mkdir "$tree/$dir"
    done
    ln -s ../run "$tree/var/run"
    ln -s ../tmp "$tree/var/tmp"
    put 0644 etc/os-release <<END
NAME="Example firmware"
ID=example-firmware
VERSION_ID=$version
PRETTY_NAME="Example firmware $version"
BUSYBOX_PACKAGE_VERSION=$package_version
END
    put 0644 etc/issue <<END
Example firmware $version \n \l

END
    put 0644 etc/hostname <<'END'
edge
END
    put 0644 etc/hosts <<'END'
127.0.0.1 localhost edge
::1       localhost edge
END
    put 0644 etc/passwd <<'END'
root:*:0:0:root:/root:/bin/sh
inference:*:100:100:inference application:/run:/bin/false
END
    put 0644 etc/group <<'END'
root:x:0:
inference:x:100:
END
    put 0644 etc/fstab <<'END'
proc   /proc proc     defaults                       0 0
sysfs  /sys  sysfs    defaults                       0 0
tmpfs  /run  tmpfs    mode=0755,nosuid,nodev         0 0
tmpfs  /tmp  tmpfs    mode=1777,nosuid,nodev,size=16m 0 0
END
    put 0644 etc/default/network <<'END'
# The interface that asks for an address, and how long it asks before the boot goes on without one.
INTERFACE=eth0
DHCP_TRIES=5
END
    put 0644 etc/default/syslog <<'END'
# The log lives in memory: flash wears out. KiB of the ring that logread shows.
RING_KIB=128
END
    put 0755 etc/init.d/rcS <<'END'
#!/bin/sh
# Run once by init: file systems, devices, then what stands in S??* in order.
mount -a -t proc,sysfs,tmpfs
mount -t devtmpfs devtmpfs /dev 2>/dev/null || mdev -s
hostname -F /etc/hostname
[ ! -f /etc/sysctl.conf ] || sysctl -q -p /etc/sysctl.conf
for script in /etc/init.d/S??*; do
    [ ! -x "$script" ] || "$script" start || logger -t init "$script failed"
done
END
    put 0755 etc/init.d/S40network <<'END'
#!/bin/sh
# Loopback always, one interface by DHCP.
. /etc/default/network
pid=/run/udhcpc.$INTERFACE.pid
case $1 in
start)
    ip link set lo up
    ip link set "$INTERFACE" up &&
        udhcpc -b -i "$INTERFACE" -p "$pid" -t "$DHCP_TRIES" -s /usr/share/udhcpc/default.script
    ;;
stop)
    [ ! -f "$pid" ] || kill "$(cat "$pid")"
    ip link set "$INTERFACE" down
    ;;
*)
    echo "usage: $0 start|stop" >&2
    exit 2
    ;;
esac
END
    put 0755 etc/init.d/syslog <<'END'
#!/bin/sh
# Kept running by init.
. /etc/default/syslog
exec syslogd -n -C"$RING_KIB"
END
    {
        cat <<'END'
::sysinit:/etc/init.d/rcS
::respawn:/etc/init.d/syslog
::respawn:/sbin/getty -L 115200 console vt100
::ctrlaltdel:/sbin/reboot
::shutdown:/bin/umount -a -r
END
        if has_watchdog; then
            echo '::respawn:/sbin/watchdog -F -t 5 -T 60 /dev/watchdog'
        fi
    } | put 0644 etc/inittab
    if has_watchdog; then
        put 0644 etc/sysctl.conf <<'END'
# A kernel that is lost restarts, so that the update before it can be reverted.
kernel.panic = 10
kernel.panic_on_oops = 1
kernel.dmesg_restrict = 1
kernel.kptr_restrict = 2
fs.protected_hardlinks = 1
fs.protected_symlinks = 1
net.ipv4.conf.all.rp_filter = 1
net.ipv4.conf.all.accept_redirects = 0
END
    fi
}

has_watchdog() { dpkg --compare-versions "$version" ge 1.1; }

fetch_package
mkdir -p "$tree"
install_busybox
write_configuration
find "$tree" -depth -exec touch -h -d "@${SOURCE_DATE_EPOCH:-1704067200}" {} +
printf '%s: example firmware %s, busybox-static %s, %s files and links, %s KiB\n' \
    "$tree" "$version" "$package_version" \
    "$(find "$tree" ! -type d | wc -l)" "$(du -sk "$tree" | cut -f1)"
