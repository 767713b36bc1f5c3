#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A rollout that has finished raises the floors that its release declares, and no other one does.

Each scenario has a controller and real devices of its own.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys

import fleet
from fleet import check, wait_for
from relay import Relay, body_of, give

KINDS = {"usage": 2, "not_found": 10, "permission": 12, "pending": 17, "not_published": 19, "below_threshold": 21, "digest_mismatch": 26,
         "delegation": 31, "below_floor": 50, "controller_unreachable": 100,
         "controller_garbage": 102, "rollout_state": 108, "rollout_reverted": 120, "rollout_aborted": 121, "rollout_pending": 122, "floors_not_raised": 123}
ALL = [{"name": "all", "percent": 100, "soak_s": 0}]
ASKED = [{"name": "all", "percent": 100, "soak_s": 0, "approve": True}]


def fails(f, kind, *argv, says="", **options):
    done = f.run(*argv, status=KINDS[kind], **options)
    check(says in done.stderr, f"edgectl {' '.join(argv)}: does not say {says!r}: {done.stderr}")
    return done


def bundle(f, version, *more, name="thing", security=0, floor=None, component="app", workspace=None, out=None):
    """Published by the caller. The component is one file that says the version."""
    folder = f.component(f"{name}-{version}-{component}", {"version": version})
    out = f.path(out or f"{name}-{version}-{len(os.listdir(f.work))}.edge")
    floors = ["--floor", f"{component}={floor}"] if floor is not None else []
    f.edgectl("bundle", "create", "--workspace", workspace or f.ws, "--name", name, "--version", version, "--component", f"{component}={folder}",
              "--security-version", f"{component}={security}", "--probation", "1s", "-o", out, *floors, *more)
    return out


def made_first(f, other, *argv, **options):
    """A bundle whose id, and so its place in the targets, is before that of the other one. With all dates given, ids are the same in each run."""
    for minute in range(1, 200):
        path = bundle(f, *argv, *made_at(minute), **options)
        if identity(f, path) < identity(f, other):
            return path
    raise fleet.Failed("199 ids are all higher than another one")


def made_at(minute):
    return ("--issued", f"2026-01-01T{minute // 60:02}:{minute % 60:02}:00Z", "--expires", "2040-01-01T00:00:00Z")


def identity(f, path):
    return f.json("bundle", "inspect", path)["id"]


def apply(f, name, *more, release=None, stages=None, **document):
    """The arguments of a rollout of a release of the same name."""
    policy = f.policy(name, release=release or f"thing {name}", stages=stages or ALL, timeout_s=60, on_failure="revert", **document)
    return ("rollout", "apply", "-f", policy, *more)


def wait_and_raise(f, name, *more, **document):
    return apply(f, name, "--wait", "--raise-floors", "--workspace", f.ws, *more, **document)


def later(f, name, *more):
    return ("release", "floor", "--rollout", name, "--workspace", f.ws, *more)


def floors(f):
    """As devices verify them, from the files that timestamp and snapshot lead to."""
    meta = os.path.join(f.ws, "server/repository/metadata")

    def load(name):
        with open(os.path.join(meta, name), encoding="utf-8") as file:
            return json.load(file)["signed"]
    snapshot = load(f"{load('timestamp.json')['meta']['snapshot.json']['version']}.snapshot.json")
    return load(f"{snapshot['meta']['targets.json']['version']}.targets.json").get("floors", {})


def kept(device):
    """The floors that the device keeps, from both copies; {} when they are not the same."""
    texts = []
    for name in ("floors", "floors.2"):
        path = os.path.join(device.state, "private", name)
        if not os.path.exists(path):
            return {}
        with open(path, encoding="utf-8") as file:
            texts.append(json.loads(file.read().split("\n", 1)[1]))
    return texts[0] if texts[0] == texts[1] else {}


def started(f, **config):
    f.start_server()
    f.add_fleet(1, **config)
    return f.devices[0]


TARGETS = "/api/v1/repository/metadata/targets"


