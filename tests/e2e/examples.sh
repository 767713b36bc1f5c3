#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The examples' own checks: the models against a second implementation, the applications by their interfaces, the firmware tree,
# an image in slots.
set -euo pipefail
cd "${EDGE_SOURCE:?}"
examples/vibration/check.py
examples/firmware/check.sh
examples/slots/run.sh
