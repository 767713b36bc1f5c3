# SPDX-License-Identifier: Apache-2.0
"""RAUC, as Debian packages it, installing an image for real: its service on a private bus, into the slot of a file.

Its bundle is the image in a squashfs, signed (`plain`; `verity` needs the kernel's device mapper). It is made with each of
COMPRESSIONS, and the fastest to install counts.
"""

import contextlib
import os
import shutil
import subprocess
import time

from measure import Failed, note, run, seconds

NEEDS = ("rauc", "mksquashfs", "openssl", "dbus-daemon", "dbus-send")
STARTS_S = 30
COMPRESSIONS = {"none": "-noI -noD -noF -noX", "zstd": "-comp zstd"}
MANIFEST = """[update]
compatible=bench
version=2

[bundle]
format=plain

[image.rootfs]
filename=rootfs.img
"""
SYSTEM = """[system]
compatible=bench
bootloader=noop
bundle-formats=plain
mountprefix={folder}/mount
statusfile={folder}/status

[keyring]
path={folder}/certificate.pem

[slot.rootfs.0]
device={folder}/slot-a
type=raw
bootname=a

[slot.rootfs.1]
device={folder}/slot-b
type=raw
bootname=b
"""


def why_not():
    """Why it cannot be measured here; "" when it can."""
    if os.geteuid() != 0:
        return "only root can mount its bundles"
    absent = [name for name in NEEDS if not shutil.which(name)]
    return f"{' and '.join(absent)} not installed (apt-get install rauc squashfs-tools dbus)" if absent else ""


class Rauc(contextlib.AbstractContextManager):
    """With the first version in its slots; `folder` is empty."""

    def __init__(self, folder, old, new):
        self.folder, self.new, self.processes, self.bundles = folder, new, [], {}
        os.mkdir(self.at("mount"))
        for slot in "ab":
            shutil.copy(old, self.at(f"slot-{slot}"))
        with open(self.at("system.conf"), "w", encoding="utf-8") as f:
            f.write(SYSTEM.format(folder=folder))
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.at("key.pem"), "-out", self.at("certificate.pem"),
            "-days", "3650", "-subj", "/CN=bench")
        for name, options in COMPRESSIONS.items():
            try:
                self.bundles[name] = self._bundle(name, options)
            except Failed as failure:
                note(f"rauc without compression {name}: {failure}")
        if not self.bundles:
            raise Failed("bench: no bundle for rauc could be made")
        try:
            self._serve()
        except BaseException:
            self.__exit__()
            raise

    def at(self, *parts):
        return os.path.join(self.folder, *parts)

    def _bundle(self, name, options):
        contents, target = self.at("contents"), self.at(f"{name}.raucb")
        os.mkdir(contents)
        os.link(self.new, os.path.join(contents, "rootfs.img"))
        with open(os.path.join(contents, "manifest.raucm"), "w", encoding="ascii") as f:
            f.write(MANIFEST)
        try:
            run("rauc", f"--cert={self.at('certificate.pem')}", f"--key={self.at('key.pem')}", f"--mksquashfs-args={options}", "bundle",
                contents, target)
        finally:
            shutil.rmtree(contents)
        return target

    def _serve(self):
        """Its service owns a name on the system's bus; here another takes its place."""
        bus = subprocess.Popen(["dbus-daemon", "--session", "--nofork", "--print-address"], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)
        self.processes.append(bus)
        self.env = dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=bus.stdout.readline().strip())
        with open(self.at("service.log"), "wb") as log:
            self.processes.append(subprocess.Popen(["rauc", f"--conf={self.at('system.conf')}", "--override-boot-slot=a", "service"],
                                                   env=self.env, stdout=log, stderr=log))
        end = time.monotonic() + STARTS_S
        while b"true" not in run("dbus-send", "--system", "--print-reply", "--dest=org.freedesktop.DBus", "/",
                                 "org.freedesktop.DBus.NameHasOwner", "string:de.pengutronix.rauc", env=self.env):
            if self.processes[-1].poll() is not None or time.monotonic() > end:
                with open(self.at("service.log"), encoding="utf-8", errors="replace") as f:
                    raise Failed(f"bench: the service of rauc does not start:\n{f.read()[-2000:]}")
            time.sleep(0.05)

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
            process.wait()
            if process.stdout:
                process.stdout.close()

    def install(self, name):
        """Seconds that it takes from the file of this compression."""
        return seconds(lambda: run("rauc", "install", self.bundles[name], env=self.env))

    def slot(self):
        """What it installs to; the other one is said to be booted."""
        return self.at("slot-b")
