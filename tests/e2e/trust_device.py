#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a device believes of a repository: real agents and workers against one whose every key the test holds (repository.py)."""

import json
import os
import time

import fleet
import forge
from fleet import check, wait_for
from lone import KINDS
from repository import DAY, Repository, World, comes_to, ground, published, refuses, reports, stamp, started, trust


def stored(device):
    """{name: parsed} of private/tuf."""
    folder = os.path.join(device.state, "private/tuf")
    out = {}
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as f:
            out[name] = json.load(f)
    return out


# ── Installing


def a_bundle_is_installed_only_when_the_targets_name_it():
    with ground("1.0") as (repo, world, device, first):
        second = world.bundle("1.1")
        world.order(device, first)
        comes_to(device, "1.0")
        said = trust(device)
        check(said["why"] == {"code": "", "text": ""} and said["targets"]["version"] == repo.version["targets"], f"{said}")
        check(said["snapshot"]["expires"] == stamp(repo.now + 14 * DAY) and said["root"]["version"] == 1, f"{said}")
        check(said["trusted_time"] >= stamp(repo.now), f"{said}")
        # The stolen director: signed by role bundle, instructed by role director, never published.
        world.order(device, second)
        told = refuses(world, device, "not_in_targets")
        check("1.1" in told["text"] and device.version() == "1.0", f"{told}")
        check(device.status()["why"]["code"] == "not_in_targets", f"I10: {device.status()['why']}")
        # It was not the bundle's fault: the same attempt goes once it is published (I4).
        repo.add(second)
        with world.lock:
            world.reports[device.name].clear()
        comes_to(device, "1.1")


def what_was_withdrawn_is_not_installed():
    with published("1.0", "1.1") as (repo, world, first, second):
        one, two = started(world, "d1"), started(world, "d2")
        world.order(one, second)
        comes_to(one, "1.1")
        repo.withdraw(second)
        world.order(two, second)
        refuses(world, two, "not_in_targets")
        check(two.version() is None, "nothing was installed")


def delayed(device, seconds):
    device.agent("inhibit", "--config", device.config, "--reason", "a recording runs", str(seconds))


def staged(world, name, *bundles, **config):
    """A device that runs the first of two bundles and holds the second, sealed, before the swap."""
    device = started(world, name, **config)
    world.order(device, bundles[0])
    comes_to(device, bundles[0].signed["release"])
    delayed(device, 3600)
    world.order(device, bundles[1])
    wait_for(f"{name} to hold it", lambda: device.status()["state"] == "waiting" and device.status()["why"]["code"] == "inhibited")
    return device


def generations(device):
    return sorted(os.listdir(os.path.join(device.state, "generations")))


def never_activated(world, device, release, bundle, code="not_in_targets"):
    """I8, I10: idle, where it was before, and it says why."""
    check(not [r for r in reports(world, device, "activated") if r["bundle"] == forge.digest(bundle.signed_bytes())], "it was activated")
    status = device.status()
    check(device.version() == release and status["state"] == "idle" and status["why"]["code"] == code, f"{status}")
    wait_for("what was staged to go", lambda: len(generations(device)) == 2)


def what_is_withdrawn_while_it_waits_is_never_activated():
    with published("1.0", "1.1") as (repo, world, first, second):
        # With the controller's hint and without it, held by an inhibit, and by being off: the director says "activate" to all.
        devices = {name: staged(world, name, first, second) for name in ("hinted", "silent", "off")}
        devices["off"].kill()
        with world.lock:
            repo.withdraw(second)
        for name, device in devices.items():
            world.hint = name != "silent"
            if name == "off":
                device.start()
            else:
                delayed(device, 0)
            told = refuses(world, device, "not_in_targets")
            check("1.1" in told["text"], f"{told}")
            never_activated(world, device, "1.0", second)
        # Published again, the same attempt goes (I4).
        with world.lock:
            repo.add(second)
            world.reports.clear()
        for device in devices.values():
            comes_to(device, "1.1")


def what_its_publishers_may_not_publish_any_more_is_never_activated():
    repo = Repository()
    with World(repo) as world:
        first, second = (world.bundle(release, name="line") for release in ("1.0", "1.1"))
        repo.delegate("line", ["line/*/*"], [first, second])
        device = staged(world, "d1", first, second)
        with world.lock:
            repo.roles[0]["components"] = ["detector"]
            repo.publish()
        delayed(device, 0)
        check("component app" in refuses(world, device, "not_in_targets")["text"], "why")
        never_activated(world, device, "1.0", second)


