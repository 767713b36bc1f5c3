#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Takes one defence out of a copy of the source, builds, and demands that each test of it fails.

    mutants.py [ID…]      all, or those whose id begins with one of these

The copy lies in a temporary folder and is thrown away. What runs there is broken on purpose, so started as root
all of it runs as nobody. A table in which something does not fit any more is a failure as well (and one of
tests/lint/mutants.py, at once).

A test is SUITE/TEST, one of Criterion's, or e2e_NAME/FUNCTION, a scenario of tests/e2e/NAME.py alone, which has to
say that it went well: one that was left out is no test. The last line says how many rows of the two tables of
SECURITY.md about metadata were tried (rows.py).
"""

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import rows

TOP = Path(__file__).resolve().parents[2]
COPIED = ("CMakeLists.txt", "CMakePresets.json", ".clang-format", "LICENSE", "README.md", "CHANGELOG.md",
          "base", "keys", "bundle", "agent", "ctl", "man", "tests")
BUILD_S = 900
TEST_S = 300
SCENARIO_S = 900  # a net: scenarios give up by themselves
PATIENCE_S = 120  # what a scenario waits for, in all of them far longer than it takes
NOBODY = 65534
SCENARIO = "e2e_"


def read_table():
    found = []
    for path in sorted((TOP / "tests/attack/table").glob("*.py")):
        found += ast.literal_eval(ast.parse(path.read_text(encoding="utf-8")).body[0].value)
    return found


def tests_of(rows_of_the_table):
    return {test for row in rows_of_the_table for test in row[4:]}


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
                shutil.copytree(TOP / name, self.source / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif (TOP / name).exists():
                shutil.copy2(TOP / name, self.source / name)
        if os.geteuid() == 0:
            for path in (Path(folder), *Path(folder).rglob("*")):
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        self.folder, self.programs = folder, programs()
        binaries = {"EDGECTL": "edgectl", "EDGE_AGENT": "edge-agent", "EDGE_AGENT_WORKER": "edge-agent-worker"}
        self.environment = {"PATH": os.environ["PATH"], "HOME": folder, "TMPDIR": folder, "LC_ALL": "C.UTF-8",
                            "EDGE_SOURCE": str(self.source), "EDGE_BUILD": str(self.build), "PYTHONDONTWRITEBYTECODE": "1",
                            "PATIENCE_S": str(PATIENCE_S),
                            **{name: str(self.build / "bin" / program) for name, program in binaries.items()}}

    def run(self, seconds, *command, **more):
        """Its exit status and output; TimeoutExpired when there was no end. Then, or interrupted, nothing of it goes on."""
        with subprocess.Popen(command, cwd=self.folder, env={**self.environment, **more}, text=True, errors="replace",
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              start_new_session=True, **privileges()) as process:
            try:
                said, _ = process.communicate(timeout=seconds)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return process.returncode, said

    def must(self, *command):
        status, said = self.run(BUILD_S, *command)
        if status != 0:
            sys.exit(f"{' '.join(command)} failed:\n{said[-4000:]}")

    def configure(self):
        # Not optimised and without sanitizers: what counts is what a test itself notices.
        self.must("cmake", "-S", str(self.source), "-B", str(self.build), "-G", "Ninja",
                  "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_C_FLAGS=-O0", "-DEDGE_WERROR=OFF")

    def compile(self, tests):
        targets = {"edge-agent-worker"}  # which tests of the agent's rooms start
        for test in tests:
            targets |= {"edge-agent", "edgectl"} if test.startswith(SCENARIO) else {self.programs[test]}
        self.must("ninja", "-C", str(self.build), *sorted(targets))

    def test(self, name):
        """What the test says: None when it passes. Crashes and endless loops are failures."""
        try:
            return self.scenario(name) if name.startswith(SCENARIO) else self.criterion(name)
        except subprocess.TimeoutExpired as late:
            return f"no end within {late.timeout} s"

    def scenario(self, name):
        script, function = name.removeprefix(SCENARIO).split("/")
        status, said = self.run(SCENARIO_S, str(self.source / "tests/e2e" / f"{script}.py"), ONLY=function)
        went_well = f"ok      {function.replace('_', ' ')}\n" in said
        return None if status == 0 and went_well else "failed"

    def criterion(self, name):
        _, said = self.run(TEST_S, str(self.build / "bin" / self.programs[name]), "--filter", name, "-j1")
        counts = re.search(r"Tested: .*?(\d+) .*Passing: .*?(\d+) .*Failing: .*?(\d+) .*Crashing: .*?(\d+)", said)
        if not counts:
            return "died"
        tested, passing, failing, crashing = (int(n) for n in counts.groups())
        if tested != 1:
            sys.exit(f"{name}: {tested} tests of that name")
        return None if passing == 1 and failing == 0 and crashing == 0 else "failed"


def judge(copy, mutant):
    """A line about each test that does not notice the mutant."""
    identifier, path, fragment, replacement, *tests = mutant
    target = copy.source / path
    honest = target.read_text(encoding="utf-8")
    if honest.count(fragment) != 1:
        return [f"{identifier}: {path} has the source of this row {honest.count(fragment)} times"]
    target.write_text(honest.replace(fragment, replacement), encoding="utf-8")
    try:
        copy.compile(tests)
        said = {test: copy.test(test) for test in tests}
    finally:
        target.write_text(honest, encoding="utf-8")
    for test, why in said.items():
        print(f"{'killed' if why else 'SURVIVED':8} {identifier:28} {test}{f' ({why})' if why else ''}", flush=True)
    return [f"{identifier}: {test} does not notice it" for test, why in said.items() if not why]


def main():
    chosen = [row for row in read_table()
              if len(sys.argv) == 1 or any(row[0].startswith(word) for word in sys.argv[1:])]
    if not chosen:
        sys.exit("no mutant of that name")
    wrong = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Copy(folder)
        copy.configure()
        tests = sorted(tests_of(chosen))
        copy.compile(tests)
        for test in tests:
            said = copy.test(test)
            if said:
                wrong.append(f"{test}: {said} with every defence in place")
        if not wrong:
            wrong = [line for row in sorted(chosen, key=lambda row: row[1]) for line in judge(copy, row)]
    for line in wrong:
        print(line)
    tried = tests_of(chosen)
    claims = rows.of((TOP / "SECURITY.md").read_text(encoding="utf-8"))
    shown = sum(1 for claim in claims if tried & set(claim.tests))
    pairs = sum(len(row) - 4 for row in chosen)
    print(f"{pairs - len(wrong)} tests noticed {len(chosen)} mutants, {len(wrong)} did not; they try {shown} of {len(claims)} rows of SECURITY.md")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
