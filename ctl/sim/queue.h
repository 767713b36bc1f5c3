// SPDX-License-Identifier: Apache-2.0
//
// What is to happen, in virtual time: a heap of events, the earliest first. Events of one second come
// out in the order in which they were put in, so that a run depends on nothing but its seed.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define SIM_QUEUE_MAX 64000000 // events at once

struct sim_event {
    int64_t at_s;
    uint64_t order; // set by the queue
    uint32_t kind;
    uint32_t subject;
    uint64_t tag; // the subject's own: what it was put in for
};

// Zeroed it is empty.
struct sim_queue {
    size_t n, capacity;
    uint64_t next_order;
    struct sim_event *heap;
};

// Puts one in. Kinds: memory, limit.
int sim_queue_put(struct sim_queue *queue, const struct sim_event *event, struct err *e)
    __attribute__((nonnull));
// Takes the earliest out; SIM_QUEUE_EMPTY when there is none.
enum { SIM_QUEUE_EMPTY = 1 };
int sim_queue_take(struct sim_queue *queue, struct sim_event *ret) __attribute__((nonnull));
// Back to nothing.
void sim_queue_clear(struct sim_queue *queue) __attribute__((nonnull));
#define own_drop_queue sim_queue_clear