@contextlib.contextmanager
def between(f, before=lambda method, path: None, after=lambda method, path, status, data: (status, data)):
    """Somebody between edgectl and the controller: what to do before a request is passed on (an answer there is the answer), and what
    becomes of the answer; with None the connection ends without one. Gives the environment that leads there."""
    class Between(Relay):
        def forward(self, request):
            body = body_of(request)
            answer = before(request.command, request.path)
            if not answer:
                with self.ask(request, body) as got:
                    answer = after(request.command, request.path, got.status, got.read())
            if answer:
                give(request, *answer)
            else:
                request.close_connection = True

    with Between(f.port) as relay:
        yield {"EDGECTL_CONTROLLER": relay.url}


def is_not_there(f, name):
    fails(f, "not_found", "rollout", "status", name)


# ── What devices do ────────────────────────────────────────────────────────────────────────────────────


def a_finished_rollout_raises_what_its_release_declares(f):
    device = started(f)
    f.publish(bundle(f, "1.0", security=1), bundle(f, "1.1", security=2, floor=2), bundle(f, "1.2", security=2, floor=2))
    done = f.run(*wait_and_raise(f, "1.0"))
    check("declares no floors" in done.stderr and "declares no floors" in done.stdout and floors(f) == {}, f"{floors(f)}: {done}")
    said = f.json(*wait_and_raise(f, "1.1"))
    check(said["name"] == "1.1" and said["state"] == "finished" and said["raise_floors"]["outcome"] == "published", str(said))
    check(said["raise_floors"]["floors"] == {"app": 2} == floors(f), f"{said} {floors(f)}")
    wait_for("the device to keep the floor", lambda: kept(device) == {"app": 2})
    check(device.version() == "1.1", "it runs what was rolled out")
    device.agent("rollback", "--config", device.config, status=KINDS["below_floor"])
    check(device.version() == "1.1" and device.read("app", "version") == "1.1", "it stayed")
    # The same again, in both ways, changes nothing.
    check(f.json(*wait_and_raise(f, "1.1"))["raise_floors"]["outcome"] == "unchanged", "applied again")
    check(f.json(*later(f, "1.1"))["outcome"] == "unchanged", "raised again")
    # What lies on the floor is still a way back.
    f.run(*wait_and_raise(f, "1.2"))
    device.agent("rollback", "--config", device.config)
    wait_for("the device to go back to 1.1", lambda: device.version() == "1.1" and device.status()["state"] == "idle")


def without_being_told_a_finished_rollout_raises_nothing(f):
    device = started(f)
    f.publish(bundle(f, "1.0", security=1), bundle(f, "1.1", security=2, floor=2))
    for version in ("1.0", "1.1"):
        f.run(*apply(f, version, "--wait"))
    check(floors(f) == {}, str(floors(f)))
    device.agent("rollback", "--config", device.config)
    wait_for("the device to go back", lambda: device.version() == "1.0")


def a_rollout_that_did_not_finish_raises_nothing(f):
    runner = f.path("fails")
    with open(runner, "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\nexit 7\n")
    os.chmod(runner, 0o755)
    probes = f.path("probes.json")
    with open(probes, "w", encoding="utf-8") as file:
        json.dump([{"component": "app", "kind": "exec", "name": "selftest", "phase": "after", "runner": "fails", "args": [], "timeout_s": 20,
                    "start_delay_s": 0, "interval_s": 1, "failures": 1}], file)
    device = started(f, runners={"fails": {"argv": [runner]}})
    f.publish(bundle(f, "1.0", security=1), bundle(f, "1.1", "--probes", probes, security=2, floor=2), bundle(f, "1.2", security=2, floor=2))
    f.run(*apply(f, "1.0", "--wait"))
    fails(f, "rollout_reverted", *wait_and_raise(f, "1.1", gate={"success_pct": 100, "failure_pct": 0, "min_sample": 1}))
    fails(f, "rollout_state", *later(f, "1.1"), says="reverted")
    fails(f, "rollout_pending", *wait_and_raise(f, "1.2", "--timeout", "1s", stages=ASKED))
    fails(f, "rollout_state", *later(f, "1.2"), says="running")
    f.run("rollout", "abort", "1.2")
    fails(f, "rollout_aborted", *wait_and_raise(f, "1.2", stages=ASKED))
    fails(f, "rollout_state", *later(f, "1.2"), says="aborted")
    fails(f, "not_found", *later(f, "1.3"))
    check(floors(f) == {} and kept(device) == {}, f"{floors(f)} {kept(device)}")


