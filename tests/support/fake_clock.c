// SPDX-License-Identifier: Apache-2.0
//
// Virtual time for tests.

#include "tests/support/fake_clock.h"

static int64_t look_at_wall(void *context) {
    struct fake_clock *clock = context;
    int64_t now = clock->wall_ms;
    fake_clock_advance(clock, clock->step_ms);
    return now;
}

static int64_t look_at_boot(void *context) {
    struct fake_clock *clock = context;
    int64_t now = clock->boot_ms;
    fake_clock_advance(clock, clock->step_ms);
    return now;
}

void fake_clock_init(struct fake_clock *clock, int64_t wall_ms, int64_t boot_ms) {
    *clock = (struct fake_clock){
        .chrono = {.wall_ms = look_at_wall, .boot_ms = look_at_boot, .context = clock},
        .wall_ms = wall_ms,
        .boot_ms = boot_ms,
    };
}

void fake_clock_advance(struct fake_clock *clock, int64_t ms) {
    clock->wall_ms += ms;
    clock->boot_ms += ms;
}
