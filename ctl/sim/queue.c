// SPDX-License-Identifier: Apache-2.0
//
// A heap with four children to a node: half as deep as one with two, and they share a cache line.
#include "ctl/sim/queue.h"

#include <stdbool.h>
#include <stdlib.h>

#define CHILDREN 4

static bool before(const struct sim_event *a, const struct sim_event *b) {
    return a->at_s < b->at_s || (a->at_s == b->at_s && a->order < b->order);
}

int sim_queue_put(struct sim_queue *queue, const struct sim_event *event, struct err *e) {
    if (queue->n == queue->capacity) {
        size_t capacity = queue->capacity == 0 ? 1024 : 2 * queue->capacity;
        if (capacity > SIM_QUEUE_MAX)
            return err_set(e, &err_limit, "simulating: more than %d events are to come",
                           SIM_QUEUE_MAX);
        void *grown = reallocarray(queue->heap, capacity, sizeof *queue->heap);
        if (grown == NULL)
            return err_set(e, &err_memory, "simulating: out of memory");
        queue->heap = grown;
        queue->capacity = capacity;
    }
    struct sim_event put = *event;
    put.order = queue->next_order++;
    size_t at = queue->n++;
    while (at > 0 && before(&put, &queue->heap[(at - 1) / CHILDREN])) {
        queue->heap[at] = queue->heap[(at - 1) / CHILDREN];
        at = (at - 1) / CHILDREN;
    }
    queue->heap[at] = put;
    return 0;
}

int sim_queue_take(struct sim_queue *queue, struct sim_event *ret) {
    if (queue->n == 0)
        return SIM_QUEUE_EMPTY;
    *ret = queue->heap[0];
    struct sim_event last = queue->heap[--queue->n];
    size_t at = 0;
    for (;;) {
        size_t first = at * CHILDREN + 1, best = first;
        if (first >= queue->n)
            break;
        for (size_t i = first + 1; i < first + CHILDREN && i < queue->n; i++)
            if (before(&queue->heap[i], &queue->heap[best]))
                best = i;
        if (!before(&queue->heap[best], &last))
            break;
        queue->heap[at] = queue->heap[best];
        at = best;
    }
    if (queue->n > 0)
        queue->heap[at] = last;
    return 0;
}

void sim_queue_clear(struct sim_queue *queue) {
    free(queue->heap);
    *queue = (struct sim_queue){.n = 0};
}
