#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Which lines of the rooms the tests executed: a table from what a build of the preset coverage counted.

    cmake --preset coverage && cmake --build --preset coverage --target coverage-report
    cmake --preset coverage && cmake --build --preset coverage --target coverage-tuf

    coverage.py BUILD SOURCE [FILE… | --whole FOLDER]

The first target runs the tests and then this; a file that nothing ran counts with none of its lines. With file names as
operands, prints the lines of those files that nothing executed.

The second is for the verification core: it runs the unit tests of keys/tuf alone, and --whole prints the lines and the
branches of each file of that folder, says which were missed, and fails when any was. A branch is one way out of a
condition, so that `a && b` has four. Not counted: the failing side of an assert, which ends the program.
"""

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOMS = ("base", "keys", "bundle", "agent", "ctl")


def counted(build, source):
    """{file: {line: times}} and {file: {(line, n-th branch): times}}, summed over our libraries and programs."""
    lines = defaultdict(lambda: defaultdict(int))
    branches = defaultdict(lambda: defaultdict(int))
    for notes in sorted(Path(build, "CMakeFiles").rglob("*.gcno")):
        listed = subprocess.run(["gcov", "--json-format", "--branch-probabilities", "--stdout", notes],
                                check=True, capture_output=True).stdout
        for document in listed.splitlines():
            for file in json.loads(document)["files"]:
                path = os.path.relpath(os.path.join(source, file["file"]), source)
                if path.split("/")[0] not in ROOMS:
                    continue
                for line in file["lines"]:
                    lines[path][line["line_number"]] += line["count"]
                    for n, branch in enumerate(line["branches"]):
                        branches[path][line["line_number"], n] += branch["count"]
    return lines, branches


def ranges(numbers):
    """3, 4, 5, 9 as "3-5 9"."""
    runs = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def row(name, lines):
    hit = sum(1 for times in lines.values() if times)
    return f"{100 * hit / len(lines):6.1f} %  {hit:6} of {len(lines):6}  {name}"


def share(times):
    hit = sum(1 for n in times.values() if n)
    return f"{100 * hit / len(times) if times else 100:6.1f} %  {hit:5} of {len(times):5}"


def whole(folder, source, lines, branches):
    """The table of a folder's files; whether all of it was executed."""
    found = {path: times for path, times in sorted(lines.items()) if path.startswith(folder + "/")}
    sources = {str(path.relative_to(source)) for path in Path(source, folder).rglob("*.c")}
    unseen = sorted(sources - set(found))
    missed, all_lines, all_branches = [f"{path}: nothing of it was compiled" for path in unseen], {}, {}
    print(f"{'lines':>24}{'branches':>26}")
    for path, times in found.items():
        text = Path(source, path).read_text(encoding="utf-8").splitlines()
        ways = {at: n for at, n in branches[path].items() if not text[at[0] - 1].lstrip().startswith("assert(")}
        print(f"{share(times)}  {share(ways)}  {path}")
        all_lines.update({(path, line): n for line, n in times.items()})
        all_branches.update({(path, *at): n for at, n in ways.items()})
        idle = [line for line, n in times.items() if not n]
        missed += [f"{path}: not executed: {ranges(idle)}"] if idle else []
        missed += [f"{path}:{line}: branch {nth} not taken" for (line, nth), n in sorted(ways.items())
                   if not n and times[line]]
    print(f"{share(all_lines)}  {share(all_branches)}  {folder}", *missed, sep="\n")
    return bool(sources) and not missed


def main():
    build, source, *asked = sys.argv[1:]
    files, branches = counted(build, source)
    if not files:
        sys.exit("coverage: nothing was counted; run the tests of this build first")
    if asked[:1] == ["--whole"]:
        sys.exit(0 if whole(asked[1].rstrip("/"), source, files, branches) else 1)
    for path in asked:
        missed = [line for line, times in files.get(path, {}).items() if not times]
        print(f"{path}: {ranges(missed) or 'every line was executed'}")
    if asked:
        return
    rooms = defaultdict(dict)
    for path, lines in sorted(files.items()):
        print(row(path, lines))
        rooms[path.split("/")[0]].update({(path, line): times for line, times in lines.items()})
    print()
    for room in ROOMS:
        if rooms[room]:
            print(row(room, rooms[room]))
    print(row("all", {key: times for lines in rooms.values() for key, times in lines.items()}))


if __name__ == "__main__":
    main()
