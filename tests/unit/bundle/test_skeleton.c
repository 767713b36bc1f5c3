// SPDX-License-Identifier: Apache-2.0
//
// The container's own bytes: a function of three sizes, and nothing else is taken.
#include <criterion/criterion.h>
#include <string.h>

#include "bundle/kind.h"
#include "bundle/limits.h"
#include "bundle/skeleton.h"

static void lay_out(uint64_t manifest, uint64_t index, uint64_t data, struct bundle_skeleton *ret) {
    struct err e = ERR_NONE;
    const uint64_t size[] = {manifest, index, data};
    cr_assert_eq(bundle_skeleton_layout(size, ret, &e), 0, "%s", e.text);
}

Test(skeleton, members_lie_one_after_another_in_blocks) {
    struct bundle_skeleton s;
    lay_out(4096, 8192, 1, &s);
    cr_expect_eq(s.offset[BUNDLE_SKELETON_MANIFEST], 512);
    cr_expect_eq(s.offset[BUNDLE_SKELETON_INDEX], 512 + 4096 + 512);
    cr_expect_eq(s.offset[BUNDLE_SKELETON_DATA], 512 + 4096 + 512 + 8192 + 512);
    cr_expect_eq(s.total, s.offset[BUNDLE_SKELETON_DATA] + 512 + 1024);
}

Test(skeleton, sizes_at_and_around_each_border_survive_a_header) {
    static const uint64_t sizes[] = {0,
                                     1,
                                     511,
                                     512,
                                     (1ULL << 31) - 1,
                                     1ULL << 31,
                                     (1ULL << 32) - 1,
                                     (1ULL << 32) + 1,
                                     (1ULL << 33) - 1,
                                     1ULL << 33,
                                     BUNDLE_STREAM_MAX_BYTES};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct err e = ERR_NONE;
        struct bundle_skeleton s;
        uint8_t block[BUNDLE_SKELETON_BLOCK];
        uint64_t size = UINT64_MAX;
        lay_out(4096, 4096, sizes[i], &s);
        bundle_skeleton_header(&s, BUNDLE_SKELETON_DATA, block);
        cr_assert_eq(bundle_skeleton_check(block, BUNDLE_SKELETON_DATA, &size, &e), 0, "%s",
                     e.text);
        cr_expect_eq(size, sizes[i]);
    }
}

Test(skeleton, sizes_above_the_ceilings_or_off_their_grid_are_refused) {
    static const uint64_t bad[][3] = {
        {0, 4096, 1},
        {4095, 4096, 1},
        {BUNDLE_MANIFEST_MAX_BYTES + 4096, 4096, 1},
        {4096, 0, 1},
        {4096, 4097, 1},
        {4096, BUNDLE_INDEX_MAX_BYTES + 4096, 1},
        {4096, 4096, BUNDLE_STREAM_MAX_BYTES + 1},
        {4096, 4096, UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = ERR_NONE;
        struct bundle_skeleton s;
        cr_expect_lt(bundle_skeleton_layout(bad[i], &s, &e), 0, "%zu", i);
        cr_expect(err_is(&e, &err_limit));
    }
    struct bundle_skeleton s;
    lay_out(BUNDLE_MANIFEST_MAX_BYTES, BUNDLE_INDEX_MAX_BYTES, BUNDLE_STREAM_MAX_BYTES, &s);
}

Test(skeleton, any_flipped_bit_of_a_header_is_refused_or_is_another_size) {
    struct bundle_skeleton s;
    uint8_t block[BUNDLE_SKELETON_BLOCK];
    lay_out(4096, 8192, 77777, &s);
    for (int member = 0; member < BUNDLE_SKELETON_MEMBERS; member++) {
        bundle_skeleton_header(&s, (enum bundle_skeleton_member)member, block);
        for (size_t bit = 0; bit < sizeof block * 8; bit++) {
            struct err e = ERR_NONE;
            uint64_t size = 0;
            block[bit / 8] ^= (uint8_t)(1U << bit % 8);
            // The checksum covers the size, so not even another size passes.
            cr_assert_lt(
                bundle_skeleton_check(block, (enum bundle_skeleton_member)member, &size, &e), 0,
                "member %d bit %zu", member, bit);
            cr_assert(err_is(&e, &err_bad_skeleton));
            block[bit / 8] ^= (uint8_t)(1U << bit % 8);
        }
    }
}

Test(skeleton, a_member_is_not_taken_for_another) {
    struct err e = ERR_NONE;
    struct bundle_skeleton s;
    uint8_t block[BUNDLE_SKELETON_BLOCK];
    uint64_t size = 0;
    lay_out(4096, 4096, 4096, &s);
    bundle_skeleton_header(&s, BUNDLE_SKELETON_INDEX, block);
    cr_expect_lt(bundle_skeleton_check(block, BUNDLE_SKELETON_DATA, &size, &e), 0);
}
