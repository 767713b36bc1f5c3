#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# ctest: release
"""Bundles that are damaged, cut, repacked, signed by the wrong people or that lie; roots that are no roots; files that are no
bundles: each is refused as its kind, in one clear line, and the device is what it was.

SEED=N repeats a run; FLIPS=all flips a bit in every byte in place of samples (minutes).
"""

import concurrent.futures
import io
import itertools
import os
import random
import resource
import tarfile
import time

import fleet
import forge
from fleet import check
from lone import Lone, edge_agent, read, write

SEED = int(os.environ.get("SEED", time.time_ns() % 1000000))
FLIPS = os.environ.get("FLIPS", "")
WORKERS = 2

# What a flipped bit is called, by where it is. Of the envelope it depends on what the bit makes of the byte: of anything else the
# signature does not hold, but what no envelope looks like is not verified, and a keyid may become another's.
ENVELOPE = ("syntax", "not_canonical", "bad_signature", "below_threshold")
DAMAGE = {"header of manifest.json": ("bad_skeleton",), "header of index": ("bad_skeleton",), "header of data": ("bad_skeleton",),
          "manifest.json": ENVELOPE, "signed text": ENVELOPE, "index": ("bad_index",), "data": ("bad_frame",), "end": ("trailing_data",)}

KEY = {name: forge.Key(name) for name in ("root", "bundle", "second", "director", "stranger")}
ROLES = {"root": [KEY["root"]], "bundle": [KEY["bundle"], KEY["second"]], "director": [KEY["director"]]}


class Bench:
    """A device that trusts the forged root as well as files to try on it."""

    def __init__(self, f):
        self.fleet, self.count = f, 0
        self.root = write(f.path("forged.json"), forge.root(ROLES))
        self.device = Lone(f, "forged", facts={"colour": "red", "floor": 3})
        write(os.path.join(self.device.device.dir, "root.json"), read(self.root))

    def path(self):
        self.count += 1
        return self.fleet.path(f"try-{self.count}")

    def verify(self, path, root=None, **more):
        return edge_agent(self.fleet.env, "verify", "--root", root or self.root, path, **more)

    def refuse(self, path, *kinds, says=""):
        """By verify and by install alike."""
        self.verify(path).refused(*kinds, says=says)
        self.refuse_install(path, *kinds, says=says)

    def refuse_install(self, path, *kinds, says=""):
        with self.device.unchanged(path):
            self.device.install(path).refused(*kinds, says=says)
        self.device.check_clean()

    def bundle(self, release, components, keys=("bundle",), **more):
        """An honest container around what may be lies."""
        b = components if isinstance(components, forge.Bundle) else forge.Bundle(release, components)
        return b.write(self.path(), [KEY[k] for k in keys], **more)


# ── Damage ──────────────────────────────────────────────────────────────────────────────────────────


def positions(data, rng):
    """{place: part it is in}. Every byte of the three headers and of the signed manifest's text is a candidate, and samples of the rest."""
    members = forge.split(data)
    text = len(members[0][1].rstrip(b" "))
    sets, at = {}, 0
    for name, body in members:
        sets[f"header of {name}"] = range(at, at + 512)
        sets[name] = range(at + 512, at + 512 + len(body))
        at += 512 + len(body) + -len(body) % 512
    sets["signed text"] = range(512, 512 + text)
    sets["end"] = range(at, len(data))
    share = {"header of manifest.json": 60, "header of index": 40, "header of data": 40, "manifest.json": 15, "signed text": 140,
             "index": 40, "data": 40, "end": 10}
    check(set(share) == set(sets), f"members of a bundle: {list(sets)}")
    check(set(share) == set(DAMAGE), f"{set(share) ^ set(DAMAGE)}")
    if FLIPS == "all":
        return {p: name for name in share for p in sets[name]}
    return {p: name for name, n in share.items() for p in rng.sample(sets[name], min(n, len(sets[name])))}


