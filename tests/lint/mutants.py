#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The tables of tests/attack/table fit the source: each defence stands where its table says, once, and its test exists. And they
are whole: every row of the two tables of SECURITY.md that say so (tests/attack/rows.py) has a mutant which a test of that
row kills, and every Criterion test that they name kills one.

Whether the tests notice that a defence is gone is what tests/attack/mutants.py shows (tests/run.sh attack); here
is what can be seen without building anything.
"""

import ast
import os
import re
import sys

from house import Case, Finding, main

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../attack"))
import rows as claims  # noqa: E402  (beside the table, for mutants.py as well)

TABLES = "tests/attack/table"
TABLE = f"{TABLES}/core.py"  # one of them
PAGE = "SECURITY.md"
ADVICE = "bring the row up to what the source says now"
MISSING = "take its defence out in tests/attack/table"


def rows(tree):
    """(path, line, row) for each row of the one literal in each table."""
    for path in tree.files(".py", under=(TABLES,)):
        for statement in ast.parse(tree.text(path)).body:
            for element in statement.value.elts:
                yield path, element.lineno, ast.literal_eval(element)


def wrong_with(tree, row, names, seen):
    identifier, path, fragment, replacement, *tests = row
    if identifier in seen:
        yield f"{identifier} stands twice"
    elif row[1:4] in seen.values():
        yield f"{identifier} takes out what another row does: one row names all tests"
    if not tree.exists(path):
        yield f"{identifier}: no file {path}"
    elif tree.text(path).count(fragment) != 1:
        yield f"{identifier}: its source stands {tree.text(path).count(fragment)} times in {path}"
    if fragment == replacement:
        yield f"{identifier} changes nothing"
    if not tests:
        yield f"{identifier}: no test is named"
    for test in tests:
        if test not in names:
            yield f"{identifier}: no test {test}"


def tests_in(tree):
    names = set()
    for path in tree.files(".c", under=("tests",)):
        names |= {"/".join(found) for found in re.findall(r"^Test\(\s*(\w+),\s*(\w+)", tree.text(path), re.M)}
    for path in tree.files(".py", under=("tests",)):
        script = re.fullmatch(r"tests/e2e/(\w+)\.py", path)
        if script:
            names |= {f"e2e_{script[1]}/{name}" for name in re.findall(r"^def (\w+)\(", tree.text(path), re.M)}
    return names


def untried(claim, tried):
    if not tried & set(claim.tests):
        yield f"no mutant for '{claim.name}'"
        return
    for test in claim.tests:
        if not test.startswith("e2e_") and test not in tried:
            yield f"no mutant that {test} kills"


def check(tree):
    names, seen, tried = tests_in(tree), {}, set()
    for path, line, row in rows(tree):
        for what in wrong_with(tree, row, names, seen):
            yield Finding(path, line, what, ADVICE)
        seen[row[0]] = row[1:4]
        tried.update(row[4:])
    if not tree.exists(PAGE):
        return
    attacks = claims.of(tree.text(PAGE))
    if not attacks:
        yield Finding(PAGE, 1, f"no table in a section '{claims.SECTIONS}…'", "say in tests/attack/rows.py where they stand")
    for claim in attacks:
        for what in untried(claim, tried):
            yield Finding(PAGE, claim.line, what, MISSING)


_SOURCE = {"keys/a.c": "if (bad)\n    return -1;\n", "tests/unit/keys/test_a.c": "Test(a, holds) {\n}\nTest(a, too) {\n}\n",
           "tests/e2e/b.py": "def works():\n    pass\n"}


def _table(*row):
    return {TABLE: f"MUTANTS = (\n    {row!r},\n)\n", **_SOURCE}


def _page(*tests, section="### Metadata: attacks"):
    """Lines 5 and on are the rows."""
    page = f"# Security\n{section}\n| attack | defence | test |\n| --- | --- | --- |\n"
    return {PAGE: page + "".join(f"| {at} | d | {test} |\n" for at, test in enumerate(tests))}


_HOLDS = _table("x", "keys/a.c", "if (bad)", "", "a/holds")
_WORKS = _table("x", "keys/a.c", "if (bad)", "", "e2e_b/works")

CASES = (
    Case("a row that fits passes", _table("x", "keys/a.c", "if (bad)", "if (false)", "a/holds")),
    Case("source that is gone is found", _table("x", "keys/a.c", "if (worse)", "", "a/holds"), (f"{TABLE}:2",)),
    Case("source that stands twice is found", _table("x", "keys/a.c", "r", "", "a/holds"), (f"{TABLE}:2",)),
    Case("a file that is gone is found", _table("x", "keys/b.c", "if (bad)", "", "a/holds"), (f"{TABLE}:2",)),
    Case("a test that is gone is found", _table("x", "keys/a.c", "if (bad)", "", "a/fails"), (f"{TABLE}:2",)),
    Case("a row without a test is found", _table("x", "keys/a.c", "if (bad)", ""), (f"{TABLE}:2",)),
    Case("a second test that is gone is found", _table("x", "keys/a.c", "if (bad)", "", "a/holds", "a/fails"), (f"{TABLE}:2",)),
    Case("a mutant that stands twice is found",
         {TABLE: "MUTANTS = (('x', 'keys/a.c', '-1', '0', 'a/holds'),\n('y', 'keys/a.c', '-1', '0', 'a/too'))\n", **_SOURCE},
         (f"{TABLE}:2",)),
    Case("a second test counts as tried", {**_page("`a::holds`", "`a::too`"), **_table("x", "keys/a.c", "-1", "", "a/holds", "a/too")}),
    Case("a row that changes nothing is found", _table("x", "keys/a.c", "-1", "-1", "a/holds"), (f"{TABLE}:2",)),
    Case("an id used twice is found",
         {TABLE: "MUTANTS = (\n" + 2 * "    ('x', 'keys/a.c', '-1', '0', 'a/holds'),\n" + ")\n", **_SOURCE},
         (f"{TABLE}:3",)),
    Case("an id used twice is found in another table",
         {f"{TABLES}/more.py": "MUTANTS = (('x', 'keys/a.c', '-1', '0', 'a/holds'),)\n", **_table("x", "keys/a.c", "-1", "0", "a/holds")},
         (f"{TABLES}/more.py:1",)),
    Case("a scenario is a test", _WORKS),
    Case("a scenario that is gone is found", _table("x", "keys/a.c", "-1", "", "e2e_b/fails"), (f"{TABLE}:2",)),
    Case("an attack that was tried passes", {**_page("`a::holds`"), **_HOLDS}),
    Case("one that was tried by a scenario passes", {**_page("`e2e_b` (sleeps, works)"), **_WORKS}),
    Case("scenarios beside a test that was tried pass", {**_page("`a::holds`, `e2e_b` (works), fuzz `c`"), **_HOLDS}),
    Case("an attack that was not tried is found", {**_page("`a::holds`", "`a::too`"), **_HOLDS}, (f"{PAGE}:6",)),
    Case("an attack without a test is found", {**_page("fuzz `c`", "`a::holds`"), **_HOLDS}, (f"{PAGE}:5",)),
    Case("one tried by another scenario is found", {**_page("`e2e_b` (sleeps)"), **_WORKS}, (f"{PAGE}:5",)),
    Case("a further test that was not tried is found", {**_page("`a::holds`, `a::too`"), **_HOLDS}, (f"{PAGE}:5",)),
    Case("tables of other sections are not asked",
         {PAGE: _page("`a::holds`")[PAGE] + _page("`a::too`", section="### Bundles")[PAGE], **_HOLDS}),
    Case("a page without the tables is found", {**_page("`a::holds`", section="### Bundles"), **_HOLDS}, (f"{PAGE}:1",)),
)

if __name__ == "__main__":
    main(check, CASES)
