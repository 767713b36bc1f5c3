#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the case directories beside this file, the same bytes each time.

It shares no code with the project: Ed25519 is that of RFC 8032 (chapter 5.1, in plain integers), canonical JSON
is written by hand, so that the cases check both programs' common assumptions too.

    envelope/{valid,invalid}/<case>/{envelope,expect}    root/{valid,invalid}/<case>/{envelope,expect}

`expect` is "ok" or the name of an error kind. The role of the envelopes is 2 of the keys 1, 2, 3 (key n has
the seed of 32 bytes n); roots are signed by the keys 1 to 4, unless the case is about that.
"""

import copy
import hashlib
import pathlib
import shutil

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(s, p):
    q = (0, 1, 1, 0)
    while s:
        if s & 1:
            q = add(q, p)
        p = add(p, p)
        s >>= 1
    return q


def base_point():
    y = 4 * pow(5, P - 2, P) % P
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x & 1:
        x = P - x
    return (x, y, 1, x * y % P)


BASE = base_point()


def compress(p):
    inverse = pow(p[2], P - 2, P)
    x, y = p[0] * inverse % P, p[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def scalar(seed):
    digest = hashlib.sha512(seed).digest()
    a = int.from_bytes(digest[:32], "little")
    return a & (1 << 254) - 8 | 1 << 254, digest[32:]


def sign_with(seed, message):
    a, prefix = scalar(seed)
    r = int.from_bytes(hashlib.sha512(prefix + message).digest(), "little") % ORDER
    point = compress(times(r, BASE))
    public = compress(times(a, BASE))
    h = int.from_bytes(hashlib.sha512(point + public + message).digest(), "little") % ORDER
    return point + ((r + h * a) % ORDER).to_bytes(32, "little")


def canon(value):
    if isinstance(value, dict):
        items = sorted(value.items(), key=lambda kv: kv[0].encode())
        return "{" + ",".join(canon(k) + ":" + canon(v) for k, v in items) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canon, value)) + "]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return {True: "true", False: "false", None: "null"}[value] if value is None or isinstance(
        value, bool) else str(value)


class Key:
    def __init__(self, n):
        self.seed = bytes([n]) * 32
        self.public = compress(times(scalar(self.seed)[0], BASE))
        self.object = {"keytype": "ed25519", "keyval": {"public": self.public.hex()}, "scheme": "ed25519"}
        self.id = hashlib.sha256(canon(self.object).encode()).hexdigest()

    def sign(self, signed):
        return self.id, sign_with(self.seed, signed.encode()).hex()


KEYS = {n: Key(n) for n in range(1, 6)}
HERE = pathlib.Path(__file__).resolve().parent


def join(signed, signatures):
    listed = ",".join('{"keyid":"%s","sig":"%s"}' % one for one in signatures)
    return '{"signatures":[%s],"signed":%s}' % (listed, signed)


def envelope(signed, *keys):
    return join(signed, sorted(KEYS[n].sign(signed) for n in keys))


def write(family, name, data, expect="ok"):
    folder = HERE / family / ("valid" if expect == "ok" else "invalid") / name
    folder.mkdir(parents=True)
    (folder / "envelope").write_bytes(data if isinstance(data, bytes) else data.encode())
    (folder / "expect").write_text(expect + "\n")


def valid_envelopes():
    signed = canon({"_type": "thing", "text": "words"})
    write("envelope", "two-of-three", envelope(signed, 1, 2))
    write("envelope", "three-of-three", envelope(signed, 1, 2, 3))
    write("envelope", "another-signer-beside", envelope(signed, 2, 3, 5))
    write("envelope", "spaces-behind", envelope(signed, 1, 3) + " " * 500)
    write("envelope", "empty-object", envelope("{}", 1, 2))
    write("envelope", "braces-in-strings", envelope(canon({"a": "}}", "b": "{\"signed\":{}}"}), 1, 2))
    write("envelope", "line-feed-in-string", envelope(canon({"pem": "-----BEGIN-----\n--\n"}), 1, 2))
    write("envelope", "not-ascii", envelope(canon({"ä": "😀", "z": "ß"}), 1, 2))


SIGNED = canon({"_type": "thing", "text": "words"})
GOOD = envelope(SIGNED, 1, 2)
ONE, TWO, THREE = (KEYS[n].sign(SIGNED) for n in (1, 2, 3))


def bad(name, expect, data):
    write("envelope", name, data, expect)


def invalid_signers():
    bad("empty", "syntax", "")
    bad("spaces-alone", "syntax", " " * 64)
    bad("no-signatures", "below_threshold", envelope(SIGNED))
    bad("one-of-two", "below_threshold", envelope(SIGNED, 1))
    bad("one-and-a-stranger", "below_threshold", envelope(SIGNED, 1, 4, 5))
    bad("strangers-alone", "below_threshold", envelope(SIGNED, 4, 5))
    bad("one-key-twice", "not_canonical", join(SIGNED, [ONE, ONE]))
    bad("one-key-twice-apart", "not_canonical", join(SIGNED, sorted([ONE, TWO]) + [ONE]))
    bad("not-sorted", "not_canonical", join(SIGNED, sorted([ONE, TWO, THREE], reverse=True)))
    bad("a-surplus-signature-does-not-match", "bad_signature",
        join(SIGNED, sorted([ONE, TWO, (THREE[0], ONE[1])])))
    bad("signatures-exchanged", "bad_signature", join(SIGNED, sorted([(ONE[0], TWO[1]), (TWO[0], ONE[1])])))
    bad("over-other-bytes", "bad_signature", GOOD.replace("words", "swords"))
    bad("signature-of-zeros", "bad_signature", GOOD.replace(ONE[1], "0" * 128))
    s = int.from_bytes(bytes.fromhex(ONE[1])[32:], "little") + ORDER
    bad("same-signature-another-encoding", "bad_signature",
        GOOD.replace(ONE[1], ONE[1][:64] + s.to_bytes(32, "little").hex()))


def invalid_digits():
    bad("signature-empty", "syntax", GOOD.replace(ONE[1], ""))
    bad("signature-a-byte-short", "syntax", GOOD.replace(ONE[1], ONE[1][:-2]))
    bad("signature-a-byte-long", "syntax", GOOD.replace(ONE[1], ONE[1] + "00"))
    bad("signature-a-digit-short", "syntax", GOOD.replace(ONE[1], ONE[1][:-1]))
    bad("signature-upper-case", "syntax", GOOD.replace(ONE[1], ONE[1].upper()))
    bad("keyid-empty", "syntax", GOOD.replace(ONE[0], ""))
    bad("keyid-short", "syntax", GOOD.replace(ONE[0], ONE[0][:-1]))
    bad("keyid-long", "syntax", GOOD.replace(ONE[0], ONE[0] + "0"))
    bad("keyid-upper-case", "syntax", GOOD.replace(ONE[0], ONE[0].upper()))
    bad("keyid-null", "not_canonical", GOOD.replace('"%s"' % ONE[0], "null", 1))
    bad("sig-null", "not_canonical", GOOD.replace('"%s"' % ONE[1], "null", 1))


def invalid_shapes():
    listed = GOOD[GOOD.index("["):GOOD.index("]") + 1]
    bad("signed-first", "not_canonical", '{"signed":%s,"signatures":%s}' % (SIGNED, listed))
    bad("sig-before-keyid", "not_canonical",
        GOOD.replace('"keyid":"%s","sig":"%s"' % ONE, '"sig":"%s","keyid":"%s"' % (ONE[1], ONE[0])))
    bad("a-member-more-in-front", "not_canonical", GOOD.replace("{", '{"a":1,', 1))
    bad("a-member-more-between", "not_canonical", GOOD.replace(',"signed"', ',"sign":1,"signed"'))
    bad("a-member-more-in-a-signature", "not_canonical", GOOD.replace('"}', '","x":1}', 1))
    bad("blank-in-front", "not_canonical", " " + GOOD)
    bad("blank-between", "not_canonical", GOOD.replace(",", ", ", 1))
    bad("byte-order-mark", "not_canonical", b"\xef\xbb\xbf" + GOOD.encode())
    bad("escaped-member-name", "not_canonical", GOOD.replace("signed", "sign\\u0065d"))
    bad("line-feed-behind", "syntax", GOOD + "\n")
    bad("nul-behind", "syntax", GOOD + "\0")
    bad("something-behind", "syntax", GOOD + "x")
    bad("something-behind-spaces", "syntax", GOOD + "   x")
    bad("another-value-behind", "syntax", GOOD + "{}")
    bad("another-member-behind", "bad_signature", GOOD[:-1] + ',"x":{}}')
    bad("another-brace-behind", "bad_signature", GOOD + "}")
    bad("a-brace-less", "syntax", GOOD[:-1])
    bad("blank-before-last-brace", "syntax", GOOD[:-1] + " }")
    bad("comma-after-last-signature", "not_canonical", GOOD.replace("}]", "},]"))


def invalid_values():
    bad("signatures-null", "not_canonical", '{"signatures":null,"signed":%s}' % SIGNED)
    bad("signatures-object", "not_canonical", '{"signatures":{},"signed":%s}' % SIGNED)
    for name, value in [("null", "null"), ("array", "[]"), ("string", '"{}"'), ("number", "1")]:
        bad("signed-" + name, "syntax", GOOD.replace(SIGNED, value))
    bad("signed-ends-like-an-object", "syntax", GOOD.replace(SIGNED, '["}'))
    bad("signed-nothing", "syntax", GOOD.replace(SIGNED, ""))
    bad("not-json", "not_canonical", "hello")
    many = sorted([ONE, TWO] + [("%064x" % n, "0" * 128) for n in range(31)])
    bad("signatures-33", "limit", join(SIGNED, many))
    write("envelope", "signatures-32", join(SIGNED, many[1:]))


def root_part():
    def role(threshold, *keys):
        return {"keyids": [KEYS[n].id for n in keys], "threshold": threshold}

    return {
        "_type": "root", "consistent_snapshot": True, "expires": "2036-01-01T00:00:00Z",
        "issued": "2026-01-01T00:00:00Z", "keys": {KEYS[n].id: copy.deepcopy(KEYS[n].object) for n in (1, 2, 3, 4)},
        "roles": {"root": role(2, 1, 2, 3), "bundle": role(1, 1, 4), "director": role(1, 4)},
        "spec_version": "1.0", "version": 1,
    }


GONE = object()


def put(part, path, value):
    for name in path[:-1]:
        part = part[name]
    if value is GONE:
        del part[path[-1]]
    else:
        part[path[-1]] = value


def repository_part():
    """A root as it is made today: TUF's four roles, and ours beside them."""
    def role(threshold, *numbers, **limits):
        return dict({"keyids": [KEYS[n].id for n in numbers], "threshold": threshold}, **limits)
    part = root_part()
    part["edge_roles"] = {
        "bundle": part["roles"].pop("bundle"), "director": part["roles"].pop("director"),
        "bundle/apps": role(1, 5, executable=True),
        "bundle/models": role(2, 2, 5, components=["detector", "labels"], executable=False)}
    part["roles"].update(targets=role(1, 2), snapshot=role(1, 3), timestamp=role(1, 4))
    part["keys"][KEYS[5].id] = KEYS[5].object
    return part