def what_a_lost_key_signed_is_never_activated():
    with published("1.0", "1.1") as (repo, world, first, second):
        device = staged(world, "d1", first, second)
        with world.lock:
            repo.rotate("bundle")  # and the targets name both still
            repo.publish()
        delayed(device, 0)
        refuses(world, device, "below_threshold")
        never_activated(world, device, "1.0", second, "below_threshold")
        # As a device that sees it for the first time.
        fresh = started(world, "fresh")
        world.order(fresh, second)
        refuses(world, fresh, "below_threshold")


def what_falls_below_a_floor_while_it_waits_is_never_activated():
    with published("1.0", "1.1") as (repo, world, first, second):
        device = staged(world, "d1", first, second)
        with world.lock:
            repo.floors = {"app": 2}
            repo.publish()
        delayed(device, 0)
        refuses(world, device, "below_floor")
        never_activated(world, device, "1.0", second, "below_floor")


def a_repository_that_cannot_say_before_the_swap_is_waited_for():
    with published("1.0", "1.1") as (repo, world, first, second):
        device = staged(world, "d1", first, second)
        with world.lock:
            repo.now += 1
            repo.publish()
            world.spoil = {"timestamp.json": SPOILS["missing"]}
        delayed(device, 0)
        told = wait_for("a report that it waits", lambda: [r for r in reports(world, device, "waiting") if r["code"] == "stale_repository"])
        check("timestamp" in told[0]["text"], f"{told}")
        with world.lock:
            world.asked.clear()
        wait_for("it to ask again", lambda: len(world.asked) > 2)
        status = device.status()
        check(status["state"] == "waiting" and status["why"]["code"] == "stale_repository" and device.version() == "1.0", f"{status}")
        with world.lock:
            world.spoil = {}
        comes_to(device, "1.1")


def a_controller_that_acknowledges_what_never_was_is_not_asked_in_haste():
    # So far ahead that ids are given anew each time, and so far that they are not.
    for ahead in (1000, 2**40):
        with published("1.0") as (_, world, first):
            honest, heard = world.check_in, []

            def lie(body, honest=honest, heard=heard, ahead=ahead):
                heard.append(len(body["reports"]))
                return {**honest(body), **({"acked": ahead * len(heard), "poll_s": 3600} if any(heard) else {})}
            world.check_in = lie
            device = started(world, "d1")
            world.order(device, first)
            comes_to(device, "1.0")

            def quiet(heard=heard):
                before = len(heard)
                time.sleep(2)
                return len(heard) == before
            wait_for("it to wait for its time", quiet)


def delegated_keys_sign_what_they_may():
    repo = Repository()
    repo.delegations["models"] = {"components": ["detector"], "executable": False}
    repo.version["root"] = 0
    repo.publish_root()
    keys = [forge.Key("bundle/models")]
    with World(repo) as world:
        good = world.bundle("1.0", name="model", component="detector", keys=keys)
        other = world.bundle("1.1", name="model", component="app", keys=keys)
        program = world.bundle("1.2", name="model", component="detector", executable=True, keys=keys)
        device = world.device("stick", controller="")
        for bundle, status in ((good, 0), (other, KINDS["delegation"]), (program, KINDS["delegation"])):
            device.agent("install", "--config", device.config, "--quiet", bundle.path, status=status)
        check(device.version("detector") == "1.0", "from a stick")
        # And of the delegations of the targets: their limits, for bundles that role bundle signed.
        fine, app, tool = (world.bundle(release, name="line", component=component, executable=executable)
                           for release, component, executable in (("1", "detector", False), ("2", "app", False), ("3", "detector", True)))
        repo.publish()
        repo.delegate("line", ["line/*/*"], [fine, app, tool], components=["detector"], executable=False)
        device = started(world, "d1")
        world.order(device, app)
        check("component app" in refuses(world, device, "not_in_targets")["text"], "app")
        world.order(device, tool, attempt=2)
        check("executable" in refuses(world, device, "not_in_targets", attempt=2)["text"], "executable")
        world.order(device, fine, attempt=3)
        wait_for("the model", lambda: device.version("detector") == "1")


