#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every test that SECURITY.md or CONTRIBUTING.md names exists: a defence without its test is a promise.

`suite::test` is a Criterion test, `e2e_NAME` a script tests/e2e/NAME.py or .sh, with its functions in parentheses behind it,
fuzz `NAME` a target tests/fuzz/fuzz_NAME.c.
"""

import re

from house import Case, Finding, main

PAGES = ("SECURITY.md", "CONTRIBUTING.md")
PAGE = PAGES[0]
ADVICE = "name the test that shows this defence, or write it"
EXAMPLE = ("SUITE", "TEST")


def criterion_tests(tree):
    found = {EXAMPLE}
    for path in tree.files(".c", under=("tests",)):
        found |= set(re.findall(r"^(?:Parameterized)?Test\(\s*\(?(\w+),\s*(\w+)", tree.text(path), re.M))
    return found


def script(tree, name):
    paths = [path for path in (f"tests/e2e/{name}.py", f"tests/e2e/{name}.sh") if tree.exists(path)]
    return tree.text(paths[0]) if paths else None


def missing_in(tree, line, tests):
    for suite, test in re.findall(r"`(\w+)::(\w+)`", line):
        if (suite, test) not in tests:
            yield f"no test {suite}::{test}"
    for name in re.findall(r"fuzz `(\w+)`", line):
        if name != "NAME" and not tree.exists(f"tests/fuzz/fuzz_{name}.c"):
            yield f"no fuzz target {name}"
    for name, functions in re.findall(r"`e2e_(\w+)`(?: \(([\w, ]+)\))?", line):
        text = script(tree, name)
        if name == "NAME":
            continue
        if text is None:
            yield f"no script e2e_{name}"
            continue
        for function in filter(None, functions.split(", ")):
            if f"def {function}(" not in text:
                yield f"no function {function} in e2e_{name}"


def check(tree):
    tests = criterion_tests(tree)
    for page in filter(tree.exists, PAGES):
        for number, line in enumerate(tree.lines(page), 1):
            for what in missing_in(tree, line, tests):
                yield Finding(page, number, what, ADVICE)


_TEST = {"tests/unit/a/test_b.c": "Test(b, holds) {\n}\n", "tests/e2e/c.py": "def works(f):\n    pass\n",
         "tests/fuzz/fuzz_d.c": "\n"}

CASES = (
    Case("tests that exist pass", {PAGE: "`b::holds` `e2e_c` (works) fuzz `d`\n", **_TEST}),
    Case("tests that do not are found on the other page too", {PAGES[1]: "`b::holds`\n`b::fails`\n", **_TEST}, (f"{PAGES[1]}:2",)),
    Case("tests that do not are found",
         {PAGE: "`b::fails`\n`e2e_x`\n`e2e_c` (sleeps)\nfuzz `e`\n", **_TEST},
         tuple(f"{PAGE}:{line}" for line in (1, 2, 3, 4))),
)

if __name__ == "__main__":
    main(check, CASES)
