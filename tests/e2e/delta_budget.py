#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# ctest: release
"""What an update may cost the device's link: never more than the budget of offer and configuration, over all its tries, and what is known not
to fit is not begun; a link that costs money is waited out.
"""

import random
import signal
import threading
import time

import fleet
from fleet import check, wait_for
from link import Link, cost, reconfigure, scene, staged
from repository import Repository, comes_to, refuses, reports, started, trust


def nothing_is_begun_that_cannot_fit():
    with Link(Repository()) as world:
        world.release = {"1.0": world.bundle("1.0")}
        one = world.release["1.0"]
        world.budget = {"bytes": 100_000}
        device = started(world, "empty")
        world.order(device, one)
        told = refuses(world, device, "budget")
        check(told["text"].startswith("needs ") and "budget 97.7 KiB" in told["text"], f"{told}")
        check(world.starts[one.url] == [] and "bytes" not in told, f"nothing was asked for: {world.starts}")
        check(device.status()["why"]["code"] == "budget" and "needs " in device.status()["why"]["text"], "the status says need and budget")
        # Not held against the bundle: the same attempt, with a budget that does (I4).
        with world.lock:
            world.budget = {"bytes": 10_000_000}
            world.reports.clear()
        comes_to(device, "1.0")


def neither_delta_nor_bundle_above_the_budget():
    for where_from in ("offer", "configuration"):
        config = {"fetch_budget_bytes": 120_000} if where_from == "configuration" else {}
        with Link(Repository()) as world:
            world.release = {release: world.bundle(release) for release in ("1.0", "1.1")}
            old, new = world.release.values()
            device = started(world, "d1", backoff_base_s=1, backoff_max_s=2)
            world.order(device, old)
            comes_to(device, "1.0")
            delta = world.delta(old, new)
            check(delta["size"] > 120_000, "or the test shows nothing")
            for url in world.sent:
                world.sent[url], world.starts[url] = 0, []
            if config:
                reconfigure(device, **config)
            else:
                world.budget = {"bytes": 120_000}
            world.order(device, new)
            told = refuses(world, device, "budget")
            check("needs " in told["text"] and "budget " in told["text"], f"{told}")
            check(world.starts[delta["url"]] == [], "the delta is known not to fit")
            # A bundle may share contents with what runs; what it takes to know that is within the budget.
            check(cost(told) <= 120_000 + 65536 if "bytes" in told else True, f"{told}")
            check(device.version() == "1.0" and device.status()["state"] == "idle", f"{device.status()}")


