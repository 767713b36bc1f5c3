# SPDX-License-Identifier: Apache-2.0
"""People who sign: each is a folder of their own with root.json and their own key, as on machines of their own; pending files are
carried by copying. The repository is a folder. For the end-to-end tests beside this file.
"""

import inspect
import json
import os
import shutil
import subprocess
import sys
import tempfile

import cli
from fleet import Failed

KINDS = {"usage": 2, "syntax": 4, "not_found": 10, "exists": 11, "permission": 12, "busy": 13, "not_canonical": 20, "below_threshold": 21,
         "bad_signature": 22, "wrong_type": 23, "bad_key": 24, "expired": 25, "rollback": 27, "bad_passphrase": 28, "root_chain": 30,
         "delegation": 31, "wrong_workspace": 117, "expiring": 16, "pending": 17, "conflict": 18}
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


def tests(module):
    """In the order they stand there: every function that takes a box alone."""
    for value in list(module.values()):
        if inspect.isfunction(value) and list(inspect.signature(value).parameters) == ["box"]:
            yield value


def main(module):
    """Runs what the command line names, or all."""
    failed = 0
    for test in tests(module):
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
