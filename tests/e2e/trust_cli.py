#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# ctest: release
"""Keys and signatures of several people: roots, targets, delegations, from the command line.

Each person is a folder of their own with root.json and their own key, as on machines of their own; pending files are carried by
copying. The repository is a folder; that a controller is one as well is shown at the end.
"""

import inspect
import json
import os
import pty
import shutil
import subprocess
import sys
import tempfile

import cli
import fleet
from fleet import Failed, check

KINDS = {"usage": 2, "syntax": 4, "not_found": 10, "exists": 11, "permission": 12, "not_canonical": 20, "below_threshold": 21,
         "bad_signature": 22, "wrong_type": 23, "bad_key": 24, "expired": 25, "rollback": 27, "bad_passphrase": 28, "root_chain": 30,
         "delegation": 31, "wrong_workspace": 117, "expiring": 126, "pending": 127, "conflict": 128}
cli.STATUS.update(KINDS)


class Box(cli.Box):
    """A folder with a workspace `ws` of one person, and folders of others."""

    def __init__(self, folder):
        super().__init__(folder)
        self.env.pop("SOURCE_DATE_EPOCH")

    def load(self, name):
        with open(self.path(name), encoding="utf-8") as f:
            return json.load(f)

    def keyid(self, name):
        return self.json("key", "show", self.path(name))["keyid"]

    def person(self, name, root="ws/root.json"):
        """A folder with a key and nothing else but the root, if there is one yet."""
        os.makedirs(self.path(name, "offline/keys"))
        self.run("key", "new", name, "--keys", f"{name}/offline/keys")
        if root:
            shutil.copy(self.path(root), self.path(name, "root.json"))
        return f"{name}/offline/keys/{name}.pub"

    def three(self):
        """Alice's workspace with root keys of alice, bob and carol, two of which must sign."""
        bob, carol = self.person("bob", None), self.person("carol", None)
        self.run("init", "ws", "--key", f"root={bob}", "--key", f"root={carol}")
        for name in ("bob", "carol"):
            shutil.copy(self.path("ws/root.json"), self.path(name, "root.json"))
        self.run("key", "add", "root", "--threshold", "2", "--workspace", "ws")
        self.sign("bob", "ws/pending/2.root.json")
        self.run("root", "publish", "--workspace", "ws")
        for name in ("bob", "carol"):
            self.run("root", "update", "--workspace", name, "--repository", "ws/server/repository")

    def sign(self, who, pending, *more, **options):
        """The file goes to them, is signed there with their key, and comes back."""
        there = self.path(who, os.path.basename(pending))
        shutil.copy(self.path(pending), there)
        said = self.json("sign", there, "--workspace", who, "--yes", *more, **options) if not options.get("kind") else \
            self.run("sign", there, "--workspace", who, "--yes", *more, **options)
        shutil.copy(there, self.path(pending))
        return said

    def bundle(self, name="thing", version="1.0", component="app", workspace="ws", executable=False):
        folder = f"tree-{name}-{version}-{component}"
        self.write(f"{folder}/file", f"{name} {version}\n")
        os.chmod(self.path(folder, "file"), 0o755 if executable else 0o644)
        out = f"{name}-{version}-{component}.edge"
        self.run("bundle", "create", "--workspace", workspace, "--name", name, "--version", version, "--component",
                 f"{component}={folder}", "-o", out)
        return out

    def published(self, role="targets", repository="ws/server/repository"):
        """The signed part of the role's file that timestamp and snapshot lead to."""
        meta = f"{repository}/metadata"
        snapshot = self.load(f"{meta}/timestamp.json")["signed"]["meta"]["snapshot.json"]["version"]
        listed = self.load(f"{meta}/{snapshot}.snapshot.json")["signed"]["meta"]
        return self.load(f"{meta}/{listed[role + '.json']['version']}.{role}.json")["signed"] if f"{role}.json" in listed else None

    def releases(self, role="targets"):
        return sorted({path.rsplit("/", 1)[0] for path in self.published(role)["targets"]})

    def role(self, name, root="ws/root.json"):
        signed = self.load(root)["signed"]
        return signed.get("edge_roles", {}).get(name) or signed["roles"][name]


# ── Roots ──────────────────────────────────────────────────────────────────────────────────────────────


