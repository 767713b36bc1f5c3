# SPDX-License-Identifier: Apache-2.0
"""The rows of SECURITY.md each of which was tried with its defence taken out: its two tables about metadata."""

import re
from dataclasses import dataclass

SECTIONS = "### Metadata: "


@dataclass(frozen=True)
class Row:
    line: int
    name: str
    tests: tuple  # as the table of mutants writes them: suite/test, e2e_script/function


def tests_of(text):
    found = ["/".join(names) for names in re.findall(r"`(\w+)::(\w+)`", text)]
    for script, functions in re.findall(r"`(e2e_\w+)` \(([\w, ]+)\)", text):
        found += [f"{script}/{function}" for function in functions.split(", ")]
    return tuple(found)


def of(page):
    """A table's first two lines are its head."""
    found, wanted, in_table = [], False, 0
    for number, text in enumerate(page.splitlines(), 1):
        if text.startswith("#"):
            wanted = text.startswith(SECTIONS)
        in_table = in_table + 1 if wanted and text.startswith("|") else 0
        if in_table > 2:
            found.append(Row(number, text.split("|")[1].strip(), tests_of(text)))
    return found
