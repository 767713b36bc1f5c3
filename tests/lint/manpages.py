#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The man page of a program and its option table say the same.

Each command and option that `PROGRAM --dump-options` lists is described in man/PROGRAM.[18], and the page
names none that does not exist. Options are looked for in the .SS of their command where it has one, and no
command has two. The programs are named by EDGECTL, EDGE_AGENT, or lie in EDGE_BUILD.
"""

import os
import re
import subprocess
from pathlib import Path

from house import Case, Finding, main

PROGRAMS = {"edgectl": "EDGECTL", "edge-agent": "EDGE_AGENT"}
ALWAYS = {"--help", "--version"}
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


def plain(line):
    """A line of roff as a reader sees it."""
    if line.startswith(('.\\"', "'\\\"")):
        return ""
    line = re.sub(r"\\f(\[\w*\]|.)", "", line)
    line = line.replace("\\-", "-").replace("\\&", "").replace("\\ ", " ").replace("\\(aq", "'")
    macro = re.match(r"\.(\w+)\s*(.*)$", line)
    if not macro:
        return line
    name, rest = macro.groups()
    joined = name in ("BR", "BI", "IB", "IR", "RB", "RI")
    words = [quoted or word for quoted, word in re.findall(r'"([^"]*)"|(\S+)', rest)]
    return ("" if joined else " ").join(words) if name not in ("TH", "in", "nf", "fi", "PP") else ""


def sections(page):
    """[(title, first line number, text)] split at .SH and .SS."""
    found, title, first, text = [], "", 1, []
    for number, line in enumerate(page.splitlines(), 1):
        if re.match(r"\.S[HS]\b", line):
            found.append((title, first, "\n".join(text)))
            title, first, text = plain(line).strip(), number, []
        text.append(plain(line))
    return found + [(title, first, "\n".join(text))]


def options_of(text):
    return set(_OPTION.findall(text))


def names(command, text):
    return re.search(r"(?<![\w-])" + r"\s+".join(map(re.escape, command.split())) + r"(?![\w-])", text)


def where_described(command, parts):
    """The text in which a command's options belong: the .SS that are titled with it, else the page."""
    own = [text for title, _, text in parts if names(command, title)] if command else []
    return "\n".join(own or [text for _, _, text in parts])


def check_page(path, page, dump, known):
    """known: the options of all our programs, which any page may mention."""
    parts = sections(page)
    whole = "\n".join(text for _, _, text in parts)
    commands = {row[0] for row in dump if row[0]}
    for i, (title, line, _) in enumerate(parts):
        if title and title in (other for other, _, _ in parts[:i]):
            yield Finding(path, line, f"has a second section \"{title}\"", "keep one")
    for command in sorted(commands):
        if not names(command, whole):
            yield Finding(path, 1, f"does not mention the command '{command}'", "describe it, or remove it")
    for command, option in sorted({(row[0], row[1]) for row in dump if row[1]}):
        if option not in options_of(where_described(command, parts)):
            yield Finding(path, 1, f"does not mention {option} of '{command}'", "describe it there, or remove it")
    for number, line in enumerate(page.splitlines(), 1):
        for option in sorted(options_of(plain(line)) - known - ALWAYS):
            yield Finding(path, number, f"names {option}, which does not exist", "correct the page, or add the option")


def read_dump(text):
    """[(command, "--option" or "", argument, help)]; the table may print names with or without dashes."""
    rows = []
    for line in text.splitlines():
        command, option, argument, told = (line.split("\t") + ["", "", ""])[:4]
        rows.append((command, "--" + option.lstrip("-") if option else "", argument, told))
    return rows


def dump_of(tree, program, variable):
    recorded = f"man/{program}.dump"
    if tree.exists(recorded):  # the tree of a case
        return tree.text(recorded)
    path = os.environ.get(variable) or Path(os.environ.get("EDGE_BUILD", tree.root / "build/dev"), "bin", program)
    try:
        return subprocess.run([path, "--dump-options"], check=True, capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def check(tree):
    dumps = {}
    for program, variable in PROGRAMS.items():
        dumps[program] = read_dump(dump_of(tree, program, variable))
        if not dumps[program]:
            yield Finding(f"man/{program}", 1, f"{program} --dump-options printed nothing", "build it first")
    known = {row[1] for dump in dumps.values() for row in dump}
    for program, dump in dumps.items():
        pages = [p for p in tree.files(".1", ".8", under=("man",)) if p[:-2] == f"man/{program}"]
        if len(pages) != 1:
            yield Finding(f"man/{program}.1", 1, f"{len(pages)} pages for {program}", "write exactly one")
        for path in pages:
            yield from check_page(path, tree.text(path), dump, known)
    for path in tree.files(".5", ".7", under=("man",)):
        for number, line in enumerate(tree.lines(path), 1):
            for option in sorted(options_of(plain(line)) - known - ALWAYS):
                yield Finding(path, number, f"names {option}, which does not exist", "correct the page")


_DUMPS = {"man/edgectl.dump": "init\t\t\tmake a workspace\nkey new\tname\tNAME\twhat to call it\n",
          "man/edge-agent.dump": "run\t--config\tFILE\tits configuration\n"}
_PAGE = ".SH COMMANDS\n.SS init DIR\nMakes it.\n.SS key new\n.TP\n.BI \\-\\-name \" NAME\"\nIts name.\n"
_AGENT = ".SH COMMANDS\n.TP\n.B run\nwith \\fB\\-\\-config\\fR FILE, or \\-\\-help\n"

CASES = (
    Case("pages that agree with the tables pass", {**_DUMPS, "man/edgectl.1": _PAGE, "man/edge-agent.8": _AGENT}),
    Case("a missing command and a missing option are found",
         {**_DUMPS, "man/edgectl.1": _PAGE.replace("init DIR", "other"), "man/edge-agent.8": ".B run\n"},
         ("man/edgectl.1:1", "man/edge-agent.8:1")),
    Case("an option in another command's section does not count",
         {**_DUMPS, "man/edgectl.1": ".SS init\n\\-\\-name\n.SS key new\nnothing\n", "man/edge-agent.8": _AGENT},
         ("man/edgectl.1:1",)),
    Case("a section that is there twice is found",
         {**_DUMPS, "man/edgectl.1": _PAGE + ".SS init DIR\nMakes it.\n", "man/edge-agent.8": _AGENT}, ("man/edgectl.1:8",)),
    Case("an option that does not exist is found, in section 5 too",
         {**_DUMPS, "man/edgectl.1": _PAGE + "\n.B \\-\\-nmae\n", "man/edge-agent.8": _AGENT, "man/x.5": "\\-\\-gone\n"},
         ("man/edgectl.1:9", "man/x.5:1")),
    Case("a program without a page, and a page without its table, are found",
         {"man/edgectl.dump": _DUMPS["man/edgectl.dump"], "man/edgectl.1": _PAGE, "man/edge-agent.dump": ""},
         ("man/edge-agent.1:1", "man/edge-agent:1")),
)

if __name__ == "__main__":
    main(check, CASES)
