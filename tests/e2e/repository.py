# SPDX-License-Identifier: Apache-2.0
"""A repository of The Update Framework and a director, made from the specification and bundle/FORMAT.md with nothing of the project's
own code: so that a test can hold every key, honest or stolen, and publish what no honest tool would.

Served by one HTTP server on loopback, as a plain web server would serve files; the director beside it accepts every device.
"""

import contextlib
import hashlib
import http.server
import json
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time

import fleet
import forge
import lone

DAY = 86400
TUF_ROLES = ("root", "timestamp", "snapshot", "targets")


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class Repository:
    """Files by name, as below metadata/. `now` is what its signers believe the time to be."""

    def __init__(self, now=None):
        self.now = int(now or time.time())
        self.keys = {role: [forge.Key(role)] for role in (*TUF_ROLES, "bundle", "director")}
        self.delegations = {}  # NAME: what stands in edge_roles under bundle/NAME but for its keys
        self.files, self.version = {}, {role: 0 for role in TUF_ROLES}
        self.targets, self.roles, self.floors = {}, [], {}
        self.lives = {"root": 3650 * DAY, "targets": 365 * DAY, "snapshot": 14 * DAY, "timestamp": 3 * DAY}
        self.delegated = {}  # role: ({path: entry}, [Key])
        self.publish_root()

    def sign(self, kind, content, keys, life=None, issued=None, version=None):
        issued = self.now if issued is None else issued
        signed = {"_type": kind, "spec_version": "1.0.31", "version": version, "issued": stamp(issued),
                  "expires": stamp(issued + (life or self.lives[kind])), **content}
        return forge.envelope(forge.canon(signed), keys)

    def describe(self, keys, **more):
        return {"keyids": sorted(key.id for key in keys), "threshold": 1, **more}

    def publish_root(self, old=(), **more):
        """The next root, by its own keys and those of the one before."""
        self.version["root"] += 1
        all_keys = [key for keys in self.keys.values() for key in keys]
        ours = {name: self.describe(self.keys[name]) for name in ("bundle", "director")}
        for name, limits in self.delegations.items():
            key = forge.Key(f"bundle/{name}")
            all_keys.append(key)
            ours[f"bundle/{name}"] = self.describe([key], **limits)
        content = {"consistent_snapshot": True, "keys": {key.id: key.object for key in all_keys},
                   "roles": {name: self.describe(self.keys[name]) for name in TUF_ROLES}, "edge_roles": ours}
        signers = {key.id: key for key in [*self.keys["root"], *old]}.values()
        self.files[f"{self.version['root']}.root.json"] = self.sign("root", content, signers, version=self.version["root"], **more)

    def rotate(self, role, **more):
        old = self.keys[role]
        self.keys[role] = [forge.Key(f"{role} {self.version['root']}")]
        self.publish_root(old if role == "root" else (), **more)

    def root(self, version=1):
        return self.files[f"{version}.root.json"]

    def entry(self, bundle):
        part = bundle.signed_bytes()
        ident = forge.digest(part)
        return (f"{bundle.signed['name']}/{bundle.signed['release']}/{ident}.json",
                {"hashes": {"blake2b-256": ident, "sha256": hashlib.sha256(part).hexdigest()}, "length": len(part)})

    def add(self, bundle):
        path, entry = self.entry(bundle)
        self.targets[path] = entry
        self.publish()

    def withdraw(self, bundle):
        del self.targets[self.entry(bundle)[0]]
        self.publish()

    def delegate(self, name, patterns, bundles, **limits):
        key = forge.Key(f"targets of {name}")
        self.roles.append({"name": name, "paths": patterns, "terminating": False, **self.describe([key], **limits)})
        self.delegated[name] = (dict(map(self.entry, bundles)), [key])
        self.publish()

    def meta(self, name, version):
        data = self.files[f"{version}.{name}.json"]
        return {"version": version, "length": len(data), "hashes": {"sha256": hashlib.sha256(data).hexdigest()}}

    def publish(self):
        """Targets, and what names them."""
        version = self.version["targets"] = max(self.version["targets"] + 1, self.now)
        content = {"targets": self.targets, **({"floors": self.floors} if self.floors else {})}
        if self.roles:
            content["delegations"] = {"keys": {k.id: k.object for _, keys in self.delegated.values() for k in keys}, "roles": self.roles}
        self.files[f"{version}.targets.json"] = self.sign("targets", content, self.keys["targets"], version=version)
        for name, (paths, keys) in self.delegated.items():
            self.files[f"{version}.{name}.json"] = self.sign("targets", {"targets": paths}, keys, version=version)
        self.publish_snapshot()

    def publish_snapshot(self, **more):
        version = self.version["snapshot"] = max(self.version["snapshot"] + 1, self.now)
        names = ("targets", *self.delegated)
        content = {"meta": {f"{name}.json": self.meta(name, self.version["targets"]) for name in names}}
        self.files[f"{version}.snapshot.json"] = self.sign("snapshot", content, self.keys["snapshot"], version=version, **more)
        self.publish_timestamp()

    def publish_timestamp(self, **more):
        version = self.version["timestamp"] = max(self.version["timestamp"] + 1, self.now)
        content = {"meta": {"snapshot.json": self.meta("snapshot", self.version["snapshot"])}}
        self.files["timestamp.json"] = self.sign("timestamp", content, self.keys["timestamp"], version=version, **more)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, data, *headers):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        world = self.server.world
        path = self.path
        if path.startswith("/repository/metadata/"):
            name = path.rsplit("/", 1)[1]
            with world.lock:
                world.asked.append(name)
                spoil, data = world.spoil.get(name), world.repository.files.get(name)
            if spoil:
                spoil(self, data)
            elif data is None:
                self.answer(404, b"<html>no such file</html>")
            else:
                self.answer(200, data)
        elif path in world.bundles:
            data = world.bundles[path]
            first, last = 0, len(data) - 1
            if "Range" in self.headers:
                first, last = self.headers["Range"].removeprefix("bytes=").split("-")
                first, last = int(first), min(int(last or len(data)), len(data) - 1)
            world.downloads += 1
            if path in world.spoil:
                world.spoil[path](self, data)
                return
            self.answer(206, data[first:last + 1], ("Content-Range", f"bytes {first}-{last}/{len(data)}"))
        else:
            self.answer(404, b"")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = self.server.world.talk(self.path.rsplit("/", 1)[1], body)
        self.answer(200, json.dumps(answer).encode())


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # workers hang up as they like