def test_flips(f, path, device, rng):
    data = read(path)
    edge_agent(f.env, "verify", "--root", f.root, path).ok()
    def flip(position):
        bit = rng.randrange(8)
        bad = bytearray(data)
        bad[position] ^= 1 << bit
        name = f.path(f"flip-{position}")
        write(name, bad)
        edge_agent(f.env, "verify", "--root", f.root, name).refused(*DAMAGE[places[position]])
        os.unlink(name)
    places = positions(data, rng)
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(flip, places))
    for position in rng.sample(sorted(places), 12):
        bad = bytearray(data)
        bad[position] ^= 1 << rng.randrange(8)
        with device.unchanged(f"a bit flipped at {position}"):
            device.install(write(f.path("flip"), bad)).refused(*DAMAGE[places[position]])
        device.check_clean()
    print(f"  {len(places)} flips", flush=True)


def test_lengths(f, path, device, rng):
    data = read(path)
    edges = {0, 1, 511, 512, 513, 1024, len(data) - 1, len(data) - 512, len(data) - 1023, len(data) - 1024, len(data) - 1025}
    at = 0
    for _, body in forge.split(data):
        edges |= {at + 512, at + 512 + len(body) - 1, at + 512 + len(body), at + 512 + len(body) + 1}
        at += 512 + len(body) + -len(body) % 512
        edges |= {at - 1, at, at + 1}
    lengths = sorted({n for n in edges if n < len(data)} | set(rng.sample(range(len(data)), 30)))
    def cut(length):
        name = write(f.path(f"cut-{length}"), data[:length])
        edge_agent(f.env, "verify", "--root", f.root, name).refused("truncated")
        os.unlink(name)
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(cut, lengths))
    for length in rng.sample(lengths, 6):
        with device.unchanged(f"cut at {length}"):
            device.install(write(f.path("cut"), data[:length])).refused("truncated")
        device.check_clean()
    for more in (b"\0", b"x", bytes(512), bytes(10240), data):
        longer = write(f.path("longer"), data + more)
        edge_agent(f.env, "verify", "--root", f.root, longer).refused("trailing_data")
        with device.unchanged("trailing data"):
            device.install(longer).refused("trailing_data")
    print(f"  {len(lengths)} lengths", flush=True)


