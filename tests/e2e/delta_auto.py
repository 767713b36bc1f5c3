#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# ctest: needs-tuf_client
"""The controller makes deltas by itself: for what the devices of a rollout run, in the background, named in the repository with its own
key; through restarts and kills; and says why where it does not.
"""

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import urllib.error
import urllib.request

import fleet
from fleet import check, wait_for

TUF_CLIENT = os.path.join(fleet.BIN, "tuf_client")
LINES = 12000  # of a component


def text(seed, lines):
    """Text that a compressor cannot guess, the same at every run."""
    source = random.Random(seed)
    return [f"{source.getrandbits(96):024x} {i}\n" for i in range(lines)]


def contents(version):
    """Of each release the same but for a few lines."""
    lines = text("bulk", LINES)
    source = random.Random(version)
    for _ in range(30):
        lines[source.randrange(len(lines))] = f"changed in {version}\n"
    return {"version": version, "bulk": "".join(lines)}


def release(f, version, files=None):
    bundle = f.bundle("app", version, {"app": f.component(f"app-{version}", files or contents(version))})
    f.publish(bundle)
    return bundle


def ask(f, path):
    with urllib.request.urlopen(f.controller() + path, timeout=120) as answer:
        return answer.read()


def signed(f, name):
    return json.loads(ask(f, f"/repository/metadata/{name}"))["signed"]


def named(f):
    """{path: entry} of the role deltas, as the current metadata have it."""
    snapshot = signed(f, "timestamp.json")["meta"]["snapshot.json"]["version"]
    meta = signed(f, f"{snapshot}.snapshot.json")["meta"]
    return signed(f, f"{meta['deltas.json']['version']}.deltas.json")["targets"] if "deltas.json" in meta else {}


def deltas(f, rollout):
    return f.rollout(rollout)["deltas"]


def states(f, rollout):
    """{version of the base: state}"""
    return {row["from"]["version"]: row["state"] for row in deltas(f, rollout)["list"]}


def log(f):
    with open(f.path("serve.log"), encoding="utf-8") as file:
        return file.read()


def waiting_rollout(f, name, version, **more):
    """One that offers nothing before somebody approves it: deltas come before it starts."""
    f.edgectl("rollout", "apply", "-f", f.policy(name, release=f"app {version}", stages=[
        {"name": "all", "percent": 100, "approve": True}], timeout_s="1h", **more))


def ids(f):
    """{version: id of the bundle}"""
    rows = json.loads(urllib.request.urlopen(urllib.request.Request(
        f.controller() + "/api/v1/releases", headers={"Authorization": "Bearer " + f.env["EDGECTL_TOKEN"]}), timeout=60).read())
    return {row["version"]: row["bundles"][0]["id"] for row in rows["releases"]}


def folder(f, *parts):
    return os.path.join(f.ws, "server", *parts)


def children(pid):
    """{pid: command line} of the processes that it started."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError, IndexError):
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            if int(fields[1]) == pid:
                with open(f"/proc/{name}/cmdline", encoding="utf-8", errors="replace") as file:
                    found[int(name)] = (file.read().replace("\0", " "), int(fields[16]))
    return found


def maker(f):
    """(pid, niceness) of the child that makes a delta, or None."""
    for pid, (line, nice) in children(f.server.pid).items():
        if "bundle delta" in line or "sleep 100000" in line:
            return pid, nice
    return None


def started(f, *more):
    """The controller with a program to make deltas that can be told what to do; else it is edgectl itself."""
    program = f.path("maker")
    with open(program, "w", encoding="utf-8") as file:
        file.write(f"""#!/bin/sh
