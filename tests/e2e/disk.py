#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A medium that is full, read-only, without inodes, with mean permissions, or smaller than was thought: an update is refused as
its kind, space is back where it was (I8), what runs goes on, and the next honest install on a medium with room succeeds.

Small file systems are tmpfs in a mount namespace of its own, which takes root or user namespaces; where neither is allowed the
test says so and limits the size of files alone.
"""

import contextlib
import os
import random
import resource
import shutil
import subprocess
import time

import fleet
import forge
from fleet import check
from lone import Lone

SEED = int(os.environ.get("SEED", time.time_ns() % 1000000))
MIB = 1 << 20
NO_ROOM = ("no_space",)


def mount(where, *options):
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "none", where], check=True)


def remount(where, *options):
    subprocess.run(["mount", "-o", ",".join(["remount", *options]), where], check=True)


def free(where):
    s = os.statvfs(where)
    return s.f_bavail * s.f_frsize, s.f_favail


def fill(where, leave_bytes):
    """A file that leaves that much."""
    path = os.path.join(where, "ballast")
    with open(path, "wb", buffering=0) as f, contextlib.suppress(OSError):  # somebody else writes as well
        while (left := free(where)[0] - leave_bytes) > 0:
            f.write(b"\1" * min(left, MIB))
    return path


class Small(Lone):
    """A device whose state directory is a small file system."""

    def __init__(self, f, name, *options, **config):
        super().__init__(f, name, **config)
        mount(self.state, *options, "mode=755")

    def unmount(self):
        subprocess.run(["umount", self.state], check=True)


def settled(device):
    """Room and inodes as an update that was given up must leave them, the agent's own notes aside."""
    seen = device.picture()
    total = 0
    for path in seen:
        full = os.path.join(device.state, path)
        if os.path.lexists(full):
            total += os.lstat(full).st_blocks * 512
    return total, len(seen)


def refuse(device, stick, kinds, what):
    before = settled(device)
    with device.unchanged(what):
        device.install(stick, "--again").refused(*kinds)
    check(settled(device) == before, f"I8: {what}: {before} before, {settled(device)} after")
    device.check_clean()


def test_too_small(f, sticks):
    """From far too small to just enough: refused before the first byte, or done."""
    needed = []
    for size in (2, 3, 4, 5, 6, 8, 12):
        device = Small(f, f"small-{size}", f"size={size}m")
        device.install(sticks["tiny"]).ok()
        run = device.install(sticks["big"])
        if run.code != 0:
            run.refused(*NO_ROOM, says="free")
            check(device.check_clean()["components"]["app"]["version"] == "tiny", "I1: what ran goes on")
            remount(device.state, "size=32m")
            device.install(sticks["big"]).ok()
        needed.append(run.code == 0)
        check(device.check_clean()["components"]["app"]["version"] == "big", "with room it is installed")
        device.unmount()
    check(needed == sorted(needed) and needed[-1] and not needed[0], f"more room is never worse: {needed}")


def test_full_midway(f, sticks, rng):
    """Another program takes the room while it is being written: files have no limit, the file system has."""
    device = Small(f, "raced", "size=24m")
    device.install(sticks["tiny"]).ok()
    for _ in range(8):
        before = settled(device)
        process = device.begin("install", "--quiet", "--again", sticks["big"])
        time.sleep(rng.random() * 0.12)
        ballast = fill(device.state, rng.choice((0, 4096, 65536, MIB)))
        code = process.wait(timeout=fleet.PATIENCE_S)
        os.unlink(ballast)
        device.run("status").ok()
        if code == 0:
            device.install(sticks["tiny"], "--again").ok()
        else:
            check(device.check_pair() in ("tiny", "big"), "I1")
            if device.status()["state"] != "idle" or settled(device) != before:
                device.serve()  # what could not even be recorded is put right by the next start
                device.wait_state("idle")
                device.stop()
        device.check_clean()
    device.install(sticks["big"], "--again").ok()
    check(device.check_clean()["components"]["app"]["version"] == "big", "installed in the end")
    device.unmount()


