// SPDX-License-Identifier: Apache-2.0
//
// The order of devices in a rollout.
#include "bundle/rank.h"

#include <string.h>

#include "keys/digest.h"

uint64_t bundle_rank(const char *device, const uint8_t seed[static BUNDLE_RANK_SEED_BYTES]) {
    struct keys_digest digest;
    uint64_t rank = 0;
    keys_digest_keyed(seed, BUNDLE_RANK_SEED_BYTES, device, strlen(device), &digest);
    for (size_t i = 0; i < sizeof rank; i++)
        rank = rank << 8 | digest.bytes[i];
    return rank;
}
