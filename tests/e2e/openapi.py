#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The controller keeps the promises of ctl/openapi.json: every operation is called, in good ways and bad, and every answer
has a status that the file lists for it and a body of the shape that it describes. Each operation is tried with every mistake that any
request can make, and scenarios of other tests run under the same eyes.
"""

import json
import os
import random
import re
import shutil
import urllib.error
import urllib.request

import jsonschema

import fleet
import forge
import impostor
import lost
from fleet import check

with open(os.path.join(fleet.SOURCE, "ctl/openapi.json"), encoding="utf-8") as spec_file:
    SPEC = json.load(spec_file)


def plain(schema):
    """OpenAPI 3.0's `nullable` in words that JSON Schema has."""
    if isinstance(schema, list):
        return [plain(x) for x in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: plain(value) for key, value in schema.items() if key != "nullable"}
    if not schema.get("nullable"):
        return made
    return {"anyOf": [made, {"type": "null"}]}


SCHEMAS = {"components": {"schemas": plain(SPEC["components"]["schemas"])}}


def operation_of(method, path):
    for pattern, methods in SPEC["paths"].items():
        as_regex = re.sub(r"\{\w+\}", "[^/]+", pattern.replace(".", r"\."))
        if re.fullmatch(as_regex, path) and method.lower() in methods:
            return pattern, methods[method.lower()]
    raise fleet.Failed(f"{method} {path} is not in the file")


class Client:
    def __init__(self, f):
        self.base, self.token = f.controller(), f.env["EDGECTL_TOKEN"]
        self.seen = {}

    def call(self, method, path, body=None, token="", **headers):
        """(status, parsed body); token None: none. The answer is compared with the file."""
        request = urllib.request.Request(self.base + path, method=method)
        token = self.token if token == "" else token
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        for key, value in headers.items():
            request.add_header(key.replace("_", "-"), value)
        if body is not None:
            request.data = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, timeout=fleet.PATIENCE_S) as answer:
                status, kind, data = answer.status, answer.headers["Content-Type"], answer.read()
        except urllib.error.HTTPError as error:
            status, kind, data = error.code, error.headers["Content-Type"], error.read()
        return status, self.compare(method, path.split("?")[0], status, kind, data)

    def compare(self, method, path, status, kind, data):
        pattern, operation = operation_of(method, path)
        self.seen.setdefault((method, pattern), set()).add(status)
        promised = operation["responses"].get(str(status))
        check(promised, f"{method} {path}: {status} is not promised: {data[:300]}")
        schema = promised.get("content", {}).get("application/json", {}).get("schema")
        if not schema:
            return data
        check(kind == "application/json", f"{method} {path}: {kind}")
        document = json.loads(data)
        try:
            jsonschema.validate(document, {**plain(schema), **SCHEMAS})
        except jsonschema.ValidationError as error:
            raise fleet.Failed(f"{method} {path}: {status}: {error.message} at {list(error.absolute_path)}") from error
        return document

    def expect(self, status, method, path, body=None, **more):
        got, document = self.call(method, path, body, **more)
        check(got == status, f"{method} {path}: {got}, not {status}: {document}")
        return document


def sign(client, key, context, device):
    challenge = client.expect(200, "POST", "/api/device/v1/challenge", {}, token=None)["challenge"]
    return {"challenge": challenge, "device": device, "signature": key.sign(f"{context}\n{challenge}\n{device}".encode()).hex()}


