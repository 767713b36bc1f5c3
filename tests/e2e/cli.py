#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# ctest: release
"""What edgectl does without a controller: workspaces, keys, bundles, seeding an image.

Each test is a function with a claim for a name; it gets a folder of its own and works with the real program.
"""

import inspect
import json
import os
import pty
import select
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile

from fleet import EDGECTL, PATIENCE_S, Failed, check

PASSPHRASE = "correct horse"
STATUS = {"usage": 2, "config": 3, "syntax": 4, "limit": 5, "not_found": 10, "exists": 11, "permission": 12,
          "below_threshold": 21, "wrong_type": 23, "expired": 25, "bad_passphrase": 28, "signer_failed": 29,
          "truncated": 41, "trailing_data": 42, "bad_manifest": 43, "bad_frame": 47, "unsupported_member": 52, "bad_predicate": 53,
          "wrong_workspace": 117}


class Box:
    """A folder, and edgectl in it."""

    def __init__(self, folder):
        self.dir = folder
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("EDGECTL_")}
        self.env.update(EDGECTL_PASSPHRASE=PASSPHRASE, SOURCE_DATE_EPOCH="1790000000")

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def run(self, *argv, kind=None, says="", **env):
        """Runs it; kind names the error that must come, None that it must work. Returns standard output."""
        given = {**self.env, **env}
        done = subprocess.run([EDGECTL, *argv], cwd=self.dir, env={k: v for k, v in given.items() if v is not None},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        wanted = STATUS[kind] if kind else 0
        what = f"edgectl {' '.join(argv)}"
        check(done.returncode == wanted, f"{what}: exit status {done.returncode}, not {wanted}: {done.stderr}")
        if kind:
            check(done.stderr.startswith("edgectl: ") and done.stderr.count("\n") == 1, f"{what}: not one line: {done.stderr!r}")
            check(says in done.stderr, f"{what}: does not say {says!r}: {done.stderr}")
        return done.stdout

    def json(self, *argv, **more):
        return json.loads(self.run(*argv, "--json", **more))

    def write(self, name, data):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode())
        return name

    def init(self, name="ws", *more):
        self.run("init", name, "--no-passphrase", *more)
        return name

    def create(self, *more, out="a.edge", version="1.0", **options):
        self.run("bundle", "create", "--workspace", "ws", "--name", "thing", "--version", version, "-o", out, *more,
                 **options)
        return out

    def tree(self, name="tree"):
        self.write(f"{name}/model.bin", bytes(range(256)) * 2000)
        self.write(f"{name}/deep/er/x", "x\n")
        os.symlink("model.bin", self.path(name, "link"))
        os.chmod(self.path(name, "deep/er/x"), 0o755)
        return name


def files_in(folder):
    return sorted(os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names)


# ── init and key ───────────────────────────────────────────────────────────────────────────────────────


def init_makes_a_workspace_and_a_second_run_changes_nothing(box):
    check("ws is ready" in box.run("init", "ws"), "it does not say so")
    made = box.env["SOURCE_DATE_EPOCH"]  # the versions of all but root; the snapshot after the role deltas is the second
    metadata = [f"server/repository/metadata/{name}.json" for name in ("1.root", "timestamp", f"{int(made) + 1}.snapshot", *(
        f"{made}.{role}" for role in ("snapshot", "targets", "deltas")))]
    keys = [f"{folder}/keys/{name}.{kind}" for folder, names in (("offline", ("bundle", "root", "targets")), ("server", (
        "deltas", "director", "snapshot", "timestamp"))) for name in names for kind in ("key", "pub")]
    wanted = sorted([*keys, *metadata, "root.json", "server/root.json"])
    check(files_in(box.path("ws")) == wanted, str(files_in(box.path("ws"))))
    before = {name: open(box.path("ws", name), "rb").read() for name in wanted}
    check("intact" in box.run("init", "ws", EDGECTL_PASSPHRASE=None), "the second run does not say that it is there")
    check(before == {name: open(box.path("ws", name), "rb").read() for name in wanted}, "the second run changed a file")
    for name, mode in (("offline", 0o700), ("server", 0o700), ("offline/keys/root.key", 0o600), ("server/keys/director.key", 0o600)):
        check(stat.S_IMODE(os.stat(box.path("ws", name)).st_mode) == mode, f"{name} has another mode")
    for name, sealed in (("offline/keys/root.key", True), ("offline/keys/bundle.key", True), ("offline/keys/targets.key", True),
                         *((f"server/keys/{name}.key", False) for name in ("director", "timestamp", "snapshot", "deltas"))):
        key = json.loads(before[name])
        check(("sealed" in key) == sealed and ("seed" in key) != sealed, f"{name}: sealed or not")


