#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# ctest: timed
"""Devices that fall silent, come late, come back as somebody else, or are of many kinds: what a rollout makes of them.

Most devices here are impostors, whose silence can be timed; where it counts what is on the disk they are real agents.
"""

import os
import time

import fleet
import forge
from fleet import check, wait_for
from impostor import Impostor, admin, call, ends_well

ONE_BY_ONE = {"success_pct": 100, "failure_pct": 0, "min_sample": 1}


def group(f, name, facts):
    """Devices that a selector can tell apart from those of other scenarios; facts: one object for each."""
    secret = admin(f, 201, "POST", "/tokens", {"kind": "enroll", "labels": {"group": name}})["secret"]
    made = [Impostor(f, f"{name}-{i}", fact).join(secret) for i, fact in enumerate(facts)]
    for device in made:
        device.check_in()
    return made


def publish(f, name, version="1.0"):
    files = f.component(f"{name}-{version}", {"version": version})
    f.publish(f.bundle(name, version, {name: files}))


def apply(f, name, version="1.0", **policy):
    path = f.policy(f"{name}-{version}", **{"release": f"{name} {version}", "selector": f'label.group == "{name}"', "gate": ONE_BY_ONE,
                                            "timeout_s": 600, "stages": [{"name": "all", "percent": 100}], **policy})
    f.edgectl("rollout", "apply", "-f", path)
    return f"{name}-{version}"


def start(f, name, devices, facts=None, **policy):
    """(devices, the rollout's name): a release of its own on its way to a group of its own."""
    publish(f, name)
    made = group(f, name, facts or [{"arch": "x86_64"}] * devices)
    return made, apply(f, name, **policy)


def becomes(f, rollout, state):
    def reached():
        return f.rollout(rollout)["state"] == state
    try:
        wait_for(f"{rollout} to be {state}", reached)
    except fleet.Failed as error:
        raise fleet.Failed(f"{error}: {f.rollout(rollout)['state']}: {f.rollout(rollout)['why']}") from None
    return f.rollout(rollout)


def total(status, what):
    return sum(stage[what] for stage in status["stages"])


def offered(devices):
    """Those that are offered something when they ask now. Theirs is taken."""
    got = []
    for device in devices:
        if device.check_in() == "install":
            device.last = device.told
            device.report("offered")
            device.working("fetching")
            device.check_in()
            got.append(device)
    return got


# How long a device may be silent where the others must not be: they say something at once, but a busy machine takes its time.
SILENCE_S = 10


# ── Silence ─────────────────────────────────────────────────────────────────────────────────────────


def a_device_that_takes_the_offer_and_falls_silent_fails_the_gate(f):
    devices, rollout = start(f, "silent", 4, timeout_s=SILENCE_S,
                             stages=[{"name": "canary", "count": 2}, {"name": "all", "percent": 100}])
    canaries = offered(devices)
    check(len(canaries) == 2, f"two canaries, not {len(canaries)}")
    canaries[0].commit()
    done = f.run("rollout", "watch", rollout, "--timeout", "5m", status=109)
    check("lost" in done.stderr, f"the last word names what happened: {done.stderr}")
    status = f.rollout(rollout)
    check((total(status, "offered"), total(status, "committed"), total(status, "lost")) == (2, 1, 1), str(status))
    check(status["stages"][0]["state"] == "failed" and status["stages"][1]["state"] == "pending", str(status))
    check(not offered([d for d in devices if d not in canaries]), "a failed rollout offers nothing more")
    # What was lost comes back and had it all the time: that is news, but the rollout stays where a person finds it.
    for event in ("staged", "activated", "committed"):
        canaries[1].report(event, canaries[1].last)
    canaries[1].rest()
    canaries[1].runs("silent", "1.0", canaries[1].last["bundle"]["id"])
    canaries[1].check_in()
    status = f.rollout(rollout)
    check(status["state"] == "failed" and total(status, "lost") == 0 and total(status, "committed") == 2, str(status))
    f.edgectl("rollout", "resume", rollout)
    for device in offered([d for d in devices if d not in canaries]):
        device.commit()
    check(total(becomes(f, rollout, "finished"), "committed") == 4, "all four count once")


