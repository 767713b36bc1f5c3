#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# on_activate of an image: tells the boot loader which slot to start from next time. Run by edge-agent after each swap and
# each way back, when the image was read back and found right; what fails here makes it go back.
#
#   switch.sh FILE     FILE stands in for the boot loader's variables
#
# On a device one command takes the place of the last three lines, such as
#   fw_setenv rootfs "$slot"                 (U-Boot)
#   grub-editenv /boot/grub/grubenv set rootfs="$slot"
# followed by a restart of the machine when it suits.
set -eu
slot=$(readlink "$EDGE_CURRENT/$EDGE_COMPONENT_NAME/image")
printf 'rootfs=%s\n' "$slot" >"$1.new"
sync "$1.new"
mv "$1.new" "$1"