# ── What is raised ─────────────────────────────────────────────────────────────────────────────────────


def variants_are_merged_and_must_agree(f):
    started(f, facts={"camera": "a"})
    a, b = (("--variant", name, "--requires", f'camera == "{name}"') for name in "ab")
    # What is read last is in no case what counts.
    low = bundle(f, "1.0", *a, *made_at(0), security=3, floor=2)
    f.publish(low, made_first(f, low, "1.0", *b, security=3, floor=3))
    f.run(*wait_and_raise(f, "1.0"))
    check(floors(f) == {"app": 3}, f"the highest that any variant declares: {floors(f)}")
    f.publish(bundle(f, "1.1", *a, security=4, floor=4), bundle(f, "1.1", *b, security=4))
    f.run(*wait_and_raise(f, "1.1"))
    check(floors(f) == {"app": 4}, f"one that declares nothing takes nothing away: {floors(f)}")
    strong = bundle(f, "1.2", *a, *made_at(0), security=6, floor=6)
    f.publish(strong, made_first(f, strong, "1.2", *b, security=5))
    fails(f, "below_floor", *wait_and_raise(f, "1.2"), says="the variant b of the same release has security version 5")
    is_not_there(f, "1.2")
    f.run(*apply(f, "1.2", "--wait"))
    fails(f, "below_floor", *later(f, "1.2"), says="the variant b")
    check(floors(f) == {"app": 4}, str(floors(f)))


def floors_are_never_lowered(f):
    started(f)
    f.publish(bundle(f, "1.0", security=5, floor=2))
    f.run(*apply(f, "1.0", "--wait"))
    f.run("release", "floor", "app=4", "other=7", "--workspace", f.ws)
    check(f.json(*later(f, "1.0"))["outcome"] == "unchanged", "it was higher")
    check(floors(f) == {"app": 4, "other": 7}, str(floors(f)))


def a_product_line_of_a_delegated_role_counts(f):
    started(f)
    mia = f.path("mia")
    os.makedirs(os.path.join(mia, "offline/keys"))
    shutil.copy(f.root, mia)
    f.run("key", "new", "mia", "--keys", os.path.join(mia, "offline/keys"))
    public = os.path.join(mia, "offline/keys/mia.pub")
    f.run("key", "add", "bundle/models", public, "--component", "model", "--workspace", f.ws)
    f.run("root", "publish", "--workspace", f.ws)
    for role, pattern in (("unrelated", "lidar/*/*"), ("models", "camera/*/*")):
        f.run("release", "delegate", role, "--key", public, "--path", pattern, "--component", "model", "--workspace", f.ws)
    f.run("root", "update", "--workspace", mia)
    made = bundle(f, "1.0", name="camera", component="model", security=2, floor=1, workspace=mia)
    f.run("release", "publish", made, "--workspace", mia, "--role", "models")
    f.run(*wait_and_raise(f, "1.0", release="camera 1.0"))
    check(floors(f) == {"model": 1}, str(floors(f)))
    # What the delegation no longer covers is no part of the release for devices, so neither here.
    f.run("release", "delegate", "models", "--key", public, "--path", "camera/2.*/*", "--component", "model", "--workspace", f.ws)
    fails(f, "not_published", *later(f, "1.0"))
    f.run("release", "delegate", "models", "--key", public, "--path", "camera/*/*", "--component", "lens", "--workspace", f.ws)
    fails(f, "delegation", *later(f, "1.0"), says="model")
    # An earlier delegation that ends the search hides it.
    f.run("release", "delegate", "models", "--key", public, "--path", "camera/*/*", "--component", "model", "--workspace", f.ws)
    f.run(*later(f, "1.0"))
    f.run("release", "delegate", "unrelated", "--key", public, "--path", "camera/*/*", "--terminating", "--workspace", f.ws)
    fails(f, "not_published", *later(f, "1.0"))