def a_gate_that_allows_losses_goes_on(f):
    devices, rollout = start(f, "tolerant", 4, timeout_s=SILENCE_S, gate={"success_pct": 50, "failure_pct": 50, "min_sample": 2},
                             stages=[{"name": "half", "percent": 50}, {"name": "all", "percent": 100}])
    first = offered(devices)
    first[0].commit()
    wait_for("the second stage", lambda: f.rollout(rollout)["stages"][1]["state"] == "running")
    check(total(f.rollout(rollout), "lost") == 1, str(f.rollout(rollout)))
    for device in offered([d for d in devices if d not in first]):
        device.commit()
    becomes(f, rollout, "finished")


def downtime_of_the_controller_is_no_silence_of_devices(f):
    """While it was down nobody could call; each rollout's own time to wait begins anew."""
    [quick], hasty = start(f, "hasty", 1, timeout_s=SILENCE_S)
    offered([quick])
    quick.commit()
    becomes(f, hasty, "finished")
    [device], rollout = start(f, "patient", 1, timeout_s=2 * SILENCE_S)
    offered([device])
    f.stop_server()
    time.sleep(2 * SILENCE_S + 1)
    f.start_server()
    time.sleep(4)  # it looks at its rollouts each second
    check(total(f.rollout(rollout), "lost") == 0, f"nobody had time to call since the start: {f.rollout(rollout)['why']}")
    device.commit()
    becomes(f, rollout, "finished")


def devices_that_never_ask_do_not_hold_a_stage_for_ever(f):
    devices, rollout = start(f, "deaf", 2, timeout_s=SILENCE_S)
    for device in offered(devices[:1]):
        device.commit()
    status = becomes(f, rollout, "finished")
    check(total(status, "committed") == 1 and total(status, "offered") == 1, str(status))


def nobody_waits_for_what_was_taken_out_of_service(f):
    devices, rollout = start(f, "leaving", 4)
    f.edgectl("device", "retire", devices[0].name)
    f.edgectl("device", "reject", devices[1].name)
    f.edgectl("device", "label", devices[2].name, "group=elsewhere")
    check(len(offered(devices[2:])) == 1, "a device that the selector left is not offered it")
    devices[3].commit()
    becomes(f, rollout, "finished")


def a_retired_device_does_not_hold_a_revert(f):
    devices, rollout = start(f, "gone", 2)
    for device in offered(devices):
        device.commit()
    becomes(f, rollout, "finished")
    f.edgectl("device", "retire", devices[0].name)
    f.edgectl("device", "remove", devices[0].name)
    f.edgectl("rollout", "revert", rollout)
    check(devices[1].check_in() == "revert", f"told to go back: {devices[1].heard}")
    devices[1].report("reverted")
    devices[1].say["components"] = {}
    devices[1].check_in()
    becomes(f, rollout, "reverted")


# ── Coming late ─────────────────────────────────────────────────────────────────────────────────────


def the_late_the_reflashed_and_the_new_are_brought_to_the_baseline(f):
    [first], rollout = start(f, "base", 1)
    offered([first])
    first.commit()
    before = becomes(f, rollout, "finished")["stages"]
    late = Impostor(f, "base-late")
    secret = admin(f, 201, "POST", "/tokens", {"kind": "enroll", "labels": {"group": "base"}})["secret"]
    late.join(secret)

    def offered_baseline(device):
        return device.check_in() == "install" or None
    wait_for("the late one's offer", lambda: offered_baseline(late))
    check(late.told["rollout"] == "", f"outside of any rollout: {late.told}")
    late.last = late.told
    late.report("offered")
    late.working("fetching")
    late.check_in()
    late.commit()
    check(late.heard["why"]["code"] == "up_to_date", str(late.heard))
    # Reflashed: another key under the old id is refused, until an operator says so.
    again = Impostor(f, "base-0")
    again.key = forge.Key("reflashed")
    status, _, body = again.enroll(secret)
    check(status == 409 and "replace" in body["text"], f"{status}: {body}")
    replaced = f.json("device", "replace", "base-0")["enroll_token"]
    check(first.try_check_in()[0] in (401, 403), "the old hardware is out at once")
    status, _, body = late.enroll(replaced)
    check(status != 200 or f.json("device", "show", "base-0")["device"]["state"] == "replacing", "the token is for that id alone")
    again.join(replaced)
    check(first.try_check_in()[0] in (401, 403), "and stays out")
    wait_for("the reflashed one's offer", lambda: offered_baseline(again))
    check(again.told["rollout"] == "" and again.told["version"] > 1, "a sequence never begins anew")
    check(f.rollout(rollout)["stages"] == before, "newcomers do not change what was counted")


