// SPDX-License-Identifier: Apache-2.0
//
// Whether a fleet is silent, or single devices are.
#include "ctl/rollout/pulse.h"

#include <criterion/criterion.h>

#define SLOT 1800
#define T0   (1000 * SLOT)

static const struct rollout_gates gates = {.rhythm_s = SLOT};

// n devices call once in each slot from first on, for as many slots.
static void live(struct rollout_pulse *p, int64_t first, int64_t slots, uint64_t n) {
    for (int64_t slot = first; slot < first + slots; slot++)
        for (uint64_t i = 0; i < n; i++)
            rollout_pulse_heard(&gates, T0 + (slot - 1) * SLOT, T0 + slot * SLOT + (int64_t)i, p);
}

static bool silent(struct rollout_pulse *p, int64_t slots) {
    return rollout_pulse_tick(&gates, T0 + slots * SLOT, p);
}

Test(rollout_pulse, a_fleet_of_which_less_than_half_is_heard_is_silent) {
    struct rollout_pulse p = {.slot = 0};
    live(&p, 0, 3, 20);
    cr_assert_not(silent(&p, 3));
    cr_assert_eq(rollout_pulse_since_s(&p), INT64_MIN);
    live(&p, 3, 1, 10); // half of them
    cr_assert_not(silent(&p, 4));
    live(&p, 4, 1, 4);
    cr_assert(silent(&p, 5));
    live(&p, 5, 1, 4); // as few as before: it stays silent
    cr_assert(silent(&p, 6));
    cr_assert_eq(rollout_pulse_since_s(&p), T0 + 6 * SLOT);
    live(&p, 6, 1, 5);
    cr_assert_not(silent(&p, 7));
    cr_assert_eq(rollout_pulse_since_s(&p), T0 + 7 * SLOT); // what was before does not count
    live(&p, 7, 2, 5);
    cr_assert_not(silent(&p, 9));
    cr_assert_eq(rollout_pulse_since_s(&p), T0 + 7 * SLOT);
}

Test(rollout_pulse, slots_in_which_nobody_calls_are_silent_whoever_calls_then) {
    struct rollout_pulse p = {.slot = 0};
    live(&p, 0, 3, 20);
    cr_assert(silent(&p, 5));
    p = (struct rollout_pulse){.slot = 0};
    live(&p, 0, 3, 20);
    rollout_pulse_heard(&gates, T0, T0 + 9 * SLOT, &p); // no tick came before it
    cr_assert(p.silent);
}

Test(rollout_pulse, a_device_counts_once_in_a_slot) {
    struct rollout_pulse p = {.slot = 0};
    live(&p, 0, 3, 20);
    for (int64_t i = 0; i < 40; i++)
        rollout_pulse_heard(&gates, T0 + 3 * SLOT, T0 + 3 * SLOT + i, &p);
    cr_assert(silent(&p, 4));
}

Test(rollout_pulse, a_few_are_never_silent_and_a_smaller_fleet_is_one_in_the_end) {
    struct rollout_pulse p = {.slot = 0};
    live(&p, 0, 3, 3);
    cr_assert_not(silent(&p, 9));
    p = (struct rollout_pulse){.slot = 0};
    live(&p, 0, 3, 20);
    live(&p, 3, 48, 5);
    cr_assert(silent(&p, 51));
    live(&p, 51, 2, 5);
    cr_assert_not(silent(&p, 53)); // a day: it is as small as that
    live(&p, 53, 1, 5);
    cr_assert_not(silent(&p, 54));
}

Test(rollout_pulse, a_silence_that_lies_ahead_of_a_clock_set_back_is_over_in_its_time) {
    struct rollout_pulse p = {.slot = 0};
    live(&p, 1000, 3, 20);
    cr_assert(silent(&p, 1005));
    rollout_pulse_break(&gates, T0, &p);
    cr_expect_eq(rollout_pulse_since_s(&p), T0);
    live(&p, 0, 47, 5);
    cr_expect(silent(&p, 47));
    live(&p, 47, 2, 5);
    cr_expect_not(silent(&p, 49)); // a day: it is as small as that
}

Test(rollout_pulse, a_slot_that_nobody_listened_to_the_whole_of_is_no_silence) {
    struct rollout_pulse p = {.slot = 0};
    live(&p, 0, 3, 20);
    rollout_pulse_break(&gates, T0 + 3 * SLOT + 1000, &p);
    rollout_pulse_heard(&gates, T0, T0 + 3 * SLOT + 1001, &p);
    cr_assert_not(silent(&p, 4));
    cr_assert(silent(&p, 5), "but the next one is");
    // A long downtime says nothing either.
    live(&p, 5, 3, 20);
    cr_assert_not(silent(&p, 8));
    rollout_pulse_break(&gates, T0 + 20 * SLOT + 10, &p);
    cr_assert_not(silent(&p, 21));
    cr_assert(silent(&p, 22));
}

Test(rollout_pulse, a_restart_in_an_outage_does_not_end_it) {
    struct rollout_pulse p = {.slot = 0}, read;
    uint8_t bytes[ROLLOUT_PULSE_BYTES];
    live(&p, 0, 3, 20);
    cr_assert(silent(&p, 5));
    rollout_pulse_format(&p, bytes);
    rollout_pulse_parse(bytes, &read);
    cr_assert_not(rollout_pulse_differs(&p, &read));
    rollout_pulse_break(&gates, T0 + 5 * SLOT + 5, &read);
    cr_assert(rollout_pulse_differs(&p, &read));
    cr_assert(silent(&read, 6));
    live(&read, 6, 1, 15);
    cr_assert_not(silent(&read, 7));
    cr_assert_eq(rollout_pulse_since_s(&read), T0 + 7 * SLOT);
    bytes[7] = 9; // of another version: nothing is known
    rollout_pulse_parse(bytes, &read);
    cr_assert_eq(read.slot, 0);
}
