#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# ctest: timed
"""Rollouts decided by evidence, with real agents: each kind of gate stops a release once, the fleet goes back without a download, and a
healthy release passes to the end, also when the controller is killed on the way.

What devices measure is written by this test, as an application would: it reads which version runs on a device, and says how that does.
"""

import collections
import json
import os
import signal
import threading
import time

import fleet
from fleet import check, wait_for
from impostor import admin
from relay import Relay, body_of, give

DEVICES = 36
RUNNER = """#!/bin/sh
grep -q broken "$1/version" && { echo "this version does not start" >&2; exit 7; }
exit 0
"""
PROBES = [{"component": "app", "kind": "exec", "name": "selftest", "phase": "after", "runner": "selftest", "args": ["{component}"],
           "timeout_s": 20, "start_delay_s": 0, "interval_s": 1, "failures": 1}]


class Counting(Relay):
    """In front of the controller's bundles: what each path sent."""

    def __init__(self, to_port):
        self.sent = collections.Counter()
        super().__init__(to_port)

    def forward(self, request):
        with self.ask(request, body_of(request)) as answer:
            data = answer.read()
        self.sent[request.path] += len(data)
        give(request, answer.status, data, answer.getheaders())


class World(threading.Thread):
    """The applications on the devices: what each says of itself, by the version that it runs."""

    def __init__(self, f):
        super().__init__(daemon=True)
        self.fleet, self.over = f, False
        self.worse = {}  # version: how much its latency is more
        self.crashing = set()  # versions that crash again and again
        self.crashes = collections.Counter()

    def version(self, device):
        try:
            return device.read("app", "version").strip()
        except OSError:
            return ""

    def say(self, i, device, beat):
        version = self.version(device)
        if version in self.crashing:
            self.crashes[i] += 1
        latency = 100 + 3 * (i % 7) + (beat * (i + 3)) % 5 + self.worse.get(version, 0)
        path = os.path.join(device.dir, "metrics.prom")
        with open(path + ".new", "w", encoding="ascii") as out:
            out.write(f"latency_ms {latency}\ncrashes_total {self.crashes[i]}\n")
        os.rename(path + ".new", path)

    def run(self):
        beat = 0
        while not self.over:
            beat += 1
            for i, device in enumerate(self.fleet.devices):
                self.say(i, device, beat)
            time.sleep(1)


def publish(f, version):
    app = f.component(f"app-{version}", {"version": version, "bulk": "".join(f"{version} {i}\n" for i in range(2000))})
    bundle = f.bundle("app", version, {"app": app}, "--probes", f.path("probes.json"))
    f.publish(bundle)
    return os.path.getsize(bundle)


def rhythm(f):
    """How long it takes here until every device has checked in again, four times over: on a busy machine that is long."""
    def seen():
        return {row["id"]: row["seen"] for row in f.json("device", "list")["devices"]}
    before, begin = seen(), time.monotonic()
    wait_for("every device to check in again", lambda: all(before[device] != at for device, at in seen().items()))
    return max(16, 4 * int(time.monotonic() - begin + 1))