# ── Repositories that are wrong


def cut(handler, data):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data[:len(data) // 2])
    handler.close_connection = True


def endless(handler, data):
    handler.send_response(200)
    handler.end_headers()
    handler.close_connection = True
    try:
        for _ in range(4096):
            handler.wfile.write(b" " * 65536)
    except OSError:
        pass


SPOILS = {
    "missing": lambda h, data: h.answer(404, b"<html>" + b"x" * 700000),
    "forbidden": lambda h, data: h.answer(403, b""),
    "broken": lambda h, data: h.answer(500, b""),
    "garbage": lambda h, data: h.answer(200, b"\x00\xff<html>"),
    "empty": lambda h, data: h.answer(200, b""),
    "flipped": lambda h, data: h.answer(200, data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]),
    "unsigned": lambda h, data: h.answer(200, json.dumps({**json.loads(data), "signatures": []}).encode()),
    "cut": cut,
    "endless": endless,
}


def after_every_hostile_answer_the_next_honest_one_works():
    """Each file of each role spoiled in each way; nothing of it may lie where trusted metadata lies, and nothing may stick."""
    with ground("1.0") as (repo, world, device, bundle):
        wait_for("the first refresh", lambda: trust(device)["snapshot"])
        for role in ("timestamp", "snapshot", "targets", "root"):
            for how, spoil in SPOILS.items():
                if role == "root" and how in ("missing", "forbidden"):
                    continue  # no newer root
                before = stored(device)
                repo.now += 1
                with world.lock:
                    if role == "root":
                        repo.publish_root()
                    repo.publish()
                    name = "timestamp.json" if role == "timestamp" else f"{repo.version[role]}.{role}.json"
                    world.spoil = {name: spoil}
                why = wait_for(f"{role} {how} to be refused", lambda: trust(device)["why"]["code"])
                after = stored(device)
                check(after[f"{role}.json"] == before[f"{role}.json"], f"{role} {how}: {why}: something unaccepted is stored")
                with world.lock:
                    world.spoil = {}
                wait_for(f"the honest one after {role} {how} ({why})",
                         lambda: trust(device)["why"]["code"] == "" and trust(device)["snapshot"]["version"] == repo.version["snapshot"])
        world.order(device, bundle)
        comes_to(device, "1.0")
        check(trust(device)["root"]["version"] == repo.version["root"], f"{trust(device)}")


def an_install_waits_for_a_repository_that_is_down():
    with published("1.0") as (repo, world, bundle):
        world.hint = False
        world.spoil = {"timestamp.json": SPOILS["missing"]}
        device = started(world, "d1", fetch_tries=3)
        world.order(device, bundle)
        told = wait_for("a report that it waits", lambda: [r for r in reports(world, device, "waiting") if r["code"] == "stale_repository"])
        check("timestamp" in told[0]["text"], f"{told}")
        wait_for("more tries than a download has", lambda: len(world.asked) > 8)
        check(device.status()["state"] == "fetching" and not reports(world, device, "refused"), f"{device.status()}")
        with world.lock:
            world.spoil = {}
        comes_to(device, "1.0")


def expired_metadata_is_waited_for_and_never_blames_the_bundle():
    with published("1.0") as (repo, world, bundle):
        repo.now += 4 * DAY  # the director's clock goes on; nobody renews the timestamp
        world.hint = False
        device = started(world, "d1")
        world.order(device, bundle)
        told = wait_for("a report that it waits", lambda: [r for r in reports(world, device, "waiting") if r["code"] == "stale_repository"])
        check("expired" in told[0]["text"], f"{told}")
        with world.lock:
            repo.publish_timestamp()
        comes_to(device, "1.0")
        check(not reports(world, device, "refused"), f"{reports(world, device, 'refused')}")


def expiry_stops_new_installs_and_nothing_else():
    with ground("1.0", "1.1", "1.2") as (repo, world, device, first, second, third):
        for bundle in (first, second):
            world.order(device, bundle)
            comes_to(device, bundle.signed["release"])
        repo.now += 400 * DAY  # everything but the root has expired
        world.order(device, third)
        wait_for("the install to wait", lambda: device.status()["why"]["code"] == "stale_repository")
        with world.lock:
            world.orders[device.name] = (None, 1)
            world.once[device.name] = ("cancel", third)
        wait_for("the update to be given up", lambda: device.status()["state"] == "idle" and reports(world, device, "cancelled"))
        with world.lock:
            world.once[device.name] = ("revert", second)
        comes_to(device, "1.0")
        wait_for("the report of it", lambda: reports(world, device, "reverted"))
        device.kill()
        device.start()
        comes_to(device, "1.0")


