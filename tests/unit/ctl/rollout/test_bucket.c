// SPDX-License-Identifier: Apache-2.0
//
// So many a minute.
#include <criterion/criterion.h>

#include "ctl/rollout/bucket.h"

// How many come through when somebody asks each `step_ms` for `for_ms`.
static unsigned through(uint32_t per_minute, int64_t step_ms, int64_t for_ms) {
    struct rollout_bucket bucket = {.at_ms = 0};
    unsigned n = 0;
    for (int64_t ms = 1000; ms < 1000 + for_ms; ms += step_ms)
        while (rollout_bucket_has(&bucket, per_minute, rollout_bucket_second(per_minute), ms)) {
            rollout_bucket_take(&bucket);
            n++;
        }
    return n;
}

Test(rollout_bucket, gives_as_many_as_it_says_and_no_minutes_at_once) {
    cr_expect_eq(through(1, 1000, 600000), 10);
    cr_expect_eq(through(60, 100, 60000), 60);
    cr_expect_eq(through(600, 100, 60000), 609);
    cr_expect_eq(through(600, 30000, 60000), 20, "what nobody asked for is not saved up");
}

Test(rollout_bucket, a_clock_that_goes_back_takes_nothing_and_brings_nothing) {
    struct rollout_bucket bucket = {.at_ms = 0};
    cr_assert(rollout_bucket_has(&bucket, 60, 1, 100000));
    rollout_bucket_take(&bucket);
    cr_expect_not(rollout_bucket_has(&bucket, 60, 1, 50000));
    cr_expect_not(rollout_bucket_has(&bucket, 60, 1, 50999));
    cr_expect(rollout_bucket_has(&bucket, 60, 1, 51000));
}
