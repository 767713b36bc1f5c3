#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# ctest: timed
"""Hostile devices and a hostile network: whatever is sent to the controller, it answers with a refusal of the right kind or closes,
within its deadlines, keeps serving the others, and believes nobody about anything but themselves.
"""

import os
import socket
import threading
import time

import fleet
import forge
from clumsy import on_a_terminal
from fleet import check, wait_for
from impostor import API, DEVICE_API, Impostor, admin, alive, call, ends_well, raw
from lost import offered, publish, start, total

HEADERS_S, BODY_S = 15, 30  # ctl/serve/guard.h
SLACK_S = 60  # for a busy machine; without those limits the slow ones here would never be cut


# ── The network ─────────────────────────────────────────────────────────────────────────────────────


def status_of(answer):
    return int(answer.split(b" ")[1]) if answer.startswith(b"HTTP/1.1 ") else None


def requests_that_can_be_read_in_two_ways_are_refused(f):
    path = f"POST {DEVICE_API}/challenge HTTP/1.1\r\nHost: x\r\n".encode()
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    for heads, body in ((b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + smuggled),
                        (b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", b"0\r\n\r\n" + smuggled),
                        (b"Content-Length: 2\r\nContent-Length: 40\r\n", b"{}" + smuggled),
                        (b"Content-Length: 2\r\nContent-Length: 2\r\n", b"{}" + smuggled),
                        (b"Content-Length: 2, 40\r\n", b"{}" + smuggled),
                        (b"Content-Length: -1\r\n", b"{}"), (b"Content-Length: +2\r\n", b"{}"), (b"Content-Length: 0x2\r\n", b"{}"),
                        (b"Content-Length: 99999999999999999999\r\n", b"{}"),
                        (b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), (b"Transfer-Encoding: identity\r\n", b"{}"),
                        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + smuggled),
                        (b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), (b"Transfer-Encoding : chunked\r\nContent-Length: 2\r\n", b"{}" + smuggled),
                        (b"Content-Length : 2\r\n", b"{}" + smuggled), (b"Host: y\r\nContent-Length: 2\r\n", b"{}"),
                        (b"Transfer-Encoding:\tchunked\r\nContent-Length: 2\r\n", b"0\r\n\r\n" + smuggled),
                        (b"X: y\r\n folded: z\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + smuggled)):
        answer = raw(f, path + heads + b"\r\n" + body)  # until it closes, which it must
        check(status_of(answer) in (400, 413, 501, None), f"{heads!r}: {answer[:200]!r}")
        check(b'"ok"' not in answer, f"{heads!r}: what follows was taken for a request: {answer!r}")
    alive(f)


def bytes_that_are_no_request_are_refused(f):
    # (A NUL ends a path or a header's value: the library has no length for them. What remains is checked like any other.)
    for data in (b"\0" * 100, b"\x16\x03\x01\x02\x00\x01\x00" + os.urandom(200), b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 2000,
                 b"GET /api/v1/devices\0x HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /api/v1/devices HTTP/1.1\r\nHost: x\0y\r\nAuthorization: Bearer a\0b\r\n\r\n",
                 b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"CONNECT example.org:443 HTTP/1.1\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
                 b"GET http://example.org/ HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /" + b"a" * 30000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                 b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20000 + b"\r\n", b"GET / HTTP/1.1\r\nX: " + b"y" * 200000 + b"\r\n\r\n",
                 b"A" * 200000, b"GET /healthz HTTP/1.1\r\n: empty\r\n\r\n", b"G\xc3\x84T / HTTP/1.1\r\nHost: x\r\n\r\n"):
        answer = raw(f, data, 0.6)  # of some of them it waits for the rest
        check(status_of(answer) in (400, 401, 404, 405, 413, 414, 431, 501, 505, None), f"{data[:60]!r}: {answer[:200]!r}")
    alive(f)


def long_bodies_are_cut(f):
    most = 256 << 10
    for path in (f"{DEVICE_API}/{verb}" for verb in ("checkin", "enroll", "challenge")):
        answer = raw(f, f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {1 << 40}\r\n\r\n".encode())
        check(status_of(answer) == 413, f"{path}: {answer[:200]!r}")
        body = b'{"x": "' + b"y" * (most - 9) + b'"}'
        check(call(f, "POST", path, body)[0] in (200, 400, 401), f"{path}: {most} bytes are heard")
        check(call(f, "POST", path, body + b" ")[0] == 413, f"{path}: one more is not")
    # A body without an end, in chunks.
    sent, chunk = 0, b"10000\r\n" + b" " * 65536 + b"\r\n"
    with socket.create_connection(("127.0.0.1", f.port), timeout=fleet.PATIENCE_S) as s:
        s.sendall(f"POST {DEVICE_API}/enroll HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        try:
            while sent < 64 << 20:
                s.sendall(chunk)
                sent += 65536
        except OSError:
            pass
    check(sent < 16 << 20, f"{sent} bytes were taken of a message")
    check(call(f, "GET", "/healthz", b"body")[0] == 400, "a GET has no body")
    alive(f)


class Slow(threading.Thread):
    """Sends a byte a second and notes when it was cut."""

    def __init__(self, f, first, at_most_s):
        super().__init__(daemon=True)
        self.f, self.first, self.at_most_s, self.cut_s, self.got = f, first, at_most_s, None, b""
        self.start()

    def run(self):
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", self.f.port), timeout=1) as s:
            s.sendall(self.first)
            while time.monotonic() - began < self.at_most_s + SLACK_S + 2:
                try:
                    s.sendall(b"a")
                    part = s.recv(4096)
                    self.got += part
                    if not part:
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break
            else:
                return
        self.cut_s = time.monotonic() - began


def begin_slowly(f):
    body = b"Host: x\r\nContent-Length: 1000\r\n\r\n"
    return [(HEADERS_S, Slow(f, b"GET /healthz HTTP/1.1\r\nX: ", HEADERS_S)), (HEADERS_S, Slow(f, b"", HEADERS_S)),
            (BODY_S, Slow(f, f"POST {DEVICE_API}/checkin HTTP/1.1\r\n".encode() + body, BODY_S)),
            (BODY_S, Slow(f, f"POST {DEVICE_API}/enroll HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n".encode(), BODY_S))]


def the_slow_are_cut_in_time(f):
    for limit_s, slow in f.slow:
        slow.join(timeout=limit_s + SLACK_S + 4)
        check(slow.cut_s is not None and slow.cut_s <= limit_s + SLACK_S, f"{slow.first!r}: cut after {slow.cut_s} s, not {limit_s}")
    alive(f)


def many_idle_connections_do_not_shut_others_out_for_long(f):
    f.stop_server()
    f.start_server("--connections", "40")
    idle = [socket.create_connection(("127.0.0.1", f.port)) for _ in range(80)]

    def answers():
        try:
            return call(f, "GET", "/healthz")[0] == 200
        except OSError:
            return False
    wait_for("it to answer again", answers)
    for s in idle:
        s.close()
    f.stop_server()
    f.start_server()


# ── Messages ────────────────────────────────────────────────────────────────────────────────────────


SHAPES = [None, True, 0, -1, 1.5, 1e300, "", "x", [], {}, [[]], [{}], {"a": {}}, "x" * 100000, 2**63, -2**63, 2**53, "\u0000", "\x1b[2J", "ä" * 300,
          "../../etc/passwd", ["x"] * 5000]
BODIES = [b"", b"nonsense", b"[]", b"null", b"1", b'"x"', b"{", b"{}x", b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":1e999}', b"\xff\xfe", b'{"a":"\xff"}',
          b'{"a":"\\ud800"}', b"{" * 100000, b"[" * 100000, b'{"a":' * 3000, b'{"\\u0000":1}', b"\xef\xbb\xbf{}", b'{"a":"\x01"}']


def no_shape_of_json_breaks_it(f):
    device = Impostor(f, "shape").join()
    device.check_in()
    enroll = {**Impostor(f, "shape2").signed("edge-enroll-v1"), "protocol": {"min": 1, "max": 1}, "key": device.key.object, "enroll_token": "", "facts": {}}
    whole = {**device.say, "progress": {"done": 1, "total": 2}, "metrics": {"a": "1.5"}, "why": {"code": "x", "text": "y"},
             "update": {"attempt": 1, "bundle": "0" * 64, "rollout": "r"}, "dropped": {"heartbeats": 0, "refused": 0}, "previous": {"generation": 0},
             "components": {"app": {"manifest": "0" * 64, "name": "app", "security_version": 0, "version": "1"}},
             "reports": [{"at": None, "attempt": 1, "boot_ms": 1, "bundle": "", "code": "", "detail": "", "event": "offered", "id": 1, "rollout": "", "text": ""}]}
    routes = {"checkin": whole, "enroll": enroll, "token": device.signed("edge-token-v1"), "challenge": {}}
    for verb, good in routes.items():
        for body in BODIES:
            status, _, answer = device.device_call(verb, body, device.token)
            check(status in (400, 413) or (verb == "challenge" and status == 200) or (status in (400, 401, 403) and not body),
                  f"{verb} {body[:30]!r}: {status}: {answer}")
    for verb, good in routes.items():
        for member in good:
            for n, shape in enumerate(SHAPES):
                if verb == "checkin" and n % 50 == 49:
                    time.sleep(0.2)
                status, _, answer = device.device_call(verb, {**good, member: shape}, device.token)
                check(status in (200, 400, 401, 403, 409, 413, 429) and isinstance(answer, dict), f"{verb} {member}={shape!r:.40}: {status}: {answer}")
            if verb == "checkin":
                time.sleep(1)  # its rate is limited: 5 a second after a burst
    for member in ("components", "update", "progress", "dropped", "metrics", "why", "previous", "protocol"):
        inner = whole[member]
        key = next(iter(inner))
        for shape in SHAPES[:10]:
            status, _, answer = device.device_call("checkin", {**whole, member: {**inner, key: shape}}, device.token)
            check(status in (200, 400, 403, 413, 429), f"{member}.{key}={shape!r}: {status}: {answer}")
    alive(f)


def proofs_of_identity_hold(f):
    a, b = Impostor(f, "proof-a").join(), Impostor(f, "proof-b").join()
    a.check_in()
    b.check_in()
    proof = a.signed("edge-token-v1")
    check(a.device_call("token", proof)[0] == 200, "once")
    for replay in (proof, {**a.signed("edge-token-v1", challenge=proof["challenge"])}):
        status, _, answer = a.device_call("token", replay)
        check(status in (401, 403) and "token" not in answer, f"a challenge that was used: {status}: {answer}")
    for wrong in ({**a.signed("edge-token-v1"), "device": "proof-b"}, b.signed("edge-token-v1", device="proof-a"), a.signed("edge-enroll-v1"),
                  {**a.signed("edge-token-v1"), "signature": "0" * 128}, a.signed("edge-token-v1", challenge="0" * 64),
                  Impostor(f, "proof-nobody").signed("edge-token-v1")):
        status, _, answer = a.device_call("token", wrong)
        check(status in (401, 403), f"{wrong}: {status}: {answer}")
    status, _, answer = b.device_call("checkin", a.say, b.token)
    check(status == 403, f"another's message with one's own token: {status}: {answer}")
    # edge-dv-<expiry>-<epoch>-<MAC>-<device>: none of its parts can be changed.
    parts = a.token.split("-", 5)
    for i, other in ((2, str(int(parts[2]) + 1000)), (3, str(int(parts[3]) + 1)), (4, "0" * 64), (4, ""), (5, "proof-b"), (2, "9" * 30), (2, "-1")):
        forged = "-".join(parts[:i] + [other] + parts[i + 1:])
        status, _, answer = a.device_call("checkin", {**a.say, "device": "proof-b"} if other == "proof-b" else a.say, forged)
        check(status == 401, f"{forged}: {status}: {answer}")
    for token in (a.token.upper(), a.token + "x", a.token[:-1], "x" * 600, "edge-dv-", "edge-dv-----", f.env["EDGECTL_TOKEN"]):
        check(a.device_call("checkin", a.say, token)[0] in (400, 401), token)
    for path in ("/devices", "/releases", "/whoami", "/audit"):
        check(call(f, "GET", API + path, None, a.token)[0] == 401, f"a device's token opens {path}")
    f.edgectl("device", "retire", "proof-a")
    check(a.try_check_in()[0] in (401, 403) and a.sign_in()[0] == 403, "retired")
    f.edgectl("device", "accept", "proof-a")
    check(a.try_check_in()[0] == 401, "its old token stays dead")
    check(a.sign_in()[0] == 200 and a.try_check_in()[0] == 200, "a new one is given")


def enrolment_needs_a_token_that_holds(f):
    once = admin(f, 201, "POST", "/tokens", {"kind": "enroll", "max_uses": 1})["secret"]
    listed = admin(f, 201, "POST", "/tokens", {"kind": "enroll", "serials": ["enrol-listed"]})["secret"]
    short = admin(f, 201, "POST", "/tokens", {"kind": "enroll", "expires_in_s": 1})["secret"]
    time.sleep(2)
    check(Impostor(f, "enrol-0").enroll(once)[0] == 200, "good for one")
    check(Impostor(f, "enrol-0").enroll(once)[2]["state"] == "accepted", "who may say it twice")
    for secret in (once, listed, short, "edge-en-" + "0" * 40, f.env["EDGECTL_TOKEN"]):
        status, _, answer = Impostor(f, "enrol-1").enroll(secret)
        check(status == 403, f"{secret[:8]}: {status}: {answer}")
    check(Impostor(f, "enrol-listed").enroll(listed)[0] == 200, "the one that is listed")
    other = Impostor(f, "enrol-0")
    other.key = forge.Key("somebody else")
    check(other.enroll(admin(f, 201, "POST", "/tokens", {"kind": "enroll"})["secret"])[0] == 409, "an id is taken")
    waiting = Impostor(f, "enrol-pending")
    check(waiting.enroll()[2]["state"] == "pending", "without a token one waits")
    check(waiting.sign_in()[0] == 403, "and has no token meanwhile")
    many = admin(f, 201, "POST", "/tokens", {"kind": "enroll"})["secret"]
    for name in ("../x", "a/b", "a b", "x" * 65, "\x1b[2J", "ä", ".", "..", "-x"):
        odd = Impostor(f, name)
        status, _, answer = odd.enroll(many)
        check(status in (200, 400), f"{name!r}: {status}: {answer}")
        check(status == 400 or name in (".", "..", "-x"), f"{name!r} became an id")
    weak = Impostor(f, "enrol-weak")
    for public in ("00" * 32, "01" + "00" * 31, "ff" * 32, "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"):
        key = {"keytype": "ed25519", "keyval": {"public": public}, "scheme": "ed25519"}
        for signature in ("00" * 64, "01" + "00" * 63):
            status, _, answer = weak.enroll(many, key=key, signature=signature)
            check(status in (400, 403), f"a key of small order: {public}: {status}: {answer}")


# ── Lies ────────────────────────────────────────────────────────────────────────────────────────────


def a_clone_is_marked_and_told_nothing(f):
    [device], rollout = start(f, "cloned", 1)
    device.check_in(state="idle")
    device.check_in()
    status, _, answer = device.try_check_in(nonce="0" * 32)
    check(status == 200, f"{status}: {answer}")
    shown = f.json("device", "show", device.name)["device"]
    check(shown["clone"], f"it is marked: {shown}")
    check(f.json("fleet", "summary")["clones"] == 1, "and counted")
    check("clone" in f.edgectl("device", "why", device.name) or "two" in f.edgectl("device", "why", device.name), f"why says so: {f.edgectl('device', 'why', device.name)}")
    check(not answer["instruction"], f"no instruction until a person decides: {answer['why']}")
    f.edgectl("device", "accept", device.name)
    device.say["nonce"] = answer["nonce"]
    check(len(offered([device])) == 1 and not f.json("device", "show", device.name)["device"]["clone"], "a person looked at it")
    device.commit()


def forged_outcomes_do_not_count(f):
    devices, rollout = start(f, "forged", 4, stages=[{"name": "canary", "count": 1}, {"name": "all", "percent": 100}])
    [canary] = offered(devices)
    others = [d for d in devices if d is not canary]
    held = others[2]
    f.edgectl("device", "hold", held.name)
    bundle = canary.last["bundle"]["id"]
    for device in others:
        for event in ("offered", "staged", "activated", "committed", "reverted", "failed", "committed"):
            device.report(event, {"attempt": 1, "rollout": rollout, "bundle": {"id": bundle}})
        device.check_in()
        device.report("committed", {"attempt": 99, "rollout": rollout, "bundle": {"id": bundle}})
        device.report("committed", {"attempt": 1, "rollout": "no-such-rollout", "bundle": {"id": "f" * 64}})
        device.check_in()
    status = f.rollout(rollout)
    check((total(status, "offered"), total(status, "committed"), total(status, "failed")) == (1, 0, 0), f"only the canary was offered it: {status['stages']}")
    # One that says it has it under another digest does not have it.
    others[1].runs("forged", "1.0", "e" * 64)
    others[1].check_in()
    check(total(f.rollout(rollout), "already") == 0, "another bundle under the release's name is not the release")
    canary.commit()
    # Held, and skipped by now: it still has no vote, neither way.
    held.check_in()
    for event in ("committed", "failed"):
        held.report(event, {"attempt": 1, "rollout": rollout, "bundle": {"id": bundle}})
        held.check_in()
        status = f.rollout(rollout)
        check(total(status, "committed") == 1 and total(status, "failed") == 0 and status["state"] == "running",
              f"a held device voted {event}: {status['why']}")


def work_that_nobody_gave_is_to_be_given_up(f):
    """As after the store was restored from a backup: neither rollout nor bundle is known here."""
    device = Impostor(f, "foreign").join()
    device.check_in()
    unknown = {"attempt": 7, "bundle": "e" * 64, "rollout": "no-such-rollout"}
    for state in ("offered", "fetching", "staged", "waiting"):
        check(device.check_in(state=state, update=unknown) == "cancel", f"{state}: {device.heard}")
        check(device.told["bundle"]["id"] == unknown["bundle"] and device.told["attempt"] == 7, f"{state}: {device.told}")
    for state in ("probation", "reverting", "committed"):
        check(device.check_in(state=state, update=unknown) is None, f"{state}: it is past that: {device.told}")
    device.check_in(state="idle")


def reports_are_taken_once_and_in_order(f):
    device = Impostor(f, "reports").join()
    device.check_in()
    base = {"attempt": 0, "rollout": "", "bundle": {"id": ""}}

    def say(*ids, **more):
        device.say["reports"] = []
        for number in ids:
            device.report_id = number - 1
            device.report("waiting", base, **more)
        status, _, answer = device.try_check_in()
        device.say.update(reports=[], nonce=answer.get("nonce", device.say["nonce"]))
        return status, answer

    def kept():
        return sorted(r["id"] for r in f.json("device", "show", "reports")["reports"])
    check(say(1, 2, 3)[1]["acked"] == 3, "in order")
    check(say(1, 2, 3)[1]["acked"] == 3 and kept() == [1, 2, 3], "again is done already")
    check(say(2, text="another")[1]["acked"] == 3 and kept() == [1, 2, 3], "back is not taken")
    for ids in ((5, 4), (6, 6), (0,), (-1,), (2**63,)):
        status, answer = say(*ids)
        check(status == 400 or answer["acked"] <= 3, f"{ids}: {status}: {answer}")
    check(kept() == [1, 2, 3], str(kept()))
    check(say(*range(4, 4 + 65))[0] == 400, "65 at once")
    check(say(10, 12)[1]["acked"] == 12 and kept() == [1, 2, 3, 10, 12], "gaps are the device's own affair")
    status, answer = say(2**53)
    check(status in (200, 400), f"far ahead: {status}: {answer}")
    status, answer = say(13, event="no-such-event")
    check(status == 200 and (13 in answer["refused"] or answer["acked"] >= 2**53), f"unknown events are refused by id: {status}: {answer}")
    for sequence in (2**53, 2**62, 2**63 - 1):
        status, _, answer = device.try_check_in(sequence=sequence)
        check(status in (200, 400), f"{sequence}: {status}: {answer}")


NASTY = "\x1b]0;owned\x07\x1b[2J\x1b[31m\u009b31m\r\n\u202eabc\u0000"


def what_devices_say_cannot_drive_a_terminal(f):
    nasty = NASTY.replace("\u0000", "")
    device = Impostor(f, "nasty", {"arch": "x86_64", "model": nasty, "list": [nasty]}).join()
    status, _, answer = device.try_check_in()
    if status != 200:
        device.set_facts({"arch": "x86_64", "model": nasty})
        status, _, answer = device.try_check_in()
    if status != 200:  # refused outright: as good
        device.set_facts({"arch": "x86_64"})
    device.check_in()
    for changes in ({"agent": nasty}, {"why": {"code": "x", "text": nasty}}, {"components": {"app": {"manifest": "0" * 64, "name": "app",
                    "security_version": 0, "version": nasty}}}, {"metrics": {nasty: "1"}}, {"state": nasty}):
        device.device_call("checkin", {**device.say, **changes}, device.token)
        again = device.try_check_in(**changes)
        check(again[0] in (200, 400), str(again))
        if again[0] == 200:
            device.say["nonce"] = again[2]["nonce"]
            device.say.update(changes)
    for text in (nasty, "plain"):
        device.report("failed", {"attempt": 1, "rollout": "", "bundle": {"id": ""}}, text=text, detail=nasty, code="probe_failed")
    status, _, answer = device.try_check_in()
    check(status == 200, f"{status}: {answer}")
    for argv in (("device", "show", "nasty"), ("device", "why", "nasty"), ("device", "list"), ("events",), ("fleet", "summary"),
                 ("fleet", "query", 'arch == "none"'), ("device", "show", "nasty", "--json"), ("events", "--json")):
        _, drawn = on_a_terminal(f, *argv)
        drawn = drawn.replace(b"\r\n", b"\n")
        for bad in (b"\x1b]", b"\x07", b"\x1b[2J", b"\x1b[31m", b"\r", "\u009b".encode(), "\u202e".encode()):
            check(bad not in drawn, f"{argv}: {bad!r} reaches the terminal: {drawn[:3000]!r}")
    for argv in (("device", "show", "nasty"), ("device", "why", "nasty"), ("events",)):
        check("\x1b" not in f.edgectl(*argv), f"{argv}: in a pipe")


def facts_and_metrics_have_ceilings(f):
    device = Impostor(f, "facts").join()
    for facts, fine in (({f"f{i}": 1 for i in range(10000)}, False), ({f"f{i}": 1 for i in range(257)}, False), ({f"f{i}": 1 for i in range(256)}, True),
                        ({"x" * 64: 1}, True), ({"x" * 65: 1}, False), ({"a": "x" * 256}, True), ({"a": "x" * 257}, False),
                        ({"a": {"deep": {"deeper": 1}}}, False), ({"label.group": "mine"}, False)):
        device.set_facts(facts)
        status, _, answer = device.try_check_in()
        check(status == (200 if fine else 400), f"{str(facts)[:60]}: {status}: {answer}")
        if fine:
            device.say["nonce"] = answer["nonce"]
    device.set_facts({"arch": "x86_64"})
    status, _, answer = device.try_check_in(facts_digest="0" * 64)
    check(status == 400, f"a digest of other facts: {status}")
    status, _, answer = device.try_check_in(metrics={f"m{i}": "1" for i in range(33)})
    check(status == 400, f"33 metrics: {status}")
    status, _, answer = device.try_check_in(metrics={"m": "1e400"})
    check(status == 400, f"a metric that is no decimal: {status}")


def a_device_that_floods_is_alone_in_its_trouble(f):
    noisy, quiet = Impostor(f, "noisy").join(), Impostor(f, "quiet").join()
    statuses, after = [], None
    while after is None and len(statuses) < 3000:  # a slow machine takes longer to be too fast
        status, headers, answer = noisy.try_check_in()
        statuses.append(status)
        if status == 429:
            after = headers.get("Retry-After", "")
        if status == 200:
            noisy.say["nonce"] = answer["nonce"]
    check(429 in statuses and statuses.index(429) >= 20, f"it is told to slow down: {statuses[:5]} … {statuses[-5:]}")
    check(after and int(after) >= 1, f"and for how long: {after}")
    check(quiet.try_check_in()[0] == 200, "others are heard")


# ── Files ───────────────────────────────────────────────────────────────────────────────────────────


def downloads_know_every_range_and_no_other_file(f):
    publish(f, "range")
    bundle = f.json("release", "list", "--name", "range")["releases"][0]["bundles"][0]
    path = bundle["url"][bundle["url"].index("/bundles/"):]
    with open(f.path("range-1.0.edge"), "rb") as file:
        data = file.read()
    size = len(data)
    for asked, status, part in (("bytes=0-0", 206, data[:1]), ("bytes=0-", 206, data), (f"bytes={size - 1}-", 206, data[-1:]),
                                ("bytes=-1", 206, data[-1:]), (f"bytes=-{size}", 206, data), (f"bytes=-{size + 9}", 206, data),
                                (f"bytes=10-{size + 99}", 206, data[10:]), ("bytes=5-9", 206, data[5:10]), (f"bytes={size}-", 416, None),
                                ("bytes=-0", 416, None), (f"bytes={2**64 - 1}-", 416, None), ("bytes=9-5", 200, data), ("bytes=", 200, data),
                                ("bytes=-", 200, data), ("bytes=a-b", 200, data), ("octets=0-1", 200, data), ("bytes=0-1,3-4", 200, data),
                                ("bytes=-5-9", 200, data), (f"bytes=0-{2**64}", 200, data), ("bytes=0x0-1", 200, data), ("bytes= 0-1", 200, data),
                                ("bytes=0-1" + "0" * 200, 200, data), ("bytes=+1-2", 200, data)):
        got, headers, body = call(f, "GET", path, headers={"Range": asked})
        check(got == status or (got == 416 and status == 200), f"{asked}: {got}, not {status}")
        check(part is None or got == 416 or body == part, f"{asked}: other bytes: {len(body)}")
        if got == 206:
            check(headers["Content-Range"].endswith(f"/{size}"), str(headers))
    for asked in ("/bundles/../root.json", "/bundles/..%2froot.json", "/bundles/%2e%2e/root.json", "/bundles/../../etc/passwd", "/bundles//etc/passwd",
                  "/bundles/store.db", "/bundles/.edge", "/bundles/%00.edge", f"{path}%00", f"{path}/", f"{path}/..", path.upper(), path + ".edge",
                  "/bundles/" + "0" * 63 + ".edge", "/bundles/" + "0" * 65 + ".edge", "/bundles/", "/bundles", "/root.json", "/server/store.db",
                  "/bundles/%ff.edge", "/bundles/upload-x.edge", "//bundles/x.edge", "/api/v1/../../bundles"):
        got, _, body = call(f, "GET", asked)
        check(got in (400, 404, 401), f"{asked}: {got}: {str(body)[:100]}")


def uploads_are_verified_before_they_count(f):
    token = f.json("token", "create", "--role", "publisher", "--name", "ci")["secret"]
    stranger = f.path("stranger")
    f.edgectl("init", stranger)
    good = f.bundle("upload", "1.0", {"app": f.component("upload", {"version": "1.0"})})
    with open(good, "rb") as file:
        data = file.read()
    foreign = f.path("foreign.edge")
    f.edgectl("bundle", "create", "--workspace", stranger, "--name", "upload", "--version", "2.0", f"--component=app={f.path('input/upload')}", "-o", foreign)
    expired = f.path("expired.edge")
    f.edgectl("bundle", "create", "--workspace", f.ws, "--name", "upload", "--version", "3.0", f"--component=app={f.path('input/upload')}",
              "--issued", "2020-01-01T00:00:00Z", "--expires", "1d", "-o", expired)
    where = os.path.join(f.ws, "server/bundles")
    before = sorted(os.listdir(where))

    def read(path):
        with open(path, "rb") as file:
            return file.read()
    wrong = {"empty": b"", "one byte": b"x", "noise": os.urandom(5000), "zeros": bytes(10240), "truncated": data[:-512], "half": data[:len(data) // 2],
             "trailing": data + bytes(512), "flipped": data[:-2000] + bytes([data[-2000] ^ 1]) + data[-1999:], "foreign": read(foreign),
             "expired": read(expired), "html": b"<html>" * 1000, "tar of a tree": bytes(512) + data}
    for name, body in wrong.items():
        status, _, answer = call(f, "POST", API + "/releases", body, token)
        check(status in (400, 411, 403), f"{name}: {status}: {answer}")
        check(answer.get("code") and answer.get("text"), f"{name}: {answer}")
    # Cut off in the middle, and more or less than was declared.
    head = f"POST {API}/releases HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n".encode()
    with socket.create_connection(("127.0.0.1", f.port), timeout=fleet.PATIENCE_S) as s:
        s.sendall(head + f"Content-Length: {len(data)}\r\n\r\n".encode() + data[:5000])
    for kind in (head, head.replace(b"/releases", b"/deltas")):
        check(status_of(raw(f, kind + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")) == 411, "an upload says how long it is")
        check(status_of(raw(f, kind + f"Content-Length: {1 << 62}\r\n\r\n".encode())) in (400, 413, 507), "larger than any disk")
    wait_for("what was cut off to be gone", lambda: sorted(os.listdir(where)) == before)
    check(not f.json("release", "list", "--name", "upload")["releases"], "nothing of it was published")
    check(call(f, "POST", API + "/releases", data, token)[0] == 201 and call(f, "POST", API + "/releases", data, token)[0] == 200, "the honest one is")


def test(f):
    f.start_server()
    f.slow = begin_slowly(f)
    fleet.each(f, requests_that_can_be_read_in_two_ways_are_refused, bytes_that_are_no_request_are_refused, long_bodies_are_cut,
               proofs_of_identity_hold, enrolment_needs_a_token_that_holds, a_clone_is_marked_and_told_nothing, forged_outcomes_do_not_count,
               work_that_nobody_gave_is_to_be_given_up,
               reports_are_taken_once_and_in_order, what_devices_say_cannot_drive_a_terminal, facts_and_metrics_have_ceilings,
               a_device_that_floods_is_alone_in_its_trouble, downloads_know_every_range_and_no_other_file, uploads_are_verified_before_they_count,
               no_shape_of_json_breaks_it, the_slow_are_cut_in_time, many_idle_connections_do_not_shut_others_out_for_long)
    ends_well(f)


if __name__ == "__main__":
    fleet.main(test)
