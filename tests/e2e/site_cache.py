#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""examples/site-cache with Debian's nginx: fifty devices behind it cost one download, and whatever it does costs no device more than asking the origin.

Two relays count what the controller sends: one is what devices know as the controller, the other is behind the cache.
"""

import collections
import concurrent.futures
import contextlib
import hashlib
import http.client
import json
import os
import random
import re
import shutil
import socket
import subprocess
import threading
import urllib.request

import fleet
from fleet import check, wait_for
from relay import HOP_BY_HOP, Relay, body_of

DEVICES = int(os.environ.get("DEVICES", "50"))
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")
# What lies in the kernel's buffers still arrives after nginx was killed, and by default those grow to many MiB.
SEND_BUFFER_BYTES = 64 << 10
FIRST_RELEASE_BYTES = 24 << 20


class Counter(Relay):
    """Counts, path by path, what went through; also of answers that were broken off."""

    def __init__(self, to_port):
        self.bytes, self.requests, self.ranges = collections.Counter(), collections.Counter(), collections.defaultdict(list)
        self.lock = threading.Lock()
        super().__init__(to_port)

    def forward(self, request):
        try:
            with self.ask(request, body_of(request)) as answer:
                self.stream(request, answer)
        except http.client.HTTPException:
            request.close_connection = True

    def stream(self, request, answer):
        request.send_response_only(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in HOP_BY_HOP:
                request.send_header(key, value)
        request.end_headers()
        with self.lock:
            self.requests[request.path] += 1
            self.ranges[request.path].append(request.headers.get("Range"))
        while data := answer.read(65536):
            request.wfile.write(data)
            with self.lock:
                self.bytes[request.path] += len(data)


class Cache:
    """nginx with the example's own file: other places, and the origin is the relay behind it."""

    def __init__(self, f, name, port, origin, behind):
        self.dir, self.port = f.path(name), port
        os.makedirs(os.path.join(self.dir, "store"))
        os.chmod(os.path.join(self.dir, "store"), 0o777)
        with open(os.path.join(fleet.SOURCE, "examples/site-cache/site-cache.conf"), encoding="utf-8") as file:
            text = file.read()
        for old, new in (("/var/cache/nginx/edge", os.path.join(self.dir, "store")), ("listen 8080;", f"listen 127.0.0.1:{port} sndbuf={SEND_BUFFER_BYTES};"),
                         ("location /https/fleet.example.org/", f"location /http/{origin}/"),
                         ("proxy_pass https://fleet.example.org/", f"proxy_pass http://{behind}/")):
            check(text.count(old) == 1, f"site-cache.conf has {old!r} once")
            text = text.replace(old, new)
        temporary = "".join(f"{kind}_temp_path {self.dir}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(os.path.join(self.dir, "nginx.conf"), "w", encoding="utf-8") as file:
            file.write(f"daemon off;\nmaster_process off;\npid {self.dir}/pid;\nerror_log {self.dir}/error.log;\n"
                       f"events {{ worker_connections 1024; }}\nhttp {{\naccess_log {self.dir}/access.log;\n{temporary}{text}}}\n")
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen([NGINX, "-p", self.dir, "-e", os.path.join(self.dir, "error.log"),
                                         "-c", os.path.join(self.dir, "nginx.conf")])
        def listens():
            check(self.process.poll() is None, "nginx has ended")
            with contextlib.suppress(OSError), contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port)) as c:
                c.request("GET", "/")
                return c.getresponse().status == 404
        wait_for("nginx to listen", listens)

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait(timeout=fleet.PATIENCE_S)
            self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def get(self, path, first=None, last=None):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=fleet.PATIENCE_S)) as c:
            c.request("GET", path, headers={} if first is None else {"Range": f"bytes={first}-{last}"})
            answer = c.getresponse()
            return answer.status, answer.read()

    def stored(self):
        return [os.path.join(at, name) for at, _, names in os.walk(os.path.join(self.dir, "store")) for name in names]


def free_port(f):
    """Held for this test while nobody listens there, as the controller's is."""
    place = socket.socket()
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    place.bind(("127.0.0.1", 0))
    f.places.append(place)
    return place.getsockname()[1]