def init_knows_a_workspace_whose_keys_were_rotated(box):
    box.init()
    for role in ("targets", "timestamp"):
        box.run("key", "rotate", role, "--workspace", "ws", "--no-passphrase", SOURCE_DATE_EPOCH="")
        box.run("root", "publish", "--workspace", "ws")
    check("intact" in box.run("init", "ws"), "a rotated workspace is not known")


def init_without_a_passphrase_makes_nothing(box):
    box.run("init", "ws", EDGECTL_PASSPHRASE=None, kind="usage", says="--passphrase-file")
    check(not os.path.exists(box.path("ws")), "a folder was left behind")
    box.run("init", "ws", EDGECTL_PASSPHRASE="", kind="usage")


def init_warns_loudly_when_keys_are_not_sealed(box):
    done = subprocess.run([EDGECTL, "init", box.path("ws"), "--no-passphrase"], capture_output=True, text=True, check=True,
                          env=box.env, timeout=PATIENCE_S)
    check("WARNING" in done.stderr and "NOT sealed" in done.stderr, done.stderr)


def init_goes_on_where_it_was_interrupted(box):
    box.init()
    key = open(box.path("ws/offline/keys/root.key"), "rb").read()
    for name in ("root.json", "server/root.json", "offline/keys/root.pub", "offline/keys/bundle.key", "offline/keys/bundle.pub",
                 "server/keys/timestamp.key", "server/keys/timestamp.pub"):
        os.unlink(box.path("ws", name))
    box.init()
    check(open(box.path("ws/offline/keys/root.key"), "rb").read() == key, "a key that was there was not taken")
    check(os.path.exists(box.path("ws/offline/keys/root.pub")), "the public half was not made again")
    with open(box.path("ws/server/repository/metadata/1.root.json"), "rb") as published, open(box.path("ws/root.json"), "rb") as root:
        check(published.read() == root.read(), "the repository is that of the root which was given up")
    box.run("root", "status", "--workspace", "ws", "--repository", "ws/server/repository")
    box.tree()
    box.create("--component", "a=tree")
    box.run("bundle", "verify", "--root", "ws/root.json", "a.edge")


def init_tells_a_damaged_workspace_from_an_intact_one(box):
    box.init()
    shutil.move(box.path("ws/offline"), box.path("safe"))
    box.run("init", "ws")  # as it should be: offline keys elsewhere
    box.init("other")
    shutil.copy(box.path("other/server/keys/director.key"), box.path("ws/server/keys/director.key"))
    box.run("init", "ws", kind="wrong_workspace", says="director")
    os.unlink(box.path("ws/server/keys/director.key"))
    box.run("init", "ws", kind="wrong_workspace", says="missing")


