#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# ctest: release
"""`edge-agent install` from file: URLs and from directories: the bundle for this device is found, or nothing changes and the reason is named."""

import os
import shutil
import subprocess

import fleet
from fleet import check
from lone import KINDS, Lone


def made(f, version, *more, name="app", text=None):
    folder = f.component(f"{name}-{version}", {"version": text or version})
    return f.bundle(name, version, {name: folder}, *more)


def stick(f, name, *bundles):
    """A directory with these bundles in it."""
    folder = f.path(name)
    os.mkdir(folder)
    for bundle in bundles:
        shutil.copy(bundle, folder)
    return folder


def write(folder, name, data):
    with open(os.path.join(folder, name), "wb") as file:
        file.write(data)


def a_url_of_a_file_is_its_path(f, s):
    device = Lone(f, "urls")
    device.install("file://" + s["1.0"]).ok()
    device.install("file:" + s["1.9"]).ok()
    check(device.check_clean() and device.version() == "1.9", "both forms")
    device.install("file://elsewhere" + s["1.10"]).refused("not_found", says="elsewhere/")
    device.install("file://" + f.path("none.edge")).refused("not_found", says="none.edge")


def of_a_directory_the_highest_release_for_this_device_is_taken(f, s):
    device = Lone(f, "picky", facts={"hw.line": "press"})
    folder = stick(f, "picky.d", s["1.0"], s["1.10"], s["1.9"], s["elsewhere"], s["here"], s["unsigned"])
    with open(s["3.0"], "rb") as file:
        whole = file.read()
    write(folder, "cut.edge", whole[:len(whole) // 20])
    write(folder, "readme.txt", b"not a bundle")
    write(folder, "noise.edge", b"nor is this")
    write(folder, "._app-3.0.edge", whole)  # what a file manager leaves
    write(folder, "app-3.0.edge.part", whole)
    os.mkdir(os.path.join(folder, "directory.edge"))
    os.symlink(s["3.0"], os.path.join(folder, "link.edge"))
    os.mkfifo(os.path.join(folder, "pipe.edge"))
    done = device.run("install", folder + "/").ok()
    check(done.out.splitlines()[0] == "app-2.0.edge", f"says which: {done.out}")
    check(device.version() == "2.0" and not done.err, f"the one for this device: {device.status()}: {done.err}")
    os.unlink(os.path.join(folder, "app-2.0.edge"))
    device.install("file://" + folder).ok()
    check(device.version() == "1.10", "1.10 is later than 1.9")
    device.check_clean()


def a_running_agent_gets_what_was_found(f, s):
    device = Lone(f, "running")
    device.serve()
    device.install(stick(f, "running.d", s["1.0"], s["1.9"])).ok()
    check(device.version() == "1.9", str(device.status()))
    device.stop()


def two_that_would_do_are_both_named(f, s):
    device = Lone(f, "torn")
    folder = stick(f, "torn.d", s["1.0"], s["other"])
    with device.unchanged("two things at once"):
        device.install(folder).refused("usage", says="app-1.0.edge.*other-9.edge|other-9.edge.*app-1.0.edge")
    os.unlink(os.path.join(folder, "other-9.edge"))
    shutil.copy(s["again"], os.path.join(folder, "again.edge"))
    with device.unchanged("two of one release"):
        device.install(folder).refused("usage", says="app-1.0.edge.*again.edge|again.edge.*app-1.0.edge")
    shutil.copy(s["1.9"], folder)
    device.install(folder).ok()
    check(device.version() == "1.9", "a later one decides")
    same = stick(f, "same.d", s["1.10"])
    shutil.copy(s["1.10"], os.path.join(same, "copy.edge"))
    device.install(same).ok()
    check(device.version() == "1.10", "a copy is no other bundle")


def when_none_fits_each_is_named_with_its_reason(f, s):
    device = Lone(f, "without")
    folder = stick(f, "without.d", s["elsewhere"], s["unsigned"])
    write(folder, "bell\x07.edge", b"x" * 2000)
    with device.unchanged("nothing for this device"):
        done = device.install(folder)
        check(done.code == KINDS["not_found"], f"{done.kind}: {done.err}")
    for said in (r"elsewhere", "unsigned.edge: ", "bell", "none of its 3 bundles"):
        check(said in done.err, f"says {said}: {done.err}")
    check(done.err.replace("\n", "").isprintable(), f"no control characters: {done.err!r}")
    empty = stick(f, "empty.d")
    device.install(empty).refused("not_found", says="no bundle")
    for i in range(257):
        write(empty, f"{i}.edge", b"")
    done = device.install(empty)
    check(done.code == KINDS["limit"], f"too many: {done.kind}: {done.err}")


def a_root_that_the_device_learnt_since_counts(f, s):
    """Asked of the worker: a device's own root changes with a repository alone."""
    program = os.path.join(fleet.BIN, "edge-agent-worker")
    other = f.path("strangers")
    f.edgectl("init", other)
    folder = stick(f, "learnt.d", s["1.0"])
    def choose(root, state):
        return subprocess.run([program, "--choose", folder, "{}", root, state], capture_output=True, text=True, check=False, timeout=fleet.PATIENCE_S)
    strange, state = os.path.join(other, "root.json"), f.path("learnt")
    os.makedirs(os.path.join(state, "private/tuf"))
    check(choose(strange, state).returncode == KINDS["not_found"], "a stranger's root")
    shutil.copy(f.root, os.path.join(state, "private/tuf/root.json"))
    done = choose(strange, state)
    check((done.returncode, done.stdout) == (0, "app-1.0.edge"), f"{done}")


def test(f):
    s = {version: made(f, version) for version in ("1.0", "1.9", "1.10", "3.0")}
    s["here"] = made(f, "2.0", "--requires", 'hw.line == "press"')
    s["elsewhere"] = shutil.move(made(f, "2.1", "--requires", 'hw.line == "elsewhere"'), f.path("elsewhere.edge"))
    s["other"] = made(f, "9", name="other")
    s["again"] = f.path("again.edge")
    shutil.copy(s["1.0"], f.path("kept.edge"))
    shutil.move(made(f, "1.0", text="1.0, but another"), s["again"])
    shutil.move(f.path("kept.edge"), s["1.0"])
    s["unsigned"] = f.path("unsigned.edge")
    strangers = f.path("stranger")
    f.edgectl("init", strangers)
    f.edgectl("bundle", "create", "--workspace", strangers, "--name", "app", "--version", "8", f"--component=app={f.path('input/app-1.0')}",
              "-o", s["unsigned"])
    fleet.each(s, *[named(scenario, f) for scenario in (
        a_url_of_a_file_is_its_path, of_a_directory_the_highest_release_for_this_device_is_taken, a_running_agent_gets_what_was_found,
        two_that_would_do_are_both_named, when_none_fits_each_is_named_with_its_reason, a_root_that_the_device_learnt_since_counts)])


def named(scenario, f):
    """The scenario with the fleet given, under its own name."""
    def run(s):
        scenario(f, s)
    run.__name__ = scenario.__name__
    return run


fleet.main(test)
