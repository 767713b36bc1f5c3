# SPDX-License-Identifier: Apache-2.0
"""A controller and a few devices, all real programs on loopback, in a folder that goes away.

For the end-to-end tests beside this file. Everything started here is ended here, by its process id.
"""

import contextlib
import functools
import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SOURCE = os.environ.get("EDGE_SOURCE", os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BIN = os.path.dirname(os.environ.get("EDGECTL", os.path.join(SOURCE, "build/dev/bin/edgectl")))
EDGECTL = os.path.join(BIN, "edgectl")
AGENT = os.path.join(BIN, "edge-agent")
SKIPPED = 77  # for ctest
# Only a net: whoever waits for an event goes on when it comes, and a busy machine is no failure.
PATIENCE_S = int(os.environ.get("PATIENCE_S", "300"))


class Failed(Exception):
    pass


def check(condition, text):
    """An assertion that says what was expected, and survives python -O."""
    if not condition:
        raise Failed(text)


def wait_for(what, condition, patience_s=PATIENCE_S):
    """Until condition() is true; what says what was waited for. Asks less and less often: a controller counts how often."""
    end, pause_s = time.monotonic() + patience_s, 0.02
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"waited {patience_s} s for {what}")
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.3, 0.3)


def skipped(why):
    """What this machine does not allow, wholly or in part: tests/run.sh counts and lists these lines."""
    print(f"skipped: {why}", flush=True)


def skip(why):
    """Nothing of a script can be tried here."""
    skipped(why)
    sys.exit(SKIPPED)


