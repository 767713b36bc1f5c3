// SPDX-License-Identifier: Apache-2.0
//
// Frames by themselves: each compressor, records and differences, and what hostile ones say.
#include <bzlib.h>
#include <criterion/criterion.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/own.h"
#include "bundle/delta/predict.h"
#include "bundle/kind.h"
#include "bundle/unpack/delta/frame.h"
#include "bundle/unpack/delta/press.h"
#include "tests/unit/bundle/unpack/delta/decode.h"

static size_t press_none(struct slice raw, uint8_t *to, size_t room) {
    cr_assert_leq(raw.len, room);
    memcpy(to, raw.data, raw.len);
    return raw.len;
}

// With a window that is smaller than the contents.
static size_t press_zstd(struct slice raw, uint8_t *to, size_t room) {
    ZSTD_CCtx *c = ZSTD_createCCtx();
    (void)ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, 12);
    size_t n = ZSTD_compress2(c, to, room, raw.data, raw.len);
    (void)ZSTD_freeCCtx(c);
    cr_assert(!ZSTD_isError(n));
    return n;
}

static size_t press_lzma2(struct slice raw, uint8_t *to, size_t room) {
    lzma_options_lzma options;
    size_t n = 1;
    cr_assert_not(lzma_lzma_preset(&options, 6));
    options.dict_size = 1 << 16;
    const lzma_filter chain[] = {{.id = LZMA_FILTER_LZMA2, .options = &options},
                                 {.id = LZMA_VLI_UNKNOWN}};
    cr_assert_eq(lzma_properties_encode(chain, to), LZMA_OK);
    cr_assert_eq(lzma_raw_buffer_encode(chain, NULL, raw.data, raw.len, to, &n, room), LZMA_OK);
    return n;
}

static size_t press_bzip2(struct slice raw, uint8_t *to, size_t room) {
    unsigned n = (unsigned)room;
    OWN(mem) char *copy = malloc(raw.len + 1);
    memcpy(copy, raw.data, raw.len);
    cr_assert_eq(BZ2_bzBuffToBuffCompress((char *)to, &n, copy, (unsigned)raw.len, 1, 0, 0), BZ_OK);
    return n;
}

static size_t (*const pressers[BUNDLE_DELTA_COMPRESSORS])(struct slice, uint8_t *, size_t) = {
    [BUNDLE_DELTA_NONE] = press_none,
    [BUNDLE_DELTA_ZSTD] = press_zstd,
    [BUNDLE_DELTA_LZMA2] = press_lzma2,
    [BUNDLE_DELTA_BZIP2] = press_bzip2};

// Something that compresses, but not to nothing.
static void make_text(struct buf *ret, size_t len) {
    uint32_t state = 1;
    buf_init(ret, ROOM);
    while (ret->len < len) {
        char word[16];
        state = state * 1103515245 + 12345;
        int n = snprintf(word, sizeof word, "%u ", state >> 20);
        add(ret, word, len - ret->len < (size_t)n ? len - ret->len : (size_t)n);
    }
}

static void make_plain(struct slice raw, uint8_t compressor, struct buf *ret) {
    uint8_t *to = NULL;
    struct err e = ERR_NONE;
    const uint8_t begin[] = {BUNDLE_DELTA_PLAIN, compressor};
    buf_init(ret, ROOM);
    add(ret, begin, 2);
    cr_assert_eq(buf_reserve(ret, raw.len * 2 + 1000, &to, &e), 0);
    buf_commit(ret, pressers[compressor](raw, to, raw.len * 2 + 1000));
}

Test(frame, every_compressor_gives_back_what_went_in) {
    static const size_t lengths[] = {1, 2, 4095, 4096, 65535, 65536, 65537, 300000};
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++)
        for (uint8_t i = 0; i < BUNDLE_DELTA_COMPRESSORS; i++) {
            struct err e = ERR_NONE;
            OWN(buf) struct buf raw;
            OWN(buf) struct buf stored;
            OWN(buf) struct buf found;
            make_text(&raw, lengths[k]);
            make_plain(buf_slice(&raw), i, &stored);
            cr_expect_eq(decode(buf_slice(&stored), raw.len, &found, &e), 0, "%u: %s", i, e.text);
            cr_expect(found.len == raw.len && memcmp(found.data, raw.data, raw.len) == 0, "%u", i);
        }
}