def test_no_byte_left(f, sticks):
    """Not one byte free: status answers, an install is refused, the service lives; with room all goes on."""
    device = Small(f, "full", "size=16m")
    device.install(sticks["tiny"]).ok()
    ballast = fill(device.state, 0)
    device.run("status", "--json").ok()
    with device.unchanged("a full disk"):
        device.install(sticks["big"]).refused(*NO_ROOM)
        device.run("rollback", "--quiet").refused("no_previous", "no_space")
    os.unlink(ballast)
    device.install(sticks["big"], "--again").ok()
    device.check_clean()

    # The way back needs no room for contents: a few blocks for the journal are enough.
    ballast = fill(device.state, 64 * 1024)
    device.run("rollback", "--quiet").ok()
    check(device.check_pair() == "tiny", "I8: a revert needs no more room")
    os.unlink(ballast)

    # Full in probation of a service: it stays alive and decides when it can.
    device.reconfigure(probation_s=3)
    device.serve()
    device.run("install", "--quiet", "--no-wait", "--again", sticks["big"]).ok()
    device.wait_state("probation")
    ballast = fill(device.state, 0)
    time.sleep(4)
    check(device.device.process.poll() is None, "a full disk does not end the service")
    os.unlink(ballast)
    fleet.wait_for("the commit", lambda: device.run("status", "--json").code == 0 and device.status()["state"] == "idle")
    check(device.check_pair() == "big", "committed when there was room")
    check(device.stop() == 0, "ends as ever")
    device.check_clean()
    device.unmount()


def test_inodes(f, sticks):
    device = Small(f, "inodes", "size=64m", "nr_inodes=120", reserve_inodes=0)
    device.install(sticks["tiny"]).ok()
    refuse(device, sticks["many"], NO_ROOM, "no inodes")
    used = 120 - free(device.state)[1]
    remount(device.state, f"nr_inodes={used}")
    with device.unchanged("not one inode"):
        device.install(sticks["big"], "--again").refused(*NO_ROOM)
        device.run("status").ok()
    remount(device.state, "nr_inodes=4000")
    device.install(sticks["many"], "--again").ok()
    check(device.check_clean()["components"]["app"]["version"] == "many", "installed with inodes")
    device.unmount()


def test_read_only(f, sticks):
    device = Small(f, "frozen", "size=32m")
    device.install(sticks["tiny"]).ok()
    remount(device.state, "ro")
    with device.unchanged("a read-only medium"):
        device.install(sticks["big"]).refused("read_only")
        device.run("run").refused("read_only")
        device.run("rollback", "--quiet").refused("read_only")
        device.run("status").ok()
    remount(device.state, "rw")
    device.install(sticks["big"]).ok()
    device.check_clean()
    device.unmount()


def test_other_file_system(f, sticks):
    """generations/ on a file system of its own: nothing can be shared or renamed across, and nothing is lost."""
    device = Small(f, "split", "size=32m")
    device.install(sticks["tiny"]).ok()
    base = os.path.join(device.state, "generations")
    kept = f.path("kept")
    shutil.copytree(base, kept, symlinks=True, copy_function=shutil.copy2)
    mount(base, "size=32m", "mode=755")
    for name in os.listdir(kept):
        shutil.copytree(os.path.join(kept, name), os.path.join(base, name), symlinks=True, copy_function=shutil.copy2)
    device.install(sticks["big"]).ok()
    check(device.check_clean()["components"]["app"]["version"] == "big", "installed")
    device.run("rollback", "--quiet").ok()
    check(device.check_pair() == "tiny", "and back")
    subprocess.run(["umount", base], check=True)
    # What `current` names is not there: refused, until the medium is back.
    run = device.install(sticks["big"], "--again")
    check(run.code == 0 or run.kind in ("bad_generation", "not_found"), f"{run.kind}: {run.err}")
    device.unmount()
    # Nothing mounted where the state was: a device that begins anew, and says so by generation 0.
    device.install(sticks["tiny"]).ok()
    check(device.check_clean()["previous"] == 0, "a new device")


