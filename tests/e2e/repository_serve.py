#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The repository as others see it: the controller's and a plain web server's over the same folder are the same bytes; the online
keys sign anew by themselves; a controller that is restored from a backup does not go back; and the client of the specification's
own project takes what it needs from it.

The last needs python-tuf (PyPI: tuf), and says so where it is absent.
"""

import contextlib
import functools
import http.server
import importlib.util
import json
import os
import shutil
import signal
import tempfile
import threading
import time
import urllib.error
import urllib.request

import fleet
from fleet import check, wait_for

SHORT = ("--timestamp-expires", "4s", "--snapshot-expires", "12s")


def ask(url, **headers):
    """(status, headers, bytes)"""
    request = urllib.request.Request(url, headers={key.replace("_", "-"): value for key, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def signed(url):
    status, _, data = ask(url)
    check(status == 200, f"{url}: {status}")
    return json.loads(data)["signed"]


def folder(f):
    return os.path.join(f.ws, "server/repository")


def files(f):
    """Every file of the repository, as the end of its URL."""
    for where, _, names in os.walk(folder(f)):
        for name in names:
            yield os.path.relpath(os.path.join(where, name), folder(f))


@contextlib.contextmanager
def plain_server(path):
    """Any web server: that of Python's library, one file after another, with no idea of what they are."""
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=path))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def publish(f, version):
    bundle = f.bundle("app", version, {"app": f.component(f"app-{version}", {"version": version})})
    f.edgectl("release", "publish", bundle, "--workspace", f.ws)


def current_target(f, release):
    """(path, entry) of the one target of a release."""
    timestamp = signed(f.controller() + "/repository/metadata/timestamp.json")
    snapshot = signed(f"{f.controller()}/repository/metadata/{timestamp['meta']['snapshot.json']['version']}.snapshot.json")
    targets = signed(f"{f.controller()}/repository/metadata/{snapshot['meta']['targets.json']['version']}.targets.json")
    found = [(path, entry) for path, entry in targets["targets"].items() if path.startswith(f"app/{release}/")]
    check(len(found) == 1, f"app {release}: {found}")
    return found[0]


def a_controller_and_a_plain_web_server_give_the_same_bytes(f):
    with plain_server(folder(f)) as plain:
        names = sorted(files(f))
        check({"metadata/1.root.json", "metadata/timestamp.json"} <= set(names) and any(n.startswith("targets/app/1.0/") for n in names),
              str(names))
        for name in names:
            ours, theirs = ask(f"{f.controller()}/repository/{name}"), ask(f"{plain}/{name}")
            check(ours[0] == theirs[0] == 200 and ours[2] == theirs[2], f"{name}: {ours[0]}, {theirs[0]}")
        for name in ("metadata/2.root.json", "metadata/nothing.json", "targets/app/1.0/nothing.json", "metadata/", "root.json"):
            check(ask(f"{f.controller()}/repository/{name}")[0] == 404, name)
        # What lies beside the repository is not of it.
        for name in ("metadata/..%2f..%2fkeys%2fdirector.key", "metadata/../../keys/director.key", "metadata/.hidden.json"):
            check(ask(f"{f.controller()}/repository/{name}")[0] in (400, 404), name)


def files_that_are_known_cost_no_bytes_and_parts_can_be_had(f):
    url = f.controller() + "/repository/metadata/1.root.json"
    status, headers, data = ask(url)
    check(status == 200 and "immutable" in headers["Cache-Control"], str(headers))
    check(ask(url, If_None_Match=headers["ETag"])[0] == 304, "the same file again")
    status, _, part = ask(url, Range="bytes=10-19")
    check(status == 206 and part == data[10:20], f"{status}: {part}")
    changing = ask(f.controller() + "/repository/metadata/timestamp.json")[1]
    check(changing["Cache-Control"] == "no-cache", str(changing))


def what_the_online_keys_sign_is_signed_anew_in_time(f):
    """The server runs with short lifetimes: each version is another life."""
    url = f.controller() + "/repository/metadata/timestamp.json"
    seen, snapshots = [], set()

    def grows():
        timestamp = signed(url)
        if not seen or timestamp["version"] != seen[-1]:
            seen.append(timestamp["version"])
            snapshots.add(timestamp["meta"]["snapshot.json"]["version"])
        return len(seen) >= 4 and len(snapshots) >= 2
    wait_for("timestamp and snapshot to be signed anew", grows)
    check(seen == sorted(seen), f"versions went back: {seen}")
    rows = [json.loads(line) for line in f.edgectl("audit", "--json").splitlines()]
    check(any(row["action"] == "repository.renew" and row["actor"] == "serve" for row in rows), "no renewal in the audit log")
    check(any(row["action"] == "repository.put" and row["subject"] == "targets" for row in rows), "no upload in the audit log")