def device_api(client, secret):
    """Enrols dev-1 by hand; its token."""
    key = forge.Key("device")
    enroll = {**sign(client, key, "edge-enroll-v1", "dev-1"), "protocol": {"min": 1, "max": 1}, "key": key.object,
              "facts": {"arch": "x86_64"}}
    client.expect(403, "POST", "/api/device/v1/enroll", {**enroll, "enroll_token": "edge-en-wrong"}, token=None)
    client.expect(400, "POST", "/api/device/v1/enroll", {"device": 1}, token=None)
    enroll.update(sign(client, key, "edge-enroll-v1", "dev-1"))
    client.expect(200, "POST", "/api/device/v1/enroll", {**enroll, "enroll_token": secret}, token=None)
    client.expect(401, "POST", "/api/device/v1/token",
                  {**sign(client, key, "edge-token-v1", "nobody")}, token=None)
    token = client.expect(200, "POST", "/api/device/v1/token", sign(client, key, "edge-token-v1", "dev-1"), token=None)
    client.expect(401, "POST", "/api/device/v1/checkin", {}, token=None)
    client.expect(400, "POST", "/api/device/v1/checkin", {}, token=token["token"])
    return token["token"]


def devices(client):
    client.expect(400, "GET", "/api/v1/devices?selector=((")
    client.expect(400, "GET", "/api/v1/devices?unknown=1")
    client.expect(200, "GET", "/api/v1/devices?state=accepted&limit=1&selector=arch%20==%20%22x86_64%22")
    for path in ("/dev-1", "/dev-1/why", "/dev-00", "/dev-00/why"):
        client.expect(200, "GET", "/api/v1/devices" + path)
    client.expect(404, "GET", "/api/v1/devices/nobody")
    for verb, body in (("hold", {"held": True}), ("pin", {"release": "app 1.0"}), ("label", {"labels": {"a": "b", "c": None}}),
                       ("pin", {"release": None}), ("accept", {}), ("reject", None), ("accept", None)):
        client.expect(200, "POST", f"/api/v1/devices/dev-1/{verb}", body)
        client.expect(404, "POST", f"/api/v1/devices/nobody/{verb}", body)
        client.expect(400, "POST", f"/api/v1/devices/dev-1/{verb}", {"nonsense": 1})
    client.expect(200, "POST", "/api/v1/devices/dev-1/replace", {"expires_in_s": 60})
    client.expect(409, "POST", "/api/v1/devices/dev-1/accept")
    client.expect(200, "POST", "/api/v1/devices/dev-1/retire")
    client.expect(200, "DELETE", "/api/v1/devices/dev-1")
    client.expect(404, "DELETE", "/api/v1/devices/dev-1")
    client.expect(409, "DELETE", "/api/v1/devices/dev-00")


def tokens(client):
    made = client.expect(201, "POST", "/api/v1/tokens", {"kind": "operator", "name": "ci", "role": "viewer", "selector": "a"})
    client.expect(400, "POST", "/api/v1/tokens", {"kind": "operator", "name": "ci", "role": "king"})
    client.expect(403, "POST", "/api/v1/tokens", {"kind": "enroll"}, token=made["secret"])
    client.expect(200, "GET", "/api/v1/whoami", token=made["secret"])
    client.expect(200, "DELETE", f"/api/v1/tokens/{made['token']['id']}")
    client.expect(401, "GET", "/api/v1/whoami", token=made["secret"])
    client.expect(404, "DELETE", "/api/v1/tokens/none")
    client.expect(200, "GET", "/api/v1/tokens")


def releases(client, path):
    with open(path, "rb") as file:
        data = file.read()
    made = client.expect(201, "POST", "/api/v1/releases", data)
    client.expect(200, "POST", "/api/v1/releases", data)
    client.expect(400, "POST", "/api/v1/releases", data[:-1])
    client.expect(401, "POST", "/api/v1/releases", data, token="edge-op-wrong")
    client.expect(200, "GET", "/api/v1/releases?name=app")
    client.expect(200, "GET", "/api/v1/releases/app/" + made["version"])
    client.expect(404, "GET", "/api/v1/releases/app/9")
    for method in ("GET", "HEAD"):
        client.expect(200, method, made["url"], token=None)
        client.expect(206, method, made["url"], token=None, Range="bytes=0-9")
        client.expect(416, method, made["url"], token=None, Range=f"bytes={made['size']}-")
        client.expect(304, method, made["url"], token=None, If_None_Match=etag_of(client, made["url"])[0])
        client.expect(404, method, "/bundles/none.edge", token=None)


