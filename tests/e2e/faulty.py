#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Whole agents whose download goes wrong, one fault of each group: nothing changes, the controller and the owner are told why, no space is
taken, and the next honest attempt installs it. (All faults and their mixes: tests/unit/agent/net, tests/fault/mix_network.c.)
"""

import os
import sys

from fleet import check, wait_for
from repository import Repository, World
from trust_device import comes_to, cut, endless, reports, started

CONTENT = {"bad_skeleton", "bad_frame", "bad_index", "bad_signature", "digest_mismatch", "syntax", "not_canonical", "bad_manifest"}


def raw(*lines):
    """An answer with these head lines and the file; Content-Length is among the lines or nowhere."""
    def spoil(handler, data):
        head = "\r\n".join(line.format(size=len(data), last=len(data) - 1, half=len(data) // 2) for line in lines)
        handler.wfile.write(head.encode() + b"\r\nConnection: close\r\n\r\n" + data)
        handler.close_connection = True
    return spoil


def flipped(handler, data):
    handler.answer(200, data[:len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1:])


def silent(handler, data):
    """Until the worker has had enough."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data[:100])
    handler.rfile.read(1)
    handler.close_connection = True


def away(place):
    def spoil(handler, _):
        handler.answer(302, b"", ("Location", place))
    return spoil


FAULTS = {
    "a range that begins elsewhere": (raw("HTTP/1.1 206 Partial Content", "Content-Range: bytes 1-{last}/{size}"), {"garbage"}),
    "a range that ends before its body": (raw("HTTP/1.1 206 Partial Content", "Content-Range: bytes 0-{half}/{size}"), {"garbage"}),
    "another size": (raw("HTTP/1.1 206 Partial Content", "Content-Range: bytes 0-{last}/1{size}"), {"too_much"}),
    "gzip": (raw("HTTP/1.1 200 OK", "Content-Encoding: gzip", "Content-Length: {size}"), {"garbage"}),
    "two lengths": (raw("HTTP/1.1 200 OK", "Content-Length: {size}", "Content-Length: {size}"), {"garbage"}),
    "no HTTP": (raw("SSH-2.0-OpenSSH_9.2"), {"garbage"}),
    "a flipped bit": (flipped, CONTENT),
    "half of it": (cut, {"unreachable"}),
    "no end": (endless, {"too_much"} | CONTENT),
    "silence": (silent, {"too_slow"}),
    "a portal": (lambda h, _: h.answer(200, b"<html>Please log in</html>", ("Content-Type", "text/html")), {"truncated"}),
    "a loop": (away("/b/loop"), {"redirected"}),
    "another scheme": (away("ftp://127.0.0.1/x"), {"redirected"}),
    "nothing there": (lambda h, _: h.answer(404, b"no"), {"http"}),
}


def ended(world, device):
    """The last word about the first attempt."""
    return [r for r in reports(world, device, "refused") + reports(world, device, "failed") if r["attempt"] == 1 and r["code"]]


def main():
    repo = Repository()
    with World(repo) as world:
        bundle = world.bundle("1.0")
        repo.add(bundle)
        world.bundles["/b/loop"] = b""
        world.spoil["/b/loop"] = away("/b/loop")
        device = started(world, "d1", fetch_tries=1, fetch_retries=0, stall_s=1, allow_http=True)
        world.order(device, bundle)
        comes_to(device, "1.0")
        for n, (what, (spoil, kinds)) in enumerate(FAULTS.items(), 1):
            bundle = world.bundle(f"1.{n}")
            repo.add(bundle)
            path = f"/b/thing-1.{n}.edge"
            with world.lock:
                world.spoil[path] = spoil
                world.reports[device.name].clear()
            before = device.version()
            world.order(device, bundle)
            told = wait_for(f"{what} to be told", lambda: ended(world, device))[-1]
            check(told["code"] in kinds and told["text"], f"{what}: {told}")
            check(device.version() == before and device.read("app", "version") == f"release {before}", f"{what}: something changed")
            with world.lock:
                del world.spoil[path]
            world.order(device, bundle, attempt=2)
            comes_to(device, f"1.{n}")
            left = os.listdir(os.path.join(device.state, "generations"))
            check(len(left) <= 2 and not [name for name in left if "partial" in name], f"{what}: {left} is left")
    print(f"{os.path.basename(sys.argv[0])}: ok")


if __name__ == "__main__":
    main()
