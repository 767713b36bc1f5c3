#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# ctest: release
"""Configurations that are wrong, clients of the agent's socket that are hostile, commands in the wrong order, and a device whose
reports nobody takes: a clear error for whoever is to blame, and the agent works on.

SEED=N repeats a run.
"""

import json
import os
import random
import resource
import socket
import time

import fleet
from fleet import check
from lone import KINDS, Lone, edge_agent, read, write

SEED = int(os.environ.get("SEED", time.time_ns() % 1000000))


# ── Configuration ───────────────────────────────────────────────────────────────────────────────────


def test_configuration(f):
    device = Lone(f, "configured")
    device.run("check").ok()
    good = json.loads(read(device.config))
    def tried(text):
        write(device.config, text if isinstance(text, bytes) else json.dumps(text).encode())
        return device.run("check")
    def with_(**changes):
        return {k: v for k, v in {**good, **changes}.items() if v is not Ellipsis}

    # Unknown keys: check refuses and suggests, run and the rest warn and go on.
    tried(with_(pol_s=5)).refused("config", says="pol_s.*poll_s")
    run = device.run("install", "--quiet", "/dev/null")
    check("pol_s" in run.err and run.kind in ("truncated", "usage"), f"a warning, and then the bundle: {run.kind}: {run.err}")
    tried(with_(zzzzqqq=5)).refused("config", says="zzzzqqq")
    tried(with_(runners={"r": {"argv": ["/bin/true"], "usr": "x"}})).refused("config", says="runners.*usr.*user")

    # The file, the place in it, and what was expected.
    name = os.path.basename(device.config)
    wrong = {
        "poll_s": ["10", True, -1, 0, 1.5, None, [], 10**30], "state_dir": [5, "", None, {}, "a" * 1025], "controller": [1, []],
        "watchdog": [1, "yes"], "reserve_bytes": ["1G", -1], "runners": [[], "x", {"r": 1}, {"r": {}}, {"r": {"argv": "x"}},
        {"r": {"argv": []}}, {"r": {"argv": ["relative"]}}, {"bad name": {"argv": ["/bin/true"]}}],
        "on_activate": [[], {"app": {}}, {"app": {"action": "explode"}}, {"app": {"action": "exec"}},
                        {"app": {"action": "signal", "pid_file": "/x", "signal": "STOPP"}}, {"app": {"action": "restart", "unit": "--x"}}],
        "window": [[], {"start": "25:00", "end": "01:00"}, {"start": "1:00", "end": "2:00"}, {"start": "01:00"},
                   {"start": "01:00", "end": "02:00", "days": ["someday"]}],
        "endpoints": [{"e": "http://example.org/"}, {"e": 1}, {"e": "file:relative"}], "facts": [[], 1], "metrics": [{"m": {}}],
    }
    for key, values in wrong.items():
        for value in values:
            if value is None and key != "state_dir":
                continue
            run = tried(with_(**{key: value}))
            run.refused("config", says=f"{name}.*({key}|line 1, column)")
    for key in ("state_dir", "root"):
        tried(with_(**{key: ...})).refused("config", says=f"{name}.*{key}")
    many = {f"r{i}": {"argv": ["/bin/true"]} for i in range(33)}
    tried(with_(runners=many)).refused("config", says="runners")

    # Not JSON at all. The line says where.
    text = json.dumps(good).encode()
    for bad in (b"", b"{", b"[]", b"null", b"\xff\xfe{}", text.replace(b"state_dir", b"state\xffdir"), text + b"x", text[:-1],
                text[:-1] + b',"poll_s":1}', b'{"a":"\\u0000"}', b"[" * 100000, text.replace(b'"poll_s": ', b'"poll_s": NaN'),
                b"\xef\xbb\xbf" + text, b" " * (1 << 20) + text, b"\0" * 1000):
        tried(bad).refused("config", "limit", says=name)
    os.unlink(device.config)
    device.run("check").refused("not_found", says=name)
    os.mkdir(device.config)
    device.run("check").refused("io", "config", says=name)
    os.rmdir(device.config)
    os.mkfifo(device.config)
    device.run("check").refused("io", "config", says=name)
    os.unlink(device.config)
    os.symlink("/dev/zero", device.config)
    device.run("check").refused("io", "config", "limit", says=name)
    os.unlink(device.config)
    write(device.config, text)
    device.run("check").ok()


