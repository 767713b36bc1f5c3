#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of agents and of the controller at random moments during a rollout: nothing that was acknowledged is lost, model and
application never mix, and the rollout ends as it should.

SEED=N repeats a run; KILLS=N sets how many.
"""

import json
import os
import random
import time

import fleet
from fleet import check, wait_for

SEED = int(os.environ.get("SEED", time.time_ns() % 1000000))
KILLS = int(os.environ.get("KILLS", "60"))
DEVICES = 4


def check_pairs(f):
    """I1, I7: what `current` names is whole and of one version, at every moment."""
    for d in f.devices:
        current = os.path.join(d.state, "current")
        try:
            generation = os.readlink(current)
        except FileNotFoundError:
            continue
        base = os.path.join(d.state, generation)
        check(os.path.isdir(base), f"I1: {d.name}: current names {generation}, which is not there")
        versions = set()
        for component in ("app", "model"):
            path = os.path.join(base, component, "version")
            if os.path.exists(path):
                with open(path, encoding="ascii") as v:
                    versions.add(v.read())
        check(len(versions) <= 1, f"I7: {d.name} runs {versions} at once")


def disturb(f, rng):
    victim = rng.randrange(DEVICES + 1)
    if victim == DEVICES:
        f.stop_server(9)
        time.sleep(rng.random() * 0.3)
        f.start_server()
    else:
        f.devices[victim].kill()
        check_pairs(f)
        f.devices[victim].start()
    time.sleep(rng.random() * 0.5)
    check_pairs(f)


def check_end(f, version):
    wait_for(f"all devices to commit {version}",
             lambda: all(d.version() == version and d.status()["state"] == "idle" for d in f.devices))
    for d in f.devices:
        for component in ("app", "model"):
            check(d.read(component, "version") == version, f"{d.name}: {component} is not {version}")
        left = [n for n in os.listdir(os.path.join(d.state, "generations")) if n.endswith(".partial")]
        check(not left, f"I8: {d.name} left {left}")


def test(f):
    print(f"SEED={SEED} KILLS={KILLS}", flush=True)
    rng = random.Random(SEED)
    f.start_server()
    f.add_fleet(DEVICES)
    versions = ["1.0", "1.1", "1.2"]
    for version in versions:
        f.publish(f.pair(version))
    for version in versions:
        path = f.policy(f"pair-{version}", release=f"pair {version}", timeout_s=300, on_failure="pause",
                        stages=[{"name": "one", "count": 1}, {"name": "all", "percent": 100}],
                        gate={"success_pct": 100, "failure_pct": 0, "min_sample": 1})
        f.edgectl("rollout", "apply", "-f", path)
        for _ in range(KILLS // len(versions)):
            disturb(f, rng)
        def state():
            return f.rollout(f"pair-{version}")["state"]
        # A device that was killed more often than its bundle allows goes back, and the rollout is right to stop: then it is
        # taken up again, as an operator would.
        def finished():
            now = state()
            if now in ("paused", "failed"):
                f.run("rollout", "resume", f"pair-{version}", status=None)
            return now == "finished"
        try:
            wait_for(f"the rollout of {version} to finish", finished)
        except fleet.Failed as e:
            raise fleet.Failed(f"{e}: {json.dumps(f.rollout(f'pair-{version}'))}") from None
        check_end(f, version)
        total = f.rollout(f"pair-{version}")["stages"]
        check(sum(s["committed"] for s in total) == DEVICES, f"each device counts once: {total}")
    verified = f.run("audit", "--verify", status=None)
    check(verified.returncode == 0, f"the audit chain must hold: {verified.stderr}")


fleet.main(test)