class World:
    """Ground for devices (fleet.Device), their repository, and a director that says what it is told to."""

    def __init__(self, repository):
        self.repository, self.lock = repository, threading.Lock()
        self.work = tempfile.mkdtemp(prefix="edge-trust-")
        os.chmod(self.work, 0o755)
        self.env = dict(os.environ)
        self.root = self.path("root.json")
        with open(self.root, "wb") as f:
            f.write(repository.root())
        self.bundles, self.asked, self.spoil = {}, [], {}
        self.orders, self.reports, self.heard, self.downloads = {}, {}, {}, 0
        self.once = {}  # device: (action, bundle), said one time before anything else
        self.sequence, self.hint, self.director = 0, True, repository.keys["director"]
        self.http = Server(("127.0.0.1", 0), Handler)
        self.http.world = self
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.devices = []

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        for device in self.devices:
            if device.process:
                device.kill()
        self.http.shutdown()
        self.http.server_close()
        logs = {d.name: d.log() for d in self.devices if os.path.exists(os.path.join(d.dir, "agent.log"))}
        for name, log in logs.items():
            fleet.check(kind or not lone.SANITIZER.search(log), f"{name}: {log[-4000:]}")
            if kind:
                print(f"── {name}\n{log[-3000:]}", file=sys.stderr)
        if not os.environ.get("KEEP"):
            shutil.rmtree(self.work, ignore_errors=True)
        return False

    def path(self, *parts):
        return os.path.join(self.work, *parts)

    def bundle(self, release, name="thing", component="app", executable=False, keys=None, **signed):
        """A bundle, at hand for download; signed by role bundle unless others are given."""
        data = f"release {release}".encode()
        one = forge.Component(component, [forge.file("version", data, executable)], [data], security_version=signed.pop("security_version", 1))
        bundle = forge.Bundle(release, [one], name, **{"issued": stamp(self.repository.now), **signed})
        bundle.path = bundle.write(self.path(f"{name}-{release}.edge"), keys or self.repository.keys["bundle"])
        with open(bundle.path, "rb") as f:
            self.bundles[f"/b/{name}-{release}.edge"] = f.read()
        return bundle

    def device(self, name, **config):
        device = fleet.Device(self, name, {"controller": self.url, "poll_s": 1, "fetch_tries": 5, "probation_s": 1, **config})
        self.devices.append(device)
        return device

    # The director

    def instruct(self, device, action, bundle, attempt=1, issued=None):
        name, release = bundle.signed["name"], bundle.signed["release"]
        about = {"id": forge.digest(bundle.signed_bytes()), "name": name, "release": release}
        if action == "install":
            url = f"/b/{name}-{release}.edge"
            about.update(size=len(self.bundles[url]), url=url)
        issued = self.repository.now if issued is None else issued
        self.sequence += 1
        signed = {"_type": "instruction", "action": action, "attempt": attempt, "bundle": about, "device": device,
                  "expires": stamp(issued + DAY), "issued": stamp(issued), "rollout": "r", "spec_version": "1.0", "version": self.sequence}
        return forge.envelope(forge.canon(signed), self.director).decode()

    def order(self, device, bundle, attempt=1):
        """From now on the device is to have this bundle."""
        with self.lock:
            self.orders[device.name] = (bundle, attempt)

    def talk(self, verb, body):
        if verb == "challenge":
            return {"challenge": secrets.token_hex(32)}
        if verb == "token":
            return {"expires_in_s": 600, "token": "t"}
        if verb == "enroll":
            return {"device": body["device"], "state": "accepted"}
        with self.lock:
            return self.check_in(body)

    def check_in(self, body):
        name, instruction = body["device"], None
        self.heard[name] = body
        reports = self.reports.setdefault(name, [])
        reports += [r for r in body["reports"] if r["id"] not in {seen["id"] for seen in reports}]
        bundle, attempt = self.orders.get(name, (None, 0))
        done = bundle and any(c["manifest"] == forge.digest(bundle.signed_bytes()) for c in body["components"].values())
        refused = any(r["event"] in ("refused", "failed") and r["attempt"] == attempt and r["bundle"] == forge.digest(bundle.signed_bytes())
                      for r in reports) if bundle else True
        if self.once.get(name):
            action, about = self.once.pop(name)
            instruction = self.instruct(name, action, about, attempt or 1)
        elif body.get("look") and body["update"]:
            instruction = self.instruct(name, "activate", bundle, attempt)
        elif bundle and not done and not refused and not body["update"]:
            instruction = self.instruct(name, "install", bundle, attempt)
        return {"acked": max((r["id"] for r in reports), default=0), "facts_wanted": False, "instruction": instruction,
                "nonce": secrets.token_hex(16), "now": stamp(self.repository.now), "poll_s": 1, "protocol": 1, "refused": [], "why": None,
                **({"repository": {"root": self.repository.version["root"], "snapshot": self.repository.version["snapshot"]}} if self.hint else {})}


