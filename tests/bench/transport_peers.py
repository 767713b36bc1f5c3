# SPDX-License-Identifier: Apache-2.0
"""What other tools would bring to a device for the same step, each as Debian packages it: bytes to download.

A peer gets two files: for a tree, a tar of each of its versions. Those that only find differences (rdiff) are given
zstd -19 on top, as whoever used them would; of several settings the best counts. What a device must send first (rdiff's
signature) is not counted against them. OSTree works on trees only.
"""

import hashlib
import lzma
import os
import re
import shutil
from dataclasses import dataclass

from measure import Failed, note, run

# bsdiff sorts all suffixes at once: 17 bytes of memory for each old byte, and hours above this size.
BSDIFF_MEMORY_FACTOR = 17
BSDIFF_MAX_BYTES = 128 * 1024 * 1024
RDIFF_BLOCKS = (512, 1024, 2048)
CASYNC_CHUNKS = (16384, 65536)
RAUC_BLOCK_BYTES = 4096  # of its index; a digest of 32 bytes for each
RAUC_DIGEST_BYTES = 32
RAUC_SQUASHFS_BYTES = (4096, 32768, 131072)  # what mksquashfs compresses at a time: -b
XDELTA_WINDOW_BYTES = 64 * 1024 * 1024  # its default
XDELTA_WINDOW_MAX_BYTES = 2**31 - 1


@dataclass(frozen=True)
class Pair:
    """Two versions as files and, of a tree, also as folders; `work` is an empty folder to use."""

    old: str
    new: str
    work: str
    old_tree: str = ""
    new_tree: str = ""

    def at(self, *parts):
        return os.path.join(self.work, *parts)


def _size(path):
    return os.path.getsize(path)


def _zstd(pair, source):
    target = pair.at("out.zst")
    run("zstd", "-q", "-19", "-T0", "-f", source, "-o", target)
    return _size(target)


def full(pair):
    return _zstd(pair, pair.new)


def patch_from(pair):
    target = pair.at("patch.zst")
    run("zstd", "-q", "-19", "--long=31", f"--patch-from={pair.old}", "-f", pair.new, "-o", target)
    return _size(target)


def xdelta3(pair):
    target = pair.at("xdelta")
    window = min(max(_size(pair.old), XDELTA_WINDOW_BYTES), XDELTA_WINDOW_MAX_BYTES)
    run("xdelta3", "-e", "-f", "-9", "-B", str(window), "-s", pair.old, pair.new, target)
    return _size(target)


def rdiff(pair):
    sizes = []
    for block in RDIFF_BLOCKS:
        run("rdiff", "-f", "-b", str(block), "signature", pair.old, pair.at("signature"))
        run("rdiff", "-f", "delta", pair.at("signature"), pair.new, pair.at("delta"))
        sizes.append(_zstd(pair, pair.at("delta")))
    return min(sizes)


def _available_bytes():
    with open("/proc/meminfo", encoding="ascii") as f:
        return 1024 * int(re.search(r"^MemAvailable: +(\d+)", f.read(), re.M).group(1))


def bsdiff(pair):
    old = _size(pair.old)
    if old > BSDIFF_MAX_BYTES or BSDIFF_MEMORY_FACTOR * old > _available_bytes() // 2:
        note(f"bsdiff left out: {old / 1e6:.0f} MB are too many for it")
        return None
    run("bsdiff", pair.old, pair.new, pair.at("bsdiff"))
    return _size(pair.at("bsdiff"))


def _files(folder):
    return {name: _size(os.path.join(place, name)) for place, _, names in os.walk(folder) for name in names}


def casync(pair):
    sizes = []
    for chunk in CASYNC_CHUNKS:
        stores = []
        for side, path in (("old", pair.old), ("new", pair.new)):
            stores.append(pair.at(f"{side}.castr"))
            run("casync", "make", f"--store={stores[-1]}", f"--chunk-size={chunk}", pair.at(f"{side}.caibx"), path)
        held, wanted = map(_files, stores)
        sizes.append(_size(pair.at("new.caibx")) + sum(size for name, size in wanted.items() if name not in held))
        for store in stores:
            shutil.rmtree(store)
    return min(sizes)


