#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# ctest: release
"""What is not needed on a device is not linked into it, read from the programs of the build EDGE_BUILD.

The resident agent needs the C library, jansson and libsodium, nothing else; neither it nor its worker
holds code that packs or signs, and the agent none that parses the repository's metadata: the worker
judges it. Of a release build also: hardening, size, no path of the building machine.
"""

import os
import re
import subprocess
import tempfile
from pathlib import Path

from house import Case, Finding, Tree, main

RUNTIME = {"libc", "ld-linux-x86-64", "ld-linux-aarch64", "libm", "libgcc_s", "libpthread", "libdl", "libatomic",
           "libasan", "libubsan", "libtsan", "libgcov"}
WORKER = {"libjansson", "libsodium", "libcurl", "libssl", "libcrypto", "libzstd", "liblzma", "libbz2"}

# For each program: the shared libraries it may need, and our libraries whose code it must not hold.
DEVICE = {
    "edge-agent": ({"libjansson", "libsodium"},
                   ("keys_foreign", "keys_sign", "bundle_pack", "bundle_unpack", "agent_net", "agent_worker")),
    "edge-agent-worker": (WORKER, ("keys_sign", "bundle_pack")),
}
PROGRAMS = ("edgectl", *DEVICE)
# Of a library that the program does need: the first letters of names that it must not hold.
FOREIGN = {"edge-agent": ("tuf_",)}
DEVICE_KIB = 400


def run(*command):
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True).stdout


def needed(program):
    """The shared libraries a program names, without their versions."""
    listed = re.findall(r"\(NEEDED\).*\[(.*?)\]", run("readelf", "-dW", program))
    return {re.sub(r"(-gnutls)?\.so.*$", "", name) for name in listed}


def symbols(path):
    """External names that a program or an archive defines."""
    listed = run("nm", "-g", "--defined-only", path)
    return {line.split()[2] for line in listed.splitlines() if re.match(r"[0-9a-f]+ [A-TV-Z] ", line)}


def check_needed(name, program):
    allowed = DEVICE[name][0] | RUNTIME
    for library in sorted(needed(program) - allowed):
        yield Finding(f"bin/{name}", 1, f"is linked with {library}",
                      "move the code that uses it to the worker or to edgectl")


def check_symbols(name, program, build):
    inside = symbols(program)
    for library in DEVICE[name][1]:
        archive = build / "lib" / f"libedge_{library}.a"
        if not archive.is_file():
            continue
        shared = sorted(s for s in symbols(archive) & inside if not s.startswith("_"))
        if shared:
            yield Finding(f"bin/{name}", 1, f"holds code of {library.replace('_', '/')}/ ({', '.join(shared[:3])})",
                          "a device does not need it: move what both need to a lower library")


def check_names(name, program):
    held = sorted(s for s in symbols(program) if s.startswith(FOREIGN.get(name, ())))
    if held:
        yield Finding(f"bin/{name}", 1, f"holds {', '.join(held[:3])}",
                      "the repository's metadata is parsed by the worker alone: read its verdict instead")


def check_release(name, program, root):
    header = run("readelf", "-hldW", program)
    for mark, what in (("DYN (", "is not position-independent"), ("GNU_RELRO", "has no RELRO"),
                       ("BIND_NOW", "binds lazily")):
        if mark not in header and not (mark == "BIND_NOW" and "NOW" in header):
            yield Finding(f"bin/{name}", 1, what, "build it with the preset release")
    with tempfile.TemporaryDirectory() as folder:
        stripped = Path(folder) / name
        run("strip", "-o", stripped, program)
        kib = stripped.stat().st_size / 1024
        if name in DEVICE and kib > DEVICE_KIB:
            yield Finding(f"bin/{name}", 1, f"has {kib:.0f} KiB stripped (at most {DEVICE_KIB})",
                          "look at its largest symbols with nm --size-sort")
        if os.fsencode(root) + b"/" in stripped.read_bytes():
            yield Finding(f"bin/{name}", 1, f"contains the path of the checkout, {root}",
                          "say where things lie at run time, not at build time")


def is_release(build):
    cache = (build / "CMakeCache.txt").read_text(encoding="utf-8")
    return "EDGE_HARDEN:BOOL=ON" in cache


def check(tree):
    # A tree of a case has its build inside; the real one is named by the environment.
    build = tree.root / "build"
    if tree.exists("CMakeLists.txt"):
        build = Path(os.environ.get("EDGE_BUILD", build / "dev"))
    for name in PROGRAMS:
        program = build / "bin" / name
        if not program.is_file():
            yield Finding(f"bin/{name}", 1, "is not built", "build it first; EDGE_BUILD names the build folder")
            continue
        if name in DEVICE:
            yield from check_needed(name, program)
            yield from check_symbols(name, program, build)
            yield from check_names(name, program)
        if is_release(build):
            yield from check_release(name, program, os.path.realpath(tree.root))


def failed_builds():
    """Compiles small programs that break each rule, and says which of them went unnoticed."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for place in ("build/bin", "build/lib"):
            (root / place).mkdir(parents=True)
        (root / "build/CMakeCache.txt").write_text("EDGE_HARDEN:BOOL=ON\n", encoding="utf-8")
        (root / "sign.c").write_text("int sign_file_write(void) { return 7; }\n", encoding="utf-8")
        (root / "main.c").write_text(
            f'int sign_file_write(void);\nconst char *place = "{os.path.realpath(root)}/x";\n'
            "static const char big[512 * 1024] = {1};\nint tuf_client_begin(void);\n"
            "int tuf_client_begin(void) { return 1; }\nint main(int c, char **v)\n"
            "{ (void)v; return sign_file_write() + big[c] + place[0]; }\n", encoding="utf-8")
        run("cc", "-c", root / "sign.c", "-o", root / "sign.o")
        run("ar", "rcs", root / "build/lib/libedge_keys_sign.a", root / "sign.o")
        for name in PROGRAMS:
            run("cc", "-no-pie", "-Wl,-z,norelro,-z,lazy", root / "main.c", root / "sign.o", "-Wl,--no-as-needed",
                "-lzstd", "-lsqlite3", "-o", root / "build/bin" / name)
        found = "\n".join(map(str, check(Tree(root))))
    wanted = ("bin/edge-agent:1: is linked with libzstd", "bin/edge-agent-worker:1: is linked with libsqlite3",
              "bin/edge-agent:1: holds code of keys/sign/", "bin/edge-agent-worker:1: holds code of keys/sign/",
              "bin/edge-agent:1: holds tuf_client_begin", "is not position-independent", "has no RELRO", "binds lazily",
              "KiB stripped", "the path of the checkout")
    missing = [text for text in wanted if text not in found]
    if "edge-agent-worker:1: is linked with libzstd" in found:
        missing.append("the worker may use libzstd")
    if "edge-agent-worker:1: holds tuf_" in found:
        missing.append("the worker may parse metadata")
    return missing


CASES = (
    Case("programs that are not there are missed", {"base/a.c": ""},
         tuple(f"bin/{name}:1" for name in PROGRAMS)),
)

if __name__ == "__main__":
    unnoticed = failed_builds()
    if unnoticed:
        raise SystemExit(f"linkage: self-test: not noticed: {unnoticed}")
    main(check, CASES)
