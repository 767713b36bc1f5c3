#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# ctest: release
"""What a device does with updates, as its owner sees it: from a stick and from a controller, as root and as nobody in particular;
with an image's generation, hooks, probes of every kind before and after the swap, probation over restarts, inhibit and window.
"""

import http.server
import json
import os
import resource
import signal
import threading
import time

import fleet
from fleet import check
from lone import Lone

# Answers each input with its reverse; what the golden cases expect. SLOW and WRONG are files that spoil it.
RUNNER = r"""
while read -r input; do
    output="$EDGE_SCRATCH/out.$$.$(basename "$input")"
    rev "$input" > "$output"
    [ ! -e "$1/wrong" ] || echo more >> "$output"
    us=100; [ ! -e "$1/slow" ] || us=900000
    printf '%s\t%s\n' "$output" "$us"
done
"""


class Owned(Lone):
    """A device whose programs run as somebody; its probes' inputs are in `stage`, which anybody may read."""

    def __init__(self, f, name, unprivileged, **config):
        prefix = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups") if unprivileged and os.geteuid() == 0 else ()
        self.stage = f.path("stage", name)
        os.makedirs(self.stage)
        runners = {"shell": {"argv": ["/bin/sh", "-c"]}, "model": {"argv": ["/bin/sh", "-c", RUNNER, "runner", self.stage]},
                   "test": {"argv": ["/usr/bin/test"]}, "sleep": {"argv": ["/bin/sleep"]}}
        hook = {"app": {"action": "exec", "timeout_s": 120, "argv": ["/bin/sh", "-c",
                        f'cat "$EDGE_CURRENT/app/version" >> {self.stage}/told; echo >> {self.stage}/told; '
                        f'! cmp -s "$EDGE_CURRENT/app/version" {self.stage}/refuse']}}
        super().__init__(f, name, prefix=prefix, runners=runners, on_activate=hook, **config)
        if prefix:
            for path in (self.device.dir, self.state, self.config, os.path.join(self.device.dir, "root.json"), self.stage):
                os.chown(path, 65534, 65534)

    def spoil(self, name, text=""):
        path = os.path.join(self.stage, name)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        os.chmod(path, 0o644)

    def mend(self, name):
        os.unlink(os.path.join(self.stage, name))

    def told(self):
        """The versions that on_activate saw since the last call."""
        path = os.path.join(self.stage, "told")
        if not os.path.exists(path):
            return []
        with open(path, encoding="ascii") as f:
            lines = f.read().split()
        os.unlink(path)
        return lines

    def is_refused(self, stick, kind, says="", *argv):
        """Before the swap: nothing changed, nobody was told."""
        self.told()
        with self.unchanged(stick):
            run = self.install(stick, "--again", *argv).refused(kind, says=says)
        check(self.told() == [], "a refused update tells nobody")
        check(self.check_clean()["why"]["code"] == kind, f"I10: {self.status()['why']}")
        return run

    def is_reverted(self, stick, kind, says=""):
        """After the swap: it ran, and went back by itself."""
        self.told()
        before = self.check_pair()
        run = self.install(stick, "--again").refused(kind, says=says)
        seen = self.told()
        check(len(seen) == 2 and seen[1] == before, f"told of the swap and of the way back to {before}: {seen}")
        check(self.check_pair() == before, "I3: gone back")
        check(self.check_clean()["why"]["code"] == kind, f"I10: {self.status()['why']}")
        return run


def probes(f, name, *entries):
    path = f.path(f"probes-{name}.json")
    with open(path, "w", encoding="utf-8") as out:
        json.dump([{"component": "app", "name": f"p{i}", "timeout_s": 120, **({"interval_s": 1, "failures": 1}
                   if e["phase"] != "before" else {}), **e} for i, e in enumerate(entries)], out)
    return path


def stick(f, version, *entries, files=None, options=()):
    app = f.component(f"stick-{version}", {"version": version, "in/1": "abc", "out/1": "cba", "in/2": "12", "out/2": "21",
                                           "marker": "x", **(files or {})})
    more = ["--probes", probes(f, version, *entries)] if entries else []
    return f.bundle("stick", version, {"app": app}, *more, *options)


