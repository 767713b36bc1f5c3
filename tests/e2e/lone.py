# SPDX-License-Identifier: Apache-2.0
"""One device without a controller, and what must be true of it after every refusal.

For the end-to-end tests beside this file: tables of exit statuses read from the sources, runs of edge-agent whose stderr is
held to one line, and a picture of a device's files to compare.
"""

import contextlib
import glob
import hashlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess

import fleet
from fleet import check

# Sanitizers speak on stderr; so does LeakSanitizer in a worker whose sandbox forbids it to look.
NOISE = re.compile(r"^==\d+==(LeakSanitizer has encountered a fatal error|HINT: )")
SANITIZER = re.compile(r"(ERROR: \w+Sanitizer|runtime error:|SUMMARY: \w+Sanitizer|Assertion .* failed)")
STATES = {"idle", "offered", "fetching", "staged", "waiting", "activating", "rebooting", "probation", "committed", "reverting",
          "failed"}


def read_kinds():
    """{name: exit status} from the X-macro tables of base, keys, bundle and agent."""
    kinds = {}
    for path in ("base/err.h", "keys/kind.h", "bundle/kind.h", "agent/kind.h"):
        with open(os.path.join(fleet.SOURCE, path), encoding="utf-8") as f:
            for name, number in re.findall(r"^    X\((\w+), +(\d+),", f.read(), re.M):
                kinds[name] = int(number)
    return kinds


KINDS = read_kinds()
NAMES = {number: name for name, number in KINDS.items()}


class Run:
    """A finished run of edge-agent."""

    def __init__(self, argv, code, out, err):
        self.argv, self.code, self.out = argv, code, out
        self.err = "\n".join(line for line in err.splitlines() if not NOISE.match(line))
        check(not SANITIZER.search(err), f"{self}: {err}")
        check(code >= 0, f"{self} was ended by signal {-code}: {err}")

    def __str__(self):
        return f"edge-agent {' '.join(self.argv)}"

    @property
    def kind(self):
        return "" if self.code == 0 else NAMES.get(self.code, f"exit status {self.code}")

    def ok(self):
        check(self.code == 0, f"{self}: must succeed, but {self.kind}: {self.err}")
        return self

    def refused(self, *kinds, says=""):
        """Ended as one of these kinds, and said so in one line."""
        what = f"{self}: {self.kind or 'success'}: {self.err!r}"
        check(self.kind in kinds, f"{what}: expected {' or '.join(kinds)}")
        lines = self.err.splitlines()
        check(len(lines) == 1, f"{what}: expected one line on stderr")
        check(lines[0].startswith("edge-agent"), f"{what}: the line must begin with the program's name")
        check(lines[0].isprintable(), f"{what}: the line must be printable")
        check(re.search(says, lines[0]) is not None, f"{what}: expected it to say /{says}/")
        return self


def program_for_others(f):
    """edge-agent where any user gets to it: who is root in a home folder built it where nobody else may look."""
    folder = os.path.realpath(fleet.AGENT)
    while (folder := os.path.dirname(folder)) != "/":
        if not os.stat(folder).st_mode & stat.S_IXOTH:
            break
    else:
        return fleet.AGENT
    place = f.path("bin")
    if not os.path.exists(place):
        os.mkdir(place)
        for name in ("edge-agent", "edge-agent-worker"):
            shutil.copy(os.path.join(fleet.BIN, name), place)
    return os.path.join(place, "edge-agent")


