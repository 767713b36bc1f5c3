// SPDX-License-Identifier: Apache-2.0
//
// Judgements of values and outputs.
#include "tests/unit/bundle/wire.h"

#include <math.h>

#include "bundle/probe.h"

Test(probe_judge, values_are_judged_by_their_bounds) {
    static const struct {
        double value;
        int judged;
    } rows[] = {{0.5, 0},      {20, 0},  {10, 0},       {0.49999, 1},
                {20.00001, 1}, {NAN, 1}, {INFINITY, 1}, {-INFINITY, 1}};
    struct bundle_probe probe = {
        .metric = "m", .has_min = true, .has_max = true, .min = {500000000}, .max = {20000000000}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char why[96] = "x";
        cr_assert_eq(bundle_probe_judge_value(&probe, rows[i].value, why, sizeof why),
                     rows[i].judged, "%g", rows[i].value);
        cr_assert_eq(!*why, rows[i].judged == 0);
    }
    char why[96];
    probe.has_max = false;
    cr_assert_eq(bundle_probe_judge_value(&probe, INFINITY, why, sizeof why), 0);
    cr_assert_eq(bundle_probe_judge_value(&probe, NAN, why, sizeof why), BUNDLE_PROBE_OUTSIDE);
    cr_assert_str_eq(why, "m is not a number");
}

Test(probe_judge, a_sentence_is_cut_to_its_room) {
    struct bundle_probe probe = {.metric = "a_rather_long_name_of_a_metric", .has_max = true};
    for (size_t room = 8; room < 64; room++) {
        char why[64];
        memset(why, 'x', sizeof why);
        cr_assert_eq(bundle_probe_judge_value(&probe, 1, why, room), BUNDLE_PROBE_OUTSIDE);
        cr_assert_lt(strnlen(why, sizeof why), room);
    }
}

static struct slice f32s(const float *values, size_t n, uint8_t *room) {
    memcpy(room + 1, values, n * sizeof *values); // at an odd address
    return (struct slice){room + 1, n * sizeof *values};
}

static int judge_f32(float expected, float got, const char *absolute, const char *relative,
                     char *why) {
    struct bundle_probe probe = {.element = BUNDLE_PROBE_F32};
    struct err e = ERR_NONE;
    uint8_t a[16], b[16];
    const float want[] = {1, expected}, have[] = {1, got};
    cr_assert_eq(num_parse_decimal(absolute, "absolute", &probe.tolerance, &e), 0);
    cr_assert_eq(num_parse_decimal(relative, "relative", &probe.tolerance_relative, &e), 0);
    return bundle_probe_judge_output(&probe, f32s(want, 2, a), f32s(have, 2, b), why, 128);
}

Test(probe_judge, outputs_agree_within_their_tolerances) {
    char why[128];
    cr_assert_eq(judge_f32(0.25F, 0.25F, "0", "0", why), 0, "%s", why);
    cr_assert_eq(judge_f32(0.25F, 0.2509F, "0.001", "0", why), 0, "%s", why);
    cr_assert_eq(judge_f32(0.25F, 0.252F, "0.001", "0", why), BUNDLE_PROBE_OUTSIDE);
    cr_assert_str_eq(why, "element 2 of 2 is 0.252000004, expected 0.25 within 0.001");
    cr_assert_eq(judge_f32(-100, -101, "0", "0.01", why), 0, "%s", why);
    cr_assert_eq(judge_f32(-100, -101.1F, "0", "0.01", why), BUNDLE_PROBE_OUTSIDE);
    cr_assert_eq(judge_f32(0, -0.0F, "0", "0", why), 0);
}

Test(probe_judge, not_a_number_never_agrees_and_an_infinity_only_with_itself) {
    char why[128];
    cr_assert_eq(judge_f32(NAN, NAN, "1000", "1000", why), BUNDLE_PROBE_OUTSIDE);
    cr_assert_eq(judge_f32(1, NAN, "1000", "1000", why), BUNDLE_PROBE_OUTSIDE);
    cr_assert_eq(judge_f32(NAN, 1, "1000", "1000", why), BUNDLE_PROBE_OUTSIDE);
    cr_assert_eq(judge_f32(INFINITY, INFINITY, "0", "0", why), 0);
    cr_assert_eq(judge_f32(-INFINITY, -INFINITY, "0", "1", why), 0);
    cr_assert_eq(judge_f32(INFINITY, -INFINITY, "1", "1", why), BUNDLE_PROBE_OUTSIDE);
    cr_assert_eq(judge_f32(INFINITY, 1, "1", "1", why), BUNDLE_PROBE_OUTSIDE);
    cr_assert_eq(judge_f32(1, INFINITY, "1", "1", why), BUNDLE_PROBE_OUTSIDE);
}

