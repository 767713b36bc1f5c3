# SPDX-License-Identifier: Apache-2.0
"""Bundles and roots made from bundle/FORMAT.md alone, with nothing of the project's own code: for the honest ones that they are
accepted shows that the text is enough to write a second implementation, and for the others that a signature by the right key
does not make a lie true.

Ed25519 is the arithmetic of RFC 8032, section 6: slow, and not for keys that matter.
"""

import copy
import hashlib
import json
import struct

PAGE = 4096
CHUNK_MAX = 32768
FRAME_ROWS, CHUNK_ROWS, DIRECTORY_ROWS = 102, 256, 73

# ── Ed25519 ─────────────────────────────────────────────────────────────────────────────────────────

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def _add(a, b):
    e = (a[1] - a[0]) * (b[1] - b[0]) % P
    f = (a[1] + a[0]) * (b[1] + b[0]) % P
    g = 2 * a[3] * b[3] * D % P
    h = 2 * a[2] * b[2] % P
    return (f - e) * (h - g) % P, (h + g) * (f + e) % P, (h - g) * (h + g) % P, (f - e) * (f + e) % P


def _mul(s, point):
    result = (0, 1, 1, 0)
    while s > 0:
        if s & 1:
            result = _add(result, point)
        point = _add(point, point)
        s >>= 1
    return result


def _pack(point):
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return int.to_bytes(y | (x & 1) << 255, 32, "little")


def _base():
    y = 4 * pow(5, P - 2, P) % P
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    x = P - x if x & 1 else x
    return x, y, 1, x * y % P


BASE = _base()


class Key:
    def __init__(self, name):
        expanded = hashlib.sha512(hashlib.sha256(name.encode()).digest()).digest()
        self.scalar = int.from_bytes(expanded[:32], "little") & ((1 << 254) - 8) | 1 << 254
        self.prefix = expanded[32:]
        self.public = _pack(_mul(self.scalar, BASE))
        self.object = {"keytype": "ed25519", "keyval": {"public": self.public.hex()}, "scheme": "ed25519"}
        self.id = hashlib.sha256(canon(self.object)).hexdigest()

    def sign(self, message):
        r = int.from_bytes(hashlib.sha512(self.prefix + message).digest(), "little") % Q
        packed = _pack(_mul(r, BASE))
        h = int.from_bytes(hashlib.sha512(packed + self.public + message).digest(), "little") % Q
        return packed + int.to_bytes((r + h * self.scalar) % Q, 32, "little")


# ── Signed documents ────────────────────────────────────────────────────────────────────────────────


def canon(value):
    """Canonical JSON: sorted, no blanks, UTF-8, only quote and backslash escaped."""
    if isinstance(value, dict):
        return b"{" + b",".join(canon(k) + b":" + canon(v) for k, v in sorted(value.items(), key=lambda i: i[0].encode())) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(canon(v) for v in value) + b"]"
    if isinstance(value, str):
        return b'"' + value.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"'
    return json.dumps(value).encode()


def envelope(signed, keys):
    """signed: the canonical bytes, or whatever shall be signed in their place."""
    signatures = sorted(({"keyid": key.id, "sig": key.sign(signed).hex()} for key in keys), key=lambda s: s["keyid"])
    return b'{"signatures":' + canon(signatures) + b',"signed":' + signed + b"}"


def root(roles, thresholds=None, signers=None, change=None):
    """roles: {name: [Key]}; role root signs, unless signers are given. change alters what is signed."""
    signed = {"_type": "root", "consistent_snapshot": True, "expires": "2090-01-01T00:00:00Z", "issued": "2026-01-01T00:00:00Z",
              "keys": {key.id: key.object for keys in roles.values() for key in keys},
              "roles": {name: {"keyids": sorted(key.id for key in keys), "threshold": (thresholds or {}).get(name, 1)}
                        for name, keys in roles.items()},
              "spec_version": "1.0", "version": 1}
    if change:
        change(signed)
    return envelope(canon(signed), signers if signers is not None else roles["root"])


# ── Bundles ─────────────────────────────────────────────────────────────────────────────────────────


def digest(data):
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def file(path, data, executable=False):
    return {"digest": digest(data), "exec": executable, "path": path, "size": len(data), "type": "file"}


def pages(rows, per_page):
    return [b"".join(rows[i:i + per_page]).ljust(PAGE, b"\0") for i in range(0, len(rows), per_page)]


def up_to(data, unit):
    return data + b"\0" * (-len(data) % unit)


def header(name, size):
    head = bytearray(512)
    head[0:len(name)] = name.encode()
    head[100:108] = b"0000444\0"
    head[108:116] = head[116:124] = head[329:337] = head[337:345] = b"0000000\0"
    head[124:136] = b"%011o\0" % size
    head[136:148] = b"00000000000\0"
    head[156:157] = b"0"
    head[257:265] = b"ustar\00000"
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


class Component:
    """A tree and what it names. Entries and contents are what the caller says, true or not."""

    def __init__(self, name, entries, contents, security_version=0):
        self.name, self.security_version = name, security_version
        self.tree = b"".join(canon(e) + b"\n" for e in entries)
        self.entries, self.contents = len(entries), contents
        self.executable = any(e.get("exec") for e in entries)

    def object(self):
        return {"entries": self.entries, "executable": self.executable, "name": self.name,
                "security_version": self.security_version, "stream_bytes": sum(map(len, self.contents)),
                "tree": {"digest": digest(self.tree), "size": len(self.tree)}, "type": "files"}


