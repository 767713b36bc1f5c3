#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Whole agents that fetch by ranges: what they ask for and how often, with a server that does as it should, has no ranges, lies, changes
the file in the middle or breaks off, with a power cut in the middle, and when a release goes back to what one before it had. (Runs of ranges alone: tests/unit/agent/net/test_runs.c; what is
planned: tests/unit/bundle/pack/test_plan.c.)
"""

import hashlib
import os
import sys
import threading

import forge
from fleet import check, wait_for
from repository import Repository, World, comes_to, reports, stamp, started

FILES, SIZE, CHUNK = 20, 100_000, forge.CHUNK_MAX


def contents(release, changed):
    """Files by name: of the release those that changed, of the first one all others."""
    return {f"f{i:02}": hashlib.shake_256(f"{release if i in changed else 'first'} {i}".encode()).digest(SIZE) for i in range(FILES)}


def bundle_of(world, release, changed, fresh=(), files=None):
    bundle = forge.Bundle(release, [forge.component("app", files or contents(release, changed), security_version=1)], "thing", fresh,
                          issued=stamp(world.repository.now))
    bundle.path = bundle.write(world.path(f"thing-{release}.edge"), world.repository.keys["bundle"])
    with open(bundle.path, "rb") as f:
        world.bundles[path_of(release)] = f.read()
    world.repository.add(bundle)
    return bundle


def path_of(release):
    return f"/b/thing-{release}.edge"


class Ranges:
    """A server of one bundle. `asked`: each request's first and last byte (last None: it named none) and what was sent of it."""

    def __init__(self, faulty=None, at=1):
        self.asked, self.connections, self.faulty, self.at = [], set(), faulty, at

    def __call__(self, handler, data):
        first, last = 0, None
        if "Range" in handler.headers:
            first, last = (int(x) if x else None for x in handler.headers["Range"].removeprefix("bytes=").split("-"))
        self.connections.add(handler.client_address)
        self.asked.append([first, last, 0])
        end = min(len(data) if last is None else last + 1, len(data))
        if self.faulty and len(self.asked) - 1 == self.at:
            self.faulty(self, handler, data, first, end)
        else:
            self.send(handler, data, first, end)

    def send(self, handler, data, first, end, cut=None, length=None, begin=None, total=None, status=206, etag='"one"'):
        handler.send_response(status)
        handler.send_header("ETag", etag)
        if status == 206:
            handler.send_header("Content-Range", f"bytes {first if begin is None else begin}-{end - 1}/{total or len(data)}")
        handler.send_header("Content-Length", str(length or end - first))
        handler.end_headers()
        body = data[first:end if cut is None else cut]
        handler.wfile.write(body)
        handler.wfile.flush()
        self.asked[-1][2] = len(body)
        if cut is not None:
            handler.close_connection = True

    def sent(self):
        return sum(n for _, _, n in self.asked)


def has(device, release, changed, files=None):
    for name, data in (files or contents(release, changed)).items():
        with open(os.path.join(device.state, "current", "app", name), "rb") as f:
            check(f.read() == data, f"{name} of {release} is not what was signed")


def given(world, release, server):
    with world.lock:
        world.spoil[path_of(release)] = server
    return server


def only_what_changed_is_asked_for_on_one_connection(world, device):
    changed = {3, 4, 11}
    bundle = bundle_of(world, "1.1", changed, fresh=changed)
    server = given(world, "1.1", Ranges())
    world.order(device, bundle)
    comes_to(device, "1.1")
    has(device, "1.1", changed)
    check(all(last is not None for _, last, _ in server.asked), f"each range has an end: {server.asked}")
    check(len(server.connections) == 1, f"{len(server.connections)} connections for {server.asked}")
    check(len(server.asked) <= 6, f"{server.asked}")
    # Three files, what is asked for at the beginning, and the tree.
    check(3 * SIZE <= server.sent() <= 3 * SIZE + 16384 + 3 * 32768, f"{server.sent()} bytes: {server.asked}")


