#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# ctest: release
"""Where a device has bundles and metadata from: little of the repository, any web server, or none at all."""

import functools
import http.server
import os
import threading

import fleet
import forge
from fleet import check, wait_for
from lone import KINDS
from repository import Repository, World, comes_to, ground, published, started, trust


def nothing_new_is_one_small_request():
    with ground("1.0") as (repo, world, device, bundle):
        wait_for("the hint to be followed", lambda: trust(device)["snapshot"])
        with world.lock:
            world.asked.clear()
        world.order(device, bundle)
        comes_to(device, "1.0")
        # Before the download, and once more before the swap.
        check(world.asked == ["timestamp.json"] * 2, f"{world.asked}")


def a_stick_needs_no_repository():
    repo = Repository()
    with World(repo) as world:
        bundle, foreign = world.bundle("1.0"), world.bundle("9.9", keys=[forge.Key("somebody")])
        device = world.device("d1", controller="")
        device.agent("install", "--config", device.config, "--quiet", bundle.path)
        check(device.version() == "1.0" and not world.asked, f"{world.asked}")
        check(device.agent("install", "--config", device.config, "--quiet", foreign.path, status=None).returncode == KINDS["below_threshold"], "not ours")
        check(device.version() == "1.0", "and stays")


def any_web_server_can_hold_the_repository():
    with published("1.0") as (repo, world, bundle):
        os.makedirs(world.path("www/there/metadata"))
        for name, data in repo.files.items():
            with open(world.path("www/there/metadata", name), "wb") as f:
                f.write(data)
        repo.files = {}  # not at the controller
        plain = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=world.path("www")))
        threading.Thread(target=plain.serve_forever, daemon=True).start()
        device = started(world, "d1", repository=f"http://127.0.0.1:{plain.server_port}/there/")
        world.order(device, bundle)
        comes_to(device, "1.0")
        check(not world.asked, f"{world.asked}")
        plain.shutdown()
        plain.server_close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


if __name__ == "__main__":
    fleet.alone(nothing_new_is_one_small_request, a_stick_needs_no_repository, any_web_server_can_hold_the_repository)
