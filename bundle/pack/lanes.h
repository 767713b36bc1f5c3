// SPDX-License-Identifier: Apache-2.0
//
// BLAKE2b-256 of many pieces of memory. The digests are keys_digest_of's; the point is that independent pieces can be hashed side by
// side, which one digest alone cannot.
#pragma once

#include <stddef.h>

#include "keys/digest.h"

struct pack_lanes_job {
    const uint8_t *data;
    size_t len;
    struct keys_digest digest; // the result
};

void pack_lanes_digest(struct pack_lanes_job *jobs, size_t n) __attribute__((nonnull));
