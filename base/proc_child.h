// SPDX-License-Identifier: Apache-2.0
//
// Inside base/proc only: what happens between fork and exec. Another thread may have held any lock
// at the moment of the fork, so only async-signal-safe calls are made there, and everything they
// need is prepared before.
#pragma once

#include "base/proc.h"

// Where the child was when something failed.
enum proc_step {
    PROC_STEP_DESCRIPTORS,
    PROC_STEP_DIRECTORY,
    PROC_STEP_LIMITS,
    PROC_STEP_USER,
    PROC_STEP_PARENT,
    PROC_STEP_EXECUTE,
    PROC_STEP_NO_NETWORK, // not fatal: the program runs with a network
};

// What the child says through its pipe; silence until the end of the pipe means that the program
// runs.
struct proc_word {
    enum proc_step step;
    int error; // errno
};

struct proc_plan {
    const struct proc_spec *spec;
    char *const *argv;
    char *const *env;
    pid_t parent;
    int report_fd; // close-on-exec
};

// Becomes the program, or reports and ends.
_Noreturn void proc_child_become(const struct proc_plan *plan);

// Closes every descriptor from `first` on, without close_range: for kernels before 5.9. Here for
// its test.
void proc_child_close_from(int first);