def the_controller_is_not_believed(f):
    started(f)
    times = made_at(0)
    good = bundle(f, "1.0", *times, security=1, floor=1)
    other = bundle(f, "1.1", *times, security=9, floor=9)
    f.publish(good, other)
    f.run(*apply(f, "1.0", "--wait"))
    there = os.path.join(f.ws, "server/bundles", identity(f, good) + ".edge")

    def gives(path):
        os.unlink(there)
        shutil.copy(path, there)
    gives(other)
    fails(f, "digest_mismatch", *later(f, "1.0"), says="another bundle, thing 1.1")
    gives(bundle(f, "1.0", *times, security=9, floor=9))  # signed, of the release, and never published
    fails(f, "digest_mismatch", *later(f, "1.0"), says="another bundle, thing 1.0")
    # The same contents, and so the same id, signed by somebody else.
    f.run("init", f.path("evil"))
    forged = bundle(f, "1.0", *times, security=1, floor=1, workspace=f.path("evil"))
    check(identity(f, forged) == identity(f, good), "the id is another one: nothing would be tried")
    gives(forged)
    fails(f, "below_threshold", *later(f, "1.0"))
    os.unlink(there)
    fails(f, "not_found", *later(f, "1.0"), says="the controller does not have it")
    check(floors(f) == {}, str(floors(f)))
    shutil.copy(good, there)
    f.run(*later(f, "1.0"))
    check(floors(f) == {"app": 1}, str(floors(f)))
    f.run("release", "withdraw", "thing", "1.0", "--workspace", f.ws)
    fails(f, "not_published", *later(f, "1.0"), says="name no bundle of thing 1.0")


# ── Before it begins, and after ────────────────────────────────────────────────────────────────────────


def what_cannot_work_is_said_before_the_rollout_begins(f):
    started(f)
    f.publish(bundle(f, "1.0", security=1, floor=1))
    offline = os.path.join(f.ws, "offline/keys")
    token = {"EDGECTL_TOKEN": f.edgectl("token", "create", "--role", "deployer", "--expires", "1h").strip()}
    fails(f, "permission", *wait_and_raise(f, "1.0"), env=token, says="deployer")
    part = {"EDGECTL_TOKEN": f.edgectl("token", "create", "--role", "admin", "--selector", 'camera == "a"', "--expires", "1h").strip()}
    fails(f, "permission", *wait_and_raise(f, "1.0"), env=part)
    fails(f, "permission", *wait_and_raise(f, "1.0", "--key", os.path.join(offline, "bundle.key")), says="no key of targets")
    fails(f, "not_found", *wait_and_raise(f, "1.0", "--key", f.path("none.key")))
    os.rename(os.path.join(offline, "targets.key"), f.path("targets.key"))
    fails(f, "usage", *wait_and_raise(f, "1.0"), says="nobody to sign targets")
    is_not_there(f, "1.0")
    fails(f, "not_published", *wait_and_raise(f, "2.0", "--key", f.path("targets.key")))
    is_not_there(f, "2.0")
    for wrong, says in ((apply(f, "1.0", "--raise-floors", "--workspace", f.ws), "--wait"),
                        (apply(f, "1.0", "--wait", "--key", f.path("targets.key")), "--raise-floors"),
                        (apply(f, "1.0", "--wait", "--raise-floors"), "--workspace"),
                        (later(f, "1.0", "app=1"), "--rollout NAME alone"),
                        (("release", "floor", "--workspace", f.ws), "COMPONENT=N")):
        fails(f, "usage", *wrong, says=says)
    is_not_there(f, "1.0")
    f.run(*wait_and_raise(f, "1.0", "--key", f.path("targets.key")))
    check(floors(f) == {"app": 1}, str(floors(f)))


