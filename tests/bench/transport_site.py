# SPDX-License-Identifier: Apache-2.0
"""A controller and, in front of it, nginx: it gives out the bundles as plain files, and its log is what is counted.

Everything that a device says or takes goes over this one address on loopback. A body counts as far as it was given to the
network, wherever the device broke off; the heads of answers do not count.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tarfile
import time
from dataclasses import dataclass

from measure import Failed, run

NGINX = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
STARTS_S = 60
CONFIGURATION = """{user}
daemon off;
worker_processes 1;
error_log {folder}/error.log;
pid {folder}/nginx.pid;
events {{ }}
http {{
    log_format counted '$msec\\t$request_time\\t$request_method\\t$uri\\t$status\\t$body_bytes_sent\\t$http_range';
    access_log {folder}/access.log counted;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/other;
    uwsgi_temp_path {folder}/other;
    scgi_temp_path {folder}/other;
    client_max_body_size 0;
    sendfile on;
    tcp_nopush on;
    server {{
        listen 127.0.0.1:{port};
        location /bundles/ {{ root {files}; }}
        location / {{
            proxy_pass http://127.0.0.1:{controller};
            proxy_request_buffering off;
        }}
    }}
}}
"""


@dataclass(frozen=True)
class Answer:
    """A line of the log. Times are seconds since 1970, to the millisecond."""

    begun: float
    ended: float
    method: str
    path: str
    status: int
    bytes: int
    range: str

    def reach(self):
        """Which bytes of the file it brought: (first, behind the last)."""
        first = int(self.range.removeprefix("bytes=").split("-")[0]) if self.status == 206 else 0
        return first, first + self.bytes


def _parse(line):
    ended, took, method, path, status, size, asked = line.rstrip("\n").split("\t")
    return Answer(float(ended) - float(took), float(ended), method, path, int(status), int(size), asked)


def index_of(bundle):
    """Where the index of a bundle lies: (first byte, behind the last)."""
    with tarfile.open(bundle) as members:
        index = members.getmember("index")
        return index.offset_data, index.offset_data + index.size


def overlap(answers, region):
    return sum(max(0, min(end, region[1]) - max(begin, region[0])) for begin, end in (a.reach() for a in answers))


class Site(contextlib.AbstractContextManager):
    def __init__(self, bench):
        self.bench, self.folder, self.processes = bench, os.path.join(bench.work, "site"), []
        self.files = os.path.join(self.folder, "files")
        os.makedirs(os.path.join(self.files, "bundles"))
        with socket.socket() as place:
            place.bind(("127.0.0.1", 0))
            self.port = place.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise

    def _start(self):
        bench = self.bench
        ports = os.path.join(self.folder, "port")
        self._run(os.path.join(bench.bin, "edgectl"), "serve", "--workspace", os.path.join(bench.ws, "server"), "--listen",
                  "127.0.0.1:0", "--port-file", ports, "--public-url", self.url, "--deltas", "off",
                  "--allow-offline-keys")
        self._wait("the controller", lambda: os.path.exists(ports) and os.path.getsize(ports))
        with open(ports, encoding="ascii") as f:
            controller = f.read().strip()
        path = os.path.join(self.folder, "nginx.conf")
        with open(path, "w", encoding="utf-8") as f:
            f.write(CONFIGURATION.format(user="user root;" if os.geteuid() == 0 else "", folder=self.folder, files=self.files,
                                         port=self.port, controller=controller))
        self._run(NGINX, "-c", path, "-e", os.path.join(self.folder, "error.log"))
        self._wait("nginx", self._listens)
        with open(os.path.join(bench.ws, "server/admin.token"), encoding="ascii") as f:
            bench.env.update(EDGECTL_CONTROLLER=self.url, EDGECTL_TOKEN=f.read().strip())

    def _run(self, *argv):
        with open(os.path.join(self.folder, "said.log"), "ab") as log:
            self.processes.append(subprocess.Popen(argv, stdout=log, stderr=log, env=self.bench.env))

    def _listens(self):
        with socket.socket() as line:
            return line.connect_ex(("127.0.0.1", self.port)) == 0

    def _wait(self, what, ready):
        end = time.monotonic() + STARTS_S
        while not ready():
            if self.processes[-1].poll() is not None or time.monotonic() > end:
                with open(os.path.join(self.folder, "said.log"), encoding="utf-8", errors="replace") as f:
                    raise Failed(f"bench: {what} does not start:\n{f.read()[-2000:]}")
            time.sleep(0.02)

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
            process.wait()

    # ── What it gives out ───────────────────────────────────────────────────────────────────────────

    def publish(self, bundle):
        """Names it in the targets, and gives it out as a file. Its path in the log."""
        self.bench.edgectl("release", "publish", bundle, "--workspace", self.bench.ws)
        path = f"/bundles/{self.bench.ident(bundle)}.edge"
        os.link(bundle, self.files + path)
        return path

    def publish_delta(self, old, new, delta):
        """The same for a delta: from now on it is offered to devices that run the old bundle."""
        self.publish(old)
        self.bench.edgectl("release", "publish", new, "--delta", delta, "--workspace", self.bench.ws)
        listed = json.loads(self.bench.edgectl("release", "list", "--json"))["releases"]
        bundles = [bundle for row in listed for bundle in row["bundles"] if bundle["id"] == self.bench.ident(new)]
        [path] = [made["url"] for bundle in bundles for made in bundle["deltas"]]
        os.link(delta, self.files + path)
        return path

    def give(self, path):
        """Any other file. Its URL."""
        os.link(path, os.path.join(self.files, "bundles", os.path.basename(path)))
        return f"{self.url}/bundles/{os.path.basename(path)}"

    def offer(self, name, release):
        """To devices whose fact `bench` is this name, which no other rollout is for."""
        path = os.path.join(self.folder, "policy.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"name": name, "release": release, "selector": f'bench == "{name}"'}, f)
        self.bench.edgectl("rollout", "apply", "-f", path)

    def enrolment(self, name):
        """What a device's configuration needs to take part."""
        token = run(os.path.join(self.bench.bin, "edgectl"), "token", "create", "--enroll", "--uses", "1", "--expires", "1h",
                    env=self.bench.env)
        return {"controller": self.url, "enroll_token": token.decode().strip(), "facts": {"bench": name}, "poll_s": 1}

    def answers(self, begun=0.0):
        """All that were given since."""
        with open(os.path.join(self.folder, "access.log"), encoding="utf-8") as f:
            return [answer for answer in map(_parse, f) if answer.begun >= begun]
