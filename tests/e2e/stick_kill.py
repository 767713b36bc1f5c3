#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of `edge-agent install`, of it and its worker, or of a running agent, at random moments of updates from a stick; then
damage to what the agent keeps: journal, queue, generations. After each, what runs is whole and of one version (I1, I7), the
generation to go back to is there (I2), nothing is left over (I8), and the next honest stick is taken.

SEED=N repeats a run; KILLS=N sets how many.
"""

import glob
import os
import random
import resource
import shutil
import signal
import subprocess
import time

import fleet
from fleet import check
from lone import Lone

SEED = int(os.environ.get("SEED", time.time_ns() % 1000000))
KILLS = int(os.environ.get("KILLS", "40"))


def check_whole(device):
    """I1, I2 from outside and whatever the agent was doing: `current` and, when it says so, `previous` verify byte by byte."""
    device.check_pair()
    base = os.path.join(device.state, "generations")
    for name in os.listdir(base):
        if name.endswith(".partial"):
            continue
        for record in glob.glob(os.path.join(base, name, "*", "version")):
            with open(record, encoding="ascii") as f:
                check(f.read().strip() != "", f"I1: {record} is empty")


def kill_group(process, how):
    """The agent alone, its children alone, or all of them at once."""
    if how == "agent":
        process.kill()
    elif how == "worker":
        listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=False)
        for pid in listed.stdout.split():
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass
        return
    else:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait(timeout=fleet.PATIENCE_S)


def attack(device, stick, delay_s, how):
    process = device.begin("install", "--quiet", "--again", stick)
    try:
        process.wait(timeout=delay_s)
    except subprocess.TimeoutExpired:
        kill_group(process, how)
        check_whole(device)
        if how == "worker":
            # Its agent is told, refuses or goes on, and ends by itself.
            process.wait(timeout=fleet.PATIENCE_S)
    check_whole(device)


def settle(device, rng):
    """A restart: of the service, which finishes what was begun, or of the next command."""
    if rng.random() < 0.3:
        device.serve()
        device.wait_state("idle")
        check_whole(device)
        device.stop()
    else:
        run = device.run("rollback", "--quiet") if rng.random() < 0.2 else device.run("status")
        check(run.code == 0 or run.kind in ("no_previous", "not_found", "interrupted", "rolled_back", "wrong_state"), f"{run}: {run.err}")
    check_whole(device)


def test_kills(f, sticks, rng):
    device = Lone(f, "killed", probation_s=1)
    device.install(sticks[0]).ok()
    begin = time.monotonic()
    device.install(sticks[1], "--again").ok()
    whole_s = time.monotonic() - begin
    for n in range(KILLS):
        before = device.check_pair()
        how = rng.choice(("agent", "agent", "all", "all", "worker"))
        # Most of what there is to break lies before the probation.
        delay_s = rng.random() * (whole_s - 1 if rng.random() < 0.8 else whole_s)
        stick = sticks[n % len(sticks)]
        attack(device, stick, max(delay_s, 0.001), how)
        after = device.check_pair()
        check(after in ("1.0", "1.1", "1.2", ""), f"kill {n}: runs {after} after {before}")
        if n % 3 == 2:
            settle(device, rng)
    # Whatever state it is in, the next honest stick is taken, and the one before it is there to go back to.
    for stick, version in ((sticks[0], "1.0"), (sticks[2], "1.2")):
        device.install(stick, "--again").ok()
        status = device.check_clean()
        check(status["components"]["app"]["version"] == version, f"committed: {status}")
    check(status["previous"] is not None, "I2: the generation before is kept")
    device.run("rollback", "--quiet").ok()
    check(device.check_clean()["components"]["model"]["version"] == "1.0", "I2: and is what it was")


def test_probation_kills(f, sticks):
    """I3: interrupted more often than allowed, the update goes back, without anybody."""
    device = Lone(f, "shaken", probation_s=1)
    device.install(sticks[0]).ok()
    device.reconfigure(probation_s=3600)
    device.serve()
    device.run("install", "--quiet", "--no-wait", sticks[1]).ok()
    device.wait_state("probation")
    for _ in range(3):
        device.stop(signal.SIGKILL)
        device.serve()
        check(device.status()["state"] == "probation" and device.check_pair() == "1.1", "three restarts are allowed")
    device.stop(signal.SIGKILL)
    device.serve()
    status = device.wait_state("idle")
    check(status["why"]["code"] == "interrupted", f"I3, I10: {status['why']}")
    check(device.check_pair() == "1.0", "I3: gone back")
    device.stop()
    device.check_clean()
    device.install(sticks[1]).refused("failed_before")


def damage(path, how, rng):
    with open(path, "rb") as f:
        data = bytearray(f.read())
    if how == "flip":
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif how == "cut":
        data = data[:rng.randrange(len(data))]
    elif how == "empty":
        data = b""
    elif how == "zeros":
        data = bytes(len(data))
    elif how == "longer":
        data += b"more"
    os.chmod(path, 0o600)
    with open(path, "wb") as f:
        f.write(data)


DAMAGES = ("flip", "cut", "empty", "zeros", "longer")


def test_journal(f, sticks, rng):
    device = Lone(f, "forgetful")
    device.install(sticks[0]).ok()
    private = os.path.join(device.state, "private")
    # One copy damaged or gone: nobody notices, and it is whole again after the next change.
    for copy in ("journal", "journal.2"):
        for how in (*DAMAGES, "gone"):
            path = os.path.join(private, copy)
            damage(path, how, rng) if how != "gone" else os.unlink(path)
            check(device.version() == "1.0", f"{copy} {how}: the state is known")
        device.install(sticks[1], "--again").ok()
        device.install(sticks[0], "--again").ok()
    # In the middle of an update as well.
    device.reconfigure(probation_s=3600)
    device.serve()
    device.run("install", "--quiet", "--no-wait", "--again", sticks[2]).ok()
    device.wait_state("probation")
    device.stop(signal.SIGKILL)
    damage(os.path.join(private, "journal"), "flip", rng)
    device.reconfigure(probation_s=1)
    device.serve()
    check(device.wait_state("probation")["components"]["app"]["version"] == "1.2", "the second copy is as good")
    device.run("commit", "--quiet").ok()
    device.wait_state("idle")
    device.stop()
    check(device.check_clean()["generation"] > 0 and device.version() == "1.2", "committed")

    # Both: said clearly, and nothing is touched; what runs goes on running.
    saved = {name: open(os.path.join(private, name), "rb").read() for name in ("journal", "journal.2")}
    for how in DAMAGES:
        for name in saved:
            damage(os.path.join(private, name), how, rng)
        with device.unchanged(f"both journals {how}"):
            for command in (("install", "--quiet", sticks[0]), ("status",), ("run",), ("rollback", "--quiet")):
                device.run(*command).refused("bad_journal", "newer_format", says="journal")
        for name, data in saved.items():
            with open(os.path.join(private, name), "wb") as out:
                out.write(data)
    check(device.version() == "1.2", "with a journal put back all is well")
    # No journal at all, as on a new device with an image: what runs is taken over after it was verified.
    for name in saved:
        os.unlink(os.path.join(private, name))
    device.install(sticks[1], "--again").ok()
    check(device.check_clean()["components"]["model"]["version"] == "1.1", "installed on what was taken over")
    device.run("rollback", "--quiet").ok()
    check(device.check_pair() == "1.2", "I2: what was taken over is what it goes back to")


def test_notes(f, sticks, rng):
    """The queue, the kept manifest, the device's key, floors, leftovers of power cuts."""
    device = Lone(f, "careless")
    device.install(sticks[0]).ok()
    private = os.path.join(device.state, "private")
    for n, how in enumerate((*DAMAGES, "gone")):
        path = os.path.join(private, "queue")
        damage(path, how, rng) if how != "gone" else os.unlink(path)
        device.install(sticks[1 + n % 2], "--again").ok()
        damage(os.path.join(private, "manifest"), how, rng) if how != "gone" else os.unlink(os.path.join(private, "manifest"))
        device.status()
    for name in (".journal.tmp-0123456789abcdef", ".current.tmp-0123456789abcdef"):
        with open(os.path.join(private if "journal" in name else device.state, name), "wb") as f_out:
            f_out.write(b"half")
    for name in ("77.partial", "99", "x", ".hidden", "5.partial.partial"):
        shutil.copytree(os.path.join(device.state, device.current()), os.path.join(device.state, "generations", name), symlinks=True)
    os.mkdir(os.path.join(device.state, "generations", "88.partial"))
    os.mkfifo(os.path.join(device.state, "generations", "88.partial", "fifo"))
    os.symlink("/", os.path.join(device.state, "generations", "66"))
    outside = f.path("outside")
    os.mkdir(outside)
    with open(os.path.join(outside, "precious"), "wb") as f_out:
        f_out.write(b"precious")
    os.symlink(outside, os.path.join(device.state, "generations", "88.partial", "link"))
    os.symlink(outside, os.path.join(device.state, "generations", "55.partial"))
    device.install(sticks[0], "--again").ok()
    check(os.path.exists(os.path.join(outside, "precious")), "links are never followed")
    left = [n for n in device.generations() if n.endswith(".partial") or n in ("66", "99")]
    check(not left, f"I8: leftovers are removed: {left}")
    # The link itself, gone or pointing elsewhere, is put right at the next start.
    link = os.path.join(device.state, "current")
    for target in (None, "generations/4711", "/etc", outside):
        os.unlink(link)
        if target:
            os.symlink(target, link)
        device.serve()
        check(device.check_pair() == "1.0", f"current -> {target}: put right")
        device.stop()


