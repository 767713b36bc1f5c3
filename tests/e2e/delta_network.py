#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Deltas over the network: taken when they are named, cheaper and right, and in every other case the bundle is; what it costs is counted by
the server too. (What it may cost: delta_budget.py.)
"""

import contextlib
import io
import os
import signal
import tarfile
import threading

import fleet
from fleet import check, wait_for
from link import cost, goes_to, is_right, scene, staged
from repository import comes_to, started


# ── The choice


def one_that_is_named_is_taken_and_costs_what_it_is():
    with scene() as (world, device, old, new):
        delta = world.delta(old, new)
        told = goes_to(world, device, "1.1")
        check(world.starts[new.url] == [] and world.starts[delta["url"]], f"the bundle was not asked for: {world.starts}")
        spent = told["bytes"]
        check(0 < spent["delta"] <= delta["size"] and cost(told) == spent["delta"] == world.sent[delta["url"]], f"{spent}, sent {world.sent}")
        check(spent["delta"] * 3 < len(world.bundles[new.url]), f"{spent} of {len(world.bundles[new.url])}")
        check(spent["reused"] >= 700 * 1024 and told["detail"] == "", f"{told}")
        status = device.status()
        check(status["bytes"] == spent, f"{status}")
        check("bytes        delta" in device.agent("status", "--config", device.config).stdout, "the status says it")


def a_first_install_says_what_the_bundle_cost():
    with scene() as (world, device, old, _):
        told = staged(world, device, "1.0")
        spent = told["bytes"]
        check(spent["index"] > 0 and spent["full"] > 900 * 1024 and spent["delta"] == spent["range"] == spent["reused"] == 0, f"{told}")
        check(cost(told) <= len(world.bundles[old.url]), f"{spent}")


def one_that_nobody_named_is_not_even_asked_for():
    with scene() as (world, device, old, new):
        delta = world.delta(old, new, named=False)
        told = goes_to(world, device, "1.1")
        check(world.starts[delta["url"]] == [] and "targets do not name it" in told["detail"], f"{told}")
        check("do not name the delta" in device.log(), "the log says so")


def one_that_starts_from_what_does_not_run_is_not_asked_for():
    with scene("1.0", "1.1", "1.2") as (world, device, _, one, two):
        delta = world.delta(one, two)
        told = goes_to(world, device, "1.2")
        check(world.starts[delta["url"]] == [] and "does not run here" in told["detail"], f"{told}")


# ── What servers make of it


def other_bytes(change):
    def wrong(world, url, handler, data, first):
        data = change(world, data)
        world.answer(url, handler, data, first, data[first:])
    return wrong


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


def where(data, member):
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return tar.getmember(member).offset_data


def refusing(status):
    return lambda world, url, handler, data, first: handler.send_error(status)


def cut_off(world, url, handler, data, first):
    """Half of what is left, each time, and a whole answer was promised."""
    world.answer(url, handler, data, first, data[first:first + 100], len(data) - first)
    handler.close_connection = True
    handler.connection.close()


LIES = {
    "a byte of its head": (other_bytes(lambda w, d: flipped(d, where(d, "delta.json") + 40)), None),
    "a byte of its manifest": (other_bytes(lambda w, d: flipped(d, where(d, "manifest.json") + 200)), None),
    "a byte of its frame table": (other_bytes(lambda w, d: flipped(d, where(d, "index") + 5)), None),
    "a byte of a frame": (other_bytes(lambda w, d: flipped(d, where(d, "data") + 3000)), None),
    "a delta of another base": (other_bytes(lambda w, d: (w.bundles[w.other] + d)[:len(d)]), None),
    "another delta whole": (other_bytes(lambda w, d: w.bundles[w.other]), None),
    "nothing there": (refusing(404), "404"),
    "the end missing": (other_bytes(lambda w, d: d[:-2000]), None),
    "a page": (other_bytes(lambda w, d: b"<html>Please log in</html>".ljust(len(d))), None),
}


def whatever_is_wrong_with_it_the_bundle_is_taken_and_the_cause_named():
    with scene() as (world, device, old, new):
        # An older delta for other contents, which lies about for a server to confuse.
        early = world.bundle("0.9")
        world.other = world.delta(early, new, named=False, offered=False)["url"]
        delta = world.delta(old, new)
        for n, (lie, (wrong, says)) in enumerate(LIES.items()):
            one = started(world, f"lied-to-{n}", backoff_base_s=1, backoff_max_s=2)
            world.order(one, old)
            comes_to(one, "1.0")
            for url in (delta["url"], new.url):
                world.sent[url], world.starts[url] = 0, []
            world.wrong[delta["url"]] = wrong
            world.order(one, new)
            comes_to(one, "1.1")
            is_right(one, "1.1")
            del world.wrong[delta["url"]]
            told = staged(world, one, "1.1")
            check(told["detail"].startswith("the delta is not used: ") and (says or "") in told["detail"], f"{lie}: {told}")
            check(world.starts[delta["url"]] and world.starts[new.url], f"{lie}: {world.starts}")
            check(told["bytes"]["delta"] <= world.sent[delta["url"]] and cost(told) > told["bytes"]["delta"], f"{lie}: {told['bytes']}")
            check("the delta is not used" in one.log(), f"{lie}: the log says so")
            check(one.status()["why"]["code"] == "", f"{lie}: not held against anything: {one.status()['why']}")
            one.kill()


def a_head_that_the_targets_name_otherwise_is_not_decoded():
    with scene() as (world, device, old, new):
        delta = world.delta(old, new)
        world.name(old, new, world.head(delta["url"]) + b" ")
        told = goes_to(world, device, "1.1")
        check("head is not the one that the repository's targets name" in told["detail"], f"{told}")
        check(told["bytes"]["delta"] <= delta["size"] and world.starts[new.url], f"{told}")


def one_that_cannot_be_reached_is_waited_for_and_then_done_without():
    with scene(fetch_retries=0) as (world, device, old, new):
        delta = world.delta(old, new)
        world.wrong[delta["url"]] = cut_off
        told = goes_to(world, device, "1.1")
        check(len(world.starts[delta["url"]]) >= 3 and world.starts[new.url], f"three tries, then the bundle: {world.starts}")
        check("the delta is not used" in told["detail"], f"{told}")


def one_that_breaks_off_is_gone_on_with():
    with scene(fetch_retries=0) as (world, device, old, new):
        delta = world.delta(old, new)

        def breaks(world, url, handler, data, first):
            del world.wrong[url]
            world.answer(url, handler, data, first, data[first:len(data) // 2], len(data) - first)
            handler.close_connection = True
            handler.connection.close()

        world.wrong[delta["url"]] = breaks
        told = goes_to(world, device, "1.1")
        check(world.starts[new.url] == [] and len(world.starts[delta["url"]]) >= 2, f"{world.starts}")
        check(told["bytes"]["delta"] <= world.sent[delta["url"]] < 2 * delta["size"], f"{told['bytes']}, sent {world.sent}")


def workers(device):
    out = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="ascii") as f:
            if int(f.read().rsplit(")", 1)[1].split()[1]) == device.process.pid:
                out.append(int(pid))
    return out


def holds(until):
    """The first half, and then nothing until the event."""
    def wrong(world, url, handler, data, first):
        world.answer(url, handler, data, first, data[first:len(data) // 2], len(data) - first)
        world.held = True
        until.wait(fleet.PATIENCE_S)
        handler.close_connection = True
    return wrong


def what_a_killed_worker_left_of_a_delta_is_no_obstacle_to_the_bundle():
    with scene() as (world, device, old, new):
        delta = world.delta(old, new)
        released = threading.Event()
        world.held = False
        world.wrong[delta["url"]] = holds(released)
        world.order(device, new)
        wait_for("half of the delta to be there", lambda: world.held and os.path.exists(scratch(device, "scratch-base")))
        world.unname()
        for pid in workers(device):
            os.kill(pid, signal.SIGKILL)
        released.set()
        comes_to(device, "1.1")
        is_right(device, "1.1")
        check(world.starts[new.url], "the bundle was taken")
        told = staged(world, device, "1.1")
        check("targets do not name it" in told["detail"], f"{told}")


def scratch(device, name):
    folder = os.path.join(device.state, "generations")
    partial = [entry for entry in os.listdir(folder) if entry.endswith(".partial")]
    return os.path.join(folder, *(partial[:1] or ["none"]), ".edge", name)


if __name__ == "__main__":
    fleet.alone(
        one_that_is_named_is_taken_and_costs_what_it_is, a_first_install_says_what_the_bundle_cost, one_that_nobody_named_is_not_even_asked_for,
        one_that_starts_from_what_does_not_run_is_not_asked_for, whatever_is_wrong_with_it_the_bundle_is_taken_and_the_cause_named,
        a_head_that_the_targets_name_otherwise_is_not_decoded, one_that_cannot_be_reached_is_waited_for_and_then_done_without,
        one_that_breaks_off_is_gone_on_with, what_a_killed_worker_left_of_a_delta_is_no_obstacle_to_the_bundle)