def test_life(f, device, sticks):
    """install, install, roll back, install again."""
    device.install(sticks["1.0"]).ok()
    check(device.told() == ["1.0"] and device.check_pair() == "1.0", "installed and told")
    status = device.check_clean()
    check(set(status) >= {"device", "state", "generation", "components", "why"} and status["components"]["app"]["version"] == "1.0"
          and len(status["components"]["app"]["digest"]) == 64 and status["why"] == {"code": "", "text": ""}, f"status: {status}")
    device.install(sticks["1.1"]).ok()
    first = device.check_clean()
    check(first["previous"] == status["generation"] and device.told() == ["1.1"], f"I2: {first}")
    for base, _, names in os.walk(os.path.join(device.state, device.current(), "app")):
        check(os.stat(base).st_mode & 0o777 == 0o755, f"{base} can be read by applications")
        for name in names:
            check(os.stat(os.path.join(base, name)).st_mode & 0o777 == 0o444, f"{name} is 0444")
    same = [os.stat(os.path.join(device.state, "generations", str(g), "app/marker")).st_ino for g in (first["previous"], first["generation"])]
    check(len(set(same)) <= 2, "an unchanged file may be shared")
    device.run("rollback", "--quiet").ok()
    check(device.check_pair() == "1.0" and device.told() == ["1.0"], "gone back and told")
    device.run("rollback", "--quiet").refused("no_previous")
    device.install(sticks["1.1"]).refused("failed_before", says="--again")
    device.install(sticks["1.1"], "--again").ok()
    check(device.check_clean()["components"]["app"]["version"] == "1.1", "installed again")
    with_text = device.run("status").ok().out
    check("1.1" in with_text and "idle" in with_text, f"status for people: {with_text}")
    # Reinstalling what runs is an update like any other; and what was committed since is no failure any more.
    device.install(sticks["1.1"]).ok()
    device.check_clean()


def test_hooks(f, device, sticks):
    device.install(sticks["1.0"], "--again").ok()
    device.spoil("refuse", "1.1")
    device.is_reverted(sticks["1.1"], "activate_failed", says="on_activate.*app")
    device.mend("refuse")
    device.install(sticks["1.1"], "--again").ok()
    # A program that is not there, one that hangs.
    with open(device.config, encoding="utf-8") as out:
        good = json.load(out)["on_activate"]
    device.reconfigure(on_activate={"app": {"action": "exec", "argv": ["/nonexistent"]}})
    def goes_back(says):
        run = device.install(sticks["1.0"], "--again")  # the way back meets the same, and says so in a line of its own
        check(run.kind == "activate_failed" and says in run.err.splitlines()[-1], f"{run}: {run.kind}: {run.err}")
        check(device.check_pair() == "1.1", "gone back")
    goes_back("on_activate")
    device.reconfigure(on_activate={"app": {"action": "exec", "argv": ["/bin/sleep", "100000"], "timeout_s": 1}})
    goes_back("on_activate")
    device.reconfigure(on_activate={"app": {"action": "signal", "pid_file": "/nonexistent.pid"}})
    goes_back("nonexistent.pid")
    device.reconfigure(on_activate={"other": {"action": "exec", "argv": ["/bin/false"]}})
    device.install(sticks["1.0"], "--again").ok()
    device.reconfigure(on_activate=good)
    device.check_clean()


def test_exec(f, device, tag):
    device.install(device.base, "--again").ok()
    before = stick(f, f"exec.before.{tag}", {"kind": "exec", "phase": "before", "runner": "test", "args": ["-e", "{component}/nothing"]})
    device.is_refused(before, "probe_failed", says="before the swap.*p0")
    after = stick(f, f"exec.after.{tag}", {"kind": "exec", "phase": "after", "runner": "test", "args": ["!", "-e", f"{device.stage}/bad"]})
    device.install(after, "--again").ok()
    device.install(device.base, "--again").ok()
    device.spoil("bad")
    device.is_reverted(after, "probe_failed", says="in probation.*p0")
    device.mend("bad")
    hangs = stick(f, f"exec.hangs.{tag}", {"kind": "exec", "phase": "before", "runner": "sleep", "args": ["100000"], "timeout_s": 1})
    device.is_refused(hangs, "probe_failed", says="p0")  # and not after a day
    # What a probe runs is not root and cannot write into the generation; an unprivileged agent shares its user with it.
    script = 'test "$(id -u)" != 0 && test -w "$EDGE_SCRATCH" && test "$EDGE_COMPONENT" = "$0"'
    if os.geteuid() == 0 and not device.prefix:
        script += ' && ! touch "$0/new" 2>/dev/null'
    alone = stick(f, f"exec.alone.{tag}", {"kind": "exec", "phase": "both", "runner": "shell", "args": [script, "{component}"]})
    device.install(alone, "--again").ok()
    # The last words of a failed probe are kept for the report.
    words = stick(f, f"exec.words.{tag}", {"kind": "exec", "phase": "before", "runner": "shell", "args": ["echo last-words >&2; exit 3"]})
    device.is_refused(words, "probe_failed")
    queue = os.path.join(device.state, "private", "queue")
    with open(queue, encoding="utf-8") as q:
        check("last-words" in q.read(), "I10: the probe's last output is in the report")


