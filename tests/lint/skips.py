#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A test that is skipped, wholly or in part, says so in a line "skipped: why", which tests/run.sh counts and lists.

There is one place for each language that prints it. Criterion's own way prints nothing and counts as passed; a script
that only ends with ctest's status for it, or words it in its own way, is missed by who reads the summary.
"""

import re

from house import Case, Finding, main

PLACES = {".h": "tests/support/skip.h", ".py": "tests/e2e/fleet.py"}
RULES = (
    ((".c", ".h"), re.compile(r"\bcr_skip\w*\s*\("), "Criterion's skip is silent", "skip_test or skip_part of tests/support/skip.h"),
    ((".py",), re.compile(r"\bprint\(.*\b(skipped\b|not tried\b)"), "this line is not seen by tests/run.sh", "fleet.skipped or fleet.skip"),
    ((".py",), re.compile(r"\bexit\((77|SKIPPED)\)|\bSKIPPED\s*=\s*77\b"), "a skip by its status alone", "fleet.skip"),
)
SHELL_EXIT = re.compile(r"\bexit 77\b")
SHELL_SAYS = re.compile(r"^\s*(printf|echo) ['\"]skipped: ")


def check_lines(path, lines):
    for suffixes, pattern, wrong, advice in RULES:
        if path.endswith(suffixes) and path not in PLACES.values():
            for number, line in enumerate(lines, 1):
                if pattern.search(line):
                    yield Finding(path, number, wrong, advice)
    if path.endswith(".sh"):
        for number, line in enumerate(lines):
            if SHELL_EXIT.search(line) and not (number and SHELL_SAYS.search(lines[number - 1])):
                yield Finding(path, number + 1, "a skip by its status alone", "print 'skipped: why' in the line before")


def check(tree):
    for path in tree.files(".c", ".h", ".py", ".sh", under=("tests",)):
        if not path.startswith("tests/lint/"):
            yield from check_lines(path, tree.text(path).splitlines())


C, PY, SH = "tests/unit/a/test_a.c", "tests/e2e/a.py", "tests/e2e/a.sh"
CASES = (
    Case("the helpers pass", {C: 'skip_test("no");\n', PY: 'fleet.skipped("no loop device")\nfleet.skip("no")\n'}),
    Case("Criterion's own skip is found", {C: "x();\ncr_skip(\"no\");\n"}, (f"{C}:2",)),
    Case("Criterion's own skip of a helper is found", {"tests/support/a.h": "    cr_skip_test();\n"}, ("tests/support/a.h:1",)),
    Case("where it is wrapped it passes", {PLACES[".h"]: 'cr_skip("%s", why);\n', PLACES[".py"]: 'print(f"skipped: {why}")\nSKIPPED = 77\n'}),
    Case("a skip in other words is found", {PY: 'print("no namespaces: not tried", flush=True)\n'}, (f"{PY}:1",)),
    Case("a skip printed by hand is found", {PY: 'print(f"skipped: {why}")\n'}, (f"{PY}:1",)),
    Case("a skip by status is found", {PY: "\nsys.exit(77)\n"}, (f"{PY}:2",)),
    Case("a status of its own is found", {PY: "SKIPPED = 77\n"}, (f"{PY}:1",)),
    Case("other numbers pass", {PY: "check(status['skipped'] == 77, 'x')\nsys.exit(1)\n"}),
    Case("a shell that says why passes", {SH: "    printf 'skipped: no suite\\n'\n    exit 77\n"}),
    Case("a shell that does not is found", {SH: "printf 'no suite\\n'\nexit 77\n"}, (f"{SH}:2",)),
)

if __name__ == "__main__":
    main(check, CASES)