# ── Devices that follow it


def started(world, name, env=None, **config):
    device = world.device(name, **config)
    world.env = {**os.environ, **(env or {})}
    device.start()
    world.env = dict(os.environ)
    fleet.wait_for(f"{name} to answer", lambda: device.agent("status", "--config", device.config, status=None).returncode == 0)
    return device


def trust(device):
    return device.status()["trust"]


def reports(world, device, event):
    with world.lock:
        return [r for r in world.reports.get(device.name, []) if r["event"] == event]


def comes_to(device, release):
    fleet.wait_for(f"{device.name} to run {release}", lambda: device.version() == release and device.status()["state"] == "idle")


def refuses(world, device, kind, attempt=1):
    return fleet.wait_for(f"{device.name} to refuse with {kind}",
                          lambda: [r for r in reports(world, device, "refused") if r["code"] == kind and r["attempt"] == attempt])[-1]


@contextlib.contextmanager
def published(*releases, now=None):
    """A repository that names bundles of these releases, the world around it, and the bundles."""
    repository = Repository(now)
    with World(repository) as world:
        bundles = [world.bundle(release) for release in releases]
        for bundle in bundles:
            repository.add(bundle)
        yield (repository, world, *bundles)


@contextlib.contextmanager
def ground(*releases, now=None, **config):
    """The same with a device that follows it, before the bundles."""
    with published(*releases, now=now) as (repository, world, *bundles):
        yield (repository, world, started(world, "d1", **config), *bundles)
