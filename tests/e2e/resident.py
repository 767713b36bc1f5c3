#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# ctest: timed release
"""edge-agent run as a service: what it tells its service manager, and how it bears a controller that does not want it."""

import contextlib
import hashlib
import http.server
import json
import os
import signal
import socket
import threading
import time

import fleet
from fleet import check, wait_for


class Manager:
    """The socket of a service manager."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.heard = []

    def wait(self, line, count=1, patience_s=fleet.PATIENCE_S):
        until = time.monotonic() + patience_s
        while sum(1 for heard in self.heard if heard == line) < count:
            self.socket.settimeout(max(0.01, until - time.monotonic()))
            try:
                self.heard += self.socket.recv(4096).decode().splitlines()
            except TimeoutError:
                raise fleet.Failed(f"no {line} ({count} times) among {self.heard}") from None


def notify(f):
    """READY once it can be asked, WATCHDOG at least twice in each interval, STATUS, STOPPING at SIGTERM."""
    device = f.add_device("notified")
    manager = Manager(os.path.join(device.dir, "notify"))
    f.env.update(NOTIFY_SOCKET=os.path.join(device.dir, "notify"), WATCHDOG_USEC="2000000")
    try:
        device.start()
        manager.wait("READY=1")
        check(device.status()["state"] == "idle", "READY means that the socket answers")
        manager.wait("WATCHDOG=1", 5, patience_s=100)  # an agent that does not care for the interval takes 150 s for that
        manager.wait("STATUS=idle")
        check("STOPPING=1" not in manager.heard, "it runs")
        check(device.kill(signal.SIGTERM) == 0, "SIGTERM is an orderly end")
        manager.wait("STOPPING=1")
        check(manager.heard.count("READY=1") == 1, f"ready once: {manager.heard}")
    finally:
        del f.env["NOTIFY_SOCKET"], f.env["WATCHDOG_USEC"]


class Unwilling(http.server.BaseHTTPRequestHandler):
    """A controller that answers enrolments as told."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server = self.server
        if self.path.endswith("/challenge") and server.mode == "pending":
            return self.answer(200, {"challenge": "ab" * 32, "expires_in_s": 60})
        if self.path.endswith("/enroll"):
            server.enrolments += 1
            if server.mode == "pending":
                return self.answer(200, {"device": "unwanted", "state": "pending"})
        server.refusals += 1
        return self.answer(401 if server.mode == "pending" else server.mode, {"code": "no", "text": "we do not know you"})

    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def unwilling_controller():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Unwilling)
    server.mode, server.enrolments, server.refusals = 401, 0, 0
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def key_of(device):
    folder = os.path.join(device.state, "private")
    seen = {}
    for name in sorted(os.listdir(folder)):
        if name.startswith(("key", "device")):
            with open(os.path.join(folder, name), "rb") as file:
                seen[name] = hashlib.sha256(file.read()).hexdigest()
    check(seen, f"the device's key is in {os.listdir(folder)}")
    return seen


def refused_enrolment(f):
    """Whatever the controller answers, the device asks again, later and later, says why, and stays who it is."""
    with unwilling_controller() as server:
        device = f.add_device("unwanted", controller=f"http://127.0.0.1:{server.server_address[1]}", enroll_token="t")
        device.start()
        identity = None
        for mode in (401, 404, 403, 500, "pending", 401):
            server.mode, before, asked = mode, server.refusals + server.enrolments, server.enrolments
            wait_for(f"two more tries at {mode}", lambda b=before: server.refusals + server.enrolments >= b + 2)
            if mode == "pending":
                wait_for("enrolments", lambda a=asked: server.enrolments > a)
            def told(pending=mode == "pending"):
                status = device.status()["controller"]
                return status["code"] and (not pending or "pending" in status["text"] or "know this device" in status["text"])
            wait_for(f"a reason in the status at {mode}", told)
            status = device.status()
            check(status["device"] == "unwanted", f"{mode}: it keeps its name: {status}")
            identity = identity or key_of(device)
            check(key_of(device) == identity, f"{mode}: it keeps its key")
            check(status["state"] == "idle", f"{mode}: {status}")
        device.kill(signal.SIGTERM)
        device.start()
        wait_for("the agent to answer", lambda: os.path.exists(os.path.join(device.state, "agent.sock")))
        before = server.refusals
        wait_for("tries after a restart", lambda: server.refusals > before)
        check(key_of(device) == identity, "the same key after a restart")
        # And a back-off: refusals do not come as fast as they can.
        before, begin = server.refusals, time.monotonic()
        time.sleep(4)
        check(server.refusals - before <= 3 * (time.monotonic() - begin), f"{server.refusals - before} tries in 4 s")
        device.kill(signal.SIGTERM)


def test(f):
    fleet.each(f, notify, refused_enrolment)


if __name__ == "__main__":
    fleet.main(test)
