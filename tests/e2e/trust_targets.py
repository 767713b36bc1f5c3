#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# ctest: release
"""Targets published, withdrawn, delegated and renewed, into a folder and at a controller."""

import json
import os
import shutil
import subprocess

import cli
import fleet
import people
from fleet import check
from people import KINDS


# ── Targets ────────────────────────────────────────────────────────────────────────────────────────────


def releases_are_published_and_withdrawn(box):
    box.init()
    first, second = box.bundle(version="1.0"), box.bundle(version="1.1")
    said = box.json("release", "publish", first, second, "--workspace", "ws")
    check(said["outcome"] == "published" and len(said["bundles"]) == 2, str(said))
    check(box.releases() == ["thing/1.0", "thing/1.1"], str(box.releases()))
    version = box.published()["version"]
    check(box.json("release", "publish", first, "--workspace", "ws")["outcome"] == "unchanged", "publishing again changes nothing")
    check(box.published()["version"] == version, "publishing again made a new version")
    box.run("release", "withdraw", "thing", "1.0", "--workspace", "ws")
    check(box.releases() == ["thing/1.1"], str(box.releases()))
    check("Nothing was changed" in box.run("release", "withdraw", "thing", "1.0", "--workspace", "ws"), "withdrawing again")
    check(box.published()["previous"] >= version, "a version says what it was made from")


def floors_only_rise(box):
    box.init()
    box.run("release", "floor", "app=3", "model=1", "--workspace", "ws")
    check(box.published()["floors"] == {"app": 3, "model": 1}, str(box.published()))
    box.run("release", "floor", "app=2", "--workspace", "ws", kind="rollback")
    check(box.json("release", "floor", "app=3", "--workspace", "ws")["outcome"] == "unchanged", "the same floor again")
    for wrong in ("app", "=1", "app=x", "a/b=1"):
        box.run("release", "floor", wrong, "--workspace", "ws", kind="syntax" if wrong == "app=x" else "usage")
    box.run("release", "floor", "app=4", "--workspace", "ws")
    check(box.published()["floors"] == {"app": 4, "model": 1}, str(box.published()))


