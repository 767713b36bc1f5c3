# SPDX-License-Identifier: Apache-2.0
"""A server that counts what each path sent, offers deltas and budgets, and lies when a test tells it to; and devices on it. The repository
and its keys are the test's own (repository.py), the deltas edgectl's.
"""

import contextlib
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import tarfile

import forge
from fleet import check, wait_for
from repository import DAY, Repository, World, comes_to, reports, stamp, started

EDGECTL = os.environ["EDGECTL"]


def contents(release):
    """Half a MiB that no compressor shortens, changed in places; a third as much that is new in each release, and half as much that stays."""
    bulk = bytearray(random.Random("bulk").randbytes(512 * 1024))
    if release != "1.0":
        source = random.Random(release)
        for _ in range(8):
            bulk[source.randrange(len(bulk))] ^= 1
    return {"bulk": bytes(bulk), "fresh": random.Random(f"fresh {release}").randbytes(160 * 1024),
            "same": random.Random("same").randbytes(256 * 1024), "version": f"release {release}".encode()}


class Link(World):
    """A world that counts what each path sent, and offers deltas and budgets."""

    def __init__(self, repository):
        super().__init__(repository)
        self.sent, self.starts, self.wrong, self.offers, self.budget = {}, {}, {}, {}, None
        self.contents = {}  # of releases that have their own

    def bundle(self, release, name="thing", **more):
        one = forge.component("app", self.contents.get(release) or contents(release), security_version=1)
        bundle = forge.Bundle(release, [one], name, issued=stamp(self.repository.now), **more)
        bundle.path = bundle.write(self.path(f"{name}-{release}.edge"), self.repository.keys["bundle"])
        bundle.url = self.give(f"/b/{name}-{release}.edge", bundle.path)
        self.repository.add(bundle)
        return bundle

    def give(self, url, path):
        with open(path, "rb") as f:
            self.bundles[url] = f.read()
        self.spoil[url] = lambda handler, data: self.send(url, handler, data)
        self.sent[url], self.starts[url] = 0, []
        return url

    def delta(self, old, new, named=True, offered=True):
        """Made by edgectl, its head signed by nobody: the targets say what it is."""
        out = self.path(f"{new.signed['name']}-{new.signed['release']}-from-{old.signed['release']}.delta")
        subprocess.run([EDGECTL, "bundle", "delta", old.path, new.path, "-o", out, "--root", self.root], check=True, capture_output=True)
        url = self.give(f"/d/{os.path.basename(out)}", out)
        delta = {"base": ident(old), "size": len(self.bundles[url]), "url": url}
        if named:
            self.name(old, new, self.head(url))
        if offered:
            self.offers[ident(new)] = delta
        return delta

    def head(self, url):
        with tarfile.open(fileobj=io.BytesIO(self.bundles[url])) as tar:
            return forge.canon(json.loads(tar.extractfile("delta.json").read())["signed"])

    def name(self, old, new, part):
        path = f"{new.signed['name']}/{new.signed['release']}/{ident(new)}/{ident(old)}.json"
        self.repository.targets[path] = {"hashes": {"blake2b-256": forge.digest(part), "sha256": hashlib.sha256(part).hexdigest()},
                                         "length": len(part)}
        self.repository.publish()

    def unname(self):
        for path in [path for path in self.repository.targets if path.count("/") == 3]:
            del self.repository.targets[path]
        self.repository.publish()

    def instruct(self, device, action, bundle, attempt=1, issued=None):
        name, release = bundle.signed["name"], bundle.signed["release"]
        signed = {"_type": "instruction", "action": action, "attempt": attempt, "bundle": {"id": ident(bundle), "name": name, "release": release},
                  "device": device, "expires": stamp(self.repository.now + DAY), "issued": stamp(self.repository.now), "rollout": "r",
                  "spec_version": "1.0", "version": self.sequence + 1}
        self.sequence += 1
        if action == "install":
            signed["bundle"].update(size=len(self.bundles[bundle.url]), url=bundle.url)
            if ident(bundle) in self.offers:
                signed["delta"] = self.offers[ident(bundle)]
            if self.budget:
                signed["budget"] = self.budget
        return forge.envelope(forge.canon(signed), self.director).decode()

    def send(self, url, handler, data):
        """An honest answer, or the one in `wrong`; what goes out is counted."""
        first, last = 0, len(data) - 1
        if "Range" in handler.headers:
            first, last = handler.headers["Range"].removeprefix("bytes=").split("-")
            first, last = int(first), min(int(last or len(data)), len(data) - 1)
        with self.lock:
            self.starts[url].append(first)
        if url in self.wrong:
            self.wrong[url](self, url, handler, data, first)
            return
        self.answer(url, handler, data, first, data[first:last + 1])

    def answer(self, url, handler, data, first, body, length=None):
        total = len(body) if length is None else length
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {first}-{first + total - 1}/{len(data)}")
        handler.send_header("Content-Length", str(total))
        handler.end_headers()
        for at in range(0, len(body), 16384):
            handler.wfile.write(body[at:at + 16384])
            with self.lock:
                self.sent[url] += len(body[at:at + 16384])


def ident(bundle):
    return forge.digest(bundle.signed_bytes())


def staged(world, device, release):
    told = wait_for(f"{device.name} to stage {release}",
                    lambda: [r for r in reports(world, device, "staged") if r["bundle"] == ident(world.release[release])])
    check(len(told) == 1, f"{told}")
    return told[0]


def cost(report):
    return sum(report["bytes"][kind] for kind in ("delta", "range", "full", "index"))


def is_right(device, release):
    for name, data in contents(release).items():
        with open(os.path.join(device.state, "current/app", name), "rb") as f:
            check(f.read() == data, f"{name} of {release}")


@contextlib.contextmanager
def scene(*releases, **config):
    """A device that runs the first of two releases, and the world with both."""
    with Link(Repository()) as world:
        releases = releases or ("1.0", "1.1")
        world.release = {release: world.bundle(release) for release in releases}
        device = started(world, "d1", backoff_base_s=1, backoff_max_s=2, **config)
        world.order(device, world.release[releases[0]])
        comes_to(device, releases[0])
        for url in world.sent:
            world.sent[url], world.starts[url] = 0, []
        yield (world, device, *world.release.values())


def goes_to(world, device, release):
    world.order(device, world.release[release])
    comes_to(device, release)
    is_right(device, release)
    return staged(world, device, release)


def reconfigure(device, **config):
    with open(device.config, encoding="utf-8") as f:
        whole = json.load(f)
    whole.update(config)
    device.kill(signal.SIGTERM)
    with open(device.config, "w", encoding="utf-8") as f:
        json.dump(whole, f)
    device.start()
