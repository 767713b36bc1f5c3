#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every header compiles alone, as C17 with the warnings of the build as errors.

A header that needs another one to come first works until somebody sorts the includes.
"""

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

from house import ROOMS, Case, Finding, main

FLAGS = """-std=c17 -fsyntax-only -x c -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64
    -DEDGE_SOURCE_DIR="." -DEDGE_VERSION="0" -DEDGE_RELEASE_TIME_S=0 -DEDGE_SYSCONFDIR="/etc" -DEDGE_LIBEXECDIR="/usr/libexec" -Wall -Wextra -Wconversion
    -Wsign-conversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wvla -Werror""".split()


def compile_alone(tree, path):
    """None, or what the compiler said first."""
    compiler = os.environ.get("CC", "cc").split()
    done = subprocess.run([*compiler, *FLAGS, "-I", str(tree.root), "-"], text=True, check=False,
                          input=f'#include "{path}"\n', capture_output=True)
    if done.returncode == 0:
        return None
    said = re.search(r"^(.*?):(\d+):\d+: (?:fatal )?error: (.*)$", done.stderr, re.M)
    if not said:
        return 1, done.stderr.strip().splitlines()[-1]
    inside = said.group(1).endswith(path)
    return int(said.group(2)) if inside else 1, said.group(3)


def check(tree):
    headers = tree.files(".h", under=ROOMS + ("tests",))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, said in zip(headers, pool.map(lambda p: compile_alone(tree, p), headers)):
            if said:
                yield Finding(path, said[0], f"does not compile alone: {said[1]}",
                              "include what it uses, or declare the struct")


CASES = (
    Case("headers that stand alone pass",
         {"base/a.h": "#include <stddef.h>\nsize_t a_len(void);\n", "keys/b.h": '#include "base/a.h"\nsize_t b(void);\n'}),
    Case("one that leans on its includer is found", {"base/a.h": "\nsize_t a_len(void);\n"}, ("base/a.h:2",)),
    Case("a warning is an error", {"base/a.h": "static inline int f() { return 1L << 40; }\n"}, ("base/a.h:1",)),
)

if __name__ == "__main__":
    main(check, CASES)
