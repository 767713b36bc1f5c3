// SPDX-License-Identifier: Apache-2.0
//
// The event loop: descriptors to wait for, timers on the boot clock, and one turn at a time. Single
// thread; a watch or timer may be added and removed from within any call-back. Nothing
// domain-specific.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/chrono.h"
#include "base/err.h"

#define AGENT_LOOP_WATCHES_MAX 48

struct agent_loop_watch {
    int fd; // -1: free
    short events;
    bool safe; // see agent_loop_serve
    void (*ready)(void *context, short revents);
    void *context;
};

struct agent_loop_timer {
    bool armed;
    int64_t at_ms; // boot clock
    void (*due)(void *context);
    void *context;
    struct agent_loop_timer *next; // all timers of a loop
};

struct agent_loop {
    const struct chrono *clock; // borrowed
    struct agent_loop_watch watches[AGENT_LOOP_WATCHES_MAX];
    struct agent_loop_timer *timers;
};

void agent_loop_init(struct agent_loop *loop, const struct chrono *clock) __attribute__((nonnull));

// Calls ready(context, revents) when poll(2) says so. Kind limit when there are too many.
int agent_loop_watch(struct agent_loop *loop, int fd, short events,
                     void (*ready)(void *context, short revents), void *context, struct err *e)
    __attribute__((nonnull(1, 4, 6)));
void agent_loop_events(struct agent_loop *loop, int fd, short events) __attribute__((nonnull));
void agent_loop_unwatch(struct agent_loop *loop, int fd) __attribute__((nonnull));

// A timer lives in its owner; it is known to the loop from add to remove.
void agent_loop_add_timer(struct agent_loop *loop, struct agent_loop_timer *timer,
                          void (*due)(void *context), void *context)
    __attribute__((nonnull(1, 2, 3)));
void agent_loop_remove_timer(struct agent_loop *loop, struct agent_loop_timer *timer)
    __attribute__((nonnull));
// Arms it to be due once, in so many milliseconds.
void agent_loop_arm(struct agent_loop *loop, struct agent_loop_timer *timer, int64_t in_ms)
    __attribute__((nonnull));
void agent_loop_disarm(struct agent_loop_timer *timer) __attribute__((nonnull));

// Waits for one event or timer, at most wait_ms (< 0: as long as it takes), and calls what is
// ready.
int agent_loop_turn(struct agent_loop *loop, int64_t wait_ms, struct err *e)
    __attribute__((nonnull));
// Serves only the watches marked with agent_loop_mark_safe, without waiting: for long work in
// between that must not be re-entered but still answers whoever asks for the status.
int agent_loop_serve(struct agent_loop *loop, struct err *e) __attribute__((nonnull));
void agent_loop_mark_safe(struct agent_loop *loop, int fd) __attribute__((nonnull));