def component(name, files, **more):
    """An honest component from {path: bytes}, with the directories that it takes."""
    folders = {path[:i] for path in files for i, c in enumerate(path) if c == "/"}
    paths = sorted([*folders, *files], key=lambda p: p.replace("/", "\0").encode())
    return Component(name, [file(p, files[p]) if p in files else {"path": p, "type": "dir"} for p in paths],
                     [files[p] for p in paths if p in files], **more)


class Bundle:
    """One with signed parts that may be changed before they are signed, and bytes that may be changed after."""

    def __init__(self, release, components, name="forged", fresh=(), **signed):
        """Each chunk seen first is a frame of its own. fresh: numbers of the contents, behind the trees, that are so."""
        self.components = components
        trees = [c.tree for c in components]
        self.rows = []  # (digest, bytes, what)
        first, parts, trees_end = {}, ([], []), 0
        for number, content in enumerate(trees + [x for c in components for x in c.contents]):
            for at in range(0, len(content), CHUNK_MAX):
                piece = content[at:at + CHUNK_MAX]
                what = first[piece] + 2 if piece in first else int(number - len(trees) in fresh)
                if what < 2:
                    first[piece] = len(self.rows)
                    parts[what].append(piece)
                self.rows.append((bytes.fromhex(digest(piece))[:10], len(piece), what))
            if number == len(trees) - 1:
                trees_end = sum(map(len, parts[0]))
        self.chunk_rows = [d + struct.pack("<HI", n - 1, what) for d, n, what in self.rows]
        self.frames = parts[0] + parts[1]
        self.frame_rows = [bytes.fromhex(digest(piece)) + struct.pack("<II", len(piece), len(piece)) for piece in self.frames]
        self.data = b"".join(self.frames)
        self.header = {"frames": len(self.frame_rows), "chunks": len(self.chunk_rows), "raw": len(self.data),
                       "stream": sum(n for _, n, _ in self.rows), "data": len(self.data), "trees_end": trees_end,
                       "fresh_start": sum(map(len, parts[0]))}
        self.places = self.make_places()
        self.signed = {"_type": "bundle", "components": [c.object() for c in components], "expires": "2089-01-01T00:00:00Z",
                       "issued": "2026-01-01T00:00:00Z", "name": name, "probation": {"duration_s": 1, "restarts_max": 3},
                       "release": release, "spec_version": "1.0", "version": 1, **signed}
        self.frame_bytes = 65536

    def clone(self):
        return copy.deepcopy(self)

    def make_places(self):
        """Where the first row of each page lies, in the order of the pages."""
        places, at = [], 0
        for i, piece in enumerate(self.frames):
            if i % FRAME_ROWS == 0:
                places.append([at, at, 0])
            at += len(piece)
        at = [0, 0, self.header["fresh_start"]]
        for i, (_, size, what) in enumerate(self.rows):
            if i % CHUNK_ROWS == 0:
                places.append(list(at))
            at[0] += size
            if what < 2:
                at[1 + what] += size
        return places

    def make_index(self):
        body = pages(self.frame_rows, FRAME_ROWS) + pages(self.chunk_rows, CHUNK_ROWS)
        h = self.header
        head = b"EDGEIDX2" + struct.pack("<IIQQQQQQQ", 2, PAGE, h["frames"], h["chunks"], h["raw"], h["stream"], h["data"],
                                         h["trees_end"], h["fresh_start"])
        rows = [bytes.fromhex(digest(page)) + struct.pack("<QQQ", *place) for page, place in zip(body, self.places)]
        return head.ljust(PAGE, b"\0") + b"".join(pages(rows, DIRECTORY_ROWS)), b"".join(body)

    def signed_bytes(self):
        head, body = self.make_index()
        signed = dict(self.signed)
        signed.setdefault("packing", {"data_bytes": len(self.data), "frame_bytes": self.frame_bytes,
                                      "index": {"digest": digest(head), "head_bytes": len(head), "size": len(head + body)}})
        return canon(signed)

    def members(self, keys, alter=lambda signed: signed):
        """[(name, bytes)]; alter changes the signed bytes before they are signed."""
        head, body = self.make_index()
        manifest = envelope(alter(self.signed_bytes()), keys)
        manifest += b" " * (2048 + -(len(manifest) + 2048) % PAGE)
        return [("manifest.json", manifest), ("index", head + body), ("data", self.data)]

    def write(self, path, keys, **more):
        with open(path, "wb") as f:
            f.write(tar(self.members(keys, **more)))
        return path


def tar(members):
    return b"".join(header(name, len(data)) + up_to(data, 512) for name, data in members) + bytes(1024)


def split(data):
    """[(name, bytes)] of a bundle."""
    members, at = [], 0
    while data[at]:
        name, size = data[at:at + 100].rstrip(b"\0").decode(), int(data[at + 124:at + 135], 8)
        members.append((name, data[at + 512:at + 512 + size]))
        at += 512 + size + -size % 512
    return members
