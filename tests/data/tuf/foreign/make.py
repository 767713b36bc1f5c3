#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the cases beside it: signatures by others' keys, and PEM texts that are or are not one key.

    verify/{valid,invalid}/CASE/   public: a PEM text; signature: hex, over the file message; scheme
    same/{same,different}/CASE/    a, b: PEM texts

Needs the openssl command (3.x). What openssl makes is what others make. What no honest tool makes (a point at infinity, an
exponent of 1, a modulus of 8,200 bits) is made here, such that the signature holds by the bare mathematics: a
verifier that leaves out the check takes it. Keys are new at every run.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
MESSAGE = b'{"_type":"targets","spec_version":"1.0.31"}\n'
P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
     0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)


def openssl(*command, data=None):
    return subprocess.run(["openssl", *map(str, command)], input=data, check=True, capture_output=True).stdout


# DER, as little of it as is needed.

def der(tag, *parts):
    body = b"".join(parts)
    size = len(body)
    if size < 128:
        return bytes([tag, size]) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def integer(n):
    return der(2, n.to_bytes(n.bit_length() // 8 + 1, "big"))


def spki(algorithm, bits):
    return der(0x30, der(0x30, algorithm), der(3, b"\0", bits))


RSA = bytes.fromhex("06092a864886f70d0101010500")
EC_P256 = bytes.fromhex("06072a8648ce3d020106082a8648ce3d030107")


def rsa_spki(n, e):
    return spki(RSA, der(0x30, integer(n), integer(e)))


def pem(data, label="PUBLIC KEY", width=64, end="\n"):
    text = base64.b64encode(data).decode()
    lines = [text[i:i + width] for i in range(0, len(text), width)]
    return end.join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def of_pem(text):
    return base64.b64decode("".join(line for line in text.splitlines() if not line.startswith("-")))


# RSASSA-PSS (RFC 8017 §9.1) with SHA-256 and the salt length of the digest.

def mgf1(seed, size):
    blocks = (hashlib.sha256(seed + i.to_bytes(4, "big")).digest() for i in range(size // 32 + 1))
    return b"".join(blocks)[:size]


def pss_encode(bits, salt):
    size = (bits + 7) // 8
    digest = hashlib.sha256(bytes(8) + hashlib.sha256(MESSAGE).digest() + salt).digest()
    block = bytes(size - len(salt) - 34) + b"\1" + salt
    masked = int.from_bytes(block, "big") ^ int.from_bytes(mgf1(digest, len(block)), "big")
    masked &= 2**(8 * len(block) - (8 * size - bits)) - 1
    return int.from_bytes(masked.to_bytes(len(block), "big") + digest + b"\xbc", "big")


def prime(bits):
    """A prime that is 3 modulo 4, so that square roots are a power."""
    while True:
        p = int(openssl("prime", "-generate", "-bits", bits))
        if p % 4 == 3:
            return p


def rsa(bits, e):
    """A key pair of exactly so many bits: n, and the function that undoes the power of e, or None."""
    while True:
        p, q = prime(bits // 2), prime(bits - bits // 2)
        n, order = p * q, (p - 1) * (q - 1)
        if n.bit_length() != bits or p == q:
            continue
        if e == 2:
            return n, lambda m: root(m, p, q)
        try:
            d = pow(e, -1, order)
        except ValueError:
            continue
        return n, lambda m: pow(m, d, n)


def root(m, p, q):
    a, b = pow(m, (p + 1) // 4, p), pow(m, (q + 1) // 4, q)
    if a * a % p != m % p or b * b % q != m % q:
        return None
    return (a + p * ((b - a) * pow(p, -1, q) % q)) % (p * q)


def pss_sign(n, undo):
    while True:
        made = undo(pss_encode(n.bit_length() - 1, os.urandom(32)))
        if made is not None:
            return made.to_bytes((n.bit_length() + 7) // 8, "big")


# P-256, enough to multiply the generator.

def add(a, b):
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if (a[1] + b[1]) % P == 0:
            return None
        slope = (3 * a[0] * a[0] - 3) * pow(2 * a[1], -1, P) % P
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P) % P
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def times(k, point):
    total = None
    while k:
        if k & 1:
            total = add(total, point)
        point, k = add(point, point), k >> 1
    return total


def infinity():
    """Under the point at infinity, (x(zG), 1) is a signature of everything."""
    z = int.from_bytes(hashlib.sha256(MESSAGE).digest(), "big")
    return spki(EC_P256, b"\0"), der(0x30, integer(times(z % N, G)[0] % N), integer(1))


class Keys:
    """Key files of the openssl command, made once each."""

    def __init__(self, folder):
        self.folder = folder

    def path(self, *options):
        path = Path(self.folder, "-".join(options).replace(":", "-").replace("/", "-"))
        if not path.exists():
            openssl("genpkey", "-algorithm", options[0], *(w for o in options[1:] for w in ("-pkeyopt", o)),
                    "-out", path)
        return path

    def public(self, *options, more=()):
        return openssl("pkey", "-in", self.path(*options), "-pubout", *more).decode()

    def sign(self, *options, digest="sha256", how=()):
        opts = [w for o in how for w in ("-sigopt", o)]
        return openssl("dgst", f"-{digest}", "-sign", self.path(*options), *opts, data=MESSAGE)


def write(folder, **files):
    path = HERE / folder
    path.mkdir(parents=True)
    for name, text in files.items():
        (path / name).write_bytes(text.encode() if isinstance(text, str) else text)


def verify(case, scheme, public, signature):
    write(f"verify/{case}", public=public, signature=signature.hex() + "\n", scheme=scheme + "\n")


def verify_cases(keys):
    ec = ("EC", "ec_paramgen_curve:P-256")
    p384, secp256k1 = ("EC", "ec_paramgen_curve:P-384"), ("EC", "ec_paramgen_curve:secp256k1")
    r2048 = ("RSA", "rsa_keygen_bits:2048")
    pss = ("rsa_padding_mode:pss",)
    good, good_sig = keys.public(*ec), keys.sign(*ec)
    rsa_good, rsa_sig = keys.public(*r2048), keys.sign(*r2048, how=(*pss, "rsa_pss_saltlen:32"))

    verify("valid/ecdsa", "ecdsa_p256", good, good_sig)
    verify("valid/ecdsa-compressed-point", "ecdsa_p256", keys.public(*ec, more=("-ec_conv_form", "compressed")), good_sig)
    verify("valid/ecdsa-lines-of-76", "ecdsa_p256", pem(of_pem(good), width=76), good_sig)
    verify("valid/pem-carriage-returns", "ecdsa_p256", good.replace("\n", "\r\n"), good_sig)
    verify("valid/pem-no-last-line-feed", "ecdsa_p256", good.rstrip("\n"), good_sig)
    verify("valid/pem-blank-lines-behind", "ecdsa_p256", good + "\n \t\r\n", good_sig)
    for bits, salt in ((2048, "32"), (2048, "0"), (2048, "20"), (2048, "max"), (3072, "32"), (4096, "32"), (8192, "32")):
        key = ("RSA", f"rsa_keygen_bits:{bits}")
        verify(f"valid/rsa-{bits}-salt-{salt}", "rsa_pss", keys.public(*key),
               keys.sign(*key, how=(*pss, f"rsa_pss_saltlen:{salt}")))
    e3 = ("RSA", "rsa_keygen_bits:2048", "rsa_keygen_pubexp:3")
    verify("valid/rsa-exponent-3", "rsa_pss", keys.public(*e3), keys.sign(*e3, how=pss))

    verify("invalid/ecdsa-p-384", "ecdsa_p256", keys.public(*p384), keys.sign(*p384))
    verify("invalid/ecdsa-secp256k1", "ecdsa_p256", keys.public(*secp256k1), keys.sign(*secp256k1))
    verify("invalid/ecdsa-explicit-parameters", "ecdsa_p256", keys.public(*ec, more=("-ec_param_enc", "explicit")), good_sig)
    verify("invalid/ecdsa-sha-512", "ecdsa_p256", good, keys.sign(*ec, digest="sha512"))
    public, forged = infinity()
    verify("invalid/ecdsa-point-at-infinity", "ecdsa_p256", pem(public), forged)
    verify("invalid/ecdsa-off-the-curve", "ecdsa_p256", pem(of_pem(good)[:-1] + bytes([of_pem(good)[-1] ^ 1])), good_sig)
    verify("invalid/ecdsa-no-signature", "ecdsa_p256", good, b"")
    verify("invalid/ecdsa-behind-the-signature", "ecdsa_p256", good, good_sig + b"\0")
    length = bytes([0x30, 0x81]) + good_sig[1:]
    verify("invalid/ecdsa-signature-not-der", "ecdsa_p256", good, length)
    verify("invalid/ecdsa-zeros", "ecdsa_p256", good, der(0x30, integer(0), integer(0)))
    verify("invalid/ecdsa-with-an-rsa-key", "ecdsa_p256", rsa_good, rsa_sig)
    verify("invalid/rsa-with-an-ecdsa-key", "rsa_pss", good, good_sig)
    verify("invalid/ecdsa-with-an-ed25519-key", "ecdsa_p256", keys.public("ED25519"), good_sig)

    verify("invalid/rsa-pkcs-1-v1-5", "rsa_pss", rsa_good, keys.sign(*r2048))
    verify("invalid/rsa-sha-512", "rsa_pss", rsa_good, keys.sign(*r2048, digest="sha512", how=pss))
    verify("invalid/rsa-mgf1-sha-1", "rsa_pss", rsa_good, keys.sign(*r2048, how=(*pss, "rsa_mgf1_md:sha1")))
    verify("invalid/rsa-no-signature", "rsa_pss", rsa_good, b"")
    verify("invalid/rsa-zeros", "rsa_pss", rsa_good, bytes(256))
    r1024 = ("RSA", "rsa_keygen_bits:1024")
    verify("invalid/rsa-1024", "rsa_pss", keys.public(*r1024), keys.sign(*r1024, how=pss))
    restricted = ("RSA-PSS", "rsa_keygen_bits:2048")
    verify("invalid/rsa-of-type-rsassa-pss", "rsa_pss", keys.public(*restricted), keys.sign(*restricted, how=pss))
    for name, bits, e in (("2047", 2047, 65537), ("8200", 8200, 65537), ("exponent-1", 2048, 1),
                          ("exponent-2", 2048, 2), ("exponent-of-33-bits", 2048, 2**32 + 1)):
        n, undo = rsa(bits, e)
        verify(f"invalid/rsa-{name}", "rsa_pss", pem(rsa_spki(n, e)), pss_sign(n, undo))
    n, undo = rsa(2048, 2**32 - 1)
    verify("valid/rsa-exponent-of-32-bits", "rsa_pss", pem(rsa_spki(n, 2**32 - 1)), pss_sign(n, undo))


def pem_cases(keys):
    ec, r2048 = ("EC", "ec_paramgen_curve:P-256"), ("RSA", "rsa_keygen_bits:2048")
    good, good_sig, rsa_good = keys.public(*ec), keys.sign(*ec), keys.public(*r2048)
    rsa_bare = openssl("rsa", "-in", keys.path(*r2048), "-RSAPublicKey_out").decode()
    private = keys.path(*ec).read_text()
    locked = openssl("ec", "-in", keys.path(*ec), "-aes128", "-passout", "pass:x").decode()
    head = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n"
    certificate = openssl("req", "-x509", "-key", keys.path(*ec), "-subj", "/CN=x").decode()
    texts = {
        "empty": "", "no-pem": "no PEM", "private-key": private, "private-key-locked": locked,
        "locked": good.replace("KEY-----\n", "KEY-----\n" + head, 1), "certificate": certificate,
        "bare-rsa": rsa_bare,
        "text-before": "x\n" + good, "line-feed-before": "\n" + good, "text-behind": good + "x",
        "two-keys": good + rsa_good, "two-keys-other-first": rsa_good + good,
        "other-label": pem(of_pem(good), "EC PUBLIC KEY"), "label-goes-on": pem(of_pem(good), "PUBLIC KEY-----X"),
        "no-end": good[:good.index("-----END")], "cut": good[:40], "no-base64": good.replace("\nM", "\n!", 1),
        "bytes-behind": pem(of_pem(good) + b"\0"), "byte-missing": pem(of_pem(good)[:-1]), "nothing-inside": pem(b""),
        "too-long": good + "\n" * 4096,
    }
    for name, text in texts.items():
        verify(f"invalid/pem-{name}", "ecdsa_p256", text, good_sig)
    verify("invalid/pem-bare-rsa-as-rsa", "rsa_pss", rsa_bare, keys.sign(*r2048, how=("rsa_padding_mode:pss",)))


def same_cases(keys):
    ec, r2048 = ("EC", "ec_paramgen_curve:P-256"), ("RSA", "rsa_keygen_bits:2048")
    good, rsa_good = keys.public(*ec), keys.public(*r2048)
    other = openssl("pkey", "-pubout", data=openssl("genpkey", "-algorithm", ec[0], "-pkeyopt", ec[1])).decode()
    write("same/same/ecdsa", a=good, b=good)
    write("same/same/ecdsa-compressed-point", a=good, b=keys.public(*ec, more=("-ec_conv_form", "compressed")))
    write("same/same/ecdsa-hybrid-point", a=good, b=keys.public(*ec, more=("-ec_conv_form", "hybrid")))
    write("same/same/ecdsa-other-lines", a=good, b=pem(of_pem(good), width=20, end="\r\n") + "\n\n")
    write("same/same/rsa-other-lines", a=rsa_good, b=pem(of_pem(rsa_good), width=76).rstrip("\n"))
    write("same/different/ecdsa", a=good, b=other)
    write("same/different/rsa", a=rsa_good, b=keys.public("RSA", "rsa_keygen_bits:3072"))
    write("same/different/of-two-types", a=good, b=rsa_good)
    write("same/different/no-pem", a=good, b="x")
    write("same/different/no-pem-twice", a="x", b="x")


def main():
    for folder in ("verify", "same"):
        shutil.rmtree(HERE / folder, ignore_errors=True)
    (HERE / "message").write_bytes(MESSAGE)
    with tempfile.TemporaryDirectory() as folder:
        keys = Keys(folder)
        verify_cases(keys)
        pem_cases(keys)
        same_cases(keys)


if __name__ == "__main__":
    main()