def release(f, version, size):
    """A bundle whose contents do not compress: its file, the path it is served at, and the digest of what must arrive."""
    folder = f.path("input", f"app-{version}")
    os.makedirs(folder)
    weights = random.Random(version).randbytes(size)
    for name, data in (("weights", weights), ("version", version.encode())):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
    bundle = f.bundle("app", version, {"app": folder})
    f.publish(bundle)
    made = f.json("release", "list")["releases"]
    url = next(r.get("url") or r["bundles"][0]["url"] for r in made if r["version"] == version)
    return bundle, url, hashlib.sha256(weights).hexdigest()


def runs(device, version):
    """Without asking it: a device that has just been started cannot say anything."""
    return os.path.exists(os.path.join(device.state, "current/app/version")) and device.read("app", "version") == version


def holds(device, digest):
    with open(os.path.join(device.state, "current/app/weights"), "rb") as file:
        return hashlib.sha256(file.read()).hexdigest() == digest


def roll_out(f, version, *more):
    f.edgectl("rollout", "apply", "-f", f.policy(f"app-{version}", release=f"app {version}"), *more)


def add(f, name, **config):
    token = f.edgectl("token", "create", "--enroll", "--uses", "1", "--expires", "1h").strip()
    device = f.add_device(name, controller=f.direct.url, enroll_token=token, site_cache=f.cache.url, **config)
    device.start()
    return device


def through_cache(f, path):
    return f"/http/127.0.0.1:{f.direct.port}{path}"


