// SPDX-License-Identifier: Apache-2.0
//
// How often one device may check in: SERVE_PACE_BURST at once, then SERVE_PACE_PER_S. A fixed table
// finds a device by the hash of its id; when two meet in one place the later one takes it over with
// a full allowance, so that nobody is ever held up by another. The store's thread only.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define SERVE_PACE_BURST  60
#define SERVE_PACE_PER_S  5
#define SERVE_PACE_PLACES 4096

struct serve_pace {
    struct {
        uint64_t device; // hash of its id; 0 free
        int64_t at_ms;
        int64_t room_milli; // thousandths of a check-in
    } places[SERVE_PACE_PLACES];
};

// Whether this check-in is within the allowance, which it then uses. boot_ms: the boot clock.
bool serve_pace_allows(struct serve_pace *pace, const char *device, int64_t boot_ms)
    __attribute__((nonnull));