def test_metric(f, device, tag):
    device.install(device.base, "--again").ok()
    source = f"file:{device.stage}/metrics.prom"
    for phase in ("before", "after"):
        one = stick(f, f"metric.{phase}.{tag}", {"kind": "metric", "phase": phase, "source": source, "metric": 'latency{q="0.95"}', "max": "20"})
        fails = device.is_refused if phase == "before" else device.is_reverted
        fails(one, "probe_failed")  # no file
        for bad in ('latency{q="0.95"} 20.001\n', 'latency{q="0.5"} 1\n', 'latency{q="0.95"} NaN\n', 'latency{q="0.95"} fast\n', "\0\xff"):
            device.spoil("metrics.prom", bad.encode("latin-1").decode("ascii", "replace").replace("\ufffd", "?"))
            if phase == "before" or bad.startswith('latency{q="0.95"} 20'):
                fails(one, "probe_failed")
        device.spoil("metrics.prom", '# HELP latency x\nlatency{q="0.5"} 99\nlatency{a="b",q="0.95"} 2.0e1 1700000000\n')
        device.install(one, "--again").ok()
        device.mend("metrics.prom")
        device.install(device.base, "--again").ok()


def test_golden(f, device, tag):
    device.install(device.base, "--again").ok()
    cases = [{"input": "in/1", "expected": "out/1"}, {"input": "in/2", "expected": "out/2"}]
    for phase in ("before", "after"):
        one = stick(f, f"golden.{phase}.{tag}", {"kind": "golden", "phase": phase, "runner": "model", "cases": cases, "element": "text",
                                                 "latency_p95_us": 1000, "memory_bytes": 100 << 20})
        fails = device.is_refused if phase == "before" else device.is_reverted
        device.install(one, "--again").ok()
        device.install(device.base, "--again").ok()
        for flaw, says in (("wrong", "in/1"), ("slow", "latency")):
            device.spoil(flaw)
            fails(one, "probe_failed", says=says)
            device.mend(flaw)
    wrong = stick(f, f"golden.wrong.{tag}", {"kind": "golden", "phase": "before", "runner": "model", "cases": cases, "element": "text"},
                  files={"out/2": "22"})
    device.is_refused(wrong, "probe_failed", says="in/2")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        mode = self.server.mode
        if mode == "hang":
            self.server.over.wait(fleet.PATIENCE_S)
        status = {"broken": 500, "redirect": 302}.get(mode, 200)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        body = b"load 5\n" if mode != "loaded" else b"load 50\n"
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except BrokenPipeError:
            pass

    def log_message(self, *_):
        pass


def test_http(f, device, tag):
    device.install(device.base, "--again").ok()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.mode, server.over = "fine", threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/x"
    device.reconfigure(endpoints={"service": url})
    try:
        for phase in ("before", "after"):
            fails = device.is_refused if phase == "before" else device.is_reverted
            one = stick(f, f"http.{phase}.{tag}", {"kind": "http", "phase": phase, "url": url})
            hangs = stick(f, f"hangs.{phase}.{tag}", {"kind": "http", "phase": phase, "url": url, "timeout_s": 1})
            two = stick(f, f"load.{phase}.{tag}", {"kind": "metric", "phase": phase, "source": "endpoint:service", "metric": "load", "max": "10"})
            for good in (one, two):
                device.install(good, "--again").ok()
            device.install(device.base, "--again").ok()
            for mode in ("broken", "redirect") if phase == "before" else ("broken",):
                server.mode = mode
                fails(one, "probe_failed", says="p0")
            server.mode = "hang"
            fails(hangs, "probe_failed", says="p0")
            server.mode = "loaded"
            fails(two, "probe_failed", says="p0")
            server.mode = "fine"
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
    device.is_refused(stick(f, f"http.dead.{tag}", {"kind": "http", "phase": "before", "url": url}), "probe_failed")
    device.reconfigure(endpoints=None)
    device.is_refused(two, "runner_missing", says="endpoints")


