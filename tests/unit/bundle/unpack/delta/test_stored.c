// SPDX-License-Identifier: Apache-2.0
//
// A delta that is only kept: every bit of it counts, though nothing is decoded.
#include <criterion/criterion.h>

#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/unpack/delta/stored.h"
#include "tests/unit/bundle/unpack/delta/staging.h"

static int look(struct slice bytes, struct err *e) {
    struct forge_memory memory;
    struct unpack_source source;
    OWN(delta) struct unpack_delta *delta = NULL;
    forge_source(&memory, bytes, &source);
    if (delta_scene_open(&source, &delta, e) < 0)
        return -1;
    return unpack_delta_check_stored(delta, &source, e);
}

Test(stored, any_flipped_bit_anywhere_is_refused) {
    OWN(staging) struct staging t;
    staging_make(&t, NULL);
    cr_assert_eq(look(buf_slice(&t.bytes), &t.e), 0, "%s", t.e.text);
    for (size_t i = 0; i < t.bytes.len; i++) {
        t.bytes.data[i] ^= (uint8_t)(1 << i % 8);
        err_clear(&t.e);
        cr_assert_lt(look(buf_slice(&t.bytes), &t.e), 0, "byte %zu", i);
        t.bytes.data[i] ^= (uint8_t)(1 << i % 8);
    }
}

Test(stored, truncated_at_every_block_it_is_refused) {
    OWN(staging) struct staging t;
    staging_make(&t, NULL);
    for (size_t len = 0; len < t.bytes.len; len += 512) {
        struct err e = ERR_NONE;
        cr_assert_lt(look((struct slice){t.bytes.data, len}, &e), 0, "%zu", len);
        cr_assert(err_is(&e, &err_truncated), "%zu bytes: %s", len, e.text);
    }
}
