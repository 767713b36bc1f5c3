// SPDX-License-Identifier: Apache-2.0
//
// Where a device stands in the order in which a rollout reaches the fleet: a keyed hash of its id,
// read as a fraction of 2^64. Another rollout has another seed, so that the same devices are not
// always the canaries. A stage admits a device when its rank is not above the bound of its stratum
// (strata.h), so that who is admitted is computed and never stored, and newcomers fall into place.
#pragma once

#include <stdint.h>

#define ROLLOUT_SEED_BYTES 32

uint64_t rollout_rank(const char *device, const uint8_t seed[static ROLLOUT_SEED_BYTES])
    __attribute__((nonnull));