def init_takes_thresholds_and_other_keys(box):
    os.mkdir(box.path("keys"))
    box.run("key", "new", "second", "--keys", "keys", "--no-passphrase")
    box.run("init", "ws", "--threshold", "bundle=2", kind="usage", says="--key bundle=FILE.pub")
    box.run("init", "ws", "--threshold", "root=2", "--key", "root=keys/second.pub", kind="usage", says="--signer")
    box.run("init", "ws", "--threshold", "cook=2", kind="usage", says="no role")
    box.init("ws", "--threshold", "bundle=2", "--key", "bundle=keys/second.pub")
    box.run("init", "ws", "--threshold", "bundle=1", kind="exists", says="bundle")
    box.tree()
    done = subprocess.run([EDGECTL, "bundle", "create", "--workspace", "ws", "--name", "n", "--version", "1", "-o", "a.edge",
                           "--component", "a=tree"], cwd=box.dir, env=box.env, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    check("1 of the 2" in done.stderr, f"nobody is told that a signature is missing: {done.stderr}")
    box.run("bundle", "verify", "--root", "ws/root.json", "a.edge", kind="below_threshold")
    identity = box.json("bundle", "inspect", "a.edge")["id"]
    box.run("bundle", "sign", "a.edge", "--key", "keys/second.key")
    box.run("bundle", "verify", "--root", "ws/root.json", "a.edge")
    check(box.json("bundle", "inspect", "a.edge")["id"] == identity, "a signature changed the id")


def keys_are_made_listed_and_shown_and_never_replaced(box):
    box.run("init", "ws")
    box.run("key", "new", "extra", "--workspace", "ws")
    box.run("key", "new", "extra", "--workspace", "ws", kind="exists")
    box.run("key", "new", "../x", "--workspace", "ws", kind="usage")
    listed = {key["name"]: key for key in box.json("key", "list", "--workspace", "ws")["keys"]}
    check(sorted(listed) == ["bundle", "extra", "root", "targets"], str(listed))
    check(listed["root"]["roles"] == "root" and listed["extra"]["roles"] == "", str(listed))
    check(all(key["sealed"] for key in listed.values()), str(listed))
    check("seed" not in box.run("key", "show", "extra", "--workspace", "ws"), "a secret was shown")
    pub = box.json("key", "show", "ws/offline/keys/extra.pub")
    check(pub["keyid"] == listed["extra"]["keyid"] and not pub["secret"], str(pub))
    box.run("key", "list", kind="usage", says="--workspace")


def a_wrong_passphrase_opens_nothing(box):
    box.run("init", "ws")
    box.tree()
    box.create("--component", "a=tree", EDGECTL_PASSPHRASE="wrong", kind="bad_passphrase")
    box.create("--component", "a=tree", EDGECTL_PASSPHRASE=None, kind="usage", says="EDGECTL_PASSPHRASE")
    os.chmod(box.path(box.write("phrase", PASSPHRASE + "\n")), 0o644)
    box.create("--component", "a=tree", "--passphrase-file", "phrase", EDGECTL_PASSPHRASE=None, kind="permission")
    os.chmod(box.path("phrase"), 0o600)
    box.create("--component", "a=tree", "--passphrase-file", "phrase", EDGECTL_PASSPHRASE=None)


def talk(box, argv, answers):
    """Runs edgectl on a terminal of its own, answering each prompt. Returns what was shown, and the status."""
    env = {k: v for k, v in box.env.items() if k != "EDGECTL_PASSPHRASE"}
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(box.dir)
        os.execve(EDGECTL, [EDGECTL, *argv], env)
    shown, answers = b"", list(answers)
    while True:
        ready, _, _ = select.select([terminal], [], [], 60)
        check(ready, f"nothing more was said: {shown!r}")
        try:
            more = os.read(terminal, 4096)
        except OSError:
            more = b""
        if not more:
            break
        shown += more
        if answers and shown.endswith(b": "):
            os.write(terminal, answers.pop(0).encode() + b"\n")
    os.close(terminal)
    return shown.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def a_terminal_is_asked_twice_and_shows_nothing(box):
    shown, status = talk(box, ["init", "ws"], ["one secret", "another"])
    check(status == STATUS["usage"] and "differ" in shown, shown)
    check(not os.path.exists(box.path("ws/root.json")), "a workspace was made")
    shown, status = talk(box, ["init", "ws"], ["one secret", "one secret"])
    check(status == 0 and "is ready" in shown, shown)
    check("one secret" not in shown, "the passphrase was shown")
    box.tree()
    box.create("--component", "a=tree", EDGECTL_PASSPHRASE="one secret")


# ── bundles ────────────────────────────────────────────────────────────────────────────────────────────


def the_same_input_gives_the_same_bytes(box):
    box.init()
    box.tree()
    box.write("other/file", "y" * 100000)
    first = box.create("--component", "a=tree", "--component", "b=other", "--threads", "1", out="1.edge")
    second = box.create("--component", "b=other", "--component", "a=tree", "--threads", "4", out="2.edge")
    check(open(box.path(first), "rb").read() == open(box.path(second), "rb").read(), "two runs differ")
    third = box.create("--component", "a=tree", "--component", "b=other", out="3.edge", SOURCE_DATE_EPOCH="1790000001")
    check(open(box.path(first), "rb").read() != open(box.path(third), "rb").read(), "the time of issue has no effect")


def a_bundle_says_what_it_is_and_that_nobody_verified_it(box):
    box.init()
    box.tree()
    box.create("--component", "a=tree", "--requires", 'arch == "arm64"', "--variant", "npu", "--security-version", "a=7",
               "--floor", "a=3", "--probation", "5m", "--restarts", "2", "--serial", "9")
    said = box.json("bundle", "inspect", "a.edge")
    check(said["verified"] is False and len(said["id"]) == 64, str(said))
    wanted = {"name": "thing", "release": "1.0", "variant": "npu", "requires": 'arch == "arm64"', "version": 9,
              "floors": {"a": 3}, "probation": {"duration_s": 300, "restarts_max": 2},
              "issued": "2026-09-21T14:13:20Z", "expires": "2027-09-21T14:13:20Z"}
    check(wanted.items() <= said.items(), str(said))
    check([c["security_version"] for c in said["components"]] == [7], str(said))
    check(said["files"]["a"] == {"entries": 5, "bytes": 512002}, str(said["files"]))
    check(said["file_bytes"] == os.path.getsize(box.path("a.edge")) and "packing" in said and len(said["signatures"]) == 1, str(said))
    check(box.run("bundle", "inspect", "a.edge").startswith("NOT VERIFIED"), "the first line does not say so")
    box.run("bundle", "inspect", "a.edge", "--files", kind="usage", says="--root")
    said = box.json("bundle", "inspect", "a.edge", "--files", "--root", "ws/root.json")
    entries = {entry["path"]: entry for entry in said["files"]["a"]["list"]}
    check(said["verified"] and list(entries) == ["deep", "deep/er", "deep/er/x", "link", "model.bin"], str(entries))
    check(entries["deep/er/x"]["exec"] and entries["link"]["target"] == "model.bin", str(entries))


def verify_trusts_what_the_root_trusts_and_nothing_else(box):
    box.init()
    box.init("stranger")
    box.tree()
    box.create("--component", "a=tree")
    check(box.json("bundle", "verify", "--workspace", "ws", "a.edge")["trusted"], "not trusted")
    box.run("bundle", "verify", "--root", "stranger/root.json", "a.edge", kind="below_threshold")
    box.run("bundle", "verify", "a.edge", kind="usage", says="--root")
    box.run("bundle", "verify", "--root", "ws/root.json", "nothing.edge", kind="not_found")
    data = open(box.path("a.edge"), "rb").read()
    box.run("bundle", "verify", "--root", "ws/root.json", box.write("b.edge", data[:-1]), kind="truncated")
    box.run("bundle", "verify", "--root", "ws/root.json", box.write("c.edge", data + b"\0"), kind="trailing_data")
    with tarfile.open(box.path("a.edge")) as tar:
        middle = tar.getmember("data").offset_data + tar.getmember("data").size - 10
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1:]
    box.run("bundle", "verify", "--root", "ws/root.json", box.write("d.edge", flipped), kind="bad_frame")
    box.create("--component", "a=tree", "--issued", "2020-01-01T00:00:00Z", "--expires", "1d", out="old.edge")
    box.run("bundle", "verify", "--root", "ws/root.json", "old.edge", kind="expired")


