#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The table of tests/attack fits the source: each defence stands where the table says, once, and its test exists.

Whether the tests notice that a defence is gone is what tests/attack/mutants.py shows (tests/run.sh attack); here
is what can be seen without building anything.
"""

import ast
import re

from house import Case, Finding, main

TABLE = "tests/attack/table.py"
ADVICE = "bring the row up to what the source says now"


def rows(tree):
    """(line, row) for each row of the one literal in the table."""
    for statement in ast.parse(tree.text(TABLE)).body:
        for element in statement.value.elts:
            yield element.lineno, ast.literal_eval(element)


def wrong_with(tree, row, names, seen):
    identifier, path, fragment, replacement, test = row
    if identifier in seen:
        yield f"{identifier} stands twice"
    if not tree.exists(path):
        yield f"{identifier}: no file {path}"
    elif tree.text(path).count(fragment) != 1:
        yield f"{identifier}: its source stands {tree.text(path).count(fragment)} times in {path}"
    if fragment == replacement:
        yield f"{identifier} changes nothing"
    if test not in names:
        yield f"{identifier}: no test {test}"


def check(tree):
    if not tree.exists(TABLE):
        return
    names = set()
    for path in tree.files(".c", under=("tests",)):
        names |= {"/".join(found) for found in re.findall(r"^Test\(\s*(\w+),\s*(\w+)", tree.text(path), re.M)}
    seen = set()
    for line, row in rows(tree):
        for what in wrong_with(tree, row, names, seen):
            yield Finding(TABLE, line, what, ADVICE)
        seen.add(row[0])


_SOURCE = {"keys/a.c": "if (bad)\n    return -1;\n", "tests/unit/keys/test_a.c": "Test(a, holds) {\n}\n"}


def _table(*row):
    return {TABLE: f"MUTANTS = (\n    {row!r},\n)\n", **_SOURCE}


CASES = (
    Case("a row that fits passes", _table("x", "keys/a.c", "if (bad)", "if (false)", "a/holds")),
    Case("source that is gone is found", _table("x", "keys/a.c", "if (worse)", "", "a/holds"), (f"{TABLE}:2",)),
    Case("source that stands twice is found", _table("x", "keys/a.c", "r", "", "a/holds"), (f"{TABLE}:2",)),
    Case("a file that is gone is found", _table("x", "keys/b.c", "if (bad)", "", "a/holds"), (f"{TABLE}:2",)),
    Case("a test that is gone is found", _table("x", "keys/a.c", "if (bad)", "", "a/fails"), (f"{TABLE}:2",)),
    Case("a row that changes nothing is found", _table("x", "keys/a.c", "-1", "-1", "a/holds"), (f"{TABLE}:2",)),
    Case("an id used twice is found",
         {TABLE: "MUTANTS = (\n" + 2 * "    ('x', 'keys/a.c', '-1', '0', 'a/holds'),\n" + ")\n", **_SOURCE},
         (f"{TABLE}:3",)),
)

if __name__ == "__main__":
    main(check, CASES)