def a_server_without_ranges_gives_the_file_once(world, device):
    changed = {1, 2, 18}
    bundle = bundle_of(world, "1.2", changed, fresh={2})
    server = given(world, "1.2", Ranges(lambda s, h, data, *_: s.send(h, data, 0, len(data), status=200), at=0))
    world.order(device, bundle)
    comes_to(device, "1.2")
    check(len(server.asked) == 1, f"{server.asked}")


FAULTS = {
    "a range that begins elsewhere": (lambda s, h, data, first, end: s.send(h, data, first + 1, end), {"garbage"}),
    "a range that begins elsewhere and says otherwise":
        (lambda s, h, data, first, end: s.send(h, data, first + 1, end + 1, begin=first), {"garbage", "bad_frame", "bad_index"}),
    "a file that grew": (lambda s, h, data, first, end: s.send(h, data, first, end, total=len(data) + 1), {"too_much"}),
    "a file that shrank": (lambda s, h, data, first, end: s.send(h, data, first, end, total=end), {"truncated"}),
    "another file of the same size": (lambda s, h, data, first, end: s.send(h, bytes(len(data)), first, end), {"bad_frame", "bad_index"}),
    "a body longer than its range": (lambda s, h, data, first, end: s.send(h, data, first, end, length=end - first + 9), {"garbage"}),
}


def what_a_server_does_wrong_in_the_middle_changes_nothing(world, device):
    for n, (what, (faulty, kinds)) in enumerate(FAULTS.items()):
        release, before, changed = f"2.{n}", device.version(), {n, n + 5}
        bundle = bundle_of(world, release, changed)
        server = given(world, release, Ranges(faulty, at=2))
        with world.lock:
            world.reports[device.name].clear()
        world.order(device, bundle)
        told = wait_for(f"{what} to be told", lambda: [r for r in reports(world, device, "refused") if r["attempt"] == 1])[-1]
        check(told["code"] in kinds, f"{what}: {told}")
        check(len(server.asked) >= 3 and device.version() == before, f"{what}: {server.asked}")
        given(world, release, Ranges())
        world.order(device, bundle, attempt=2)
        comes_to(device, release)
        has(device, release, changed)


def what_is_replaced_in_the_middle_is_begun_again_and_not_mixed(world):
    """A file of the same size and another ETag, for as long as the first try lasts; a device that may try again gets there by itself."""
    device = started(world, "d2", fetch_tries=4, fetch_retries=2, stall_s=5, allow_http=True, backoff_base_s=1, backoff_max_s=2)
    world.order(device, bundle_of(world, "1.0", set()))
    comes_to(device, "1.0")
    changed = {4, 9}
    bundle = bundle_of(world, "1.1", changed)
    other = hashlib.shake_256(b"another file").digest(len(world.bundles[path_of("1.1")]))
    server = given(world, "1.1", Ranges(lambda s, h, data, first, end: s.send(h, other, first, end, etag='"two"'), at=3))
    with world.lock:
        world.reports[device.name].clear()
    world.order(device, bundle)
    comes_to(device, "1.1")
    has(device, "1.1", changed)
    check(len(server.asked) > 4 and server.asked[4][0] == 0, f"from the beginning: {server.asked}")
    check(not reports(world, device, "refused"), "nobody was bothered")