def diff_says_which_files_change(box):
    box.init()
    box.tree("old")
    shutil.copytree(box.path("old"), box.path("new"), symlinks=True)
    box.write("new/added", "new\n")
    box.write("new/deep/er/x", "changed\n")
    os.unlink(box.path("new/link"))
    box.create("--component", "a=old", "--component", "same=old", out="1.edge")
    box.create("--component", "a=new", "--component", "same=old", "--component", "b=new", out="2.edge", version="1.1")
    coarse = box.json("bundle", "diff", "1.edge", "2.edge")
    check(not coarse["verified"] and {k: v["change"] for k, v in coarse["components"].items()} ==
          {"a": "changed", "same": "same", "b": "added"}, str(coarse))
    fine = box.json("bundle", "diff", "1.edge", "2.edge", "--root", "ws/root.json")
    check(fine["verified"] and fine["components"]["a"] == {"change": "changed", "added": ["added"], "removed": ["link"],
                                                           "changed": ["deep/er/x"], "bytes": 12}, str(fine))
    box.init("stranger")
    box.run("bundle", "diff", "1.edge", "2.edge", "--root", "stranger/root.json", kind="below_threshold")


def archives_files_and_descriptions_become_components(box):
    box.init()
    box.tree()

    def of_nobody(member):
        member.uid, member.gid, member.uname, member.gname = 0, 0, "", ""
        return member
    with tarfile.open(box.path("tree.tar.gz"), "w:gz") as tar:
        tar.add(box.path("tree"), arcname=".", filter=of_nobody)
    box.create("--component", "a=tree", out="dir.edge")
    box.create("--archive", "a=tree.tar.gz", out="tar.edge")
    change = box.json("bundle", "diff", "dir.edge", "tar.edge")["components"]["a"]["change"]
    check(change == "same", "an archive gives another tree than the folder it was made of")
    box.create("--component", "a=tree/model.bin", out="file.edge")
    listed = box.json("bundle", "inspect", "file.edge", "--files", "--workspace", "ws")["files"]["a"]["list"]
    check([entry["path"] for entry in listed] == ["model.bin"], str(listed))
    box.create("--image", "disk=tree/model.bin", out="image.edge")
    check(box.json("bundle", "inspect", "image.edge")["components"][0]["type"] == "image", "no image")
    box.write("made/of.json", json.dumps({"name": "described", "release": "2.0", "components": [{"name": "a", "path": "../tree"}],
                                          "probation": {"duration_s": 5}, "issued": "2026-01-01T00:00:00Z"}))
    box.run("bundle", "create", "--workspace", "ws", "--description", "made/of.json", "--version", "2.1", "-o", "d.edge")
    said = box.json("bundle", "inspect", "d.edge")
    check((said["name"], said["release"], said["issued"]) == ("described", "2.1", "2026-01-01T00:00:00Z"), str(said))
    box.write("made/bad.json", '{"name": "n", "release": "1", "componets": []}')
    box.run("bundle", "create", "--workspace", "ws", "--description", "made/bad.json", "-o", "e.edge", kind="config", says="componets")


