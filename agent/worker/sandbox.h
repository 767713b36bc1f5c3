// SPDX-License-Identifier: Apache-2.0
//
// The cage of the worker, put on after the job is read and before the first byte from outside: no
// new privileges, no core dumps, Landlock (files can be written below the staging directory only,
// and read only where name resolution and certificates need it), seccomp (no new programs or
// processes, no tracing, no mounts, no namespaces, no kernel modules or keys, sockets of the
// internet and local families only). Where the kernel has no Landlock or no seccomp, the rest holds
// and worker_sandbox_enter says what is missing.
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct worker_sandbox {
    int writable_dir;      // below it everything may be made and removed; -1 none
    int readable_dir;      // -1 none
    int other_dir;         // one more to read; -1 none
    const char *read_file; // a file that may be read too (CA, metrics); NULL or "" none
    bool no_sockets;       // neither makes nor connects a socket of any family
};

struct worker_sandbox_state {
    bool landlock;
    bool seccomp;
};

int worker_sandbox_enter(const struct worker_sandbox *how, struct worker_sandbox_state *ret,
                         struct err *e) __attribute__((nonnull));
