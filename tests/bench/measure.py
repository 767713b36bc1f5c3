# SPDX-License-Identifier: Apache-2.0
"""What the programs beside this file measure with: how they print a figure, run a tool, and see a process's memory."""

import os
import subprocess
import sys
import threading
import time

SAMPLE_S = 0.004


def note(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def metric(name, value, unit):
    print(f"{name}\t{value:.3f}\t{unit}" if isinstance(value, float) else f"{name}\t{value}\t{unit}")
    sys.stdout.flush()


class Failed(SystemExit):
    """A tool failed. Ends the program with these words when nobody catches it."""


def run(*argv, **options):
    done = subprocess.run(argv, capture_output=True, check=False, **options)
    if done.returncode != 0:
        raise Failed(f"bench: {' '.join(argv)} exited with {done.returncode}:\n{done.stderr.decode()}")
    return done.stdout


def seconds(action):
    begin = time.monotonic()
    action()
    return time.monotonic() - begin


class DirtyWatch:
    """The highest Private_Dirty of a process and its descendants, in KiB: together (peak, parts), and {pid: its own}."""

    def __init__(self, pid):
        self.pid, self.peak, self.parts, self.highest = pid, 0, {}, {}
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    @staticmethod
    def dirty_kib(pid):
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
                return sum(int(line.split()[1]) for line in f if line.startswith("Private_Dirty:"))
        except (OSError, ValueError):
            return 0

    @staticmethod
    def family(pid):
        found = [pid]
        for parent in found:
            try:
                with open(f"/proc/{parent}/task/{parent}/children", encoding="ascii") as f:
                    found += [int(word) for word in f.read().split()]
            except OSError:
                pass
        return found

    def _watch(self):
        while not self.over.is_set():
            parts = {pid: self.dirty_kib(pid) for pid in self.family(self.pid)}
            for pid, kib in parts.items():
                self.highest[pid] = max(kib, self.highest.get(pid, 0))
            if sum(parts.values()) > self.peak:
                self.peak, self.parts = sum(parts.values()), parts
            time.sleep(SAMPLE_S)

    def stop(self):
        self.over.set()
        self.thread.join()
        return self.peak