if [ -e {f.path("hold")} ]; then echo half >making/made.delta; exec sleep 100000; fi
if [ -e {f.path("no-gain")} ]; then echo "edgectl: it would not be smaller" >&2; exit 63; fi
exec {fleet.EDGECTL} "$@"
""")
    os.chmod(program, 0o755)
    f.start_server("--delta-program", program, *more)


@contextlib.contextmanager
def told(f, word):
    with open(f.path(word), "w", encoding="utf-8"):
        pass
    yield
    os.unlink(f.path(word))


def is_gone(pid):
    return not os.path.exists(f"/proc/{pid}")


# ── Scenarios, each on what the one before left ──────────────────────────────────────────────────


def deltas_appear_for_what_the_fleet_runs(f):
    waiting_rollout(f, "three", "3.0")
    wait_for("two deltas to be offered", lambda: states(f, "three") == {"1.0": "offered", "2.0": "offered"})
    shown = deltas(f, "three")
    check((shown["devices"], shown["based"], shown["why"]) == (4, 4, None), str(shown))
    wait_for("all four devices to be reached", lambda: deltas(f, "three")["reached"] == 4)
    of = {row["from"]["version"]: row for row in shown["list"]}
    check((of["1.0"]["devices"], of["2.0"]["devices"]) == (1, 3), str(shown))
    known = ids(f)
    for version in ("1.0", "2.0"):
        check(of[version]["bundle"] == known["3.0"] and of[version]["base"] == known[version] and of[version]["by"] == "serve", str(shown))
        check(of[version]["size"] * 10 < os.path.getsize(folder(f, "bundles", known["3.0"] + ".edge")), f"large: {of[version]}")
    made = [row for row in map(json.loads, f.edgectl("audit", "--json").splitlines()) if row["action"] == "delta.make"]
    check([row["data"]["base"] for row in made] == [known["2.0"], known["1.0"]], f"most devices first: {made}")
    printed = f.edgectl("rollout", "status", "three")
    check("deltas: for 4 of 4 devices that need the release" in printed and "from app 1.0: offered" in printed, printed)
    check(os.listdir(folder(f, "making")) == [], "something is left of the making")


def devices_find_them_in_the_repository(f):
    known, targets = ids(f), named(f)
    paths = [f"app/3.0/{known['3.0']}/{known[version]}.json" for version in ("1.0", "2.0")]
    check(sorted(targets) == sorted(paths), f"{targets}")
    work = f.path("client")
    os.makedirs(os.path.join(work, "targets"))
    os.makedirs(os.path.join(work, "metadata"))
    url = f.controller() + "/repository/"

    def client(*argv):
        done = subprocess.run([TUF_CLIENT, *argv], capture_output=True, text=True, check=False, timeout=fleet.PATIENCE_S, env=f.env)
        check(done.returncode == 0, f"tuf_client {argv}: {done.stderr}")
    metadata = ("--metadata-dir", os.path.join(work, "metadata"))
    client(*metadata, "init", f.root)
    client(*metadata, "--metadata-url", url + "metadata/", "refresh")
    for path in paths:
        client(*metadata, "--metadata-url", url + "metadata/", "--target-name", path, "--target-dir", os.path.join(work, "targets"),
               "--target-base-url", url + "targets/", "download")
    heads = [os.path.join(where, name) for where, _, names in os.walk(os.path.join(work, "targets")) for name in names]
    check(len(heads) == 2, str(heads))
    for head in heads:
        with open(head, "rb") as file:
            data = file.read()
        check(json.loads(data)["bundle"] == known["3.0"], "the head of another delta")
        stored = ask(f, f"/bundles/{hashlib.blake2b(data, digest_size=32).hexdigest()}.delta")
        check(data in stored, "the delta that is offered has another head")


def they_survive_a_restart(f):
    before = {name: os.path.getmtime(folder(f, "bundles", name)) for name in os.listdir(folder(f, "bundles"))}
    check(f.stop_server() == 0, "ends in order")
    f.start_server()
    wait_for("a new count of the fleet", lambda: deltas(f, "three")["reached"] == 4)
    check(states(f, "three") == {"1.0": "offered", "2.0": "offered"}, str(deltas(f, "three")))
    check({name: os.path.getmtime(folder(f, "bundles", name)) for name in before} == before, "made again")


def an_agent_gets_there(f):
    f.approve("three")
    wait_for("the rollout to finish", lambda: f.rollout("three")["state"] == "finished")
    for device in f.devices:
        check(device.version() == "3.0" and device.read("app", "version") == "3.0", device.name)


def a_kill_in_the_middle_leaves_nothing_broken(f):
    f.stop_server()
    with told(f, "hold"):
        started(f)
        release(f, "4.0")
        waiting_rollout(f, "four", "4.0")
        pid, nice = wait_for("the making to begin", lambda: maker(f))
        check(nice == 19, f"the child's niceness is {nice}")
        check(states(f, "four") == {"3.0": "making"}, str(deltas(f, "four")))
        f.stop_server(signal.SIGKILL)
        wait_for("the child to go with its parent", lambda: is_gone(pid))
        started(f)
        # Again in the middle of it, but in order.
        pid, _ = wait_for("it to begin anew", lambda: maker(f))
        wait_for("it to write something", lambda: os.path.exists(folder(f, "making", "made.delta")))
        check(f.stop_server() == 0, "ends in order")
        check(is_gone(pid) and os.listdir(folder(f, "making")) == [], "the child is ended, and what it wrote is gone")
    started(f)
    wait_for("the delta in the end", lambda: states(f, "four") == {"3.0": "offered"})
    check(os.listdir(folder(f, "making")) == [], "something is left of the making")
    check("failed" not in json.dumps(deltas(f, "four")), "an end is no failure")


def what_would_not_be_smaller_is_tried_once(f):
    release(f, "5.0")
    with told(f, "no-gain"):
        waiting_rollout(f, "five", "5.0")
        wait_for("it to be known", lambda: states(f, "five") == {"3.0": "no_gain"})
    check(f"app/5.0/{ids(f)['5.0']}" not in json.dumps(named(f)), "named all the same")
    f.stop_server()
    f.start_server()
    wait_for("a new count of the fleet", lambda: deltas(f, "five")["devices"] == 4)
    check(states(f, "five") == {"3.0": "no_gain"}, str(deltas(f, "five")))
    check(log(f).count("it would not be smaller than the bundle") == 1, log(f))


def what_fails_is_said_once_and_is_no_harm(f):
    """The base's file is damaged; a restart is a new attempt."""
    bundle = folder(f, "bundles", ids(f)["3.0"] + ".edge")
    shutil.copy(bundle, f.path("kept"))
    with open(bundle, "r+b") as file:
        file.seek(os.path.getsize(bundle) // 2)
        file.write(b"damage")
    release(f, "6.0")
    waiting_rollout(f, "six", "6.0")
    wait_for("the failure", lambda: states(f, "six") == {"3.0": "failed"})
    row = deltas(f, "six")["list"][0]
    check(row["why"]["code"] and row["why"]["text"] and row["why"]["text"] in f.edgectl("rollout", "status", "six"), str(row))
    check(log(f).count("warning: making the delta app 3.0 to app 6.0") == 1, log(f))
    shutil.move(f.path("kept"), bundle)
    f.stop_server()
    f.start_server()
    wait_for("the new attempt", lambda: states(f, "six") == {"3.0": "offered"})


def what_is_withdrawn_is_not_named_any_more(f):
    known = ids(f)
    path = f"app/6.0/{known['6.0']}/{known['3.0']}.json"
    head = named(f)[path]["hashes"]["blake2b-256"]
    check(os.path.exists(folder(f, "bundles", head + ".delta")), head)
    f.edgectl("rollout", "abort", "six")
    f.edgectl("release", "withdraw", "app", "6.0", "--workspace", f.ws)
    wait_for("the delta to go", lambda: path not in named(f))
    check(f"app/4.0/{known['4.0']}/{known['3.0']}.json" in named(f), "the others stay")
    wait_for("its file to go", lambda: not os.path.exists(folder(f, "bundles", head + ".delta")))


def they_are_signed_anew_in_time(f):
    f.stop_server()
    f.start_server("--timestamp-expires", "4s", "--snapshot-expires", "12s")
    seen = set()

    def grows():
        snapshot = signed(f, "timestamp.json")["meta"]["snapshot.json"]["version"]
        seen.add(signed(f, f"{snapshot}.snapshot.json")["meta"]["deltas.json"]["version"])
        return len(seen) >= 3
    wait_for("the role's file to be signed anew twice", grows)
    check(len(named(f)) > 0, "they are named still")


def without_the_key_there_are_none_and_it_is_said(f):
    f.stop_server()
    for name in ("deltas.key", "deltas.pub"):
        shutil.move(folder(f, "keys", name), f.path(name))
    f.start_server()
    release(f, "7.0")
    waiting_rollout(f, "seven", "7.0")
    wait_for("the reason", lambda: (deltas(f, "seven")["why"] or {}).get("code") == "no_key")
    check("none are made: keys/ holds no key of the role deltas" in f.edgectl("rollout", "status", "seven"), "said in the status")
    check(log(f).count("no deltas are made: keys/ holds no key") == 1, log(f))
    f.stop_server()
    f.start_server("--deltas", "off")
    check(deltas(f, "seven")["why"]["code"] == "off", str(deltas(f, "seven")))
    f.stop_server()
    for name in ("deltas.key", "deltas.pub"):
        shutil.move(f.path(name), folder(f, "keys", name))
    f.start_server("--deltas", "auto", "--delta-share", "50", "--delta-memory", "4G", "--delta-disk", "100K")
    wait_for("the limit of the disk", lambda: "--delta-disk" in json.dumps(deltas(f, "seven")))
    check([row["why"]["code"] for row in deltas(f, "seven")["list"]] == ["limit"], str(deltas(f, "seven")))


def wrong_options_are_refused(f):
    for option, value in (("deltas", "on"), ("delta-share", "101"), ("delta-share", "0"), ("delta-memory", "1M"), ("delta-time", "0"),
                          ("delta-disk", "0")):
        done = f.run("serve", "--workspace", f.ws, f"--{option}", value, status=None)
        check(done.returncode in (2, 5) and f"--{option}" in done.stderr, f"{done.returncode}: {done.stderr}")


def test(f):
    f.start_server()
    bundles = {version: release(f, version) for version in ("1.0", "2.0", "3.0")}
    token = f.edgectl("token", "create", "--enroll", "--uses", "4", "--expires", "1h").strip()
    for i in range(4):
        device = f.add_device(f"dev-{i}", controller=f.controller(), enroll_token=token)
        device.agent("install", "--config", device.config, bundles["2.0" if i else "1.0"])
        device.start()
    wait_for("all devices", lambda: f.accepted() == 4)
    wait_for("all to say what they run", lambda: all(row["components"] for row in f.json("device", "list")["devices"]))
    fleet.each(f, deltas_appear_for_what_the_fleet_runs, devices_find_them_in_the_repository, they_survive_a_restart, an_agent_gets_there,
               a_kill_in_the_middle_leaves_nothing_broken, what_would_not_be_smaller_is_tried_once, what_fails_is_said_once_and_is_no_harm,
               what_is_withdrawn_is_not_named_any_more, they_are_signed_anew_in_time, without_the_key_there_are_none_and_it_is_said,
               wrong_options_are_refused)


if __name__ == "__main__":
    fleet.main(test)