def baselines_come_at_a_limited_rate(f):
    [first], rollout = start(f, "rate", 1)
    offered([first])
    first.commit()
    becomes(f, rollout, "finished")
    late = group(f, "ratelate", [{"arch": "x86_64"}] * 20)
    for device in late:
        f_label(f, device, "rate")
    # Each that asks again without having taken the offer spends of the same room.
    began, got, refused = time.monotonic(), 0, []
    for _ in range(500):  # so many that a slow machine gets there, too
        for device in late:
            if device.check_in() == "install":
                got += 1
            else:
                refused.append(device)
        if len(refused) > len(late):
            break
    allowed = 600 + 10 * (time.monotonic() - began) + 2
    check(refused and got <= allowed, f"{got} offers; at 600 a minute at most {allowed:.0f}")
    check(all(d.heard["why"]["code"] in ("baseline_rate", "offered") for d in refused), f"told why: {refused[0].heard['why']}")
    wait_for("the next one's turn", lambda: refused[0].check_in() == "install")


def f_label(f, device, name):
    admin(f, 200, "POST", f"/devices/{device.name}/label", {"labels": {"group": name}})


def a_failure_of_the_baseline_is_not_tried_for_ever(f):
    [first], rollout = start(f, "stubborn", 1)
    offered([first])
    first.commit()
    becomes(f, rollout, "finished")
    late = Impostor(f, "stubborn-late")
    late.join(admin(f, 201, "POST", "/tokens", {"kind": "enroll", "labels": {"group": "stubborn"}})["secret"])
    wait_for("the offer", lambda: offered([late]))
    check(late.refuse() is None and late.check_in() is None, "it failed here: not again")
    check(late.heard["why"]["code"] == "failed_here", str(late.heard["why"]))
    f.edgectl("device", "pin", late.name, "stubborn", "1.0")
    check(late.check_in() == "install" and late.told["attempt"] > late.last["attempt"], "a person may try again")


# ── Who, how many, when ─────────────────────────────────────────────────────────────────────────────


def no_more_than_allowed_are_at_work(f):
    devices, rollout = start(f, "few", 5, max_unresolved=2)
    at_work = offered(devices)
    check(len(at_work) == 2, f"{len(at_work)} at work at once")
    check(devices[-1].check_in() is None or devices[-1] in at_work, "no third")
    check(any(d.heard["why"]["code"] == "unresolved_limit" for d in devices if d not in at_work), "and is told why")
    finished = set()
    while len(finished) < 5:
        at_work = at_work or offered([d for d in devices if d not in finished])
        check(1 <= len(at_work) <= 2, f"{len(at_work)} at work, {len(finished)} done")
        device = at_work.pop()
        device.commit()
        finished.add(device)
        check(total(f.rollout(rollout), "unresolved") <= 2, str(f.rollout(rollout)))
    becomes(f, rollout, "finished")


def a_small_canary_sees_every_kind_of_device(f):
    facts = [{"arch": a, "ram": r} for a in ("x86_64", "arm64", "riscv64") for r in (1, 1, 1)]
    devices, rollout = start(f, "kinds", 0, facts, stratify=["arch"],
                             stages=[{"name": "canary", "count": 3}, {"name": "all", "percent": 100}])
    seen = offered(devices)
    check(sorted(d.facts["arch"] for d in seen) == ["arm64", "riscv64", "x86_64"], str([d.facts for d in seen]))
    strata = f.rollout(rollout)["stages"][0]["strata"]
    check(len(strata) == 3 and all(s["planned"] == s["offered"] == 1 for s in strata), str(strata))
    # A kind that was not there when it began, and a device that says nothing of its kind.
    new = group(f, "kinds2", [{"arch": "mips"}, {"ram": 2}])
    for device in new:
        f_label(f, device, "kinds")
        device.check_in()
    for device in seen:
        device.commit()
    # A newcomer may belong to the canaries; the last stage takes whoever is left.
    for _ in range(3):
        for device in offered([d for d in devices + new if d not in seen]):
            device.commit()
            seen.append(device)
    check(total(becomes(f, rollout, "finished"), "committed") == 11, "all are counted")