def what_the_holders_of_references_lack_is_apart(box):
    box.init()
    box.tree("old")
    box.create("--component", "a=old", out="1.edge")
    box.write("old/added", "nobody has this\n")
    of = {"name": "n", "release": "1.1", "components": [{"name": "a", "path": "old"}], "reference": ["1.edge"]}
    make = ("bundle", "create", "--workspace", "ws", "--description", box.write("of.json", json.dumps(of)))
    check(box.json(*make, "-o", "2.edge")["fresh_raw_bytes"] == 16, "it is not apart")
    box.run("bundle", "verify", "--workspace", "ws", "2.edge")
    check(box.json(*make, "--reference", "2.edge", "-o", "3.edge")["fresh_raw_bytes"] == 0, "an option wins over a description")
    box.init("stranger")  # contents are read, so somebody must vouch for them
    box.create("--component", "a=old", "--reference", "1.edge", "--root", "stranger/root.json", kind="below_threshold")


def what_a_bundle_cannot_carry_is_refused_or_dropped_by_word(box):
    box.init()
    box.tree()
    os.chmod(box.path("tree/model.bin"), 0o4755)
    box.create("--component", "a=tree", kind="unsupported_member", says="model.bin")
    check(not os.path.exists(box.path("a.edge")), "a bundle appeared")
    box.create("--component", "a=tree", "--strip-special")


