#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every change to a file system goes through base/fs: raw mutating calls elsewhere are refused.

There the recorder and the fault injector of the tests sit; a change made around them is a change whose
power cuts and failures nobody has tried.
"""

import re

from house import ROOMS, Case, Finding, c_code, main

SEAM = ("base/fs.c", "base/fs_", "base/fs/")

MUTATING = """
    creat mkdir mkdirat mkstemp mkostemp mkdtemp mknod mknodat mkfifo mkfifoat tmpfile
    unlink unlinkat remove rmdir rename renameat renameat2 link linkat symlink symlinkat
    chmod fchmod fchmodat chown fchown fchownat lchown truncate ftruncate fallocate posix_fallocate
    fsync fdatasync sync syncfs sync_file_range msync pwrite pwritev pwritev2 copy_file_range
    utime utimes futimes futimens utimensat setxattr lsetxattr fsetxattr removexattr mount umount umount2
    freopen
""".split()

_CALL = re.compile(r"(?<![\w.>])(" + "|".join(MUTATING) + r")\s*\(")
_OPEN = re.compile(r"(?<![\w.>])(open|openat|open64|openat64|openat2|fopen|fdopen)\s*\(")
_WRITING = re.compile(r"\bO_(CREAT|WRONLY|RDWR|TRUNC|APPEND|TMPFILE)\b|\"[rwa][be+x]*[+][be+x]*\"|\"[wa]\w*\"")
_SYSCALL = re.compile(r"\b(?:__NR_|SYS_)(" + "|".join(MUTATING) + r")\b")
# What lies on no disk: devices, and a knob of the kernel.
_DEVICE = re.compile(r'"(/dev/(null|tty)|/proc/self/oom_score_adj)"')


def arguments(code, start):
    """The text between the parentheses of a call whose opening one is at start."""
    depth = 0
    for at in range(start, min(len(code), start + 2000)):
        depth += {"(": 1, ")": -1}.get(code[at], 0)
        if depth == 0:
            return code[start + 1:at]
    return code[start + 1:]


def calls(text):
    code, whole = c_code(text), c_code(text, keep_strings=True)
    for match in _CALL.finditer(code):
        yield match.start(), match.group(1)
    for match in _SYSCALL.finditer(code):
        yield match.start(), match.group(0)
    for match in _OPEN.finditer(code):
        given = arguments(whole, match.end() - 1)
        if _WRITING.search(given) and not _DEVICE.search(given):
            yield match.start(), match.group(1) + " for writing"


def check(tree):
    for path in tree.files(".c", ".h", under=ROOMS):
        if path.startswith(SEAM):
            continue
        text = tree.text(path)
        for at, what in calls(text):
            yield Finding(path, text.count("\n", 0, at) + 1, f"{what} around the file-system seam",
                          "call base/fs.h, so that the tests can record it and make it fail")


CASES = (
    Case("mutating calls are found outside the seam only",
         {"base/fs.c": "x = unlinkat(d, p, 0);\n", "agent/a.c": "\nrename(a, b);\nfsync(fd);\n"},
         ("agent/a.c:2", "agent/a.c:3")),
    Case("opening to write is found, to read is not",
         {"ctl/a.c": 'open(p, O_RDONLY | O_CLOEXEC);\nopenat(d, p,\n       O_WRONLY | O_CREAT, 0600);\n'
          'fopen(p, "r");\nfopen(p, "wbe");\nfopen(p, "r+");\nfdopen(fd, "a");\n'},
         ("ctl/a.c:2", "ctl/a.c:5", "ctl/a.c:6", "ctl/a.c:7")),
    Case("a raw system call number is found", {"keys/a.c": "syscall(SYS_renameat2, a);\n"}, ("keys/a.c:1",)),
    Case("members, tables and /dev/null are not meant",
         {"agent/a.c": 'ops->fsync(fd);\nopen("/dev/null", O_RDWR);\nbundle_link(x);\n// unlink(p)\n'}),
)

if __name__ == "__main__":
    main(check, CASES)