def test_restarts(f, sticks):
    """Probation goes on after restarts, counts powered-on time, and its end comes by itself."""
    device = Lone(f, "restarted", probation_s=1)
    device.install(sticks["1.0"]).ok()
    device.reconfigure(probation_s=30)  # longer than three restarts take on a busy machine
    device.serve()
    device.run("install", "--quiet", "--no-wait", sticks["1.1"]).ok()
    device.wait_state("probation")
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
        time.sleep(0.5)
        device.stop(number)
        device.serve()
        status = device.status()
        check(status["state"] == "probation", f"restarts do not end the probation: {status['state']} {status['why']}")
        check(status["probation"]["duration_s"] == 30 and status["probation"]["restarts_max"] == 3, f"{status['probation']}")
    check(device.wait_state("idle")["components"]["app"]["version"] == "1.1", "committed at the end")
    device.stop()
    device.check_clean()


def test_seed(f):
    """An image brings generation 0; it is what the device begins with, and what it goes back to."""
    if f.run("image", "seed", "--help", status=None).returncode != 0:
        raise fleet.Failed("edgectl has no image seed")
    seed = f.bundle("factory", "0.9", {"app": f.component("factory-app", {"version": "0.9"}), "firmware": f.component("factory-fw", {"version": "0.9"})})
    device = Lone(f, "seeded")
    f.edgectl("image", "seed", "--bundle", seed, "--root", f.root, device.state)
    device.install(stick(f, "1.5")).ok()
    status = device.check_clean()
    check({n: c["version"] for n, c in status["components"].items()} == {"app": "1.5", "firmware": "0.9"}, f"{status['components']}")
    check(status["previous"] == 0, "the image's generation is kept")
    device.run("rollback", "--quiet").ok()
    check(device.check_clean()["generation"] == 0 and device.version() == "0.9", "back to the factory")
    # An image whose generation is damaged is not believed.
    broken = Lone(f, "misprinted")
    f.edgectl("image", "seed", "--bundle", seed, "--root", f.root, broken.state)
    path = os.path.join(broken.state, "generations/0/app/version")
    os.chmod(path, 0o644)
    with open(path, "w", encoding="ascii") as out:
        out.write("0.8")
    os.chmod(path, 0o444)
    broken.install(stick(f, "1.6")).refused("bad_content", "bad_generation", says="image")


def hours_of_a_rollout(f, east, west, waits):
    """A rollout's own hours are those of each device: for one of the two it is three hours later."""
    east.stop()
    east.reconfigure(window={"timezone": "EAST-3"})
    east.serve()
    hour = time.gmtime().tm_hour
    hours = f"{(hour + 2) % 24:02d}:00-{(hour + 6) % 24:02d}:00"
    f.publish(stick(f, "4.0"))
    f.edgectl("rollout", "apply", "-f", f.policy("four", release="stick 4.0", timeout_s=300, windows={"install": [hours]}))
    fleet.wait_for("the device in the east to commit", lambda: east.version() == "4.0" and east.status()["state"] == "idle")
    fleet.wait_for("the rollout's window to be said", waits(west, "outside_rollout_window"))
    check(hours[:5] in west.status()["why"]["text"], f"{west.status()['why']}")
    west.stop(signal.SIGKILL)
    west.serve()
    fleet.wait_for("the rollout's window to be said again", waits(west, "outside_rollout_window"))
    fleet.wait_for("the controller to know", lambda: "outside_rollout_window" in f.edgectl("device", "why", "windowed", status=None))
    check(west.version() == "3.0", "nothing was activated outside of the rollout's window")
    west.stop()
    west.reconfigure(window={"timezone": "EAST-3"})
    west.serve()
    fleet.wait_for("it to commit where it is later, too", lambda: west.version() == "4.0" and west.status()["state"] == "idle")