def a_bundle_costs_what_is_not_held_and_that_is_known_before_it_is_fetched():
    with scene() as (world, device, _, new):
        whole = len(world.bundles[new.url])
        # All but what stays does not fit; what it takes to know that is little.
        world.budget = {"bytes": whole // 2}
        world.order(device, new)
        told = refuses(world, device, "budget")
        check(told["text"].startswith("needs ") or ": needs " in told["text"], f"{told}")
        check(cost(told) <= 80_000 and world.sent[new.url] <= 160_000, f"of {whole}: {told['bytes']}, sent {world.sent}")
        with world.lock:
            world.budget = {"bytes": whole - 200 * 1024}
            world.reports.clear()
        comes_to(device, "1.1")
        told = staged(world, device, "1.1")
        spent = told["bytes"]
        check(spent["range"] > 0 and spent["full"] == 0 and spent["reused"] >= 256 * 1024, f"{spent}")
        check(cost(told) <= world.budget["bytes"] < whole, f"{spent} of {world.budget}")


def what_was_spent_counts_over_all_tries_and_restarts():
    with scene(fetch_retries=0) as (world, device, old, new):
        delta = world.delta(old, new)
        # Enough for the delta once, and not for half of it and the bundle.
        world.budget = {"bytes": delta["size"] + delta["size"] // 4}

        def breaks(world, url, handler, data, first):
            world.answer(url, handler, data, first, data[first:first + len(data) // 2], len(data) - first)
            handler.close_connection = True
            handler.connection.close()

        world.wrong[delta["url"]] = breaks
        world.order(device, new)
        wait_for("some of it to be spent", lambda: (device.status()["bytes"] or {}).get("delta", 0) > 0)
        spent = device.status()["bytes"]["delta"]
        device.kill()
        device.start()
        wait_for("the agent to be back", lambda: device.agent("status", "--config", device.config, status=None).returncode == 0)
        check((device.status()["bytes"] or {}).get("delta", 0) >= spent or device.status()["state"] == "idle", "durable")
        told = refuses(world, device, "budget")
        check(cost(told) <= world.budget["bytes"] + 65536, f"{told} of {world.budget}")
        check(device.version() == "1.0", "nothing was installed")


def an_update_waits_for_a_link_that_is_not_metered():
    with Link(Repository()) as world:
        world.release = {"1.0": world.bundle("1.0")}
        one = world.release["1.0"]
        word = world.path("metered")
        with open(word, "w", encoding="ascii") as f:
            f.write("yes\n")
        world.budget = {"metered_bytes": 0}
        device = started(world, "d1", metered=word)
        world.order(device, one)
        told = wait_for("it to wait", lambda: [r for r in reports(world, device, "waiting") if r["code"] == "budget"])[-1]
        check("metered" in told["text"], f"{told}")
        wait_for("what check-ins hint at to be fetched", lambda: (trust(device).get("targets") or {}).get("version") == world.repository.version["targets"])
        check(device.status()["state"] == "fetching" and device.status()["why"]["code"] == "budget", f"{device.status()}")
        asked = len([name for name in world.asked if name.endswith("targets.json")])
        time.sleep(3)
        check(world.starts[one.url] == [], "not a byte")
        check(len([name for name in world.asked if name.endswith("targets.json")]) == asked, "nor is the repository asked meanwhile")
        # It is not refused by that, and goes on when the link is another.
        with open(word, "w", encoding="ascii") as f:
            f.write("no\n")
        device.kill(signal.SIGTERM)
        device.start()
        comes_to(device, "1.0")
        check(reports(world, device, "refused") == [], "never refused")


def a_link_that_becomes_metered_stops_a_download():
    with Link(Repository()) as world:
        world.release = {"1.0": world.bundle("1.0")}
        one = world.release["1.0"]
        word = world.path("metered")
        with open(word, "w", encoding="ascii") as f:
            f.write("no\n")
        turned = threading.Event()
        begun = threading.Event()

        def slow(world, url, handler, data, first):
            world.answer(url, handler, data, first, data[first:first + 100_000], len(data) - first)
            begun.set()
            turned.wait(fleet.PATIENCE_S)
            # More than may come unasked for: the word is heard before the rest.
            handler.close_connection = True
            handler.connection.close()

        world.wrong[one.url] = slow
        device = started(world, "d1", metered=word, fetch_budget_metered_bytes=50_000, fetch_retries=0, backoff_base_s=1, backoff_max_s=2)
        world.order(device, one)
        check(begun.wait(fleet.PATIENCE_S), "the download begins")
        with open(word, "w", encoding="ascii") as f:
            f.write("yes\n")
        turned.set()
        wait_for("it to wait", lambda: [r for r in reports(world, device, "waiting") if r["code"] == "budget"])
        del world.wrong[one.url]
        with open(word, "w", encoding="ascii") as f:
            f.write("no\n")
        reconfigure(device)
        comes_to(device, "1.0")


def what_fits_by_its_plan_waits_for_a_link_that_allows_it():
    """The bundle is larger than any budget, what the device lacks of it is not: neither a link too dear for the index nor one that becomes
    metered behind the plan makes that a refusal."""
    for when in ("before the plan", "behind the plan"):
        with Link(Repository()) as world:
            held, fresh = (random.Random(word).randbytes(2 << 20) for word in ("held", "fresh"))
            world.contents = {"1.0": {"held": held}, "1.1": {"held": held, "fresh": fresh}}
            world.release = {release: world.bundle(release) for release in ("1.0", "1.1")}
            old, new = world.release.values()
            whole, word = len(world.bundles[new.url]), world.path("metered")

            def is_metered(said, word=word):
                with open(word, "w", encoding="ascii") as f:
                    f.write(said)

            def becomes_metered(world, url, handler, data, first):
                first, last = map(int, handler.headers["Range"].removeprefix("bytes=").split("-"))
                if last - first > len(fresh) // 2:
                    is_metered("yes\n")
                world.answer(url, handler, data, first, data[first:last + 1])

            is_metered("no\n")
            device = started(world, "d1", metered=word, fetch_retries=0, backoff_base_s=1, backoff_max_s=2)
            world.order(device, old)
            comes_to(device, "1.0")
            if when == "before the plan":
                world.budget = {"bytes": whole - len(held) // 2, "metered_bytes": 10_000}
                is_metered("yes\n")
            else:
                world.budget = {"bytes": whole - len(held) // 2, "metered_bytes": 100_000}
                world.wrong[new.url] = becomes_metered
            world.order(device, new)
            wait_for(f"an end, {when}", lambda world=world, device=device: [
                r for r in reports(world, device, "waiting") + reports(world, device, "refused") if r["code"] == "budget"])
            check(reports(world, device, "refused") == [], f"{when}: {reports(world, device, 'refused')}")
            world.wrong.clear()
            is_metered("no\n")
            reconfigure(device)
            comes_to(device, "1.1")
            check(cost(staged(world, device, "1.1")) <= world.budget["bytes"], "within the budget")


if __name__ == "__main__":
    fleet.alone(
        nothing_is_begun_that_cannot_fit, a_bundle_costs_what_is_not_held_and_that_is_known_before_it_is_fetched, neither_delta_nor_bundle_above_the_budget, what_was_spent_counts_over_all_tries_and_restarts,
        an_update_waits_for_a_link_that_is_not_metered, a_link_that_becomes_metered_stops_a_download,
        what_fits_by_its_plan_waits_for_a_link_that_allows_it)