def test_urls(f):
    """A site cache that is no URL would be missed by nobody; and a password in a URL is nobody's business."""
    device = Lone(f, "urls")
    for url in ("cache.local:8080", "gopher://cache", "http://c/?x", "http://c/#x", "http://c d"):
        device.reconfigure(site_cache=url)
        device.run("check").refused("config", says="site_cache")
    device.reconfigure(proxy="http://me:first@p:3128", site_cache="https://you:second@c", controller="https://c")
    printed = device.run("check", "--print").ok().out
    check("first" not in printed and "second" not in printed and printed.count("(set)") == 2, f"no password is printed: {printed}")


# ── The socket ──────────────────────────────────────────────────────────────────────────────────────


def connect(device):
    path = os.path.join(device.state, "agent.sock")
    def attempt():
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(fleet.PATIENCE_S)
        try:
            s.connect(path)
            return s
        except BlockingIOError:  # the backlog is full for a moment
            s.close()
            return None
    return fleet.wait_for("the agent to take a connection", attempt)


def ask(device, line):
    """What comes back for these bytes; b"" when the agent hangs up."""
    with connect(device) as s:
        try:
            s.sendall(line)
            answer = b""
            while not answer.endswith(b"\n"):
                part = s.recv(65536)
                if not part:
                    break
                answer += part
            return answer
        except (BrokenPipeError, ConnectionResetError):
            return b""


def memory_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def test_socket(f, first, rng):
    device = Lone(f, "pestered")
    device.install(first).ok()
    device.serve()
    before = memory_kib(device.device.process.pid)
    for line in (b"\n", b"{}\n", b"[]\n", b"null\n", b"{\n", b"\0\n", b"\xff\xff\n", b'{"cmd":1}\n', b'{"cmd":""}\n', b'{"cmd":"x"}\n',
                 b'{"cmd":"install"}\n', b'{"cmd":"inhibit"}\n', b'{"cmd":"inhibit","seconds":-1}\n',
                 b'{"cmd":"inhibit","seconds":99999999999}\n', b'{"cmd":"inhibit","seconds":1,"reason":5}\n',
                 b'{"cmd":"status","cmd":"status"}\n', b'{"cmd":"' + b"x" * 1000 + b'"}\n', b"[" * 100000 + b"\n", b"GET / HTTP/1.1\r\n\r\n",
                 b'{"cmd":"enroll"}\n', b'{"cmd":"checkin"}\n', b'{"cmd":"commit"}\n', b'{"cmd":"cancel"}\n',
                 bytes(rng.randrange(1, 256) for _ in range(5000)).replace(b"\n", b"") + b"\n"):
        answer = ask(device, line)
        try:
            error = json.loads(answer)["error"]
        except (ValueError, KeyError, TypeError):
            raise fleet.Failed(f"{line[:60]!r}: expected an error, got {answer[:200]!r}") from None
        check(error["code"] in KINDS and error["code"] != "internal" and error["text"], f"{line[:60]!r}: {error}")
    check(ask(device, b"x" * (600 * 1024) + b"\n") == b"", "a line above the ceiling: the connection is closed")

    # Commands without end, half a command, and nothing at all: others are served.
    check(b'"state"' in ask(device, b'{"cmd":"status"}\n{"cmd":"status"}\n' * 500), "the first command is answered")
    idle = [connect(device) for _ in range(5)]
    idle[0].sendall(b'{"cmd":"sta')
    idle[1].shutdown(socket.SHUT_WR)
    idle[2].sendall(b'{"cmd":"status"}\n')  # and never reads
    device.status()
    for _ in range(200):
        connect(device).close()
    device.status()
    # More than there are places: who comes late is turned away, and it is over when the time of the idle is.
    crowd = []
    for _ in range(40):
        crowd.append(connect(device))
    fleet.wait_for("a place to become free while 40 clients do nothing", lambda: device.run("status", "--json").code == 0)
    for s in idle + crowd:
        s.close()
    # Descriptors that nobody asked for are closed.
    held = len(os.listdir(f"/proc/{device.device.process.pid}/fd"))
    with open("/dev/null", "rb") as null:
        for _ in range(50):
            with connect(device) as s:
                socket.send_fds(s, [b'{"cmd":"status"'], [null.fileno()] * 3)
                socket.send_fds(s, [b"}\n"], [null.fileno()] * 3)
                s.recv(65536)
        with connect(device) as s:
            socket.send_fds(s, [b'{"cmd":"install"}\n'], [null.fileno()])
            check(b'"usage"' in s.recv(65536), "a device is no bundle")
    fleet.wait_for("descriptors to be closed", lambda: len(os.listdir(f"/proc/{device.device.process.pid}/fd")) <= held)
    after = memory_kib(device.device.process.pid)
    check(after - before < 16384, f"memory must not grow: {before} KiB before, {after} after")
    check(device.status()["state"] == "idle", "the agent works as before")
    check(device.stop() == 0, "the agent ends as before")


