#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Which lines of the rooms the tests executed: a table from what a build of the preset coverage counted.

    cmake --preset coverage && cmake --build --preset coverage --target coverage-report

The target runs the tests and then this; a file that nothing ran counts with none of its lines. With file names as operands, prints
the lines of those files that nothing executed.
"""

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOMS = ("base", "keys", "bundle", "agent", "ctl")


def counted(build, source):
    """{file: {line: times}}, summed over the objects of our libraries and programs."""
    files = defaultdict(lambda: defaultdict(int))
    for notes in sorted(Path(build, "CMakeFiles").rglob("*.gcno")):
        listed = subprocess.run(["gcov", "--json-format", "--stdout", notes], check=True, capture_output=True).stdout
        for document in listed.splitlines():
            for file in json.loads(document)["files"]:
                path = os.path.relpath(os.path.join(source, file["file"]), source)
                if path.split("/")[0] in ROOMS:
                    for line in file["lines"]:
                        files[path][line["line_number"]] += line["count"]
    return files


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


def main():
    build, source, *asked = sys.argv[1:]
    files = counted(build, source)
    if not files:
        sys.exit("coverage: nothing was counted; run the tests of this build first")
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