# ── Time and rotations


def back_after_a_year_through_many_rotations():
    with ground("1.0", now=1700000000) as (repo, world, device, first):
        world.order(device, first)
        comes_to(device, "1.0")
        device.kill()
        # A year of it: every role's keys change, some of them several times.
        for month in range(12):
            repo.now += 30 * DAY
            for role in ("root", "timestamp", "snapshot", "targets", "director", "root")[month % 3:month % 3 + 4]:
                repo.rotate(role)
        repo.now += 30 * DAY
        second = world.bundle("1.1")
        repo.add(second)
        world.director = repo.keys["director"]
        world.order(device, second)
        device.start()
        comes_to(device, "1.1")
        said = trust(device)
        check(said["root"]["version"] == repo.version["root"] and said["trusted_time"] >= stamp(repo.now), f"{said}")


def an_update_in_probation_outlives_a_rotation_of_the_bundle_keys():
    with ground("1.0", "1.1", probation_s=86400) as (repo, world, device, first, second):
        world.order(device, first)
        wait_for("probation", lambda: device.status()["state"] == "probation")
        with world.lock:
            repo.rotate("bundle")
            repo.publish()
        wait_for("the new root", lambda: trust(device)["root"]["version"] == repo.version["root"])
        device.kill()  # -9
        device.start()
        wait_for("the watch to go on", lambda: (device.status().get("probation") or {}).get("restarts") == 1)
        check(device.version() == "1.0" and device.status()["state"] == "probation", f"{device.status()}")
        device.agent("commit", "--config", device.config)
        comes_to(device, "1.0")
        wait_for("the report of it", lambda: reports(world, device, "committed"))
        check(not reports(world, device, "reverted"), f"{reports(world, device, 'reverted')}")
        # What the old key signed is not admitted any more.
        world.order(device, second, attempt=2)
        refuses(world, device, "below_threshold", attempt=2)


def a_stolen_timestamp_key_is_undone_by_rotation():
    with ground("1.0") as (repo, world, device, bundle):
        wait_for("the first refresh", lambda: trust(device)["snapshot"])
        far = 4070908800  # 2099
        with world.lock:
            honest = repo.version["timestamp"]
            repo.version["timestamp"] = 10**15  # and no honest version will ever be higher
            repo.publish_timestamp(issued=far)
            world.hint = False
        world.order(device, bundle)
        wait_for("time to stop at the snapshot's expiry", lambda: trust(device)["trusted_time"] == stamp(repo.now + 14 * DAY))
        wait_for("it to wait", lambda: device.status()["why"]["code"] == "stale_repository")
        check(device.version() is None, "frozen, no more")
        with world.lock:
            repo.version["timestamp"] = honest
            repo.rotate("timestamp")
            repo.publish_timestamp()
        comes_to(device, "1.0")
        check(trust(device)["trusted_time"] < stamp(repo.now + DAY), f"{trust(device)}")


def roots_and_targets_dated_ahead_are_undone():
    """By people whose clock was wrong: the next root undoes its own date, and a rotation of targets that of the targets."""
    repo, far = Repository(), 2713910400  # 2056
    with World(repo) as world:
        first, second = world.bundle("1.0"), world.bundle("1.1")
        repo.add(first)
        device = started(world, "d1")
        wait_for("the first refresh", lambda: trust(device)["snapshot"])
        with world.lock:
            repo.publish_root(issued=far)
            repo.publish_snapshot()
        world.order(device, first)
        wait_for("the date to be believed", lambda: trust(device)["trusted_time"] >= stamp(far))
        wait_for("it to wait", lambda: device.status()["why"]["code"] == "stale_repository")
        with world.lock:
            repo.publish_root()
            repo.publish_snapshot()
        comes_to(device, "1.0")
        check(trust(device)["trusted_time"] < stamp(repo.now + DAY), f"{trust(device)}")
        with world.lock:
            honest, repo.now = repo.now, far
            repo.add(second)
            repo.now = honest
        world.order(device, second)
        wait_for("time to stop at the root's expiry", lambda: trust(device)["trusted_time"] == trust(device)["root"]["expires"])
        with world.lock:
            repo.version.update(targets=honest, snapshot=honest, timestamp=honest)
            for role in ("targets", "snapshot", "timestamp"):
                repo.rotate(role)
            repo.publish()
        comes_to(device, "1.1")
        check(trust(device)["trusted_time"] < stamp(repo.now + DAY), f"{trust(device)}")