def etag_of(client, path):
    """The ETag, and how large it is."""
    with urllib.request.urlopen(client.base + path, timeout=60) as answer:
        return answer.headers["ETag"], len(answer.read())


def partly(client, path):
    etag, size = etag_of(client, path)
    for method in ("GET", "HEAD"):
        client.expect(200, method, path, token=None)
        client.expect(206, method, path, token=None, Range="bytes=0-9")
        client.expect(416, method, path, token=None, Range=f"bytes={size}-")
        client.expect(304, method, path, token=None, If_None_Match=etag)
        client.expect(404, method, path.replace(".delta", "0.delta").replace(".json", "0.json"), token=None)


def deltas(f, client):
    """Of bundles of their own, which no targets name."""
    bulk = random.Random("bulk").randbytes(100000).hex()
    old, new = (f.bundle("d", version, {"d": f.component(f"d-{version}", {"version": version, "bulk": bulk + version})})
                for version in ("1.0", "1.1"))
    path = f.path("d.delta")
    f.edgectl("bundle", "delta", old, new, "-o", path, "--root", f.root)
    with open(path, "rb") as file:
        data = file.read()
    with open(old, "rb") as file:
        client.expect(201, "POST", "/api/v1/releases", file.read())
    client.expect(404, "POST", "/api/v1/deltas", data)
    with open(new, "rb") as file:
        client.expect(201, "POST", "/api/v1/releases", file.read())
    made = client.expect(201, "POST", "/api/v1/deltas", data)
    client.expect(200, "POST", "/api/v1/deltas", data)
    client.expect(400, "POST", "/api/v1/deltas", data[:-1])
    client.expect(401, "POST", "/api/v1/deltas", data, token="edge-op-wrong")
    check(client.expect(200, "GET", "/api/v1/releases/d/1.1")["bundles"][0]["deltas"] == [made], "shown with its bundle")
    client.expect(200, "GET", "/api/v1/releases?name=d")
    partly(client, made["url"])
    partly(client, f"/repository/targets/d/1.1/{made['bundle']}/{made['head']}.{made['base']}.json")


def repository(f, client, release):
    """The repository: read by anyone, added to by who signed; and a rollout that it does not cover."""
    def put(status, role, data, **more):
        return client.expect(status, "PUT", f"/api/v1/repository/metadata/{role}", data, **more)

    def latest(folder, role):
        names = [name for name in os.listdir(os.path.join(folder, "metadata")) if name.endswith(f".{role}.json")]
        with open(os.path.join(folder, "metadata", max(names, key=lambda name: int(name.split(".")[0]))), "rb") as file:
            return file.read()
    policy = {"name": "too-early", "release": "app 1.0", "stages": [{"name": "all", "percent": 100}]}
    check(client.expect(409, "POST", "/api/v1/rollouts", policy)["code"] == "not_published", "a release that no targets name")
    f.edgectl("release", "publish", release, "--workspace", f.ws)
    folder, copy = os.path.join(f.ws, "server/repository"), f.path("copy")
    before = latest(folder, "targets")
    put(200, "targets", before)
    put(200, "root", latest(folder, "root"))
    shutil.copytree(folder, copy)
    f.edgectl("release", "floor", "app=0", "other=1", "--workspace", f.ws, "--repository", copy)
    put(201, "targets", latest(copy, "targets"))
    check(put(409, "targets", before)["code"] == "rollback", "older targets")
    put(400, "targets", before[:-2])
    made = client.expect(201, "POST", "/api/v1/tokens", {"kind": "operator", "name": "pub", "role": "publisher"})
    put(403, "root", before, token=made["secret"])
    put(404, "nobody", before)
    shown = client.expect(200, "GET", "/api/v1/repository")
    check(shown["targets"] == 1 and all(role["valid"] for role in shown["roles"]) and shown["floors"]["other"] == 1, str(shown))
    paths = ["metadata/1.root.json"] + [os.path.relpath(os.path.join(where, name), folder)
                                        for where, _, names in os.walk(os.path.join(folder, "targets")) for name in names][:1]
    for path in ("/repository/" + path for path in paths):
        etag, size = etag_of(client, path)
        for method in ("GET", "HEAD"):
            client.expect(200, method, path, token=None)
            client.expect(206, method, path, token=None, Range="bytes=0-9")
            client.expect(416, method, path, token=None, Range=f"bytes={size}-")
            client.expect(304, method, path, token=None, If_None_Match=etag)


