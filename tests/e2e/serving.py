#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""edgectl serve where it must not start, or not go on as if nothing had happened: keys that belong elsewhere, cleartext, a workspace or
store that is somebody else's, newer, damaged or in use, an audit log that was changed, a disk that is full.
"""

import errno
import os
import shutil
import sqlite3
import subprocess

import fleet
from clumsy import BAD_STORE, BUSY, CLEARTEXT, CONFIG, LISTEN, NEWER, NO_SPACE, NOT_FOUND, OFFLINE_KEY, USAGE, WRONG_WORKSPACE, fails
from fleet import EDGECTL, check, wait_for
from impostor import ends_well


def serve(f, workspace, *more, listen="127.0.0.1:0", wrap=()):
    done = subprocess.run([*wrap, "timeout", str(fleet.PATIENCE_S), EDGECTL, "serve", "--workspace", workspace, "--listen", listen, *more], capture_output=True,
                          text=True, env=f.env, check=False)
    check(done.returncode != 124, f"it should have refused to start: {done.stdout}")
    check(done.stderr.count("\n") <= 2 and "\x1b" not in done.stderr, done.stderr)
    return done


def refuses(f, status, says, workspace, *more, **options):
    done = serve(f, workspace, *more, **options)
    check(done.returncode == status and says in done.stderr, f"serve {more}: {done.returncode}, not {status}: {done.stderr}")


def serve_refuses_what_is_not_safe(f):
    """On a workspace of its own, beside the running controller."""
    ws = f.path("second")
    f.edgectl("init", ws)
    server = os.path.join(ws, "server")
    refuses(f, OFFLINE_KEY, "offline", server)
    refuses(f, CLEARTEXT, "http", server, "--allow-offline-keys", listen="0.0.0.0:0")
    refuses(f, CLEARTEXT, "http", server, "--allow-offline-keys", listen="[::]:0")
    refuses(f, CONFIG, "ADDRESS:PORT", server, "--allow-offline-keys", listen="127.0.0.1")
    refuses(f, CONFIG, "ADDRESS:PORT", server, "--allow-offline-keys", listen="127.0.0.1:70000")
    refuses(f, LISTEN, "in use", server, "--allow-offline-keys", listen=f"127.0.0.1:{f.port}")
    refuses(f, USAGE, "--tls-key", server, "--tls-cert", "/dev/null")
    refuses(f, WRONG_WORKSPACE, "edgectl init", f.work)
    refuses(f, NOT_FOUND, "nowhere", f.path("nowhere"))
    shutil.move(os.path.join(ws, "offline"), f.path("second-offline"))
    refuses(f, BUSY, "store", os.path.join(f.ws, "server"), "--allow-offline-keys")
    os.rename(os.path.join(server, "keys/director.key"), os.path.join(server, "keys/gone"))
    refuses(f, NOT_FOUND, "director", server)
    shutil.copy(os.path.join(f.ws, "server/keys/director.key"), os.path.join(server, "keys/director.key"))
    refuses(f, 24, "director", server)
    os.rename(os.path.join(server, "keys/gone"), os.path.join(server, "keys/director.key"))
    shutil.copy(f.path("second-offline/keys/bundle.key"), os.path.join(server, "keys/stray.key"))
    refuses(f, OFFLINE_KEY, "stray.key", server)
    os.unlink(os.path.join(server, "keys/stray.key"))


def a_store_that_is_not_ours_is_left_alone(f):
    ws = f.path("third")
    f.edgectl("init", ws)
    shutil.rmtree(os.path.join(ws, "offline"))
    server, store = os.path.join(ws, "server"), os.path.join(ws, "server/store.db")
    first = subprocess.Popen([EDGECTL, "serve", "--workspace", server, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True, env=f.env)
    check("listening on 127.0.0.1:" in first.stdout.readline(), "it starts where offline keys are elsewhere")
    check(oct(os.stat(os.path.join(server, "admin.token")).st_mode & 0o777) == "0o600", "the first token is for its owner alone")
    refuses(f, BUSY, "store", server)
    first.terminate()
    check(first.wait(timeout=fleet.PATIENCE_S) == 0, "SIGTERM is a good end")
    first.stdout.close()
    with sqlite3.connect(store) as db:
        db.execute("BEGIN EXCLUSIVE")
        refuses(f, BUSY, "store", server)
    db.close()
    with sqlite3.connect(store) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    refuses(f, NEWER, "newer", server)
    with sqlite3.connect(store) as db:
        db.execute("PRAGMA user_version=1")
        db.execute("PRAGMA application_id=7")
    db.close()
    refuses(f, BAD_STORE, "another program", server)
    with open(store, "wb") as file:
        file.write(b"not a database at all" * 1000)
    for leftover in ("store.db-wal", "store.db-shm"):
        if os.path.exists(os.path.join(server, leftover)):
            os.unlink(os.path.join(server, leftover))
    refuses(f, BAD_STORE, "store", server)
    with open(store, "rb") as file:
        check(file.read(3) == b"not", "and is not touched")


def tampering_with_the_audit_log_is_noticed(f):
    for _ in range(4):
        f.edgectl("token", "create", "--enroll")
    f.edgectl("audit", "--verify")
    f.stop_server()
    with sqlite3.connect(os.path.join(f.ws, "server/store.db")) as db:
        db.execute("DROP TRIGGER audit_no_update")
        [(number, actor)] = db.execute("SELECT number, actor FROM audit ORDER BY number LIMIT 1 OFFSET 2").fetchall()
        db.execute("UPDATE audit SET actor='nobody' WHERE number=?", (number,))
    db.close()
    f.start_server()
    fails(f, 115, "audit", "--verify")
    f.stop_server()
    with sqlite3.connect(os.path.join(f.ws, "server/store.db")) as db:
        db.execute("UPDATE audit SET actor=? WHERE number=?", (actor, number))
    db.close()
    f.start_server()
    f.edgectl("audit", "--verify")


FULL = """set -e
mount -t tmpfs -o size=3m none "$1"
cp -r "$2"/. "$1"
exec "$3" serve --workspace "$1" --listen 127.0.0.1:0 --port-file "$4"
"""


def a_full_disk_refuses_and_goes_on(f):
    """The server's folder on 3 MiB of its own, in a mount namespace that ends with it."""
    ws, port_file, mount = f.path("full"), f.path("full.port"), f.path("full-mount")
    namespace = fleet.own_mounts(["-r"])
    if not namespace:
        fleet.skipped("no mount namespace may be made here for a full disk")
        return
    f.edgectl("init", ws)
    os.mkdir(mount)
    with open(f.path("input-noise"), "wb") as file:
        file.write(os.urandom(5 << 20))
    big = f.path("full-1.0.edge")
    f.edgectl("bundle", "create", "--workspace", ws, "--name", "full", "--version", "1.0", f"--component=app={f.path('input-noise')}", "-o", big)
    small = f.path("full-0.9.edge")
    f.edgectl("bundle", "create", "--workspace", ws, "--name", "full", "--version", "0.9", f"--component=app={f.policy('x')}", "-o", small)
    # The first start is outside, where the token can be read.
    first = subprocess.Popen([EDGECTL, "serve", "--workspace", os.path.join(ws, "server"), "--listen", "127.0.0.1:0", "--allow-offline-keys"],
                             stdout=subprocess.PIPE, text=True, env=f.env)
    first.stdout.readline()
    first.terminate()
    first.wait(timeout=fleet.PATIENCE_S)
    first.stdout.close()
    with open(os.path.join(ws, "server/admin.token"), encoding="ascii") as file:
        env = {"EDGECTL_TOKEN": file.read().strip()}
    server = subprocess.Popen([*namespace, "sh", "-c", FULL, "sh", mount, os.path.join(ws, "server"), EDGECTL, port_file], env=f.env,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for("the controller in its namespace", lambda: os.path.exists(port_file) and os.path.getsize(port_file))
        with open(port_file, encoding="ascii") as file:
            env["EDGECTL_CONTROLLER"] = f"http://127.0.0.1:{file.read().strip()}"
        for _ in range(2):
            fails(f, NO_SPACE, "release", "publish", big, "--workspace", ws, env=env)
        f.edgectl("release", "publish", small, "--workspace", ws, env=env)
        check(len(f.json("release", "list", env=env)["releases"]) == 1, "the small one fits: what was refused left no room taken")
        # Nothing is left for the store either, until somebody makes room.
        inside = f"/proc/{server.pid}/root{mount}/filler"
        try:
            with open(inside, "wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 4096)
        except OSError as error:
            check(error.errno == errno.ENOSPC, f"filling: {error}")
        statuses = {f.run("token", "create", "--enroll", env=env, status=None).returncode for _ in range(40)}
        check(NO_SPACE in statuses and statuses <= {0, NO_SPACE}, f"creating tokens on a full disk: {statuses}")
        fails(f, NO_SPACE, "release", "floor", "app=1", "--workspace", ws, env=env)
        f.edgectl("device", "list", env=env)
        os.unlink(inside)
        wait_for("it to take tokens again", lambda: f.run("token", "create", "--enroll", env=env, status=None).returncode == 0)
        f.edgectl("release", "floor", "app=1", "--workspace", ws, env=env)
        check(server.poll() is None, "it should go on")
        f.edgectl("device", "list", env=env)
        f.edgectl("audit", "--verify", env=env)
    finally:
        server.terminate()
        server.wait(timeout=fleet.PATIENCE_S)


def test(f):
    f.start_server()
    fleet.each(f, serve_refuses_what_is_not_safe, a_store_that_is_not_ours_is_left_alone, tampering_with_the_audit_log_is_noticed,
               a_full_disk_refuses_and_goes_on)
    ends_well(f)


if __name__ == "__main__":
    fleet.main(test)
