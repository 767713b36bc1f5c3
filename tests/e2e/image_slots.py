#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# ctest: release
"""Images in slots: installed, updated, gone back from, updated again; from bundles and deltas, from a stick and over the network; killed
at random moments, damaged before they are activated, refused where the slots will not do. Beside the image is a component of files,
and never do they mix (I7).

SEED=N repeats the kills; KILLS=N sets how many.
"""

import os
import random
import resource
import signal
import subprocess
import time

import fleet
from fleet import check
from lone import Lone, edge_agent, read, write

SEED = int(os.environ.get("SEED", time.time_ns() % 1000000))
KILLS = int(os.environ.get("KILLS", "16"))
MIB = 1 << 20
IMAGE_BYTES = 4 * MIB + 4321  # no multiple of a block
SLOT_BYTES = 5 * MIB
VERSIONS = ("1.0", "1.1", "1.2")


def image(version):
    """Mostly the same in all, and changed in places. Zeros, which are not written (base/fs.h), at its ends and in between."""
    data = bytearray(random.Random("image").randbytes(IMAGE_BYTES))
    for at, n in ((0, 200000), (MIB + 77, 500000), (IMAGE_BYTES - 300001, 300001)):
        data[at:at + n] = bytes(n)
    if version != "1.0":
        source = random.Random(version)
        for _ in range(5):
            at = source.randrange(IMAGE_BYTES - 70000)
            data[at:at + 65536] = source.randbytes(65536)
    return bytes(data)


def bundle(f, version, name="os", *more):
    app = f.component(f"{name}-app-{version}", {"version": version, "marker": "x"})
    path = write(f.path(f"{name}-{version}.img"), image(version))
    return f.bundle(name, version, {"app": app}, f"--image=rootfs={path}", *more)


class Slotted(Lone):
    """A device with two files as slots, full of something else."""

    def __init__(self, f, name, slot_bytes=SLOT_BYTES, **config):
        super().__init__(f, name, **config)
        self.slots = [os.path.join(self.device.dir, letter) for letter in "ab"]
        for path in self.slots:
            write(path, b"\xa5" * slot_bytes)
        self.reconfigure(slots={"rootfs": ["a", "b"]})  # relative: beside the configuration

    def slot(self):
        return self.status()["components"]["rootfs"]["slot"]

    def holds(self, path):
        return next((v for v in VERSIONS if read(path)[:IMAGE_BYTES] == self.fleet.images[v]), "nothing")

    def reported(self, code):
        """Whether the reports that wait for a controller have one with this code."""
        folder = os.path.join(self.state, "private")
        return any(code.encode() in read(os.path.join(folder, name)) for name in os.listdir(folder) if name.startswith("queue"))

    def check_image(self):
        """I1, I7 from outside, at any moment: files and image that `current` leads to are of one version."""
        version = self.check_pair()
        link = os.path.join(self.state, "current/rootfs/image")
        if version:
            check(os.listdir(os.path.dirname(link)) == ["image"], "a link to the slot and nothing beside it")
            check(os.readlink(link) in self.slots, f"it leads to a slot: {os.readlink(link)}")
            check(self.holds(link) == version, f"I7: {self.name} runs {version} with the image of {self.holds(link)}")
        return version

    def at_rest(self, version):
        status = self.check_clean()
        check(self.check_image() == version, f"{self.name} runs {version}: {status}")
        return status

    def spoil(self, slot, at=3 * MIB):
        with open(self.slots[slot], "r+b") as f:
            f.seek(at)
            byte = f.read(1)
            f.seek(at)
            f.write(bytes([byte[0] ^ 1]))


def it_goes_to_and_fro(f, s):
    told = f.path("told")
    hook = {"action": "exec", "argv": ["/bin/sh", "-c", f'readlink "$EDGE_CURRENT/rootfs/image" >> {told}']}
    device = Slotted(f, "life", on_activate={"rootfs": hook})
    device.run("check").ok()
    device.install(s["1.0"]).ok()
    check(device.at_rest("1.0")["components"]["rootfs"]["slot"] == 0 and device.holds(device.slots[1]) == "nothing", "the first slot first")
    device.install(s["1.1"]).ok()
    check(device.at_rest("1.1")["previous"] is not None and device.slot() == 1, "the other one next")
    check(read(device.slots[1])[IMAGE_BYTES:] == b"\xa5" * (SLOT_BYTES - IMAGE_BYTES), "what lies behind an image stays")
    check("(slot 1)" in device.run("status").ok().out, "people are told")
    device.run("rollback", "--quiet").ok()
    check(device.at_rest("1.0")["previous"] is None and device.slot() == 0, "gone back")
    device.install(s["1.1"], "--again").ok()
    device.install(s["1.2"]).ok()
    check(device.at_rest("1.2")["previous"] is not None and device.slot() == 0, "and over the oldest one")
    device.run("rollback", "--quiet").ok()
    device.at_rest("1.1")
    with open(told, encoding="ascii") as out:
        slots = [device.slots.index(line.strip()) for line in out]
    check(slots == [0, 1, 0, 1, 0, 1], f"on_activate saw the slot each time: {slots}")