def mandates(client):
    for method in ("GET", "HEAD"):
        client.expect(404, method, f"/mandates/{'0' * 64}.json", token=None)
        client.expect(400, method, "/mandates/none.json?a=b", token=None)


def plans(client):
    policy = {"name": "planned", "release": "app 1.0", "stratify": ["arch"], "gates": [{"name": "i", "kind": "install"}],
              "stages": [{"name": "none", "devices": ["nobody"]}]}
    made = client.expect(200, "POST", "/api/v1/rollouts/plan", {"policy": policy})
    check(made["mandate"]["signed"]["stages"][0]["devices"] == ["nobody"], f"a stage of named devices is signed as one: {made['mandate']}")
    by_site = {**policy, "stratify": [], "evidence": {"unit": "site", "site": "arch"}}
    told = client.expect(400, "POST", "/api/v1/rollouts/plan", {"policy": by_site})
    check("by arch" in told["text"], f"{told}")
    missing = client.expect(200, "POST", "/api/v1/rollouts/plan", {"policy": {**policy, "release": "app 7"}, "expires": None})
    check(missing["mandate"] is None and "not published" in missing["mandate_why"], f"{missing}")
    client.expect(400, "POST", "/api/v1/rollouts/plan", {"policy": {**policy, "stages": []}})
    client.expect(400, "POST", "/api/v1/rollouts/plan", {"policy": policy, "expires": "2020-01-01T00:00:00Z"})
    asked = client.expect(201, "POST", "/api/v1/rollouts/plan/probes", {"policy": {**policy, "stages": [{"name": "all", "percent": 100}]}, "wait_s": 1})
    client.expect(200, "GET", f"/api/v1/rollouts/plan/probes/{asked['id']}")
    told = client.expect(200, "POST", "/api/v1/rollouts/plan", {"policy": policy, "dry_probes": asked["id"]})
    check(told["plan"]["dry_probes"]["id"] == asked["id"], f"{asked} {told['plan']['dry_probes']}")  # it may have been asked meanwhile
    client.expect(404, "POST", "/api/v1/rollouts/plan/probes", {"policy": {**policy, "release": "app 7"}, "wait_s": 1})
    client.expect(400, "POST", "/api/v1/rollouts/plan/probes", {"policy": policy})
    plan = {key: made["plan"][key] for key in ("format", "rollout", "seed", "devices")}
    plan["strata"] = [{key: s[key] for key in ("key", "devices", "bounds", "pooled")} for s in made["plan"]["strata"]]
    client.expect(400, "POST", "/api/v1/rollouts", {"plan": plan})
    other = {**plan, "devices": 5, "strata": [{**plan["strata"][0], "devices": 5}]}
    told = client.expect(409, "POST", "/api/v1/rollouts", {"plan": other, "policy": policy})
    check(told["code"] == "fleet_drifted", f"{told}")
    for status in (201, 200):
        client.expect(status, "POST", "/api/v1/rollouts", {"plan": plan, "policy": made["policy"], "drift_pct": 5})
    client.expect(200, "GET", "/api/v1/rollouts/planned/why")
    client.expect(200, "GET", "/api/v1/rollouts/planned/failures?limit=5")
    client.expect(400, "GET", "/api/v1/rollouts/planned/failures?limit=x")
    client.expect(404, "GET", "/api/v1/rollouts/none/failures")
    client.expect(200, "POST", "/api/v1/rollouts/planned/pause", {})
    client.expect(200, "POST", "/api/v1/rollouts/planned/abort", {})


