#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Who has to be compromised together before a device installs what nobody honest released: the director, the repository and the holders
of the bundle keys, in every combination; and what two releases that belong together come to when an attacker takes them apart."""

import os

import fleet
import forge
from fleet import check, wait_for
from repository import Repository, World, comes_to, started

PARTS = ("director", "repository", "bundle")


class Watched(World):
    """Counts how often devices came, so that nothing here waits for time to pass."""

    def __init__(self, repository):
        self.beats = 0
        super().__init__(repository)

    def check_in(self, body):
        self.beats += 1
        return super().check_in(body)


def steal(world, repo, stolen, release):
    """Whatever is not stolen the thief signs with a key of the thief's own, or leaves as it honestly is."""
    thief = [forge.Key("thief")]
    evil = world.bundle(release, keys=repo.keys["bundle"] if "bundle" in stolen else thief)
    with world.lock:
        if "repository" in stolen:
            repo.now += 1
            repo.add(evil)
        world.director = repo.keys["director"] if "director" in stolen else thief
    return evil


def every_set_of_compromised_parts_but_the_whole_installs_nothing():
    repo = Repository()
    with Watched(repo) as world:
        honest = world.bundle("1.0")
        repo.add(honest)
        device = started(world, "d1")
        world.order(device, honest)
        comes_to(device, "1.0")
        for subset in range(1 << len(PARTS)):
            stolen = {part for at, part in enumerate(PARTS) if subset >> at & 1}
            evil = steal(world, repo, stolen, f"evil-{subset}")
            world.order(device, evil)
            if len(stolen) == len(PARTS):
                comes_to(device, f"evil-{subset}")  # the thief does try: this is what all of them together can do
                break
            beats = world.beats
            wait_for(f"the device to have met {stolen or 'nobody'}", lambda beats=beats: world.beats > beats + 4)
            wait_for("the device to have made up its mind", lambda: device.status()["state"] == "idle")
            check(device.version() == "1.0", f"with {stolen or 'nothing'} stolen the device runs {device.version()}")
            with world.lock:
                world.director = repo.keys["director"]
                world.orders.clear()
                if "repository" in stolen:
                    repo.now += 1
                    repo.withdraw(evil)


def after_all_of_it_the_next_honest_release_is_installed():
    repo = Repository()
    with Watched(repo) as world:
        device = started(world, "d1")
        for subset in range((1 << len(PARTS)) - 1):
            stolen = {part for at, part in enumerate(PARTS) if subset >> at & 1}
            evil = steal(world, repo, stolen, f"evil-{subset}")
            world.order(device, evil)
            beats = world.beats
            wait_for("the device to have met it", lambda beats=beats: world.beats > beats + 3)
            release = f"honest-{subset}"
            with world.lock:
                world.director = repo.keys["director"]
                repo.now += 1
                good = world.bundle(release)
                repo.add(good)
            world.order(device, good)
            comes_to(device, release)


def parts_of_two_releases_are_never_together():
    """A model and the program it belongs to are components of one bundle: the targets name bundles, and an index signed for one of them
    opens the contents of no other."""
    repo = Repository()
    with Watched(repo) as world:
        old, new = (pair(world, release) for release in ("4.0", "5.0"))
        repo.add(old)
        repo.add(new)
        device = started(world, "d1")
        world.order(device, old)
        wait_for("4.0", lambda: both(device) == ("4.0", "4.0"))
        # The manifest of the one with the contents of the other, both ways, and half of each.
        for contents in mixtures(world.bundles["/b/pair-4.0.edge"], world.bundles["/b/pair-5.0.edge"]):
            honest = world.bundles["/b/pair-5.0.edge"]
            world.bundles["/b/pair-5.0.edge"] = contents
            beats = world.beats
            world.order(device, new, attempt=world.beats + 1)
            wait_for("the device to have met it", lambda beats=beats: world.beats > beats + 3)
            wait_for("the device to have given it up", lambda: device.status()["state"] == "idle")
            check(both(device) == ("4.0", "4.0"), f"{both(device)}")
            with world.lock:
                world.orders.clear()
            world.bundles["/b/pair-5.0.edge"] = honest
        world.order(device, new, attempt=world.beats + 1)
        wait_for("5.0", lambda: both(device) == ("5.0", "5.0"))


def pair(world, release):
    parts = [forge.Component(name, [forge.file("version", data)], [data], security_version=1)
             for name, data in (("model", b"m" + release.encode()), ("program", b"p" + release.encode()))]
    bundle = forge.Bundle(release, parts, "pair")
    bundle.path = bundle.write(world.path(f"pair-{release}.edge"), world.repository.keys["bundle"])
    with open(bundle.path, "rb") as f:
        world.bundles[f"/b/pair-{release}.edge"] = f.read()
    return bundle


def both(device):
    """The releases of the two components that run."""
    out = []
    for name, letter in (("model", "m"), ("program", "p")):
        try:
            with open(os.path.join(device.state, "current", name, "version"), encoding="utf-8") as f:
                out.append(f.read().removeprefix(letter))
        except OSError:
            out.append(None)
    return tuple(out)


def mixtures(old, new):
    """Files that begin as the new bundle and go on as the old one, cut where one block of tar meets the next."""
    size = min(len(old), len(new))
    for at in range(512, size, max(512, size // 8 // 512 * 512)):
        mixed = new[:at] + old[at:size] + new[size:]
        if mixed != new:
            yield mixed


if __name__ == "__main__":
    fleet.alone(every_set_of_compromised_parts_but_the_whole_installs_nothing, after_all_of_it_the_next_honest_release_is_installed,
                parts_of_two_releases_are_never_together)
