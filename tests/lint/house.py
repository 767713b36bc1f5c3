# SPDX-License-Identifier: Apache-2.0
"""What the lints share: which files are ours, how C reads without comments, and how a lint runs.

A lint is a program with a function check(tree) that yields findings, and CASES, tiny trees on which it
must find exactly what is expected. Every run tries the cases first: a lint that cannot fail is a defect.
"""

import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOMS = ("base", "keys", "bundle", "agent", "ctl")
TOP_FOLDERS = ROOMS + ("tests", "examples", "man", ".ci")

# The libraries of the build (CMakeLists.txt): a folder that is not listed belongs to its parent.
LIBRARIES = (
    "base", "keys", "keys/foreign", "keys/sign", "bundle", "bundle/unpack", "bundle/pack",
    "agent", "agent/fsm", "agent/net", "agent/worker",
    "ctl", "ctl/repo", "ctl/rollout", "ctl/sim", "ctl/store", "ctl/net", "ctl/serve", "ctl/cmd",
)


@dataclass(frozen=True)
class Finding:
    path: str
    line: int
    wrong: str
    advice: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.wrong}; {self.advice}"


class Tree:
    """The files of a checkout, read once. Paths are relative and use '/'."""

    def __init__(self, root):
        self.root = Path(root)
        self._texts = {}

    def files(self, *suffixes, under=TOP_FOLDERS):
        """Paths in these top folders, and directly in the root when `under` is the default."""
        found = []
        for top in under:
            for folder, folders, names in os.walk(self.root / top):
                folders[:] = sorted(f for f in folders if f not in ("__pycache__", "build"))
                found += [os.path.join(folder, name) for name in names]
        if under is TOP_FOLDERS and self.root.is_dir():
            found += [entry.path for entry in os.scandir(self.root) if entry.is_file()]
        relative = (os.path.relpath(path, self.root) for path in found)
        return sorted(p for p in relative if not suffixes or p.endswith(suffixes))

    def exists(self, path):
        return (self.root / path).is_file()

    def text(self, path):
        if path not in self._texts:
            self._texts[path] = (self.root / path).read_text(encoding="utf-8", errors="replace")
        return self._texts[path]

    def lines(self, path):
        return self.text(path).splitlines()


_C_NOISE = re.compile(
    r"""//(?:\\\n|[^\n])*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.S)


def c_code(text, keep_strings=False):
    """C source with comments blanked, and strings too unless kept; lines and columns stay."""

    def blank(match):
        token = match.group(0)
        if token[0] in "\"'":
            if keep_strings:
                return token
            return token[0] + " " * (len(token) - 2) + token[0]
        return re.sub(r"[^\n]", " ", token)

    return _C_NOISE.sub(blank, text)


def c_without_directives(code):
    """Blanks preprocessor lines with their continuations."""
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: re.sub(r"[^\n]", " ", m.group(0)),
                  code, flags=re.M)


@dataclass(frozen=True)
class Function:
    name: str
    first: int
    last: int
    static: bool


_SIGNATURE = re.compile(r"(\w+)\s*\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)\s*"
                        r"(?:__attribute__\s*\(\(.*?\)\)\s*)*$", re.S)


def c_functions(text):
    """The functions defined in C source, with their first and last line."""
    code = c_without_directives(c_code(text))
    found, depth, start, opened = [], 0, 0, None
    for at, char in enumerate(code):
        if char == "{":
            if depth == 0:
                opened = _opened_function(code, start, at)
            depth += 1
        elif char == "}":
            depth = max(0, depth - 1)
            if depth == 0:
                if opened:
                    name, first, static = opened
                    found.append(Function(name, first, code.count("\n", 0, at) + 1, static))
                opened, start = None, at + 1
        elif char == ";" and depth == 0:
            start = at + 1
    return found


def _opened_function(code, start, brace):
    head = code[start:brace]
    match = _SIGNATURE.search(head)
    if not match or "=" in head[:match.start()]:
        return None
    lead = len(head) - len(head.lstrip())
    first = code.count("\n", 0, start + lead) + 1
    return match.group(1), first, re.search(r"\bstatic\b", head[:match.start()]) is not None


def library_of(path):
    """The library a file belongs to, by the nearest listed folder; "" outside the rooms."""
    folder = os.path.dirname(path)
    while folder and folder not in LIBRARIES:
        folder = os.path.dirname(folder)
    return folder


@dataclass(frozen=True)
class Case:
    """A tiny tree, {path: text}, and the places ("path:line") where the lint must find something."""
    claim: str
    files: dict
    expected: tuple = ()


def write_tree(folder, files):
    for path, text in files.items():
        target = Path(folder) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def failed_cases(check, cases):
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            write_tree(folder, case.files)
            findings = sorted(f"{f.path}:{f.line}" for f in check(Tree(folder)))
        if findings != sorted(case.expected):
            yield f"{case.claim}: expected {sorted(case.expected)}, found {findings}"


def main(check, cases):
    """Tries the cases, then checks the tree this lint lies in, or the one named as operand."""
    name = Path(sys.argv[0]).stem
    if not any(case.expected for case in cases):
        sys.exit(f"{name}: no case shows that this lint can fail")
    broken = list(failed_cases(check, cases))
    if broken:
        sys.exit("\n".join(f"{name}: self-test: {text}" for text in broken))
    root = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]
    findings = sorted(set(check(Tree(root))), key=lambda f: (f.path, f.line, f.wrong))
    for finding in findings:
        print(finding)
    print(f"{name}: {len(cases)} self-test cases hold, {len(findings)} findings")
    sys.exit(1 if findings else 0)