def a_root_that_devices_do_not_read_is_refused_whole():
    """The Update Framework takes any spelling and size of a root; a device takes what its own reader of roots does."""
    with ground("1.0") as (repo, world, device, bundle):
        wait_for("the first refresh", lambda: trust(device)["snapshot"])
        before = stored(device)
        with world.lock:
            repo.rotate("timestamp")  # whose old file would be forgotten with it
            repo.publish()
            good = repo.files["2.root.json"]
        for name, bad in (("spelled", json.dumps(json.loads(good), indent=1).encode()), ("long", good + b" " * (65537 - len(good)))):
            repo.files["2.root.json"] = bad
            asked = len(world.asked)
            why = wait_for(f"the {name} root to be refused", lambda: trust(device)["why"] if trust(device)["why"]["code"] and len(world.asked) > asked + 3 else None)
            check("2.root.json" in why["text"] and why["code"] in ("syntax", "not_canonical", "limit"), f"{name}: {why}")
            check(stored(device) == before and trust(device)["root"]["version"] == 1, f"{name}: nothing of it is taken over")
        repo.files["2.root.json"] = good
        world.order(device, bundle)
        comes_to(device, "1.0")


def a_wall_clock_twenty_years_off_changes_nothing():
    with published("1.0") as (repo, world, bundle):
        for name, jump in (("past", "-20y"), ("future", "+20y"), ("epoch", "@1970-01-02 00:00:00")):
            device = started(world, name, fleet.other_time(jump))
            with open(f"/proc/{device.process.pid}/maps", encoding="utf-8") as f:
                check("faketime" in f.read(), "the clock is a fake one")
            world.order(device, bundle)
            comes_to(device, "1.0")
            check(stamp(repo.now) <= trust(device)["trusted_time"] < stamp(repo.now + DAY), f"{name}: {trust(device)}")
            device.kill()


# ── Floors


def floors_of_the_targets_are_kept():
    repo = Repository()
    with World(repo) as world:
        old, new = world.bundle("1.0", security_version=3), world.bundle("1.1", security_version=5)
        repo.floors = {"app": 4}
        repo.add(old)
        repo.add(new)
        device = started(world, "d1")
        world.order(device, old)
        refuses(world, device, "below_floor")
        world.order(device, new)
        comes_to(device, "1.1")
        device.kill()
        device.agent("install", "--config", device.config, "--quiet", old.path, status=KINDS["below_floor"])


def main():
    scenarios = [a_bundle_is_installed_only_when_the_targets_name_it, what_was_withdrawn_is_not_installed,
                 what_is_withdrawn_while_it_waits_is_never_activated, what_a_lost_key_signed_is_never_activated, what_its_publishers_may_not_publish_any_more_is_never_activated,
                 what_falls_below_a_floor_while_it_waits_is_never_activated, a_repository_that_cannot_say_before_the_swap_is_waited_for,
                 a_controller_that_acknowledges_what_never_was_is_not_asked_in_haste,
                 expiry_stops_new_installs_and_nothing_else, delegated_keys_sign_what_they_may, after_every_hostile_answer_the_next_honest_one_works,
                 an_install_waits_for_a_repository_that_is_down, expired_metadata_is_waited_for_and_never_blames_the_bundle,
                 back_after_a_year_through_many_rotations, an_update_in_probation_outlives_a_rotation_of_the_bundle_keys,
                 a_stolen_timestamp_key_is_undone_by_rotation, roots_and_targets_dated_ahead_are_undone,
                 a_root_that_devices_do_not_read_is_refused_whole, a_wall_clock_twenty_years_off_changes_nothing, floors_of_the_targets_are_kept]
    fleet.alone(*scenarios)


if __name__ == "__main__":
    main()
