#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What every text file has and has not: the licence line first, no trace of somebody's machine, no note of work left over."""

import os
import re

from house import Case, Finding, main

LICENCE = "SPDX-License-Identifier: Apache-2.0"
LICENSED = (".c", ".h", ".py", ".sh", ".service", ".socket", ".conf", "CMakeLists.txt",
            ".1", ".5", ".7", ".8")
TEXT = LICENSED + (".md", ".json", ".yaml", ".yml", ".in", ".html", ".css", ".js", ".sql", ".txt")

# Folders that belong to one person or machine; a checkout's own place is added below.
_PRIVATE = [r"(?<![\w.])/home/[a-z][\w.-]*/", r"(?<![\w.])/Users/\w+", r"/mnt/[a-z]+/", r"file:///(?!etc|usr|var|run)\w"]
_SYSTEM = {"bin", "boot", "dev", "etc", "home", "lib", "media", "mnt", "opt", "proc", "root", "run", "sbin",
           "srv", "sys", "tmp", "usr", "var", "build", "src", "app", "workspace"}


def private_paths(root):
    """The general patterns, this checkout's folder, and the top folder it lies in if no system has it."""
    patterns, place = list(_PRIVATE), os.path.realpath(root)
    if place.count("/") > 1:
        patterns.append(re.escape(place) + r"\b")
        top = place.split("/")[1]
        if top not in _SYSTEM:
            patterns.append(rf"(?<![\w.])/{re.escape(top)}/")
    return re.compile("|".join(patterns))


# Notes of unfinished work, each spelt in two halves so that this file has none. Of certificates the field says one of them.
_LEFT_OVER = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK|TB" r"D)\b"
                        r"|(?i:\b(for" r" now|not" r" yet(?! valid)|(not |un)imple" r"mented|mo" r"ck(s|ed|ing)?|st" r"ub(s|bed)?)\b)")


def check_licence(tree, path):
    lines = tree.lines(path)[:3]
    first = 1 if lines and lines[0].startswith("#!") else 0
    if len(lines) <= first or LICENCE not in lines[first]:
        yield Finding(path, first + 1, "the licence line is not first", f'write "{LICENCE}" as a comment there')


def check(tree):
    private = private_paths(tree.root)
    for path in tree.files(*TEXT, ".ci/run"):
        if "/data/" in path or "/corpus/" in path:
            continue
        if path.endswith(LICENSED) and not path.endswith("requirements.txt"):
            yield from check_licence(tree, path)
        for number, line in enumerate(tree.lines(path), 1):
            if private.search(line):
                yield Finding(path, number, "a path of one machine",
                              "take it from an argument, the environment or the file's own place")
            if left := _LEFT_OVER.search(line):
                yield Finding(path, number, f"unfinished work: {left[0]}", "finish it, or say what is in plain words")
            if re.match(r"(<<<<<<<|>>>>>>>) ", line):
                yield Finding(path, number, "a conflict marker", "finish the merge")


_SPDX = "// " + LICENCE + "\n"

CASES = (
    Case("licensed files without private paths pass",
         {"base/a.c": _SPDX + 'p = "/usr/lib/x";\n', "tests/run.sh": "#!/bin/sh\n# " + LICENCE + "\n",
          "man/a.1": '.\\" ' + LICENCE + "\n", "README.md": "~/edge, $HOME, https://example.org/home/x/\n"}),
    Case("a missing or late licence line is found",
         {"base/a.c": "\n" + _SPDX, "base/b.h": "", "agent/systemd/a.service": "[Unit]\n"},
         ("agent/systemd/a.service:1", "base/a.c:1", "base/b.h:1")),
    Case("somebody's folder is found",
         {"base/a.c": _SPDX + 'p = "/ho' + 'me/jo/x";\n', "README.md": "\nsee /Us" + "ers/jo\n"},
         ("README.md:2", "base/a.c:2")),
    Case("words that only look like unfinished work pass",
         {"base/a.c": _SPDX + 'p = "/tmp/x-' + "X" * 6 + '"; // st' + "ubborn, to" + "dos, a certificate n" + "ot ye" + "t valid\n"}),
    Case("work left over is found",
         {"base/a.c": _SPDX + "// TO" + "DO: the rest\n", "base/b.c": _SPDX + "// Good enough for" + " now.\n",
          "README.md": "Not" + " yet there.\n", "tests/a.py": "# " + LICENCE + "\ndef mo" + "cked(): pass\nclass St" + "ub: pass\n"},
         ("README.md:1", "base/a.c:2", "base/b.c:2", "tests/a.py:2", "tests/a.py:3")),
    Case("a conflict marker is found", {"README.md": "<<<<<<< " + "HEAD\n"}, ("README.md:1",)),
)

if __name__ == "__main__":
    main(check, CASES)