Test(frame, a_length_that_lies_is_refused_by_every_compressor) {
    for (uint8_t i = 0; i < BUNDLE_DELTA_COMPRESSORS; i++)
        for (int lie = -1; lie <= 1; lie += 2) {
            struct err e = ERR_NONE;
            OWN(buf) struct buf raw;
            OWN(buf) struct buf stored;
            OWN(buf) struct buf found;
            make_text(&raw, 70000);
            make_plain(buf_slice(&raw), i, &stored);
            uint64_t out = lie < 0 ? raw.len - 1 : raw.len + 1;
            cr_expect_lt(decode(buf_slice(&stored), out, &found, &e), 0, "%u", i);
            cr_expect(err_is(&e, &err_bad_delta), "%u: %s", i, e.text);
        }
}

Test(frame, stored_bytes_that_are_cut_or_followed_are_refused_by_every_compressor) {
    for (uint8_t i = 0; i < BUNDLE_DELTA_COMPRESSORS; i++) {
        struct err e = ERR_NONE;
        OWN(buf) struct buf raw;
        OWN(buf) struct buf stored;
        make_text(&raw, 3000);
        make_plain(buf_slice(&raw), i, &stored);
        for (size_t len = 0; len < stored.len; len++) {
            OWN(buf) struct buf found;
            err_clear(&e);
            cr_expect_lt(decode((struct slice){stored.data, len}, raw.len, &found, &e), 0,
                         "%u at %zu", i, len);
            cr_expect(err_is(&e, &err_bad_delta), "%u: %s", i, e.text);
        }
        OWN(buf) struct buf found;
        err_clear(&e);
        add(&stored, "x", 1);
        cr_expect_lt(decode(buf_slice(&stored), raw.len, &found, &e), 0, "%u", i);
        cr_expect(err_is(&e, &err_bad_delta), "%u: %s", i, e.text);
    }
}

Test(frame, unknown_numbers_are_refused) {
    static const uint8_t codec[] = {BUNDLE_DELTA_CODECS, 0, 'x'};
    static const uint8_t compressor[] = {BUNDLE_DELTA_PLAIN, BUNDLE_DELTA_COMPRESSORS, 'x'};
    const struct slice all[] = {
        {codec, sizeof codec}, {compressor, sizeof compressor}, {codec, 0}, {compressor, 1}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct err e = ERR_NONE;
        OWN(buf) struct buf found;
        cr_expect_lt(decode(all[i], 1, &found, &e), 0);
        cr_expect(err_is(&e, &err_bad_delta), "%s", e.text);
    }
}

Test(frame, memory_is_reckoned_before_it_is_taken) {
    OWN(buf) struct buf raw;
    make_text(&raw, 300000);
    for (uint8_t i = 0; i < BUNDLE_DELTA_COMPRESSORS; i++) {
        static const uint64_t shares[] = {0, 4096 + UNPACK_DELTA_PRESS_ZSTD_BYTES,
                                          (1 << 16) + UNPACK_DELTA_PRESS_LZMA2_BYTES,
                                          400000 + UNPACK_DELTA_PRESS_BZIP2_BYTES};
        struct err e = ERR_NONE;
        uint64_t need = 0;
        OWN(buf) struct buf stored;
        make_plain(buf_slice(&raw), i, &stored);
        cr_assert_eq(unpack_delta_frame_bytes(buf_slice(&stored), raw.len, &need, &e), 0);
        cr_expect_eq(need, stored.len + UNPACK_DELTA_FRAME_BYTES + shares[i], "%u", i);
        OWN(buf) struct buf at;
        OWN(buf) struct buf below;
        cr_expect_eq(decode_within(buf_slice(&stored), raw.len, need, &at, &e), 0, "%s", e.text);
        cr_expect_lt(decode_within(buf_slice(&stored), raw.len, need - 1, &below, &e), 0);
        cr_expect(err_is(&e, &err_decode_memory), "%s", e.text);
        cr_expect_eq(below.len, 0, "nothing was decoded");
    }
}

