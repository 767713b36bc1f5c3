// SPDX-License-Identifier: Apache-2.0
//
// A program run on the loop: no shell, bounded output, a deadline after which its process group is
// killed. For runners of probes, on_activate and fact commands.
#pragma once

#include <stdbool.h>

#include "agent/loop.h"
#include "base/buf.h"
#include "base/proc.h"

#define AGENT_TASK_OUTPUT_MAX (64 * 1024)
#define AGENT_TASK_NOISE_MAX  4096

struct agent_task; // one running program

struct agent_task_spec {
    const char *const *argv;
    const char *const *env;           // as in proc_spec
    struct slice input;               // on stdin, then its end
    const struct proc_limits *limits; // or NULL
    uint64_t timeout_ms;
};

// How it ended. Everything is borrowed and ends with the call-back.
struct agent_task_result {
    int status; // as wait(2)
    bool timed_out;
    bool overflow; // more output than AGENT_TASK_OUTPUT_MAX: it was killed
    uint64_t peak_memory_bytes;
    struct slice output;
    const char *noise; // stderr, its end
};

// Starts it; done(context, …) is called once from the loop when it has ended, unless cancelled
// before. The task is gone when done is called.
int agent_task_start(struct agent_loop *loop, const struct agent_task_spec *spec,
                     void (*done)(void *context, const struct agent_task_result *result),
                     void *context, struct agent_task **ret, struct err *e)
    __attribute__((nonnull(1, 2, 3, 5, 6)));
// Kills it without a call-back. NULL is fine.
void agent_task_cancel(struct agent_task *task);
// "exit status 3: last line of stderr", "did not end in 30 s". Returns ret.
char *agent_task_describe(const struct agent_task_result *result, char *ret, size_t ret_bytes)
    __attribute__((nonnull));
// 0 when it ended by itself with exit status 0.
bool agent_task_passed(const struct agent_task_result *result) __attribute__((nonnull));
