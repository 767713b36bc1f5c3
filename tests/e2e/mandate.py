#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What people signed for holds against the controller: real devices whose root has the role mandate, under a thief who has the director's
key, the online keys of the repository and every honest file; and under an honest controller, where a signed plan goes through.

The thief and the mandates of the first half are made from bundle/FORMAT.md §20 alone (forge.py, repository.py)."""

import hashlib
import json
import os
import shutil
import sys

import fleet
import forge
from fleet import check, wait_for
from repository import DAY, Repository, World, comes_to, refuses, stamp, started

SEED = bytes([7] * 32)
NO_MANDATE, OUTSIDE, MANDATE_EXPIRED, EXPIRED, BELOW_THRESHOLD, BAD_SIGNATURE, PERMISSION, EXISTS = 64, 65, 66, 25, 21, 22, 12, 11
ALL = (1 << 64) - 1


# ── Under a thief ───────────────────────────────────────────────────────────────────────────────────


def rank(unit):
    return int.from_bytes(hashlib.blake2b(unit.encode(), digest_size=32, key=SEED).digest()[:8], "big")


def bounds(*values):
    return "".join(f"{value:016x}" for value in values)


def steps(reached, next_one):
    """A step that is open and reaches a rank, just so, and the next one, open in an hour. Of all ranks, 2^32 are one unit of share."""
    begun, later = 13 * 3600, 11 * 3600
    share = lambda ranks: min(max((ranks >> 32) + (1 if ranks == reached else -1), 1), (1 << 32) - 1)
    return [{"before": begun, "share": share(reached)}, {"before": later, "share": max(share(next_one), share(reached) + 1)}]


class Signed(Repository):
    """With the role mandate, whose key the thief does not have."""

    def __init__(self, role=True):
        self.mandate_keys = [forge.Key("mandate")] if role else []
        super().__init__()

    def publish_root(self, old=(), **more):
        sign = self.sign

        def with_role(kind, content, keys, **how):
            if kind == "root" and self.mandate_keys:
                content["keys"].update({key.id: key.object for key in self.mandate_keys})
                content["edge_roles"]["mandate"] = self.describe(self.mandate_keys)
            return sign(kind, content, keys, **how)

        self.sign = with_role
        try:
            super().publish_root(old, **more)
        finally:
            self.sign = sign


class Thief(World):
    """Says what it likes of mandates and stages, and serves whatever bytes it has."""

    def __init__(self, repository):
        super().__init__(repository)
        self.said, self.rollout = {}, "r"

    def serve(self, raw):
        name = f"m-{forge.digest(raw)}.json"  # any server can hold one: this one has it among other files
        self.repository.files[name] = raw
        return {"id": forge.digest(raw), "size": len(raw), "url": f"/repository/metadata/{name}"}

    def mandate(self, bundle, keys=None, **change):
        now = self.repository.now
        part = {"_type": "mandate", "attempt_max": 99, "baseline": False, "expires": stamp(now + DAY), "issued": stamp(now - DAY),
                "newcomer_bounds": bounds(0, ALL), "release": {"bundles": [forge.digest(bundle.signed_bytes())], "name": "thing", "version": bundle.signed["release"]},
                "rollout": "r", "seed": SEED.hex(), "selector": "", "signed_stages": 1, "spec_version": "1.0",
                "stages": [{"name": "canary"}, {"name": "rest"}], "strata": [{"bounds": bounds(ALL, ALL), "key": "{}"}], "stratify": [], "version": 1}
        part.update(change)
        return forge.envelope(forge.canon(part), self.repository.mandate_keys if keys is None else keys)

    def instruct(self, device, action, bundle, attempt=1, issued=None):
        envelope = json.loads(super().instruct(device, action, bundle, attempt, issued))
        signed = envelope["signed"]
        signed["rollout"] = self.rollout
        signed.update(self.said if action in ("install", "activate") else {})
        return forge.envelope(forge.canon(signed), self.director).decode()


def ask(world, device, bundle, attempt, raw, **said):
    with world.lock:
        world.said = {**({"mandate": world.serve(raw)} if raw else {}), **said}
        world.rollout = said.pop("rollout", "r")
        world.said.pop("rollout", None)
        world.orders[device.name] = (bundle, attempt)


def stays(world, device, code, attempt, release):
    told = refuses(world, device, code, attempt)
    wait_for("the device to be idle", lambda: device.status()["state"] == "idle")
    check(device.version() == release, f"{code}: it runs {device.version()}, not {release}: {told}")
    return told


def what_lies_within_the_mandate_is_installed():
    repo = Signed()
    with Thief(repo) as world:
        first = world.bundle("1.0")
        repo.add(first)
        device = started(world, "d1")
        ask(world, device, first, 1, world.mandate(first, strata=[{"bounds": bounds(rank("d1"), ALL), "key": "{}"}]), stage=0)
        comes_to(device, "1.0")
        check(os.path.exists(os.path.join(device.state, "private/mandate")), "it is kept")
        # Once for a rollout, however often the repository is asked: before the download, before the swap, and for the next attempt.
        with world.lock:
            fetched = [name for name in world.asked if name.startswith("m-")]
        check(len(fetched) == 1, f"fetched: {fetched}")


def beyond_the_mandate_nothing_is_installed():
    repo = Signed()
    with Thief(repo) as world:
        first, second, other = (world.bundle(release) for release in ("1.0", "2.0", "2.1"))
        for bundle in (first, second, other):
            repo.add(bundle)
        device = started(world, "d1")
        ask(world, device, first, 1, world.mandate(first))
        comes_to(device, "1.0")
        low = [{"bounds": bounds(rank("d1") - 1, ALL), "key": "{}"}]
        now = repo.now
        thief = [forge.Key("thief")]
        rows = [("no_mandate", {}, None), ("rank_beyond", {}, world.mandate(second, strata=low)),
                ("rank_beyond", {}, world.mandate(second, strata=[])),
                ("outside_mandate", {"stage": 1}, world.mandate(second, strata=low)),
                ("outside_mandate", {"stage": 9}, world.mandate(second, signed_stages=2)),
                ("outside_mandate", {}, world.mandate(other)), ("outside_mandate", {"rollout": "elsewhere"}, world.mandate(second)),
                ("outside_mandate", {"rollout": ""}, world.mandate(second)),
                ("outside_mandate", {}, world.mandate(second, selector='arch == "of another world"')),
                ("outside_mandate", {}, world.mandate(second, attempt_max=1)),
                ("outside_mandate", {}, world.mandate(second, stages=[{"devices": ["d2"], "name": "pin"}], newcomer_bounds=bounds(ALL), strata=[])),
                ("too_early", {}, world.mandate(second, stages=[{"name": "canary", "not_before": stamp(now + DAY // 2)}, {"name": "rest"}])),
                # All of the stage in half a day, and of its ranks so far too few: the device's is beyond the step that is open.
                ("too_early", {}, world.mandate(second, stages=[{"name": "canary", "not_before": stamp(now + DAY // 2), "steps": steps(0, rank("d1"))},
                                                               {"name": "rest"}])),
                ("mandate_expired", {}, world.mandate(second, issued=stamp(now - 2 * DAY), expires=stamp(now - DAY))),
                ("below_threshold", {}, world.mandate(second, keys=thief)), ("below_threshold", {}, world.mandate(second, keys=world.director))]
        for attempt, (code, said, raw) in enumerate(rows, start=2):
            ask(world, device, second, attempt, raw, **said)
            stays(world, device, code, attempt, "1.0")
        # None of it is held against the bundle, nor against the device. Of the same stage the step is open that its rank is in.
        ask(world, device, second, 50, world.mandate(second, version=9, stages=[
            {"name": "canary", "not_before": stamp(now + DAY // 2), "steps": steps(rank("d1"), ALL)}, {"name": "rest"}]))
        with world.lock:
            world.reports[device.name].clear()
        comes_to(device, "2.0")


def whole_sites_are_ranked_by_what_the_device_says_of_itself():
    """By the rank of its id the device would take what its site is not admitted to, and refuse what it is: the sites are chosen so. One of
    the version that devices knew before them refuses all of it (unit tests)."""
    repo = Signed()
    low, high = (next(f"s{i}" for i in range(999) if (rank(f"site:s{i}") > rank("d1")) == above) for above in (False, True))
    to = lambda bound: {"spec_version": "2.0", "strata": [{"bounds": bounds(bound, ALL), "key": "{}"}]}
    with Thief(repo) as world:
        first, second = (repo.add(bundle) or bundle for bundle in map(world.bundle, ("1.0", "2.0")))
        device = started(world, "d1", facts={"place": low, "shop": high})
        ask(world, device, first, 1, world.mandate(first, site="place", **to(rank(f"site:{low}"))))
        comes_to(device, "1.0")
        rows = [("rank_beyond", world.mandate(second, site="place", **to(rank(f"site:{low}") - 1))),
                ("rank_beyond", world.mandate(second, site="shop", **to(rank("d1")))),
                ("rank_beyond", world.mandate(second, site="none", **to(rank("d1") - 1))),
                ("bad_message", world.mandate(second, site="label.site", **to(ALL))),
                ("bad_message", world.mandate(second, site="place")),
                ("newer_format", world.mandate(second, **to(ALL)))]
        for attempt, (code, raw) in enumerate(rows, start=2):
            ask(world, device, second, attempt, raw)
            told = stays(world, device, code, attempt, "1.0")
            check(code != "rank_beyond" or attempt == 4 or "site:" in told["text"], f"whose rank: {told}")
        # Who is of no site is ranked by its id.
        ask(world, device, second, 50, world.mandate(second, site="none", **to(rank("d1"))))
        with world.lock:
            world.reports[device.name].clear()
        comes_to(device, "2.0")


def time_that_is_made_to_run_ahead_brings_no_stage_sooner():
    """The director dates its instructions, and the repository's online roles theirs, half a year ahead: signed time follows, the wall clock
    does not."""
    repo = Signed()
    with Thief(repo) as world:
        first = world.bundle("1.0")
        repo.add(first)
        device = started(world, "d1")
        repo.lives.update(snapshot=300 * DAY, timestamp=300 * DAY)
        raw = world.mandate(first, expires=stamp(repo.now + 365 * DAY), stages=[{"name": "canary", "not_before": stamp(repo.now + 30 * DAY)}, {"name": "rest"}])
        repo.now += 60 * DAY
        repo.publish_snapshot()
        ask(world, device, first, 1, raw)
        stays(world, device, "too_early", 1, None)
        check(device.status()["trust"]["trusted_time"] > stamp(repo.now - DAY), "signed time did run ahead")


def the_last_look_goes_by_the_last_word():
    """Taken, fetched and staged within one mandate; before the swap there is another."""
    repo = Signed()
    with Thief(repo) as world:
        first = world.bundle("1.0")
        repo.add(first)
        device = started(world, "d1")
        wide = world.mandate(first)
        narrow = world.mandate(first, version=2, strata=[{"bounds": bounds(rank("d1") - 1, ALL), "key": "{}"}])
        instruct = world.instruct

        def change(to, action, bundle, attempt=1, issued=None):
            world.said = {"mandate": world.serve(narrow if action == "activate" else wide)}
            return instruct(to, action, bundle, attempt, issued)

        world.instruct = change
        world.order(device, first)
        stays(world, device, "rank_beyond", 1, None)
        # Nor is an older one believed after it.
        world.instruct = instruct
        ask(world, device, first, 2, wide)
        stays(world, device, "outside_mandate", 2, None)


def a_mandate_that_cannot_be_had_is_asked_for_again():
    repo = Signed()
    with Thief(repo) as world:
        first = world.bundle("1.0")
        repo.add(first)
        device = started(world, "d1", fetch_tries=100)
        raw = world.mandate(first)
        name = world.serve(raw)["url"].rsplit("/", 1)[1]
        seen = []
        world.spoil[name] = lambda handler, data: (seen.append(1), handler.answer(200, data[:-1] + b" "))
        ask(world, device, first, 1, raw)
        wait_for("it to be asked for more than once", lambda: len(seen) > 1)
        check(device.version() is None, "other bytes than were named are none")
        del world.spoil[name]
        comes_to(device, "1.0")


def a_root_without_the_role_asks_for_none():
    repo = Signed(role=False)
    with Thief(repo) as world:
        first, second = (world.bundle(release) for release in ("1.0", "1.1"))
        repo.add(first)
        repo.add(second)
        device = started(world, "d1")
        ask(world, device, first, 1, None)
        comes_to(device, "1.0")
        # Until a root has it: from then on, also in the midst of all.
        repo.mandate_keys = [forge.Key("mandate")]
        repo.now += 1
        with world.lock:
            repo.publish_root()
            repo.publish()
        wait_for("the device to have the new root", lambda: device.status()["trust"]["root"]["version"] == 2)
        ask(world, device, second, 2, None)
        stays(world, device, "no_mandate", 2, "1.0")
        ask(world, device, second, 3, world.mandate(second))
        comes_to(device, "1.1")


# ── Under an honest controller ──────────────────────────────────────────────────────────────────────


class People(fleet.Fleet):
    """A fleet whose root has the role mandate."""

    def __init__(self, options=("--mandate",)):
        self.options = options
        super().__init__()

    def edgectl(self, *argv, **options):
        more = self.options if argv[:1] == ("init",) else ()
        return super().edgectl(*argv, *more, **options)

    def plan(self, name, stages, **more):
        policy = self.policy(name, stages=stages, timeout_s=120, **more)
        out = self.path(f"plan-{name}.json")
        self.edgectl("rollout", "plan", "-f", policy, "-o", out)
        return out

    def versions(self):
        return {device.name: device.version() for device in self.devices}


def run_all(f, release):
    wait_for(f"all to run {release}", lambda: set(f.versions().values()) == {release})


def codes(f, name):
    return {hold["code"] for hold in f.json("rollout", "why", name)["holds"]}


def publish_root(f):
    """Whether it warned that devices ask for mandates from now on."""
    return "WARNING: this root has the role mandate" in f.run("root", "publish", "--workspace", f.ws).stderr


def copy(f, path, name):
    shutil.copyfile(path, f.path(name))
    return f.path(name)


def who_gives_the_root_the_role_is_told_what_stands_still(f):
    f.edgectl("rollout", "apply", "-f", f.policy("before", release="pair 1.0", stages=[{"name": "all", "percent": 100, "approve": True}]))
    wait_for("the stage to wait", lambda: "approval" in codes(f, "before"))
    check("no_mandate" not in codes(f, "before"), "nobody asks for one yet")
    f.edgectl("key", "rotate", "mandate", "--workspace", f.ws)
    check(publish_root(f), "publishing the root warns")
    wait_for("why to say that it is not signed for", lambda: "no_mandate" in codes(f, "before"))
    f.approve("before", status=NO_MANDATE)
    f.edgectl("rollout", "abort", "before")
    check("no_mandate" not in codes(f, "before"), "what is over waits for nobody")


def a_policy_by_itself_is_refused_where_a_plan_has_to_be_signed(f):
    bare = f.policy("bare", release="pair 1.0")
    told = f.run("rollout", "apply", "-f", bare, status=NO_MANDATE)
    check("rollout sign" in told.stderr, told.stderr)
    # Nor does a workspace help that was named for its token, one of a root without the role, or one without the key.
    token, other, away = (f.path(name) for name in ("only-a-token", "another", "without-the-key"))
    os.mkdir(token)
    fleet.Fleet.edgectl(f, "init", other)
    shutil.copytree(f.ws, away, ignore=lambda _, names: [name for name in names if name.startswith("mandate") and name.endswith(".key")])
    for workspace, status in ((token, NO_MANDATE), (other, NO_MANDATE), (away, BELOW_THRESHOLD)):
        f.run("rollout", "apply", "-f", bare, "--workspace", workspace, status=status)
    path = f.plan("naked", [{"name": "all", "percent": 100}], release="pair 1.0")
    f.run("rollout", "apply", path, status=NO_MANDATE)
    check({one["name"] for one in f.json("rollout", "list")["rollouts"]} <= {"before"}, "nothing was begun")


def a_signed_plan_goes_through(f):
    path = f.plan("first", [{"name": "canary", "count": 1, "soak_s": 1}, {"name": "all", "percent": 100}], release="pair 1.0")
    said = f.json("rollout", "sign", path, "--workspace", f.ws, "--yes")
    check(said["complete"] and said["added"] == 1 and said["signed_stages"] == 2, f"{said}")
    f.run("rollout", "apply", path, "--wait", "--timeout", "240s")
    run_all(f, "1.0")
    check(f.rollout("first")["state"] == "finished", f"{f.rollout('first')}")


def somebody_else_cannot_sign(f):
    path = f.plan("forged", [{"name": "all", "percent": 100}], release="pair 1.1")
    told = f.run("rollout", "sign", path, "--root", f.root, "--key", os.path.join(f.ws, "offline/keys/bundle.key"), "--yes", status=PERMISSION)
    check("no key of the role mandate" in told.stderr, told.stderr)
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    f.edgectl("rollout", "sign", path, "--workspace", f.ws, "--yes")
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    document["mandate"]["signed"]["signed_stages"] = 1
    document["mandate"]["signed"]["newcomer_bounds"] = "0" * 16
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file)
    f.run("rollout", "apply", path, status=BAD_SIGNATURE)
    f.run("rollout", "sign", path, "--workspace", f.ws, "--yes", status=BAD_SIGNATURE)


def behind_an_approval_a_further_signature_is_needed(f):
    stages = [{"name": "canary", "count": 1}, {"name": "rest", "percent": 100, "approve": True}]
    path = f.plan("staged", stages, release="pair 1.1")
    said = f.json("rollout", "sign", path, "--workspace", f.ws, "--yes")
    check(said["signed_stages"] == 1, f"{said}")
    f.run("rollout", "apply", path)
    wait_for("the canary", lambda: list(f.versions().values()).count("1.1") == 1)
    wait_for("the stage to wait", lambda: f.rollout("staged")["stages"][1]["why"]["code"] == "approval")
    f.approve("staged", status=NO_MANDATE)
    wider = copy(f, path, "plan-wider.json")
    shown = f.edgectl("rollout", "sign", wider, "--workspace", f.ws, "--through", "rest", "--yes")
    check("version 2" in shown and "NOT signed" not in shown, shown)
    f.approve("staged", "--mandate", path, status=NO_MANDATE)
    check(list(f.versions().values()).count("1.1") == 1, "until then nobody else has it")
    f.approve("staged", "--mandate", wider)
    run_all(f, "1.1")


def a_late_device_is_brought_to_what_was_signed_for(f):
    wait_for("the rollout to finish", lambda: f.rollout("staged")["state"] == "finished")
    wider = f.path("plan-wider.json")
    f.approve("staged", "--mandate", wider, status=OUTSIDE)
    shown = f.edgectl("rollout", "sign", wider, "--workspace", f.ws, "--expires", "90d", "--yes")
    check("version 3" in shown, shown)
    f.approve("staged", "--mandate", wider)  # its baseline goes on being signed for
    token = f.edgectl("token", "create", "--enroll", "--uses", "1", "--expires", "1h").strip()
    late = f.add_device("late", controller=f.controller(), enroll_token=token)
    late.start()
    wait_for("it to have the baseline", lambda: late.agent("status", "--config", late.config, status=None).returncode == 0 and late.version() == "1.1")


def with_the_keys_at_hand_one_step_does_it_all(f):
    """Planned, signed and applied; approved and signed for. Nobody has anything to install, so that it is quick."""
    policy = f.policy("one-step", release="pair 1.1", stages=[{"name": "canary", "count": 1}, {"name": "rest", "percent": 100, "approve": True}], timeout_s=120)
    told = f.run("rollout", "apply", "-f", policy, "--workspace", f.ws)
    check("signed with the mandate key" in told.stderr and "through stage canary" in told.stderr, told.stderr)
    f.run("rollout", "apply", "-f", policy, "--workspace", f.ws)  # the same again is the same rollout
    said = f.rollout("one-step")
    check(said["mandate"]["version"] == 1 and said["mandate"]["signed_stages"] == 1, f"{said['mandate']}")
    wait_for("the stage to wait", lambda: f.rollout("one-step")["stages"][1]["why"]["code"] == "approval")
    told = f.approve("one-step", env={"EDGECTL_WORKSPACE": f.ws})
    check("signed through stage rest" in told.stderr, told.stderr)
    wait_for("its end", lambda: f.rollout("one-step")["state"] == "finished")
    said = f.rollout("one-step")
    check(said["mandate"]["version"] == 2 and said["mandate"]["baseline"], f"{said['mandate']}")


def a_pin_is_signed_for(f):
    device = f.devices[0]
    for workspace in ((), ("--workspace", f.path("only-a-token")), ("--workspace", f.path("another"))):
        f.run("device", "pin", device.name, "pair", "1.0", *workspace, status=NO_MANDATE)
    f.edgectl("device", "pin", device.name, "pair", "1.0", "--workspace", f.ws)
    wait_for("the pinned release", lambda: device.version() == "1.0")
    f.edgectl("device", "pin", device.name, "--off")


def what_is_signed_for_ends(f):
    """And until then a further mandate is one of a higher version."""
    stages = [{"name": "canary", "count": 1}, {"name": "most", "percent": 50, "approve": True}, {"name": "rest", "percent": 100, "approve": True}]
    path = f.plan("ends", stages, release="pair 1.1")
    f.edgectl("rollout", "sign", path, "--workspace", f.ws, "--yes")
    f.edgectl("rollout", "apply", path)
    wait_for("the second stage to wait", lambda: f.rollout("ends")["stages"][1]["why"]["code"] == "approval")
    for lasts in ("3s", "20s", "120s"):  # a machine may be too slow for the first
        short = copy(f, path, "plan-short.json")
        done = f.run("rollout", "sign", short, "--workspace", f.ws, "--through", "most", "--expires", lasts, "--yes", status=None)
        done = f.approve("ends", "--mandate", short, status=None) if done.returncode == 0 else done
        if done.returncode == 0:
            break
        check(done.returncode in (EXPIRED, MANDATE_EXPIRED), f"{done}")
    check(done.returncode == 0, f"{done}")
    wait_for("the last stage to wait", lambda: f.rollout("ends")["stages"][2]["why"]["code"] == "approval")
    other = copy(f, path, "plan-other.json")
    check(f.json("rollout", "sign", other, "--workspace", f.ws, "--through", "rest", "--yes")["version"] == 2, "made beside the short one")
    told = f.approve("ends", "--mandate", other, status=OUTSIDE)
    check("has version 2, and 2 was given before" in told.stderr, told.stderr)
    wait_for("why to say that it is over", lambda: "mandate_expired" in codes(f, "ends"))
    f.edgectl("rollout", "sign", short, "--workspace", f.ws, "--through", "rest", "--expires", "90d", "--yes")
    f.approve("ends", "--mandate", short)
    check("mandate_expired" not in codes(f, "ends"), "signed for anew")
    wait_for("its end", lambda: f.rollout("ends")["state"] == "finished")


def two_sign_where_two_are_asked_for(f):
    """One has a key in the workspace, the other a program that signs, and a copy of the plan."""
    public, program = f.path("second.pub"), f.path("signer")
    with open(public, "w", encoding="utf-8") as file:
        json.dump(forge.Key("second").object, file)
    with open(program, "w", encoding="utf-8") as file:
        file.write(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r})\nimport forge\n"
                   'sys.stdout.buffer.write(forge.Key("second").sign(sys.stdin.buffer.read()))\n')
    os.chmod(program, 0o755)
    f.edgectl("key", "add", "mandate", public, "--threshold", "2", "--workspace", f.ws)
    check(not publish_root(f), "it had the role before")
    stages = [{"name": "all", "percent": 100}]
    path, another = (f.plan(name, stages, release="pair 1.1") for name in ("two", "another"))
    theirs = copy(f, path, "plan-theirs.json")
    mine = f.json("rollout", "sign", path, "--workspace", f.ws, "--yes")
    check(mine["added"] == 1 and not mine["complete"], f"{mine}")
    told = f.run("rollout", "sign", path, "--workspace", f.ws, "--yes")
    check("the keys at hand have signed before" in told.stdout, told.stdout)
    f.run("rollout", "apply", path, status=BELOW_THRESHOLD)
    second = f.json("rollout", "sign", theirs, "--root", f.root, "--signer", program, "--signer-key", public, "--yes")
    check(second["added"] == 1 and not second["complete"], f"{second}")
    f.run("rollout", "apply", theirs, status=BELOW_THRESHOLD)
    f.run("rollout", "sign", path, "--workspace", f.ws, "--merge", another, "--yes", status=EXISTS)
    both = f.json("rollout", "sign", path, "--workspace", f.ws, "--merge", theirs, "--yes")
    check(both["added"] == 1 and both["complete"], f"{both}")
    f.run("rollout", "apply", path, "--wait", "--timeout", "240s")
    # In one step a single pair of hands is not enough.
    told = f.run("rollout", "apply", "-f", f.policy("alone", release="pair 1.1", stages=stages), "--workspace", f.ws, status=BELOW_THRESHOLD)
    check("lacks" in told.stderr and "alone" not in str(f.json("rollout", "list")), told.stderr)


def honest():
    with People(options=()) as f:
        f.start_server()
        for version in ("1.0", "1.1"):
            f.publish(f.pair(version))
        f.add_fleet(3)
        fleet.each(f, who_gives_the_root_the_role_is_told_what_stands_still, a_policy_by_itself_is_refused_where_a_plan_has_to_be_signed, a_signed_plan_goes_through, somebody_else_cannot_sign,
                   behind_an_approval_a_further_signature_is_needed, a_late_device_is_brought_to_what_was_signed_for, with_the_keys_at_hand_one_step_does_it_all,
                   a_pin_is_signed_for, what_is_signed_for_ends, two_sign_where_two_are_asked_for)


def the_honest_controller():
    honest()


if __name__ == "__main__":
    fleet.alone(what_lies_within_the_mandate_is_installed, beyond_the_mandate_nothing_is_installed,
                whole_sites_are_ranked_by_what_the_device_says_of_itself,
                time_that_is_made_to_run_ahead_brings_no_stage_sooner, the_last_look_goes_by_the_last_word,
                a_mandate_that_cannot_be_had_is_asked_for_again, a_root_without_the_role_asks_for_none, the_honest_controller)
