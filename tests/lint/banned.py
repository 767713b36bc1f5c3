#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Banned calls, where the compiler cannot see them: base/banned.h undone, or a function's address taken."""

import re

from house import ROOMS, Case, Finding, c_code, main

BANNED = ("strcpy strcat strncpy strncat sprintf vsprintf gets atoi atol atoll strtok rand srand "
          "alloca system popen tmpnam mktemp").split()

_CALL = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
_ADDRESS = re.compile(r"(?:[=,(&?:]|\breturn)\s*&?(?<![\w.>])(" + "|".join(BANNED) + r")(?=\s*[,;)}:])")
_UNDONE = re.compile(r"^[ \t]*#[ \t]*undef[ \t]+(" + "|".join(BANNED) + r")\b", re.M)
# A local variable or a parameter may be called `system`; then it is not the function's address.
_VARIABLE = r"(?:\w|\*)\s*[\s*]{name}\s*(?:[,;=)\[]|$)"


def check(tree):
    for path in tree.files(".c", ".h", under=ROOMS + ("examples",)):
        if path == "base/banned.h":
            continue
        code = c_code(tree.text(path))
        for pattern in (_CALL, _ADDRESS, _UNDONE):
            for match in pattern.finditer(code):
                name = match.group(1)
                if pattern is _ADDRESS and re.search(_VARIABLE.format(name=name), code, re.M):
                    continue
                line = code.count("\n", 0, match.start(1)) + 1
                yield Finding(path, line, f"{name} is banned", "base/banned.h says what to use instead")


CASES = (
    Case("calls are found", {"base/a.c": "void f(void)\n{\n    strcpy(a, b);\n    x = atoi (s);\n}\n"},
         ("base/a.c:3", "base/a.c:4")),
    Case("an address is found", {"ctl/a.c": "int (*f)(const char *) = system;\ng(&rand, strtok);\n"},
         ("ctl/a.c:1", "ctl/a.c:2", "ctl/a.c:2")),
    Case("undoing the ban is found", {"keys/a.c": "#undef strcpy\n"}, ("keys/a.c:1",)),
    Case("members, longer names, comments, strings and variables are not calls",
         {"agent/a.c": 'x->system(1); a.rand(2);\nstrtok_r(a, b, c);\n// strcpy(a, b)\np = "atoi(";\n'
          "int f(const char *system)\n{\n    g(system);\n}\n"}),
)

if __name__ == "__main__":
    main(check, CASES)