def repack(members, kind=tarfile.USTAR_FORMAT, **fields):
    """As some honest tar would write it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as t:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o444
            for key, value in fields.items():
                setattr(info, key, value)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def test_members(f, path, device):
    data = read(path)
    m, i, d = forge.split(data)
    check(forge.tar([m, i, d]) == data, "bundle/FORMAT.md gives the same container, byte for byte")
    extra = ("extra", b"more")
    cases = {
        "extra first": [extra, m, i, d], "extra second": [m, extra, i, d], "extra third": [m, i, extra, d],
        "extra last": [m, i, d, extra], "no manifest": [i, d], "no index": [m, d], "no data": [m, i], "nothing": [],
        "manifest twice": [m, m, i, d], "index twice": [m, i, i, d], "data twice": [m, i, d, d], "reordered": [m, d, i],
        "backwards": [d, i, m], "renamed": [("./manifest.json", m[1]), i, d], "other name": [m, ("Index", i[1]), d],
        "manifest cut": [(m[0], m[1][:-512]), i, d], "manifest longer": [(m[0], m[1] + b" " * 512), i, d],
        "index longer": [m, (i[0], i[1] + bytes(4096)), d], "data longer": [m, i, (d[0], d[1] + b"x")],
        "data shorter": [m, i, (d[0], d[1][:-1])], "huge manifest": [(m[0], m[1] + b" " * (65536 * 2)), i, d],
    }
    # Whatever stands where another member should; but what is only more, or less, is called so.
    kinds = {**dict.fromkeys(("extra third", "extra last", "index twice", "data twice", "padded"), "trailing_data"), "no data": "truncated"}
    files = {what: forge.tar(members) for what, members in cases.items()}
    files.update({"pax": repack([m, i, d], tarfile.PAX_FORMAT, mtime=1.5), "owner": repack([m, i, d], uid=1000),
                  "time": repack([m, i, d], mtime=1), "mode": repack([m, i, d], mode=0o4555), "user": repack([m, i, d], uname="u"),
                  "link": repack([m, i, d], linkname="x"), "gnu": repack([m, i, d], tarfile.GNU_FORMAT),
                  "padded": data[:-1024] + bytes(10240)})
    for what, bad in files.items():
        name = write(f.path("repacked"), bad)
        edge_agent(f.env, "verify", "--root", f.root, name).refused(kinds.get(what, "bad_skeleton"))
        with device.unchanged(what):
            device.install(name).refused(kinds.get(what, "bad_skeleton"))
    device.check_clean()


# ── Trust ───────────────────────────────────────────────────────────────────────────────────────────


def test_signers(b):
    app = [forge.component("app", {"version": b"t"})]
    b.refuse(b.bundle("t", app, keys=("stranger",)), "below_threshold")
    b.refuse(b.bundle("t", app, keys=()), "below_threshold")
    b.refuse(b.bundle("t", app, keys=("root",)), "below_threshold")
    b.refuse(b.bundle("t", app, keys=("director",)), "below_threshold")
    b.verify(b.bundle("t", app, keys=("bundle", "stranger"))).ok()

    # Two of two: one is not enough, nor one twice.
    two = write(b.path(), forge.root(ROLES, {"bundle": 2}))
    once = b.bundle("t", app)
    b.verify(once, two).refused("below_threshold")
    b.verify(b.bundle("t", app, keys=("bundle", "second")), two).ok()
    signed = forge.Bundle("t", app)
    members = signed.members([KEY["bundle"]])
    text = members[0][1].rstrip(b" ")
    begin, end = text.index(b"[") + 1, text.index(b"]")
    twice = text[:end] + b"," + text[begin:end] + text[end:]
    members[0] = (members[0][0], twice.ljust(8192, b" "))
    double = write(b.path(), forge.tar(members))
    b.verify(double, two).refused("not_canonical")
    b.verify(double).refused("not_canonical")

    # A right key's signature over other bytes.
    text = text.replace(b'"release":"t"', b'"release":"u"')
    members[0] = (members[0][0], text.ljust(len(signed.members([KEY["bundle"]])[0][1]), b" "))
    b.refuse(write(b.path(), forge.tar(members)), "bad_signature")


def test_roots(b):
    good = b.bundle("r", [forge.component("app", {"version": b"r"})])
    raw = read(b.root)
    other = forge.root({**ROLES, "bundle": [KEY["stranger"]]})
    b.verify(good, write(b.path(), other)).refused("below_threshold")
    kinds = {**dict.fromkeys(("spaced", "text", "list", "null", "deep"), "not_canonical"), "flipped": "bad_key", "no keys": "bad_key",
             "huge": "limit", "unsigned": "below_threshold", "by a stranger": "below_threshold", "type": "wrong_type"}
    def change(**values):
        return forge.root(ROLES, change=lambda signed: signed.update(values))
    flipped = bytearray(raw)
    flipped[len(raw) // 2] ^= 4
    cases = {
        "empty": b"", "cut": raw[:-1], "newline": raw + b"\n", "spaced": raw.replace(b",", b", "),
        "text": b"hello", "list": b"[]", "null": b"null", "deep": b"[" * 5000 + b"]" * 5000, "flipped": bytes(flipped),
        "nul": raw[:40] + b"\0" + raw[41:], "huge": raw + b" " * (4 << 20), "unsigned": forge.root(ROLES, signers=[]),
        "by a stranger": forge.root(ROLES, signers=[KEY["stranger"]]), "type": change(_type="targets"),
        "version 0": change(version=0), "no roles": change(roles={}), "no keys": change(keys={}), "expires": change(expires="never"),
        "threshold 0": forge.root(ROLES, {"bundle": 0}), "threshold 3 of 2": forge.root(ROLES, {"bundle": 3}),
        "duplicate": raw.replace(b'"signed":{', b'"signed":{"_type":"root",'),
    }
    for what, bad in cases.items():
        path = write(b.path(), bad)
        b.verify(good, path).refused(kinds.get(what, "syntax"))
    # The agent that begins with such a root says so and touches nothing.
    device = b.device
    root = os.path.join(device.device.dir, "root.json")
    for what in ("flipped", "empty", "by a stranger"):
        write(root, cases[what])
        with device.unchanged("a bad root"):
            device.install(good).refused(kinds.get(what, "syntax"))
            device.run("check").refused(kinds.get(what, "syntax"))
    os.unlink(root)
    device.install(good).refused("not_found", says="root.json")
    write(root, raw)


def test_not_for_us(b):
    def app(security_version=0):
        return forge.component("app", {"version": b"n"}, security_version=security_version)
    b.refuse_install(b.bundle("n", forge.Bundle("n", [app()], requires='colour == "blue"')), "requirement_unmet", says="colour")
    b.refuse_install(b.bundle("n", forge.Bundle("n", [app()], requires='accel == "tpu"')), "requirement_unmet", says="accel")
    b.refuse_install(b.bundle("n", forge.Bundle("n", [app()], requires="colour ==")), "bad_predicate")
    probe = {"component": "app", "kind": "exec", "name": "p", "phase": "before", "runner": "nobody-allowed-this", "timeout_s": 1}
    b.refuse_install(b.bundle("n", forge.Bundle("n", [app()], probes=[probe])), "runner_missing")
    image = forge.Bundle("n", [app()])
    content = bytes(4096)
    b.refuse_install(b.bundle("n", image_of(image, content)), "unsupported_component")

    # A floor, once it was raised by a signed word, holds: for installs and for the way back.
    low = b.bundle("low", forge.Bundle("low", [app(1)]))
    high = b.bundle("high", forge.Bundle("high", [app(2)], floors={"app": 2}))
    b.device.install(low).ok()
    b.device.install(high).ok()
    b.refuse_install(low, "below_floor")
    with b.device.unchanged("a rollback below the floor"):
        b.device.run("rollback", "--quiet").refused("below_floor")


def image_of(bundle, content):
    """The bundle's first component as an image."""
    made = forge.Bundle(bundle.signed["release"], [])
    pieces = forge.Component("disk", [], [content])
    made.__init__(bundle.signed["release"], [pieces])
    made.signed["components"] = [{"content": {"digest": forge.digest(content), "size": len(content)}, "name": "disk",
                                  "security_version": 0, "type": "image"}]
    return made