def a_root_of_two_of_three_is_signed_on_three_machines(box):
    box.three()
    check(box.role("root")["threshold"] == 2, "the threshold was not raised")
    old = box.keyid("ws/offline/keys/root.pub")
    said = box.json("key", "rotate", "root", "--workspace", "ws")
    check(not said["complete"] and said["version"] == 3, str(said))
    before, after = said["signatures"]
    check([k["keyid"] for k in before["signed"]] == [old], "the old key signs for the root before")
    check([k["name"] for k in after["signed"]] == ["root-3"], "the new key signs for the new root")
    box.run("root", "publish", "--workspace", "ws", kind="pending", says="1 more signature for the root before")
    said = box.sign("carol", "ws/pending/3.root.json")
    check(said["complete"] and said["added"] == 1, str(said))
    check(any("is added" in line for line in said["changes"]) and any("taken away" in line for line in said["changes"]),
          f"the summary does not say what changes: {said['changes']}")
    box.run("root", "publish", "--workspace", "ws")
    check(old not in box.role("root")["keyids"] and box.load("ws/root.json")["signed"]["version"] == 3, "not rotated")
    check(not os.listdir(box.path("ws/pending")), "the pending file is still there")
    for name in ("ws/server/root.json", "ws/server/repository/metadata/3.root.json"):
        check(box.load(name) == box.load("ws/root.json"), name)
    check("version 3" in box.run("root", "publish", "--workspace", "ws"), "publishing again is no failure")


def copies_signed_at_the_same_time_are_merged(box):
    box.three()
    box.run("key", "rotate", "targets", "--workspace", "ws", "--key", "bob/offline/keys/bob.key")
    shutil.copy(box.path("ws/pending/2.root.json".replace("2.", "3.")), box.path("copy.json"))
    shutil.copy(box.path("copy.json"), box.path("carol/3.root.json"))
    box.run("sign", "carol/3.root.json", "--workspace", "carol", "--yes")
    said = box.json("sign", "ws/pending/3.root.json", "--root", "ws/root.json", "--merge", "carol/3.root.json", "--yes")
    check(said["complete"] and said["added"] == 1, str(said))
    other = box.load("carol/3.root.json")
    other["signed"]["version"] = 4
    box.write("other.json", json.dumps(other, separators=(",", ":"), sort_keys=True))
    box.run("sign", "ws/pending/3.root.json", "--root", "ws/root.json", "--merge", "other.json", "--yes", kind="exists")


def whoever_signs_twice_signs_once(box):
    box.three()
    box.run("key", "rotate", "targets", "--workspace", "ws")
    check(box.sign("bob", "ws/pending/3.root.json")["added"] == 1, "the first one counts")
    before = open(box.path("ws/pending/3.root.json"), "rb").read()
    check(box.sign("bob", "ws/pending/3.root.json")["added"] == 0, "the second one does not")
    check(open(box.path("ws/pending/3.root.json"), "rb").read() == before, "the file changed")


def a_tampered_pending_file_is_refused(box):
    box.three()
    box.run("key", "rotate", "targets", "--workspace", "ws")
    good = open(box.path("ws/pending/3.root.json"), encoding="utf-8").read()
    changed = json.loads(good)
    changed["signed"]["roles"]["root"]["threshold"] = 1
    box.write("ws/pending/3.root.json", json.dumps(changed, separators=(",", ":"), sort_keys=True))
    box.sign("bob", "ws/pending/3.root.json", kind="bad_signature", says="changed the file after it was signed")
    box.run("root", "publish", "--workspace", "ws", kind="bad_signature")
    shown = box.json("root", "status", "--workspace", "ws")["pending"][0]
    check(shown["code"] == "bad_signature", f"root status does not say it: {shown}")
    # Without signatures there is nothing that could disagree: the summary tells, and form is still checked.
    changed["signatures"] = []
    box.write("ws/pending/3.root.json", json.dumps(changed, separators=(",", ":"), sort_keys=True))
    said = box.run("sign", "ws/pending/3.root.json", "--root", "bob/root.json", "--key", "bob/offline/keys/bob.key", "--yes")
    check("threshold was 2, becomes 1" in said, said)
    box.write("ws/pending/3.root.json", good.replace('{"signatures"', '{ "signatures"'))
    box.sign("bob", "ws/pending/3.root.json", kind="not_canonical")
    changed["signed"]["roles"]["root"]["threshold"] = 9
    box.write("ws/pending/3.root.json", json.dumps(changed, separators=(",", ":"), sort_keys=True))
    box.run("sign", "ws/pending/3.root.json", "--root", "bob/root.json", "--key", "bob/offline/keys/bob.key", "--yes", kind="bad_key")