def repository_case(name, expect, *changes):
    root_case(name, expect, *changes, part=repository_part())


def root_case(name, expect, *changes, text=None, part=None):
    part = part or root_part()
    for path, value in changes:
        put(part, path, value)
    signed = canon(part) if text is None else text(canon(part))
    write("root", name, envelope(signed, 1, 2, 3, 4), expect)


def valid_roots():
    root_case("plain", "ok")
    root_case("members-and-roles-not-known-here", "ok", (["x"], [1, {"y": None}]),
              (["roles", "mirrors"], {"keyids": ["none"], "threshold": "many"}))
    rsa = {"keytype": "rsa", "keyval": {"public": "-----BEGIN\n"}, "scheme": "rsassa-pss-sha256", "x": 1}
    root_case("a-key-of-another-type-unused", "ok", (["keys", "0" * 64], rsa))
    root_case("no-consistent-snapshot", "ok", (["consistent_snapshot"], GONE))
    root_case("spec-version-with-patch", "ok", (["spec_version"], "1.0.31"))
    root_case("version-largest", "ok", (["version"], 2**53 - 1))
    root_case("threshold-all", "ok", (["roles", "root", "threshold"], 3))
    write("root", "spaces-behind", envelope(canon(root_part()), 1, 2) + " " * 1000)