// Streams of a copy frame as numbers and bytes.
struct streams {
    struct buf b[BUNDLE_DELTA_STREAMS];
};

static void open_streams(struct streams *s) {
    for (size_t i = 0; i < BUNDLE_DELTA_STREAMS; i++)
        buf_init(&s->b[i], ROOM);
}

static void record(struct streams *s, uint64_t copy, uint64_t literal, int64_t seek) {
    add_number(&s->b[BUNDLE_DELTA_COPIES], copy);
    add_number(&s->b[BUNDLE_DELTA_LITERAL_LENGTHS], literal);
    add_number(&s->b[BUNDLE_DELTA_SEEKS], bundle_delta_zigzag(seek));
}

static int decode_streams(struct streams *s, uint64_t out, uint8_t compressor, struct buf *ret,
                          struct err *e) {
    OWN(buf) struct buf stored;
    const uint8_t codec = BUNDLE_DELTA_COPY;
    buf_init(&stored, ROOM);
    add(&stored, &codec, 1);
    for (size_t i = 0; i < BUNDLE_DELTA_STREAMS; i++) {
        size_t room = s->b[i].len * 2 + 1000;
        OWN(mem) uint8_t *pressed = malloc(room);
        struct slice raw = {s->b[i].len ? s->b[i].data : (const uint8_t *)"", s->b[i].len};
        size_t n = pressers[compressor](raw, pressed, room);
        add(&stored, &compressor, 1);
        add_number(&stored, n);
        add_number(&stored, s->b[i].len);
        add(&stored, pressed, n);
        buf_clear(&s->b[i]);
    }
    return decode(buf_slice(&stored), out, ret, e);
}

// "uvw" + "XY", then "abc" with the b raised by two, then "Z".
static void honest(struct streams *s) {
    open_streams(s);
    record(s, 3, 2, 30);
    record(s, 3, 1, 10 - 33);
    add_number(&s->b[BUNDLE_DELTA_GAPS], 4);
    add_number(&s->b[BUNDLE_DELTA_RUNS], 1);
    add(&s->b[BUNDLE_DELTA_VALUES], "\x02", 1);
    add(&s->b[BUNDLE_DELTA_LITERALS], "XYZ", 3);
}
#define HONEST     "uvwXYadcZ"
#define HONEST_OUT (sizeof HONEST - 1)

Test(frame, copies_differences_and_literals_become_the_output) {
    for (uint8_t i = 0; i < BUNDLE_DELTA_COMPRESSORS; i++) {
        struct streams s;
        struct err e = ERR_NONE;
        OWN(buf) struct buf found;
        honest(&s);
        cr_expect_eq(decode_streams(&s, HONEST_OUT, i, &found, &e), 0, "%u: %s", i, e.text);
        cr_expect_str_eq(buf_text(&found), HONEST);
    }
}