def only_the_next_root_is_signed(box):
    box.three()
    box.run("key", "rotate", "targets", "--workspace", "ws")
    shutil.copy(box.path("ws/server/repository/metadata/1.root.json"), box.path("old.json"))
    box.run("sign", "old.json", "--workspace", "bob", "--yes", kind="rollback")
    shutil.copy(box.path("ws/server/repository/metadata/1.root.json"), box.path("bob/root.json"))
    box.sign("bob", "ws/pending/3.root.json", kind="root_chain", says="root update")
    box.run("sign", "ws/server/repository/metadata/timestamp.json", "--workspace", "ws", "--yes", kind="wrong_type")
    box.write("noise.json", "{}")
    box.run("sign", "noise.json", "--workspace", "ws", "--yes", kind="not_canonical")
    box.run("sign", "nothing.json", "--workspace", "ws", "--yes", kind="not_found")


def a_key_without_a_part_does_not_sign(box):
    box.three()
    mallory = box.person("mallory")
    box.run("key", "rotate", "targets", "--workspace", "ws")
    box.run("sign", "ws/pending/3.root.json", "--workspace", "mallory", "--key", mallory.replace(".pub", ".key"), "--yes",
            kind="permission", says="has no part in")


def a_signature_is_asked_for(box):
    box.init()
    box.run("key", "rotate", "targets", "--workspace", "ws", "--no-passphrase")
    box.run("sign", "ws/pending/2.root.json", "--workspace", "ws", kind="usage", says="--yes")
    for answer, status in ((b"n\n", KINDS["permission"]), (b"y\n", 0)):
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(box.dir)
            os.execve(cli.EDGECTL, [cli.EDGECTL, "sign", "ws/pending/2.root.json", "--workspace", "ws"], box.env)
        shown = b""
        while b"[y/N]" not in shown:
            shown += os.read(terminal, 4096)
        check(b"targets-2" in shown and b"version 2" in shown, f"asked before it was shown: {shown}")
        os.write(terminal, answer)
        try:
            while os.read(terminal, 4096):
                pass
        except OSError:
            pass
        check(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == status, f"after {answer}")
        os.close(terminal)


def the_last_key_that_a_threshold_needs_is_not_revoked(box):
    box.three()
    bob = box.keyid("bob/offline/keys/bob.pub")
    box.run("key", "revoke", "targets", box.keyid("ws/offline/keys/targets.pub")[:8], "--workspace", "ws", kind="permission",
            says="key rotate targets")
    box.run("key", "revoke", "root", bob[:12], "--workspace", "ws")
    box.run("key", "revoke", "root", bob, "--workspace", "ws")  # again: so already
    carol = box.keyid("carol/offline/keys/carol.pub")
    box.run("key", "revoke", "root", carol, "--workspace", "ws", kind="permission")
    box.run("key", "revoke", "root", carol, "--threshold", "1", "--workspace", "ws")
    box.run("key", "revoke", "root", "0" * 64, "--workspace", "ws", kind="not_found")
    box.run("key", "revoke", "root", "12", "--workspace", "ws", kind="usage")
    box.sign("bob", "ws/pending/3.root.json")
    box.run("root", "publish", "--workspace", "ws")
    check(box.role("root") == {"keyids": [box.keyid("ws/offline/keys/root.pub")], "threshold": 1}, str(box.role("root")))
    check(bob not in box.load("ws/root.json")["signed"]["keys"], "a key that nobody names is still listed")


def an_unknown_role_is_refused(box):
    box.init()
    for role in ("nobody", "bundle/", "bundle/../x", "models"):
        box.run("key", "rotate", role, "--workspace", "ws", kind="usage", says="is no role of a root")
    box.run("release", "publish", box.bundle(), "--workspace", "ws", "--role", "nobody", kind="not_found", says="only targets")
    box.run("release", "renew", "--workspace", "ws", "--role", "../x", kind="usage")