def newcomers_do_not_crowd_into_the_canary(f):
    """A factory: the rollout is there before the devices are; and a kind that nobody had when it was applied."""
    canary = [{"name": "canary", "count": 1}, {"name": "all", "percent": 100}]
    publish(f, "empty")
    rollout = apply(f, "empty", stages=canary)
    secret = admin(f, 201, "POST", "/tokens", {"kind": "enroll", "labels": {"group": "empty"}})["secret"]
    devices = [Impostor(f, f"empty-{i}").join(secret) for i in range(8)]
    first = []
    wait_for("the fleet to be counted", lambda: first.extend(offered(devices)) or first)
    for _ in range(3):
        time.sleep(0.7)
        first += offered([d for d in devices if d not in first])
    check(len(first) == 1, f"a canary of one, and {len(first)} were offered it: {f.rollout(rollout)['stages'][0]['planned']} planned")
    [known], rollout = start(f, "kind", 1, stages=canary, stratify=["arch"])
    new = group(f, "kindnew", [{"arch": "riscv64"}] * 8)
    for device in new:
        f_label(f, device, "kind")
    first = offered([known] + new)
    check(len(first) <= 2, f"one, or one of each kind, and {len(first)} were offered it")


def a_stage_waits_for_approval(f):
    devices, rollout = start(f, "asked", 3, stages=[{"name": "one", "count": 1}, {"name": "all", "percent": 100, "approve": True}])
    [canary] = offered(devices)
    canary.commit()
    wait_for("the stage to wait", lambda: f.rollout(rollout)["why"]["code"] == "approval")
    check(f.rollout(rollout)["stages"][1]["state"] == "approval", str(f.rollout(rollout)))
    others = [d for d in devices if d is not canary]
    check(not offered(others), "nothing without approval")
    check("approval" in f.edgectl("device", "why", others[0].name), "the device's why says for what")
    f.run("rollout", "approve", rollout, "--stage", "one", status=108)
    f.run("rollout", "watch", rollout, "--timeout", "1s", status=122)
    f.approve(rollout, "--stage", "all")
    f.approve(rollout)
    for device in offered(others):
        device.commit()
    becomes(f, rollout, "finished")
    f.run("rollout", "approve", rollout, status=108)


