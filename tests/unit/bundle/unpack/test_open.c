// SPDX-License-Identifier: Apache-2.0
//
// Damage: any flipped bit, any length that is not the right one, any signature that is not enough.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <string.h>

#include "bundle/kind.h"
#include "keys/kind.h"
#include "tests/support/hostile.h"

ParameterizedTestParameters(open, any_flipped_bit_anywhere_is_refused) {
    static int bits[] = {0, 1, 2, 3, 4, 5, 6, 7};
    return cr_make_param_array(int, bits, 8);
}

ParameterizedTest(int *bit, open, any_flipped_bit_anywhere_is_refused) {
    struct buf bytes;
    struct err e = ERR_NONE;
    hostile_bundle(NULL, &bytes);
    cr_assert_eq(hostile_check(buf_slice(&bytes), &e), 0, "%s", e.text);
    for (size_t i = 0; i < bytes.len; i++) {
        bytes.data[i] ^= (uint8_t)(1 << *bit);
        err_clear(&e);
        cr_assert_lt(hostile_check(buf_slice(&bytes), &e), 0, "bit %d of byte %zu", *bit, i);
        bytes.data[i] ^= (uint8_t)(1 << *bit);
    }
    buf_clear(&bytes);
}

Test(open, truncated_at_every_length_it_says_so) {
    struct buf bytes;
    hostile_bundle(NULL, &bytes);
    for (size_t len = 0; len < bytes.len; len++) {
        struct err e = ERR_NONE;
        cr_assert_lt(hostile_check((struct slice){bytes.data, len}, &e), 0, "%zu bytes", len);
        cr_assert(err_is(&e, &err_truncated), "%zu bytes: %s", len, e.text);
    }
    buf_clear(&bytes);
}

static uint64_t unknown_size(void *context) {
    (void)context;
    return UINT64_MAX;
}

Test(open, truncated_at_every_length_from_a_source_without_a_size) {
    struct buf bytes;
    hostile_bundle(NULL, &bytes);
    for (size_t len = 0; len <= bytes.len; len += 1 + len % 7) {
        struct err e = ERR_NONE;
        struct forge_memory memory;
        struct unpack_source source;
        struct unpack_bundle *bundle = NULL;
        forge_source(&memory, (struct slice){bytes.data, len}, &source);
        source.size = unknown_size;
        int r = hostile_open(&source, &bundle, &e);
        if (r == 0)
            r = unpack_check(bundle, &source, HOSTILE_DECODE_MAX, &e);
        unpack_bundle_free(bundle);
        cr_assert_lt(r, len < bytes.len ? 0 : 1);
        if (len < bytes.len)
            cr_assert(err_is(&e, &err_truncated), "%zu bytes: %s", len, e.text);
    }
    buf_clear(&bytes);
}

Test(open, anything_behind_the_end_is_trailing_data) {
    struct buf bytes;
    struct err e = ERR_NONE;
    hostile_bundle(NULL, &bytes);
    cr_assert_eq(buf_add(&bytes, "", 1, &e), 0);
    cr_expect_lt(hostile_check(buf_slice(&bytes), &e), 0);
    cr_expect(err_is(&e, &err_trailing_data), "%s", e.text);
    buf_clear(&bytes);
}

static void below_threshold(const struct keys_role *role) {
    struct buf bytes;
    struct err e = ERR_NONE;
    struct forge_memory memory;
    struct unpack_source source;
    struct unpack_candidate *candidate = NULL;
    struct unpack_bundle *bundle = NULL;
    hostile_bundle(NULL, &bytes);
    forge_source(&memory, buf_slice(&bytes), &source);
    cr_assert_eq(unpack_open(&source, &candidate, &e), 0);
    cr_expect_lt(unpack_verify(&candidate, role, &bundle, &e), 0);
    cr_expect(err_is(&e, &err_below_threshold), "%s", e.text);
    buf_clear(&bytes);
}

Test(open, a_signature_by_an_unknown_key_is_none) {
    struct keys_role role;
    forge_role(2, 1, &role);
    role.keys[0] = role.keys[1];
    role.n_keys = 1;
    below_threshold(&role);
}

Test(open, one_signature_of_two_is_below_the_threshold) {
    struct keys_role role;
    forge_role(2, 2, &role);
    below_threshold(&role);
}

// The container with its members in another order, one twice, one missing, or one more.
static void members(const struct buf *bundle, const int *order, size_t n, struct buf *ret) {
    struct err e = ERR_NONE;
    static const uint8_t end[1024];
    uint64_t at = 0, size[BUNDLE_SKELETON_MEMBERS];
    const uint8_t *start[BUNDLE_SKELETON_MEMBERS];
    for (int i = 0; i < BUNDLE_SKELETON_MEMBERS; i++) {
        uint64_t bytes = 0;
        start[i] = bundle->data + at;
        cr_assert_eq(bundle_skeleton_check(start[i], (enum bundle_skeleton_member)i, &bytes, &e),
                     0);
        size[i] = 512 + (bytes + 511) / 512 * 512;
        at += size[i];
    }
    buf_init(ret, 1 << 22);
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(buf_add(ret, start[order[i]], size[order[i]], &e), 0);
    cr_assert_eq(buf_add(ret, end, sizeof end, &e), 0);
}

Test(open, an_extra_missing_duplicate_or_moved_member_is_refused) {
    static const struct {
        const char *name;
        size_t n;
        int order[4];
        const struct err_kind *kind;
    } cases[] = {
        {"manifest twice", 4, {0, 0, 1, 2}, &err_bad_skeleton},
        {"index twice", 4, {0, 1, 1, 2}, &err_trailing_data},
        {"data twice", 4, {0, 1, 2, 2}, &err_trailing_data},
        {"no manifest", 2, {1, 2}, &err_bad_skeleton},
        {"no index", 2, {0, 2}, &err_bad_skeleton},
        {"no data", 2, {0, 1}, &err_truncated},
        {"index last", 3, {0, 2, 1}, &err_bad_skeleton},
        {"manifest last", 3, {1, 2, 0}, &err_bad_skeleton},
    };
    struct buf bytes, moved;
    hostile_bundle(NULL, &bytes);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = ERR_NONE;
        members(&bytes, cases[i].order, cases[i].n, &moved);
        cr_expect_lt(hostile_check(buf_slice(&moved), &e), 0, "%s", cases[i].name);
        cr_expect(err_is(&e, cases[i].kind), "%s: %s", cases[i].name, e.text);
        buf_clear(&moved);
    }
    buf_clear(&bytes);
}
