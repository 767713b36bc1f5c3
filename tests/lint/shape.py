#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Length of files and functions, in C, Python and shell.

A file of 500 lines is read in one sitting and has one subject; a function of 60 lines fits on a screen
with its declarations. What outgrows this becomes a folder with the same interface header, or a table.
"""

import ast
import re

from house import Case, Finding, c_functions, main

FILE_LINES = 500
FUNCTION_LINES = 60


def c_spans(text):
    return [(f.name, f.first, f.last) for f in c_functions(text)]


def python_spans(text):
    spans = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            spans.append((node.name, node.lineno, node.end_lineno))
    return spans


_SHELL_OPEN = re.compile(r"^(?:function\s+)?([\w-]+)\s*(?:\(\s*\))\s*[{(]\s*(?:#.*)?$")


def shell_spans(text):
    """Functions written as this project does: `name() {` and a closing brace, both in column 0."""
    spans, name, first = [], None, 0
    for number, line in enumerate(text.splitlines(), 1):
        opened = _SHELL_OPEN.match(line)
        if opened and name is None:
            name, first = opened.group(1), number
        elif name and re.match(r"^[})]", line):
            spans.append((name, first, number))
            name = None
    return spans


SPANS = {".c": c_spans, ".h": c_spans, ".py": python_spans, ".sh": shell_spans}


def check(tree):
    for path in tree.files(*SPANS):
        text = tree.text(path)
        lines = len(text.splitlines())
        if lines > FILE_LINES:
            yield Finding(path, FILE_LINES + 1, f"{lines} lines in a file (at most {FILE_LINES})",
                          "make it a folder with the same interface header, or split it by subject")
        try:
            spans = SPANS[path[path.rindex("."):]](text)
        except SyntaxError as error:
            yield Finding(path, error.lineno or 1, f"not Python: {error.msg}", "mend the syntax")
            continue
        for name, first, last in spans:
            if last - first + 1 > FUNCTION_LINES:
                yield Finding(path, first, f"{name} has {last - first + 1} lines (at most {FUNCTION_LINES})",
                              "give a part of it a name of its own, or make its cases a table")


def _c_function(lines, head="int f(int a)"):
    return f"{head}\n{{\n" + "    a++;\n" * (lines - 3) + "}\n"


_OK, _LONG = _c_function(FUNCTION_LINES), _c_function(FUNCTION_LINES + 1)
_LONG_PYTHON = "def f():\n" + "    pass\n" * FUNCTION_LINES
_LONG_SHELL = "f() {\n" + "    :\n" * (FUNCTION_LINES - 1) + "}\n"

CASES = (
    Case("the longest allowed function and file pass",
         {"base/a.c": _OK, "base/b.c": "\n" * FILE_LINES}),
    Case("a longer function is found, wherever it stands",
         {"base/a.c": "static int x = 1;\n" + _LONG, "base/b.h": _c_function(61, "static inline int g(void)")},
         ("base/a.c:2", "base/b.h:1")),
    Case("a longer file is found", {"base/a.c": "\n" * (FILE_LINES + 1)}, ("base/a.c:501",)),
    Case("function pointers, attributes and strings with braces do not hide a function",
         {"base/a.c": 'static const char *s = "{";\n'
          + _c_function(61, "int f(int (*v)(void *c, int x), int a)")},
         ("base/a.c:2",)),
    Case("initialisers and structs are no functions",
         {"base/a.c": "static const int t[] = {\n" + "1,\n" * 70 + "};\nstruct s {\n" + "int a;\n" * 70 + "};\n"}),
    Case("Python and shell count too",
         {"tests/a.py": _LONG_PYTHON, "tests/run.sh": _LONG_SHELL}, ("tests/a.py:1", "tests/run.sh:1")),
)

if __name__ == "__main__":
    main(check, CASES)