def a_failure_after_the_end_says_that_the_rollout_finished(f):
    started(f)
    f.publish(bundle(f, "1.0", security=1, floor=1))
    key = f.path("elsewhere.key")
    os.rename(os.path.join(f.ws, "offline/keys/targets.key"), key)
    waits = subprocess.Popen([fleet.EDGECTL, *wait_and_raise(f, "1.0", "--key", key, "--json", stages=ASKED)], env=f.env,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for("the rollout to be there", lambda: f.run("rollout", "status", "1.0", status=None).returncode == 0)
        os.rename(key, f.path("gone.key"))
        f.approve("1.0")
        out, said = waits.communicate(timeout=fleet.PATIENCE_S)
    finally:
        waits.kill()
    check(waits.returncode == KINDS["floors_not_raised"], f"exit status {waits.returncode}: {said}")
    check("rollout 1.0 finished" in said and "edgectl release floor --rollout 1.0" in said and "elsewhere.key" in said, said)
    check(json.loads(out)["state"] == "finished" and "raise_floors" not in json.loads(out), out)
    check(floors(f) == {}, str(floors(f)))
    publisher = {"EDGECTL_TOKEN": f.edgectl("token", "create", "--role", "publisher", "--expires", "1h").strip()}
    f.run(*later(f, "1.0", "--key", f.path("gone.key")), env=publisher)
    check(floors(f) == {"app": 1}, str(floors(f)))


def what_is_in_force_is_not_called_not_raised(f):
    """The targets arrive, and cannot be read back; or nobody learns that they arrived."""
    def falls_silent(lost_answer):
        said = []

        def before(method, path):
            return (502, b"") if said and path.endswith("targets.json") else None

        def after(method, path, status, data):
            if (method, path) != ("PUT", TARGETS):
                return status, data
            said.append(status)
            return None if lost_answer else (status, data)
        return between(f, before, after)

    started(f)
    f.publish(*(bundle(f, f"1.{n}", security=n, floor=n) for n in range(1, 6)))
    with falls_silent(False) as env:
        done = fails(f, "floors_not_raised", *wait_and_raise(f, "1.1"), env=env, says="whether its floors are raised is not known")
    check("it is published: reading it back: " in done.stderr and "edgectl release floor --rollout 1.1" in done.stderr, done.stderr)
    check(floors(f) == {"app": 1}, str(floors(f)))
    check(f.json(*later(f, "1.1"))["outcome"] == "unchanged", "it was raised")
    with falls_silent(True) as env:
        fails(f, "floors_not_raised", *wait_and_raise(f, "1.2"), env=env, says="whether its floors are raised is not known")
    check(floors(f) == {"app": 2}, str(floors(f)))
    f.run(*apply(f, "1.3", "--wait"))
    with falls_silent(False) as env:
        fails(f, "controller_unreachable", *later(f, "1.3"), env=env, says="it is published: reading it back: ")
    check(floors(f) == {"app": 3}, str(floors(f)))
    with between(f, lambda method, path: (503, b"") if method == "PUT" else None) as env:
        fails(f, "floors_not_raised", *wait_and_raise(f, "1.4"), env=env, says="whether its floors are raised is not known")
    check(floors(f) == {"app": 3}, str(floors(f)))


def a_weaker_variant_that_comes_in_between_is_not_shut_out(f):
    """The one who raises has read the release, and changes the targets; another one is faster with a variant that lies below."""
    started(f, facts={"camera": "a"})
    a, b = (("--variant", name, "--requires", f'camera == "{name}"') for name in "ab")
    f.publish(bundle(f, "1.0", *a, security=2, floor=2))
    f.run(*apply(f, "1.0", "--wait"))
    weaker = bundle(f, "1.0", *b, security=1)
    home = f.path("other")  # another publisher, with another folder of what waits
    os.makedirs(os.path.join(home, "offline"))
    shutil.copy(f.root, home)
    shutil.copytree(os.path.join(f.ws, "offline/keys"), os.path.join(home, "offline/keys"))
    came = []

    def before(method, path):
        if (method, path) == ("PUT", TARGETS) and not came:
            came.append(f.run("release", "publish", weaker, "--workspace", home))
    with between(f, before) as env:
        fails(f, "below_floor", *later(f, "1.0"), env=env, says="the variant b of the same release has security version 1")
    check(came and floors(f) == {}, f"{came} {floors(f)}")


def a_controller_that_names_no_release_is_not_believed(f):
    started(f)
    f.publish(bundle(f, "1.0", security=1, floor=1))
    f.run(*apply(f, "1.0", "--wait"))
    for version in ("", "../1.0", "1.0\n", "1" * 65):
        def after(method, path, status, data, version=version):
            if path == "/api/v1/rollouts/1.0":
                shown = json.loads(data)
                shown["release"]["version"] = version
                data = json.dumps(shown).encode()
            return status, data
        with between(f, after=after) as env:
            fails(f, "controller_garbage", *later(f, "1.0"), env=env, says="does not say of which release")
    check(floors(f) == {}, str(floors(f)))


def floors_of_two_people_wait_for_the_second(f):
    started(f)
    dora = f.path("dora")
    os.makedirs(os.path.join(dora, "offline/keys"))
    f.run("key", "new", "dora", "--keys", os.path.join(dora, "offline/keys"))
    f.publish(bundle(f, "1.0", security=1, floor=1))
    f.run("key", "add", "targets", os.path.join(dora, "offline/keys/dora.pub"), "--threshold", "2", "--workspace", f.ws)
    f.run("root", "publish", "--workspace", f.ws)
    shutil.copy(f.root, dora)
    pending = os.path.join(f.ws, "pending/targets.json")

    def both_sign(kind):
        if kind:
            f.run("release", "renew", "--workspace", f.ws, status=KINDS[kind])
        f.run("sign", pending, "--workspace", dora, "--yes")
        f.run("release", "publish", "--metadata", pending, "--workspace", f.ws)
    both_sign("pending")  # the role has changed, and the targets with it
    done = fails(f, "pending", *wait_and_raise(f, "1.0", "--json"), says="rollout 1.0 finished")
    check("edgectl sign" in done.stderr and "edgectl release publish --metadata" in done.stderr, done.stderr)
    said = json.loads(done.stdout)
    check(said["state"] == "finished" and said["raise_floors"]["outcome"] == "pending", str(said))
    with open(pending, encoding="utf-8") as file:
        first = file.read()
    check(json.loads(first)["signed"]["floors"] == {"app": 1} and floors(f) == {}, f"{first} {floors(f)}")
    fails(f, "pending", *later(f, "1.0"))
    with open(pending, encoding="utf-8") as file:
        check(file.read() == first, "asked again, it is another document: signatures would be lost")
    both_sign(None)
    check(floors(f) == {"app": 1}, str(floors(f)))
    check(f.json(*later(f, "1.0"))["outcome"] == "unchanged", "again")


SCENARIOS = [a_finished_rollout_raises_what_its_release_declares, without_being_told_a_finished_rollout_raises_nothing,
             a_rollout_that_did_not_finish_raises_nothing, variants_are_merged_and_must_agree, floors_are_never_lowered,
             a_product_line_of_a_delegated_role_counts, the_controller_is_not_believed,
             what_cannot_work_is_said_before_the_rollout_begins, a_failure_after_the_end_says_that_the_rollout_finished,
             what_is_in_force_is_not_called_not_raised, a_weaker_variant_that_comes_in_between_is_not_shut_out,
             a_controller_that_names_no_release_is_not_believed, floors_of_two_people_wait_for_the_second]


def alone(scenario):
    """With a controller of its own."""
    def run(_):
        with fleet.Fleet() as f:
            scenario(f)
    run.__name__ = scenario.__name__
    return run


if __name__ == "__main__":
    fleet.each(None, *[alone(s) for s in SCENARIOS])
    print(f"{os.path.basename(sys.argv[0])}: ok")
