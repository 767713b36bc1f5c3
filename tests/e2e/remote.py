#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""edgectl against a controller: what can be repeated, who may do what, and how waiting ends.

No device is needed: a rollout that selects nobody waits, and ends when somebody ends it.
"""

import json
import os
import shutil
import signal
import subprocess
import time

import fleet
from fleet import EDGECTL, check

STATUS = {"usage": 2, "config": 3, "not_found": 10, "exists": 11, "permission": 12, "controller_unreachable": 100,
          "controller_tls": 101, "unauthorized": 103, "rollout_state": 108, "rollout_stopped": 110, "cleartext": 113,
          "bad_request": 116, "offline_key": 112, "rollout_aborted": 121, "rollout_pending": 122, "bad_predicate": 53,
          "truncated": 41, "not_published": 19}


def fails(f, kind, *argv, says="", **options):
    done = f.run(*argv, status=STATUS[kind], **options)
    check(done.stderr.startswith("edgectl: ") and says in done.stderr, f"{argv} should say {says!r}: {done.stderr}")
    return done


def releases(f):
    first, second = f.pair("1.0"), f.pair("1.1")
    done = f.run("release", "publish", first)
    check(done.stdout.startswith("published pair 1.0") and "targets do not name" in done.stderr, f"uploaded, and no more: {done}")
    fails(f, "not_published", "rollout", "apply", "-f", f.policy("early", release="pair 1.0"), says="targets do not name pair 1.0")
    said = f.publish(first, second).splitlines()
    check(said[0].startswith("was published before") and said[1].startswith("published pair 1.1"), str(said))
    listed = f.json("release", "list", "--name", "pair")["releases"]
    check(sorted(r["version"] for r in listed) == ["1.0", "1.1"], str(listed))
    with open(f.path("cut.edge"), "wb") as cut, open(first, "rb") as whole:
        cut.write(whole.read()[:300])
    for how in ((), ("--workspace", f.ws)):
        fails(f, "truncated", "release", "publish", f.path("cut.edge"), *how, says="cut.edge")
        fails(f, "not_found", "release", "publish", f.path("none.edge"), *how)


def tokens(f):
    token = f.edgectl("token", "create", "--enroll", "--uses", "3", "--expires", "30d", "--label", "site=b", "--serial", "x1")
    check(token.count("\n") == 1 and " " not in token, f"a script cannot capture {token!r}")
    fails(f, "usage", "token", "create", says="--enroll")
    fails(f, "usage", "token", "create", "--enroll", "--role", "viewer")
    fails(f, "usage", "token", "create", "--role", "viewer", "--uses", "3", says="--enroll")
    made = f.json("token", "create", "--role", "viewer", "--name", "screen", "--selector", 'label.site == "b"', "--expires", "1h")
    viewer = {"env": {"EDGECTL_TOKEN": made["secret"]}}
    f.edgectl("device", "list", **viewer)
    fails(f, "permission", "release", "publish", f.path("pair-1.0.edge"), **viewer)
    fails(f, "permission", "release", "floor", "app=1", "--workspace", f.ws, **viewer)
    f.edgectl("token", "revoke", made["token"]["id"])
    f.edgectl("token", "revoke", made["token"]["id"])
    fails(f, "unauthorized", "device", "list", **viewer)
    check("revoked" in f.edgectl("token", "list"), "the list does not say what is revoked")


def addresses(f):
    nobody = {"env": {"EDGECTL_TOKEN": "wrong"}}
    fails(f, "unauthorized", "device", "list", **nobody)
    fails(f, "usage", "device", "list", env={"EDGECTL_CONTROLLER": ""}, says="EDGECTL_CONTROLLER")
    fails(f, "usage", "device", "list", env={"EDGECTL_TOKEN": ""}, says="EDGECTL_TOKEN")
    f.edgectl("device", "list", "--workspace", f.ws, env={"EDGECTL_TOKEN": ""})
    fails(f, "cleartext", "device", "list", "--controller", "http://controller.example.org", says="--allow-http")
    fails(f, "controller_tls", "device", "list", "--controller", f.controller().replace("http:", "https:"))
    fails(f, "controller_unreachable", "device", "list", "--controller", "http://127.0.0.1:1", says="running")
    fails(f, "not_found", "device", "why", "nobody", says="nobody")
    fails(f, "not_found", "rollout", "status", "none")
    fails(f, "bad_predicate", "fleet", "query", "arch ==")


def waiting(f):
    other = shutil.move(f.policy("r", release="pair 1.1"), f.path("other.json"))
    policy = f.policy("r", release="pair 1.0", stages=[{"name": "canary", "count": 1}, {"name": "all", "percent": 100}])
    fails(f, "rollout_pending", "rollout", "apply", "-f", policy, "--wait", "--timeout", "1s", says="goes on")
    check(f.rollout("r")["state"] == "running", "a timeout must not end the rollout")
    f.edgectl("rollout", "apply", "-f", policy)  # the same policy is the same rollout
    fails(f, "exists", "rollout", "apply", "-f", other)
    watch = subprocess.Popen([EDGECTL, "rollout", "watch", "r", "--json"], env=f.env, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
    first = json.loads(watch.stdout.readline())
    check(first["state"] == "running" and [s["name"] for s in first["stages"]] == ["canary", "all"], str(first))
    # The controller dies and comes back: who waits does not notice more than a note.
    f.stop_server(signal.SIGKILL)
    time.sleep(1)
    f.start_server()
    f.edgectl("rollout", "pause", "r")
    f.edgectl("rollout", "pause", "r")
    rest, said = watch.communicate(timeout=fleet.PATIENCE_S)
    check(watch.returncode == STATUS["rollout_stopped"], f"watch ended with {watch.returncode}: {said}")
    check(json.loads(rest.splitlines()[-1])["state"] == "paused", rest)
    done = f.run("rollout", "apply", "-f", policy, "--wait", "--json", status=STATUS["rollout_stopped"])
    check(json.loads(done.stdout)["state"] == "paused", done.stdout)
    f.edgectl("rollout", "resume", "r")
    check(f.rollout("r")["state"] == "running", "it should go on")
    f.edgectl("rollout", "abort", "r")
    fails(f, "rollout_aborted", "rollout", "watch", "r", says="aborted")
    check("r" in f.edgectl("rollout", "list") and "aborted" in f.edgectl("rollout", "status", "r"), "lists should say so")


def history(f):
    kinds = [json.loads(line)["kind"] for line in f.edgectl("events", "--json").splitlines()]
    check(kinds.count("release_published") == 2 and "rollout_aborted" in kinds, str(kinds))
    rows = [json.loads(line) for line in f.edgectl("audit", "--json").splitlines()]
    check([row["number"] for row in rows] == list(range(1, len(rows) + 1)), "rows are missing")
    check(f"{len(rows)} rows" in f.edgectl("audit", "--verify"), "the chain should hold")
    check(len(f.edgectl("audit", "--after", str(len(rows) - 2)).splitlines()) == 2, "--after skips")
    check("devices:" in f.edgectl("fleet", "summary") and f.json("fleet", "summary")["devices"] == 0, "a summary of nothing")


def refusals_to_serve(f):
    fails(f, "offline_key", "serve", "--workspace", os.path.join(f.ws, "server"), "--listen", "127.0.0.1:0", says="--allow-offline-keys")
    fails(f, "usage", "serve")


def test(f):
    refusals_to_serve(f)
    f.start_server()
    for part in (releases, tokens, addresses, waiting, history):
        part(f)


fleet.main(test)
