#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# ctest: release
"""A delta made by edgectl, installed from a file: what comes out is the bundle's, or nothing changes and the reason is named."""

import os
import random
import resource
import shutil

import fleet
from fleet import check
from lone import Lone, edge_agent, picture

SKELETON = 512


def text(seed, lines):
    """Text that a compressor cannot guess, the same at every run."""
    source = random.Random(seed)
    return "".join(f"{source.getrandbits(64):016x} {i}\n" for i in range(lines))


def files(version):
    """A tree of which files stay, change in places, move, repeat, appear and go; and a real program."""
    bulk = text("bulk", 12000).splitlines(keepends=True)
    if version != "1.0":
        source = random.Random(version)
        for _ in range(40):
            bulk[source.randrange(len(bulk))] = f"changed in {version}\n"
        del bulk[5000:5020]
    common = {"version": version, "marker": "x", "same/deep": text("same", 3000), "bulk": "".join(bulk), "empty": ""}
    if version == "1.0":
        return {**common, "old/place": text("moved", 2000), "gone": "no more\n"}
    return {**common, "new/place": text("moved", 2000), "fresh": text(version, 500), "repeat": "".join(bulk)}


def bundle(f, version, **options):
    folder = f.component(f"app-{version}", files(version))
    for name in ("sh", "ls"):
        shutil.copy(f"/bin/{name}", os.path.join(folder, name))
    if version != "1.0":  # a program of which some bytes are others
        with open(os.path.join(folder, "ls"), "r+b") as program:
            program.seek(5000)
            program.write(version.encode())
    return f.bundle("app", version, {"app": folder}, *options.get("more", ()))


def delta(f, old, new, *more, key=True):
    out = f.path(os.path.basename(new).replace(".edge", ".delta"))
    signer = ("--workspace", f.ws) if key else ("--root", f.root)
    f.edgectl("bundle", "delta", old, new, "-o", out, *signer, *more)
    return out


def app(device):
    return picture(os.path.join(device.state, "current", "app"))


def changed(path, name, at, f):
    """A copy with one byte flipped."""
    out = f.path(name)
    with open(path, "rb") as source:
        data = bytearray(source.read())
    data[at] ^= 1
    with open(out, "wb") as target:
        target.write(data)
    return out


def installed(device, made, by_bundle, wanted):
    device.install(made).ok()
    status = device.check_clean()
    check(status["components"]["app"]["version"] == wanted and status["why"]["code"] == "", f"as after a bundle: {status}")
    check(app(device) == app(by_bundle), "a delta makes what the bundle makes")


def everything_it_makes_is_the_bundles(f, s):
    for name, prefix in s["who"].items():
        by_delta, by_bundle = (Lone(f, f"{name}-{way}", prefix=prefix) for way in ("delta", "bundle"))
        for device in (by_delta, by_bundle):
            if prefix:
                for path in (device.device.dir, device.state, device.config, os.path.join(device.device.dir, "root.json")):
                    os.chown(path, 65534, 65534)
            device.install(s["1.0"]).ok()
        by_bundle.install(s["1.1"]).ok()
        installed(by_delta, s["delta"], by_bundle, "1.1")
        check(os.path.getsize(s["delta"]) * 5 < os.path.getsize(s["1.1"]),
              f"{os.path.getsize(s['delta'])} of {os.path.getsize(s['1.1'])} bytes")
        by_delta.run("rollback", "--quiet").ok()
        check(by_delta.version() == "1.0", "gone back")


def a_running_agent_takes_it_too(f, s):
    device = Lone(f, "resident")
    device.install(s["1.0"]).ok()
    device.serve()
    device.install(s["delta"]).ok()
    check(device.version() == "1.1", str(device.status()))
    check(device.stop() == 0, "ends in order")
    device.check_clean()


def it_is_verified_against_what_it_starts_from(f, s):
    device = Lone(f, "verify")
    device.install(s["1.0"]).ok()
    base = os.path.join(device.state, "current")

    def run(*more):
        return edge_agent(f.env, "verify", "--root", f.root, *more)

    run("--base", base, s["delta"]).ok()
    run(s["delta"]).refused("usage", says="--base")
    run("--base", base, changed(s["delta"], "damaged.delta", os.path.getsize(s["delta"]) - 2000, f)).refused("bad_delta")
    device.install(s["1.1"]).ok()
    run("--base", base, s["delta"]).refused("wrong_base", says="install app-1.1.edge instead")


