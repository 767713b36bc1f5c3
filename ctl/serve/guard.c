// SPDX-License-Identifier: Apache-2.0
//
// Deadlines for connections.
#include "ctl/serve/guard.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

struct serve_guard_entry {
    int fd;
    int64_t deadline_ms;
    struct serve_guard_entry *before, *after;
};

struct serve_guard {
    pthread_mutex_t lock;
    struct serve_guard_entry *first;
};

int serve_guard_open(struct serve_guard **ret, struct err *e) {
    struct serve_guard *guard = calloc(1, sizeof *guard);
    if (guard == NULL)
        return err_set(e, &err_memory, "starting: out of memory");
    (void)pthread_mutex_init(&guard->lock, NULL);
    *ret = guard;
    return 0;
}

void serve_guard_close(struct serve_guard *guard) {
    if (guard == NULL)
        return;
    while (guard->first != NULL) {
        struct serve_guard_entry *entry = guard->first;
        guard->first = entry->after;
        free(entry);
    }
    (void)pthread_mutex_destroy(&guard->lock);
    free(guard);
}

struct serve_guard_entry *serve_guard_add(struct serve_guard *guard, int fd, int64_t deadline_ms) {
    struct serve_guard_entry *entry = malloc(sizeof *entry);
    if (entry == NULL)
        return NULL;
    *entry = (struct serve_guard_entry){.fd = fd, .deadline_ms = deadline_ms};
    (void)pthread_mutex_lock(&guard->lock);
    entry->after = guard->first;
    if (guard->first != NULL)
        guard->first->before = entry;
    guard->first = entry;
    (void)pthread_mutex_unlock(&guard->lock);
    return entry;
}

void serve_guard_remove(struct serve_guard *guard, struct serve_guard_entry *entry) {
    if (entry == NULL)
        return;
    (void)pthread_mutex_lock(&guard->lock);
    if (entry->after != NULL)
        entry->after->before = entry->before;
    *(entry->before != NULL ? &entry->before->after : &guard->first) = entry->after;
    (void)pthread_mutex_unlock(&guard->lock);
    free(entry);
}

void serve_guard_set(struct serve_guard *guard, struct serve_guard_entry *entry,
                     int64_t deadline_ms) {
    (void)pthread_mutex_lock(&guard->lock);
    entry->deadline_ms = deadline_ms;
    (void)pthread_mutex_unlock(&guard->lock);
}

// Under the lock, so that no descriptor is shut down that was closed and given to somebody else:
// the library tells of the end of a connection before it closes it.
size_t serve_guard_sweep(struct serve_guard *guard, int64_t now_ms) {
    size_t n = 0;
    (void)pthread_mutex_lock(&guard->lock);
    for (struct serve_guard_entry *entry = guard->first; entry != NULL; entry = entry->after)
        if (now_ms >= entry->deadline_ms) {
            (void)shutdown(entry->fd, SHUT_RDWR);
            entry->deadline_ms = INT64_MAX;
            n++;
        }
    (void)pthread_mutex_unlock(&guard->lock);
    return n;
}
