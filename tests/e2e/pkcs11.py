#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# ctest: release
"""Keys on tokens: workspaces whose root and targets are signed by a token, SoftHSM2, made anew for each test.

Needs softhsm2-util (Debian: softhsm2) and pkcs11-tool (opensc).
"""

import os
import pty
import shutil
import subprocess

import cli
import fleet
import people
from fleet import check

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so", "/usr/lib/pkcs11/libsofthsm2.so")
MODULE = next((path for path in MODULES if os.path.exists(path)), None)
CONFIGURED = os.path.exists("/usr/share/p11-kit/modules/softhsm2.module")
PIN = "1234"


def make_token(box, label="release"):
    if "SOFTHSM2_CONF" not in box.env:
        os.mkdir(box.path("tokens"))
        box.write("softhsm.conf", f"directories.tokendir = {box.path('tokens')}\nlog.level = ERROR\n")
        box.env["SOFTHSM2_CONF"] = box.path("softhsm.conf")
        # SoftHSM2 loses a few bytes of OpenSSL's with each signature; all other tests look for leaks of ours.
        box.env["ASAN_OPTIONS"] = ":".join(filter(None, [box.env.get("ASAN_OPTIONS"), "detect_leaks=0"]))
    tool(box, "softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "4321")
    box.write("pin", PIN + "\n")
    os.chmod(box.path("pin"), 0o600)


def tool(box, *argv):
    done = subprocess.run(argv, env=box.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False)
    check(done.returncode == 0, f"{' '.join(argv)}: {done.stderr}")


def make_key(box, name, kind="EC:edwards25519"):
    number = len(name) + sum(name.encode())
    tool(box, "pkcs11-tool", "--module", MODULE, "--login", "--pin", PIN, "--token-label", "release", "--keypairgen", "--key-type",
         kind, "--label", name, "--id", f"{number:04x}")
    return uri(box, name)


def uri(box, name, pin="pin"):
    end = f"&pin-source={box.path(pin)}" if pin else ""
    return f"pkcs11:token=release;object={name}?module-path={MODULE}{end}"


def signers(box, name):
    return {signature["keyid"] for signature in box.load(name)["signatures"]}


def targets_file(box, ws="ws"):
    return f"{ws}/server/repository/metadata/{box.published()['version']}.targets.json"


def to_tokens(box, ids=("root", "targets")):
    """A workspace whose root and targets have a key on the token, and no other. Returns their URIs."""
    box.init()
    make_token(box)
    uris = [make_key(box, name) for name in ids]
    for name, key in zip(ids, uris):
        box.run("key", "show", key, "--out", f"ws/offline/keys/hsm-{name}.pub")
    box.run("key", "rotate", "root", "--with", "ws/offline/keys/hsm-root.pub", "--workspace", "ws", "--key",
            "ws/offline/keys/root.key", "--key", uris[0])
    box.run("root", "publish", "--workspace", "ws")
    box.run("key", "rotate", "targets", "--with", "ws/offline/keys/hsm-targets.pub", "--workspace", "ws", "--key", uris[0])
    box.run("root", "publish", "--workspace", "ws")
    box.run("release", "renew", "--workspace", "ws", "--key", uris[1])
    for name in ids:
        os.unlink(box.path(f"ws/offline/keys/{name}.key"))
        os.unlink(box.path(f"ws/offline/keys/{name}.pub"))
    return uris


def root_and_targets_are_signed_by_a_token(box):
    root, targets = to_tokens(box)
    ids = {name: box.keyid(f"ws/offline/keys/hsm-{name}.pub") for name in ("root", "targets")}
    check(signers(box, "ws/root.json") == {ids["root"]} and box.role("targets")["keyids"] == [ids["targets"]], "other keys sign")
    box.run("release", "publish", box.bundle(), "--workspace", "ws", "--key", targets)
    check(box.releases() == ["thing/1.0"] and signers(box, targets_file(box)) == {ids["targets"]}, "not published by the token")
    box.run("release", "floor", "app=1", "--workspace", "ws", "--key", root, kind="permission", says="has no part in targets")
    box.run("release", "floor", "app=1", "--workspace", "ws", kind="pending", says="hsm-targets")
    box.run("sign", "ws/pending/targets.json", "--workspace", "ws", "--key", targets, "--yes")
    box.run("release", "publish", "--metadata", "ws/pending/targets.json", "--workspace", "ws")
    check(box.published()["floors"] == {"app": 1}, str(box.published()))
    check("intact" in box.run("init", "ws"), "a workspace with keys on a token is not whole")


def a_key_on_a_token_is_shown_and_exported(box):
    make_token(box)
    key, other = make_key(box, "root"), make_key(box, "targets")
    said = box.json("key", "show", key, "--out", "hsm.pub")
    check(said["token"] and said["keyid"] == box.keyid("hsm.pub") and PIN not in str(said), str(said))
    check("on the token" in box.run("key", "show", key, "--out", "hsm.pub"), "again, as it is there")
    box.run("key", "show", other, "--out", "hsm.pub", kind="exists", says="another key")
    check(box.keyid("hsm.pub") == said["keyid"], "overwritten")
    box.run("key", "show", key, "--out", "hsm.key", kind="usage", says="NAME.pub")
    box.run("key", "show", key, "--out", "nowhere/hsm.pub", kind="not_found")
    box.run("key", "show", uri(box, "nobody"), kind="not_found", says="no private key")
    box.run("key", "show", make_key(box, "curve", "EC:prime256v1"), kind="bad_key", says="not Ed25519")
    box.run("key", "show", "pkcs11:colour=red", kind="usage")
    if CONFIGURED:
        check(box.json("key", "show", key.replace(f"module-path={MODULE}&", ""))["keyid"] == said["keyid"], "by p11-kit's modules")


def a_pin_is_taken_where_a_passphrase_is(box):
    make_token(box)
    make_key(box, "root")
    key = uri(box, "root", None)
    wanted = box.json("key", "show", uri(box, "root"))["keyid"]
    check(box.json("key", "show", key, EDGECTL_PASSPHRASE=PIN)["keyid"] == wanted, "from the environment")
    check(box.json("key", "show", key, "--passphrase-file", "pin", EDGECTL_PASSPHRASE=None)["keyid"] == wanted, "from the file")
    box.run("key", "show", key, EDGECTL_PASSPHRASE=None, kind="usage", says="no PIN for release")
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(box.dir)
        env = {name: value for name, value in box.env.items() if name != "EDGECTL_PASSPHRASE"}
        os.execve(cli.EDGECTL, [cli.EDGECTL, "key", "show", key], env)
    shown = b""
    while b"PIN of token release: " not in shown:
        shown += os.read(terminal, 4096)
    os.write(terminal, PIN.encode() + b"\n")
    try:
        while more := os.read(terminal, 4096):
            shown += more
    except OSError:
        pass
    check(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0 and wanted.encode() in shown, str(shown))
    check(PIN.encode() not in shown, "the PIN was shown")
    os.close(terminal)


def a_wrong_pin_signs_nothing(box):
    _, targets = to_tokens(box)
    before = box.published()
    bundle = box.bundle()
    box.write("pin", "9999\n")
    box.run("release", "publish", bundle, "--workspace", "ws", "--key", targets, kind="bad_passphrase", says="token release")
    check(box.published() == before, "published with a wrong PIN")
    os.chmod(box.path("pin"), 0o644)
    box.run("release", "publish", bundle, "--workspace", "ws", "--key", targets, kind="permission")
    os.unlink(box.path("pin"))
    box.run("release", "publish", bundle, "--workspace", "ws", "--key", targets, kind="not_found", says="PIN of token release")
    box.run("release", "publish", bundle, "--workspace", "ws", "--key", uri(box, "targets", None), EDGECTL_PASSPHRASE=PIN)
    check(box.releases() == ["thing/1.0"], "the right PIN signs")


def a_token_that_is_away_signs_nothing(box):
    _, targets = to_tokens(box)
    before = box.published()
    bundle = box.bundle()
    shutil.move(box.path("tokens"), box.path("drawer"))
    os.mkdir(box.path("tokens"))
    box.run("release", "publish", bundle, "--workspace", "ws", "--key", targets, kind="not_found", says="is it plugged in")
    check(box.published() == before, "published without the token")
    os.rmdir(box.path("tokens"))
    shutil.move(box.path("drawer"), box.path("tokens"))
    box.run("release", "publish", bundle, "--workspace", "ws", "--key", targets)
    check(box.releases() == ["thing/1.0"], "the token is back")


def a_new_workspace_has_a_token_from_the_start(box):
    make_token(box)
    root, targets = make_key(box, "root"), make_key(box, "targets")
    box.run("key", "show", root, "--out", "root.pub")
    box.run("key", "show", targets, "--out", "targets.pub")
    options = ("--key", "root=root.pub", "--key", "targets=targets.pub", "--threshold", "root=2", "--threshold", "targets=2")
    box.run("init", "ws", *options, "--sign-key", root, kind="below_threshold")
    box.run("init", "ws", *options, "--sign-key", root, "--sign-key", targets)
    check(box.role("root")["threshold"] == 2 and box.keyid("root.pub") in signers(box, "ws/root.json"), "not signed by the token")
    box.run("release", "floor", "app=1", "--workspace", "ws", "--key", targets, "--key", "ws/offline/keys/targets.key")
    check(box.keyid("targets.pub") in signers(box, targets_file(box)), "not signed by the token")


def a_token_signs_bundles(box):
    box.init()
    make_token(box)
    key = make_key(box, "bundle")
    box.run("key", "show", key, "--out", "hsm.pub")
    box.run("key", "add", "bundle", "hsm.pub", "--threshold", "2", "--workspace", "ws")
    box.run("root", "publish", "--workspace", "ws")
    bundle = box.bundle()
    box.run("bundle", "verify", bundle, "--workspace", "ws", kind="below_threshold")
    box.run("bundle", "sign", bundle, "--key", key)
    box.run("bundle", "verify", bundle, "--workspace", "ws")


if __name__ == "__main__":
    fleet.installed(MODULE and shutil.which("softhsm2-util"), "softhsm2")
    fleet.installed(shutil.which("pkcs11-tool"), "opensc")
    people.main(globals())