def wrong_options_of_create_are_explained(box):
    box.init()
    box.tree()
    box.run("bundle", "create", kind="usage", says="-o FILE")
    box.create(kind="usage", says="--component")
    box.create("--component", "tree", kind="usage", says="NAME=")
    box.create("--component", "a=tree", "--image", "a=tree/model.bin", kind="usage", says="another component")
    box.create("--component", "a=missing", kind="not_found", says="missing")
    box.create("--component", "a=tree", "--requires", "arch ==", kind="bad_predicate")
    box.create("--component", "a=tree", "--security-version", "b=1", kind="usage", says="no component called b")
    box.create("--component", "a=tree", "--floor", "b=0", kind="usage", says="no component called b")
    box.create("--component", "a=tree", "--security-version", "a=2", "--floor", "a=3", kind="usage", says="below its own floor")
    of = {"name": "n", "release": "1", "components": [{"name": "a", "path": "tree", "security_version": 2}], "floors": {"a": 3}}
    box.run("bundle", "create", "--workspace", "ws", "--description", box.write("of.json", json.dumps(of)), "-o", "a.edge",
            kind="bad_manifest", says="below its own floor")
    box.create("--component", "a=tree", "--level", "23", kind="limit", says="--level")
    box.create("--component", "a=tree", "--probes", box.write("p.json", "[1,"), kind="syntax", says="p.json")
    box.run("bundle", "create", "--name", "n", "--version", "1", "--component", "a=tree", "-o", "a.edge", kind="usage", says="--key")
    check(not os.path.exists(box.path("a.edge")), "a bundle appeared")


def another_program_can_hold_the_key(box):
    os.mkdir(box.path("keys"))
    box.run("key", "new", "hsm", "--keys", "keys", "--no-passphrase")
    box.write("signer", f"""#!{sys.executable}
import ctypes, ctypes.util, json, sys
sodium = ctypes.CDLL(ctypes.util.find_library("sodium") or "libsodium.so.23")
seed = bytes.fromhex(json.load(open({box.path("keys/hsm.key")!r}))["seed"])
public, secret, signature = (ctypes.create_string_buffer(n) for n in (32, 64, 64))
sodium.crypto_sign_seed_keypair(public, secret, seed)
message = sys.stdin.buffer.read()
sodium.crypto_sign_detached(signature, None, message, ctypes.c_ulonglong(len(message)), secret)
sys.stdout.buffer.write(signature.raw)
""")
    os.chmod(box.path("signer"), 0o755)
    box.init("ws", "--key", "bundle=keys/hsm.pub")
    box.tree()
    by_hsm = ("--signer", box.path("signer"), "--signer-key", "keys/hsm.pub")
    box.create("--component", "a=tree", *by_hsm)
    box.run("bundle", "verify", "--root", "ws/root.json", "a.edge")
    box.create("--component", "a=tree", "--signer", box.path("signer"), kind="usage", says="--signer-key")
    box.create("--component", "a=tree", "--signer", "/bin/false", "--signer-key", "keys/hsm.pub", kind="signer_failed")


# ── images, and the rest ───────────────────────────────────────────────────────────────────────────────


def seeding_an_image_makes_generation_0_once(box):
    box.init()
    box.tree()
    box.write("other/file", "y\n")
    box.create("--component", "a=tree", out="1.edge")
    box.create("--component", "b=other", out="2.edge")
    seed = ("image", "seed", "--root", "ws/root.json", "--bundle", "1.edge", "--bundle", "2.edge", "state")
    made = box.json(*seed)
    check(made["made"] and sorted(made["components"]) == ["a", "b"], str(made))
    check(os.readlink(box.path("state/current")) == "generations/0", "current names something else")
    check(os.listdir(box.path("state/generations")) == ["0"], str(os.listdir(box.path("state/generations"))))
    check(open(box.path("state/current/b/file")).read() == "y\n", "contents differ")
    check(stat.S_IMODE(os.stat(box.path("state/current/a/model.bin")).st_mode) == 0o444, "a file can be written")
    check(not box.json(*seed)["made"], "a second run made something")
    box.run("image", "seed", "--root", "ws/root.json", "--bundle", "1.edge", "state", kind="exists")
    box.run("image", "seed", "--root", "ws/root.json", "--bundle", "1.edge", "--bundle", "1.edge", "s2", kind="usage", says="two of the bundles")
    check(os.listdir(box.path("s2/generations")) == [], "a failed run left something behind")
    box.init("stranger")
    box.run("image", "seed", "--root", "stranger/root.json", "--bundle", "1.edge", "s3", kind="below_threshold")