def rollouts(client):
    policy = {"name": "first", "release": "app 1.0", "stratify": ["arch"],
              "stages": [{"name": "one", "count": 1, "approve": True}, {"name": "all", "percent": 100, "soak_s": "1s"}]}
    client.expect(201, "POST", "/api/v1/rollouts", policy)
    client.expect(200, "POST", "/api/v1/rollouts", policy)
    client.expect(409, "POST", "/api/v1/rollouts", {**policy, "timeout_s": 5})
    client.expect(400, "POST", "/api/v1/rollouts", {**policy, "stages": []})
    client.expect(404, "POST", "/api/v1/rollouts", {**policy, "name": "x", "release": "app 7"})
    second = client.expect(201, "POST", "/api/v1/tokens", {"kind": "operator", "name": "second", "role": "deployer"})["secret"]
    client.expect(403, "POST", "/api/v1/rollouts/first/approve", {})
    for verb, token in (("pause", ""), ("resume", ""), ("approve", second)):
        client.expect(200, "POST", f"/api/v1/rollouts/first/{verb}", {}, token=token)
        client.expect(404, "POST", f"/api/v1/rollouts/none/{verb}", {})
        client.expect(400, "POST", f"/api/v1/rollouts/first/{verb}", {"nonsense": 1})

    def finished():
        client.expect(200, "GET", "/api/v1/devices/dev-00")
        return client.expect(200, "GET", "/api/v1/rollouts/first")["state"] == "finished"
    fleet.wait_for("the rollout to finish", finished)
    client.expect(409, "POST", "/api/v1/rollouts/first/abort", {})
    client.expect(200, "POST", "/api/v1/rollouts/first/revert", {})
    client.expect(201, "POST", "/api/v1/rollouts", {**policy, "name": "second"})
    client.expect(200, "POST", "/api/v1/rollouts/second/abort", {"revert": False})
    client.expect(200, "GET", "/api/v1/rollouts")
    client.expect(404, "GET", "/api/v1/rollouts/none")


def rest(client):
    client.expect(200, "GET", "/healthz", token=None)
    client.expect(200, "GET", "/api/v1/fleet/summary")
    client.expect(200, "GET", "/api/v1/fleet/query?selector=not%20known(arch)")
    client.expect(400, "GET", "/api/v1/fleet/query?selector=((")
    news = client.expect(200, "GET", "/api/v1/events?after=0&limit=3")
    client.expect(200, "GET", f"/api/v1/events?after={news['next']}&wait_s=1")
    client.expect(200, "GET", "/api/v1/events?after=9000000000000000&wait_s=1")
    client.expect(400, "GET", "/api/v1/events?wait_s=31")
    client.expect(200, "GET", "/api/v1/audit?limit=5")
    check(client.expect(200, "GET", "/api/v1/audit/verify")["holds"], "the audit chain is broken")


# ── Mistakes that every request can make ────────────────────────────────────────────────────────────


# What stands for a parameter of a path: nothing that is there.
ARGS = {"id": "nobody", "name": "none", "version": "9", "role": "none", "file": "9.none.json", "release": "9", "head": "none"}
# Answers that the whole server gives, whatever the path: they are in the file's text, not at each operation.
ANYWHERE = {405}


def filled(pattern, **args):
    return re.sub(r"\{(\w+)\}", lambda m: args.get(m.group(1), ARGS[m.group(1)]), pattern)


def roles_of(operation):
    return operation.get("x-roles", [])