def edge_agent(env, *argv, timeout_s=fleet.PATIENCE_S, prefix=(), program=fleet.AGENT, **more):
    try:
        done = subprocess.run([*prefix, program, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env,
                              timeout=timeout_s, check=False, stdin=subprocess.DEVNULL, **more)
    except subprocess.TimeoutExpired:
        raise fleet.Failed(f"edge-agent {' '.join(argv)}: still running after {timeout_s} s") from None
    return Run(argv, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def read(path):
    with open(path, "rb") as f:
        return f.read()


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)
    return path


def picture(folder):
    """{path: what is there} of everything below a folder."""
    seen = {}
    for base, dirs, files in os.walk(folder):
        for name in dirs + files:
            path = os.path.join(base, name)
            status = os.lstat(path)
            entry = [stat.filemode(status.st_mode)]
            if stat.S_ISLNK(status.st_mode):
                entry.append(os.readlink(path))
            elif stat.S_ISREG(status.st_mode):
                with open(path, "rb") as f:
                    entry.append(hashlib.blake2b(f.read(), digest_size=16).hexdigest())
            seen[os.path.relpath(path, folder)] = tuple(entry)
    return seen


class Lone:
    """A device of the fleet that no controller knows."""

    def __init__(self, f, name, device=None, prefix=(), **config):
        self.fleet, self.name, self.prefix = f, name, tuple(prefix)
        self.device = device or f.add_device(name, **{"probation_s": 1, "poll_s": 3600, **config})
        self.state, self.config = self.device.state, self.device.config
        with open(os.path.join(self.device.dir, "agent.log"), "ab"):
            pass  # read when something fails

    def reconfigure(self, **changes):
        with open(self.config, encoding="utf-8") as f:
            document = json.load(f)
        document.update(changes)
        with open(self.config, "w", encoding="utf-8") as f:
            json.dump({key: value for key, value in document.items() if value is not None}, f)

    def program(self):
        return program_for_others(self.fleet) if self.prefix else fleet.AGENT

    def run(self, command, *argv, **more):
        return edge_agent(self.fleet.env, command, "--config", self.config, *argv,
                          **{"prefix": self.prefix, "program": self.program(), **more})

    def install(self, bundle, *argv, **more):
        return self.run("install", "--quiet", *argv, bundle, **more)

    def begin(self, command, *argv):
        """A process that runs, in a group of its own."""
        with open(os.path.join(self.device.dir, "agent.log"), "ab") as log:
            return subprocess.Popen([*self.prefix, self.program(), command, "--config", self.config, *argv], stdout=log, stderr=log,
                                    stdin=subprocess.DEVNULL, env=self.fleet.env, start_new_session=True)

    def serve(self):
        """edge-agent run, until it answers."""
        self.device.process = self.begin("run")
        def ready():
            check(self.device.process.poll() is None, f"{self.name}: edge-agent run has ended: {self.device.log()[-2000:]}")
            answer = self.run("status", "--json")
            return answer.code == 0 and "probation" in json.loads(answer.out)  # which nobody knows but the agent itself
        fleet.wait_for(f"{self.name} to answer", ready)

    def stop(self, number=signal.SIGTERM):
        code = self.device.kill(number)
        log = self.device.log()
        check(not SANITIZER.search(log), f"{self.name}: {log[-4000:]}")
        return code

    def status(self):
        return json.loads(self.run("status", "--json").ok().out)

    def wait_state(self, state):
        return fleet.wait_for(f"{self.name} to be {state}", lambda: (s := self.status())["state"] == state and s)

    def version(self, component="app"):
        return self.status()["components"].get(component, {}).get("version")

    def current(self):
        return os.readlink(os.path.join(self.state, "current"))

    def generations(self):
        return sorted(os.listdir(os.path.join(self.state, "generations")))

    def picture(self):
        """What an application can see, and what takes space: all but the agent's own notes."""
        seen = picture(self.state)
        return {path: what for path, what in seen.items() if not path.startswith("private") and path not in ("agent.sock", "scratch")}

    def check_clean(self):
        """I1, I2, I7, I8 of a device at rest: what runs is whole, and nothing is left over."""
        status = self.status()
        check(status["state"] == "idle", f"{self.name} must be at rest: {status}")
        keep = {str(status["generation"])}
        if status["previous"] is not None:
            keep.add(str(status["previous"]))
        check(self.current() == f"generations/{status['generation']}", f"I1: current is {self.current()}: {status}")
        check(set(self.generations()) == keep, f"I8: {self.generations()} where {sorted(keep)} are needed")
        left = [p for p in picture(self.state) if ".tmp-" in p or p.endswith(".partial") or p.startswith("scratch/")]
        check(not left, f"I8: {self.name} left {left}")
        return status

    def check_pair(self):
        """I1, I7 at any moment, from outside: what `current` names is there, whole and of one version. Returns that version."""
        link = os.path.join(self.state, "current")
        if not os.path.lexists(link):
            return None
        base = os.path.join(self.state, os.readlink(link))
        check(os.path.isfile(os.path.join(base, ".edge", "generation.json")), f"I1: {os.readlink(link)} is not sealed")
        with open(os.path.join(base, ".edge", "generation.json"), encoding="utf-8") as f:
            record = json.load(f)
        versions = {c["release"] for c in record["components"].values()}
        for path in glob.glob(os.path.join(base, "*", "version")):
            with open(path, encoding="ascii") as f:
                versions.add(f.read())
        check(len(versions) <= 1, f"I7: {self.name} runs {versions} at once")
        return versions.pop() if versions else ""

    @contextlib.contextmanager
    def unchanged(self, what):
        """Whatever happens inside, the device holds and runs what it did before."""
        before = self.picture()
        yield
        after = self.picture()
        gone = sorted(before.keys() - after.keys())
        more = sorted(after.keys() - before.keys())
        other = sorted(p for p in before.keys() & after.keys() if before[p] != after[p])
        check(not (gone or more or other), f"{what}: nothing may change on {self.name}: gone {gone}, new {more}, changed {other}")