static void copy_beyond(struct streams *s) {
    buf_clear(&s->b[BUNDLE_DELTA_SEEKS]);
    add_number(&s->b[BUNDLE_DELTA_SEEKS], bundle_delta_zigzag(OLD_BYTES - 2));
    add_number(&s->b[BUNDLE_DELTA_SEEKS], 0);
}
static void seek_below(struct streams *s) {
    buf_clear(&s->b[BUNDLE_DELTA_SEEKS]);
    add_number(&s->b[BUNDLE_DELTA_SEEKS], bundle_delta_zigzag(-1));
    add_number(&s->b[BUNDLE_DELTA_SEEKS], 0);
}
static void seek_far(struct streams *s) {
    buf_clear(&s->b[BUNDLE_DELTA_SEEKS]);
    add_number(&s->b[BUNDLE_DELTA_SEEKS], bundle_delta_zigzag(INT64_MAX));
    add_number(&s->b[BUNDLE_DELTA_SEEKS], 0);
}
static void seek_overflows(struct streams *s) {
    buf_clear(&s->b[BUNDLE_DELTA_SEEKS]);
    add_number(&s->b[BUNDLE_DELTA_SEEKS], bundle_delta_zigzag(1));
    add_number(&s->b[BUNDLE_DELTA_SEEKS], bundle_delta_zigzag(INT64_MAX));
}
static void seeks_missing(struct streams *s) {
    s->b[BUNDLE_DELTA_SEEKS].len = 1;
}
static void seeks_left(struct streams *s) {
    add_number(&s->b[BUNDLE_DELTA_SEEKS], 0);
}
static void copies_left(struct streams *s) {
    add_number(&s->b[BUNDLE_DELTA_COPIES], 0);
}
static void copy_too_long(struct streams *s) {
    buf_clear(&s->b[BUNDLE_DELTA_COPIES]);
    add_number(&s->b[BUNDLE_DELTA_COPIES], HONEST_OUT + 1);
}
static void copy_huge(struct streams *s) {
    buf_clear(&s->b[BUNDLE_DELTA_COPIES]);
    add_number(&s->b[BUNDLE_DELTA_COPIES], UINT64_MAX);
}
static void literal_huge(struct streams *s) {
    buf_clear(&s->b[BUNDLE_DELTA_LITERAL_LENGTHS]);
    add_number(&s->b[BUNDLE_DELTA_LITERAL_LENGTHS], UINT64_MAX - 1);
}
static void record_of_nothing(struct streams *s) {
    for (int i = BUNDLE_DELTA_COPIES; i <= BUNDLE_DELTA_SEEKS; i++)
        buf_clear(&s->b[i]);
    record(s, 0, 0, 0);
}
static void literals_missing(struct streams *s) {
    s->b[BUNDLE_DELTA_LITERALS].len--;
}
static void literals_left(struct streams *s) {
    add(&s->b[BUNDLE_DELTA_LITERALS], "!", 1);
}
static void values_missing(struct streams *s) {
    s->b[BUNDLE_DELTA_VALUES].len = 0;
}
static void values_left(struct streams *s) {
    add(&s->b[BUNDLE_DELTA_VALUES], "!", 1);
}
static void run_beyond(struct streams *s) {
    buf_clear(&s->b[BUNDLE_DELTA_RUNS]);
    add_number(&s->b[BUNDLE_DELTA_RUNS], 3);
    add(&s->b[BUNDLE_DELTA_VALUES], "!!", 2);
}
static void run_of_nothing(struct streams *s) {
    buf_clear(&s->b[BUNDLE_DELTA_RUNS]);
    add_number(&s->b[BUNDLE_DELTA_RUNS], 0);
}
static void runs_missing(struct streams *s) {
    s->b[BUNDLE_DELTA_RUNS].len = 0;
}
static void gap_beyond(struct streams *s) {
    buf_clear(&s->b[BUNDLE_DELTA_GAPS]);
    add_number(&s->b[BUNDLE_DELTA_GAPS], UINT64_MAX);
}
static void gap_left(struct streams *s) {
    add_number(&s->b[BUNDLE_DELTA_GAPS], 1);
    add_number(&s->b[BUNDLE_DELTA_GAPS], 1);
}
static void number_unfinished(struct streams *s) {
    s->b[BUNDLE_DELTA_COPIES].data[1] |= 0x80;
}
static void number_padded(struct streams *s) {
    add(&s->b[BUNDLE_DELTA_COPIES], "\x00", 1);
    s->b[BUNDLE_DELTA_COPIES].data[1] |= 0x80;
}
static void unknown_predictor(struct streams *s) {
    add_number(&s->b[BUNDLE_DELTA_REGIONS], 1 << 3 | DELTA_PREDICTORS);
}
static void region_of_nothing(struct streams *s) {
    add_number(&s->b[BUNDLE_DELTA_REGIONS], DELTA_PREDICT_X86);
}
static void region_huge(struct streams *s) {
    add_number(&s->b[BUNDLE_DELTA_REGIONS], UINT64_MAX << 3 | DELTA_PREDICT_X86);
}
static void region_without_origin(struct streams *s) {
    add_number(&s->b[BUNDLE_DELTA_REGIONS], 1 << 3 | DELTA_PREDICT_FROM32);
}
static void regions_left(struct streams *s) {
    add_number(&s->b[BUNDLE_DELTA_REGIONS], 1 << 3 | DELTA_PREDICT_X86);
    add_number(&s->b[BUNDLE_DELTA_REGIONS], 1 << 3 | DELTA_PREDICT_X86);
}