def every_mistake(f):
    """[complaint]: all of them, so that the file can be mended in one go."""
    found = []
    client = Client(f)
    tokens = {role: client.expect(201, "POST", "/api/v1/tokens", {"kind": "operator", "name": f"x-{role}", "role": role})["secret"]
              for role in ("viewer", "publisher", "deployer", "operator")}

    def attempt(wanted, method, path, body=None, **more):
        try:
            status, document = client.call(method, path, body, **more)
            if status not in wanted:
                found.append(f"{method} {path}: {status}, not {wanted}: {document}")
        except fleet.Failed as error:
            found.append(str(error))
    for pattern, methods in SPEC["paths"].items():
        path = filled(pattern)
        for method, operation in ((m.upper(), o) for m, o in methods.items() if m in ("get", "head", "post", "put", "delete")):
            operator = {"operator": []} in operation.get("security", [])
            is_file = method == "POST" and pattern.endswith(("/releases", "/deltas"))
            json_body = {} if method == "POST" and not is_file else None
            upload = b"nonsense" if method == "PUT" or is_file else json_body
            attempt({400}, method, path + "?no_such_parameter=1", upload)
            if operator:
                attempt({401}, method, path, upload, token=None)
                attempt({401}, method, path, upload, token="edge-op-wrong")
                attempt({401}, method, path, upload, token="edge-dv-1-2-3-4")
                for role, secret in tokens.items():
                    if roles_of(operation) and role not in roles_of(operation):
                        attempt({403}, method, path, upload, token=secret)
            if json_body is not None:
                for body in (b"[]", b"nonsense", b'{"a":1,"a":2}', b"null"):
                    attempt({400}, method, path, body)
                attempt({413}, method, path, b'{"x":"' + b"y" * (256 << 10) + b'"}')
            if method in ("GET", "DELETE"):
                attempt({400}, method, path, b"a body")
            if "404" in operation["responses"] and not pattern.endswith(("/label", "/pin", "/hold", "/rollouts", "/deltas", "/probes")):
                attempt({404}, method, path, json_body)
        for method in ("GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "TRACE"):
            if method.lower() in methods:
                continue
            status, _, body = impostor.call(f, method, path, token=f.env["EDGECTL_TOKEN"])
            if status not in (404, 405) or set(body) != {"code", "text"}:
                found.append(f"{method} {path}: {status}, a method that the file does not have: {body}")
    for path in ("/", "/api", "/api/v1", "/api/v2/devices", "/api/v1/devices/", "/api/v1/device", "/api/v1/rollouts/a/b/c", "/metrics", "/favicon.ico",
                 "/api/device/v1", "/api/device/v2/checkin", "/index.html", "/.well-known/x", "/openapi.json"):
        status, _, body = impostor.call(f, "GET", path, token=f.env["EDGECTL_TOKEN"])
        if status != 404 or set(body) != {"code", "text"}:
            found.append(f"{path}: {status}: {body}")
    return found, client.seen


# What cannot be had here: a full disk, a full house, or a second writer.
RARE = {429, 503, 507, 411}
# Asked for in rogue.py, which can declare more than it sends, and in tests/unit/ctl/serve/test_overlap.c.
ELSEWHERE = {"POST /api/v1/releases: 413", "POST /api/v1/deltas: 413", "POST /api/v1/rollouts/{name}/revert: 409",
             # tests/unit/ctl/serve/test_dry.c
             "POST /api/v1/rollouts/plan/probes: 409",
             # tests/unit/ctl/serve/test_repository.c
             "PUT /api/v1/repository/metadata/{role}: 413",
             # tests/e2e/mandate.py: one is there where the root has the role; the way is that of bundles
             *(f"{method} /mandates/{{id}}.json: {status}" for method in ("GET", "HEAD") for status in (200, 206, 304, 416))}


def never_seen(*seen):
    """Answers that the file promises and no request has had."""
    for pattern, methods in SPEC["paths"].items():
        for method, operation in methods.items():
            got = set().union(*(s.get((method.upper(), pattern), set()) for s in seen))
            for status in sorted({int(s) for s in operation["responses"]} - got - RARE):
                if f"{method.upper()} {pattern}: {status}" not in ELSEWHERE:
                    yield f"{method.upper()} {pattern}: {status}"


def watched_scenarios(f, client):
    """Scenarios of lost.py with each of their answers held against the file."""
    def observe(method, path, status, kind, data):
        if status not in ANYWHERE:
            client.compare(method, path.split("?")[0], status, kind, data)
    impostor.observers.append(observe)
    try:
        lost.a_lost_device_goes_back_when_it_returns(f)
        lost.a_small_canary_sees_every_kind_of_device(f)
        lost.the_late_the_reflashed_and_the_new_are_brought_to_the_baseline(f)
        client.expect(200, "GET", "/api/v1/fleet/summary")
        for row in client.expect(200, "GET", "/api/v1/devices?limit=100")["devices"]:
            client.expect(200, "GET", f"/api/v1/devices/{row['id']}")
            client.expect(200, "GET", f"/api/v1/devices/{row['id']}/why")
        for row in client.expect(200, "GET", "/api/v1/rollouts")["rollouts"]:
            client.expect(200, "GET", f"/api/v1/rollouts/{row['name']}")
        client.expect(200, "GET", "/api/v1/events?after=0&limit=1000")
        client.expect(200, "GET", "/api/v1/audit?limit=1000")
    finally:
        impostor.observers.remove(observe)


def conflicts(f, client):
    """What was not provoked before."""
    device = impostor.Impostor(f, "conflict").join()
    device.check_in()
    other = impostor.Impostor(f, "conflict-b")
    other.key = forge.Key("another key")
    again = {**sign(client, other.key, "edge-enroll-v1", "conflict"), "protocol": {"min": 1, "max": 1}, "key": other.key.object, "facts": {}}
    secret = client.expect(201, "POST", "/api/v1/tokens", {"kind": "enroll"})["secret"]
    client.expect(409, "POST", "/api/device/v1/enroll", {**again, "enroll_token": secret}, token=None)
    client.expect(403, "POST", "/api/device/v1/checkin", {**device.say, "device": "dev-00"}, token=device.token)
    client.expect(200, "POST", "/api/device/v1/checkin", device.say, token=device.token)
    client.expect(200, "POST", "/api/v1/devices/conflict/retire")
    client.expect(403, "POST", "/api/device/v1/token", sign(client, device.key, "edge-token-v1", "conflict"), token=None)
    with open(f.bundle("app", "1.0", {"app": f.component("app-other", {"version": "another 1.0"})}), "rb") as file:
        client.expect(409, "POST", "/api/v1/releases", file.read())
    client.expect(409, "POST", "/api/v1/rollouts/second/pause", {})
    client.expect(409, "POST", "/api/v1/rollouts/second/resume", {})
    client.expect(409, "POST", "/api/v1/rollouts/second/approve", {})


def test(f):
    f.start_server()
    client = Client(f)
    release = f.bundle("app", "1.0", {"app": f.component("app", {"version": "1.0"})})
    releases(client, release)
    deltas(f, client)
    repository(f, client, release)
    secret = client.expect(201, "POST", "/api/v1/tokens", {"kind": "enroll", "labels": {"site": "a"}})["secret"]
    f.add_device("dev-00", controller=f.controller(), enroll_token=secret).start()
    token = device_api(client, secret)
    check(token, "no token")
    fleet.wait_for("the real device", lambda: f.accepted() >= 2)
    devices(client)
    mandates(client)
    plans(client)
    rollouts(client)
    tokens(client)
    rest(client)
    for device in f.devices:
        device.kill()
    conflicts(f, client)
    watched_scenarios(f, client)
    found, seen = every_mistake(f)
    found += [f"{what}: promised, and never seen" for what in never_seen(client.seen, seen)]
    for line in found:
        print(line)
    check(not found, f"{len(found)} answers are not as the file says")
    impostor.ends_well(f)


if __name__ == "__main__":
    fleet.main(test)
