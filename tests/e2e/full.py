#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A controller whose disk is full, or becomes read-only under it: who asks is told so by a stable kind, what was acknowledged
stays, what was not is not counted, and what devices kept in their queues arrives afterwards, once.

The disks are a tmpfs and a file system in a file (ext4), mounted where nobody else sees them; both take root.
"""

import contextlib
import os
import shutil
import subprocess

import fleet
from fleet import check, wait_for
from impostor import Impostor, admin, alive, call, ends_well
from lone import KINDS
from lost import becomes, offered, start, total

MIB = 1 << 20
FULL = (507, ("no_space",))
READ_ONLY = (503, ("read_only", "io"))  # which of them depends on the kernel: EROFS, or EIO since 6.13


def mount(*argv):
    return subprocess.run(["mount", *argv], capture_output=True, text=True, check=False)


def unmount(where):
    subprocess.run(["umount", where], check=True)


def serve_from(f, *mount_argv):
    """The controller's workspace moves to another file system."""
    server = os.path.join(f.ws, "server")
    if f.server:
        f.stop_server()
    kept = f.path("kept")
    shutil.copytree(server, kept)
    done = mount(*mount_argv, server)
    if done.returncode == 0:
        shutil.copytree(kept, server, dirs_exist_ok=True)
        os.chmod(os.path.join(server, "keys"), 0o700)
        subprocess.run(["sync", "-f", server], check=True)  # what is copied here is not what a lost medium may lose
    shutil.rmtree(kept)
    f.start_server()
    return done.returncode == 0


def leave_mount(f):
    """The workspace goes back to where it began, as it is now: an older repository would be taken for one that goes back."""
    server, kept = os.path.join(f.ws, "server"), f.path("kept")
    shutil.copytree(server, kept)
    unmount(server)
    shutil.rmtree(server)
    shutil.move(kept, server)


def fill(where):
    path = os.path.join(where, "ballast")
    with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
        for block in (MIB, 4096, 512, 1):
            with contextlib.suppress(OSError):
                while file.write(b"\1" * block):
                    pass
    return path


def told(what, answer, wanted):
    status, kinds = wanted
    got, headers, body = answer
    check(got == status and body.get("code") in kinds, f"{what}: {status} {kinds}, not {got} {body}")
    check(len(body["text"]) > 20, f"{what}: it says what is wrong: {body}")
    check(status != 503 or headers.get("Retry-After"), f"{what}: and when to come again: {dict(headers)}")


def until_refused(device, wanted):
    """Reports until one is not taken: the log of the store may have some room still. How many were acknowledged."""
    for n in range(3000):
        device.report("waiting", device.last, detail="x" * 500)
        answer = device.try_check_in()
        if answer[0] != 200:
            told("a check-in with a report", answer, wanted)
            return n
        device.heard = answer[2]
        check(answer[2]["acked"] == device.report_id, str(answer[2]))
        device.say.update(nonce=answer[2]["nonce"], reports=[])
    raise fleet.Failed("a full disk takes reports without end")


def events(f, device):
    got, after = [], 0
    while page := admin(f, 200, "GET", f"/events?after={after}&limit=1000")["events"]:
        got += [e["kind"] for e in page if e["subject"] == device]
        after = page[-1]["id"]
    return got


def newcomer(f, name):
    """A device and a token for it alone."""
    return Impostor(f, name), admin(f, 201, "POST", "/tokens", {"kind": "enroll", "max_uses": 1})["secret"]


def counts(f, rollout):
    return [{key: n for key, n in stage.items() if isinstance(n, int)} for stage in f.rollout(rollout)["stages"]]


def everything_that_writes_is_refused(f, device, late, secret, rollout, wanted):
    before = counts(f, rollout)
    for event in ("staged", "activated", "committed"):
        device.report(event, device.last)
    for _ in range(3):
        told("a batch of reports", device.try_check_in(), wanted)
        told("an enrolment", late.enroll(secret), wanted)
        told("an operator", call(f, "POST", "/api/v1/tokens", {"kind": "enroll"}, f.env["EDGECTL_TOKEN"]), wanted)
    now = counts(f, rollout)
    check(now == before, f"what is not acknowledged is not counted: {before}, then {now}")
    alive(f)


def everything_arrives_once(f, device, late, secret, rollout, acked):
    device.rest()
    device.runs(device.last["bundle"]["name"], "1.0", device.last["bundle"]["id"])
    queued = len(device.say["reports"])
    device.check_in()
    check(device.heard["acked"] == device.report_id and not device.heard.get("refused"), str(device.heard))
    status = becomes(f, rollout, "finished")
    check((total(status, "offered"), total(status, "committed")) == (1, 1), str(status))
    seen = events(f, device.name)
    check(queued == 4 and [seen.count(f"device_{e}") for e in ("staged", "activated", "committed")] == [1, 1, 1], f"{queued}: {seen[-9:]}")
    check(seen.count("device_waiting") == acked + 1, f"each that was acknowledged, and the one that was not: {acked}, {seen.count('device_waiting')}")
    late.join(secret)
    check(late.enroll(secret)[0] == 200, "who is in may ask again")
    other, _ = newcomer(f, late.name + "-other")
    check(other.enroll(secret)[0] in (401, 403), "the token was used once, not before and not twice")
    f.edgectl("audit", "--verify")


