// SPDX-License-Identifier: Apache-2.0
//
// A crew: several threads that take numbered tasks from one pile until it is empty or one fails. The first error wins and stops the
// others at their next task. The calling thread is one of them.
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define PACK_CREW_MAX 64

struct pack_crew {
    unsigned threads; // 0: as many as there are cores this process may use
    uint64_t n_tasks;
    // Makes what one thread needs for itself; and frees it, also when it is NULL.
    int (*enter)(void *context, void **ret_own, struct err *e);
    void (*leave)(void *context, void *own);
    int (*work)(void *context, void *own, uint64_t task, struct err *e);
    // Wakes tasks that wait for others, after one failed; may be NULL.
    void (*stop)(void *context);
    void *context;
};

int pack_crew_run(const struct pack_crew *crew, struct err *e) __attribute__((nonnull));
unsigned pack_crew_threads(unsigned wanted);
