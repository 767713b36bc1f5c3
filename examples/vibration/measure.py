#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what the example costs on this machine: the figures of the README come from here.

    measure.py [PROCESSES [SECONDS]]     default: 20 processes for 30 seconds

Start-up and memory are of one golden runner each for the ordinary and the slow model; CPU is of all
the serving processes together, at the default rate, after they have started.
"""

import os
import re
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
START_DEADLINE_S = 60


def private_dirty_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return int(re.search(r"^Private_Dirty: +(\d+) kB$", f.read(), re.MULTILINE)[1])


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def measure_runner(component, scratch):
    """Start to first answer, median latency of the golden inputs, memory after them."""
    golden = os.path.join(component, "golden")
    inputs = sorted(os.path.join(golden, n) for n in os.listdir(golden) if n.endswith(".input.bin"))
    began = time.monotonic()
    runner = subprocess.Popen(
        [os.path.join(HERE, "golden.py"), component],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "EDGE_SCRATCH": scratch},
        text=True,
    )
    latencies_us = []
    for path in inputs:
        print(path, file=runner.stdin, flush=True)
        latencies_us.append(int(runner.stdout.readline().split("\t")[1]))
        if len(latencies_us) == 1:
            first_ms = (time.monotonic() - began) * 1000
    dirty_kib = private_dirty_kib(runner.pid)
    runner.stdin.close()
    runner.stdout.close()
    if runner.wait() != 0:
        sys.exit(f"measure.py: the golden runner failed on {component}")
    median_us = sorted(latencies_us)[len(latencies_us) // 2]
    name = os.path.basename(component)
    print(
        f"golden.py, {name}: first answer after {first_ms:.0f} ms, median inference {median_us} µs"
    )
    print(f"golden.py, {name}: Private_Dirty {dirty_kib} KiB")


def measure_services(component, scratch, count, seconds):
    services = []
    try:
        for i in range(count):
            command = [os.path.join(HERE, "serve.py"), "--model-dir", component, "--seed", str(i)]
            files = ["--port=0", f"--metrics-file={scratch}/metrics{i}"]
            services.append(subprocess.Popen(command + files, stderr=subprocess.DEVNULL))
        deadline = time.monotonic() + START_DEADLINE_S
        while not all(os.path.exists(f"{scratch}/metrics{i}") for i in range(count)):
            if time.monotonic() > deadline or any(s.poll() is not None for s in services):
                sys.exit("measure.py: a service did not start")
            time.sleep(0.1)
        before = sum(cpu_s(s.pid) for s in services)
        time.sleep(seconds)
        used = sum(cpu_s(s.pid) for s in services) - before
        dirty = [private_dirty_kib(s.pid) for s in services]
        p95_ms = []
        for i in range(count):
            with open(f"{scratch}/metrics{i}", encoding="utf-8") as f:
                p95_ms.append(float(re.search(r"^\S+_latency_p95_ms (\S+)$", f.read(), re.M)[1]))
    finally:
        for service in services:
            service.terminate()
        for service in services:
            service.wait()
    print(f"serve.py, {count} processes: Private_Dirty {min(dirty)} to {max(dirty)} KiB each")
    print(f"serve.py, {count} processes: {used / seconds * 100:.1f} % of one core together")
    print(f"serve.py, {count} processes: p95 latency {min(p95_ms):.2f} to {max(p95_ms):.2f} ms")


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 30
    with tempfile.TemporaryDirectory() as tmp:
        components = [os.path.join(tmp, variant) for variant in ("v1", "slow")]
        for component in components:
            command = [os.path.join(HERE, "train.py"), "--out", component]
            subprocess.run(command + ["--variant", os.path.basename(component)], check=True)
        scratch = os.path.join(tmp, "scratch")
        os.mkdir(scratch)
        for component in components:
            measure_runner(component, scratch)
        measure_services(components[0], scratch, count, seconds)


if __name__ == "__main__":
    main()
