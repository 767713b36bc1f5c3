#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# ctest: timed release
"""A release goes out in stages, a bad one comes back by itself, and both sides say why."""

import json
import os
import shutil
import subprocess

import fleet
from fleet import check, wait_for

RUNNER = """#!/bin/sh
# An exec runner: passes unless the component says that it is bad.
grep -q bad "$1/version" && { echo "this version says that it is $(cat "$1/version")" >&2; exit 7; }
exit 0
"""

PROBES = [
    {"component": "app", "kind": "exec", "name": "selftest", "phase": "both", "runner": "selftest",
     "args": ["{component}"], "timeout_s": 20, "start_delay_s": 0, "interval_s": 1, "failures": 1}]


def stages(*shares):
    return [{"name": f"stage-{i}", **share, "soak_s": 0} for i, share in enumerate(shares)]


def apply(f, name, release, status=0, **more):
    policy = {"release": release, "stages": stages({"count": 1}, {"percent": 50}, {"percent": 100}),
              "gate": {"success_pct": 100, "failure_pct": 0, "min_sample": 1}, "timeout_s": 60, "on_failure": "revert"}
    path = f.policy(name, **{**policy, **more})
    return f.run("rollout", "apply", "-f", path, "--wait", "--timeout", "120s", status=status)


def runs(f, version):
    return all(d.version() == version and d.read("app", "version") == version and d.read("model", "version") == version
               for d in f.devices)


def who_does_not_go_back_is_listed(f, canary):
    """One cannot, since what it kept is gone, one is off: both are listed, with the reason."""
    broken, off = [d for d in f.devices if d is not canary][:2]
    runs_now = os.path.basename(os.readlink(os.path.join(broken.state, "current")))
    kept = os.path.join(broken.state, "generations")
    for number in os.listdir(kept):
        if number != runs_now:
            subprocess.run(["chmod", "-R", "u+w", os.path.join(kept, number)], check=True)
            shutil.rmtree(os.path.join(kept, number))
    off.kill()
    f.edgectl("rollout", "revert", "pair-1.1")
    def failures():
        return f.json("rollout", "failures", "pair-1.1")
    wait_for("the device without a way back to say so", lambda: failures()["counts"]["failed"] == 1)
    listed = {d["device"]: d for d in failures()["devices"]}
    check(listed[broken.name]["state"] == "failed" and listed[broken.name]["why"]["code"], f"it has a reason: {listed}")
    check(listed[off.name]["state"] == "unheard" and listed[off.name]["told"] is None, f"who is off was not told: {listed}")
    others = [d for d in f.devices if d not in (broken, off, canary)]
    wait_for("the others to be back", lambda: all(d.version() == "1.0" for d in others))
    said = f.edgectl("rollout", "failures", "pair-1.1")
    check("1 devices could not go back" in said and listed[broken.name]["why"]["code"] in said, f"people are told: {said}")
    wait_for("the controller to have heard of the others", lambda: sum(failures()["counts"].values()) == 2)
    first = f.json("rollout", "failures", "pair-1.1", "--limit", "1")
    check([d["device"] for d in first["devices"]] == [first["next"]] == [min(broken.name, off.name)], f"the first of them: {first}")
    check("and 1 more (--limit)" in f.edgectl("rollout", "failures", "pair-1.1", "--limit", "1"), "and that there is another one")
    for verb in ("status", "why"):
        shown = f.edgectl("rollout", verb, "pair-1.1")
        check("1 devices could not go back" in shown and "edgectl rollout failures pair-1.1" in shown, f"{verb} points to them: {shown}")
        check("could not go back" not in f.edgectl("rollout", verb, "pair-1.2"), f"{verb} of one that all went back from says nothing of it")
    # What it has goes on, until the baseline brings it what it could not go back to.
    wait_for("the baseline to reach it", lambda: broken.version() == "1.0")


def test(f):
    with open(f.path("selftest"), "w", encoding="utf-8") as s:
        s.write(RUNNER)
    os.chmod(f.path("selftest"), 0o755)
    probes = f.path("probes.json")
    with open(probes, "w", encoding="utf-8") as p:
        json.dump(PROBES, p)
    f.start_server()
    f.add_fleet(6, runners={"selftest": {"argv": [f.path("selftest")]}})

    for version in ("1.0", "1.1"):
        f.publish(f.pair(version, "--probes", probes))
        apply(f, f"pair-{version}", f"pair {version}")
        status = f.rollout(f"pair-{version}")
        check(status["state"] == "finished", f"{version} should be finished: {status}")
        check([s["committed"] for s in status["stages"]][-1] >= 1, f"stages count what was committed: {status}")
        wait_for(f"the fleet to run {version}", lambda v=version: runs(f, v))

    f.publish(f.pair("1.2-bad", "--probes", probes))
    done = apply(f, "pair-1.2", "pair 1.2-bad", status=None)
    check(done.returncode != 0, "a rollout that failed must not exit with 0")
    status = f.rollout("pair-1.2")
    check(status["state"] in ("failed", "reverted"), f"1.2 should have failed: {status}")
    check(sum(s["offered"] for s in status["stages"]) == 1, f"only the canary may have seen it: {status}")
    check(runs(f, "1.1"), "the fleet should still run 1.1")
    check(status["remains"] == {"targets": True, "mandate": None}, f"what is left to withdraw: {status['remains']}")
    check("release withdraw pair 1.2-bad" in done.stdout, f"and how: {done.stdout}")
    check("release withdraw pair 1.2-bad" in f.edgectl("rollout", "status", "pair-1.2"), "as long as it is so")
    canary = next(d for d in f.devices if "1.2-bad" in json.dumps(d.status()))
    why = f.edgectl("device", "why", canary.name)
    check("probe" in why and "1.2-bad" in why, f"why should name the probe and its last words: {why}")
    who_does_not_go_back_is_listed(f, canary)


fleet.main(test)