def a_restored_controller_does_not_go_back(f):
    url = f.controller() + "/repository/metadata/timestamp.json"
    backup = f.path("backup")
    f.stop_server()
    shutil.copytree(folder(f), backup)
    f.start_server(*SHORT)
    before = signed(url)
    wait_for("a later timestamp and snapshot", lambda: signed(url)["meta"]["snapshot.json"]["version"] >
             before["meta"]["snapshot.json"]["version"])
    f.stop_server(signal.SIGKILL)
    with open(os.path.join(folder(f), "metadata/timestamp.json"), encoding="utf-8") as file:
        seen = json.load(file)["signed"]
    shutil.rmtree(folder(f))
    shutil.move(backup, folder(f))
    f.start_server(*SHORT)
    wait_for("a timestamp above all that was seen", lambda: signed(url)["version"] > seen["version"])
    wait_for("a snapshot above all that was seen",
             lambda: signed(url)["meta"]["snapshot.json"]["version"] > seen["meta"]["snapshot.json"]["version"])


def what_was_published_after_the_backup_is_published_again(f):
    """The controller's whole folder is put back; what devices and the publisher saw since is newer than what it has."""
    server, backup = os.path.join(f.ws, "server"), f.path("backup-of-all")
    f.stop_server()
    shutil.copytree(server, backup)
    f.start_server()
    f.edgectl("release", "floor", "later=7", "--workspace", f.ws)
    seen = signed(f.controller() + "/repository/metadata/timestamp.json")
    f.stop_server(signal.SIGKILL)
    # Versions follow the clock, and what is published within one second runs ahead of it.
    last = max(seen["version"], seen["meta"]["snapshot.json"]["version"])
    wait_for("the clock to pass what was signed", lambda: time.time() > last + 1)
    shutil.rmtree(server)
    shutil.move(backup, server)
    f.start_server()
    for refused in (["release", "floor", "later=8"], ["release", "renew"]):
        said = f.run(*refused, "--workspace", f.ws, status=27)
        check("--restore" in said.stderr, f"{refused}: what to do: {said.stderr}")
    f.edgectl("release", "renew", "--restore", "--workspace", f.ws)
    f.edgectl("release", "floor", "other=1", "--workspace", f.ws)
    meta = signed(f.controller() + "/repository/metadata/timestamp.json")["meta"]["snapshot.json"]["version"]
    targets = signed(f"{f.controller()}/repository/metadata/{meta}.snapshot.json")["meta"]["targets.json"]["version"]
    floors = signed(f"{f.controller()}/repository/metadata/{targets}.targets.json")["floors"]
    check(floors.get("later") == 7 and floors.get("other") == 1, f"what was published is lost: {floors}")


def a_release_that_the_targets_do_not_name_is_not_rolled_out(f):
    bundle = f.bundle("app", "2.0", {"app": f.component("app-2.0", {"version": "2.0"})})
    with open(bundle, "rb") as file:
        request = urllib.request.Request(f.controller() + "/api/v1/releases", method="POST", data=file.read(),
                                         headers={"Authorization": "Bearer " + f.env["EDGECTL_TOKEN"]})
        with urllib.request.urlopen(request, timeout=60) as answer:
            check(answer.status == 201, str(answer.status))
    policy = f.policy("two", release="app 2.0", stages=[{"name": "all", "percent": 100}])
    refused = f.run("rollout", "apply", "-f", policy, status=19)
    check("targets do not name app 2.0" in refused.stderr, refused.stderr)
    f.edgectl("release", "publish", bundle, "--workspace", f.ws)
    f.edgectl("rollout", "apply", "-f", policy)


def the_client_of_the_specifications_project_takes_from_it(f):
    if importlib.util.find_spec("tuf") is None:
        fleet.skipped("the client of python-tuf is not installed (PyPI: tuf)")
        return
    from tuf.ngclient import Updater  # pylint: disable=import-outside-toplevel
    path, entry = current_target(f, "1.0")
    with tempfile.TemporaryDirectory() as work, open(f.root, "rb") as root, plain_server(folder(f)) as plain:
        for kind, base in (("controller", f.controller() + "/repository"), ("plain", plain)):
            trusted, fetched = os.path.join(work, kind, "metadata"), os.path.join(work, kind, "targets")
            os.makedirs(trusted)
            os.makedirs(fetched)
            root.seek(0)
            with open(os.path.join(trusted, "root.json"), "wb") as file:
                file.write(root.read())
            updater = Updater(trusted, base + "/metadata/", fetched, base + "/targets/")
            updater.refresh()
            info = updater.get_targetinfo(path)
            check(info and info.length == entry["length"], f"{kind}: {path} is not found")
            local = updater.download_target(info)
            with open(local, "rb") as file:
                manifest = json.load(file)
            check(manifest["_type"] == "bundle" and manifest["release"] == "1.0", f"{kind}: {manifest}")
            check(updater.get_targetinfo(path.replace("1.0", "9.9")) is None, f"{kind}: what is not there is found")


def test(f):
    f.start_server()
    publish(f, "1.0")
    fleet.each(f, a_controller_and_a_plain_web_server_give_the_same_bytes,
               files_that_are_known_cost_no_bytes_and_parts_can_be_had,
               a_release_that_the_targets_do_not_name_is_not_rolled_out,
               the_client_of_the_specifications_project_takes_from_it)
    f.stop_server()
    f.start_server(*SHORT)
    fleet.each(f, what_the_online_keys_sign_is_signed_anew_in_time,
               a_restored_controller_does_not_go_back, what_was_published_after_the_backup_is_published_again)


if __name__ == "__main__":
    fleet.main(test)
