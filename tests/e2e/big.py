#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# ctest: serial release
"""A bundle of more than 4 GiB, with a file of more than 4 GiB in it: made, listed by tar, verified, installed, and equal.

Sizes and offsets that pass 2^32 are tried on real bytes, in every program that has them. Needs a build without sanitizers (they would
take many minutes) and 14 GB of disk.
"""

import os
import shutil
import subprocess
import tarfile
import tempfile
import time

import fleet
from fleet import check
from lone import Lone

NEEDED_BYTES = 14 * 10**9
BLOCK_BYTES = 32 * 1024 * 1024
BLOCKS = 130  # 4 GiB and 64 MiB
PAGE_BYTES = 4096
AT_MOST_S = 4 * fleet.PATIENCE_S


def why_not():
    """Why this cannot be tried here; None when it can."""
    cache = os.path.join(os.path.dirname(fleet.BIN), "CMakeCache.txt")
    if os.path.exists(cache):
        with open(cache, encoding="utf-8") as f:
            if any(line.startswith("EDGE_SANITIZE:") and line.split("=", 1)[1].strip() for line in f):
                return "this build has sanitizers; tests/run.sh release tries it"
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < NEEDED_BYTES:
        return f"needs {NEEDED_BYTES // 10**9} GB of free disk in {tempfile.gettempdir()}, there are {free // 10**9}"
    return None


def blocks(seed):
    """The contents. No two chunks of it are equal (a chunk is at least a page, but for the last), and none can be compressed:
    random bytes, and at each page the number of the block."""
    block = bytearray(seed)
    for number in range(BLOCKS):
        block[0::PAGE_BYTES] = bytes([number]) * (BLOCK_BYTES // PAGE_BYTES)
        yield block


def timed(what, action):
    begin = time.monotonic()
    result = action()
    print(f"{what}: {time.monotonic() - begin:.0f} s", flush=True)
    return result


def make(path, seed):
    with open(path, "wb") as f:
        for block in blocks(seed):
            f.write(block)


def check_equal(path, seed):
    check(os.path.getsize(path) == BLOCKS * BLOCK_BYTES, f"{path} has {os.path.getsize(path)} bytes")
    with open(path, "rb") as f:
        for number, block in enumerate(blocks(seed)):
            check(f.read(BLOCK_BYTES) == block, f"{path} differs in block {number}")


def check_listed(bundle):
    """Both read it: ours has no extension that they do not know."""
    with tarfile.open(bundle) as tar:
        members = {m.name: m.size for m in tar}
    check(list(members) == ["manifest.json", "index", "data"], f"tarfile lists {members}")
    check(members["data"] > 2**32, f"stored data of {members['data']} bytes: not more than 4 GiB")
    listed = subprocess.run(["tar", "tvf", bundle], capture_output=True, text=True, check=False, timeout=fleet.PATIENCE_S)
    check(listed.returncode == 0 and str(members["data"]) in listed.stdout, f"tar tvf: {listed.stdout}{listed.stderr}")


def test(f):
    seed = os.urandom(BLOCK_BYTES)
    folder = f.path("input")
    os.mkdir(folder)
    timed("make", lambda: make(os.path.join(folder, "big"), seed))
    with open(os.path.join(folder, "version"), "w", encoding="ascii") as out:
        out.write("1.0")
    # Behind the big file, so that its own place is beyond 4 GiB as well.
    with open(os.path.join(folder, "z-last"), "w", encoding="ascii") as out:
        out.write("the last\n")
    bundle = timed("create", lambda: f.bundle("big", "1.0", {"app": folder}))
    check(os.path.getsize(bundle) > 2**32, "the bundle is larger than 4 GiB")
    check_listed(bundle)
    timed("verify", lambda: f.edgectl("bundle", "verify", "--root", f.root, bundle))
    device = Lone(f, "big")
    timed("install", lambda: device.install(bundle, timeout_s=AT_MOST_S).ok())
    status = device.check_clean()
    check(status["components"]["app"]["version"] == "1.0", f"installed: {status}")
    installed = os.path.join(device.state, "current", "app")
    timed("compare", lambda: check_equal(os.path.join(installed, "big"), seed))
    with open(os.path.join(installed, "z-last"), encoding="ascii") as last:
        check(last.read() == "the last\n", "what lies beyond the big file")


reason = why_not()
if reason:
    fleet.skip(reason)
fleet.main(test)