def test_fleet(f):
    """With a controller: inhibit and window delay the activation, say so, and are over when they are over."""
    f.start_server()
    now = time.gmtime()
    closed = f"{(now.tm_hour + 6) % 24:02d}:00", f"{(now.tm_hour + 7) % 24:02d}:00"
    token = f.edgectl("token", "create", "--enroll", "--uses", "2", "--expires", "1h").strip()
    config = {"controller": f.controller(), "enroll_token": token, "poll_s": 1, "probation_s": 1}
    inhibited = Lone(f, "inhibited", **config)
    windowed = Lone(f, "windowed", **config, window={"start": closed[0], "end": closed[1], "timezone": "UTC"})
    for device in (inhibited, windowed):
        device.serve()
    fleet.wait_for("both devices to be accepted", lambda: f.accepted() >= 2)
    inhibited.run("inhibit", "600", "--reason", "a patient is on the table").ok()
    f.publish(stick(f, "3.0"))
    policy = f.policy("three", release="stick 3.0", timeout_s=300, on_failure="pause", stages=[{"name": "all", "percent": 100}],
                      gate={"success_pct": 100, "failure_pct": 0, "min_sample": 1})
    f.edgectl("rollout", "apply", "-f", policy)
    def waits(device, code):
        return lambda: device.status()["state"] == "waiting" and device.status()["why"]["code"] == code
    fleet.wait_for("the inhibit to be said", waits(inhibited, "inhibited"))
    check("patient" in inhibited.status()["why"]["text"], f"{inhibited.status()['why']}")
    fleet.wait_for("the window to be said", waits(windowed, "outside_window"))
    check(closed[0] in windowed.status()["why"]["text"], f"{windowed.status()['why']}")
    check(inhibited.version() is None and windowed.version() is None, "nothing was activated")
    # A restart forgets neither the update nor the window.
    windowed.stop(signal.SIGKILL)
    windowed.serve()
    fleet.wait_for("the window to be said again", waits(windowed, "outside_window"))
    why = f.edgectl("device", "why", "windowed", status=None)
    check("window" in why, f"the controller knows why: {why}")
    inhibited.run("inhibit", "0").ok()
    fleet.wait_for("the inhibited device to commit", lambda: inhibited.version() == "3.0" and inhibited.status()["state"] == "idle")
    windowed.stop()
    windowed.reconfigure(window={"timezone": "UTC"})
    windowed.serve()
    fleet.wait_for("the windowed device to commit", lambda: windowed.version() == "3.0" and windowed.status()["state"] == "idle")
    hours_of_a_rollout(f, inhibited, windowed, waits)
    # By now both know the time from signed words: what has expired is not installed any more, and what runs stays.
    old = stick(f, "2.0", options=("--issued", "2020-01-01T00:00:00Z", "--expires", "2021-01-01T00:00:00Z"))
    with inhibited.unchanged("an expired bundle"):
        inhibited.install(old).refused("expired", says="2021")
    inhibited.run("rollback", "--quiet").ok()
    for device in (inhibited, windowed):
        check(device.stop() == 0, "ends in order")
        device.check_clean()
    # The trusted time survives a restart.
    inhibited.install(old, "--again").refused("expired")


def test(f):
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.chmod(f.work, 0o755)
    sticks = {version: stick(f, version) for version in ("1.0", "1.1")}
    devices = {"root" if os.geteuid() == 0 else "user": Owned(f, "owned", False)}
    if os.geteuid() == 0:
        os.makedirs(f.path("devices"), exist_ok=True)
        devices["nobody"] = Owned(f, "unprivileged", True)
    steps = []
    for tag, device in devices.items():
        device.base = sticks["1.0"]
        steps += [(f"life {tag}", lambda d=device: test_life(f, d, sticks)), (f"exec {tag}", lambda d=device, t=tag: test_exec(f, d, t))]
    tag, device = list(devices.items())[-1]
    steps += [(f"hooks {tag}", lambda: test_hooks(f, device, sticks)), (f"metric {tag}", lambda: test_metric(f, device, tag)), (f"golden {tag}", lambda: test_golden(f, device, tag)),
              (f"http {tag}", lambda: test_http(f, device, tag)), ("restarts", lambda: test_restarts(f, sticks)),
              ("seed", lambda: test_seed(f)), ("fleet", lambda: test_fleet(f))]
    fleet.steps(steps)


fleet.main(test)