def zchunk(pair):
    for side, path in (("old", pair.old), ("new", pair.new)):
        run("zck", path, "-o", pair.at(f"{side}.zck"))
    said = run("zck_delta_size", pair.at("old.zck"), pair.at("new.zck")).decode()
    found = re.search(r"Would download (\d+) of", said)
    if not found:
        raise Failed(f"zck_delta_size says something else: {said!r}")
    return int(found.group(1))


def _blocks(path, size):
    with open(path, "rb") as f:
        while block := f.read(size):
            yield block


def _digest(block):
    return hashlib.blake2b(block, digest_size=16).digest()


def rauc_adaptive(pair):
    """`adaptive=block-hash-index`: of the bundle, a squashfs on a network block device, the index and those blocks of the device that
    hold anything of a block which the old image has nowhere. Added up rather than installed: that device needs a kernel that has it."""
    held = {_digest(block) for block in _blocks(pair.old, RAUC_BLOCK_BYTES)}
    index = RAUC_DIGEST_BYTES * -(-_size(pair.new) // RAUC_BLOCK_BYTES)
    lacking = {digest: len(block) for block in _blocks(pair.new, RAUC_BLOCK_BYTES) if (digest := _digest(block)) not in held}
    sizes = [sum(lacking.values())]  # not compressed
    for block_bytes in RAUC_SQUASHFS_BYTES:
        fetched, end = set(), 0
        for block in _blocks(pair.new, block_bytes):
            begin, end = end, end + min(len(lzma.compress(block, lzma.FORMAT_XZ, lzma.CHECK_CRC32)), len(block))
            if any(_digest(block[at:at + RAUC_BLOCK_BYTES]) not in held for at in range(0, len(block), RAUC_BLOCK_BYTES)):
                fetched.update(range(begin // RAUC_BLOCK_BYTES, (end - 1) // RAUC_BLOCK_BYTES + 1))
        sizes.append(RAUC_BLOCK_BYTES * len(fetched))
    return index + min(sizes)


def ostree(pair):
    if not pair.old_tree:
        return None
    repo = f"--repo={pair.at('repo')}"
    run("ostree", repo, "init", "--mode=bare-user")
    commits = []
    for tree in (pair.old_tree, pair.new_tree):
        commits.append(run("ostree", repo, "commit", "--branch=b", "--no-xattrs", "--canonical-permissions",
                           f"--tree=dir={tree}").decode().strip())
    run("ostree", repo, "static-delta", "generate", f"--from={commits[0]}", f"--to={commits[1]}",
        "--min-fallback-size=0", "--max-bsdiff-size=4096", "--max-chunk-size=4096")
    return sum(_files(pair.at("repo", "deltas")).values())


# Those that need no work at the server for each pair of versions.
BY_RANGE = ("casync", "zchunk", "rauc-adaptive")

# Name in the metric: the program that must be there, what measures it.
PEERS = {
    "zstd": ("zstd", full),
    "zstd-patch-from": ("zstd", patch_from),
    "xdelta3": ("xdelta3", xdelta3),
    "rdiff": ("rdiff", rdiff),
    "bsdiff": ("bsdiff", bsdiff),
    "casync": ("casync", casync),
    "zchunk": ("zck", zchunk),
    "rauc-adaptive": ("rauc", rauc_adaptive),
    "ostree": ("ostree", ostree),
}


def measure(pair):
    """Yields (peer, bytes) for each that is installed and can do it."""
    for name, (program, action) in PEERS.items():
        if not shutil.which(program):
            note(f"{name} left out: {program} is not installed (apt-get install {'zchunk' if program == 'zck' else program})")
            continue
        os.makedirs(pair.work, exist_ok=True)
        try:
            size = action(pair)
        except (OSError, Failed) as error:
            note(f"{name} left out: {error}")
            size = None
        shutil.rmtree(pair.work, ignore_errors=True)
        if size is not None:
            yield name, size
