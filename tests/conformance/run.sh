#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The public TUF conformance suite against our client.
#
#   TUF_CONFORMANCE=DIR [PYTHON=…] [TUF_CLIENT=…] tests/conformance/run.sh [PYTEST ARGUMENT…]
#
# DIR is a checkout of theupdateframework/tuf-conformance. PYTHON (default python3) is used when it has what the suite
# imports; else pip installs the checkout into an environment of its own in the build folder. TUF_CLIENT is
# the client to test, by default the release build's. Without a checkout, Python modules or faketime this is no
# failure: it says so and exits with 77.
set -euo pipefail

skip() {
    printf 'conformance: skipped: %s\n' "$1"
    exit 77
}

here=$(cd "$(dirname "$0")" && pwd)
build=${EDGE_BUILD:-$here/../../build/release}
client=${TUF_CLIENT:-$build/bin/tuf_client}
suite=${TUF_CONFORMANCE:-}
python=${PYTHON:-python3}

[[ -n $suite ]] || skip 'TUF_CONFORMANCE names no checkout of theupdateframework/tuf-conformance'
[[ -f $suite/tuf_conformance/conftest.py ]] || skip "$suite is no checkout of tuf-conformance"
[[ -x $client ]] || skip "$client is not built"
command -v faketime >/dev/null || skip 'faketime is not installed'

# faketime is preloaded and so comes before the sanitizer's library, which does not mind when told.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0"
export PYTHONDONTWRITEBYTECODE=1

imports='import pytest, tuf.api.metadata, securesystemslib.signer, cryptography'
if ! "$python" -c "$imports" 2>/dev/null; then
    "$python" -m venv "$build/tuf-conformance" || skip 'no virtual environment can be made'
    python=$build/tuf-conformance/bin/python3
    "$python" -c "$imports" 2>/dev/null || "$python" -m pip install --quiet "$suite" ||
        skip 'pip cannot have what the suite imports'
fi

cd "$suite"
exec "$python" -m pytest -q -p no:cacheprovider tuf_conformance --entrypoint "$(realpath "$client")" "$@"
