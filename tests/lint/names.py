#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Symbol = nearest folder + file + verb, so that from any call one can open the file.

bundle/manifest.c defines bundle_manifest_…, agent/boot/uboot.c defines boot_uboot_…, base/fs.c defines
fs_…. An interface that outgrew one file keeps its names: beside bundle/manifest.h, the files of
bundle/manifest/ and bundle/manifest_*.c may also define bundle_manifest_…. Checked in the source, and with
nm in the objects of the build named by EDGE_BUILD, which also sees variables and what macros make.
"""

import os
import subprocess
from pathlib import Path

from house import ROOMS, Case, Finding, c_functions, main

MAINS = ("agent/main.c", "agent/counter/main.c", "agent/worker/main.c", "ctl/main.c")


def stem(folder, name):
    return f"{name}" if folder == "base" else f"{os.path.basename(folder)}_{name}"


def prefixes(tree, path):
    """What the symbols of a file may begin with."""
    folder, name = os.path.dirname(path), os.path.splitext(os.path.basename(path))[0]
    found = [stem(folder, name)]
    words = name.split("_")
    for count in range(1, len(words)):
        part = "_".join(words[:count])
        if tree.exists(f"{folder}/{part}.h"):
            found.append(stem(folder, part))
    while "/" in folder and tree.exists(folder + ".h"):
        folder, name = os.path.split(folder)
        found.append(stem(folder, name))
    return found


def well_named(tree, path, symbol):
    if path in MAINS and symbol == "main":
        return True
    if os.path.basename(path) in ("kind.c", "err.c"):
        # The rows of a room's table of error kinds (base/err.h) have one flat name space.
        if symbol.startswith("err_") or symbol == f"{os.path.dirname(path)}_kinds":
            return True
    return any(symbol == p or symbol.startswith(p + "_") for p in prefixes(tree, path))


def finding(tree, path, line, symbol):
    wanted = prefixes(tree, path)[0]
    return Finding(path, line, f"{symbol} does not begin with {wanted}_",
                   "rename it, make it static, or move it to the file it is named after")


def check_sources(tree):
    for path in tree.files(".c", under=ROOMS):
        for function in c_functions(tree.text(path)):
            if not function.static and not well_named(tree, path, function.name):
                yield finding(tree, path, function.first, function.name)


def defined_symbols(objects):
    """(object, symbol) for each external definition; one nm for all objects."""
    listed = subprocess.run(["nm", "-A", "-g", "--defined-only", *map(str, objects)],
                            check=True, capture_output=True, text=True).stdout
    for line in listed.splitlines():
        place, _, rest = line.partition(":")
        kind, symbol = rest.split()[-2:]
        if not symbol.startswith("__") and kind in "TDBRVWCSG":
            yield place, symbol


def check_objects(tree, build):
    objects = {}
    for path in tree.files(".c", under=ROOMS):
        for made in Path(build).glob(f"CMakeFiles/edge*.dir/{path}.o"):
            objects[str(made)] = path
    if not objects:
        return
    for made, symbol in defined_symbols(objects):
        path = objects[made]
        if not well_named(tree, path, symbol):
            yield finding(tree, path, 1, symbol)


def check(tree):
    found = {(f.path, f.wrong): f for f in check_sources(tree)}
    if os.environ.get("EDGE_BUILD") and tree.exists("CMakeLists.txt"):
        for other in check_objects(tree, os.environ["EDGE_BUILD"]):
            found.setdefault((other.path, other.wrong), other)
    yield from found.values()


_F = "int {}(void)\n{{\n    return 0;\n}}\n"

CASES = (
    Case("well-named files pass",
         {"base/fs.c": _F.format("fs_replace"), "bundle/manifest.c": _F.format("bundle_manifest_parse"),
          "agent/boot/uboot.c": _F.format("boot_uboot_ops"), "keys/verify.c": _F.format("keys_verify"),
          "ctl/main.c": _F.format("main"), "ctl/x.c": _F.replace("int", "static int").format("helper")}),
    Case("a symbol of another file is found",
         {"bundle/index.c": "\n" + _F.format("bundle_manifest_parse")}, ("bundle/index.c:2",)),
    Case("half a prefix is not enough", {"base/fs.c": _F.format("fsx_open")}, ("base/fs.c:1",)),
    Case("main belongs to the programs", {"agent/loop.c": _F.format("main")}, ("agent/loop.c:1",)),
    Case("a folder may keep the interface of the file it was",
         {"ctl/plan.h": "", "ctl/plan/read.c": _F.format("ctl_plan_read") + _F.format("plan_read_row"),
          "ctl/other/read.c": _F.format("ctl_other_read")}, ("ctl/other/read.c:1",)),
    Case("an interface may have several files beside its header",
         {"base/fs.h": "", "base/fs_tree.c": _F.format("fs_list"), "base/num_x.c": _F.format("num_parse")},
         ("base/num_x.c:1",)),
)

if __name__ == "__main__":
    main(check, CASES)
