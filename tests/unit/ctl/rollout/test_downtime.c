// SPDX-License-Identifier: Apache-2.0
//
// Time that was listened.
#include "ctl/rollout/downtime.h"

#include <criterion/criterion.h>

#define DAY 86400
#define NOW (1000 * DAY)

// Up each day but for an hour.
static struct rollout_downtime nightly(int days) {
    struct rollout_downtime down = {.last_s = 0};
    rollout_downtime_start(&down, NOW);
    for (int i = 1; i <= days; i++) {
        down.last_s = NOW + i * DAY - 3600; // it ticked all day
        rollout_downtime_start(&down, NOW + i * DAY);
    }
    return down;
}

Test(rollout_downtime, a_first_start_knows_of_no_silence_before_it) {
    struct rollout_downtime down = {.last_s = 0};
    rollout_downtime_start(&down, NOW);
    cr_expect_lt(rollout_downtime_before_s(&down, NOW + 10, 60), 0);
    cr_expect_eq(rollout_downtime_before_s(&down, NOW + 70, 60), NOW + 10);
}

Test(rollout_downtime, a_timeout_is_longer_by_the_time_that_nobody_listened) {
    struct rollout_downtime down = {.last_s = 0};
    rollout_downtime_start(&down, NOW);
    down.last_s = NOW + DAY;
    rollout_downtime_start(&down, NOW + DAY + 600);
    int64_t now_s = NOW + DAY + 1000; // listened to for 400 s
    cr_expect_eq(rollout_downtime_before_s(&down, now_s, 300), now_s - 300);
    cr_expect_eq(rollout_downtime_before_s(&down, now_s, 400), now_s - 400);
    cr_expect_eq(rollout_downtime_before_s(&down, now_s, 500), now_s - 500 - 600);
    cr_expect_eq(rollout_downtime_listened_s(&down, NOW + DAY - 50, now_s), 450);
    cr_expect_eq(rollout_downtime_listened_s(&down, NOW + DAY + 100, now_s), 400);
    cr_expect_eq(rollout_downtime_listened_s(&down, now_s - 7, now_s), 7);
}

Test(rollout_downtime, nightly_restarts_delay_by_their_sum_alone) {
    struct rollout_downtime down = nightly(10);
    int64_t now_s = NOW + 10 * DAY;
    int64_t before_s = rollout_downtime_before_s(&down, now_s, 3 * DAY);
    cr_expect_eq(now_s - before_s, 3 * DAY + 4 * 3600);
    cr_expect_eq(rollout_downtime_listened_s(&down, before_s, now_s), 3 * DAY);
}

Test(rollout_downtime, the_oldest_are_moved_together_and_their_sum_stays) {
    struct rollout_downtime down = nightly(3 * ROLLOUT_DOWNTIME_GAPS);
    int64_t now_s = NOW + (int64_t)3 * ROLLOUT_DOWNTIME_GAPS * DAY;
    cr_expect_eq(down.n, ROLLOUT_DOWNTIME_GAPS);
    cr_expect_eq(rollout_downtime_listened_s(&down, NOW, now_s),
                 (int64_t)3 * ROLLOUT_DOWNTIME_GAPS * (DAY - 3600));
    cr_expect_eq(now_s - rollout_downtime_before_s(&down, now_s, 3 * DAY), 3 * DAY + 4 * 3600);
}

Test(rollout_downtime, a_clock_that_is_set_is_no_silence) {
    struct rollout_downtime down = {.last_s = 0};
    rollout_downtime_start(&down, NOW);
    down.last_s = NOW + 100;
    rollout_downtime_jump(&down, NOW + 100 + DAY, DAY); // forward
    cr_expect_eq(rollout_downtime_before_s(&down, NOW + 110 + DAY, 60), NOW + 50);
    rollout_downtime_jump(&down, NOW + 50, -DAY - 60); // and back
    cr_expect_eq(rollout_downtime_before_s(&down, NOW + 60, 30), NOW + 30);
    cr_expect_eq(down.n, 1, "what lies in the future is forgotten");
}

Test(rollout_downtime, a_machine_that_slept_did_not_listen) {
    struct rollout_downtime down = {.last_s = 0};
    rollout_downtime_start(&down, NOW);
    cr_expect_not(rollout_downtime_tick(&down, NOW + 60));
    cr_expect(rollout_downtime_tick(&down, NOW + 3660));
    cr_expect_eq(rollout_downtime_listened_s(&down, NOW, NOW + 3660), 60);
}

Test(rollout_downtime, is_read_as_it_was_kept_and_damage_is_nothing_known) {
    struct rollout_downtime down = nightly(5), read;
    uint8_t bytes[ROLLOUT_DOWNTIME_BYTES];
    rollout_downtime_format(&down, bytes);
    rollout_downtime_parse(bytes, &read);
    cr_expect_eq(read.n, down.n);
    cr_expect_eq(read.last_s, down.last_s);
    for (size_t i = 0; i < down.n; i++) {
        cr_expect_eq(read.gap[i].from_s, down.gap[i].from_s);
        cr_expect_eq(read.gap[i].to_s, down.gap[i].to_s);
    }
    bytes[23] = ROLLOUT_DOWNTIME_GAPS + 1;
    rollout_downtime_parse(bytes, &read);
    cr_expect(read.n == 0 && read.last_s == 0);
    rollout_downtime_format(&down, bytes);
    bytes[24 + 16] = 0xff; // a beginning before the end of the one before
    rollout_downtime_parse(bytes, &read);
    cr_expect(read.n == 0 && read.last_s == 0);
}
