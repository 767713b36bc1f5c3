#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# ctest: release
"""The worker as the agent really starts it, looked at from outside while it waits for an answer.

A controller that never answers holds it at its check-in: then its user, privileges, filter, limits, descriptors, environment and
memory are read from /proc, and that the agent itself has no socket of a network and no library that could use one.
"""

import os
import re
import socket
import struct
import sys

import fleet
from fleet import check, wait_for

WORKER_DIRTY_MAX_KIB = 4096
TOKEN = "enroll-secret-of-this-test"
INTERNET = ("tcp", "tcp6", "udp", "udp6", "raw", "raw6", "udplite", "udplite6")
LISTENS = "0A"


def proc(pid, name):
    with open(f"/proc/{pid}/{name}", "rb") as f:
        return f.read().decode(errors="replace")


def status_of(pid):
    return dict(line.split(":\t", 1) for line in proc(pid, "status").splitlines() if ":\t" in line)


def children(pid):
    return [int(child) for task in os.listdir(f"/proc/{pid}/task") for child in proc(pid, f"task/{task}/children").split()]


def descriptors(pid):
    """{number: what it is}."""
    found = {}
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(number)] = os.readlink(f"/proc/{pid}/fd/{number}")
        except FileNotFoundError:
            pass  # closed since
    return found


def internet_sockets(pid):
    """States of the sockets of internet families that a process holds."""
    mine = {what[8:-1] for what in descriptors(pid).values() if what.startswith("socket:[")}
    states = []
    for table in INTERNET:
        if os.path.exists(f"/proc/{pid}/net/{table}"):
            for line in proc(pid, f"net/{table}").splitlines()[1:]:
                fields = line.split()
                if fields[9] in mine:
                    states.append(fields[3])
    return states


class Silence:
    """Something that accepts one connection and says nothing."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(fleet.PATIENCE_S)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.line = None

    def hear(self):
        self.line, _ = self.listener.accept()
        self.line.settimeout(fleet.PATIENCE_S)
        heard = b""
        while b"\r\n\r\n" not in heard:
            piece = self.line.recv(65536)
            check(piece, "the worker hung up")
            heard += piece
        return heard.decode(errors="replace")

    def reset(self):
        self.line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.line.close()
        self.listener.close()


def check_privileges(worker, agent):
    status = status_of(worker)
    check(status["NoNewPrivs"] == "1", "the worker could gain privileges by running a program")
    check(status["Seccomp"] == "2", f"the worker has no system call filter: {status['Seccomp']}")
    check(int(status["CapEff"], 16) == 0 if os.geteuid() == 0 else True, f"capabilities of the worker: {status['CapEff']}")
    users = set(status["Uid"].split())
    if os.geteuid() == 0:
        check("0" not in users and "0" not in status["Gid"].split(), f"the worker runs as {status['Uid']}, {status['Gid']}")
        check(status["Groups"].split() == [], f"the worker has groups: {status['Groups']}")
    else:
        check(users == {str(os.geteuid())}, f"the worker runs as {status['Uid']}")
    check(re.search(r"^Max core file size +0 +0 ", proc(worker, "limits"), re.M), "the worker may leave a core dump")
    check(status_of(agent)["Seccomp"] == "0", "the filter is the worker's, not the agent's")


def check_belongings(worker, device):
    held = descriptors(worker)
    private = os.path.join(device.state, "private")
    check(not [what for what in held.values() if what.startswith(private)], f"the worker holds private files: {held}")
    check(held[0] == "/dev/null", f"the worker's input is {held[0]}")
    check("memfd:" in held[4] and "memfd:" in held[5], f"not the descriptors of agent/job.h: {held}")
    for name in ("environ", "cmdline"):
        text = proc(worker, name)
        check(TOKEN not in text and "EDGECTL_PASSPHRASE" not in text, f"a secret in /proc/{worker}/{name}")


def check_network(worker, agent):
    check(internet_sockets(agent) == [], "the agent has a socket of the internet")
    states = internet_sockets(worker)
    check(len(states) == 1 and states[0] != LISTENS, f"sockets of the worker: {states}")
    libraries = proc(agent, "maps")
    for name in ("libcurl", "libssl", "libcrypto", "libzstd", "libarchive", "libsqlite"):
        check(name not in libraries, f"the agent has {name} loaded")


def check_memory(worker):
    if "libasan" in proc(worker, "maps") or "libtsan" in proc(worker, "maps"):
        return "not measured under a sanitizer"
    dirty = int(re.search(r"^Private_Dirty: +(\d+) kB", proc(worker, "smaps_rollup"), re.M).group(1))
    check(dirty <= WORKER_DIRTY_MAX_KIB, f"the worker of a check-in has {dirty} KiB of its own")
    return f"{dirty} KiB"


def main():
    with fleet.Fleet() as f:
        silence = Silence()
        device = fleet.Device(f, "caged", {"controller": silence.url, "enroll_token": TOKEN, "poll_s": 3600,
                                           "backoff_base_s": 600, "backoff_max_s": 600})
        f.devices.append(device)
        device.start()
        heard = silence.hear()
        check(heard.startswith("POST /api/device/v1/challenge "), heard)
        agent = device.process.pid
        workers = [pid for pid in children(agent) if "edge-agent-worker" in proc(pid, "cmdline")]
        check(len(workers) == 1, f"workers: {workers}")
        check_privileges(workers[0], agent)
        check_belongings(workers[0], device)
        check_network(workers[0], agent)
        memory = check_memory(workers[0])
        silence.reset()
        wait_for("the worker to be gone", lambda: not os.path.exists(f"/proc/{workers[0]}"))
        check(device.process.poll() is None, "the agent ended with its worker")
        wait_for("the agent to say what happened", lambda: "asking for a challenge" in device.log())
    print(f"a waiting worker: {memory}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except fleet.Failed as failure:
        print(failure, file=sys.stderr)
        sys.exit(1)