def the_one_that_is_written_over_is_given_up_first(f, s):
    """I2: a previous generation is there whole, or not at all; whatever becomes of the update."""
    device = Slotted(f, "dropped")
    device.install(s["1.0"]).ok()
    device.install(s["1.1"]).ok()
    # Refused before the first byte: nothing is lost.
    device.install(s["needs"], "--again").refused("requirement_unmet")
    check(device.at_rest("1.1")["previous"] is not None and device.holds(device.slots[0]) == "1.0", "kept, because nothing was written")
    # Refused after it was written: what was in the slot is lost, and that was said before.
    device.install(s["fails"], "--again").refused("probe_failed")
    status = device.at_rest("1.1")
    check(status["previous"] is None, f"I2: {status}")
    check(device.reported("previous_dropped"), "I2: and reported")
    device.run("rollback", "--quiet").refused("no_previous")
    device.install(s["1.2"]).ok()
    check(device.at_rest("1.2")["previous"] is not None, "the next commit has one again")


def slots_that_were_swapped_are_not_written_over(f, s):
    """I1: the numbers of the slots are others then, but what runs is where it was."""
    device = Slotted(f, "swapped")
    device.install(s["1.0"]).ok()
    device.reconfigure(slots={"rootfs": ["b", "a"]})
    device.install(s["1.1"]).refused("config")
    check(device.holds(device.slots[0]) == "1.0" and device.holds(device.slots[1]) == "nothing", "no byte was written")
    device.reconfigure(slots={"rootfs": ["a", "b"]})
    device.at_rest("1.0")
    device.install(s["1.1"]).ok()
    device.at_rest("1.1")


def files_alone_leave_it_where_it_is(f, s):
    device = Slotted(f, "alone")
    device.install(s["1.0"]).ok()
    device.install(s["1.1"]).ok()
    before = read(device.slots[0]), read(device.slots[1])
    device.install(s["app"]).ok()
    status = device.check_clean()
    check(status["components"]["rootfs"]["slot"] == 1 and status["components"]["rootfs"]["version"] == "1.1", f"taken over: {status}")
    device.install(s["same"]).ok()
    status = device.check_clean()
    check(status["components"]["rootfs"] | {"slot": 1, "name": "again"} == status["components"]["rootfs"], f"the same image stays: {status}")
    check((read(device.slots[0]), read(device.slots[1])) == before, "no byte was written")
    # Damaged, it is not taken over; from a bundle that has it, it is written to the other slot.
    device.spoil(1)
    device.install(s["app"], "--again").refused("bad_content", "bad_generation")
    device.install(s["same"], "--again").ok()
    status = device.check_clean()
    check(status["components"]["rootfs"]["slot"] == 0 and device.holds(device.slots[0]) == "1.1", f"mended: {status}")


def deltas_make_the_same(f, s):
    delta = s["delta"]
    check(os.path.getsize(delta) * 8 < os.path.getsize(s["1.1"]), f"{os.path.getsize(delta)} of {os.path.getsize(s['1.1'])} bytes")
    device = Slotted(f, "delta")
    device.install(delta).refused("wrong_base")
    device.install(s["1.0"]).ok()
    base = os.path.join(device.state, "current")
    edge_agent(f.env, "verify", "--root", f.root, "--base", base, delta).ok()
    device.install(delta).ok()
    device.at_rest("1.1")
    device.run("rollback", "--quiet").ok()
    # What it starts from is damaged: said so, nothing changes, and the bundle helps.
    device.spoil(0)
    device.install(delta, "--again").refused("bad_generation", says="install os-1.1.edge instead")
    device.install(s["1.1"], "--again").ok()
    device.at_rest("1.1")


def slots_that_will_not_do(f, s):
    device = Slotted(f, "refused")
    device.reconfigure(slots=None)
    device.install(s["1.0"]).refused("unsupported_component", says='"slots"')
    device.install(s["wants"]).refused("requirement_unmet", says="slots")
    device.reconfigure(slots={"rootfs": ["a", "a"]})
    device.install(s["1.0"]).refused("config", says="two different paths")
    os.link(device.slots[0], f.path("other-name"))
    device.reconfigure(slots={"rootfs": ["a", f.path("other-name")]})
    for command in (("check",), ("install", "--quiet", s["1.0"])):
        device.run(*command).refused("config", says="are the same")
    device.reconfigure(slots={"rootfs": ["a", "absent"]})
    device.run("check").refused("not_found", says="slot 1 of rootfs")
    device.reconfigure(slots={"rootfs": ["a", device.device.dir]})
    device.run("check").refused("config", says="neither a block device nor a file")
    device.reconfigure(slots={"rootfs": ["a", "b"], "other": ["b", "c"]})
    write(os.path.join(device.device.dir, "c"), b"")
    device.run("check").refused("config", says="are the same")
    device.reconfigure(slots={"rootfs": ["a", "c"]})
    device.install(s["wants"]).ok()
    device.install(s["1.1"]).refused("no_space", says="c has 0 B, the image of rootfs 4")
    device.at_rest("1.2")
    # Slots that are named otherwise than when it was sealed.
    device.reconfigure(slots={"rootfs": ["b", "a"]})
    device.install(s["app"], "--again").refused("bad_generation", says="changed in the configuration")


