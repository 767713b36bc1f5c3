#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Takes one defence out of a copy of the source, builds, and demands that the test of it fails.

    mutants.py [ID…]      all, or those whose id begins with one of these

The copy lies in a temporary folder and is thrown away. What runs there is broken on purpose, so started as root
all of it runs as nobody. A table in which something does not fit any more is a failure as well (and one of
tests/lint/mutants.py, at once).
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
COPIED = ("CMakeLists.txt", "CMakePresets.json", ".clang-format", "LICENSE", "README.md", "CHANGELOG.md",
          "base", "keys", "bundle", "agent", "ctl", "man", "tests")
BUILD_S = 900
TEST_S = 300
NOBODY = 65534


def read_table():
    tree = ast.parse((TOP / "tests/attack/table.py").read_text(encoding="utf-8"))
    return ast.literal_eval(tree.body[0].value)


def programs():
    """{suite/test: the program it is in}; see tests/CMakeLists.txt."""
    found = {}
    for path in (TOP / "tests/unit").rglob("test_*.c"):
        name = "unit_" + "_".join(path.parent.relative_to(TOP / "tests/unit").parts)
        for suite, test in re.findall(r"^Test\(\s*(\w+),\s*(\w+)", path.read_text(encoding="utf-8"), re.M):
            found[f"{suite}/{test}"] = name
    return found


def privileges():
    if os.geteuid() != 0:
        return {}
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []}


class Copy:
    def __init__(self, folder):
        self.source = Path(folder) / "source"
        self.build = Path(folder) / "build"
        self.source.mkdir()
        for name in COPIED:
            if (TOP / name).is_dir():
                shutil.copytree(TOP / name, self.source / name, ignore=shutil.ignore_patterns("build", "__pycache__"))
            elif (TOP / name).exists():
                shutil.copy2(TOP / name, self.source / name)
        if os.geteuid() == 0:
            for path in (Path(folder), *Path(folder).rglob("*")):
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        self.folder, self.programs = folder, programs()
        self.environment = {"PATH": os.environ["PATH"], "HOME": folder, "TMPDIR": folder, "LC_ALL": "C.UTF-8"}

    def run(self, seconds, *command):
        return subprocess.run(command, cwd=self.folder, env=self.environment, timeout=seconds, text=True,
                              errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, **privileges())

    def must(self, *command):
        done = self.run(BUILD_S, *command)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}")

    def configure(self):
        # Not optimised and without sanitizers: what counts is what a test itself notices.
        self.must("cmake", "-S", str(self.source), "-B", str(self.build), "-G", "Ninja",
                  "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_C_FLAGS=-O0", "-DEDGE_WERROR=OFF")

    def compile(self, tests):
        self.must("ninja", "-C", str(self.build), *sorted({self.programs[test] for test in tests}))

    def test(self, name):
        """What the test says: None when it passes. Crashes and endless loops are failures."""
        try:
            done = self.run(TEST_S, str(self.build / "bin" / self.programs[name]), "--filter", name, "-j1")
        except subprocess.TimeoutExpired:
            return f"no end within {TEST_S} s"
        counts = re.search(r"Tested: .*?(\d+) .*Passing: .*?(\d+) .*Failing: .*?(\d+) .*Crashing: .*?(\d+)", done.stdout)
        if not counts:
            return "died"
        tested, passing, failing, crashing = (int(n) for n in counts.groups())
        if tested != 1:
            sys.exit(f"{name}: {tested} tests of that name")
        return None if passing == 1 and failing == 0 and crashing == 0 else "failed"


def judge(copy, mutant):
    """A line about a mutant that nobody noticed, or None."""
    identifier, path, fragment, replacement, test = mutant
    target = copy.source / path
    honest = target.read_text(encoding="utf-8")
    if honest.count(fragment) != 1:
        return f"{identifier}: {path} has the source of this row {honest.count(fragment)} times"
    target.write_text(honest.replace(fragment, replacement), encoding="utf-8")
    try:
        copy.compile([test])
        said = copy.test(test)
    finally:
        target.write_text(honest, encoding="utf-8")
    print(f"{'killed' if said else 'SURVIVED':8} {identifier:28} {test}{f' ({said})' if said else ''}", flush=True)
    return None if said else f"{identifier}: {test} does not notice it"


def main():
    chosen = [row for row in read_table()
              if len(sys.argv) == 1 or any(row[0].startswith(word) for word in sys.argv[1:])]
    if not chosen:
        sys.exit("no mutant of that name")
    wrong = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Copy(folder)
        copy.configure()
        tests = sorted({row[4] for row in chosen})
        copy.compile(tests)
        for test in tests:
            said = copy.test(test)
            if said:
                wrong.append(f"{test}: {said} with every defence in place")
        if not wrong:
            wrong = [line for line in (judge(copy, row) for row in sorted(chosen, key=lambda row: row[1])) if line]
    for line in wrong:
        print(line)
    print(f"{len(chosen) - len(wrong)} mutants killed, {len(wrong)} not")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
