#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A clumsy operator and a CI job that is set up wrongly: every command line must end with the exit status that the man page names
and a line that helps, nothing may be done twice, and nothing may be left half done.
"""

import json
import os
import pty
import re
import shutil
import subprocess

import fleet
from fleet import EDGECTL, check, wait_for
from impostor import API, Impostor, call, ends_well
from lost import ONE_BY_ONE, apply, becomes, group, offered, publish, start, total

USAGE, CONFIG, SYNTAX, NO_SPACE, NOT_FOUND, EXISTS, PERMISSION, BUSY, NEWER = 2, 3, 4, 8, 10, 11, 12, 13, 15
BAD_PREDICATE, UNREACHABLE, UNAUTHORIZED, STATE, FAILED, STOPPED, DEVICE_STATE = 53, 100, 103, 108, 109, 110, 111
OFFLINE_KEY, CLEARTEXT, LISTEN, BAD_REQUEST, WRONG_WORKSPACE, BAD_STORE, REVERTED, ABORTED, PENDING = 112, 113, 114, 116, 117, 119, 120, 121, 122


def fails(f, status, *argv, says="", env=None, stdin=None):
    """One clear line on stderr, with no escapes in it."""
    done = f.run(*argv, status=status, env=env, stdin=stdin)
    lines = done.stderr.strip().split("\n")
    check(done.returncode != 0 and len(lines) <= 2 and says in done.stderr, f"{argv}: one line that says {says!r}: {done.stderr}")
    check("\x1b" not in done.stderr + done.stdout, f"{argv}: escapes: {done.stderr!r}")
    return done


def tool_is_not_set_up(f):
    none = {"EDGECTL_CONTROLLER": "", "EDGECTL_TOKEN": ""}
    for argv in (("device", "list"), ("rollout", "status", "x"), ("release", "list"), ("events",)):
        fails(f, USAGE, *argv, env={**none, "EDGECTL_TOKEN": "x"}, says="EDGECTL_CONTROLLER")
        fails(f, None, *argv, env={"EDGECTL_TOKEN": ""}, says="EDGECTL_TOKEN")
        fails(f, UNAUTHORIZED, *argv, env={"EDGECTL_TOKEN": "edge-op-wrong"})
        fails(f, UNREACHABLE, *argv, env={"EDGECTL_CONTROLLER": "http://127.0.0.1:1"}, says="127.0.0.1")
        fails(f, CLEARTEXT, *argv, env={"EDGECTL_CONTROLLER": "http://192.0.2.1:8480"})
        for url in ("ftp://127.0.0.1", "127.0.0.1", "http://", "http://127.0.0.1:99999", "http://user:secret@127.0.0.1:1"):
            done = f.run(*argv, env={"EDGECTL_CONTROLLER": url}, status=None)
            check(done.returncode not in (0, 1) and "secret" not in done.stderr, f"{url}: {done.returncode}: {done.stderr}")
    f.edgectl("device", "list", "--workspace", f.ws, env={"EDGECTL_TOKEN": ""})
    leaky = f.path("leaky.token")
    with open(leaky, "w", encoding="ascii") as file:
        file.write(f.env["EDGECTL_TOKEN"])
    os.chmod(leaky, 0o644)
    fails(f, PERMISSION, "device", "list", "--token-file", leaky, env={"EDGECTL_TOKEN": ""}, says="leaky.token")


def roles_do_what_they_may(f):
    publish(f, "roles")
    device = Impostor(f, "roles-0").join()
    device.check_in()
    policy = f.policy("roles", release="roles 1.0", selector='label.none == "x"')
    writes = {"publisher": [("release", "publish", f.path("roles-1.0.edge"), "--workspace", f.ws)],
              "deployer": [("rollout", "apply", "-f", policy), ("rollout", "pause", "roles"), ("rollout", "resume", "roles"),
                           ("rollout", "approve", "roles"), ("rollout", "abort", "roles")],
              "operator": [("device", "label", "roles-0", "a=b"), ("device", "hold", "roles-0"), ("device", "hold", "--off", "roles-0"),
                           ("device", "pin", "roles-0", "roles", "1.0"), ("device", "pin", "--off", "roles-0"),
                           ("device", "retire", "roles-0"), ("device", "accept", "roles-0"), ("device", "reject", "roles-0"),
                           ("device", "replace", "roles-0"), ("device", "retire", "roles-0"), ("device", "remove", "roles-0")],
              "admin": [("token", "create", "--enroll"), ("token", "list"), ("audit",), ("audit", "--verify")]}
    reads = [("device", "list"), ("release", "list"), ("rollout", "list"), ("fleet", "summary"), ("fleet", "query", "arch == \"x86_64\""),
             ("events",)]
    secrets = {role: f.json("token", "create", "--role", role, "--name", f"a-{role}")["secret"] for role in
               ("viewer", "publisher", "deployer", "operator")}
    for role, secret in secrets.items():
        for argv in reads:
            f.edgectl(*argv, env={"EDGECTL_TOKEN": secret})
        for other, commands in writes.items():
            for argv in commands if other != role else ():
                fails(f, PERMISSION, *argv, env={"EDGECTL_TOKEN": secret})
    for role in ("publisher", "deployer", "operator"):
        for argv in writes[role]:
            f.edgectl(*argv, env={"EDGECTL_TOKEN": secrets[role]})
    rows = f.json("token", "list")["tokens"]
    f.edgectl("token", "revoke", *[row["id"] for row in rows if row["name"].startswith("a-")])
    fails(f, UNAUTHORIZED, "device", "list", env={"EDGECTL_TOKEN": secrets["viewer"]})
    check(not any(secret in json.dumps(f.json("token", "list")) for secret in secrets.values()), "secrets are never shown again")
    with open(os.path.join(f.ws, "server/store.db"), "rb") as store:
        data = store.read()
    check(not any(secret.encode() in data for secret in secrets.values()), "nor kept")


def a_limited_token_sees_its_devices_alone(f):
    [ours], theirs = group(f, "ours", [{"arch": "a"}]), group(f, "theirs", [{"arch": "a"}])
    secret = f.json("token", "create", "--role", "admin", "--name", "limited", "--selector", 'label.group == "ours"')["secret"]
    env = {"EDGECTL_TOKEN": secret}
    check([d["id"] for d in f.json("device", "list", env=env)["devices"]] == [ours.name], "one device")
    check(f.json("fleet", "summary", env=env)["devices"] == 1, "one is counted")
    other = theirs[0].name
    for argv in (("device", "show", other), ("device", "why", other), ("device", "hold", other), ("device", "label", other, "group=ours")):
        fails(f, NOT_FOUND, *argv, env=env)
    fails(f, PERMISSION, "device", "label", ours.name, "group=theirs", env=env)
    fails(f, PERMISSION, "token", "create", "--role", "admin", env=env)
    check(other not in f.edgectl("events", env=env), "nor what happens to others")
    publish(f, "scoped")
    rollout = f.policy("scoped", release="scoped 1.0", gate=ONE_BY_ONE)
    f.edgectl("rollout", "apply", "-f", rollout, env=env)
    check(theirs[0].check_in() is None, "a rollout reaches no further than its token")
    check(len(offered([ours])) == 1, "but that far")
    ours.commit()
    becomes(f, "scoped", "finished")
    check(theirs[0].check_in() is None, "nor does its baseline")


def everything_can_be_said_twice(f):
    publish(f, "twice")
    again = f.run("release", "publish", f.path("twice-1.0.edge"), "--workspace", f.ws)
    check("before" in again.stdout + again.stderr, f"it should say so: {again.stdout}{again.stderr}")
    files = f.component("twice-other", {"version": "another"})
    shutil.move(f.path("twice-1.0.edge"), f.path("twice-1.0-first.edge"))
    before = sorted(os.listdir(os.path.join(f.ws, "server/bundles")))
    fails(f, EXISTS, "release", "publish", f.bundle("twice", "1.0", {"app": files}), "--workspace", f.ws, says="twice")
    check(sorted(os.listdir(os.path.join(f.ws, "server/bundles"))) == before, "what was refused leaves no file behind")
    policy = f.policy("twice", release="twice 1.0", selector='label.group == "twice"')
    for _ in range(2):
        f.edgectl("rollout", "apply", "-f", policy)
    check(sum(1 for r in f.json("rollout", "list")["rollouts"] if r["name"] == "twice") == 1, "one rollout")
    fails(f, EXISTS, "rollout", "apply", "-f", f.policy("twice", release="twice 1.0"), says="another name")
    fails(f, NOT_FOUND, "rollout", "apply", "-f", f.policy("none", release="twice 9"), says="publish")
    for verb in ("status", "watch", "pause", "resume", "approve", "abort", "revert"):
        fails(f, NOT_FOUND, "rollout", verb, "nobody", says="nobody")
    for verb in ("show", "why", "accept", "reject", "hold", "retire", "remove", "replace"):
        fails(f, NOT_FOUND, "device", verb, "nobody", says="nobody")
    for name in ("../x", "a/b", "x?y=1", "%2e%2e", "ä", "\x1b[2J", "x" * 300):
        done = f.run("rollout", "status", name, status=None)
        check(done.returncode in (NOT_FOUND, BAD_REQUEST, USAGE) and "\x1b" not in done.stderr, f"{name!r}: {done.returncode}: {done.stderr}")


POLICIES = [
    (CONFIG, "relase: a 1\nname: r\n", "release"),
    (CONFIG, "name: r\nrelease: a 1\nstage: []\n", "stages"),
    (CONFIG, "name: r\nrelease: a 1\nstages: [{name: x, precent: 5}]\n", "percent"),
    (CONFIG, "name: r\nrelease: a 1\nstages: [{name: x, percent: 50}, {name: y, percent: 10}]\n", "stages[1]"),
    (CONFIG, "name: r\nrelease: a 1\nstages: [{name: x, percent: 101}]\n", "percent"),
    (CONFIG, "name: r\nrelease: a 1\nstages: [{name: x, percent: 50}, {name: x, percent: 100}]\n", "x"),
    (CONFIG, "name: r\nrelease: a 1\nstages: []\n", "stages"),
    (CONFIG, "name: r\nrelease: a 1\ntimeout_s: soon\n", "timeout_s"),
    (CONFIG, "name: r\nrelease: a 1\ntimeout_s: -1\n", "timeout_s"),
    (CONFIG, "name: r\nrelease: a 1\non_failure: explode\n", "on_failure"),
    (CONFIG, "name: r\nrelease: a 1\nbaseline: yes\n", "baseline"),
    (CONFIG, "name: r\nrelease: a\n", "release"),
    (CONFIG, "name: \"\"\nrelease: a 1\n", "name"),
    (CONFIG, "name: 'a b'\nrelease: a 1\n", "name"),
    (CONFIG, "name: ../r\nrelease: a 1\n", "name"),
    (CONFIG, "name: r\nrelease: a 1\nnot_before: tomorrow\n", "not_before"),
    (CONFIG, "name: r\nrelease: a 1\nnot_before: 2026-12-01T00:00:00Z\nuntil: 2026-11-01T00:00:00Z\n", "until"),
    (CONFIG, "name: r\nrelease: a 1\ntimeout_s: 0\n", "timeout_s"),
    (CONFIG, "name: r\nrelease: a 1\nstratify: [a, b, c, d, e]\n", "stratify"),
    (CONFIG, "- name: r\n", ""),
    (CONFIG, "just text\n", ""),
    (BAD_PREDICATE, "name: r\nrelease: a 1\nselector: arch ==\n", "selector"),
    (BAD_PREDICATE, "name: r\nrelease: a 1\nselector: ((((\n", "selector"),
    (SYNTAX, "name: r\nname: s\nrelease: a 1\n", "name"),
    (SYNTAX, "name: r\nrelease: &x a 1\nselector: *x\n", "line"),
    (SYNTAX, "name: r\nstages:\n\t- 1\n", "line 3"),
    (SYNTAX, "name: r\nrelease: !!python/object a\n", "line"),
    (SYNTAX, "name: r\n---\nname: s\n", ""),
    (SYNTAX, "name: [r\n", "line"),
    (SYNTAX, "name: \"\\xff\"\nrelease: a 1\n\x00", ""),
    (SYNTAX, "{\"name\": \"r\", \"name\": \"s\", \"release\": \"a 1\"}", "name"),
    (SYNTAX, "{\"name\": \"r\",}", ""),
    (SYNTAX, "{\"name\": " * 40 + "1" + "}" * 40, ""),
    (SYNTAX, "", ""),
]


def a_policy_with_a_mistake_is_explained(f):
    path = f.path("wrong")
    for status, text, says in POLICIES:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        done = f.run("rollout", "apply", "--check", "-f", path, status=None)
        wanted = (status,) if text and text[0] != "{" or status != SYNTAX else (SYNTAX, 5)
        if not text or text.startswith("{\"name\": {"):
            wanted = (SYNTAX, CONFIG, 5)
        check(done.returncode in wanted and says in done.stderr and path in done.stderr,
              f"{text!r}: {done.returncode}, not {wanted}, with {says!r} and the file's name: {done.stderr}")
        check(done.stderr.count("\n") == 1 and not done.stdout, f"{text!r}: one line: {done.stdout}{done.stderr}")
        # The controller is no less strict than the command line.
        if text.startswith("{"):
            check(call(f, "POST", API + "/rollouts", text.encode(), f.env["EDGECTL_TOKEN"])[0] == 400, text)
    big = "name: r\nrelease: a 1\nselector: " + "x" * 100000 + "\n"
    with open(path, "w", encoding="utf-8") as file:
        file.write(big)
    check(f.run("rollout", "apply", "--check", "-f", path, status=None).returncode in (5, CONFIG), "too big")
    for where in (f.path("nowhere"), f.work):
        check(f.run("rollout", "apply", "-f", where, status=None).returncode in (NOT_FOUND, 7, USAGE), where)
    fails(f, USAGE, "rollout", "apply")
    good = "name: fine\nrelease: a 1.10\nstages: [{name: x, percent: 0.5}, {name: y, percent: 100, soak_s: 15m}]\n"
    document = json.loads(f.edgectl("rollout", "apply", "--check", "--json", "-f", "-", stdin=good))
    check(document["release"]["version"] == "1.10" and document["stages"][1]["soak_s"] == 900, str(document))


def selectors_say_why_they_match_nobody(f):
    [device] = group(f, "select", [{"arch": "x86_64"}])
    fails(f, None, "device", "pin", device.name, "no-such", "9.9", says="published")
    fails(f, BAD_PREDICATE, "device", "list", "--selector", "arch ==")
    fails(f, BAD_PREDICATE, "fleet", "query", "arch = 1 )")
    query = f.json("fleet", "query", 'nosuchfact == "1" and label.group == "select"')
    check(query["matching"] == 0 and "nosuchfact" in json.dumps(query["unmatched"]), f"the unknown fact is named: {query}")
    publish(f, "nobody")
    f.edgectl("rollout", "apply", "-f", f.policy("nobody", release="nobody 1.0", selector='label.group == "nobody"'))
    fails(f, PENDING, "rollout", "watch", "nobody", "--timeout", "1s")
    check(f.rollout("nobody")["why"]["code"] == "no_devices", str(f.rollout("nobody")["why"]))
    [late] = group(f, "nobody", [{}])
    wait_for("the first device that matches", lambda: offered([late]))
    late.commit()
    becomes(f, "nobody", "finished")


def verbs_in_every_state(f):
    """What each verb does in each state: the exit status, and the state after it."""
    def running(name):
        start(f, name, 1)
    def paused(name):
        running(name)
        f.edgectl("rollout", "pause", f"{name}-1.0")
    def failed(name, on_failure="pause"):
        devices, rollout = start(f, name, 1, on_failure=on_failure)
        offered(devices)
        devices[0].refuse()
        wait_for("it to fail", lambda: f.rollout(rollout)["state"] in ("failed", "reverting", "reverted"))
    def finished(name):
        devices, rollout = start(f, name, 1)
        offered(devices)
        devices[0].commit()
        becomes(f, rollout, "finished")
    def aborted(name):
        running(name)
        f.edgectl("rollout", "abort", f"{name}-1.0")
    def reverted(name):
        failed(name, "revert")
        becomes(f, f"{name}-1.0", "reverted")
    table = {running: {"pause": (0, "paused"), "resume": (0, "running"), "approve": (0, "running"), "abort": (0, "aborted"), "revert": (0, "revert")},
             paused: {"pause": (0, "paused"), "resume": (0, "running"), "abort": (0, "aborted"), "revert": (0, "revert")},
             failed: {"pause": (STATE, "failed"), "resume": (0, "running"), "abort": (0, "aborted"), "revert": (0, "revert")},
             finished: {"pause": (STATE, "finished"), "resume": (STATE, "finished"), "approve": (STATE, "finished"), "abort": (STATE, "finished"),
                        "revert": (0, "revert")},
             aborted: {"pause": (STATE, "aborted"), "resume": (STATE, "aborted"), "approve": (STATE, "aborted"), "abort": (0, "aborted")},
             reverted: {"pause": (STATE, "reverted"), "resume": (STATE, "reverted"), "approve": (STATE, "reverted"), "abort": (STATE, "reverted"),
                        "revert": (0, "reverted")}}
    ends = {"running": PENDING, "paused": STOPPED, "failed": FAILED, "finished": 0, "aborted": ABORTED, "reverted": REVERTED}
    wrong = []
    for make, verbs in table.items():
        # Verbs that leave it where it is need no rollout of their own.
        still = [v for v, (_, after) in verbs.items() if after == make.__name__]
        for name, some in [(make.__name__, still)] + [(f"{make.__name__}-{v}", [v]) for v in verbs if v not in still]:
            make(name)
            done = f.run("rollout", "watch", f"{name}-1.0", "--timeout", "1s", status=None)
            if done.returncode != ends[make.__name__]:
                wrong.append(f"watch of {name}: {done.returncode}")
            for verb in some:
                done = f.run("rollout", verb, f"{name}-1.0", status=None)
                state = f.rollout(f"{name}-1.0")["state"]
                if done.returncode != verbs[verb][0] or not state.startswith(verbs[verb][1]):
                    wrong.append(f"{verb} in {name}: {done.returncode}, {state}, not {verbs[verb]}")
    check(not wrong, "; ".join(wrong))


def second_rollout_of_the_same_name_takes_over(f):
    """Two at a time over the same devices: no device swings between them, and both end."""
    [device, other], first = start(f, "both", 2)
    publish(f, "both", "2.0")
    second = apply(f, "both", "2.0")
    took = []
    for _ in range(4):
        if not offered([device]):
            break
        took.append(device.last["bundle"]["release"])
        device.commit()
    check(took == ["2.0"], f"the newer one, once: {took}")
    check(len(offered([other])) == 1 and other.last["bundle"]["release"] == "2.0", "the same for the other")
    other.commit()
    becomes(f, second, "finished")
    check(not offered([device, other]), "and nobody goes back to the older one")
    check(f.rollout(first)["state"] in ("running", "finished", "aborted"), str(f.rollout(first)))


def a_superseded_rollout_is_not_reverted_for_hours(f):
    [device], first = start(f, "over", 1)
    offered([device])
    device.commit()
    becomes(f, first, "finished")
    publish(f, "over", "2.0")
    second = apply(f, "over", "2.0")
    offered([device])
    device.commit()
    becomes(f, second, "finished")
    done = f.run("rollout", "revert", first, status=None)
    if done.returncode == 0:
        becomes(f, first, "reverted")
    else:
        check(done.returncode == STATE, f"{done.returncode}: {done.stderr}")
    check(device.check_in() is None, f"what runs is another rollout's: {device.told}")


def a_gate_that_cannot_pass_any_more_fails(f):
    devices, rollout = start(f, "stuck", 4, gate={"success_pct": 100, "failure_pct": 50, "min_sample": 1})
    offered(devices)
    for device in devices[1:]:
        device.commit()
    devices[0].refuse()
    status = f.rollout(rollout)
    try:
        becomes(f, rollout, "failed")
    except fleet.Failed:
        raise fleet.Failed(f"all have an outcome, and it can never pass: {status['why']}") from None


def devices_are_steered_in_the_middle(f):
    devices, rollout = start(f, "steer", 5)
    held, pinned, retired, replaced, good = devices
    f.edgectl("device", "hold", held.name)
    check(held.check_in() is None and held.heard["why"]["code"] == "held", str(held.heard))
    publish(f, "steer", "0.9")
    f.edgectl("device", "pin", pinned.name, "steer", "0.9")
    check(offered([pinned]) and pinned.last["bundle"]["release"] == "0.9", "pinned")
    pinned.commit()
    check(pinned.heard["why"]["code"] == "pinned", str(pinned.heard))
    check(len(offered([retired, replaced, good])) == 3, "the others are offered it")
    f.edgectl("device", "retire", retired.name)
    check(retired.try_check_in()[0] in (401, 403), "a retired one is out at once")
    fails(f, DEVICE_STATE, "device", "remove", good.name)
    f.edgectl("device", "remove", retired.name)
    f.edgectl("device", "replace", replaced.name)
    good.commit()
    status = becomes(f, rollout, "finished")
    check((total(status, "committed"), total(status, "skipped"), total(status, "cancelled")) == (1, 2, 2), str(status))
    f.edgectl("device", "hold", "--off", held.name)
    wait_for("the baseline for what was held", lambda: held.check_in() == "install")
    why = f.edgectl("device", "why", pinned.name)
    check("pinned" in why, why)


def json_everywhere_and_no_escapes_in_a_pipe(f):
    [device], rollout = start(f, "shown", 1)
    commands = [("device", "list"), ("device", "show", device.name), ("device", "why", device.name), ("release", "list"),
                ("rollout", "list"), ("rollout", "status", rollout), ("fleet", "summary"), ("fleet", "query", "true"), ("token", "list"),
                ("events",), ("audit",), ("audit", "--verify"), ("device", "hold", device.name), ("device", "hold", "--off", device.name),
                ("rollout", "pause", rollout), ("rollout", "resume", rollout), ("token", "create", "--enroll"), ("key", "list", "--workspace", f.ws),
                ("release", "publish", f.path("shown-1.0.edge"), "--workspace", f.ws), ("rollout", "apply", "-f", f.path("policy-shown-1.0.json"))]
    for argv in commands:
        if argv[:2] == ("fleet", "query"):
            argv = ("fleet", "query", 'known(arch)')
        done = f.run(*argv)
        check("\x1b" not in done.stdout + done.stderr and "\r" not in done.stdout, f"{argv}: {done.stdout!r}")
        done = f.run(*argv, "--json")
        lines = done.stdout.strip().split("\n") if argv[0] in ("events", "audit") and "--verify" not in argv else [done.stdout]
        for line in lines:
            json.loads(line)
        check(not done.stderr, f"{argv}: {done.stderr}")
    offered([device])
    device.commit()
    for argv in (("rollout", "watch", rollout), ("rollout", "watch", rollout, "--json"), ("rollout", "apply", "-f", f.path("policy-shown-1.0.json"), "--wait"),
                 ("rollout", "apply", "-f", f.path("policy-shown-1.0.json"), "--wait", "--json")):
        done = f.run(*argv)
        check("\x1b" not in done.stdout, f"{argv}: {done.stdout!r}")
        if "--json" in argv and "apply" in argv:
            check(json.loads(done.stdout)["state"] == "finished", done.stdout)
    script = f.path("completion.bash")
    with open(script, "w", encoding="utf-8") as file:
        file.write(f.edgectl("completion", "bash"))
    subprocess.run(["bash", "-n", script], check=True)


def on_a_terminal(f, *argv, term="xterm"):
    """What a terminal of 60 columns gets."""
    master, slave = pty.openpty()
    subprocess.run(["stty", "cols", "60"], stdin=slave, check=False)
    process = subprocess.Popen([EDGECTL, *argv], stdin=slave, stdout=slave, stderr=slave, env={**f.env, "TERM": term})
    os.close(slave)
    got = b""
    try:
        while part := os.read(master, 4096):
            got += part
    except OSError:
        pass
    os.close(master)
    return process.wait(timeout=fleet.PATIENCE_S), got


def a_terminal_is_drawn_on_and_a_dumb_one_is_not(f):
    [device], rollout = start(f, "drawn", 1)
    status, drawn = on_a_terminal(f, "rollout", "watch", rollout, "--timeout", "3s")
    check(status == PENDING and b"\x1b[" in drawn, f"{status}: {drawn!r}")
    allowed = re.sub(rb"\x1b\[[0-9;]*[AJKm]", b"", drawn)
    check(b"\x1b" not in allowed, f"nothing but moves and colours: {allowed!r}")
    status, drawn = on_a_terminal(f, "rollout", "watch", rollout, "--timeout", "1s", term="dumb")
    check(status == PENDING and b"\x1b" not in drawn, f"{status}: {drawn!r}")
    offered([device])
    device.commit()


def test(f):
    f.start_server()
    fleet.each(f, tool_is_not_set_up, roles_do_what_they_may, a_limited_token_sees_its_devices_alone, everything_can_be_said_twice,
               a_policy_with_a_mistake_is_explained, selectors_say_why_they_match_nobody, verbs_in_every_state,
               second_rollout_of_the_same_name_takes_over, a_superseded_rollout_is_not_reverted_for_hours,
               a_gate_that_cannot_pass_any_more_fails, devices_are_steered_in_the_middle, json_everywhere_and_no_escapes_in_a_pipe,
               a_terminal_is_drawn_on_and_a_dumb_one_is_not)
    ends_well(f)


if __name__ == "__main__":
    fleet.main(test)
