#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# ctest: timed
"""What operators do to a rollout that is under way: they hold a device that took the offer, pause a rollout that goes back, end it.

The devices are impostors, which do what they are told when the test says so.
"""

import time

import fleet
from fleet import check, wait_for
from impostor import admin, ends_well
from lost import becomes, offered, start, total

STATE = 108


def refused(f, *argv, says=""):
    done = f.run(*argv, status=STATE)
    check(says in done.stderr, f"{argv}: should say {says!r}: {done.stderr}")


def why(f, rollout):
    return f.rollout(rollout)["why"]


# ── Held ────────────────────────────────────────────────────────────────────────────────────────────


def a_held_device_is_named_among_those_waited_for(f):
    devices, rollout = start(f, "holding", 3)
    first, second, good = offered(devices)
    check("held" not in why(f, rollout)["text"], str(why(f, rollout)))
    f.edgectl("device", "hold", first.name)
    wait_for("its why to name one", lambda: why(f, rollout)["text"].endswith(", 1 device is held by an operator"))
    f.edgectl("device", "hold", second.name)
    wait_for("its why to name two", lambda: why(f, rollout)["text"].endswith(", 2 devices are held by an operator"))
    good.commit()
    check(first.check_in() is None and first.heard["why"]["code"] == "held", str(first.heard))
    f.edgectl("device", "hold", "--off", first.name, second.name)
    wait_for("its why to forget them", lambda: "held" not in why(f, rollout)["text"])
    first.commit()
    second.commit()
    check(total(becomes(f, rollout, "finished"), "committed") == 3, "let go, they go on")


def a_held_device_is_waited_for_no_longer_than_a_silent_one(f):
    """And nothing is said about the release by that: whom a person keeps from it is neither well nor lost."""
    devices, rollout = start(f, "kept", 2, timeout_s=15)
    held, good = offered(devices)
    good.commit()
    f.edgectl("device", "hold", held.name)
    def over():  # it is not silent: it asks all the time, and is told that it is held
        check(held.check_in() is None, str(held.heard))
        return f.rollout(rollout)["state"] in ("finished", "failed")
    wait_for("the rollout to go on without it", over)
    status = f.rollout(rollout)
    check(status["state"] == "finished" and (total(status, "committed"), total(status, "lost")) == (1, 0), str(status))
    said = [e["text"] for e in admin(f, 200, "GET", "/events?after=0&limit=1000")["events"]
            if e["kind"] == "device_cancelled" and e["subject"] == held.name]
    check(len(said) == 1 and "held" in said[0], f"said once, and why: {said}")
    f.edgectl("device", "hold", "--off", held.name)
    held.commit()
    check(total(f.rollout(rollout), "committed") == 2, f"let go, it counts like any other: {f.rollout(rollout)}")


def who_holds_a_device_fails_no_rollout_by_that(f):
    """The time runs from the hold, not from the offer: a device that has been at work for longer may be held as well."""
    [device], rollout = start(f, "slow", 1, timeout_s=15)
    offered([device])
    begin = time.monotonic()
    while time.monotonic() - begin < 17:
        device.check_in()
        time.sleep(0.5)
    f.edgectl("device", "hold", device.name)
    wait_for("its why to name it", lambda: "1 device is held" in why(f, rollout)["text"])
    f.edgectl("device", "hold", "--off", device.name)
    device.commit()
    check(total(becomes(f, rollout, "finished"), "lost") == 0, "it was never lost")


# ── Going back ──────────────────────────────────────────────────────────────────────────────────────


def back(device):
    check(device.check_in() == "revert", f"{device.name} should be told to go back: {device.heard}")
    device.report("reverted")
    device.say["components"] = {}
    check(device.check_in() is None, f"once: {device.heard}")


def going_back(f, name, devices):
    """A rollout that everybody committed, and that was told to go back."""
    made, rollout = start(f, name, devices)
    for device in offered(made):
        device.commit()
    becomes(f, rollout, "finished")
    f.edgectl("rollout", "revert", rollout)
    return made, rollout


def a_rollout_that_goes_back_can_be_paused_and_goes_on(f):
    devices, rollout = going_back(f, "undone", 4)
    back(devices[0])
    check(devices[1].check_in() == "revert", "is told to go back")
    f.edgectl("rollout", "pause", rollout)
    f.edgectl("rollout", "pause", rollout)
    devices[1].report("reverted")  # what was told before the pause is news all the same
    devices[1].say["components"] = {}
    for device in devices:
        check(device.check_in() is None, f"{device.name} stays as it is: {device.heard}")
    status = f.rollout(rollout)
    check(status["state"] == "paused" and status["why"]["code"] == "paused", str(status["why"]))
    check("go back" in status["why"]["text"] and "resumed" in status["why"]["text"], str(status["why"]))
    check((total(status, "reverted"), total(status, "committed")) == (2, 2), str(status))
    f.stop_server()  # nor does a restart make it go on
    f.start_server()
    check(devices[2].check_in() is None and f.rollout(rollout)["state"] == "paused", str(devices[2].heard))
    f.edgectl("device", "retire", devices[3].name)  # is not waited for afterwards
    f.edgectl("rollout", "resume", rollout)
    back(devices[2])
    status = becomes(f, rollout, "reverted")
    check(total(status, "reverted") == 3 and " 0 were not heard of" in status["why"]["text"], str(status))


def why_it_goes_back_outlasts_a_pause(f):
    devices, rollout = start(f, "cause", 2, on_failure="revert")
    first, second = offered(devices)
    first.commit()
    second.refuse()
    cause = becomes(f, rollout, "reverting")["why"]
    f.edgectl("rollout", "pause", rollout)
    check(cause["text"] in why(f, rollout)["text"], f"{cause} is kept: {why(f, rollout)}")
    f.edgectl("rollout", "resume", rollout)
    check(why(f, rollout) == cause, f"{why(f, rollout)} is as before: {cause}")
    back(first)
    check(cause["text"] in becomes(f, rollout, "reverted")["why"]["text"], str(why(f, rollout)))


def going_back_by_mistake_is_ended_in_two_steps(f):
    devices, rollout = going_back(f, "mistaken", 2)
    refused(f, "rollout", "abort", rollout, says="pause it first")
    check(f.rollout(rollout)["state"] == "reverting", "a refusal changes nothing")
    f.edgectl("rollout", "pause", rollout)
    f.edgectl("rollout", "abort", rollout)
    check(f.rollout(rollout)["state"] == "aborted", str(f.rollout(rollout)))
    check([d.check_in() for d in devices] == [None, None], "they keep what they have")
    refused(f, "rollout", "resume", rollout)


def test(f):
    f.start_server()
    fleet.each(f, a_held_device_is_named_among_those_waited_for, a_held_device_is_waited_for_no_longer_than_a_silent_one,
               who_holds_a_device_fails_no_rollout_by_that, a_rollout_that_goes_back_can_be_paused_and_goes_on,
               why_it_goes_back_outlasts_a_pause, going_back_by_mistake_is_ended_in_two_steps)
    ends_well(f)


if __name__ == "__main__":
    fleet.main(test)
