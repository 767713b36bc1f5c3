// SPDX-License-Identifier: Apache-2.0
//
// A clock that stands still until it is moved, or moves by a step each time somebody looks.
#pragma once

#include "base/chrono.h"

struct fake_clock {
    struct chrono chrono; // hand out &clock.chrono; the clock must not move in memory
    int64_t wall_ms, boot_ms;
    int64_t step_ms; // added to both after each look
};

// Starts at these times with no step. The struct must stay where it is.
void fake_clock_init(struct fake_clock *clock, int64_t wall_ms, int64_t boot_ms)
    __attribute__((nonnull));
// Time passes: both clocks move.
void fake_clock_advance(struct fake_clock *clock, int64_t ms) __attribute__((nonnull));