def valid_repositories():
    models = ["edge_roles", "bundle/models"]
    repository_case("repository", "ok")
    repository_case("repository-targets-absent", "ok", (["roles", "targets"], GONE))
    repository_case("repository-ours-among-theirs-too", "ok", (["roles", "bundle"], {"keyids": [], "threshold": 0}))
    repository_case("repository-limit-not-known-here", "ok", (models + ["paths"], ["/"]))
    repository_case("repository-role-not-known-here", "ok", (["edge_roles", "elsewhere"], 0))
    repository_case("repository-mandate", "ok", (["edge_roles", "mandate"], {"keyids": [KEYS[5].id], "threshold": 1}))
    repository_case("repository-mandate-among-theirs", "ok", (["roles", "mandate"], 0))
    repository_case("repository-no-component", "ok", (models + ["components"], []))
    repository_case("repository-no-limits", "ok", (models + ["components"], GONE), (models + ["executable"], GONE))


def invalid_repositories():
    models = ["edge_roles", "bundle/models"]
    for name, value in (("null", None), ("string", "x"), ("list", []), ("number", 1)):
        repository_case("repository-edge-roles-" + name, "syntax", (["edge_roles"], value))
        repository_case("repository-delegated-" + name, "syntax", (models, value))
        repository_case("repository-targets-" + name, "syntax", (["roles", "targets"], value))
        if name != "list":
            repository_case("repository-components-" + name, "syntax", (models + ["components"], value))
        repository_case("repository-executable-" + name, "syntax", (models + ["executable"], value))
        repository_case("repository-component-" + name, "syntax", (models + ["components"], ["a", value])
                        if name != "string" else (models + ["components"], ["a", "../b"]))
    for role in ("targets", "snapshot", "timestamp"):
        repository_case("repository-threshold-0-" + role, "syntax", (["roles", role, "threshold"], 0))
        repository_case("repository-threshold-above-keys-" + role, "syntax", (["roles", role, "threshold"], 2))
        repository_case("repository-key-twice-" + role, "bad_key", (["roles", role, "keyids"], [KEYS[1].id] * 2))
    for role in ("bundle", "director"):
        repository_case("repository-role-absent-" + role, "syntax", (["edge_roles", role], GONE))
        repository_case("repository-threshold-0-" + role, "syntax", (["edge_roles", role, "threshold"], 0))
    mandate = {"keyids": [KEYS[5].id], "threshold": 1}
    for name, value in (("null", None), ("number", 0), ("no-keys", dict(mandate, keyids=[])),
                        ("threshold-0", dict(mandate, threshold=0)), ("threshold-2", dict(mandate, threshold=2))):
        repository_case("repository-mandate-" + name, "syntax", (["edge_roles", "mandate"], value))
    repository_case("repository-mandate-key-unknown", "bad_key", (["edge_roles", "mandate"], dict(mandate, keyids=["0" * 64])))
    delegated = repository_part()["edge_roles"]["bundle/apps"]
    for name, text in (("empty", ""), ("nested", "a/b"), ("dots", ".."), ("65", "x" * 65)):
        repository_case("repository-delegated-name-" + name, "syntax", (["edge_roles", "bundle/" + text], delegated))
    repository_case("repository-delegated-key-unknown", "bad_key", (models + ["keyids"], [KEYS[1].id, "0" * 64]))
    repository_case("repository-delegated-threshold-3", "syntax", (models + ["threshold"], 3))
    repository_case("repository-components-33", "limit syntax", (models + ["components"], ["c%d" % n for n in range(33)]))
    repository_case("repository-delegations-33", "limit",
                    *[(["edge_roles", "bundle/r%d" % n], delegated) for n in range(31)])


