#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`edgectl simulate` as a user has it: the example, its JSON, its picture, and what it says of files that are wrong."""

import json
import os
import subprocess
import sys
import tempfile
import xml.dom.minidom

SOURCE = os.environ.get("EDGE_SOURCE", os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
EDGECTL = os.environ["EDGECTL"]
EXAMPLE = os.path.join(SOURCE, "examples", "simulate")
RUNS = 12


def simulate(fleet, policy, *more):
    return subprocess.run([EDGECTL, "simulate", "--fleet", fleet, "--policy", policy, *more],
                          capture_output=True, text=True, timeout=1200, check=False)


def told(fleet, *more):
    done = simulate(fleet, os.path.join(EXAMPLE, "policy.yaml"), "--runs", str(RUNS), "--json", *more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def a_bad_release_is_stopped_and_a_healthy_one_is_not(folder):
    fleet = os.path.join(EXAMPLE, "fleet.yaml")
    with open(fleet, encoding="utf-8") as f:
        healthy = write(folder, "healthy.yaml", f.read().split("release:")[0])
    bad, good = told(fleet), told(healthy)
    assert bad["runs"] == RUNS and good["runs"] == RUNS
    assert bad["stopped"] >= RUNS * 3 // 4, bad
    assert bad["exposed"]["median"] < 200, bad["exposed"]
    assert bad["false_stops"] is None and good["false_stops"] == good["stopped"], (bad, good)
    assert good["stopped"] <= RUNS // 4 and good["finished"] >= RUNS * 3 // 4, good
    for sums in (bad, good):
        assert sums["broken"] == 0 and sums["unended"] == 0, sums
        assert sums["finished"] + sums["paused"] + sums["reverted"] + sums["inconclusive"] == RUNS, sums
        for key in ("exposed", "activated", "time_to_verdict_s"):
            assert sums[key]["median"] <= sums[key]["p95"] <= sums[key]["max"], (key, sums[key])


def the_same_seed_is_the_same_run(_):
    fleet = os.path.join(EXAMPLE, "fleet.yaml")
    policy = os.path.join(EXAMPLE, "policy.yaml")
    one, again, other = (json.loads(simulate(fleet, policy, "--runs", "1", "--seed", seed, "--json").stdout)
                         for seed in ("7", "7", "8"))
    assert one == again
    assert one["digest"] != other["digest"]


def the_first_run_is_drawn(folder):
    svg = os.path.join(folder, "run.svg")
    fleet, policy = os.path.join(EXAMPLE, "fleet.yaml"), os.path.join(EXAMPLE, "policy.yaml")
    done = simulate(fleet, policy, "--runs", "1", "--svg", svg)
    assert done.returncode == 0, done.stderr
    assert "canary" in done.stdout and "exposed devices:" in done.stdout, done.stdout
    document = xml.dom.minidom.parse(svg)
    lines = document.getElementsByTagName("polyline")
    assert len(lines) == 4, len(lines)  # offered, committed, failed; evidence
    assert all(len(line.getAttribute("points").split()) > 10 for line in lines)
    assert any(text.firstChild.data == "stops here" for text in document.getElementsByTagName("text") if text.firstChild)


def files_that_are_wrong_are_named(folder):
    policy = os.path.join(EXAMPLE, "policy.yaml")
    cases = (("name: x\n", "devices"), ("name: x\ndevices: 0\n", "devices"), ("name: x\ndevices: 5\nsits: 2\n", "sites"),
             ("name: x\ndevices: 5\nrelease: [{kind: metric_shift, metric: nothing, by: 1}]\n", "release[0].metric"),
             ("name: x\ndevices: 5\nkinds: [{name: a, off: \"25:00-06:00\"}]\n", "kinds[0].off"))
    for text, place in cases:
        done = simulate(write(folder, "wrong.yaml", text), policy, "--runs", "1")
        assert done.returncode == 3 and place in done.stderr, (text, done.returncode, done.stderr)
    done = simulate(os.path.join(EXAMPLE, "fleet.yaml"), write(folder, "policy.yaml", "name: x\n"), "--runs", "1")
    assert done.returncode == 3 and "release" in done.stderr, done.stderr
    done = subprocess.run([EDGECTL, "simulate"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and "--fleet" in done.stderr, done.stderr


def main():
    for test in (a_bad_release_is_stopped_and_a_healthy_one_is_not, the_same_seed_is_the_same_run, the_first_run_is_drawn,
                 files_that_are_wrong_are_named):
        with tempfile.TemporaryDirectory() as folder:
            test(folder)
            print(f"ok {test.__name__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