def own_mounts(*users):
    """What a command line begins with so that the rest of it may mount; None when that is not allowed here. ["-r"]: as root of a
    user namespace too, who is nobody outside and cannot give a file to another user, as the agent of a real root does."""
    for user in ([], *users):
        how = ["unshare", "-m", *user, "--propagation", "private"]
        if subprocess.run([*how, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False).returncode == 0:
            return how
    return None


def again_with_own_mounts():
    """Starts this script again where it may mount, and is true there; false when that is not allowed here."""
    if os.environ.get("OWN_MOUNTS"):
        return True
    how = own_mounts()
    if how:
        os.environ["OWN_MOUNTS"] = "yes"
        os.execvp(how[0], [*how, sys.executable, os.path.abspath(sys.argv[0])])
    return False


def installed(found, package):
    """What tests/deps.sh installs is there, or the test fails: nothing is left out because a package is missing."""
    check(found, f"the package {package} is not installed: tests/deps.sh test")
    return found


def other_time(jump):
    """The environment of a program that sees another wall clock: "-20y", "@1970-01-02 00:00:00"."""
    [library] = installed(glob.glob("/usr/lib/*/faketime/libfaketime.so.1"), "faketime")[:1]
    # It is preloaded and so comes before the sanitizer's library, which does not mind when told.
    asan = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    return {"LD_PRELOAD": library, "FAKETIME": jump, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "ASAN_OPTIONS": asan}


class Device:
    def __init__(self, fleet, name, config):
        self.fleet, self.name = fleet, name
        self.dir = fleet.path("devices", name)
        self.state = os.path.join(self.dir, "state")
        self.config = os.path.join(self.dir, "agent.json")
        self.process = None
        os.makedirs(self.state)
        shutil.copy(fleet.root, os.path.join(self.dir, "root.json"))
        document = {"state_dir": "state", "root": "root.json", "device": name, "poll_s": 1, "backoff_base_s": 1,
                    "backoff_max_s": 2, "reserve_bytes": 0}
        document.update(config)
        with open(self.config, "w", encoding="utf-8") as f:
            json.dump(document, f)

    def start(self):
        with open(os.path.join(self.dir, "agent.log"), "ab") as log:
            self.process = subprocess.Popen([AGENT, "run", "--config", self.config], stdout=log, stderr=log,
                                            env=self.fleet.env)

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        status = self.process.wait(timeout=PATIENCE_S)
        self.process = None
        return status

    def agent(self, *argv, status=0):
        done = subprocess.run([AGENT, *argv], capture_output=True, text=True, env=self.fleet.env, timeout=PATIENCE_S,
                              check=False)
        if status is not None:
            check(done.returncode == status, f"edge-agent {' '.join(argv)}: exit status {done.returncode}, not {status}: {done.stderr}")
        return done

    def status(self):
        return json.loads(self.agent("status", "--config", self.config, "--json").stdout)

    def version(self, component="app"):
        return self.status()["components"].get(component, {}).get("version")

    def read(self, *parts):
        with open(os.path.join(self.state, "current", *parts), encoding="utf-8") as f:
            return f.read()

    def log(self):
        with open(os.path.join(self.dir, "agent.log"), encoding="utf-8", errors="replace") as f:
            return f.read()


class Fleet(contextlib.AbstractContextManager):
    def __init__(self):
        self.work = tempfile.mkdtemp(prefix="edgectl-e2e-")
        os.chmod(self.work, 0o755)  # as root, runners are another user and must get in
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("EDGECTL_")}
        self.env["EDGECTL_PASSPHRASE"] = "for tests alone"
        self.devices = []
        self.server = None
        self.second = None  # token of another person
        # Bound as long as the fleet lives, so that nobody takes the port while the controller is down. It listens there all
        # the same: both allow others before one listens.
        self.place = socket.socket()
        self.place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.place.bind(("127.0.0.1", 0))
        self.port = self.place.getsockname()[1]
        self.ws = self.path("ws")
        self.root = os.path.join(self.ws, "root.json")
        self.edgectl("init", self.ws)

    def __exit__(self, kind, value, trace):
        for device in self.devices:
            if device.process:
                device.kill()
        if self.server:
            self.stop_server(signal.SIGKILL)
        self.place.close()
        if kind:
            print(f"{kind.__name__}: {value}", file=sys.stderr)
            for device in self.devices:
                print(f"── {device.name}\n{device.log()[-3000:]}", file=sys.stderr)
            if os.path.exists(self.path("serve.log")):
                with open(self.path("serve.log"), encoding="utf-8", errors="replace") as f:
                    print(f"── controller\n{f.read()[-6000:]}", file=sys.stderr)
        if not os.environ.get("KEEP"):
            subprocess.run(["chmod", "-R", "u+w", self.work], check=False)
            shutil.rmtree(self.work, ignore_errors=True)
        return False

    def path(self, *parts):
        return os.path.join(self.work, *parts)

    def run(self, *argv, status=0, stdin=None, env=None):
        done = subprocess.run([EDGECTL, *argv], capture_output=True, text=True, input=stdin, timeout=2 * PATIENCE_S, check=False,
                              env={**self.env, **(env or {})})
        if status is not None:
            check(done.returncode == status,
                  f"edgectl {' '.join(argv)}: exit status {done.returncode}, not {status}: {done.stdout}{done.stderr}")
        return done

    def edgectl(self, *argv, **options):
        return self.run(*argv, **options).stdout

    def json(self, *argv, **options):
        return json.loads(self.edgectl(*argv, "--json", **options))

    # ── The controller ──────────────────────────────────────────────────────────────────────────────

    def start_server(self, *more):
        port_file = self.path("port")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(port_file)
        with open(self.path("serve.log"), "ab") as log:
            self.server = subprocess.Popen(
                [EDGECTL, "serve", "--workspace", os.path.join(self.ws, "server"), "--listen", f"127.0.0.1:{self.port}",
                 "--port-file", port_file, "--allow-offline-keys", *more], stdout=log, stderr=log, env=self.env)
        def ready():
            check(self.server.poll() is None, "edgectl serve has ended")
            return os.path.exists(port_file) and os.path.getsize(port_file) > 0
        wait_for("the controller to listen", ready)
        with open(port_file, encoding="ascii") as f:
            check(int(f.read()) == self.port, "it listens where it was told to")
        with open(os.path.join(self.ws, "server/admin.token"), encoding="ascii") as f:
            self.env["EDGECTL_TOKEN"] = f.read().strip()
        self.env["EDGECTL_CONTROLLER"] = self.controller()

    def controller(self):
        return f"http://127.0.0.1:{self.port}"

    def stop_server(self, number=signal.SIGTERM):
        self.server.send_signal(number)
        status = self.server.wait(timeout=PATIENCE_S)
        self.server = None
        return status

    # ── Devices ─────────────────────────────────────────────────────────────────────────────────────

    def add_device(self, name, **config):
        device = Device(self, name, config)
        self.devices.append(device)
        return device

    def add_fleet(self, count, **config):
        token = self.edgectl("token", "create", "--enroll", "--uses", str(count), "--expires", "1h").strip()
        for i in range(count):
            self.add_device(f"dev-{i:02d}", controller=self.controller(), enroll_token=token, **config).start()
        wait_for("all devices to be accepted", lambda: self.accepted() >= count)

    def accepted(self):
        rows = self.json("device", "list")
        rows = rows["devices"] if isinstance(rows, dict) else rows
        return sum(1 for row in rows if row.get("state") == "accepted" or row.get("access") == "accepted")

    # ── Releases and rollouts ───────────────────────────────────────────────────────────────────────

    def component(self, name, files):
        """A directory with these files {path: text}."""
        folder = self.path("input", name)
        for path, text in files.items():
            target = os.path.join(folder, path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "w", encoding="utf-8") as f:
                f.write(text)
        return folder

    def bundle(self, name, version, components, *more):
        """components: {name: directory or file}."""
        out = self.path(f"{name}-{version}.edge")
        inputs = [f"--component={key}={value}" for key, value in components.items()]
        self.edgectl("bundle", "create", "--workspace", self.ws, "--name", name, "--version", version, *inputs,
                     "--probation", "2s", "-o", out, *more)
        return out

    def pair(self, version, *more):
        """Two components that must never mix: each says its version. And some bulk."""
        bulk = "".join(f"{version} {i}\n" for i in range(20000))
        app = self.component(f"app-{version}", {"version": version, "bulk": bulk, "same": "always the same\n"})
        model = self.component(f"model-{version}", {"version": version, "weights/w.bin": bulk[::-1]})
        return self.bundle("pair", version, {"app": app, "model": model}, *more)

    def publish(self, *argv, **options):
        """Uploads bundles and names them in the targets, without which no device takes them."""
        return self.edgectl("release", "publish", *argv, "--workspace", self.ws, **options)

    def policy(self, name, **document):
        path = self.path(f"policy-{name}.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"name": name, **document}, f)
        return path

    def approve(self, name, *more, env=None, **options):
        """By a second person: who applied a rollout does not approve it."""
        if not self.second:
            self.second = self.edgectl("token", "create", "--name", "second", "--role", "deployer").split()[-1]
        return self.run("rollout", "approve", name, *more, env={"EDGECTL_TOKEN": self.second, **(env or {})}, **options)

    def rollout(self, name):
        return self.json("rollout", "status", name)


def each(f, *scenarios):
    """Runs one scenario(f) after another, says how each went, and ends at the first that fails: in a fleet that it left half way, those
    behind it would wait out their patience for what cannot come, and hide the cause. GO_ON=1 tries them all the same; ONLY=WORD picks
    those with the word in their name."""
    failed = []
    picked = [scenario for scenario in scenarios if os.environ.get("ONLY", "") in scenario.__name__]
    for at, scenario in enumerate(picked):
        try:
            scenario(f)
            print(f"ok      {scenario.__name__.replace('_', ' ')}", flush=True)
        except (Failed, OSError, KeyError, ValueError, TypeError, subprocess.SubprocessError) as error:
            failed.append(scenario.__name__)
            print(f"FAILED  {scenario.__name__.replace('_', ' ')}: {type(error).__name__}: {error}", flush=True)
            if not os.environ.get("GO_ON"):
                print(f"{len(picked) - at - 1} behind it were not tried", flush=True)
                break
    check(not failed, f"{len(failed)} failed: {', '.join(failed)}")


def alone(*scenarios):
    """The same for scenarios that need no fleet; and the script is over."""
    def without(scenario):
        return functools.wraps(scenario)(lambda _: scenario())
    each(None, *map(without, scenarios))
    print(f"{os.path.basename(sys.argv[0])}: ok")


def steps(rows):
    """Runs each (name, step) and says how long it took. ONLY=NAME,NAME picks some."""
    only = os.environ.get("ONLY", "").split(",") if os.environ.get("ONLY") else None
    for name, step in rows:
        if only and name not in only:
            continue
        begin = time.monotonic()
        step()
        print(f"{name}: {time.monotonic() - begin:.1f} s", flush=True)


def main(test):
    """Runs test(fleet) and reports; the exit status says how it went."""
    with Fleet() as fleet:
        test(fleet)
    print(f"{os.path.basename(sys.argv[0])}: ok")
