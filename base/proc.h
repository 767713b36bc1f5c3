// SPDX-License-Identifier: Apache-2.0
//
// Running another program: no shell, an explicit argument vector and environment, chosen
// descriptors, limits, a deadline. The child gets a process group of its own, default signal
// handling and no descriptor but those it was given. When the deadline passes the whole group is
// killed; when the thread that started it ends (with its process, say) the child is killed, but
// what it started itself then lives on unless a service manager cleans up.
//
// Needs Linux 5.3 (pidfd_open). Starting is safe in a process with threads.
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
    uint64_t data_bytes;   // RLIMIT_DATA: private memory, mapped files not counted; 0 = none
    uint64_t cpu_s;        // RLIMIT_CPU; 0 = none
    uint64_t file_bytes;   // RLIMIT_FSIZE; 0 = none
    uint64_t processes;    // RLIMIT_NPROC; 0 = none
    bool set_user; // become uid/gid, supplementary groups dropped; otherwise stay who we are
    uid_t uid;
    gid_t gid;
    // Its own, empty network namespace; that takes root. Where it cannot be had the program runs
    // all the same and PROC_NO_SANDBOX says so.
    bool no_network;
    bool no_new_privs;
    // Everybody else goes first: least share of the processor, the disk when it is idle, and the
    // first to go when memory is short; threads and children inherit it. What the machine does not
    // allow is left out.
    bool background;
};

struct proc_spec {
    const char *const *argv; // argv[0] is the absolute path
    const char *const *env;  // NULL-terminated "NAME=value" list; NULL: PATH and LANG=C only
    int directory;           // working directory, or -1
    // Stay in our process group, so that it may ask at our terminal; a deadline then kills the
    // program alone, not what it started.
    bool in_our_group;
    // The program may lie where the user of `limits` cannot look for it, below a home folder say:
    // it is found as who we are. It must be executable for that user all the same, and no script.
    bool open_first;
    int stdin_fd; // descriptors to give as 0, 1, 2; -1 gives /dev/null
    int stdout_fd;
    int stderr_fd;
    int fds[PROC_FDS_MAX];            // further descriptors, given as 3, 4, …; -1 ends
    const struct proc_limits *limits; // NULL: none
};

// Nothing given: no descriptors, no directory, no limits. Start from this, a zero would mean
// descriptor 0.
extern const struct proc_spec proc_spec_none;

struct proc {
    pid_t pid; // -1: collected
    int pidfd; // readable when it has ended; closed by proc_reap and proc_kill
};
#define PROC_NONE                                                                                  \
    { .pid = -1, .pidfd = -1 }

// Starts it. Failure to execute is reported here, not by an exit status. Kinds: not_found,
// permission, memory, io. PROC_NO_SANDBOX: it runs, but limits->no_network could not be had.
enum { PROC_NO_SANDBOX = 2 };
int proc_start(const struct proc_spec *spec, struct proc *ret, struct err *e)
    __attribute__((nonnull));
// Collects an ended child: *ret_status as wait(2) has it. 1 when it still runs.
enum { PROC_RUNNING = 1 };
int proc_reap(struct proc *p, int *ret_status, struct err *e) __attribute__((nonnull));
// Kills its process group and collects it. Safe on one that has been collected.
void proc_kill(struct proc *p) __attribute__((nonnull));

struct proc_run {
    struct slice input;         // on stdin, as a file: it can be read twice
    struct buf *output;         // stdout, appended; NULL: to /dev/null
    struct buf *noise;          // stderr; when it is full the oldest bytes go; NULL: to /dev/null
    uint64_t timeout_ms;        // of boot time; 0: no deadline
    const struct chrono *clock; // needed with a deadline
};
// Runs to the end: *ret_status as wait(2). The descriptors 0 to 2 of spec are ignored. Kinds as
// proc_start's, and limit when there is more output than the buffer may hold, timeout when the
// deadline passed; then the group has been killed. PROC_NO_SANDBOX as proc_start. What the program
// leaves running behind may keep its output open: only what was written before it ended is read.
int proc_run(const struct proc_spec *spec, const struct proc_run *how, int *ret_status,
             struct err *e) __attribute__((nonnull));
// "exit status 3", "killed by signal 9 (KILL)". Returns ret.
char *proc_describe(int status, char *ret, size_t ret_bytes) __attribute__((nonnull));
