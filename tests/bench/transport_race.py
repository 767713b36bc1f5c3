# SPDX-License-Identifier: Apache-2.0
"""How long installs take beside those of other tools, each in turn, round by round, on the same disk.

    install_vs_rauc_ratio          our install of the second image, its download from loopback included, by a device that has
                                   nothing of it / `rauc install` of it from a local file (transport_rauc.py)
    install_vs_rauc_ratio.range    the same by a device that has the first version
    install_vs_rauc_ratio.delta    the same by a delta
    stream_vs_pipe_ratio           the rate of the first of these / that of `curl | zstd -d | dd conv=fsync` of the image
    stream_vs_pipe_ratio.fetched   the same until its last byte had come: what is behind that is the medium's turn, writing back,
                                   reading back and hashing what dd does not look at again
    curl_mib_s                     how fast the same server gives out the bundle to curl: not what anything waits for

Medians of the rounds' ratios. Ours ends when applications can open the new version: it was verified while it was written,
read back from the disk and hashed, and activated durably. All slots hold the first version's bytes to begin with.
"""

import contextlib
import os
import statistics
import subprocess

import transport_rauc
from measure import Failed, metric, note, run, seconds

ROWS = ("rootfs-image",)
MIB = 1024 * 1024


class Race:
    """Of a row whose old and new bundle are at the site. `rauc` may be None."""

    def __init__(self, measured, old, new, rauc):
        self.measured, self.old, self.new, self.rauc = measured, old, new, rauc
        self.bench, self.site = measured.bench, measured.bench.site()
        self.contents = measured.source(2)
        self.times = {}

    def took(self, name, taken_s):
        self.times.setdefault(name, []).append(taken_s)
        note(f"{name} {taken_s:.2f} s")

    def ours(self, name, number, path, first=""):
        """From the site, where it is `path`; `first`: the bundle that the device has already."""
        device = self.measured.device(f"{name}-{number}")
        if first:
            device.install(first)
        run("sync")
        offered = f"{self.measured.row.name}-{name}-{number}"
        self.site.offer(offered, f"{self.measured.row.release} 2")
        update = device.update(self.site, offered, [path])
        self.took(name, update.seconds)
        self.took(f"{name}, fetched", update.fetched_s)
        self.measured.must_have(device)
        self.bench.remove(device.folder)

    def pipe(self, url):
        target = self.measured.at("piped")
        run("sync")
        self.took("pipe", seconds(lambda: run("sh", "-c", 'curl -s "$1" | zstd -q -d | dd of="$2" bs=1M conv=fsync', "sh", url, target)))
        os.unlink(target)

    def theirs(self):
        for name in self.rauc.bundles if self.rauc else ():
            run("sync")
            self.took(f"rauc-{name}", self.rauc.install(name))

    def ratio(self, name, over, under):
        metric(name, statistics.median(a / b for a, b in zip(self.times[over], self.times[under])), "ratio")

    def against_rauc(self, *names):
        rivals = [name for name in self.times if name.startswith("rauc-")]
        if rivals:
            best = min(rivals, key=lambda name: statistics.median(self.times[name]))
            note(f"rauc is fastest as {best}")
            for name in names:
                self.ratio(f"install_vs_rauc_ratio{'' if name == 'whole' else f'.{name}'}", name, best)

    def by_bundle(self, path):
        self.server(path)
        compressed = self.measured.at("piped.zst")
        run("zstd", "-q", "-19", "-T0", self.contents, "-o", compressed)
        url = self.site.give(compressed)
        for number in range(self.bench.runs):
            self.theirs()
            self.ours("whole", number, path)
            self.pipe(url)
            self.ours("range", number, path, self.old)
        self.ratio("stream_vs_pipe_ratio", "pipe", "whole")
        self.ratio("stream_vs_pipe_ratio.fetched", "pipe", "whole, fetched")
        self.against_rauc("whole", "range")

    def by_delta(self, path):
        self.times.clear()
        for number in range(self.bench.runs):
            self.theirs()
            self.ours("delta", number, path, self.old)
        self.against_rauc("delta")

    def server(self, path):
        """In one pass over what is in the cache, as it is for the devices."""
        url = self.site.url + path
        took = seconds(lambda: run("curl", "-s", "-f", "-o", "/dev/null", url))
        metric("curl_mib_s", os.path.getsize(self.new) / MIB / took, "MiB/s")


@contextlib.contextmanager
def begin(measured, old, new):
    why = transport_rauc.why_not()
    if why:
        note(f"rauc install left out: {why}")
        yield Race(measured, old, new, None)
        return
    folder = measured.at("rauc")
    os.mkdir(folder)
    with transport_rauc.Rauc(folder, measured.row.path(measured.bench.folder, 1), measured.source(2)) as rauc:
        yield Race(measured, old, new, rauc)
        if subprocess.run(["cmp", "-s", rauc.slot(), measured.source(2)], check=False).returncode != 0:
            raise Failed("bench: rauc did not install the image")