# ── Lies, by people whose signature counts ──────────────────────────────────────────────────────────


def tree(*entries, contents=(b"x",)):
    return [forge.Component("app", list(entries), list(contents))]


def test_paths(b):
    x = b"x"
    paths = {
        "absolute": "/etc/passwd", "up": "../x", "up inside": "a/../../x", "dot": ".", "dot inside": "a/./b", "empty": "",
        "slash at the end": "a/", "two slashes": "a//b", "control": "a\x01b", "newline": "a\nb", "del": "a\x7f",
        "c1": "a\u0085", "long": "a" * 1025, "long segment": "a" * 256, "deep": "/".join("a" * 65),
    }
    for what, path in paths.items():
        b.refuse(b.bundle("p", tree(forge.file(path, x))), "bad_tree" if what == "newline" else "bad_path")  # a line holds an entry
    b.refuse(b.bundle("p", tree(forge.file("a", x), forge.file("a", x), contents=(x, x))), "bad_path")
    b.refuse(b.bundle("p", tree(forge.file("b", x), forge.file("a", x), contents=(x, x))), "bad_path")
    b.refuse(b.bundle("p", tree(forge.file("a/b", x))), "bad_path")
    b.refuse(b.bundle("p", tree({"path": "a", "target": "/etc", "type": "link"}, forge.file("a/b", x))), "bad_path")
    b.refuse(b.bundle("p", tree(forge.file("a", x), forge.file("a/b", x), contents=(x, x))), "bad_path")
    b.refuse(b.bundle("p", tree({"path": "a", "target": "", "type": "link"}, contents=())), "bad_tree")
    raw = forge.Component("app", [forge.file("aa", x)], [x])
    raw.tree = raw.tree.replace(b'"aa"', b'"a\xff"')
    b.refuse(b.bundle("p", [raw]), "bad_path")
    raw.tree = forge.Component("app", [forge.file("aa", x)], [x]).tree.replace(b'"aa"', b'"a\\u0000"')
    b.refuse(b.bundle("p", [raw]), "bad_tree")