def invalid_roots():
    for role in ("root", "bundle", "director"):
        at = ["roles", role, "threshold"]
        for name, value in [("0", 0), ("minus-1", -1), ("33", 33), ("2-to-31", 2**31), ("2-to-63-less-1", 2**63 - 1),
                            ("2-to-63", 2**63), ("string", "1"), ("null", None), ("true", True), ("absent", GONE),
                            ("above-keys", 4)]:
            root_case("threshold-%s-%s" % (name, role), "syntax limit", (at, value))
        root_case("threshold-real-" + role, "syntax not_canonical", (at, "REAL"),
                  text=lambda text: text.replace('"REAL"', "1.0"))
        root_case("role-absent-" + role, "syntax", (["roles", role], GONE))
        root_case("keyids-empty-" + role, "syntax", (["roles", role, "keyids"], []))
        root_case("key-twice-" + role, "bad_key", (["roles", role, "keyids"], [KEYS[1].id, KEYS[2].id, KEYS[1].id]))
        root_case("key-unknown-" + role, "bad_key", (["roles", role, "keyids"], [KEYS[1].id, KEYS[2].id, KEYS[5].id]))
        root_case("keyids-33-" + role, "syntax limit", (["roles", role, "keyids"], ["%064x" % n for n in range(33)]))
    one = KEYS[1]
    root_case("one-key-under-two-ids", "bad_key", (["keys", "0" * 64], one.object))
    root_case("one-key-under-two-ids-by-a-member", "bad_key", (["keys", "0" * 64], dict(one.object, x=1)))
    extra = dict(one.object, x=1)
    root_case("one-key-under-two-true-ids", "bad_key",
              (["keys", hashlib.sha256(canon(extra).encode()).hexdigest()], extra))
    root_case("key-upper-case", "bad_key", (["keys", one.id, "keyval", "public"], one.public.hex().upper()))
    root_case("key-short", "bad_key", (["keys", one.id, "keyval", "public"], one.public.hex()[:-2]))
    root_case("key-not-a-point", "bad_key", (["keys", one.id, "keyval", "public"], "02" + "0" * 62))
    root_case("key-of-small-order", "bad_key", (["keys", one.id, "keyval", "public"], "01" + "0" * 62))
    root_case("key-of-another-type-used", "bad_key", (["keys", one.id, "keytype"], "rsa"))
    root_case("key-of-another-scheme", "bad_key", (["keys", one.id, "scheme"], "ed25519ph"))
    root_case("keyid-not-hex", "bad_key", (["keys", "x"], one.object))
    root_case("wrong-type", "wrong_type", (["_type"], "bundle"))
    root_case("type-absent", "syntax", (["_type"], GONE))
    root_case("version-0", "syntax limit", (["version"], 0))
    root_case("version-too-large", "syntax limit", (["version"], 2**53))
    root_case("spec-version-2", "newer_format", (["spec_version"], "2.0"))
    root_case("spec-version-0", "syntax", (["spec_version"], "0.9"))
    root_case("spec-version-1", "syntax", (["spec_version"], "1"))
    root_case("spec-version-words", "syntax", (["spec_version"], "1.x"))
    root_case("expires-before-issued", "syntax", (["expires"], "2025-01-01T00:00:00Z"))
    root_case("expires-with-issued", "syntax", (["expires"], "2026-01-01T00:00:00Z"))
    root_case("expires-not-a-date", "syntax", (["expires"], "2027-02-30T00:00:00Z"))
    root_case("expires-with-offset", "limit", (["expires"], "2027-02-20T00:00:00+00:00"))
    root_case("issued-absent", "syntax", (["issued"], GONE))
    root_case("not-sorted", "not_canonical", text=lambda t: t[:-1] + ',"_a":1}')
    root_case("blank", "not_canonical", text=lambda t: t.replace(":", ": ", 1))
    root_case("escape", "not_canonical", text=lambda t: t.replace("root", "\\u0072oot", 1))
    root_case("duplicate-member", "syntax", text=lambda t: t[:-1] + ',"version":1}')
    root_case("nested-deep", "limit", (["x"], 0), text=lambda t: t.replace('"x":0', '"x":' + "[" * 5000 + "]" * 5000))
    root_case("not-utf8-escape", "syntax", text=lambda t: t[:-1] + ',"x":"\\ud800"}')
    signed = canon(root_part())
    write("root", "below-its-own-threshold", envelope(signed, 3, 4), "below_threshold")
    write("root", "signed-by-others", envelope(signed, 4, 5), "below_threshold")
    write("root", "above-64-kib", envelope(signed, 1, 2) + " " * 65536, "limit")


def main():
    for family in ("envelope", "root"):
        shutil.rmtree(HERE / family, ignore_errors=True)
    valid_envelopes()
    invalid_signers()
    invalid_digits()
    invalid_shapes()
    invalid_values()
    valid_roots()
    valid_repositories()
    invalid_roots()
    invalid_repositories()


if __name__ == "__main__":
    main()
