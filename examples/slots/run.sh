#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A file system updated as an image, on one machine and without root: two files take the place of two partitions, a
# third one that of the boot loader's variables.
#
#   run.sh [DIR]     works in DIR, which must be absent; else in a temporary folder that is removed
#
# Needs edgectl and edge-agent (EDGECTL and EDGE_AGENT name others) and mke2fs, debugfs from e2fsprogs.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
edgectl=${EDGECTL:-edgectl}
edge_agent=${EDGE_AGENT:-edge-agent}
export PATH="$PATH:/usr/sbin:/sbin" EDGECTL_PASSPHRASE="${EDGECTL_PASSPHRASE:-for this example alone}"

if [ $# -gt 0 ]; then
    mkdir "$1"
    work=$(cd "$1" && pwd)
else
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' HUP INT TERM
fi
cd "$work"

say() { printf '\n── %s\n' "$*"; }
expect() { [ "$1" = "$2" ] || { printf 'run.sh: %s where %s was expected\n' "$1" "$2" >&2; exit 1; }; }

# What the machine would start from: the slot by the boot loader's word, and what is in the file system there.
started() {
    slot=$(sed -n 's/^rootfs=//p' boot.env)
    printf '%s has release %s\n' "${slot##*/}" "$(debugfs -R 'cat /etc/release' "$slot" 2>/dev/null)"
}

say 'Two releases of a file system, each an image of 8 MiB, as bundles'
"$edgectl" init ws >/dev/null
for release in 1.0 1.1; do
    mkdir -p "tree-$release/etc"
    printf '%s' "$release" >"tree-$release/etc/release"
    mke2fs -q -t ext4 -d "tree-$release" "os-$release.ext4" 8M >/dev/null
    "$edgectl" bundle create --workspace ws --name os --version "$release" --image "rootfs=os-$release.ext4" -o "os-$release.edge" >/dev/null
done

say 'A device with two slots, larger than the images'
mkdir device
cp ws/root.json device/
truncate -s 16M device/slot-a device/slot-b
sed -e "s|/etc/edge-agent/switch.sh|$here/switch.sh|" -e "s|/boot/boot.env|$work/boot.env|" "$here/agent.json" >device/agent.json
"$edge_agent" check --config device/agent.json

say 'Installed: into the first slot'
"$edge_agent" install --quiet --config device/agent.json os-1.0.edge
started
expect "$(started)" 'slot-a has release 1.0'

say 'Updated: into the other one, while the first goes on running'
"$edge_agent" install --quiet --config device/agent.json os-1.1.edge
started
expect "$(started)" 'slot-b has release 1.1'
"$edge_agent" status --config device/agent.json

say 'Gone back: nothing is written, the slot is read again and hashed'
"$edge_agent" rollback --quiet --config device/agent.json
started
expect "$(started)" 'slot-a has release 1.0'