# ── The order of things ─────────────────────────────────────────────────────────────────────────────


def test_order(f, first, second):
    device = Lone(f, "orderly")
    device.run("status").refused("not_found")
    device.run("rollback", "--quiet").refused("no_previous")
    device.run("commit", "--quiet").refused("wrong_state")
    device.run("enroll").refused("not_found", says="edge-agent run")
    device.run("inhibit", "10").refused("not_found")
    for argv in (("inhibit", "forever"), ("inhibit", "-1"), ("inhibit",), ("install",), ("install", first, second), ("run", "x"),
                 ("status", "--yaml"), ("commit", "--config"), ("rollback", "--again")):
        device.run(*argv).refused("usage", "syntax")
    edge_agent(f.env, "dance").refused("usage")
    edge_agent(f.env, "verify", first).refused("usage", says="--root")
    device.install(first).ok()
    with device.unchanged("commit while idle"):
        device.run("commit", "--quiet").refused("wrong_state")

    # While an agent runs: a second one is refused, commands go through it.
    device.serve()
    device.run("run").refused("busy")
    device.run("enroll").refused("config", says="controller")
    device.reconfigure(probation_s=3600)  # until somebody ends it
    device.stop()
    device.serve()
    device.run("install", "--quiet", "--no-wait", second).ok()
    device.wait_state("probation")
    device.install(first).refused("wrong_state", "busy", says="probation")
    device.run("inhibit", "5").ok()
    device.run("inhibit", "0").ok()
    device.run("commit", "--quiet").ok()
    check(device.wait_state("idle")["components"]["app"]["version"] == "1.1", "committed by hand")
    device.stop()
    device.reconfigure(probation_s=1)
    device.serve()
    device.install(second).ok()
    device.run("rollback", "--quiet").ok()
    device.stop()

    # Two at once without an agent: one of them does it.
    device.reconfigure(probation_s=2)
    one = device.begin("install", "--quiet", "--again", second)
    fleet.wait_for("the first install to begin", lambda: os.path.exists(os.path.join(device.state, "agent.sock")))
    device.install(first).refused("busy", "wrong_state")
    device.run("run").refused("busy")
    check(one.wait(timeout=fleet.PATIENCE_S) == 0, "the first install goes on")
    check(device.check_clean()["components"]["app"]["version"] == "1.1", "and is what the device runs")
    # A socket that a power cut left behind is in nobody's way.
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(os.path.join(device.state, "agent.sock"))
    stale.close()
    device.status()
    device.serve()
    device.stop(9)
    device.serve()
    device.stop()



def test_told_in_the_foreground(f, first, second):
    """The agent that is asked may be an `install`, over as soon as it was told: that is no failure of who told it."""
    device = Lone(f, "foreground")
    device.install(first).ok()
    device.reconfigure(probation_s=3600)  # until somebody ends it
    for command, code, version in (("commit", 0, "1.1"), ("rollback", 1, "1.0")) * 3:
        foreground = device.begin("install", "--quiet", "--again", second)
        device.wait_state("probation")
        device.run(command, "--quiet").ok()
        check((foreground.wait(fleet.PATIENCE_S) == 0) == (code == 0), f"{command}: {foreground.returncode}")
        check(device.version() == version, f"after {command}: {device.status()}")
        if version == "1.1":
            device.run("rollback", "--quiet").ok()


def test_queue(f, first, second):
    """A device whose reports nobody ever takes can still be served with a stick."""
    device = Lone(f, "offline")
    for _ in range(130):
        device.install("/dev/null").refused("truncated", "usage")
    device.install(first).ok()
    device.install(second).ok()
    check(device.version() == "1.1", "installed after more refusals than the queue holds")


def test(f):
    print(f"SEED={SEED}", flush=True)
    rng = random.Random(SEED)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    first, second = (f.bundle("small", v, {"app": f.component(f"small-{v}", {"version": v, "etc/conf": "a" * 3000})}) for v in ("1.0", "1.1"))
    steps = [("configuration", lambda: test_configuration(f)), ("urls", lambda: test_urls(f)), ("socket", lambda: test_socket(f, first, rng)),
             ("order", lambda: test_order(f, first, second)),
             ("foreground", lambda: test_told_in_the_foreground(f, first, second)), ("queue", lambda: test_queue(f, first, second))]
    fleet.steps(steps)


fleet.main(test)
