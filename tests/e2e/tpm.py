#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# ctest: release needs-edge-agent-counter
"""A state directory that is put back is noticed by a counter in a TPM (agent/anchor.h): agent, worker and edge-agent-counter over a
TPM 2.0 in software, and a repository whose every key the test holds (repository.py)."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

import fleet
from fleet import check, wait_for
from lone import KINDS
from repository import Repository, World, comes_to, reports

INDEX = 25165825
COUNTER = os.path.join(os.path.dirname(os.path.abspath(fleet.AGENT)), "edge-agent-counter")


def free_pair():
    """Two neighbouring ports: the loader of the library finds the second by the first."""
    for _ in range(100):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                second.bind(("127.0.0.1", port + 1))
                return port
    raise fleet.Failed("no two neighbouring ports are free")


class Tpm(contextlib.AbstractContextManager):
    """One TPM; its memory stays when it is off."""

    def __init__(self):
        self.dir, self.port, self.process = tempfile.mkdtemp(prefix="edge-tpm-"), 0, None
        self.start()

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def start(self):
        again = self.port != 0  # the devices know the port by then
        for _ in range(20):  # another program may take a port first
            self.port = self.port or free_pair()
            self.process = subprocess.Popen(
                ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.dir}", "--server", f"type=tcp,port={self.port},bindaddr=127.0.0.1",
                 "--ctrl", f"type=tcp,port={self.port + 1},bindaddr=127.0.0.1", "--flags", "not-need-init,startup-clear"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wait_for("the TPM to answer or to end", lambda: self.process.poll() is not None or self.run("read").returncode in (0, KINDS["not_found"]))
            if self.process.poll() is None:
                return
            if again:
                time.sleep(0.5)
            else:
                self.port = 0
        raise fleet.Failed("swtpm does not start")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=fleet.PATIENCE_S)
        self.process = None

    def tcti(self):
        return f"swtpm:host=127.0.0.1,port={self.port}"

    def run(self, verb, index=INDEX):
        return subprocess.run([COUNTER, self.tcti(), str(index), verb], capture_output=True, text=True, timeout=fleet.PATIENCE_S, check=False)

    def value(self):
        done = self.run("read")
        check(done.returncode == 0, f"reading the counter: {done.stderr}")
        return int(done.stdout)


def anchor(device):
    return device.status()["anchor"]


def put_back(device, copy):
    shutil.rmtree(device.state)
    subprocess.run(["cp", "-a", copy, device.state], check=True)


def keep(device, copy):
    subprocess.run(["cp", "-a", device.state, copy], check=True)


def restart(device):
    """Until the agent itself answers; what lies on the disk can be read before."""
    device.start()
    def answers():
        done = device.agent("status", "--config", device.config, "--json", status=None)
        return done.returncode == 0 and "controller" in json.loads(done.stdout)
    wait_for(f"{device.name} to answer", answers)


def the_counter_counts():
    with Tpm() as tpm:
        check(tpm.run("read").returncode == KINDS["not_found"], "there is none yet")
        first = int(tpm.run("increment").stdout)
        check(tpm.value() == first and int(tpm.run("increment").stdout) == first + 1 == tpm.value(), "by one")
        tpm.stop()
        done = tpm.run("read")
        check(done.returncode == KINDS["io"] and "reaching the TPM" in done.stderr and done.stderr.count("\n") == 1, f"{done}")
        tpm.start()
        check(tpm.value() == first + 1, "it outlives the power")
        for argv in ([], [tpm.tcti(), "1", "read"], [tpm.tcti(), str(INDEX), "undefine"]):
            check(subprocess.run([COUNTER, *argv], capture_output=True, check=False).returncode not in (0, -6, -11), f"{argv}")


def restored_admits_nothing(world, device, used, old, good, best):
    """It says so, under no id that was used, and takes no file, no rollback and no instruction to go back."""
    said = device.status()
    check(said["anchor"] == "restored" and said["why"]["code"] == "state_restored", f"{said}")
    told = wait_for("the controller to hear of it", lambda: [r for r in reports(world, device, "waiting") if r["code"] == "state_restored"])
    check(told[0]["id"] > used, f"{told} after {used}")  # an id that was used would be taken for what is known
    check("restored" in device.agent("status", "--config", device.config).stdout, "for people")
    for argv in (("install", old.path), ("install", best.path), ("rollback",)):
        done = device.agent(argv[0], "--config", device.config, "--quiet", *argv[1:], status=None)
        check(done.returncode == KINDS["state_restored"], f"{argv}: {done}")
    with world.lock:
        world.once[device.name] = ("revert", good)
    wait_for("the instruction to be heard", lambda: world.once.get(device.name) is None)
    wait_for("it to be refused", lambda: "instruction: the state directory is an older copy" in device.log())
    check(device.version() == "1.1" and device.status()["state"] == "idle", f"{device.status()}")


def a_state_that_was_put_back_admits_nothing_old():
    repo = Repository()
    with Tpm() as tpm, World(repo) as world:
        old, good, best = (world.bundle(release, security_version=v) for release, v in (("1.0", 1), ("1.1", 5), ("1.2", 6)))
        for bundle in (old, good, best):
            repo.add(bundle)
        device = world.device("d1", tpm={"tcti": tpm.tcti(), "index": INDEX})
        restart(device)
        check(anchor(device) == "held", "the first start begins both")
        begun = tpm.value()
        for bundle in (old, good):
            world.order(device, bundle)
            comes_to(device, bundle.signed["release"])
        wait_for("a count for each commit", lambda: tpm.value() == begun + 2)
        device.kill()
        keep(device, world.path("copy"))  # runs 1.1, could go back to 1.0, no floor
        restart(device)
        check(anchor(device) == "held", "nothing happened in between")
        world.order(device, world.bundle("6.6"))  # in no targets: it reports under ids that the copy has not given out
        wait_for("the refusal", lambda: [r for r in reports(world, device, "refused") if r["code"] == "not_in_targets"])
        used = max(r["id"] for r in world.reports[device.name])
        with world.lock:
            repo.floors = {"app": 5}
            repo.publish()
        wait_for("the floor to count", lambda: tpm.value() == begun + 3)
        check(device.agent("rollback", "--config", device.config, "--quiet", status=None).returncode == KINDS["below_floor"], "the floor holds")
        device.kill()
        # The thief puts the copy back, and the repository is out of reach: it knows no floor.
        with world.lock:
            world.orders.clear()
            hint, world.hint = world.hint, False
        put_back(device, world.path("copy"))
        restart(device)
        restored_admits_nothing(world, device, used, old, good, best)
        # Nor does another start make it good.
        device.kill()
        restart(device)
        check(anchor(device) == "restored" and tpm.value() == begun + 3, "still")
        with world.lock:
            world.hint = hint
        wait_for("the repository to make it good", lambda: anchor(device) == "held")
        check(tpm.value() > begun + 3 and device.status()["why"]["code"] == "", f"{device.status()}")
        check(device.agent("rollback", "--config", device.config, "--quiet", status=None).returncode == KINDS["below_floor"], "the floor is back")
        device.agent("install", "--config", device.config, "--quiet", best.path)
        comes_to(device, "1.2")
        device.kill()
        # The same copy once more is noticed once more.
        put_back(device, world.path("copy"))
        world.hint = False
        restart(device)
        check(anchor(device) == "restored", "again")
        # A repository alone does not make it good, which may be as old as the copy: the controller has to say what there is.
        world.order(device, best)
        comes_to(device, "1.2")
        check(anchor(device) == "restored", "nobody said that this is all there is")
        world.hint = True
        wait_for("the controller to say so", lambda: anchor(device) == "held")


def a_tpm_that_is_gone_keeps_nobody_from_going_back():
    repo = Repository()
    with Tpm() as tpm, World(repo) as world:
        first, second = world.bundle("1.0"), world.bundle("1.1")
        for bundle in (first, second):
            repo.add(bundle)
        device = world.device("d1", tpm={"tcti": tpm.tcti()})
        restart(device)
        for bundle in (first, second):
            world.order(device, bundle)
            comes_to(device, bundle.signed["release"])
        device.kill()
        tpm.stop()
        with world.lock:
            world.orders.clear()
        restart(device)
        check(anchor(device) == "unknown", f"{anchor(device)}")
        done = device.agent("install", "--config", device.config, "--quiet", first.path, status=None)
        check(done.returncode == KINDS["state_restored"], f"{done}")
        device.agent("rollback", "--config", device.config, "--quiet")
        comes_to(device, "1.0")
        world.order(device, second, attempt=2)  # the network is judged by signed floors in any case
        comes_to(device, "1.1")
        device.kill()
        tpm.start()
        restart(device)
        check(anchor(device) == "held", f"{anchor(device)}: it is back")


def check_says_what_is_missing():
    repo = Repository()
    with World(repo) as world:
        lone = world.device("d1", controller="", tpm={"tcti": "device:/dev/tpmrm0"})
        done = lone.agent("check", "--config", lone.config, status=None)
        check(done.returncode == KINDS["config"] and "needs a controller" in done.stderr, f"{done}")


def main():
    fleet.installed(shutil.which("swtpm"), "swtpm")
    check(os.path.exists(COUNTER), f"{COUNTER} is not built: the build has EDGE_TPM off")
    fleet.alone(the_counter_counts, a_state_that_was_put_back_admits_nothing_old, a_tpm_that_is_gone_keeps_nobody_from_going_back,
                check_says_what_is_missing)


if __name__ == "__main__":
    main()