def another_base_changes_nothing(f, s):
    device = Lone(f, "base")
    device.install(s["delta"]).refused("wrong_base", says="does not have it; install app-1.1.edge instead")
    check(device.check_pair() == "", "an empty device stays empty")
    device.install(s["1.2"]).ok()
    with device.unchanged("a delta from another release"):
        device.install(s["delta"]).refused("wrong_base", says="has that of app 1.2; install app-1.1.edge instead")
    check(device.check_clean()["why"]["code"] == "wrong_base", "I10")
    device.install(s["1.1"]).ok()  # nothing counts against the bundle


def damage_changes_nothing(f, s):
    device = Lone(f, "damage")
    device.install(s["1.0"]).ok()
    size = os.path.getsize(s["delta"])
    for name, at, kinds in (("manifest", 2 * SKELETON, ("bad_signature", "syntax", "not_canonical")), ("data", size - 2000, ("bad_delta",)),
                            ("end", size - 1, ("trailing_data",))):
        with device.unchanged(f"one byte of {name} flipped"):
            device.install(changed(s["delta"], f"{name}.delta", at, f)).refused(*kinds)
    short = f.path("short.delta")
    with open(s["delta"], "rb") as source, open(short, "wb") as target:
        target.write(source.read()[:-2000])
    with device.unchanged("a delta cut short"):
        device.install(short).refused("truncated")
    device.install(s["delta"]).ok()
    device.check_clean()


def a_head_that_nobody_signed_is_refused(f, s):
    device = Lone(f, "unsigned")
    device.install(s["1.0"]).ok()
    with device.unchanged("an unsigned delta"):
        device.install(s["unsigned"]).refused("below_threshold", says="delta.json")


def a_damaged_base_is_named(f, s):
    device = Lone(f, "rotten")
    device.install(s["1.0"]).ok()
    bulk = os.path.join(device.state, "current", "app", "bulk")
    os.chmod(bulk, 0o644)
    with open(bulk, "r+b") as out:
        out.seek(3000)
        out.write(b"?")
    os.chmod(bulk, 0o444)
    with device.unchanged("a delta on a damaged generation"):
        device.install(s["delta"]).refused("bad_generation", says="damaged.*install app-1.1.edge instead")
    device.install(s["1.1"]).ok()
    device.check_clean()


def what_a_bundle_must_meet_a_delta_must_meet(f, s):
    device = Lone(f, "terms")
    device.install(s["1.0"]).ok()
    never = bundle(f, "1.3", more=("--requires", "arch == \"none\""))
    with device.unchanged("a delta for other devices"):
        device.install(delta(f, s["1.0"], never)).refused("requirement_unmet")
    device.reconfigure(decode_max_bytes=65536)
    with device.unchanged("a delta that needs more memory"):
        device.install(s["delta"]).refused("decode_memory", says="install the bundle itself")


def test(f):
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    s = {version: bundle(f, version) for version in ("1.0", "1.1", "1.2")}
    s["unsigned"] = f.path("unsigned.delta")
    shutil.move(delta(f, s["1.0"], s["1.1"], key=False), s["unsigned"])
    s["delta"] = delta(f, s["1.0"], s["1.1"])
    s["who"] = {"root" if os.geteuid() == 0 else "user": ()}
    if os.geteuid() == 0:
        s["who"]["nobody"] = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    scenarios = (everything_it_makes_is_the_bundles, a_running_agent_takes_it_too, it_is_verified_against_what_it_starts_from,
                 another_base_changes_nothing, damage_changes_nothing, a_head_that_nobody_signed_is_refused,
                 a_damaged_base_is_named, what_a_bundle_must_meet_a_delta_must_meet)
    fleet.each(s, *[named(scenario, f) for scenario in scenarios])


def named(scenario, f):
    """The scenario with the fleet given, under its own name."""
    def run(s):
        scenario(f, s)
    run.__name__ = scenario.__name__
    return run


fleet.main(test)