def targets_of_two_people_wait_for_the_second(box):
    box.init()
    dora = box.person("dora")
    box.run("key", "add", "targets", dora, "--threshold", "2", "--workspace", "ws")
    box.run("root", "publish", "--workspace", "ws")
    box.run("release", "publish", box.bundle(), "--workspace", "ws", kind="pending", says="1 more signature for targets")
    done = subprocess.run([cli.EDGECTL, "release", "floor", "app=7", "--workspace", "ws"], cwd=box.dir, env=box.env, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    check(done.returncode == KINDS["pending"] and "1 signature of pending/targets.json no longer counts" in done.stderr, done.stderr)
    check(box.releases() == [], "published below the threshold")
    box.run("root", "update", "--workspace", "dora", "--repository", "ws/server/repository")
    box.run("release", "publish", "--metadata", "ws/pending/targets.json", "--workspace", "ws", kind="pending")
    said = box.sign("dora", "ws/pending/targets.json")
    check(said["complete"] and any("thing/1.0" in line for line in said["changes"]) and any("floor of app" in line for line in said["changes"]),
          str(said))
    box.run("release", "publish", "--metadata", "ws/pending/targets.json", "--workspace", "ws")
    check(box.releases() == ["thing/1.0"] and box.published()["floors"] == {"app": 7}, str(box.published()))
    check(not os.listdir(box.path("ws/pending")), "the pending file is still there")


def rotated_targets_keys_sign_the_same_targets_anew(box):
    box.init()
    box.run("release", "publish", box.bundle(), "--workspace", "ws")
    box.run("key", "rotate", "targets", "--workspace", "ws", "--no-passphrase")
    check("release renew" in box.run("root", "publish", "--workspace", "ws"), "it does not say what to do next")
    box.run("release", "renew", "--workspace", "ws")
    check(box.releases() == ["thing/1.0"], "the targets were lost")
    new = box.role("targets")["keyids"]
    version = box.published()["version"]
    signed = [s["keyid"] for s in box.load(f"ws/server/repository/metadata/{version}.targets.json")["signatures"]]
    check(signed == new, "not signed by the new key")


def verified(box, bundle, kind=None):
    """On a build machine and on a device, with the same word."""
    box.run("bundle", "verify", bundle, "--workspace", "ws", kind=kind)
    done = subprocess.run([os.environ["EDGE_AGENT"], "verify", bundle, "--root", "ws/root.json"], cwd=box.dir, env=box.env, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=600, check=False)
    check(done.returncode == (KINDS[kind] if kind else 0), f"edge-agent verify {bundle}: exit status {done.returncode}: {done.stderr}")


def a_product_line_has_its_own_publisher(box):
    box.init()
    mia = box.person("mia")
    box.run("key", "add", "bundle/models", mia, "--component", "../x", "--workspace", "ws", kind="usage", says="no name of a component")
    box.run("key", "add", "targets", mia, "--component", "detector", "--workspace", "ws", kind="usage", says="bundle/NAME")
    box.run("key", "add", "bundle/models", mia, "--component", "detector", "--no-executable", "--workspace", "ws")
    box.run("root", "publish", "--workspace", "ws")
    box.run("root", "update", "--workspace", "mia", "--repository", "ws/server/repository")
    box.run("release", "delegate", "models", "--key", mia, "--path", "camera/*/*", "--component", "detector", "--no-executable",
            "--workspace", "ws")
    mine = ("--workspace", "mia", "--repository", "ws/server/repository", "--role", "models")
    # A folder without a controller wants the online keys of whoever publishes into it.
    shutil.copytree(box.path("ws/server/keys"), box.path("mia/server/keys"))
    good = box.bundle("camera", "1.0", "detector", "mia")
    box.run("release", "publish", good, *mine)
    check(box.releases("models") == ["camera/1.0"] and box.releases() == [], "not published by the delegated role")
    box.run("release", "publish", good, *mine[:-2], kind="pending")
    box.run("release", "publish", box.bundle("lidar", "1.0", "detector", "mia"), *mine, kind="delegation", says="lidar/1.0")
    for component, executable in (("rootfs", False), ("detector", True)):
        bad = box.bundle("camera", f"1.{int(executable)}", component, "mia", executable)
        box.run("release", "publish", bad, *mine, kind="delegation")
        verified(box, bad, kind="delegation")
    verified(box, good)
    box.run("release", "undelegate", "models", "--workspace", "ws")
    check([role["name"] for role in box.published()["delegations"]["roles"]] == ["deltas"], str(box.published()))
    box.run("release", "publish", good, *mine, kind="not_found")


def two_publishers_lose_nothing(box):
    box.init()
    shutil.copytree(box.path("ws"), box.path("other"))
    bundles = [box.bundle(version=f"1.{i}") for i in range(4)]
    running = []
    for i, bundle in enumerate(bundles):
        argv = [cli.EDGECTL, "release", "publish", bundle, "--workspace", ("ws", "other")[i % 2], "--repository", "ws/server/repository"]
        running.append(subprocess.Popen(argv, cwd=box.dir, env=box.env, stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
    for process in running:
        said = process.communicate(timeout=120)[1]
        check(process.returncode == 0, f"exit status {process.returncode}: {said}")
    check(box.releases() == [f"thing/1.{i}" for i in range(4)], str(box.releases()))


def changes_made_at_once_wait_together(box):
    box.init()
    box.run("key", "add", "targets", box.person("dora"), "--threshold", "2", "--workspace", "ws")
    box.run("root", "publish", "--workspace", "ws")
    running = [subprocess.Popen([cli.EDGECTL, "release", "floor", f"c{i}=1", "--workspace", "ws"], cwd=box.dir, env=box.env,
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for i in range(4)]
    check([process.wait(timeout=120) for process in running] == 4 * [KINDS["pending"]], "not all are pending")
    check(box.load("ws/pending/targets.json")["signed"]["floors"] == {f"c{i}": 1 for i in range(4)}, "a change was lost")


def what_was_made_from_an_older_version_is_not_published(box):
    box.init()
    dora = box.person("dora")
    box.run("key", "add", "targets", dora, "--threshold", "2", "--workspace", "ws")
    box.run("root", "publish", "--workspace", "ws")
    box.run("root", "update", "--workspace", "dora", "--repository", "ws/server/repository")
    box.run("release", "renew", "--workspace", "ws", kind="pending")
    box.sign("dora", "ws/pending/targets.json")
    shutil.copy(box.path("ws/pending/targets.json"), box.path("first.json"))
    box.run("release", "publish", "--metadata", "ws/pending/targets.json", "--workspace", "ws")
    box.run("release", "publish", "--metadata", "first.json", "--workspace", "ws")  # the same again
    for floor in ("app=1", "app=2"):
        box.run("release", "floor", floor, "--workspace", "ws", kind="pending")
        box.sign("dora", "ws/pending/targets.json")
        shutil.copy(box.path("ws/pending/targets.json"), box.path(f"{floor}.json"))
        os.unlink(box.path("ws/pending/targets.json"))
    box.run("release", "publish", "--metadata", "app=1.json", "--workspace", "ws")
    box.run("release", "publish", "--metadata", "app=2.json", "--workspace", "ws", kind="conflict", says="make the change again")
    check(box.published()["floors"] == {"app": 1}, str(box.published()))


def an_older_repository_is_not_signed_on_top_of(box):
    box.init()
    shutil.copytree(box.path("ws/server/repository"), box.path("before"))
    box.run("release", "floor", "app=1", "--workspace", "ws")
    box.run("release", "floor", "app=2", "--workspace", "ws", "--repository", "before", kind="rollback")
    shutil.rmtree(box.path("before/metadata"))
    os.mkdir(box.path("before/metadata"))
    box.run("release", "floor", "app=2", "--workspace", "ws", "--repository", "before", kind="not_found")


# ── Expiry ─────────────────────────────────────────────────────────────────────────────────────────────


def what_a_wrong_clock_dated_ahead_is_not_for_ever(box):
    """One publication by a machine whose clock was ahead: the next one has honest dates again, of targets and of the root."""
    box.init()
    later = fleet.other_time("+800d")
    box.run("release", "floor", "app=1", "--workspace", "ws", **later)
    box.run("key", "rotate", "bundle", "--workspace", "ws", "--no-passphrase", **later)
    box.run("root", "publish", "--workspace", "ws", **later)
    ahead = box.published()["issued"], box.load("ws/root.json")["signed"]["issued"]
    box.run("release", "floor", "app=2", "--workspace", "ws")
    box.run("key", "rotate", "bundle", "--workspace", "ws", "--no-passphrase")
    box.run("root", "publish", "--workspace", "ws")
    check(box.published()["issued"] < ahead[0] and box.published()["floors"] == {"app": 2}, f"{ahead}: {box.published()}")
    check(box.load("ws/root.json")["signed"]["issued"] < ahead[1], f"{ahead}: {box.load('ws/root.json')['signed']}")


def ci_learns_what_expires(box):
    box.init()
    box.run("root", "status", "--workspace", "ws", "--expiring", "30")
    box.run("root", "status", "--workspace", "ws", "--expiring", "366", kind="expiring", says="targets")
    box.run("release", "renew", "--workspace", "ws", "--expires", "20d")
    box.run("root", "status", "--workspace", "ws", "--expiring", "30", kind="expiring", says="targets")
    box.run("root", "status", "--workspace", "ws", "--expiring", "19")
    shown = {m["name"]: m["expiring"] for m in box.json("root", "status", "--workspace", "ws")["metadata"]}
    check(shown == {"root": False, "timestamp": False, "snapshot": False, "targets": True, "deltas": False}, str(shown))
    box.run("root", "status", "--workspace", "ws", "--expiring", "30", "--local")


# ── A controller ───────────────────────────────────────────────────────────────────────────────────────


def whoever_publishes_under_an_expired_root_is_told(box):
    box.init()
    check(box.json("release", "floor", "app=1", "--workspace", "ws")["expiring"] == [], "ten years are not soon")
    box.run("key", "rotate", "director", "--workspace", "ws", "--expires", "20d")
    box.run("root", "publish", "--workspace", "ws")
    for days, expired in (("19", False), ("21", True)):
        later = {**box.env, **fleet.other_time(f"+{days}d")}
        for command in (("root", "publish"), ("release", "renew"), ("release", "floor", "app=1")):
            said = subprocess.run([cli.EDGECTL, *command, "--workspace", "ws", "--json"], cwd=box.dir, env=later, capture_output=True,
                                  stdin=subprocess.DEVNULL, text=True, timeout=fleet.PATIENCE_S, check=False)
            check(said.returncode == 0 and "WARNING: version 2 of the root expire" in said.stderr, f"{command}: {said}")
            (row,) = json.loads(said.stdout)["expiring"]
            check((row["name"], row["version"], row["expired"]) == ("root", 2, expired), f"{command}: {row}")


def a_controller_takes_what_people_signed(box):
    with fleet.Fleet() as f:
        f.start_server()
        inside = os.path.join(f.ws, "server/repository/metadata")

        def current(role):
            return next(r for r in f.json("root", "status", "--workspace", f.ws)["metadata"] if r["name"] == role)

        bundle = f.bundle("thing", "1.0", {"app": f.component("app", {"version": "1.0"})})
        f.run("release", "publish", bundle, "--upload-only")
        said = f.json("release", "publish", bundle, "--workspace", f.ws)
        check(said["outcome"] == "published" and said["metadata_version"] == current("targets")["version"], f"publishing: {said}")
        said = f.json("release", "publish", bundle, "--workspace", f.ws)
        check(said["outcome"] == "unchanged", f"publishing again: {said}")
        for role in ("targets", "timestamp", "snapshot", "director"):
            f.run("key", "rotate", role, "--workspace", f.ws)
        f.run("root", "publish", "--workspace", f.ws)
        check(os.path.exists(os.path.join(inside, "2.root.json")), "the controller does not serve the new root")
        waiting = f.json("fleet", "summary")["expiring"]
        check([r["name"] for r in waiting] == ["targets"] and not waiting[0]["valid"], f"fleet summary does not say it: {waiting}")
        f.run("release", "renew", "--workspace", f.ws, "--expires", "20d")
        summary = f.json("fleet", "summary")["expiring"]
        check([(r["name"], r["valid"]) for r in summary] == [("targets", True)], f"nothing is said of 20 days: {summary}")
        check("WARNING" in f.edgectl("fleet", "summary"), "people are not told")
        f.run("root", "status", "--workspace", f.ws, "--expiring", "30", status=KINDS["expiring"])
        f.run("release", "renew", "--workspace", f.ws)
        check(f.json("fleet", "summary")["expiring"] == [], "it still warns")
        shutil.copytree(f.ws, f.path("other"))
        running = [subprocess.Popen([cli.EDGECTL, "release", "floor", f"c{i}=1", "--workspace", (f.ws, f.path("other"))[i % 2]],
                                    env=f.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                   for i in range(2)]
        for process in running:
            said = process.communicate(timeout=120)[1]
            check(process.returncode == 0, f"exit status {process.returncode}: {said}")
        viewer = f.edgectl("token", "create", "--role", "viewer", "--expires", "1h").strip()
        f.run("release", "floor", "app=1", "--workspace", f.ws, env={"EDGECTL_TOKEN": viewer}, status=KINDS["permission"])


def a_publisher_elsewhere_needs_only_its_own_key_and_token(box):
    with fleet.Fleet() as f:
        f.start_server()
        mia = f.path("mia")
        os.makedirs(os.path.join(mia, "offline/keys"))
        shutil.copy(f.root, mia)
        f.run("key", "new", "mia", "--keys", os.path.join(mia, "offline/keys"))
        public = os.path.join(mia, "offline/keys/mia.pub")
        f.run("key", "add", "bundle/models", public, "--component", "detector", "--workspace", f.ws)
        f.run("root", "publish", "--workspace", f.ws)
        f.run("release", "delegate", "models", "--key", public, "--path", "camera/*/*", "--component", "detector", "--workspace", f.ws)
        mine = {"EDGECTL_TOKEN": f.edgectl("token", "create", "--role", "publisher", "--expires", "1h").strip()}
        f.run("root", "update", "--workspace", mia, env=mine)
        bundle = f.path("camera.edge")
        f.run("bundle", "create", "--workspace", mia, "--name", "camera", "--version", "1.0", "-o", bundle, "--component",
              f"detector={f.component('detector', {'weights': '1'})}")
        said = f.json("release", "publish", bundle, "--workspace", mia, "--role", "models", env=mine)
        check(said["outcome"] == "published" and said["role"] == "models", str(said))
        check(f.json("release", "publish", bundle, "--workspace", mia, "--role", "models", env=mine)["outcome"] == "unchanged", "again")
        # Neither may they publish for others, nor does their token make a root.
        f.run("release", "floor", "detector=1", "--workspace", mia, env=mine, status=KINDS["pending"])
        f.run("key", "add", "root", public, "--workspace", f.ws)
        f.run("root", "publish", "--workspace", f.ws, env=mine, status=KINDS["permission"])
        shown = {m["name"] for m in f.json("root", "status", "--workspace", f.ws)["metadata"]}
        check(shown == {"root", "timestamp", "snapshot", "targets", "deltas", "models"}, str(shown))


if __name__ == "__main__":
    people.main(globals())
