# SPDX-License-Identifier: Apache-2.0
"""A client of the controller that says whatever a test wants: HTTP with any method and body, raw sockets, and devices that are
not edge-agent, with a key of their own, which obey, lie, or fall silent.

Made from ctl/openapi.json and bundle/FORMAT.md alone; Ed25519 is that of forge.py.
"""

import hashlib
import http.client
import json
import socket

import forge
from fleet import PATIENCE_S, check

API, DEVICE_API = "/api/v1", "/api/device/v1"

# Called with (method, path, status, content type, body) of each answer that call() gets.
observers = []


def call(f, method, path, body=None, token=None, headers=None):
    """(status, headers, body); a body that is JSON comes parsed. token None: none."""
    connection = http.client.HTTPConnection("127.0.0.1", f.port, timeout=PATIENCE_S)
    head = dict(headers or {})
    if token:
        head["Authorization"] = f"Bearer {token}"
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    try:
        connection.request(method, path, body=body, headers=head)
        answer = connection.getresponse()
        data = answer.read()
        kind = answer.getheader("Content-Type", "")
    finally:
        connection.close()
    for observe in observers:
        observe(method, path, answer.status, kind, data)
    if kind == "application/json" and data:
        data = json.loads(data)
    return answer.status, answer.headers, data


def admin(f, status, method, path, body=None):
    got, _, data = call(f, method, API + path, body, f.env["EDGECTL_TOKEN"])
    check(got == status, f"{method} {path}: {got}, not {status}: {data}")
    return data


def raw(f, data, patience_s=PATIENCE_S):
    """What comes back for these bytes until the controller closes, or is silent for so long."""
    with socket.create_connection(("127.0.0.1", f.port), timeout=patience_s) as s:
        got = b""
        try:
            s.sendall(data)
            while part := s.recv(65536):
                got += part
        except (TimeoutError, ConnectionError):
            pass
        return got


def alive(f):
    check(f.server.poll() is None, "the controller has ended")
    status, _, body = call(f, "GET", "/healthz")
    check(status == 200, f"healthz: {status}: {body}")


class Impostor:
    """A device by hand. say is what its next check-in says; told the last instruction."""

    def __init__(self, f, name, facts=None):
        self.f, self.name, self.key = f, name, forge.Key(f"key of {name}")
        self.token = self.told = self.heard = None
        self.report_id = 0
        self.say = {"protocol": {"min": 1, "max": 1}, "device": name, "agent": "impostor-1", "components": {}, "generation": 0,
                    "nonce": "", "reports": [], "sequence": 0, "state": "idle", "look": True}
        self.set_facts(facts or {"arch": "x86_64"})

    def set_facts(self, facts):
        self.facts = facts
        self.say["facts"] = facts
        self.say["facts_digest"] = hashlib.blake2b(forge.canon(facts), digest_size=32).hexdigest()

    def device_call(self, verb, body, token=None):
        return call(self.f, "POST", f"{DEVICE_API}/{verb}", body, token)

    def signed(self, context, device=None, challenge=None):
        device = device or self.name
        if challenge is None:
            challenge = self.device_call("challenge", {})[2]["challenge"]
        return {"challenge": challenge, "device": device,
                "signature": self.key.sign(f"{context}\n{challenge}\n{device}".encode()).hex()}

    def enroll(self, enroll_token="", **more):
        body = {**self.signed("edge-enroll-v1"), "protocol": {"min": 1, "max": 1}, "key": self.key.object,
                "enroll_token": enroll_token, "facts": self.facts, **more}
        return self.device_call("enroll", body)

    def sign_in(self):
        status, _, body = self.device_call("token", self.signed("edge-token-v1"))
        if status == 200:
            self.token = body["token"]
        return status, body

    def join(self, enroll_token=None):
        if enroll_token is None:
            enroll_token = admin(self.f, 201, "POST", "/tokens", {"kind": "enroll"})["secret"]
        status, _, body = self.enroll(enroll_token)
        check(status == 200, f"{self.name} enrols: {status}: {body}")
        status, body = self.sign_in()
        check(status == 200, f"{self.name} signs in: {status}: {body}")
        return self

    def try_check_in(self, **changes):
        return self.device_call("checkin", {**self.say, **changes}, self.token)

    def check_in(self, **changes):
        """One check-in that must be taken. The action that was instructed, or None."""
        status, _, body = self.try_check_in(**changes)
        check(status == 200, f"{self.name} checks in: {status}: {body}")
        self.heard = body
        self.say.update(nonce=body["nonce"], reports=[])
        self.told = None
        if body.get("instruction"):
            self.told = json.loads(body["instruction"])["signed"]
            self.say["sequence"] = self.told["version"]
        return self.told["action"] if self.told else None

    def report(self, what, told=None, **changes):
        told = told or self.told or self.last
        self.report_id += 1
        self.say["reports"].append({"at": None, "attempt": told["attempt"], "boot_ms": 1, "bundle": told["bundle"]["id"], "code": "",
                                    "detail": "", "event": what, "id": self.report_id, "rollout": told["rollout"], "text": "",
                                    **changes})

    def take(self):
        """Asks until it is offered something, and takes the offer."""
        check(self.check_in() == "install", f"{self.name} should be offered something: {self.heard}")
        self.last = self.told
        self.report("offered")
        self.working("fetching")
        self.check_in()
        return self.last

    def working(self, state):
        self.say.update(state=state, update={"attempt": self.last["attempt"], "bundle": self.last["bundle"]["id"],
                                             "rollout": self.last["rollout"]})

    def rest(self):
        self.say.update(state="idle")
        self.say.pop("update", None)

    def runs(self, name, release, bundle):
        """A release whose only component is called as the release."""
        self.say["components"] = {name: {"manifest": bundle, "name": name, "security_version": 0, "version": release}}
        self.say["generation"] += 1

    def commit(self):
        """Goes the whole good way with what it took."""
        self.report("staged", self.last)
        self.working("waiting")
        check(self.check_in() == "activate", f"{self.name} should be told to activate: {self.heard}")
        self.report("activated", self.last)
        self.report("committed", self.last)
        self.rest()
        self.runs(self.last["bundle"]["name"], self.last["bundle"]["release"], self.last["bundle"]["id"])
        return self.check_in()

    def refuse(self, code="probe_failed"):
        self.report("refused", self.last, code=code, text="a test wants it so")
        self.rest()
        return self.check_in()


def ends_well(f):
    """The controller is still there, goes when it is told to, and no sanitizer had a word to say."""
    alive(f)
    status = f.stop_server()
    check(status == 0, f"the controller ended with {status}")
    with open(f.path("serve.log"), encoding="utf-8", errors="replace") as log:
        # The HTTP library calls a connection that was closed on purpose an internal error of the application.
        said = [line for line in log if "runtime error" in line or "Sanitizer" in line or
                ("internal" in line and not line.startswith("Application reported internal error, closing"))]
    check(not said, f"the controller's log: {said[:5]}")
