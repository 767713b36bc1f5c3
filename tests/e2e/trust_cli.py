#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Roots signed by several people, from the command line."""

import json
import os
import pty
import shutil
import subprocess

import cli
import fleet
import people
from fleet import check


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


def signatures_made_at_once_in_one_file_are_all_kept(box):
    people = [box.person(name, None) for name in ("bob", "carol", "dan", "erin")]
    box.init()
    box.run("key", "add", "root", *people, "--threshold", "5", "--workspace", "ws")
    pending = "ws/pending/2.root.json"
    running = [subprocess.Popen([cli.EDGECTL, "sign", pending, "--root", "ws/root.json", "--key", public[:-3] + "key", "--yes"], cwd=box.dir,
                                env=box.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
               for public in people]
    for process in running:
        said = process.communicate(timeout=120)[1]
        check(process.returncode == 0, f"exit status {process.returncode}: {said}")
    check(len(box.load(pending)["signatures"]) == 5, f"{box.load(pending)['signatures']}")
    box.run("root", "publish", "--workspace", "ws")


def at_once(box, *commands):
    """Each (words, kinds that may come beside 0) at the same time; the exit status of each."""
    running = [subprocess.Popen([cli.EDGECTL, *words], cwd=box.dir, env=box.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True) for words, _ in commands]
    for process, (words, kinds) in zip(running, commands):
        said = process.communicate(timeout=300)[1]
        check(process.returncode in {0, *(people.KINDS[k] for k in kinds)}, f"{words}: exit status {process.returncode}: {said}")
    return [process.returncode for process in running]


def what_is_done_at_once_in_one_workspace_is_all_kept(box):
    box.three()
    added = []
    for turn in range(6):
        publics = [box.person(f"online{turn}{i}", None) for i in range(2)]
        box.run("key", "add", "director", publics[0], "--workspace", "ws")
        (pending,) = (name for name in os.listdir(box.path("ws/pending")) if name.endswith(".root.json"))
        # Whoever signs may find that its document was changed (exists), or was published, meanwhile.
        at_once(box,
                (("sign", f"ws/pending/{pending}", "--root", "bob/root.json", "--key", "bob/offline/keys/bob.key", "--yes"),
                 ("exists", "not_found", "rollback")),
                (("key", "add", "director", publics[1], "--workspace", "ws"), ()),
                (("root", "publish", "--workspace", "ws"), ("pending",)),
                (("release", "floor", f"app={turn + 1}", "--workspace", "ws"), ()))
        added += [box.keyid(public) for public in publics]
        for name in os.listdir(box.path("ws/pending")):
            box.run("root", "update", "--workspace", "bob", "--repository", "ws/server/repository")
            box.sign("bob", f"ws/pending/{name}")
            box.run("root", "publish", "--workspace", "ws")
        box.run("root", "update", "--workspace", "bob", "--repository", "ws/server/repository")
        lost = set(added) - set(box.role("director")["keyids"])
        check(not lost, f"turn {turn}: keys that were added are not in the root: {lost}")
        check(not os.listdir(box.path("ws/pending")), f"turn {turn}: {os.listdir(box.path('ws/pending'))}")
    check(box.json("root", "status", "--workspace", "ws")["version"] >= 8, "not every turn made a root")


def nobody_publishes_beneath_a_controller(box):
    with fleet.Fleet() as f:
        f.start_server()
        floor = ("release", "floor", "app=1", "--workspace", f.ws, "--repository", os.path.join(f.ws, "server/repository"))
        said = f.run(*floor, status=people.KINDS["busy"])
        check("--controller" in said.stderr, said.stderr)
        f.stop_server()
        f.edgectl(*floor)


def a_pending_root_that_was_overtaken_is_not_taken_for_published(box):
    box.init()
    shutil.copytree(box.path("ws"), box.path("other"))
    other = ("--workspace", "other", "--repository", "ws/server/repository")
    box.run("key", "rotate", "director", "--workspace", "ws")
    box.run("key", "rotate", "bundle", "--workspace", "other", "--no-passphrase")
    lost = box.role("bundle")["keyids"]
    box.run("root", "publish", "--workspace", "ws")
    for _ in range(2):
        box.run("root", "publish", *other, kind="conflict", says="2.root.json")
        check(os.listdir(box.path("other/pending")) == ["2.root.json"], "what was not published is gone")
    os.remove(box.path("other/pending/2.root.json"))
    box.run("key", "rotate", "bundle", "--workspace", "other", "--no-passphrase")
    box.run("root", "publish", *other)
    check(box.role("bundle", "other/root.json")["keyids"] != lost, "the key is still there")


def a_root_alone_makes_no_second_repository(box):
    box.init()
    box.run("release", "publish", box.bundle(), "--workspace", "ws")
    os.mkdir(box.path("empty"))
    there = ("--workspace", "ws", "--repository", "empty")
    for command in (("root", "publish"), ("release", "floor", "app=1"), ("root", "status")):
        box.run(*command, *there, kind="usage", says="cp -r")
        check(not os.listdir(box.path("empty")), f"{command} left {os.listdir(box.path('empty'))}")
    # What it says to do is done.
    shutil.copytree(box.path("ws/server/repository"), box.path("empty"), dirs_exist_ok=True)
    box.run("release", "floor", "app=1", *there)
    check(box.published(repository="empty")["floors"] == {"app": 1}, "the copy is no repository")
    box.run("root", "status", "--workspace", "ws", "--repository", "nowhere", kind="not_found", says="mkdir")


def a_repository_begins_in_an_empty_folder(box):
    box.init()
    box.run("key", "rotate", "director", "--workspace", "ws")
    os.mkdir(box.path("empty"))
    there = ("--workspace", "ws", "--repository", "empty")
    box.run("root", "publish", *there)
    box.run("release", "publish", box.bundle(), *there)
    check(box.published(repository="empty")["version"] > 0 and box.json("root", "status", *there)["version"] == 2, "no repository")


def a_root_key_signs_no_targets(box):
    box.init()
    box.run("release", "floor", "app=1", "--workspace", "ws")
    shutil.copy(box.path("ws/seen/targets.json"), box.path("root.json"))
    for more in ((), ("--role", "root")):
        box.run("sign", "root.json", "--workspace", "ws", "--yes", *more, kind="wrong_type", says="no root")


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


def whatever_changes_is_shown_before_it_is_signed(box):
    box.init()
    stray = box.keyid(box.person("mallory", None))
    box.run("key", "rotate", "director", "--workspace", "ws")
    changed = box.load("ws/pending/2.root.json")
    changed["signatures"] = []
    changed["signed"]["consistent_snapshot"] = False
    changed["signed"]["x-new"] = {"a": 1}
    key = dict(changed["signed"]["keys"][box.role("root")["keyids"][0]])
    key["keyval"] = box.load("mallory/offline/keys/mallory.pub")["keyval"]
    changed["signed"]["keys"][stray] = key
    box.write("ws/pending/2.root.json", json.dumps(changed, separators=(",", ":"), sort_keys=True))
    said = box.run("sign", "ws/pending/2.root.json", "--workspace", "ws", "--yes")
    for line in ('member "consistent_snapshot" was true, becomes false', 'member "x-new" is new: {"a":1}', f"key {stray[:8]}"):
        check(line in said, f"it does not say {line!r}: {said}")
    check("no role names it" in said, said)


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
    for answer, status in ((b"n\n", people.KINDS["permission"]), (b"y\n", 0)):
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
    box.run("release", "publish", box.bundle(), "--workspace", "ws", "--role", "nobody", kind="not_found", says="there are targets, deltas")
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


def a_workspace_from_before_there_were_targets_gets_them(box):
    box.init()
    old = box.load("ws/root.json")["signed"]
    old["roles"] = {"root": old["roles"]["root"], **old.pop("edge_roles")}
    old["version"] = 2
    named = {keyid for role in old["roles"].values() for keyid in role["keyids"]}
    old["keys"] = {keyid: key for keyid, key in old["keys"].items() if keyid in named}
    box.write("2.root.json", json.dumps({"signatures": [], "signed": old}, separators=(",", ":"), sort_keys=True))
    box.run("sign", "2.root.json", "--workspace", "ws", "--yes")
    for name in ("ws/root.json", "ws/server/root.json"):
        shutil.copy(box.path("2.root.json"), box.path(name))
    shutil.rmtree(box.path("ws/server/repository"))
    os.mkdir(box.path("ws/server/repository"))
    box.run("release", "floor", "app=1", "--workspace", "ws", kind="not_found", says="key rotate targets")
    for role in ("targets", "snapshot", "timestamp"):
        box.run("key", "rotate", role, "--workspace", "ws", "--no-passphrase")
    box.run("root", "publish", "--workspace", "ws")
    check(set(box.load("ws/root.json")["signed"]["edge_roles"]) == {"bundle", "director"}, "our roles stand among TUF's")
    box.run("release", "publish", box.bundle(), "--workspace", "ws")
    check(box.releases() == ["thing/1.0"], str(box.releases()))


if __name__ == "__main__":
    people.main(globals())
