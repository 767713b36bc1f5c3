// SPDX-License-Identifier: Apache-2.0
//
// When a download may ask again: not above its rate, and not too soon after something broke.
#pragma once

#include <stdint.h>

// The rate over all transfers. libcurl holds it within each, and what is small comes at once.
struct download_pace {
    uint64_t rate_bytes_s; // 0: none
    int64_t began_ms;      // when the last transfer began
    uint64_t received;     // what all before it had brought
};

// How long to wait before the next transfer, by what was received in all.
uint64_t download_pace_wait_ms(const struct download_pace *pace, uint64_t received, int64_t now_ms)
    __attribute__((nonnull));
// The next transfer begins.
void download_pace_begin(struct download_pace *pace, uint64_t received, int64_t now_ms)
    __attribute__((nonnull));

// How long to wait after this many tries in a row that broke: doubled each time, up to half of it
// random, so that a fleet does not come back at once.
uint64_t download_pace_retry_ms(unsigned tries);