def what_breaks_off_goes_on_where_it_broke(world, device):
    changed = set(range(10))
    bundle = bundle_of(world, "3.0", changed)
    server = given(world, "3.0", Ranges(lambda s, h, data, first, end: s.send(h, data, first, end, cut=(first + end) // 2), at=3))
    world.order(device, bundle)
    comes_to(device, "3.0")
    has(device, "3.0", changed)
    check(len(server.asked) >= 5, f"{server.asked}")
    broken, after = server.asked[3:5]
    check(after[1] == broken[1] and broken[0] < after[0] <= broken[0] + broken[2], f"it goes on inside the run: {server.asked}")
    check(len(server.connections) == 2, f"{server.connections}")
    check(server.sent() <= 10 * SIZE + 16384 + 4 * 32768, f"no byte twice: {server.asked}")


def a_power_cut_costs_no_byte_that_was_there(world, device):
    changed = set(range(FILES))
    bundle = bundle_of(world, "4.0", changed)
    arrived, go_on = threading.Event(), threading.Event()

    def hold(server, handler, data, first, end):
        middle = (first + end) // 2
        server.send(handler, data, first, end, cut=middle)
        arrived.set()
        go_on.wait(60)

    server = given(world, "4.0", Ranges(hold, at=3))
    world.order(device, bundle)
    check(arrived.wait(60), "nothing was asked for")
    partial = os.path.join(device.state, "generations")

    def staged():
        return sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(partial) if ".partial" in at
                   for name in names if name.startswith("f"))
    # What arrived is written frame by frame; the last one waits for its end.
    wait_for("what arrived to be written", lambda: staged() >= server.asked[3][2] - 3 * 65536)
    device.kill()
    go_on.set()
    there = staged()
    again = given(world, "4.0", Ranges())
    device.start()
    comes_to(device, "4.0")
    has(device, "4.0", changed)
    # Once more the manifest, the index and the end of what was being written.
    check(again.sent() <= FILES * SIZE - there + 16384 + 4 * 65536, f"{there} bytes were there: {server.asked}, then {again.asked}")


def what_the_generation_before_has_is_not_fetched_again(world, device):
    # Each file is one chunk, by any rule that cuts by contents.
    one, other = ({f"f{i:02}": bytes([at + i]) * CHUNK for i in range(FILES)} for at in (1, 101))

    def goes_to(release, files):
        bundle = bundle_of(world, release, set(), files=files)
        server = given(world, release, Ranges())
        world.order(device, bundle)
        comes_to(device, release)
        has(device, release, set(), files)
        return server.sent()

    for release, files in (("5.0", one), ("5.1", other)):
        sent = goes_to(release, files)
        check(sent >= FILES * CHUNK, f"nothing of {release} was on the device: {sent} bytes")
    back = goes_to("5.2", one)
    check(back <= 16384 + 4 * 4096, f"{back} bytes for what was here before")
    # A generation that is only kept may be damaged: it costs what is damaged, and nothing fails.
    kept = os.path.join(device.state, "generations", str(device.status()["previous"]))
    for name, damage in (("f03", lambda f: f.write(b"damaged")), ("f07", lambda f: f.truncate(9))):
        os.chmod(os.path.join(kept, "app", name), 0o644)
        with open(os.path.join(kept, "app", name), "r+b") as f:
            damage(f)
    os.chmod(os.path.join(kept, "app"), 0o755)
    os.remove(os.path.join(kept, "app", "f11"))
    back = goes_to("5.3", other)
    check(3 * CHUNK <= back <= 3 * CHUNK + 16384 + 8 * 4096, f"{back} bytes for three files")


def main():
    repo = Repository()
    with World(repo) as world:
        first = bundle_of(world, "1.0", set())
        device = started(world, "d1", fetch_tries=1, fetch_retries=2, stall_s=5, allow_http=True)
        world.order(device, first)
        comes_to(device, "1.0")
        only_what_changed_is_asked_for_on_one_connection(world, device)
        a_server_without_ranges_gives_the_file_once(world, device)
        what_a_server_does_wrong_in_the_middle_changes_nothing(world, device)
        what_is_replaced_in_the_middle_is_begun_again_and_not_mixed(world)
        what_breaks_off_goes_on_where_it_broke(world, device)
        a_power_cut_costs_no_byte_that_was_there(world, device)
        what_the_generation_before_has_is_not_fetched_again(world, device)
    print(f"{os.path.basename(sys.argv[0])}: ok")


if __name__ == "__main__":
    main()