def a_full_disk_loses_nothing_and_counts_nothing(f):
    server = os.path.join(f.ws, "server")
    check(serve_from(f, "-t", "tmpfs", "-o", "size=24m,mode=755", "none"), "mounted")
    [device], rollout = start(f, "brim", 1)
    offered([device])
    late, secret = newcomer(f, "brim-late")
    ballast = fill(server)
    acked = until_refused(device, FULL)
    everything_that_writes_is_refused(f, device, late, secret, rollout, FULL)
    f.stop_server(fleet.signal.SIGKILL)  # nothing acknowledged was only in memory
    os.unlink(ballast)
    f.start_server()
    everything_arrives_once(f, device, late, secret, rollout, acked)


def a_real_device_keeps_its_queue_while_the_disk_is_full(f):
    """Still on the tmpfs. It goes its way while the controller can take no note of it."""
    secret = admin(f, 201, "POST", "/tokens", {"kind": "enroll", "labels": {"group": "real"}})["secret"]
    device = f.add_device("real-0", controller=f.controller(), enroll_token=secret)
    device.start()
    wait_for("the device", lambda: call(f, "GET", "/api/v1/devices/real-0", None, f.env["EDGECTL_TOKEN"])[0] == 200)
    files = f.component("real-1.0", {"version": "1.0"})
    f.publish(f.bundle("real", "1.0", {"app": files}))
    f.edgectl("rollout", "apply", "-f", f.policy("real", release="real 1.0", selector='label.group == "real"'))
    wait_for("the swap", lambda: device.status()["state"] == "probation" and total(f.rollout("real"), "offered") == 1)
    ballast = fill(os.path.join(f.ws, "server"))
    wait_for("the commit", lambda: device.status()["state"] == "idle")
    check(device.version() == "1.0", "a controller without room holds no device up")
    os.unlink(ballast)
    check(total(becomes(f, "real", "finished"), "committed") == 1, "it arrives")
    seen = events(f, "real-0")
    check(seen.count("device_committed") == 1, f"once: {seen}")
    check(device.kill(fleet.signal.SIGTERM) == 0, "ends as ever")


def a_disk_that_becomes_read_only_loses_nothing_and_counts_nothing(f):
    """As ext4 does when the medium fails: what the controller has open can no longer be written."""
    server, image = os.path.join(f.ws, "server"), f.path("image")
    f.stop_server()
    leave_mount(f)
    subprocess.run(["truncate", "-s", "64M", image], check=True)
    mkfs = fleet.installed(shutil.which("mkfs.ext4", path=os.environ["PATH"] + ":/usr/sbin:/sbin"), "e2fsprogs")
    subprocess.run([mkfs, "-q", image], check=True)
    if not serve_from(f, "-o", "loop,errors=remount-ro", image):
        fleet.skipped("no loop device here for a disk that becomes read-only")
        if not f.server:
            f.start_server()
        return
    [device], rollout = start(f, "frozen", 1)
    offered([device])
    late, secret = newcomer(f, "frozen-late")
    check(mount("-o", "remount,abort", server).returncode == 0, "it became read-only")
    acked = until_refused(device, READ_ONLY)
    everything_that_writes_is_refused(f, device, late, secret, rollout, READ_ONLY)
    f.stop_server(fleet.signal.SIGKILL)
    unmount(server)
    check(subprocess.run(["fsck.ext4", "-p", image], capture_output=True, check=False).returncode in (0, 1), "repaired")
    check(mount("-o", "loop", image, server).returncode == 0, "mounted again")
    f.start_server()
    everything_arrives_once(f, device, late, secret, rollout, acked)


def does_not_start(f, *says):
    """It ends by itself, with the kind that says it, before it listens."""
    done = subprocess.run([fleet.EDGECTL, "serve", "--workspace", os.path.join(f.ws, "server"), "--listen", "127.0.0.1:0", "--allow-offline-keys"],
                          capture_output=True, text=True, env=f.env, timeout=fleet.PATIENCE_S, check=False)
    check(done.returncode == KINDS["read_only"] and all(s in done.stderr for s in says), f"{done.returncode}: {done.stderr}")
    check("listening" not in done.stdout + done.stderr and len(done.stderr.splitlines()) == 1, done.stdout + done.stderr)


def a_controller_that_cannot_write_does_not_start(f):
    """Not even where its store could be read: what was killed left everything that reading takes."""
    server = os.path.join(f.ws, "server")
    f.stop_server()
    while os.path.ismount(server):
        unmount(server)
    check(serve_from(f, "-t", "tmpfs", "-o", "size=24m,mode=755", "none"), "mounted")
    f.stop_server(fleet.signal.SIGKILL)
    store = os.path.join(server, "store.db")
    check(os.path.exists(store + "-wal"), f"{os.listdir(server)}")
    check(mount("-o", "remount,ro", server).returncode == 0, "read-only")
    does_not_start(f, server, "cannot write", "Read-only file system")
    check(mount("-o", "remount,rw", server).returncode == 0, "written again")
    check(mount("--bind", store, store).returncode == 0 and mount("-o", "remount,bind,ro", store).returncode == 0, "the store alone")
    does_not_start(f, store, "not written")
    unmount(store)
    f.start_server()
    f.edgectl("audit", "--verify")


def test(f):
    f.start_server()
    try:
        fleet.each(f, a_full_disk_loses_nothing_and_counts_nothing, a_real_device_keeps_its_queue_while_the_disk_is_full,
                   a_disk_that_becomes_read_only_loses_nothing_and_counts_nothing, a_controller_that_cannot_write_does_not_start)
        ends_well(f)
    finally:
        if f.server:
            f.stop_server(fleet.signal.SIGKILL)
        while mount().returncode == 0 and os.path.ismount(os.path.join(f.ws, "server")):
            unmount(os.path.join(f.ws, "server"))


if not fleet.again_with_own_mounts():
    fleet.skip("only root that may make a mount namespace can give the controller a disk of its own")
fleet.main(test)
