// SPDX-License-Identifier: Apache-2.0
//
// So many a minute.
#include "ctl/rollout/bucket.h"

#define MINUTE_MS 60000

uint32_t rollout_bucket_second(uint32_t per_minute) {
    return per_minute > 60 ? per_minute / 60 : 1;
}

bool rollout_bucket_has(struct rollout_bucket *bucket, uint32_t per_minute, uint32_t most,
                        int64_t now_ms) {
    int64_t past_ms = now_ms - bucket->at_ms;
    // A minute fills it in any case.
    if (bucket->at_ms == 0 || past_ms > MINUTE_MS)
        past_ms = MINUTE_MS;
    if (past_ms > 0)
        bucket->room += per_minute * past_ms;
    if (bucket->room > (int64_t)most * MINUTE_MS)
        bucket->room = (int64_t)most * MINUTE_MS;
    bucket->at_ms = now_ms;
    return bucket->room >= MINUTE_MS;
}

void rollout_bucket_take(struct rollout_bucket *bucket) {
    bucket->room -= MINUTE_MS;
}