def test_file_limit(f, sticks):
    """RLIMIT_FSIZE is what a quota on files looks like."""
    device = Lone(f, "limited")
    device.install(sticks["tiny"]).ok()
    for limit in (0, 512, 4096, 100_000, 1_000_000):
        # Without the signal it is an error like any other.
        run = device.install(sticks["big"], "--again", prefix=("sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh", "prlimit", f"--fsize={limit}"))
        check(run.kind in ("no_space", "io", "limit", "worker_failed"), f"limit of {limit} bytes: {run.kind or 'success'}: {run.err}")
        check(device.check_pair() == "tiny", f"limit of {limit} bytes: I1")
        device.serve()
        device.wait_state("idle")
        device.stop()
        device.check_clean()
    device.install(sticks["big"], "--again").ok()
    device.check_clean()


def test_permissions(f, sticks):
    """What root can do all the same, and a user cannot."""
    mine = Lone(f, "locked")
    mine.install(sticks["tiny"]).ok()
    if os.geteuid() == 0:
        for base, dirs, files in os.walk(mine.device.dir):
            for name in dirs + files:
                os.lchown(os.path.join(base, name), 65534, 65534)
        for path in (f.work, f.path("devices"), mine.device.dir):
            os.chmod(path, 0o755)
        os.chown(mine.device.dir, 65534, 65534)
        mine.prefix = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    state = mine.state
    for what in ("", "private", "generations", "private/journal", "private/lock", "private/device.key"):
        path = os.path.join(state, what)
        mode = os.stat(path).st_mode & 0o7777
        os.chmod(path, 0)
        run = mine.install(sticks["big"], "--again")
        os.chmod(path, mode)
        check(run.code == 0 or run.kind == "permission", f"mode 0000 of {what or 'state_dir'}: {run.kind}: {run.err}")
        if run.code != 0:
            run.refused("permission")
            check(mine.check_pair() == "tiny", f"mode 0000 of {what or 'state_dir'}: I1")
        else:
            mine.install(sticks["tiny"], "--again").ok()
        mine.check_clean()
    runs = os.path.join(state, mine.current())
    os.chmod(runs, 0)
    mine.run("status").ok()
    os.chmod(runs, 0o755)
    mine.install(sticks["big"], "--again").ok()
    mine.check_clean()


def test(f):
    print(f"SEED={SEED}", flush=True)
    rng = random.Random(SEED)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    key = {name: forge.Key(name) for name in ("root", "bundle", "director")}
    with open(f.root, "wb") as out:
        out.write(forge.root({name: [k] for name, k in key.items()}))
    def stick(release, files):
        return forge.Bundle(release, [forge.component("app", files)]).write(f.path(f"{release}.edge"), [key["bundle"]])
    sticks = {
        "tiny": stick("tiny", {"version": b"tiny", "data": b"t" * 5000}),
        "big": stick("big", {"version": b"big", "data": rng.randbytes(3 * MIB), "more/data": rng.randbytes(MIB)}),
        "many": stick("many", {"version": b"many", **{f"d{i % 7}/f{i}": b"%d" % i for i in range(300)}}),
    }
    os.chmod(f.work, 0o755)
    for path in sticks.values():
        os.chmod(path, 0o644)
    steps = [("file limit", lambda: test_file_limit(f, sticks)), ("permissions", lambda: test_permissions(f, sticks))]
    if MAY_MOUNT:
        steps += [("too small", lambda: test_too_small(f, sticks)), ("full midway", lambda: test_full_midway(f, sticks, rng)),
                  ("no byte left", lambda: test_no_byte_left(f, sticks)), ("inodes", lambda: test_inodes(f, sticks)),
                  ("read-only", lambda: test_read_only(f, sticks)), ("other file system", lambda: test_other_file_system(f, sticks))]
    else:
        fleet.skipped("only root that may make a mount namespace can try small file systems")
    fleet.steps(steps)


MAY_MOUNT = fleet.again_with_own_mounts()
fleet.main(test)
