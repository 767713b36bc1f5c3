// SPDX-License-Identifier: Apache-2.0
#include "bundle/rank.h"

#include <criterion/criterion.h>

static const uint8_t seed[BUNDLE_RANK_SEED_BYTES] = {7};

Test(bundle_rank, differs_by_device_and_by_seed) {
    static const uint8_t other[BUNDLE_RANK_SEED_BYTES] = {8};
    cr_assert_eq(bundle_rank("a", seed), bundle_rank("a", seed));
    cr_assert_neq(bundle_rank("a", seed), bundle_rank("b", seed));
    cr_assert_neq(bundle_rank("a", seed), bundle_rank("a", other));
}

// Devices in the field compute it too: BLAKE2b-256 with the seed as key, its first eight bytes as a
// big-endian number. python3 -c "import hashlib; print(hashlib.blake2b(b'device-1', digest_size=32,
// key=bytes([7]+[0]*31)).hexdigest()[:16])"
Test(bundle_rank, is_the_number_that_devices_of_the_field_compute) {
    cr_assert_eq(bundle_rank("device-1", seed), 0xfe22561a980b73b8);
}
