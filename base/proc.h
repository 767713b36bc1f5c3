// SPDX-License-Identifier: Apache-2.0
//
// Running another program: no shell, an explicit argument vector and environment, chosen
// descriptors, limits, a deadline. The child is killed with its whole process group when the
// deadline passes or the parent dies.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/chrono.h"
#include "base/err.h"

#define PROC_FDS_MAX 8

struct proc_limits {
    uint64_t memory_bytes; // RLIMIT_AS; 0 = none
    uint64_t cpu_s;        // RLIMIT_CPU; 0 = none
    uint64_t file_bytes;   // RLIMIT_FSIZE; 0 = none
    uint64_t processes;    // RLIMIT_NPROC; 0 = none
    bool set_user; // become uid/gid, supplementary groups dropped; otherwise stay who we are
    uid_t uid;
    gid_t gid;
    bool no_network; // own network namespace where the kernel allows it (as root); PROC_NO_SANDBOX
                     // tells when it does not
    bool no_new_privs;
};

struct proc_spec {
    const char *const *argv; // argv[0] is the absolute path
    const char *const *env;  // NULL-terminated "NAME=value" list; NULL: PATH and LANG=C only
    int directory;           // working directory, or -1
    int stdin_fd;            // descriptors to give as 0, 1, 2; -1 gives /dev/null
    int stdout_fd;
    int stderr_fd;
    int fds[PROC_FDS_MAX];            // further descriptors, given as 3, 4, …; -1 ends
    const struct proc_limits *limits; // NULL: none
};

struct proc {
    pid_t pid;
    int pidfd; // readable when it has ended; closed by proc_reap
};

// Starts it. Failure to execute is reported here, not by an exit status. Kinds: not_found,
// permission, memory, io.
int proc_start(const struct proc_spec *spec, struct proc *ret, struct err *e)
    __attribute__((nonnull));
// Collects an ended child: *ret_status as wait(2) has it. 1 when it still runs.
enum { PROC_RUNNING = 1 };
int proc_reap(struct proc *p, int *ret_status, struct err *e) __attribute__((nonnull));
// Kills its process group and collects it. Safe on one that has ended.
void proc_kill(struct proc *p) __attribute__((nonnull));

// Runs to the end: input on stdin, at most max output bytes kept (more: limit), the last bytes of
// stderr in *ret_noise when given. Kind timeout when deadline_ms of boot time passed. *ret_status
// as wait(2).
struct proc_run {
    struct slice input;
    struct buf *output; // stdout; NULL: to /dev/null
    struct buf *noise;  // stderr, cut to its ceiling; NULL: to /dev/null
    uint64_t timeout_ms;
    const struct chrono *clock;
};
int proc_run(const struct proc_spec *spec, const struct proc_run *how, int *ret_status,
             struct err *e) __attribute__((nonnull));
// "exit status 3", "killed by signal 9 (KILL)". Returns ret.
char *proc_describe(int status, char *ret, size_t ret_bytes) __attribute__((nonnull));
