#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Deltas at the controller: published with or after their bundles, offered to devices that run what they start from, refused when
they are none, and withdrawn with their release."""

import json
import os
import random
import shutil

import fleet
from fleet import check, wait_for
from impostor import Impostor, admin, call

BLOCK = 512
TRUNCATED, BAD_DELTA = 41, 61  # exit statuses
BY_HAND = ("--deltas", "off")  # the controller makes none of its own


def bulk(version):
    source = random.Random("bulk")
    lines = [f"{source.getrandbits(64):016x} {i}\n" for i in range(8000)]
    source = random.Random(version)
    for _ in range(20):
        lines[source.randrange(len(lines))] = f"changed in {version}\n"
    return "".join(lines)


def bundle(f, version, name="app"):
    return f.bundle(name, version, {name: f.component(f"{name}-{version}", {"version": version, "bulk": bulk(version)}),
                                    "model": f.component(f"model-{version}", {"weights": bulk(version)[::-1]})})


def delta(f, old, new, name):
    """By hand, as a publisher makes it; targets vouch for it, so its head needs no signature."""
    out = f.path(name)
    f.edgectl("bundle", "delta", old, new, "-o", out, "--root", f.root)
    return out


def inspect(f, path):
    return f.json("bundle", "inspect", path)


def releases(f):
    """{(name, version): its only bundle}"""
    return {(r["name"], r["version"]): r["bundles"][0] for r in f.json("release", "list")["releases"]}


def target_paths(f, role="targets"):
    folder = os.path.join(f.ws, "server/repository/metadata")
    newest = max((int(name.split(".")[0]) for name in os.listdir(folder) if name.split(".")[1:] == [role, "json"]), default=0)
    if not newest:
        return []
    with open(os.path.join(folder, f"{newest}.{role}.json"), encoding="utf-8") as file:
        return sorted(json.load(file)["signed"]["targets"])


class Running(Impostor):
    """Says that all of its components came from one bundle."""

    def run_bundle(self, row, more=None):
        self.say["components"] = {name: {"manifest": row["id"], "name": row["name"], "security_version": 0, "version": row["version"]}
                                  for name in row["components"]}
        self.say["components"].update(more or {})
        self.say["generation"] = 1
        return self

    def offered(self):
        self.check_in()
        check(self.told and self.told["action"] == "install", f"{self.name}: {self.heard}")
        return self.told


def group(f, name, count=1):
    secret = admin(f, 201, "POST", "/tokens", {"kind": "enroll", "labels": {"group": name}})["secret"]
    made = [Running(f, f"{name}-{i}").join(secret) for i in range(count)]
    for device in made:
        device.check_in()
    return made


def apply(f, name, release, **policy):
    whole = {"release": release, "selector": f'label.group == "{name}"', "timeout_s": 600, **policy}
    f.edgectl("rollout", "apply", "-f", f.policy(name, **whole))


# ── Published ──────────────────────────────────────────────────────────────────────────────────────────


def a_delta_is_published_with_its_bundle_and_again_without_a_change(f, s):
    f.publish(s["1.0"])
    said = f.json("release", "publish", s["1.1"], "--delta", s["delta"], "--workspace", f.ws)
    head = inspect(f, s["delta"])
    check(said["outcome"] == "published" and len(said["bundles"]) == 1 and len(said["deltas"]) == 1, str(said))
    shown = said["deltas"][0]
    check(shown["bundle"] == head["bundle"] and shown["base"] == head["base"] and shown["size"] == os.path.getsize(s["delta"]), str(shown))
    row = releases(f)["app", "1.1"]
    check(len(row["deltas"]) == 1 and row["deltas"][0]["named"], f"release list shows it: {row}")
    check(row["deltas"][0]["base_release"] == {"name": "app", "version": "1.0"}, str(row))
    check(f"app/1.1/{head['bundle']}/{head['base']}.json" in target_paths(f), str(target_paths(f)))
    listed = f.edgectl("release", "list")
    check("delta from app 1.0" in listed and "not in the targets" not in listed, listed)
    before = target_paths(f), os.listdir(os.path.join(f.ws, "server/repository/metadata"))
    again = f.json("release", "publish", s["1.1"], "--delta", s["delta"], "--workspace", f.ws)
    check(again["outcome"] == "unchanged", f"publishing again: {again}")
    check("was published before: delta from app 1.0" in f.publish("--delta", s["delta"]), "a delta alone")
    check((target_paths(f), os.listdir(os.path.join(f.ws, "server/repository/metadata"))) == before, "nothing was made anew")


def what_was_only_uploaded_is_not_used(f, s):
    """Until the targets name it; by the same command, which finds it there."""
    f.publish(s["1.2"])
    f.edgectl("release", "publish", "--delta", s["1.1 to 1.2"], "--upload-only")
    check([d["named"] for d in releases(f)["app", "1.2"]["deltas"]] == [False], "uploaded, not named")
    check("(not in the targets)" in f.edgectl("release", "list", "--name", "app"), "and said so")
    [device] = group(f, "unnamed")
    device.run_bundle(releases(f)["app", "1.1"])
    apply(f, "unnamed", "app 1.2")
    check("delta" not in device.offered(), f"not offered: {device.told}")
    f.publish("--delta", s["1.1 to 1.2"])
    told = device.offered()
    check(told["delta"]["base"] == releases(f)["app", "1.1"]["id"], f"offered once it is named: {told}")
    f.edgectl("rollout", "abort", "unnamed")


# ── Offered ────────────────────────────────────────────────────────────────────────────────────────────


def a_device_that_runs_the_base_is_offered_the_delta(f, s):
    rows = releases(f)
    same, mixed, other, nothing = group(f, "mix", 4)
    same.run_bundle(rows["app", "1.0"])
    mixed.run_bundle(rows["app", "1.0"], {"model": {"manifest": rows["app", "1.2"]["id"], "name": "app", "security_version": 0,
                                                    "version": "1.2"}})
    other.run_bundle(rows["app", "1.2"])
    apply(f, "mix", "app 1.1", byte_budget={"bytes": 5000000, "metered_bytes": 0})
    told = same.offered()
    listed = rows["app", "1.1"]["deltas"][0]
    check(told["delta"] == {"base": rows["app", "1.0"]["id"], "size": listed["size"], "url": listed["url"]}, str(told))
    check(told["budget"] == {"bytes": 5000000, "metered_bytes": 0}, str(told))
    check(told["bundle"]["id"] == rows["app", "1.1"]["id"], str(told))
    for device in (mixed, other, nothing):
        check("delta" not in device.offered(), f"{device.name} does not run all of it: {device.told}")
    with open(s["delta"], "rb") as file:
        whole = file.read()
    status, heads, got = call(f, "GET", told["delta"]["url"])
    check(status == 200 and got == whole, f"the delta's bytes: {status}")
    status, _, got = call(f, "GET", told["delta"]["url"], headers={"Range": "bytes=100-299", "If-Range": heads["ETag"]})
    check(status == 206 and got == whole[100:300], f"a part of it: {status}")
    status, heads, _ = call(f, "HEAD", told["delta"]["url"])
    check(status == 200 and int(heads["Content-Length"]) == len(whole), "HEAD")
    check(call(f, "GET", "/bundles/" + "0" * 64 + ".delta")[0] == 404, "another one")
    check(call(f, "GET", "/bundles/x.delta")[0] == 404, "no digest")
    head = inspect(f, s["delta"])
    with open(os.path.join(f.ws, "server/repository/targets/app/1.1", head["bundle"], f"{listed['head']}.{head['base']}.json"), "rb") as file:
        part = file.read()
    status, _, got = call(f, "GET", f"/repository/targets/app/1.1/{head['bundle']}/{listed['head']}.{head['base']}.json")
    check(status == 200 and got == part and json.loads(part)["bundle"] == head["bundle"], f"the head among the targets: {status}")
    f.edgectl("rollout", "abort", "mix")


def a_delta_is_offered_below_another_address(f, s):
    f.stop_server()
    f.start_server(*BY_HAND, "--public-url", "https://cdn.example/edge")
    [device] = group(f, "cdn")
    device.run_bundle(releases(f)["app", "1.0"])
    apply(f, "cdn", "app 1.1")
    told = device.offered()
    check(told["delta"]["url"] == "https://cdn.example/edge" + releases(f)["app", "1.1"]["deltas"][0]["url"], str(told))
    check("budget" not in told, "a policy without a budget")
    f.edgectl("rollout", "abort", "cdn")
    f.stop_server()
    f.start_server(*BY_HAND)


# ── What it cost ───────────────────────────────────────────────────────────────────────────────────────


def what_an_update_cost_is_shown_and_summed(f, s):
    def cost(**kinds):
        return {**dict.fromkeys(("delta", "range", "full", "index", "cache", "reused"), 0), **kinds}
    mine, other = group(f, "cost", 2)
    for device in (mine, other):
        device.run_bundle(releases(f)["app", "1.0"])
    apply(f, "cost", "app 1.1")
    for device, first in ((mine, cost(delta=1048576, index=1024, reused=4096)), (other, cost(full=2097152, cache=1048576))):
        device.take()
        device.report("staged", device.last, bytes=first)
        device.check_in()
    check(f.rollout("cost")["bytes"] == cost(delta=1048576, full=2097152, index=1024, cache=1048576, reused=4096), str(f.rollout("cost")["bytes"]))
    # The same reports again, as after an answer that was lost, and one that says what was spent since.
    mine.report_id -= 1
    mine.report("staged", mine.last, bytes=cost(delta=1048576, index=1024, reused=4096))
    mine.report("refused", mine.last, code="budget", bytes=cost(delta=1048577, index=1024, reused=4096))
    mine.check_in()
    check(f.rollout("cost")["bytes"] == cost(delta=1048577, full=2097152, index=1024, cache=1048576, reused=4096), str(f.rollout("cost")["bytes"]))
    shown = f.json("device", "show", mine.name)["last_update"]
    check(shown["rollout"] == "cost" and shown["attempt"] == 1 and shown["bytes"] == cost(delta=1048577, index=1024, reused=4096), str(shown))
    said = f.edgectl("device", "show", other.name)
    check("2 MiB over the link (full 2 MiB), 1 MiB of it from a site cache" in said, said)
    said = f.edgectl("rollout", "status", "cost")
    check("bytes: 3 MiB over the link (delta 1 MiB, full 2 MiB, index 1 KiB)" in said, said)
    f.stop_server()
    f.start_server(*BY_HAND)
    check(f.rollout("cost")["bytes"]["delta"] == 1048577, "the sums outlive a restart")
    f.edgectl("rollout", "abort", "cost")


def a_real_device_takes_the_delta_and_says_what_it_cost(f, s):
    secret = admin(f, 201, "POST", "/tokens", {"kind": "enroll", "labels": {"group": "real"}})["secret"]
    device = f.add_device("real", controller=f.controller(), enroll_token=secret)
    device.start()
    for name, release in (("real-1", "1.0"), ("real-2", "1.1")):
        apply(f, name, f"app {release}", selector='label.group == "real"')
        wait_for(f"{release} on the device", lambda name=name: f.rollout(name)["state"] == "finished")
        check(device.version() == release and device.read("app", "version") == release, f"{device.version()}")
    first, second = f.rollout("real-1")["bytes"], f.rollout("real-2")["bytes"]
    size = releases(f)["app", "1.1"]["deltas"][0]["size"]
    check(first["delta"] == 0 and first["full"] + first["range"] > 0, f"the first one is a bundle: {first}")
    check(0 < second["delta"] <= size and second["full"] == second["range"] == 0, f"the second one is a delta of {size} bytes: {second}")
    check(f.json("device", "show", "real")["last_update"]["bytes"] == second, "and the device's last")
    device.kill()


# ── Refused ────────────────────────────────────────────────────────────────────────────────────────────


def send(f, data):
    status, _, answer = call(f, "POST", "/api/v1/deltas", data, f.env["EDGECTL_TOKEN"])
    return status, answer


def read(path):
    with open(path, "rb") as file:
        return file.read()


def what_is_no_delta_is_refused_and_leaves_nothing(f, s):
    good, bundles = read(s["delta"]), os.path.join(f.ws, "server/bundles")
    before = sorted(os.listdir(bundles)), releases(f)
    flipped = bytearray(good)
    flipped[-3 * BLOCK] ^= 1  # in the last frame, or the padding behind it
    foreign = bytearray(good)  # 1.1's head behind the manifest of 1.2
    other = read(s["1.1 to 1.2"])
    size = int(good[124:135], 8)
    check(int(other[124:135], 8) == size, "manifests of one size")
    foreign[BLOCK:BLOCK + size] = other[BLOCK:BLOCK + size]
    for what, data, status, code, says in (
            ("garbage", b"garbage" * 200, 400, "bad_skeleton", ""),
            ("nothing of it", b"\0", 400, "truncated", ""),
            ("a bundle", read(s["1.1"]), 400, "bad_delta", "bundles go to"),
            ("a part", good[:len(good) // 2], 400, "truncated", ""),
            ("too much", good + b"\0" * BLOCK, 400, "trailing_data", ""),
            ("a flipped bit", bytes(flipped), 400, "bad_delta", ""),
            ("the head of another", bytes(foreign), 400, "bad_delta", "for another bundle than its manifest"),
            ("an unknown bundle", read(s["to nowhere"]), 404, "not_found", "that the delta makes"),
            ("an unknown base", read(s["from nowhere"]), 404, "not_found", "that the delta starts from")):
        got, answer = send(f, data)
        check(got == status and answer["code"] == code and says in answer["text"], f"{what}: {got}: {answer}")
        check((sorted(os.listdir(bundles)), releases(f)) == before, f"{what} left something behind")
    for what, path, kind in (("garbage", f.path("garbage"), TRUNCATED), ("a bundle", s["1.1"], BAD_DELTA)):
        with open(f.path("garbage"), "wb") as file:
            file.write(b"garbage")
        done = f.run("release", "publish", "--delta", path, "--workspace", f.ws, status=None)
        check(done.returncode == kind and path in done.stderr, f"{what}: {done.returncode}: {done.stderr}")
    done = f.run("release", "publish", s["delta"], "--workspace", f.ws, status=None)
    check(done.returncode != 0 and "delta" in done.stderr, f"a delta in the place of a bundle: {done.stderr}")
    done = f.run("release", "publish", "--delta", s["to nowhere"], "--workspace", f.ws, status=None)
    check(done.returncode != 0 and "publish it first" in done.stderr, done.stderr)


def with_longer_heads(data, start, more):
    """The member whose header lies there, with so many spaces more, which count for no digest."""
    head, end = bytearray(data[start:start + BLOCK]), start + BLOCK + int(data[start + 124:start + 135], 8)
    head[124:136] = b"%011o\0" % (end - start - BLOCK + more)
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return data[:start] + bytes(head) + data[start + BLOCK:end] + b" " * more + data[end:]


def what_is_sent_again_is_offered_with_the_size_that_it_has_now(f, s):
    """One more signature is another file by the same name; with the old size no device would take it."""
    [device] = group(f, "again")
    device.run_bundle(releases(f)["app", "1.0"])
    apply(f, "again", "app 1.1")
    device.offered()
    whole, patch = read(s["1.1"]), read(s["delta"])
    longer = (("/api/v1/releases", with_longer_heads(whole, 0, 4096)),
              ("/api/v1/deltas", with_longer_heads(patch, BLOCK + int(patch[124:135], 8), BLOCK)))
    for where, data in longer:
        status, _, answer = call(f, "POST", where, data, f.env["EDGECTL_TOKEN"])
        check(status == 200 and answer["size"] == len(data), f"{where}: {status}: {answer}")
    told = device.offered()
    for key, (_, data) in zip(("bundle", "delta"), longer):
        check(told[key]["size"] == len(data) and call(f, "GET", told[key]["url"])[2] == data, f"{key}: {told[key]}")
    f.edgectl("rollout", "abort", "again")
    f.publish(s["1.1"], "--delta", s["delta"])
    check(releases(f)["app", "1.1"]["size"] == len(whole), "and back")


def who_may_not_publish_may_not_send_one(f, s):
    viewer = f.json("token", "create", "--role", "viewer")["secret"]
    status, _, answer = call(f, "POST", "/api/v1/deltas", read(s["delta"]), viewer)
    check(status == 403 and answer["code"] == "permission", f"{status}: {answer}")
    check(call(f, "POST", "/api/v1/deltas", read(s["delta"]))[0] == 401, "nobody")


# ── The role for deltas ────────────────────────────────────────────────────────────────────────────────


def the_online_key_can_name_no_bundle(f, s):
    key, pub = (os.path.join(f.ws, "server/keys", f"deltas.{kind}") for kind in ("key", "pub"))
    mine = ("--role", "deltas", "--key", key, "--workspace", f.ws)
    done = f.run("release", "publish", s["1.0"], *mine, status=None)
    check(done.returncode != 0 and "role deltas is not trusted for app/1.0/" in done.stderr, done.stderr)
    delegate = ("release", "delegate", "deltas", "--deltas-only", "--key", pub, "--workspace", f.ws)
    check(f.json(*delegate)["outcome"] == "unchanged", "what init did is what the command does")
    for wrong in (("--component", "app"), ("--no-executable",)):
        done = f.run(*delegate, *wrong, status=None)
        check(done.returncode != 0 and "--deltas-only" in done.stderr, done.stderr)
    # Any path: then the lack of components counts.
    said = f.json(*delegate, "--path", "*/*/*")
    check(any("path" in line for line in said["changes"]), str(said))
    done = f.run("release", "publish", s["1.0"], *mine, status=None)
    check(done.returncode != 0 and "not trusted with the component app" in done.stderr, done.stderr)
    f.edgectl(*delegate)


def in_a_folder_they_are_renewed_with_the_targets(f, _):
    ws = f.path("renewed")
    shutil.copytree(f.ws, ws)
    folder = os.path.join(ws, "server/repository")
    renew = ("release", "renew", "--workspace", ws, "--repository", folder)

    def current():
        snapshot = signed(folder, "timestamp.json")["meta"]["snapshot.json"]["version"]
        meta = signed(folder, f"{snapshot}.snapshot.json")["meta"]
        return {role: signed(folder, f"{meta[role + '.json']['version']}.{role}.json") for role in ("targets", "deltas")}
    before = current()
    said = f.json(*renew, "--expires", "400d")
    check(said["role"] == "targets" and said["outcome"] == "published" and said["deltas"]["role"] == "deltas", f"{said}")
    after = current()
    for role, was in before.items():
        check(after[role]["version"] > was["version"] and after[role]["expires"] > was["expires"] and after[role]["targets"] == was["targets"],
              f"{role}: {was} {after[role]}")
    # Only that role, or another one: nothing else.
    check("deltas" not in f.json(*renew, "--role", "deltas", "--key", os.path.join(ws, "server/keys/deltas.key")), "that is it already")
    version = current()["deltas"]["version"]
    os.remove(os.path.join(ws, "server/keys/deltas.key"))
    done = f.run(*renew, "--json")
    check("release renew --role deltas --key FILE" in done.stderr and current()["deltas"]["expires"] in done.stderr, done.stderr)
    check(current()["deltas"]["version"] == version and "deltas" not in json.loads(done.stdout), done.stdout)


def signed(folder, name):
    with open(os.path.join(folder, "metadata", name), "rb") as file:
        return json.load(file)["signed"]


def somebody_else_may_be_let_name_deltas(f, s):
    """With a key of their own, and only of the paths that are theirs; an older workspace gets the controller's role likewise."""
    def named():
        rows = releases(f)
        return {d["base"]: d["named"] for d in rows["app", "1.2"]["deltas"]}.get(rows["app", "1.0"]["id"])
    os.mkdir(f.path("lab"))
    f.edgectl("key", "new", "lab", "--keys", f.path("lab"), "--no-passphrase")
    key, pub = f.path("lab/lab.key"), f.path("lab/lab.pub")
    delegate = ("release", "delegate", "lab", "--deltas-only", "--key", pub, "--workspace", f.ws)
    publish = ("release", "publish", "--delta", s["1.0 to 1.2"], "--role", "lab", "--key", key, "--workspace", f.ws)
    f.edgectl(*delegate, "--path", "other/*/*/*")
    done = f.run(*publish, status=None)
    check(done.returncode != 0 and "role lab is not trusted for app/1.2/" in done.stderr, done.stderr)
    f.edgectl(*delegate)
    f.edgectl(*publish)
    check(named() and any(path.startswith("app/1.2/") for path in target_paths(f, "lab")), "devices find it through the role")
    f.edgectl("release", "undelegate", "lab", "--workspace", f.ws)
    check(named() is False, "and not without it")
    f.edgectl("release", "undelegate", "deltas", "--workspace", f.ws)
    for kind in ("key", "pub"):
        os.unlink(os.path.join(f.ws, f"server/keys/deltas.{kind}"))
    f.edgectl("key", "new", "deltas", "--keys", os.path.join(f.ws, "server/keys"), "--no-passphrase")
    f.edgectl("release", "delegate", "deltas", "--deltas-only", "--key", os.path.join(f.ws, "server/keys/deltas.pub"), "--workspace", f.ws)