Test(frame, hostile_streams_are_refused) {
    static void (*const edits[])(struct streams *) = {copy_beyond,       seek_below,
                                                      seek_far,          seek_overflows,
                                                      seeks_missing,     seeks_left,
                                                      copies_left,       copy_too_long,
                                                      copy_huge,         literal_huge,
                                                      record_of_nothing, literals_missing,
                                                      literals_left,     values_missing,
                                                      values_left,       run_beyond,
                                                      run_of_nothing,    runs_missing,
                                                      gap_beyond,        gap_left,
                                                      number_padded,     unknown_predictor,
                                                      region_of_nothing, region_huge,
                                                      regions_left,      region_without_origin,
                                                      number_unfinished};
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++)
        for (uint8_t k = 0; k < BUNDLE_DELTA_COMPRESSORS; k++) {
            struct streams s;
            struct err e = ERR_NONE;
            OWN(buf) struct buf found;
            honest(&s);
            edits[i](&s);
            cr_expect_lt(decode_streams(&s, HONEST_OUT, k, &found, &e), 0, "edit %zu", i);
            cr_expect(err_is(&e, &err_bad_delta), "edit %zu: %s", i, e.text);
        }
}

Test(frame, a_frame_makes_exactly_what_its_row_says) {
    for (int lie = -1; lie <= 1; lie += 2) {
        struct streams s;
        struct err e = ERR_NONE;
        OWN(buf) struct buf found;
        honest(&s);
        uint64_t out = lie < 0 ? HONEST_OUT - 1 : HONEST_OUT + 1;
        cr_expect_lt(decode_streams(&s, out, BUNDLE_DELTA_NONE, &found, &e), 0);
        cr_expect(err_is(&e, &err_bad_delta), "%s", e.text);
    }
}

Test(frame, any_flipped_bit_of_a_copy_frame_does_no_harm) {
    struct streams s;
    OWN(buf) struct buf stored;
    const uint8_t codec = BUNDLE_DELTA_COPY;
    honest(&s);
    add_number(&s.b[BUNDLE_DELTA_REGIONS], 1 << 3 | DELTA_PREDICT_X86);
    buf_init(&stored, ROOM);
    add(&stored, &codec, 1);
    for (size_t i = 0; i < BUNDLE_DELTA_STREAMS; i++) {
        add(&stored, "\0", 1);
        add_number(&stored, s.b[i].len);
        add_number(&stored, s.b[i].len);
        add(&stored, s.b[i].data, s.b[i].len);
        buf_clear(&s.b[i]);
    }
    for (size_t bit = 0; bit < stored.len * 8; bit++) {
        struct err e = ERR_NONE;
        OWN(buf) struct buf found;
        stored.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        int r = decode(buf_slice(&stored), HONEST_OUT, &found, &e);
        cr_expect(r == 0 || err_is(&e, &err_bad_delta), "bit %zu: %s", bit, e.text);
        cr_expect(r < 0 || found.len == HONEST_OUT, "bit %zu", bit);
        stored.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
}
