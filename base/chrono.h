// SPDX-License-Identifier: Apache-2.0
//
// The clock seam. Nothing outside this file reads a clock. `struct chrono` is handed to whoever
// needs time, so that tests and the simulator run in virtual time. All times are int64 milliseconds
// or seconds since 1970-01-01T00:00:00Z; `boot` is time since boot including suspend
// (CLOCK_BOOTTIME), which no one can set.
#pragma once

#include <stdint.h>

#include "base/err.h"

#define CHRONO_TEXT_BYTES 24             // "2026-11-22T14:34:41Z" and its NUL
#define CHRONO_MAX_S      253402300799LL // 9999-12-31T23:59:59Z

struct chrono {
    int64_t (*wall_ms)(void *context);
    int64_t (*boot_ms)(void *context);
    void *context;
};

// The machine's own clock. Static; never freed.
const struct chrono *chrono_system(void);

int64_t chrono_wall_ms(const struct chrono *clock) __attribute__((nonnull));
int64_t chrono_boot_ms(const struct chrono *clock) __attribute__((nonnull));

// RFC 3339 in UTC with whole seconds, exactly "YYYY-MM-DDTHH:MM:SSZ", years 1970..9999; impossible
// dates are refused.
int chrono_parse(const char *text, const char *what, int64_t *ret_s, struct err *e)
    __attribute__((nonnull));
// Returns ret. Seconds outside 0..CHRONO_MAX_S are clamped.
char *chrono_format(int64_t seconds, char ret[static CHRONO_TEXT_BYTES]);
