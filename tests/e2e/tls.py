#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""edgectl and a controller with certificates of its own, made by openssl(1) here: who is believed, and who is not."""

import os
import subprocess

import fleet
from fleet import EDGECTL, check

CONTROLLER_TLS = 101


def openssl(f, *argv):
    subprocess.run(["openssl", *argv], cwd=f.path("pki"), check=True, capture_output=True, timeout=fleet.PATIENCE_S)


def authority(f, name):
    openssl(f, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem",
            "-subj", f"/CN={name}", "-days", "2", "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")


CA = """[ca]
default_ca = made
[made]
database = index
rand_serial = yes
new_certs_dir = .
default_md = sha256
policy = policy
[policy]
commonName = supplied
"""


def certificate(f, name, issuer, alternative, valid=("20200101000000Z", "20990101000000Z")):
    """By openssl ca: openssl x509 no longer makes what has expired."""
    openssl(f, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr",
            "-subj", f"/CN={name}")
    with open(f.path("pki", f"{name}.ext"), "w", encoding="ascii") as file:
        file.write(f"subjectAltName={alternative}\n")
    for path, text in (("ca.cnf", CA), ("index", "")):
        with open(f.path("pki", path), "w", encoding="ascii") as file:
            file.write(text)
    openssl(f, "ca", "-batch", "-config", "ca.cnf", "-notext", "-in", f"{name}.csr", "-cert", f"{issuer}.pem", "-keyfile", f"{issuer}.key",
            "-startdate", valid[0], "-enddate", valid[1], "-extfile", f"{name}.ext", "-out", f"{name}.pem")


def pem(f, name, kind="pem"):
    return f.path("pki", f"{name}.{kind}")


def serving(f, name):
    """The controller with this certificate; its URL."""
    if f.server:
        f.stop_server()
    f.start_server("--tls-cert", pem(f, name), "--tls-key", pem(f, name, "key"))
    return f.controller().replace("http:", "https:")


def refused(f, url, *more):
    done = f.run("device", "list", "--controller", url, *more, status=CONTROLLER_TLS)
    check(f.env["EDGECTL_TOKEN"] not in done.stderr, "the token is in an error")


def a_controller_is_believed_by_its_authority_alone(f):
    url = serving(f, "server")
    f.edgectl("device", "list", "--controller", url, "--ca-file", pem(f, "ours"))
    f.edgectl("device", "list", "--controller", url.replace("127.0.0.1", "localhost"), "--ca-file", pem(f, "ours"))
    refused(f, url)  # the machine's own authorities do not know it
    refused(f, url, "--ca-file", pem(f, "theirs"))
    done = f.run("device", "list", "--controller", url, "--ca-file", f.path("pki/none.pem"), status=None)
    check(done.returncode != 0 and "none.pem" in done.stderr, f"a file that is not there is named: {done.stderr}")


def a_certificate_for_another_name_or_time_is_refused(f):
    refused(f, serving(f, "elsewhere"), "--ca-file", pem(f, "ours"))
    refused(f, serving(f, "expired"), "--ca-file", pem(f, "ours"))


def cleartext_gets_no_answer_from_a_tls_port(f):
    url = serving(f, "server")
    done = f.run("device", "list", "--controller", url.replace("https:", "http:"), status=None)
    check(done.returncode != 0, "a TLS port answers in TLS alone")
    f.publish(f.bundle("app", "1.0", {"app": f.component("app", {"a": "b" * 300000})}), "--controller", url, "--ca-file", pem(f, "ours"))
    check(len(f.json("release", "list", "--controller", url, "--ca-file", pem(f, "ours"))["releases"]) == 1, "published over TLS")


def serve_says_what_is_wrong_with_the_files(f):
    if f.server:
        f.stop_server()
    server = os.path.join(f.ws, "server")
    for cert, key in ((pem(f, "server"), pem(f, "theirs", "key")), (pem(f, "server", "key"), pem(f, "server", "key")),
                      (f.path("pki/none.pem"), pem(f, "server", "key"))):
        done = subprocess.run([EDGECTL, "serve", "--workspace", server, "--listen", "127.0.0.1:0", "--allow-offline-keys", "--tls-cert", cert,
                               "--tls-key", key], capture_output=True, text=True, timeout=fleet.PATIENCE_S, env=f.env, check=False)
        check(done.returncode not in (0, 1) and "\nedgectl: " in "\n" + done.stderr and "listening" not in done.stdout,
              f"{os.path.basename(cert)}, {os.path.basename(key)}: {done.returncode}: {done.stdout}{done.stderr}")


def test(f):
    os.mkdir(f.path("pki"))
    authority(f, "ours")
    authority(f, "theirs")
    certificate(f, "server", "ours", "IP:127.0.0.1,DNS:localhost")
    certificate(f, "elsewhere", "ours", "DNS:controller.example")
    certificate(f, "expired", "ours", "IP:127.0.0.1", valid=("20200101000000Z", "20200102000000Z"))
    fleet.each(f, a_controller_is_believed_by_its_authority_alone, a_certificate_for_another_name_or_time_is_refused,
               cleartext_gets_no_answer_from_a_tls_port, serve_says_what_is_wrong_with_the_files)


if __name__ == "__main__":
    fleet.main(test)