def test_trees(b):
    x = b"x"
    good = forge.file("a", x)
    for bad in ({**good, "mode": "4755"}, {**good, "type": "fifo"}, {**good, "type": "device"}, {"path": "a", "type": "file"},
                {**good, "exec": "yes"}, {**good, "size": -1}, {**good, "size": "1"}, {**good, "digest": "00"},
                {"path": "a", "type": "dir", "size": 0}):
        b.refuse(b.bundle("t", tree(bad)), "bad_tree")
    component = forge.Component("app", [good], [x])
    for change in (lambda t: t.replace(b'"exec"', b' "exec"'), lambda t: t[:-1], lambda t: t + b"\n", lambda t: t + b"{}\n",
                   lambda t: b"\xef\xbb\xbf" + t, lambda t: t.replace(b"\n", b"\r\n"), lambda t: b"[" * 4000 + b"\n"):
        lying = forge.Component("app", [good], [x])
        lying.tree = change(component.tree)
        b.refuse(b.bundle("t", [lying]), "bad_tree")


def test_sizes(b):
    x = b"x" * 5000
    # Checking meets the chunk that is too long; a device adds the tree up before it looks at a chunk.
    short = b.bundle("s", tree({**forge.file("a", x), "size": 4999}, contents=(x,)))
    b.verify(short).refused("bad_index")
    b.refuse_install(short, "bad_tree")
    b.refuse(b.bundle("s", tree({**forge.file("a", x), "size": 5001}, contents=(x,))), "bad_tree")
    b.refuse(b.bundle("s", tree({**forge.file("a", x), "size": 2**53 - 1}, contents=(x,))), "bad_tree")
    b.refuse(b.bundle("s", tree({**forge.file("a", x), "digest": "ab" * 32}, contents=(x,))), "bad_content")
    for key, value in (("entries", 0),
                       ("security_version", -1), ("security_version", 2**32), ("name", ".edge"), ("name", "../app"), ("name", ""),
                       ("type", "folder"), ("surprise", 1)):
        made = forge.Bundle("s", [forge.component("app", {"a": x})])
        made.signed["components"][0][key] = value
        b.refuse(b.bundle("s", made), "bad_manifest")
    # What only the contents show.
    for key, value, kind in (("entries", 2, "bad_tree"), ("executable", True, "bad_tree"), ("stream_bytes", 4999, "bad_index")):
        made = forge.Bundle("s", [forge.component("app", {"a": x})])
        made.signed["components"][0][key] = value
        b.refuse(b.bundle("s", made), kind)
    # As much as may be declared: refused before a byte is written, and quickly.
    made = forge.Bundle("s", [forge.component("app", {"a": x})])
    made.signed["components"][0]["stream_bytes"] = 2**41
    path = b.bundle("s", made)
    b.verify(path).refused("bad_index")
    b.device.install(path).refused("no_space")  # which is asked before the index is read


