#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The quickstart with fewer devices and the programs under test: a real model on real agents, two good releases, two bad ones. And it leaves
# nothing running and nothing behind.
set -euo pipefail
cd "${EDGE_SOURCE:?}"
TMPDIR=$(mktemp -d)
export TMPDIR
chmod 755 "$TMPDIR"
PROGRAMS=$(dirname "${EDGECTL:?}") DEVICES=${DEVICES:-6} examples/quickstart.sh
left=$(find "$TMPDIR" -mindepth 1 | head -5)
[ -z "$left" ] || { echo "quickstart left: $left" >&2; exit 1; }
if pgrep -f "$TMPDIR" >&2; then
    echo "quickstart left processes running" >&2
    exit 1
fi
rmdir "$TMPDIR"
