#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# ctest: release
"""A device behind a proxy: enrolment, check-ins, repository and downloads go through it, and when it is dead the device says so and waits.

The controller's name is one that nobody but the proxy can resolve, so what arrives came through the proxy.
"""

import collections
import contextlib
import http.client
import http.server
import json
import threading
import urllib.parse

import fleet
from fleet import check, wait_for

NAME = "controller.test"  # .test is reserved: no name server knows it
HOP_BY_HOP = {"connection", "proxy-connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"}


class Proxy(contextlib.AbstractContextManager):
    """Forwards plain HTTP for one name to a port of this machine, and counts."""

    def __init__(self, to_port, port=0):
        self.seen = collections.Counter()  # first parts of the path
        self.strange = []
        self.to_port = to_port
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self):
                proxy.forward(self)

            do_GET = do_POST = forward

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def count(self, path):
        return sum(n for seen, n in self.seen.items() if seen.startswith(path))

    def forward(self, request):
        url = urllib.parse.urlsplit(request.path)
        if url.scheme != "http" or url.netloc != NAME:
            self.strange.append(request.path)
            request.send_error(403)
            return
        self.seen[url.path] += 1
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        headers = {k: v for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP and k.lower() != "host"}
        upstream = http.client.HTTPConnection("127.0.0.1", self.to_port, timeout=fleet.PATIENCE_S)
        try:
            upstream.request(request.command, url.path, body=body or None, headers={**headers, "Host": NAME})
            answer = upstream.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException):
            request.send_error(502)
            return
        finally:
            upstream.close()
        request.send_response(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in HOP_BY_HOP | {"content-length", "date", "server"}:
                request.send_header(key, value)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        with contextlib.suppress(OSError):  # the device may have had enough
            request.wfile.write(data)


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


def test(f):
    f.start_server()
    fleet.each(f, test_configured, test_environment, test_none)


fleet.main(test)