Test(probe_judge, every_element_has_its_size_sign_and_byte_order) {
    static const struct {
        enum bundle_probe_element element;
        uint8_t expected[8], got[8];
        size_t len;
        const char *tolerance, *why;
    } rows[] = {
        {BUNDLE_PROBE_I8, {0xff}, {0x01}, 1, "1", "element 1 of 1 is 1, expected -1 within 1"},
        {BUNDLE_PROBE_I8, {0xff}, {0x01}, 1, "2", ""},
        {BUNDLE_PROBE_U8, {0xff}, {0x01}, 1, "2", "element 1 of 1 is 1, expected 255 within 2"},
        {BUNDLE_PROBE_I32,
         {0xfe, 0xff, 0xff, 0xff},
         {0x00, 0x01, 0, 0},
         4,
         "257",
         "element 1 of 1 is 256, expected -2 within 257"},
        {BUNDLE_PROBE_I32,
         {0, 0, 0, 0x80},
         {0xff, 0xff, 0xff, 0x7f},
         4,
         "0",
         "element 1 of 1 is 2.14748365e+09, expected -2.14748365e+09 within 0"},
        {BUNDLE_PROBE_F64,
         {0, 0, 0, 0, 0, 0, 0xf8, 0x3f},
         {0, 0, 0, 0, 0, 0, 0xf0, 0x3f},
         8,
         "0.25",
         "element 1 of 1 is 1, expected 1.5 within 0.25"},
        {BUNDLE_PROBE_F64,
         {0, 0, 0, 0, 0, 0, 0xf8, 0x3f},
         {0, 0, 0, 0, 0, 0, 0xf0, 0x3f},
         8,
         "0.5",
         ""},
        {BUNDLE_PROBE_F32,
         {0, 0, 0xc0, 0x3f, 0, 0, 0, 0},
         {0, 0, 0x80, 0x3f, 0, 0, 0, 0},
         8,
         "0",
         "element 1 of 2 is 1, expected 1.5 within 0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bundle_probe probe = {.element = rows[i].element};
        struct err e = ERR_NONE;
        char why[128];
        cr_assert_eq(num_parse_decimal(rows[i].tolerance, "t", &probe.tolerance, &e), 0);
        int judged =
            bundle_probe_judge_output(&probe, (struct slice){rows[i].expected, rows[i].len},
                                      (struct slice){rows[i].got, rows[i].len}, why, sizeof why);
        cr_assert_eq(judged, *rows[i].why ? BUNDLE_PROBE_OUTSIDE : 0, "row %zu: %s", i, why);
        cr_assert_str_eq(why, rows[i].why);
    }
}

Test(probe_judge, lengths_must_agree) {
    uint8_t bytes[16] = {0};
    char why[128];
    struct bundle_probe probe = {.element = BUNDLE_PROBE_F32};
    for (size_t want = 0; want <= 12; want++) {
        for (size_t have = 0; have <= 12; have++) {
            int judged = bundle_probe_judge_output(&probe, (struct slice){bytes, want},
                                                   (struct slice){bytes, have}, why, sizeof why);
            cr_assert_eq(judged == 0, want == have && want > 0 && want % 4 == 0, "%zu %zu", want,
                         have);
        }
    }
    struct slice empty = {NULL, 0};
    cr_assert_eq(bundle_probe_judge_output(&probe, empty, empty, why, sizeof why),
                 BUNDLE_PROBE_OUTSIDE);
}

Test(probe_judge, text_is_compared_as_bytes) {
    struct bundle_probe probe = {.element = BUNDLE_PROBE_TEXT};
    struct slice cat = {(const uint8_t *)"cat\n", 4}, car = {(const uint8_t *)"car\n", 4},
                 ca = {(const uint8_t *)"ca", 2}, empty = {NULL, 0};
    char why[128];
    cr_assert_eq(bundle_probe_judge_output(&probe, cat, cat, why, sizeof why), 0);
    cr_assert_eq(bundle_probe_judge_output(&probe, empty, empty, why, sizeof why), 0);
    cr_assert_eq(bundle_probe_judge_output(&probe, cat, car, why, sizeof why),
                 BUNDLE_PROBE_OUTSIDE);
    cr_assert_str_eq(why, "the output differs from byte 3 on");
    cr_assert_eq(bundle_probe_judge_output(&probe, cat, ca, why, sizeof why), BUNDLE_PROBE_OUTSIDE);
    cr_assert_str_eq(why, "the output has 2 bytes, expected 4");
    cr_assert_eq(bundle_probe_judge_output(&probe, cat, empty, why, sizeof why),
                 BUNDLE_PROBE_OUTSIDE);
}

// The definition, for every small n: the least sample that at least 95 of 100 do not exceed.
Test(probe_judge, the_95th_percentile_is_the_nearest_rank) {
    uint64_t samples[400];
    cr_assert_eq(bundle_probe_p95(samples, 0), 0);
    for (size_t n = 1; n <= 400; n++) {
        for (size_t i = 0; i < n; i++)
            samples[i] = (i * 7919) % 401; // distinct, unsorted
        uint64_t p95 = bundle_probe_p95(samples, n);
        size_t covered = 0, below = 0;
        for (size_t i = 0; i < n; i++) {
            cr_assert(i == 0 || samples[i - 1] <= samples[i]);
            covered += samples[i] <= p95;
            below += samples[i] < p95;
        }
        cr_assert_geq(covered * 100, n * 95, "%zu", n);
        cr_assert_lt(below * 100, n * 95, "%zu", n);
    }
}