# ── Withdrawn ──────────────────────────────────────────────────────────────────────────────────────────


def a_delta_is_withdrawn_with_its_release(f, s):
    f.edgectl("release", "withdraw", "app", "1.1", "--workspace", f.ws)
    check(not [path for path in target_paths(f) if path.startswith("app/1.1/")], str(target_paths(f)))
    check([d["named"] for d in releases(f)["app", "1.1"]["deltas"]] == [False], "it is there, and not named")
    f.publish(s["1.1"], "--delta", s["delta"])
    check([d["named"] for d in releases(f)["app", "1.1"]["deltas"]] == [True], "and can be named again")


def what_was_published_outlives_a_restart(f, s):
    """And a repository whose targets were lost beside the bundles gets them back."""
    before = releases(f)
    f.stop_server()
    head = inspect(f, s["delta"])
    folder = os.path.join(f.ws, "server/repository/targets/app/1.1", head["bundle"])
    files = sorted(os.listdir(folder))
    for name in files:
        os.unlink(os.path.join(folder, name))
    f.start_server(*BY_HAND)
    check(releases(f) == before and sorted(os.listdir(folder)) == files, f"{os.listdir(folder)}")


def test(f):
    f.start_server(*BY_HAND)
    s = {version: bundle(f, version) for version in ("1.0", "1.1", "1.2", "1.3")}
    s["delta"] = delta(f, s["1.0"], s["1.1"], "1.0-1.1.delta")
    s["1.1 to 1.2"] = delta(f, s["1.1"], s["1.2"], "1.1-1.2.delta")
    s["1.0 to 1.2"] = delta(f, s["1.0"], s["1.2"], "1.0-1.2.delta")
    s["to nowhere"] = delta(f, s["1.0"], s["1.3"], "1.0-1.3.delta")
    s["from nowhere"] = delta(f, s["1.3"], s["1.2"], "1.3-1.2.delta")
    scenarios = (a_delta_is_published_with_its_bundle_and_again_without_a_change, what_was_only_uploaded_is_not_used,
                 a_device_that_runs_the_base_is_offered_the_delta, a_delta_is_offered_below_another_address,
                 what_an_update_cost_is_shown_and_summed, a_real_device_takes_the_delta_and_says_what_it_cost,
                 what_is_no_delta_is_refused_and_leaves_nothing, what_is_sent_again_is_offered_with_the_size_that_it_has_now, who_may_not_publish_may_not_send_one,
                 the_online_key_can_name_no_bundle, in_a_folder_they_are_renewed_with_the_targets, somebody_else_may_be_let_name_deltas,
                 a_delta_is_withdrawn_with_its_release, what_was_published_outlives_a_restart)
    for scenario in scenarios:
        if os.environ.get("ONLY", "") in scenario.__name__:
            scenario(f, s)
            print(f"ok      {scenario.__name__.replace('_', ' ')}", flush=True)


fleet.main(test)
