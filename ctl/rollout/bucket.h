// SPDX-License-Identifier: Apache-2.0
//
// So many a minute: a token bucket, which offers of a rollout, of baselines and the way back have in
// common. Pure; plain data, zeroed at first and when the controller starts: then it is as full as it
// can be.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct rollout_bucket {
    int64_t room;  // in parts of a 60,000th, so that it is exact
    int64_t at_ms; // of the last look; 0 never
};

// As much as it holds where nothing else is said: what comes in within a second, or one; so many a
// minute, and no minute's at once.
uint32_t rollout_bucket_second(uint32_t per_minute);
// Fills it up to now_ms, and says whether there is room for one. `most` is what it holds, from 1 to
// per_minute, which is 1 or more.
bool rollout_bucket_has(struct rollout_bucket *bucket, uint32_t per_minute, uint32_t most,
                        int64_t now_ms) __attribute__((nonnull));
// Takes one out.
void rollout_bucket_take(struct rollout_bucket *bucket) __attribute__((nonnull));