def many_at_once_cost_one_request_for_each_slice(f):
    bundle, path, _ = f.first
    with open(bundle, "rb") as file:
        data = file.read()
    starts = [random.Random(i).randrange(len(data)) for i in range(8)]
    asked = [(s, min(s + 200000, len(data)) - 1) for s in starts] * (DEVICES // 2)
    with concurrent.futures.ThreadPoolExecutor(DEVICES) as pool:
        answers = list(pool.map(lambda r: (r, f.cache.get(through_cache(f, path), *r)), asked))
    for (first, last), (status, got) in answers:
        check(status == 206 and got == data[first:last + 1], f"bytes {first}-{last}: {status}, {len(got)} bytes")
    slices = {at >> 20 for first, last in asked for at in (first, last)}
    ranges = f.behind.ranges[path]
    check(len(ranges) == len(set(ranges)) == len(slices), f"{len(asked)} requests cost {len(ranges)}, for {len(slices)} slices: {ranges}")
    check(not f.direct.bytes[path], "nobody else was asked")
    check(f.cache.get("/https/elsewhere.example/x")[0] == 404, "it fetches from nowhere else")


def when_it_dies_in_the_middle_devices_go_on_from_the_origin(f):
    bundle, path, digest = f.first
    device = add(f, "cut-off", rate_max_bytes_s=1 << 21)
    wait_for("it to be accepted", lambda: f.accepted() == 1)
    roll_out(f, "1.0")
    def under_way():
        done = (device.status().get("progress") or {}).get("done", 0)
        return done > 300000
    wait_for("the download to be under way", under_way)
    f.cache.stop()
    wait_for("it to run 1.0", lambda: runs(device, "1.0"))
    check(holds(device, digest), "what arrived is what was published")
    starts = [int(re.fullmatch(r"bytes=(\d+)-\d*", r)[1]) for r in f.direct.ranges[path] if r]
    check(starts and min(starts) > 300000, f"from where it was: {f.direct.ranges[path]}")
    check(f.direct.bytes[path] < os.path.getsize(bundle) - 300000, "and no more than the rest")
    check("site cache: " in device.log() and " from the origin, which was asked instead 1 times: " in device.log(), "and says so")
    wait_for("the rollout to end", lambda: f.rollout("app-1.0")["state"] == "finished")
    device.kill()
    f.edgectl("device", "retire", "cut-off")
    f.cache.start()


def changed_bytes_are_refused_and_the_next_try_is_the_origins(f):
    _, path, digest = f.first
    with urllib.request.urlopen(f"{f.direct.url}/repository/metadata/timestamp.json", timeout=fleet.PATIENCE_S) as answer:
        version = json.load(answer)["signed"]["meta"]["snapshot.json"]["version"]
    for wanted in 2 * (path, f"/repository/metadata/{version}.snapshot.json"):  # the second waits until the first is stored
        check(f.cache.get(through_cache(f, wanted))[0] == 200, f"it has all of {wanted}")
    f.cache.stop()
    for name in f.cache.stored():  # each has one slice or file behind a head with no checksum of it
        size = os.path.getsize(name)
        with open(name, "r+b") as file:
            for at in (size - 100,) if size < 100000 else (size - 100, size // 2):  # the head must stay: it would be fetched again
                file.seek(at)
                byte = file.read(1)
                file.seek(at)
                file.write(bytes([byte[0] ^ 1]))
    f.cache.start()
    before = f.direct.bytes[path]
    device = add(f, "lied-to")
    roll_out(f, "1.0")
    wait_for("it to run 1.0", lambda: runs(device, "1.0"))
    check(holds(device, digest), "what arrived is what was published")
    with open(os.path.join(f.cache.dir, "access.log"), encoding="utf-8") as file:
        check("/bundles/" in file.read(), "the cache was asked")
    check(f.direct.bytes[path] > before, "and then the origin")
    check(re.search(r"bad_|digest_mismatch|below_threshold|truncated", device.log()), f"the log names what was wrong: {device.log()}")
    device.kill()
    f.edgectl("device", "retire", "lied-to")


def fifty_devices_cost_one_download(f):
    f.cache.stop()
    f.cache = Cache(f, "second", f.cache.port, f"127.0.0.1:{f.direct.port}", f"127.0.0.1:{f.behind.port}")
    bundle, path, digest = release(f, "2.0", 8 << 20)
    token = f.edgectl("token", "create", "--enroll", "--uses", str(DEVICES), "--expires", "1h").strip()
    devices = [f.add_device(f"dev-{i:02d}", controller=f.direct.url, enroll_token=token, site_cache=f.cache.url, poll_s=10)
               for i in range(DEVICES)]
    roll_out(f, "2.0")
    for device in devices:
        device.start()
    def all_run():
        return all(runs(d, "2.0") for d in devices)
    wait_for("all devices to run 2.0", all_run, 4 * fleet.PATIENCE_S)
    check(all(holds(d, digest) for d in devices), "what arrived is what was published")
    size, sent = os.path.getsize(bundle), f.behind.bytes[path]
    print(f"devices\t{DEVICES}\nbundle_bytes\t{size}\norigin_bytes\t{sent}\norigin_bytes_direct\t{f.direct.bytes[path]}", flush=True)
    check(abs(sent - size) <= size / 100 and f.direct.bytes[path] == 0,
          f"{DEVICES} devices cost {sent} bytes through the cache and {f.direct.bytes[path]} beside it, of a bundle of {size}")
    named = {p: n for p, n in f.behind.requests.items() if p.startswith("/repository/")}
    check(named and not any(p.endswith(("/timestamp.json", ".root.json")) for p in named), f"nor is it asked for what is new: {named}")


def test(f):
    check(NGINX, "nginx is not installed: tests/deps.sh test")
    f.start_server()
    f.places = []
    with Counter(f.port) as direct, Counter(f.port) as behind:
        f.direct, f.behind = direct, behind
        f.cache = Cache(f, "first", free_port(f), f"127.0.0.1:{direct.port}", f"127.0.0.1:{behind.port}")
        f.first = release(f, "1.0", FIRST_RELEASE_BYTES)
        try:
            fleet.each(f, many_at_once_cost_one_request_for_each_slice, when_it_dies_in_the_middle_devices_go_on_from_the_origin,
                       changed_bytes_are_refused_and_the_next_try_is_the_origins, fifty_devices_cost_one_download)
        finally:
            f.cache.stop()
            for device in f.devices:
                if device.process:
                    device.kill()
            for place in f.places:
                place.close()


fleet.main(test)
