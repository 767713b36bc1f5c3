#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Who may include whom: the picture in ARCHITECTURE.md, held against the include graph.

Also: includes have the form "room/file.h" and name a file that exists, no header reaches itself, and
the header of a foreign library is seen only where that library is allowed.
"""

import re

from house import ROOMS, Case, Finding, c_code, library_of, main

_TRUST = {"base", "keys"}
_WIRE = _TRUST | {"bundle"}
_CTL = _WIRE | {"keys/sign", "bundle/unpack", "ctl"}

# A library may include itself and these.
ALLOWED = {
    "base": set(),
    "keys": {"base"},
    "keys/foreign": _TRUST,
    "keys/sign": _TRUST,
    "bundle": _TRUST,
    "bundle/unpack": _WIRE,
    "bundle/pack": _WIRE | {"bundle/unpack", "keys/sign"},
    "agent/fsm": _WIRE,
    "agent": _WIRE | {"agent/fsm"},
    "agent/net": _WIRE | {"bundle/unpack", "agent"},
    "agent/worker": _WIRE | {"bundle/unpack", "agent", "agent/net", "keys/foreign"},
    "agent/counter": {"base"},
    "ctl": _CTL,
    "ctl/repo": _CTL,
    "ctl/rollout": _WIRE,
    "ctl/sim": _CTL | {"ctl/rollout", "agent/fsm"},
    "ctl/store": _CTL | {"ctl/rollout"},
    "ctl/net": _CTL,
    "ctl/serve": _CTL | {"ctl/repo", "ctl/rollout", "ctl/store"},
    "ctl/cmd": _CTL | {"ctl/repo", "ctl/rollout", "ctl/sim", "ctl/store", "ctl/net", "ctl/serve", "bundle/pack"},
}

# A program's main sees what its library may see, and the commands.
MAINS = {"ctl/main.c": {"ctl/cmd", "ctl/serve", "ctl/store", "ctl/net"}}

# Foreign headers: (pattern, where they may be included: folders, or one file).
FOREIGN = (
    (r"curl/", ("agent/net", "ctl/net")),
    (r"openssl/", ("keys/foreign", "agent/net", "ctl/net", "tests/unit/keys/foreign")),
    (r"sodium(\.h|/)", ("keys", "tests/unit/keys")),
    (r"z(std|dict|std_errors)\.h", ("bundle/unpack", "bundle/pack", "tests/unit/bundle/unpack")),
    (r"(lzma|bzlib)\.h", ("bundle/unpack", "bundle/pack", "tests/unit/bundle/unpack")),
    (r"(archive(_entry)?|divsufsort(64)?)\.h", ("bundle/pack",)),
    (r"sqlite3.*\.h", ("ctl/store",)),
    (r"(libpq-fe|libpq/.*|postgresql/.*)", ("ctl/store",)),
    (r"microhttpd\.h", ("ctl/serve",)),
    (r"tss2/", ("agent/counter",)),
    (r"p11-kit/", ("keys/sign/pkcs11.c",)),
    (r"yaml\.h", ("ctl/yaml.c",)),
    (r"criterion/", ("tests",)),
    (r"systemd/", ()),
)

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def includes(tree, path):
    code = c_code(tree.text(path), keep_strings=True)
    for match in _INCLUDE.finditer(code):
        yield code.count("\n", 0, match.start()) + 1, match.group(1), match.group(2)


def inside(path, places):
    return any(path == place or path.startswith(place + "/") for place in places)


def check_foreign(path, line, header):
    for pattern, places in FOREIGN:
        if re.match(pattern, header) and not inside(path, places):
            where = ", ".join(places) or "nowhere in this project"
            yield Finding(path, line, f"<{header}> is visible here",
                          f"that library belongs to {where}: call the interface of that folder")


def check_own(tree, path, line, header):
    if not tree.exists(header):
        yield Finding(path, line, f'"{header}" is no file of this project',
                      'write includes as "room/file.h", from the root')
        return
    if path.split("/")[0] not in ROOMS:
        return
    mine, other = library_of(path), library_of(header)
    if not other:
        yield Finding(path, line, f'"{header}" is outside the rooms',
                      "rooms know only rooms: move what is shared below")
    elif mine != other and other not in ALLOWED[mine] | MAINS.get(path, set()):
        yield Finding(path, line, f"{mine}/ includes {other}/ ({header})",
                      "see ARCHITECTURE.md for who may know whom: pass what is needed, or move it below")


def check_cycles(graph):
    """One finding for each edge that closes a cycle, by depth-first search with a list as stack."""
    done = set()
    for start in sorted(graph):
        trail, stack = [], [(start, 0)]
        while stack:
            node, line = stack.pop()
            if node is None:
                done.add(trail.pop())
                continue
            if node in done or node in trail:
                continue
            trail.append(node)
            stack.append((None, 0))
            for at, header in graph.get(node, ()):
                if header in trail:
                    way = " -> ".join(trail[trail.index(header):] + [header])
                    yield Finding(node, at, f"include cycle {way}",
                                  "declare the struct instead of including its header, or split the header")
                stack.append((header, at))


def check(tree):
    graph = {}
    for path in tree.files(".c", ".h"):
        for line, mark, header in includes(tree, path):
            if mark == "<":
                yield from check_foreign(path, line, header)
            else:
                yield from check_own(tree, path, line, header)
                graph.setdefault(path, []).append((line, header))
    yield from check_cycles(graph)


CASES = (
    Case("a clean tree passes",
         {"base/err.h": "", "keys/root.h": '#include "base/err.h"\n#include <sodium.h>\n'}),
    Case("a lower room may not know a higher one",
         {"keys/root.h": "", "base/err.c": '\n#include "keys/root.h"\n'}, ("base/err.c:2",)),
    Case("agent and ctl never see each other",
         {"agent/loop.h": "", "ctl/x.c": '#include "agent/loop.h"\n'}, ("ctl/x.c:1",)),
    Case("the one arrow: the simulator uses the agent's state machine",
         {"agent/fsm/fsm.h": "", "ctl/sim/run.c": '#include "agent/fsm/fsm.h"\n'}),
    Case("a device room may not see packing",
         {"bundle/pack/w.h": "", "agent/worker/x.c": '#include "bundle/pack/w.h"\n'}, ("agent/worker/x.c:1",)),
    Case("the resident agent sees no decoder",
         {"bundle/unpack/f.h": "", "agent/stage.c": '#include "bundle/unpack/f.h"\n'}, ("agent/stage.c:1",)),
    Case("a sub-folder that is no library counts as its parent",
         {"ctl/store/s.h": "", "ctl/deep/x.c": '#include "ctl/store/s.h"\n'}, ("ctl/deep/x.c:1",)),
    Case("foreign headers stay where they belong",
         {"agent/a.c": "#include <curl/curl.h>\n", "agent/net/h.c": "#include <curl/curl.h>\n",
          "ctl/yaml.c": "#include <yaml.h>\n", "ctl/x.c": "#include <yaml.h>\n"},
         ("agent/a.c:1", "ctl/x.c:1")),
    Case("an include has the form room/file.h",
         {"base/err.h": "", "base/a.c": '#include "err.h"\n', "base/b.c": '#include "../base/err.h"\n'},
         ("base/a.c:1", "base/b.c:1")),
    Case("a cycle is found once",
         {"base/a.h": '#include "base/b.h"\n', "base/b.h": '#include "base/c.h"\n',
          "base/c.h": '\n#include "base/a.h"\n'}, ("base/c.h:2",)),
    Case("an include in a comment is none",
         {"base/a.c": '// #include "keys/x.h"\n/*\n#include <curl/curl.h>\n*/\n'}),
)

if __name__ == "__main__":
    main(check, CASES)
