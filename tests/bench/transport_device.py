# SPDX-License-Identifier: Apache-2.0
"""A device of the bench: a state directory, slots for an image, and edge-agent working on them, by hand or for a site."""

import filecmp
import json
import os
import shutil
import stat
import subprocess
import time
from dataclasses import dataclass, field

from measure import DirtyWatch, Failed

COMPONENT = "payload"
ENDS_S = 1800  # a net
LOOKS_S = 0.01


# ── What a device must have ─────────────────────────────────────────────────────────────────────────


def not_carried(folder, names):
    """Which of the names in a folder no bundle carries: sockets, pipes and devices."""
    modes = {name: os.lstat(os.path.join(folder, name)).st_mode for name in names}
    return {name for name, mode in modes.items() if not (stat.S_ISDIR(mode) or stat.S_ISLNK(mode) or stat.S_ISREG(mode))}


def _kinds(folder):
    """{relative path: folder, link or file} of what a bundle carries."""
    found = {}
    for place, folders, names in os.walk(folder):
        for name in set(folders + names) - not_carried(place, folders + names):
            path = os.path.join(place, name)
            found[os.path.relpath(path, folder)] = stat.S_IFMT(os.lstat(path).st_mode)
    return found


def first_difference(wanted, have):
    """Says where two trees, or two files, differ in what a bundle carries; "" when they do not."""
    if not os.path.isdir(wanted):
        return "" if filecmp.cmp(wanted, have, shallow=False) else "the image has other bytes"
    kinds, found = _kinds(wanted), _kinds(have)
    for path in sorted(kinds.keys() | found.keys()):
        ours, theirs = os.path.join(have, path), os.path.join(wanted, path)
        if kinds.get(path) != found.get(path):
            return f"{path} is missing, too many or of another kind"
        if stat.S_ISLNK(kinds[path]) and os.readlink(ours) != os.readlink(theirs):
            return f"{path} points elsewhere"
        if stat.S_ISREG(kinds[path]) and not filecmp.cmp(ours, theirs, shallow=False):
            return f"{path} has other bytes"
        if stat.S_ISREG(kinds[path]) and (os.stat(ours).st_mode ^ os.stat(theirs).st_mode) & stat.S_IXUSR:
            return f"{path} is executable in one of them only"
    return ""


# ── The device ──────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Update:
    """What the site's log says of one update; and the memory of who did it, KiB at most."""

    seconds: float  # from the answer that offered it until applications open it
    fetched_s: float = 0.0  # of these, until the last byte had come
    answers: list = field(default_factory=list)
    peak_kib: int = 0

    @property
    def bytes(self):
        return sum(answer.bytes for answer in self.answers)


class Device:
    """image: the contents that an image's slots begin with, as large as any image of it; "" for a device without slots."""

    def __init__(self, bench, folder, image=""):
        self.bench, self.folder = bench, folder
        self.state, self.config = os.path.join(folder, "state"), os.path.join(folder, "agent.json")
        self.image = bool(image)
        self.settings = {"controller": "", "state_dir": "state", "root": "root.json", "poll_s": 3600}
        os.makedirs(self.state)
        shutil.copy(os.path.join(bench.ws, "root.json"), folder)
        if image:
            slots = [os.path.join(folder, f"slot-{name}") for name in "ab"]
            for slot in slots:
                shutil.copy(image, slot)
            self.settings["slots"] = {COMPONENT: slots}
        self.configure()

    def configure(self, **more):
        self.settings.update(more)
        with open(self.config, "w", encoding="utf-8") as f:
            json.dump(self.settings, f)

    def agent(self, *argv, **options):
        return subprocess.Popen([os.path.join(self.bench.bin, "edge-agent"), *argv, "--config", self.config], **options)

    def install(self, path, watched=True):
        """From a file. The watch over its memory, which slows it down."""
        with self.agent("install", path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as agent:
            watch = DirtyWatch(agent.pid) if watched else None
            said = agent.communicate()[1]
            if watch:
                watch.stop()
        if agent.returncode != 0:
            raise Failed(f"bench: installing {path} failed with {agent.returncode}:\n{said.decode()}")
        return watch

    def update(self, site, name, paths, watched=False):
        """What the site offers to devices of this name, and gives out under these paths."""
        self.configure(**site.enrolment(name))
        begun, before, log = time.time(), self._current(), os.path.join(self.folder, "agent.log")
        with open(log, "wb") as said:
            agent = self.agent("run", stdout=said, stderr=said)
        watch = DirtyWatch(agent.pid) if watched else None
        try:
            self._wait(agent, log, lambda: self._current() != before and os.path.exists(self.installed()))
            done = os.lstat(os.path.join(self.state, "current")).st_ctime
            self._wait(agent, log, self._is_idle)
        finally:
            if watch:
                watch.stop()
            agent.terminate()
            agent.wait()
        answers = site.answers(begun)
        taken = [answer for answer in answers if answer.path in paths]
        if not taken:
            raise Failed(f"bench: {name}: nothing of {paths} was taken")
        told = max(answer.ended for answer in answers if answer.path.endswith("/checkin") and answer.ended <= taken[0].begun)
        fetched_s = max(answer.ended for answer in taken) - told
        return Update(done - told, fetched_s, taken, max(watch.highest.values()) if watch else 0)

    def _wait(self, agent, log, condition):
        end = time.monotonic() + ENDS_S
        while not condition():
            if agent.poll() is not None or time.monotonic() > end or self._gave_up(log):
                with open(log, encoding="utf-8", errors="replace") as f:
                    raise Failed(f"bench: the update did not happen:\n{f.read()[-2000:]}")
            time.sleep(LOOKS_S)

    @staticmethod
    def _gave_up(log):
        with open(log, encoding="utf-8", errors="replace") as f:
            return "fetching -> idle" in f.read()

    def _current(self):
        try:
            return os.readlink(os.path.join(self.state, "current"))
        except FileNotFoundError:
            return ""

    def _is_idle(self):
        with self.agent("status", "--json", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as asked:
            said = asked.communicate()[0]
        return asked.returncode == 0 and json.loads(said)["state"] == "idle"

    def installed(self):
        place = os.path.join(self.state, "current", COMPONENT)
        return os.path.join(place, "image") if self.image else place