def test_indices(b):
    noise = os.urandom(270000)

    def made():
        return forge.Bundle("i", [forge.component("app", {"a": noise[:200000], "b": noise[:40000], "c": noise[200000:]})], fresh=(2,))

    def changed(rows, number, at, value):
        row = bytearray(rows[number])
        row[at:at + len(value)] = value
        assert bytes(row) != rows[number], "nothing was changed"
        rows[number] = bytes(row)
    for key in ("frames", "chunks", "raw", "stream", "data", "trees_end", "fresh_start"):
        for value in (0, 1, 2**62, 2**64 - 1):
            lying = made()
            lying.header[key] = value
            b.verify(b.bundle("i", lying)).refused("bad_index")
    for page, place in itertools.product(range(2), range(3)):
        for value in (1, 2**32, 2**64 - 1):
            lying = made()
            lying.places[page][place] = value
            b.verify(b.bundle("i", lying)).refused("bad_index")
    for at, value in ((32, b"\0\0\0\0"), (32, b"\xff\xff\xff\xff"), (36, b"\0\0\0\0"), (36, b"\xff\xff\xff\xff"), (0, b"\0" * 32)):
        lying = made()
        changed(lying.frame_rows, 1, at, value)
        b.refuse(b.bundle("i", lying), "bad_index" if at else "bad_frame")  # the digest is only met by what is stored
    # Row 2 is a chunk in the middle of a; the first row behind a, which has seven, begins b and repeats row 1.
    assert made().rows[8][2] == 2 + 1 and made().rows[-1][2] == 1
    for number, at, value in ((2, 10, b"\0\0"), (2, 10, b"\xff\xff"), (2, 10, b"\0\x80"), (2, 12, b"\1"), (2, 12, b"\2"), (2, 12, b"\4"),
                              (2, 12, b"\xff" * 4), (8, 12, b"\2"), (8, 12, b"\4"), (8, 12, b"\0"), (8, 12, b"\x0a"), (-1, 12, b"\0")):
        lying = made()
        changed(lying.chunk_rows, number, at, value)
        b.refuse(b.bundle("i", lying), "bad_index")
    lying = made()
    changed(lying.chunk_rows, 2, 0, b"\xee" * 10)
    b.verify(b.bundle("i", lying)).refused("bad_index")
    for frame_bytes in (0, 1, 65535, 4 << 20 | 1, 2**40, -1):
        lying = made()
        lying.frame_bytes = frame_bytes
        b.refuse(b.bundle("i", lying), "bad_manifest")
    # Frames that are not what their digests and sizes promise: claims to be zstd and is not.
    lying = made()
    changed(lying.frame_rows, 1, 32, (100).to_bytes(4, "little"))
    b.refuse(b.bundle("i", lying), "bad_index")


def test_manifests(b):
    def with_bytes(alter):
        return b.bundle("m", [forge.component("app", {"version": b"m"})], alter=alter)
    cases = {
        "duplicate key": lambda s: s.replace(b'"name":"forged"', b'"name":"forged","name":"forged"'),
        "duplicate in a component": lambda s: s.replace(b'"entries":1', b'"entries":1,"entries":1'),
        "blank": lambda s: s.replace(b'"name":"forged"', b'"name": "forged"'),
        "unsorted": lambda s: s.replace(b'"_type":"bundle",', b"", 1)[:-1] + b',"_type":"bundle"}',
        "float": lambda s: s.replace(b'"version":1', b'"version":1.0'),
        "escape": lambda s: s.replace(b'"forged"', b'"\\u0066orged"'),
        "nul": lambda s: s.replace(b'"forged"', b'"for\\u0000ged"'),
        "raw nul": lambda s: s.replace(b'"forged"', b'"for\0ged"'),
        "not UTF-8": lambda s: s.replace(b'"forged"', b'"forg\xff"'),
        "big number": lambda s: s.replace(b'"version":1}', b'"version":9007199254740992}'),
        "huge number": lambda s: s.replace(b'"version":1}', b'"version":' + b"9" * 400 + b"}"),
        "deep list": lambda s: s[:-1] + b',"zz":' + b"[" * 3000 + b"]" * 3000 + b"}",
        "13 deep": lambda s: s[:-1] + b',"zz":' + b"[" * 12 + b"]" * 12 + b"}",
        "many values": lambda s: s[:-1] + b',"zz":[' + b",".join([b"1"] * 9000) + b"]}",
        "list": lambda s: b"[]", "empty": lambda s: b"{}", "null": lambda s: b"null", "cut": lambda s: s[:-1],
        "more": lambda s: s + b"x", "control": lambda s: s.replace(b'"forged"', b'"for\x1bged"'),
    }
    kinds = {**dict.fromkeys(("blank", "unsorted", "escape"), "not_canonical"),
             **dict.fromkeys(("deep list", "13 deep", "many values", "huge number"), "limit"),
             **dict.fromkeys(("big number", "empty", "control"), "bad_manifest")}
    for what, alter in cases.items():
        b.refuse(with_bytes(alter), kinds.get(what, "syntax"))
    for key, value in (("_type", "root"), ("spec_version", "2.0"), ("version", 0), ("version", "1"), ("issued", "yesterday"),
                       ("expires", "2020-01-01T00:00:00Z"), ("name", "-rf"), ("name", "a/b"), ("name", "a" * 65), ("name", ""),
                       ("release", "1 0"), ("release", "../1"), ("release", "\u202e1"), ("components", []), ("components", {}),
                       ("components", None), ("probes", {}), ("probes", [{}]), ("probes", [1]), ("floors", {"app": -1}),
                       ("floors", {"../x": 1}), ("floors", {"app": 1}), ("floors", {"other": 0}), ("probation", {"duration_s": 2**40}), ("probation", []), ("requires", "("),
                       ("requires", "a" * 3000), ("packing", {}), ("variant", 1)):
        made = forge.Bundle("m", [forge.component("app", {"version": b"m"})])
        made.signed[key] = value
        kind = {"_type": "wrong_type", "spec_version": "newer_format"}.get(key, "bad_predicate" if value == "(" else "bad_manifest")
        b.refuse(b.bundle("m", made), kind)
    many = [forge.component(f"c{i}", {"version": b"m"}) for i in range(17)]
    b.refuse(b.bundle("m", many), "bad_manifest")
    b.refuse(b.bundle("m", [many[0], many[0]]), "bad_manifest")