def evidence(f, **more):
    return {"newcomer_s": 0, "rhythm_s": f.rhythm_s, "settle_s": 1, "compared": 4, "horizon_s": f.rhythm_s * 3 // 2,
            "window_s": f.rhythm_s, "grace_s": f.rhythm_s // 2, "max_soak_s": "1h", **more}


def apply(f, version, gates, canary=8, **more):
    """A canary whose gates decide, and the others after it."""
    name = f"app-{version}"
    policy = {"release": f"app {version}", "gates": gates, "evidence": evidence(f, **more.pop("evidence", {})),
              "stages": [{"name": "canary", "count": canary}, {"name": "all", "percent": 100}],
              "timeout_s": 60, "on_failure": "revert", "batch": {"start": canary, "factor": 4}, **more}
    f.edgectl("rollout", "apply", "-f", f.policy(name, **policy))
    return name


def becomes(f, name, *states):
    def reached():
        return f.rollout(name)["state"] in states
    try:
        wait_for(f"{name} to be {' or '.join(states)}", reached)
    except fleet.Failed as error:
        raise fleet.Failed(f"{error}: {json.dumps(f.json('rollout', 'why', name))}") from None
    return f.rollout(name)


def holds(f, name):
    return {row["code"] for row in f.json("rollout", "why", name)["holds"]}


def exposed(status):
    return sum(stage["offered"] for stage in status["stages"])


def fetched(f, version, since):
    """What was fetched of a release, by deltas too: {path: bytes}."""
    bundles = admin(f, 200, "GET", f"/releases/app/{version}")["bundles"]
    of = {shown["url"] for bundle in bundles for shown in (bundle, *bundle["deltas"])}
    return {path: n for path, n in (f.bundles.sent - since).items() if path in of}


def all_run(f, version):
    return all(d.process is None or f.world.version(d) == version for d in f.devices)


def goes_back(f, name, code, canary=8):
    """Stopped by evidence, and every device runs what it had, of which nothing was fetched again. Of the release itself a device that
    was offered it before the verdict may still fetch something; no other is offered it."""
    halted = becomes(f, name, "reverting", "reverted")
    status = becomes(f, name, "reverted")
    verdicts = f.json("rollout", "why", name)["verdicts"]
    check(any(v["why"]["code"] == code and not v["doubt"] for v in verdicts), f"a verdict of {code}: {verdicts}")
    check(exposed(status) == exposed(halted) <= canary, f"no more than the canary may have seen it, and nobody after the verdict: {halted} {status}")
    wait_for("the fleet to run 1.0 again", lambda: all_run(f, "1.0"))
    check(not fetched(f, "1.0", f.had), f"going back fetched something: {fetched(f, '1.0', f.had)}")
    return status


INSTALL = {"name": "install", "kind": "install", "baseline_pct": 2, "intolerable_pct": 50}
CRASHES = {"name": "crashes", "kind": "counter", "metric": "crashes"}
LATENCY = {"name": "latency", "kind": "metric", "metric": "latency", "worse": "higher", "tolerable": 5, "intolerable": 40,
           "baseline_pct": 1}


def a_release_that_does_not_start_is_stopped_by_its_installs(f):
    publish(f, "1.1-broken")
    # Three failures are enough, whether or not the other canaries were offered it by then: a verdict that needs two devices
    # would wait for a person when they were not.
    goes_back(f, apply(f, "1.1-broken", [INSTALL], evidence={"min_fragility": 1}), "evidence_failed")


def a_release_that_crashes_is_stopped_by_its_counter(f):
    publish(f, "1.2")
    f.world.crashing.add("1.2")
    goes_back(f, apply(f, "1.2", [CRASHES]), "evidence_failed")


def a_release_that_is_slower_is_stopped_by_its_metric_though_the_controller_was_killed(f):
    publish(f, "1.3")
    f.world.worse["1.3"] = 60
    # Seven sets are as many as so few devices allow; a verdict that needs two devices would need eleven. At a tenth five of
    # them are enough: on a machine that stands still for a moment one or two are void.
    name = apply(f, "1.3", [LATENCY], canary=7, evidence={"min_fragility": 1, "alpha": "0.1"})
    wait_for("the first sets", lambda: f.rollout(name)["evidence"]["sets"]["begun"] > 1)
    before = f.rollout(name)
    f.stop_server(signal.SIGKILL)
    f.serve()
    after = f.rollout(name)
    check(exposed(after) >= exposed(before) and after["evidence"]["sets"]["begun"] >= before["evidence"]["sets"]["begun"],
          f"what was counted is counted: {before} {after}")
    goes_back(f, name, "evidence_failed", canary=7)


def a_release_beyond_a_guard_is_stopped_at_once(f):
    publish(f, "1.4")
    f.world.worse["1.4"] = 500
    goes_back(f, apply(f, "1.4", [{**LATENCY, "tolerable": 1000, "intolerable": 2000, "guard": 400}]), "guard_exceeded")


def a_release_that_silences_its_devices_is_stopped_by_its_losses(f):
    publish(f, "1.5")
    name = apply(f, "1.5", [{"name": "lost", "kind": "lost"}], timeout_s=20, canary=8)
    wait_for("the canary to be at risk", lambda: f.rollout(name)["evidence"]["gates"][0]["at_risk"]["treated"] >= 7)
    # At risk from the offer on; those that are silenced have to have it.
    wait_for("the canary to run it", lambda: sum(f.world.version(d) == "1.5" for d in f.devices) >= 7)
    silent = [d for d in f.devices if f.world.version(d) == "1.5"]
    for device in silent:
        device.kill()
    becomes(f, name, "reverting", "reverted")
    for device in silent:
        device.start()
    wait_for("the silent ones to be back", lambda: all_run(f, "1.0"))
    verdicts = f.json("rollout", "why", name)["verdicts"]
    check(any(v["why"]["code"] == "evidence_failed" and v["gate"] == "lost" for v in verdicts), f"by its losses: {verdicts}")
    becomes(f, name, "reverted")


def a_release_that_is_gone_back_from_is_stopped_by_reverts_that_shams_came_through(f):
    publish(f, "1.8-broken")
    goes_back(f, apply(f, "1.8-broken", [{"name": "reverts", "kind": "revert"}], evidence={"min_fragility": 1, "sham": True}), "evidence_failed")
    shams = collections.Counter((e["kind"], e["subject"]) for e in map(json.loads, f.edgectl("events", "--json").splitlines())
                                if "sham" in e["kind"] and e["rollout"] == "app-1.8-broken")
    kinds = {kind for kind, _ in shams}
    check({"device_sham_begun", "device_shammed"} <= kinds <= {"device_sham_begun", "device_shammed", "device_sham_refused"},
          f"others restarted what they run, and came through: {shams}")
    check(max(shams.values()) == 1, f"each of them once: {shams}")


def told(f, name):
    """The devices that said anything of this rollout."""
    return {e["subject"] for e in map(json.loads, f.edgectl("events", "--json").splitlines()) if e["rollout"] == name and e["kind"].startswith("device_")}


def a_release_that_does_not_start_is_stopped_by_the_sites_it_was_brought_to(f):
    publish(f, "1.9-broken")
    sites = {device.name: f"s{i // 3}" for i, device in enumerate(f.devices)}
    for device, site in sites.items():
        admin(f, 200, "POST", f"/devices/{device}/label", {"labels": {"site": site}})
    name = apply(f, "1.9-broken", [INSTALL], canary=4, batch={"start": 12}, evidence={"unit": "site", "min_fragility": 1})
    status = goes_back(f, name, "evidence_failed", canary=12)
    brought = {sites[device] for device in told(f, name)}
    # How many had called before the failing ones said so is chance; two that fail are enough, and need not be those with the first numbers.
    check(2 <= len(brought) <= 4, f"four sites are the canary: {brought}")
    evidence_of = status["evidence"]
    check(evidence_of["unit"] == "site" and evidence_of["gates"][0]["scored"] <= len(brought), f"a site counts once: {status}")
    text = f.json("rollout", "why", name)["verdicts"][-1]["why"]["text"]
    check("site" in text and "device" not in text, text)


def a_release_of_which_nothing_is_known_waits_for_a_person(f):
    publish(f, "1.6")
    name = apply(f, "1.6", [CRASHES], evidence={"max_soak_s": 5})
    status = becomes(f, name, "paused")
    check(status["why"]["code"] == "inconclusive", str(status["why"]))
    check(exposed(status) <= 8 and status["stages"][1]["state"] == "pending", f"it went no further: {status}")
    check("inconclusive" in holds(f, name), "why names the gate")
    f.edgectl("rollout", "abort", name, "--revert")
    becomes(f, name, "reverted")
    wait_for("the fleet to run 1.0 again", lambda: all_run(f, "1.0"))


def a_healthy_release_passes_to_the_end(f):
    publish(f, "1.7")
    name = apply(f, "1.7", [INSTALL, LATENCY], canary=7)
    wait_for("the canary to commit", lambda: f.rollout(name)["stages"][0]["committed"] >= 3)
    f.stop_server(signal.SIGKILL)
    f.serve()
    status = becomes(f, name, "finished")
    check([g["verdict"] for g in status["evidence"]["gates"]] == ["pass", "pass"], f"both gates passed: {status['evidence']}")
    check(not status["evidence"]["without"], "no stage went on without evidence")
    wait_for("the fleet to run 1.7", lambda: all_run(f, "1.7"))


def decide(f):
    with open(f.path("selftest"), "w", encoding="utf-8") as s:
        s.write(RUNNER)
    os.chmod(f.path("selftest"), 0o755)
    with open(f.path("probes.json"), "w", encoding="utf-8") as p:
        json.dump(PROBES, p)
    f.serve = lambda: f.start_server("--public-url", f.bundles.url)
    f.serve()
    f.world = World(f)
    metrics = {name: {"file": "metrics.prom", "metric": metric}
               for name, metric in (("latency", "latency_ms"), ("crashes", "crashes_total"))}
    f.add_fleet(DEVICES, runners={"selftest": {"argv": [f.path("selftest")]}}, metrics=metrics, poll_s=3)
    f.world.start()
    publish(f, "1.0")
    f.edgectl("rollout", "apply", "-f", f.policy("app-1.0", release="app 1.0"))
    becomes(f, "app-1.0", "finished")
    wait_for("the fleet to run 1.0", lambda: all_run(f, "1.0"))
    f.had = f.bundles.sent.copy()
    check(fetched(f, "1.0", collections.Counter()), f"1.0 itself was fetched: {f.had}")
    f.rhythm_s = rhythm(f)
    fleet.each(f, a_release_that_does_not_start_is_stopped_by_its_installs, a_release_that_crashes_is_stopped_by_its_counter,
               a_release_that_is_slower_is_stopped_by_its_metric_though_the_controller_was_killed,
               a_release_beyond_a_guard_is_stopped_at_once, a_release_that_silences_its_devices_is_stopped_by_its_losses,
               a_release_that_is_gone_back_from_is_stopped_by_reverts_that_shams_came_through,
               a_release_that_does_not_start_is_stopped_by_the_sites_it_was_brought_to,
               a_release_of_which_nothing_is_known_waits_for_a_person, a_healthy_release_passes_to_the_end)
    f.world.over = True


def test(f):
    with Counting(f.port) as f.bundles:
        decide(f)


fleet.main(test)