def utc(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def nothing_is_offered_before_the_window_opens(f):
    devices, rollout = start(f, "early", 1, not_before=utc(3600))
    check(not offered(devices), "too early")
    check(f.rollout(rollout)["why"]["code"] == "too_early", str(f.rollout(rollout)["why"]))
    check(devices[0].heard["why"]["code"] == "too_early", str(devices[0].heard))
    publish(f, "early", "2.0")
    apply(f, "early", "2.0", not_before=utc(3))
    wait_for("the window to open", lambda: offered(devices))
    check(devices[0].last["bundle"]["release"] == "2.0", f"the other window is not open yet: {devices[0].last}")


def nothing_is_offered_after_the_window_has_closed(f):
    publish(f, "window")
    devices = group(f, "window", [{"arch": "x86_64"}] * 2)
    rollout = apply(f, "window", until=utc(20))
    check(offered(devices[:1]), "it is open")
    wait_for("the window to close", lambda: f.rollout(rollout)["why"]["code"] == "too_late")
    check(not offered(devices[1:]), "too late")
    check(devices[1].heard["why"]["code"] in ("too_late", "no_release"), str(devices[1].heard))  # the latter once it has ended
    check(devices[0].check_in(state="waiting") == "cancel", f"not even what is staged is activated: {devices[0].heard}")
    devices[0].report("cancelled", devices[0].last)
    devices[0].rest()
    devices[0].check_in()
    check(becomes(f, rollout, "aborted")["why"]["code"] == "too_late", "nobody is waited for any more")


# ── Going back ──────────────────────────────────────────────────────────────────────────────────────


def a_lost_device_goes_back_when_it_returns(f):
    devices, rollout = start(f, "return", 3, timeout_s=SILENCE_S, on_failure="revert")
    offered(devices)
    devices[0].commit()
    devices[1].report("staged", devices[1].last)
    devices[1].working("waiting")
    check(devices[1].check_in() == "activate", "may activate")
    devices[2].refuse()
    status = becomes(f, rollout, "reverting")
    check(status["stages"][0]["state"] == "failed" and status["stages"][0]["failed"] == 1, str(status))
    check(devices[0].check_in() == "revert" and devices[0].told["bundle"]["id"] == devices[0].last["bundle"]["id"], "told to go back")
    check("url" not in devices[0].told["bundle"], "without a download")
    devices[0].report("reverted")
    devices[0].say["components"] = {}
    check(devices[0].check_in() is None, "once")
    f.run("rollout", "watch", rollout, "--timeout", "5m", status=120)
    devices[1].working("probation")
    check(devices[1].check_in() == "revert", f"back from the dead: {devices[1].heard}")
    devices[1].report("reverted", devices[1].last)
    devices[1].rest()
    check(devices[1].check_in() is None, str(devices[1].told))
    check(f.rollout(rollout)["state"] == "reverted" and total(f.rollout(rollout), "reverted") == 2, str(f.rollout(rollout)))


def a_revert_needs_no_download(f):
    """Real agents: the bundles are taken away first, and everybody still comes back."""
    secret = admin(f, 201, "POST", "/tokens", {"kind": "enroll", "labels": {"group": "pair"}})["secret"]
    for i in range(3):
        f.add_device(f"real-{i}", controller=f.controller(), enroll_token=secret).start()
    wait_for("the devices", lambda: all(call(f, "GET", f"/api/v1/devices/real-{i}", None, f.env["EDGECTL_TOKEN"])[0] == 200
                                        for i in range(3)))
    for version in ("1.0", "1.1"):
        f.publish(f.pair(version))
        becomes(f, apply(f, "pair", version), "finished")
    wait_for("1.1 everywhere", lambda: all(d.version() == "1.1" for d in f.devices))
    bundles = os.path.join(f.ws, "server/bundles")
    for name in os.listdir(bundles):
        os.unlink(os.path.join(bundles, name))
    f.edgectl("rollout", "revert", "pair-1.1")
    status = becomes(f, "pair-1.1", "reverted")
    check(total(status, "reverted") == 3, str(status))
    for device in f.devices:
        check(device.version() == "1.0" and device.read("app", "version") == "1.0" and device.read("model", "version") == "1.0",
              f"{device.name} should be back on 1.0: {device.status()}")
        check(device.version("model") == "1.0", "both of them")
    time.sleep(3)  # and they stay there: no baseline takes them up again
    check(all(d.version() == "1.0" and d.status()["state"] == "idle" for d in f.devices), "they should rest on 1.0")


def test(f):
    f.start_server()
    fleet.each(f, a_device_that_takes_the_offer_and_falls_silent_fails_the_gate, a_gate_that_allows_losses_goes_on,
               downtime_of_the_controller_is_no_silence_of_devices, devices_that_never_ask_do_not_hold_a_stage_for_ever,
               nobody_waits_for_what_was_taken_out_of_service, a_retired_device_does_not_hold_a_revert,
               the_late_the_reflashed_and_the_new_are_brought_to_the_baseline, baselines_come_at_a_limited_rate,
               a_failure_of_the_baseline_is_not_tried_for_ever, no_more_than_allowed_are_at_work,
               a_small_canary_sees_every_kind_of_device, newcomers_do_not_crowd_into_the_canary, a_stage_waits_for_approval,
               nothing_is_offered_before_the_window_opens, nothing_is_offered_after_the_window_has_closed,
               a_lost_device_goes_back_when_it_returns, a_revert_needs_no_download)
    ends_well(f)


if __name__ == "__main__":
    fleet.main(test)