def killed_at_any_moment(f, s):
    rng = random.Random(SEED)
    device = Slotted(f, "killed")
    device.install(s["1.0"]).ok()
    begin = time.monotonic()
    device.install(s["1.1"]).ok()
    whole_s = time.monotonic() - begin
    for n in range(KILLS):
        what = rng.choice([s[v] for v in VERSIONS] + ([s["delta"]] if device.check_image() == "1.0" else []))
        process = device.begin("install", "--quiet", "--again", what)
        try:
            process.wait(timeout=rng.random() * whole_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=fleet.PATIENCE_S)
        check(device.check_image() in VERSIONS, f"SEED={SEED}, kill {n}")
        if n % 3 == 2:
            device.serve()
            device.wait_state("idle")
            device.stop()
            status = device.check_clean()
            if status["previous"] is not None and rng.random() < 0.5:
                # I2: what is said to be there to go back to is whole.
                device.run("rollback", "--quiet").ok()
                check(device.check_image() in VERSIONS, f"SEED={SEED}, kill {n}: gone back")
    device.install(s["1.2"], "--again").ok()
    device.at_rest("1.2")


def over_the_network(f, s):
    """By a delta. Killed and damaged while it waits: what was read back a while ago is read again before it is activated (I1)."""
    f.start_server()
    token = f.edgectl("token", "create", "--enroll", "--uses", "1", "--expires", "1h").strip()
    device = Slotted(f, "online", controller=f.controller(), enroll_token=token, poll_s=1)
    device.install(s["1.0"]).ok()
    device.serve()
    fleet.wait_for("the device to be accepted", lambda: f.accepted() >= 1)
    device.run("inhibit", "600", "--reason", "not before it was damaged").ok()
    f.publish(s["1.0"], s["1.1"], "--delta", s["delta"])
    policy = {"release": "os 1.1", "timeout_s": 300, "on_failure": "pause", "stages": [{"name": "all", "percent": 100}],
              "gate": {"success_pct": 100, "failure_pct": 0, "min_sample": 1}}
    f.edgectl("rollout", "apply", "-f", f.policy("one", **policy))
    fleet.wait_for("it to wait", lambda: device.status()["why"]["code"] == "inhibited")
    check(device.check_image() == "1.0" and device.holds(device.slots[1]) == "1.1", "written, not activated")
    spent = device.status()["bytes"]
    check(0 < spent["delta"] <= os.path.getsize(s["delta"]) and spent["full"] == spent["range"] == 0, f"by the delta alone: {spent}")
    device.stop(signal.SIGKILL)
    device.spoil(1)
    device.serve()
    fleet.wait_for("the damage to be found", lambda: device.status()["why"]["code"] == "bad_content")
    device.wait_state("idle")
    check(device.check_image() == "1.0", "what ran runs on")
    device.stop()


def test(f):
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    f.images = {version: image(version) for version in VERSIONS}
    s = {version: bundle(f, version) for version in VERSIONS}
    s["delta"] = f.path("os-1.1.delta")
    f.edgectl("bundle", "delta", s["1.0"], s["1.1"], "-o", s["delta"], "--workspace", f.ws)
    s["needs"] = bundle(f, "1.2", "needs", "--requires", 'arch == "none"')
    probe = f.path("probes.json")
    write(probe, b'[{"kind":"http","name":"p","phase":"before","component":"app","timeout_s":5,"url":"http://127.0.0.1:1/"}]')
    s["fails"] = bundle(f, "1.2", "fails", "--probes", probe)
    s["wants"] = bundle(f, "1.2", "wants", "--requires", 'slots has "rootfs"')
    s["app"] = f.bundle("app", "2.0", {"app": f.component("app-2.0", {"version": "2.0"})})
    s["same"] = bundle(f, "1.1", "again")
    fleet.steps([(name.replace("_", " "), lambda step=step: step(f, s)) for name, step in (
        (step.__name__, step) for step in (it_goes_to_and_fro, the_one_that_is_written_over_is_given_up_first, slots_that_were_swapped_are_not_written_over, files_alone_leave_it_where_it_is,
                                           deltas_make_the_same, slots_that_will_not_do, killed_at_any_moment, over_the_network))])


fleet.main(test)
