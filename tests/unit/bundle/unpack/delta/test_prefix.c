// SPDX-License-Identifier: Apache-2.0
//
// Frames of zstd with old contents before them.
#include <criterion/criterion.h>
#include <zstd.h>

#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/unpack/delta/press.h"
#include "tests/unit/bundle/unpack/delta/decode.h"

// A frame whose contents are the old text, a little changed, with all of it as prefix.
static void make_prefix(struct buf *ret, struct buf *raw, uint64_t address, uint64_t bytes) {
    const uint8_t codec = BUNDLE_DELTA_PREFIX;
    uint8_t to[256];
    ZSTD_CCtx *c = ZSTD_createCCtx();
    buf_init(raw, ROOM);
    add(raw, "xyz", 3);
    add(raw, old_text, OLD_BYTES);
    cr_assert_not(ZSTD_isError(ZSTD_CCtx_refPrefix(c, old_text, OLD_BYTES)));
    size_t n = ZSTD_compress2(c, to, sizeof to, raw->data, raw->len);
    (void)ZSTD_freeCCtx(c);
    cr_assert(!ZSTD_isError(n) && n < OLD_BYTES);
    buf_init(ret, ROOM);
    add(ret, &codec, 1);
    add_number(ret, address);
    add_number(ret, bytes);
    add(ret, to, n);
}

Test(prefix, zstd_may_refer_to_a_prefix_of_old_contents) {
    struct err e = ERR_NONE;
    uint64_t need = 0;
    OWN(buf) struct buf stored;
    OWN(buf) struct buf raw;
    OWN(buf) struct buf found;
    OWN(buf) struct buf below;
    make_prefix(&stored, &raw, 0, OLD_BYTES);
    cr_assert_eq(decode(buf_slice(&stored), raw.len, &found, &e), 0, "%s", e.text);
    cr_expect(found.len == raw.len && memcmp(found.data, raw.data, raw.len) == 0);
    cr_assert_eq(unpack_delta_frame_bytes(buf_slice(&stored), raw.len, &need, &e), 0);
    cr_expect_eq(need, stored.len + UNPACK_DELTA_FRAME_BYTES + OLD_BYTES + raw.len +
                           UNPACK_DELTA_PRESS_ZSTD_BYTES);
    cr_expect_lt(decode_within(buf_slice(&stored), raw.len, need - 1, &below, &e), 0);
    cr_expect(err_is(&e, &err_decode_memory), "%s", e.text);
}

Test(prefix, a_prefix_must_lie_in_the_old_contents_and_below_its_ceiling) {
    static const struct {
        uint64_t address, bytes;
    } wrong[] = {{1, OLD_BYTES},
                 {OLD_BYTES, 1},
                 {UINT64_MAX, OLD_BYTES},
                 {0, OLD_BYTES + 1},
                 {0, 0},
                 {0, BUNDLE_DELTA_PREFIX_MAX_BYTES},
                 {0, BUNDLE_DELTA_PREFIX_MAX_BYTES + 1},
                 {0, UINT64_MAX}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct err e = ERR_NONE;
        OWN(buf) struct buf stored;
        OWN(buf) struct buf raw;
        OWN(buf) struct buf found;
        make_prefix(&stored, &raw, wrong[i].address, wrong[i].bytes);
        cr_expect_lt(decode(buf_slice(&stored), raw.len, &found, &e), 0, "%zu", i);
        cr_expect(err_is(&e, &err_bad_delta), "%zu: %s", i, e.text);
    }
    struct err e = ERR_NONE;
    uint64_t need = 0;
    OWN(buf) struct buf stored;
    OWN(buf) struct buf raw;
    make_prefix(&stored, &raw, 0, BUNDLE_DELTA_PREFIX_MAX_BYTES);
    cr_expect_eq(unpack_delta_frame_bytes(buf_slice(&stored), raw.len, &need, &e), 0, "%s", e.text);
}

Test(prefix, a_prefix_frame_that_is_cut_followed_or_flipped_makes_nothing_wrong) {
    OWN(buf) struct buf stored;
    OWN(buf) struct buf raw;
    make_prefix(&stored, &raw, 0, OLD_BYTES);
    for (size_t len = 0; len < stored.len; len++) {
        struct err e = ERR_NONE;
        OWN(buf) struct buf found;
        cr_expect_lt(decode((struct slice){stored.data, len}, raw.len, &found, &e), 0, "%zu", len);
        cr_expect(err_is(&e, &err_bad_delta), "%zu: %s", len, e.text);
    }
    for (size_t bit = 8; bit < 8 * stored.len; bit++) {
        struct err e = ERR_NONE;
        OWN(buf) struct buf found;
        stored.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        int r = decode(buf_slice(&stored), raw.len, &found, &e);
        cr_expect(r == 0 ? found.len == raw.len : err_is(&e, &err_bad_delta), "%zu: %s", bit,
                  e.text);
        stored.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    add(&stored, "x", 1);
    struct err e = ERR_NONE;
    OWN(buf) struct buf found;
    cr_expect_lt(decode(buf_slice(&stored), raw.len, &found, &e), 0);
    cr_expect(err_is(&e, &err_bad_delta), "%s", e.text);
}