def a_wrong_passphrase_signs_nothing(box):
    box.run("init", "ws")
    box.run("key", "rotate", "targets", "--workspace", "ws", EDGECTL_PASSPHRASE="wrong", kind="bad_passphrase")
    check(not box.load("ws/pending/2.root.json")["signatures"], "signed with a wrong passphrase")
    box.write("passphrase", cli.PASSPHRASE + "\n")
    os.chmod(box.path("passphrase"), 0o600)
    box.run("sign", "ws/pending/2.root.json", "--workspace", "ws", "--yes", "--passphrase-file", "passphrase",
            EDGECTL_PASSPHRASE=None)
    box.run("root", "publish", "--workspace", "ws")
    box.run("release", "floor", "app=1", "--workspace", "ws", EDGECTL_PASSPHRASE=None, kind="usage", says="--passphrase-file")


def a_change_of_the_pending_root_drops_its_signatures(box):
    box.three()
    box.run("key", "rotate", "targets", "--workspace", "ws")
    box.sign("bob", "ws/pending/3.root.json")
    said = box.json("key", "rotate", "bundle", "--workspace", "ws")
    check(len(said["signatures"][0]["signed"]) == 1 and not said["complete"], str(said))
    box.run("root", "publish", "--workspace", "ws", kind="pending")
    again = box.json("key", "rotate", "bundle", "--workspace", "ws")
    check(not again["changed"] and again["changes"] == said["changes"], "rotating twice is rotating once")


def online_keys_are_rotated(box):
    box.init()
    old = {role: box.role(role)["keyids"] for role in ("timestamp", "snapshot", "director")}
    for role in old:
        box.run("key", "rotate", role, "--workspace", "ws")
        check(os.path.exists(box.path(f"ws/server/keys/{role}-2.key")) and os.path.exists(box.path(f"ws/server/keys/{role}.key")),
              f"{role}: not both keys are there while the new one is pending")
    box.run("root", "publish", "--workspace", "ws")
    for role, ids in old.items():
        check(not set(box.role(role)["keyids"]) & set(ids), f"{role} was not rotated")
    check(box.load("ws/server/repository/metadata/timestamp.json")["signatures"][0]["keyid"] == box.role("timestamp")["keyids"][0],
          "the timestamp is not signed by the new key")
    box.run("release", "floor", "app=1", "--workspace", "ws")


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


def a_product_line_has_its_own_publisher(box):
    box.init()
    mia = box.person("mia")
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
    box.run("release", "undelegate", "models", "--workspace", "ws")
    check("delegations" not in box.published() or not box.published()["delegations"]["roles"], str(box.published()))
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


def ci_learns_what_expires(box):
    box.init()
    box.run("root", "status", "--workspace", "ws", "--expiring", "30")
    box.run("root", "status", "--workspace", "ws", "--expiring", "366", kind="expiring", says="targets")
    box.run("release", "renew", "--workspace", "ws", "--expires", "20d")
    box.run("root", "status", "--workspace", "ws", "--expiring", "30", kind="expiring", says="targets")
    box.run("root", "status", "--workspace", "ws", "--expiring", "19")
    shown = {m["name"]: m["expiring"] for m in box.json("root", "status", "--workspace", "ws")["metadata"]}
    check(shown == {"root": False, "timestamp": False, "snapshot": False, "targets": True}, str(shown))
    box.run("root", "status", "--workspace", "ws", "--expiring", "30", "--local")


# ── A controller ───────────────────────────────────────────────────────────────────────────────────────


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


def tests():
    """In the order they stand here: every function that takes a box alone."""
    for value in list(globals().values()):
        if inspect.isfunction(value) and list(inspect.signature(value).parameters) == ["box"]:
            yield value


def main():
    failed = 0
    for test in tests():
        if sys.argv[1:] and test.__name__ not in sys.argv[1:]:
            continue
        with tempfile.TemporaryDirectory(prefix="edgectl-trust-") as folder:
            try:
                test(Box(folder))
                print(f"ok      {test.__name__.replace('_', ' ')}", flush=True)
            except (Failed, OSError, KeyError, ValueError, subprocess.SubprocessError) as error:
                failed += 1
                print(f"FAILED  {test.__name__.replace('_', ' ')}: {error}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