# ── Things that are no bundles ──────────────────────────────────────────────────────────────────────


def test_special_files(b):
    fifo, sparse, folder, loop = b.path(), b.path(), b.path(), b.path()
    os.mkfifo(fifo)
    os.mkdir(folder)
    os.symlink(loop, loop)
    with open(sparse, "wb") as f:
        f.truncate(1 << 40)
    # `install` looks for a bundle in a directory, `verify` wants the file itself.
    b.verify(folder).refused("io")
    with b.device.unchanged(folder):
        b.device.install(folder).refused("not_found", says="no bundle")
    cases = [(write(b.path(), b""), "truncated"), (sparse, "bad_skeleton"), ("/dev/zero", "usage"), ("/dev/null", "usage"),
             (b.path(), "not_found"), (loop, "io"), ("", "not_found"), (fifo, "io")]
    for path, kind in cases:
        b.verify(path).refused(kind)
        with b.device.unchanged(path):
            b.device.install(path).refused(kind)
    b.device.check_clean()
    huge = b.path()
    with open(huge, "wb") as f:
        f.write(forge.header("manifest.json", 0o77777777777))
        f.truncate(1 << 40)
    b.verify(huge).refused("bad_skeleton")  # without reading a TiB, which takes longer than is waited


def test(f):
    print(f"SEED={SEED}", flush=True)
    rng = random.Random(SEED)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    b = Bench(f)
    first = f.bundle("small", "1.0", {"app": f.component("small-1.0", {"version": "1.0", "etc/conf": "a" * 3000})})
    real = f.pair("2.0")
    device = Lone(f, "real")
    device.install(first).ok()
    whole = forge.component("app", {"version": b"honest", "a/b": bytes(range(256)) * 1000, "a-b": b""})
    b.device.install(b.bundle("honest", forge.Bundle("honest", [whole], fresh=(2,)))).ok()
    steps = [("flips", lambda: test_flips(f, real, device, rng)), ("lengths", lambda: test_lengths(f, real, device, rng)),
             ("members", lambda: test_members(f, real, device)), ("signers", lambda: test_signers(b)), ("roots", lambda: test_roots(b)),
             ("paths", lambda: test_paths(b)), ("trees", lambda: test_trees(b)), ("sizes", lambda: test_sizes(b)),
             ("indices", lambda: test_indices(b)), ("manifests", lambda: test_manifests(b)),
             ("special files", lambda: test_special_files(b)), ("not for us", lambda: test_not_for_us(b))]
    fleet.steps(steps)
    # After all that, both devices take the next honest bundle.
    device.install(real).ok()
    check(device.check_clean()["components"]["model"]["version"] == "2.0", "the honest bundle is installed")


fleet.main(test)