def files_of(device, generation):
    base = os.path.join(device.state, "generations", str(generation))
    return [os.path.join(d, n) for d, _, names in os.walk(base) for n in names]


def test_contents(f, sticks, rng):
    """A generation that decays on its medium is noticed before it runs, and in nobody's way."""
    device = Lone(f, "decaying")
    for n in range(4):
        device.install(sticks[0], "--again").ok()
        device.install(sticks[1], "--again").ok()
        status = device.check_clean()
        previous, current = status["previous"], status["generation"]
        # Files that did not change are one file for both generations.
        shared = {os.stat(p).st_ino for p in files_of(device, current)}
        victim = rng.choice([p for p in files_of(device, previous) if os.path.getsize(p) > 0 and os.stat(p).st_ino not in shared])
        damage(victim, DAMAGES[n], rng)
        run = device.run("rollback", "--quiet")
        check(run.kind in ("revert_failed", "bad_generation", "bad_content", "not_canonical", "syntax", "below_threshold",
                           "bad_signature", "bad_tree"), f"{victim} {DAMAGES[n]}: must not be gone back to: {run.kind or 'success'}")
        run.refused(run.kind)
        check(device.check_pair() == "1.1" and device.current() == f"generations/{current}", "I1: what ran goes on")
        # And the next honest stick heals the device.
        device.install(sticks[2], "--again").ok()
        check(device.check_clean()["components"]["app"]["version"] == "1.2", "healed")
    # The generation to go back to is gone altogether.
    status = device.check_clean()
    base = os.path.join(device.state, "generations", str(status["previous"]))
    subprocess.run(["chmod", "-R", "u+w", base], check=True)
    shutil.rmtree(base)
    run = device.run("rollback", "--quiet")
    check(run.kind in ("bad_generation", "revert_failed", "no_previous"), f"previous is gone: {run.kind}: {run.err}")
    check(device.check_pair() == "1.2", "I1: what ran goes on")
    device.install(sticks[0], "--again").ok()
    device.install(sticks[1], "--again").ok()
    # What runs decays: an update does not take the damage over.
    status = device.check_clean()
    same = os.path.join(device.state, "generations", str(status["generation"]), "app", "same")
    damage(same, "flip", rng)
    device.install(sticks[2], "--again").ok()
    check(device.device.read("app", "same") == "always the same\n", "a damaged file is not carried into the next generation")
    check(device.check_clean()["components"]["app"]["version"] == "1.2", "and the stick is installed")


def test(f):
    print(f"SEED={SEED} KILLS={KILLS}", flush=True)
    rng = random.Random(SEED)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sticks = [f.pair(version) for version in ("1.0", "1.1", "1.2")]
    steps = [("kills", lambda: test_kills(f, sticks, rng)), ("probation", lambda: test_probation_kills(f, sticks)),
             ("journal", lambda: test_journal(f, sticks, rng)), ("notes", lambda: test_notes(f, sticks, rng)),
             ("contents", lambda: test_contents(f, sticks, rng))]
    fleet.steps(steps)


fleet.main(test)
