// SPDX-License-Identifier: Apache-2.0
//
// How long to wait: jittered polling, decorrelated back-off, maintenance windows. Pure: random
// numbers and the local time are arguments.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define FSM_PACE_RETRY_AFTER_MAX_S 86400 // what a server may ask for at most
#define FSM_PACE_DAY_MIN           1440

// poll_s ± 50 %, in milliseconds. `random` is uniform over 32 bits.
int64_t fsm_pace_poll_ms(uint64_t poll_s, uint32_t random);

// The next pause after a failure, given the one before (0: the first): uniform between base and
// three times the last, at most cap. So a fleet that failed together does not come back together.
int64_t fsm_pace_backoff_ms(int64_t last_ms, int64_t base_ms, int64_t cap_ms, uint32_t random);

// What a Retry-After means here: capped, spread by up to a tenth so that it is no appointment.
int64_t fsm_pace_retry_after_ms(uint64_t retry_after_s, uint32_t random);

// A maintenance window of every chosen weekday, in local minutes of the day. end <= start goes past
// midnight; the day is that of its beginning.
struct fsm_pace_window {
    bool set; // false: always open
    unsigned start_min;
    unsigned end_min;
    unsigned days; // bit 0 Sunday … bit 6 Saturday
};

// Minutes until the window opens, 0 when it is open. weekday 0..6 (Sunday first), minute 0..1439.
unsigned fsm_pace_window_wait_min(const struct fsm_pace_window *window, unsigned weekday,
                                  unsigned minute) __attribute__((nonnull));
