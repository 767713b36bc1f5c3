// SPDX-License-Identifier: Apache-2.0
//
// See loop.h. The number of watches is small and fixed, so they are an array that poll(2) gets a
// copy of.
#include "agent/loop.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>

// Longest single wait: a suspended machine's boot clock goes on while poll's does not.
#define TURN_MAX_MS 60000

void agent_loop_init(struct agent_loop *loop, const struct chrono *clock) {
    *loop = (struct agent_loop){.clock = clock};
    for (size_t i = 0; i < AGENT_LOOP_WATCHES_MAX; i++)
        loop->watches[i].fd = -1;
}

static struct agent_loop_watch *find(struct agent_loop *loop, int fd) {
    for (size_t i = 0; i < AGENT_LOOP_WATCHES_MAX; i++) {
        if (loop->watches[i].fd == fd)
            return &loop->watches[i];
    }
    return NULL;
}

int agent_loop_watch(struct agent_loop *loop, int fd, short events,
                     void (*ready)(void *context, short revents), void *context, struct err *e) {
    assert(fd >= 0 && !find(loop, fd));
    struct agent_loop_watch *free_one = find(loop, -1);
    if (!free_one)
        return err_set(e, &err_limit, "more than %d descriptors to wait for",
                       AGENT_LOOP_WATCHES_MAX);
    *free_one =
        (struct agent_loop_watch){.fd = fd, .events = events, .ready = ready, .context = context};
    return 0;
}

void agent_loop_events(struct agent_loop *loop, int fd, short events) {
    struct agent_loop_watch *watch = find(loop, fd);
    assert(watch);
    watch->events = events;
}

void agent_loop_mark_safe(struct agent_loop *loop, int fd) {
    struct agent_loop_watch *watch = find(loop, fd);
    assert(watch);
    watch->safe = true;
}

void agent_loop_unwatch(struct agent_loop *loop, int fd) {
    struct agent_loop_watch *watch = fd >= 0 ? find(loop, fd) : NULL;
    if (watch)
        watch->fd = -1;
}

void agent_loop_add_timer(struct agent_loop *loop, struct agent_loop_timer *timer,
                          void (*due)(void *context), void *context) {
    *timer = (struct agent_loop_timer){.due = due, .context = context, .next = loop->timers};
    loop->timers = timer;
}

void agent_loop_remove_timer(struct agent_loop *loop, struct agent_loop_timer *timer) {
    for (struct agent_loop_timer **at = &loop->timers; *at; at = &(*at)->next) {
        if (*at == timer) {
            *at = timer->next;
            return;
        }
    }
}

void agent_loop_arm(struct agent_loop *loop, struct agent_loop_timer *timer, int64_t in_ms) {
    timer->at_ms = chrono_boot_ms(loop->clock) + (in_ms > 0 ? in_ms : 0);
    timer->armed = true;
}

void agent_loop_disarm(struct agent_loop_timer *timer) {
    timer->armed = false;
}

// Polls the watches (only the safe ones, when asked) and calls those that are ready.
static int poll_watches(struct agent_loop *loop, bool safe_only, int wait_ms, struct err *e) {
    struct pollfd fds[AGENT_LOOP_WATCHES_MAX];
    nfds_t n = 0;
    for (size_t i = 0; i < AGENT_LOOP_WATCHES_MAX; i++) {
        const struct agent_loop_watch *watch = &loop->watches[i];
        if (watch->fd >= 0 && (watch->safe || !safe_only))
            fds[n++] = (struct pollfd){.fd = watch->fd, .events = watch->events};
    }
    int ready = poll(fds, n, wait_ms);
    if (ready < 0 && errno != EINTR)
        return err_errno(e, errno, "waiting for events");
    for (nfds_t i = 0; ready > 0 && i < n; i++) {
        if (fds[i].revents == 0)
            continue;
        // A call-back before this one may have ended the watch.
        struct agent_loop_watch *watch = find(loop, fds[i].fd);
        if (watch)
            watch->ready(watch->context, fds[i].revents);
    }
    return 0;
}

// The earliest armed timer, or NULL.
static struct agent_loop_timer *earliest(const struct agent_loop *loop) {
    struct agent_loop_timer *first = NULL;
    for (struct agent_loop_timer *t = loop->timers; t; t = t->next) {
        if (t->armed && (!first || t->at_ms < first->at_ms))
            first = t;
    }
    return first;
}

int agent_loop_turn(struct agent_loop *loop, int64_t wait_ms, struct err *e) {
    int64_t now = chrono_boot_ms(loop->clock);
    struct agent_loop_timer *timer = earliest(loop);
    int64_t wait = TURN_MAX_MS;
    if (wait_ms >= 0 && wait_ms < wait)
        wait = wait_ms;
    if (timer && timer->at_ms - now < wait)
        wait = timer->at_ms > now ? timer->at_ms - now : 0;
    if (poll_watches(loop, false, (int)wait, e) < 0)
        return -1;
    // Each due timer once: one that arms itself again, due at once, waits for the next turn.
    now = chrono_boot_ms(loop->clock);
    for (int i = 0; i < AGENT_LOOP_WATCHES_MAX; i++) {
        timer = earliest(loop);
        if (!timer || timer->at_ms > now)
            break;
        timer->armed = false;
        timer->due(timer->context);
    }
    return 0;
}

int agent_loop_serve(struct agent_loop *loop, struct err *e) {
    return poll_watches(loop, true, 0, e);
}