def a_policy_is_checked_without_a_controller(box):
    good = "name: r\nrelease: thing 1.10\nstages:\n- {name: canary, count: 2, soak_s: 10m}\n- {name: all, percent: 100}\n"
    document = box.json("rollout", "apply", "--check", "-f", box.write("p.yaml", good))
    check(document["release"] == {"name": "thing", "version": "1.10"} and document["stages"][0]["soak_s"] == 600, str(document))
    box.run("rollout", "apply", "--check", "-f", box.write("q.json", json.dumps(document)))
    box.run("rollout", "apply", "--check", "-f", box.write("bad.yaml", good.replace("count", "cuont")), kind="config", says='did you mean "count"')
    box.run("rollout", "apply", "--check", "-f", box.write("tab.yaml", "name: r\nstages:\n\t- 1\n"), kind="syntax", says="line 3")
    box.run("rollout", "apply", "--check", "-f", "none.yaml", kind="not_found", says="none.yaml")


def what_is_quoted_cannot_drive_a_terminal(box):
    done = subprocess.run([EDGECTL, "\x1b[31mred"], capture_output=True, check=False, env=box.env, timeout=PATIENCE_S)
    check(done.returncode == STATUS["usage"] and b"\x1b" not in done.stderr, repr(done.stderr))
    box.init()
    box.write("tree/\x1b[2Jx", "x")
    done = subprocess.run([EDGECTL, "bundle", "create", "--workspace", "ws", "--name", "n", "--version", "1", "-o", "a.edge",
                           "--component", "a=tree"], cwd=box.dir, capture_output=True, check=False, env=box.env, timeout=PATIENCE_S)
    check(done.returncode != 0 and b"\x1b" not in done.stderr + done.stdout, repr(done.stderr))


def a_full_disk_behind_standard_output_is_an_error(box):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([EDGECTL, "--help"], stdout=full, stderr=subprocess.PIPE, check=False, env=box.env, timeout=PATIENCE_S)
    check(done.returncode == 7 and b"standard output" in done.stderr, repr(done.stderr))


def every_command_helps(box):
    dump = box.run("--dump-options")
    commands = {line.split("\t")[0] for line in dump.splitlines()}
    check(len(commands) > 35, str(commands))
    for command in commands:
        check(f"Usage: edgectl {command}" in box.run(*command.split(), "--help"), command)
        if " " in command:
            check(f"  {command} " in box.run(command.split()[0], "--help"), f"{command} under its noun")


def completion_scripts_are_scripts(box):
    for shell in ("bash", "zsh", "fish"):
        script = box.run("completion", shell)
        check("strip-special" in script and "rollout" in script, shell)
    box.write("bash", box.run("completion", "bash"))
    asked = 'source ./bash; COMP_WORDS=(edgectl bundle cr); COMP_CWORD=2; _edgectl; echo "${COMPREPLY[@]}"; ' \
            'COMP_WORDS=(edgectl bundle create --str); COMP_CWORD=3; _edgectl; echo "${COMPREPLY[@]}"'
    answered = subprocess.run(["bash", "-c", asked], cwd=box.dir, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    check(answered.stdout.split() == ["create", "--strip-special"], answered.stdout + answered.stderr)
    box.run("completion", "tcsh", kind="usage")


def tests():
    """In the order they stand here: every function that takes a box alone."""
    for value in list(globals().values()):
        if inspect.isfunction(value) and list(inspect.signature(value).parameters) == ["box"]:
            yield value


def main():
    wanted = sys.argv[1:]
    failed = 0
    for test in tests():
        if wanted and test.__name__ not in wanted:
            continue
        with tempfile.TemporaryDirectory(prefix="edgectl-cli-") as folder:
            try:
                test(Box(folder))
                print(f"ok      {test.__name__.replace('_', ' ')}")
            except (Failed, OSError, KeyError, ValueError, subprocess.SubprocessError) as error:
                failed += 1
                print(f"FAILED  {test.__name__.replace('_', ' ')}: {error}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
