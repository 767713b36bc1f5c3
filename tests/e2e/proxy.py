#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A device behind a proxy, in cleartext and through a tunnel with a password: enrolment, check-ins, repository and downloads go through it, and when it is dead the device says so and waits.

The controller's name is one that nobody but the proxy can resolve, so what arrives came through the proxy.
"""

import base64
import collections
import contextlib
import http.client
import json
import os
import socket
import threading
import urllib.parse

import fleet
from fleet import check, wait_for
from relay import Relay, body_of, give
from tls import authority, certificate, pem

NAME = "controller.test"  # .test is reserved: no name server knows it


class Proxy(Relay):
    """Forwards plain HTTP for one name to a port of this machine, and counts."""

    def __init__(self, to_port, port=0):
        self.seen = collections.Counter()  # first parts of the path
        self.strange = []
        super().__init__(to_port, port)

    def count(self, path):
        return sum(n for seen, n in self.seen.items() if seen.startswith(path))

    def forward(self, request):
        url = urllib.parse.urlsplit(request.path)
        if url.scheme != "http" or url.netloc != NAME:
            self.strange.append(request.path)
            request.send_error(403)
            return
        self.seen[url.path] += 1
        try:
            with self.ask(request, body_of(request), url.path, Host=NAME) as answer:
                data = answer.read()
        except (OSError, http.client.HTTPException):
            request.send_error(502)
            return
        give(request, answer.status, data, answer.getheaders())


class Tunnel(Proxy):
    """Connects to one name and port, for whoever knows the password, and sees nothing of what goes through."""

    USER, PASSWORD = "device", "geheim-4711"

    def __init__(self, to_port):
        self.refused = 0
        super().__init__(to_port)

    def url_with(self, password):
        return f"http://{self.USER}:{password}@127.0.0.1:{self.port}"

    def forward(self, request):
        if request.command != "CONNECT":
            super().forward(request)
            return
        wanted = "Basic " + base64.b64encode(f"{self.USER}:{self.PASSWORD}".encode()).decode()
        if request.headers.get("Proxy-Authorization") != wanted:
            self.refused += 1
            request.send_response(407)
            request.send_header("Proxy-Authenticate", 'Basic realm="site"')
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        if request.path != f"{NAME}:443":
            self.strange.append(request.path)
            request.send_error(403)
            return
        self.seen["CONNECT"] += 1
        request.close_connection = True
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.to_port)) as far:
            request.send_response_only(200)
            request.end_headers()
            request.wfile.flush()
            back = threading.Thread(target=pump, args=(far, request.connection))
            back.start()
            pump(request.connection, far)
            back.join()


def pump(source, sink):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def add(f, name, **config):
    token = f.edgectl("token", "create", "--enroll", "--uses", "1", "--expires", "1h").strip()
    return f.add_device(name, controller=f"http://{NAME}", allow_http=True, enroll_token=token, **config)


def release(f, version):
    f.publish(f.pair(version))
    f.edgectl("rollout", "apply", "-f", f.policy(f"pair-{version}", release=f"pair {version}"), "--wait", "--timeout", "5m")


def reach(device):
    """What a device says of its controller; nothing while it is not up yet."""
    done = device.agent("status", "--config", device.config, "--json", status=None)
    return json.loads(done.stdout).get("controller", {}) if done.returncode == 0 else {}


def wait_unreachable(device):
    return wait_for(f"{device.name} to say that it reaches nobody", lambda: (c := reach(device)).get("code") == "unreachable" and c)


def check_went_through(proxy, device, version):
    check(device.version() == version and device.read("app", "version") == version, f"{device.name} runs {device.status()}")
    check(proxy.count("/api/device/v1/enroll") >= 1, f"the enrolment went through the proxy: {proxy.seen}")
    check(proxy.count("/api/device/v1/checkin") >= 2, f"check-ins went through the proxy: {proxy.seen}")
    check(proxy.count("/repository/metadata/") >= 1, f"the repository was asked through the proxy: {proxy.seen}")
    check(proxy.count("/bundles/") >= 1, f"the download went through the proxy: {proxy.seen}")
    check(not proxy.strange, f"a proxy is asked for nothing but the controller: {proxy.strange}")


def test_configured(f):
    """"proxy" in the configuration; then it is dead for a while."""
    with Proxy(f.port) as proxy:
        device = add(f, "configured", proxy=proxy.url)
        device.start()
        wait_for("the device to be accepted", lambda: f.accepted() == 1)
        release(f, "1.0")
        check_went_through(proxy, device, "1.0")
        port = proxy.port

    said = wait_unreachable(device)["text"]
    check(f"http://{NAME}/" in said and f"127.0.0.1 port {port}" in said, f"says whom it wanted, and who was dead: {said}")
    check(device.version() == "1.0", "and runs what it ran")

    with Proxy(f.port, port) as proxy:
        release(f, "1.1")
        check(device.version() == "1.1" and proxy.count("/bundles/") >= 1, f"goes on by itself: {device.status()}")
        check(proxy.count("/api/device/v1/enroll") == 0, "with the identity it had")
    device.kill()


def test_environment(f):
    """http_proxy, which is the default."""
    with Proxy(f.port) as proxy:
        device = add(f, "environment")
        f.env["http_proxy"] = proxy.url
        device.start()
        del f.env["http_proxy"]
        wait_for("the device to be up", lambda: reach(device).get("enrolment") == "accepted")
        wait_for("the device to run what the fleet runs", lambda: device.version() == "1.1" and not device.status()["why"]["code"])
        check_went_through(proxy, device, "1.1")
        device.kill()


def test_none(f):
    """"proxy": "" means none, whatever the environment says: then nobody knows the name."""
    with Proxy(f.port) as proxy:
        device = add(f, "none", proxy="")
        f.env["http_proxy"] = proxy.url
        device.start()
        del f.env["http_proxy"]
        said = wait_unreachable(device)["text"]
        check(NAME in said, f"says whom it wanted: {said}")
        check(not proxy.seen and not proxy.strange, f"asked the proxy all the same: {proxy.seen}")
        device.kill()


def test_tunnel(f):
    """TLS through CONNECT, with a password for the proxy: it arrives there and is seen nowhere else."""
    os.mkdir(f.path("pki"))
    authority(f, "ours")
    certificate(f, "server", "ours", f"DNS:{NAME},IP:127.0.0.1")
    f.stop_server()
    f.start_server("--tls-cert", pem(f, "server"), "--tls-key", pem(f, "server", "key"))
    f.env["EDGECTL_CONTROLLER"] = f.controller().replace("http:", "https:")
    ours = ("--ca-file", pem(f, "ours"))
    token = f.edgectl("token", "create", "--enroll", "--uses", "1", "--expires", "1h", *ours).strip()
    with Tunnel(f.port) as proxy:
        config = {"controller": f"https://{NAME}", "ca_file": pem(f, "ours"), "enroll_token": token}
        wrong = f.add_device("wrong", proxy=proxy.url_with("falsch-4711"), **config)
        wrong.start()
        said = wait_unreachable(wrong)["text"]
        check("407" in said and proxy.refused, f"says that the proxy refused it: {said}")
        wrong.kill()
        device = f.add_device("tunnelled", proxy=proxy.url_with(proxy.PASSWORD), **config)
        device.start()
        wait_for("it to be accepted", lambda: reach(device).get("enrolment") == "accepted")
        wait_for("it to run what the fleet runs", lambda: device.version() == "1.1")
        check(proxy.seen["CONNECT"] > 2 and not proxy.strange and set(proxy.seen) == {"CONNECT"}, f"all of it through tunnels: {proxy.seen}")
        everything = device.log() + wrong.log() + json.dumps([device.status(), said])
        everything += device.agent("check", "--config", device.config, "--print").stdout + f.edgectl("device", "why", "tunnelled", *ours)
        check("4711" not in everything, f"a password is seen: {everything}")
        device.kill()


def test(f):
    f.start_server()
    fleet.each(f, test_configured, test_environment, test_none, test_tunnel)


fleet.main(test)
