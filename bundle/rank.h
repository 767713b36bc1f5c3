// SPDX-License-Identifier: Apache-2.0
//
// Where a device stands in the order in which a rollout reaches the fleet: a keyed hash of its id,
// read as a fraction of 2^64. Another rollout has another seed, so that the same devices are not
// always the canaries. A stage admits a device when its rank is not above the bound of its stratum
// (stratum.h), so that who is admitted is computed and never stored, newcomers fall into place, and
// the device can check for itself that people signed for it (FORMAT.md §20).
#pragma once

#include <stdint.h>

#define BUNDLE_RANK_SEED_BYTES 32

uint64_t bundle_rank(const char *device, const uint8_t seed[static BUNDLE_RANK_SEED_BYTES])
    __attribute__((nonnull));
