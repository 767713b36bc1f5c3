#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The public TUF conformance suite against our client.
#
#   TUF_CONFORMANCE=DIR [PYTHON=…] [TUF_CLIENT=…] tests/conformance/run.sh [PYTEST ARGUMENT…]
#
# DIR is a checkout of theupdateframework/tuf-conformance. PYTHON (default python3) is used when it has what the suite
# imports; else pip installs the checkout into an environment of its own in the build folder. TUF_CLIENT is
# the client to test, by default the release build's. Without TUF_CONFORMANCE it says so and exits with 77.
set -euo pipefail

die() {
    printf 'conformance: %s\n' "$1" >&2
    exit 1
}

here=$(cd "$(dirname "$0")" && pwd)
build=${EDGE_BUILD:-$here/../../build/release}
client=${TUF_CLIENT:-$build/bin/tuf_client}
suite=${TUF_CONFORMANCE:-}
python=${PYTHON:-python3}

if [[ -z $suite ]]; then
    printf 'skipped: TUF_CONFORMANCE names no checkout of theupdateframework/tuf-conformance\n'
    exit 77
fi
[[ -f $suite/tuf_conformance/conftest.py ]] ||
    die "TUF_CONFORMANCE: $suite is no checkout of theupdateframework/tuf-conformance"
[[ -x $client ]] || die "$client is not there: build the target tuf_client, or name another with TUF_CLIENT"
command -v faketime >/dev/null || die 'the package faketime is not installed: tests/deps.sh test'

# faketime is preloaded and so comes before the sanitizer's library, which does not mind when told.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0"
export PYTHONDONTWRITEBYTECODE=1

imports='import pytest, tuf.api.metadata, securesystemslib.signer, cryptography'
if ! "$python" -c "$imports" 2>/dev/null; then
    "$python" -m venv "$build/tuf-conformance" ||
        die 'no virtual environment can be made: install python3-venv, or name with PYTHON one that has what the suite imports'
    python=$build/tuf-conformance/bin/python3
    "$python" -c "$imports" 2>/dev/null || "$python" -m pip install --quiet "$suite" ||
        die "pip did not install what the suite imports: $imports"
fi

cd "$suite"
exec "$python" -m pytest -q -p no:cacheprovider tuf_conformance --entrypoint "$(realpath "$client")" "$@"
