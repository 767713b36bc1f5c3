// SPDX-License-Identifier: Apache-2.0
//
// Addresses that are predicted: what moved as a whole is predicted to the byte, and hostile copies
// and bytes give some prediction and nothing worse.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "bundle/delta/predict.h"

static struct delta_predict *open_map(const struct delta_copy *copies, size_t n) {
    struct err e = ERR_NONE;
    struct delta_predict *map = NULL;
    cr_assert_eq(delta_predict_open(copies, n, &map, &e), 0, "%s", e.text);
    return map;
}

// Old bytes at 1000: what stands below 2000 moves by 0, what stands behind it by 0x100.
static const struct delta_copy moved[] = {{1000, 1000, 1000}, {2000, 2256, 4000}};

static void predict(enum delta_predictor predictor, uint64_t origin, uint64_t old, uint64_t at,
                    const uint8_t *bytes, size_t len, uint8_t *ret) {
    uint8_t data[DELTA_PREDICT_BEFORE_BYTES + 64] = {0};
    struct delta_predict *map = open_map(moved, 2);
    const struct delta_region region = {.predictor = predictor, .origin = origin};
    memcpy(data + DELTA_PREDICT_BEFORE_BYTES, bytes, len);
    delta_predict_run(map, &region, old, at, data, len);
    memcpy(ret, data + DELTA_PREDICT_BEFORE_BYTES, len);
    delta_predict_close(map);
}

Test(predict, a_call_of_what_moved_follows_it) {
    // e8 at 1000, its field at 1001; what is called stands at 3000.
    const uint8_t old[] = {0xE8, (3000 - 1005) & 0xFF, (3000 - 1005) >> 8, 0, 0, 0x90};
    const uint8_t new[] = {0xE8, (3256 - 1005) & 0xFF, (3256 - 1005) >> 8, 0, 0, 0x90};
    uint8_t got[sizeof old];
    predict(DELTA_PREDICT_X86, 0, 1000, 1000, old, sizeof old, got);
    cr_expect_arr_eq(got, new, sizeof new);
}

Test(predict, a_call_inside_what_moved_stays) {
    const uint8_t old[] = {0xE8, 0x10, 0, 0, 0, 0x48, 0x8B, 0x05, 0x40, 0, 0, 0};
    uint8_t got[sizeof old];
    predict(DELTA_PREDICT_X86, 0, 3000, 3256, old, sizeof old, got);
    cr_expect_arr_eq(got, old, sizeof old);
}

Test(predict, a_load_relative_to_the_program_counter_follows_what_moved) {
    const uint8_t old[] = {0x48, 0x8B, 0x05, (3000 - 1007) & 0xFF, (3000 - 1007) >> 8, 0, 0};
    const uint8_t new[] = {0x48, 0x8B, 0x05, (3256 - 1007) & 0xFF, (3256 - 1007) >> 8, 0, 0};
    uint8_t got[sizeof old];
    predict(DELTA_PREDICT_X86, 0, 1000, 1000, old, sizeof old, got);
    cr_expect_arr_eq(got, new, sizeof new);
}

Test(predict, fields_stand_where_the_origin_puts_them) {
    // Values 2000 behind the origin 1001, in fields of four and of eight bytes.
    const uint8_t old[] = {0xFF, 0xFF, 0xFF, 0xD0, 7, 0, 0, 0, 0, 0, 0, 0xFF};
    uint8_t got[sizeof old];
    predict(DELTA_PREDICT_FROM64, 1001, 1006, 1006, old, sizeof old, got);
    cr_expect_eq(got[3], 0xD0);
    cr_expect_eq(got[4], 8);
    predict(DELTA_PREDICT_FROM32, 1001, 1006, 1006, old, sizeof old, got);
    cr_expect_eq(got[4], 8);
    predict(DELTA_PREDICT_FROM64, 1000, 1006, 1006, old, sizeof old, got);
    cr_expect_eq(got[4], 7, "not aligned with that origin");
}

Test(predict, a_table_that_counts_from_each_place_follows) {
    const uint8_t old[] = {(3000 - 1000) & 0xFF, (3000 - 1000) >> 8, 0, 0};
    uint8_t got[sizeof old];
    predict(DELTA_PREDICT_SELF32, 1000, 1000, 1000, old, sizeof old, got);
    cr_expect_eq(got[0] | got[1] << 8, 3256 - 1000);
}

Test(predict, a_branch_of_a64_follows) {
    // bl at 1000 to 3000.
    const uint32_t old = 0x94000000 | (3000 - 1000) / 4;
    uint8_t bytes[4], got[4];
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(old >> 8 * i);
    predict(DELTA_PREDICT_ARM64, 1000, 1000, 1000, bytes, sizeof bytes, got);
    cr_expect_eq(got[0] | got[1] << 8, (3256 - 1000) / 4);
    cr_expect_eq(got[3], 0x94);
}

Test(predict, an_address_belongs_to_the_longest_copy) {
    // 2000 to 2100 is copied twice; the longer copy moves by 256.
    const struct delta_copy copies[] = {{2000, 9000, 100}, {1900, 2156, 1000}, {1000, 1000, 900}};
    const uint8_t old[] = {0xE8, (2050 - 1005) & 0xFF, (2050 - 1005) >> 8, 0, 0};
    uint8_t data[DELTA_PREDICT_BEFORE_BYTES + sizeof old] = {0};
    struct delta_predict *map = open_map(copies, 3);
    const struct delta_region region = {.predictor = DELTA_PREDICT_X86};
    memcpy(data + DELTA_PREDICT_BEFORE_BYTES, old, sizeof old);
    delta_predict_run(map, &region, 1000, 1000, data, sizeof old);
    cr_expect_eq(data[3] | data[4] << 8, 2306 - 1005);
    delta_predict_close(map);
}

Test(predict, no_copies_predict_nothing) {
    const struct delta_copy copies[] = {{0, 0, DELTA_PREDICT_COPY_BYTES - 1}};
    uint8_t data[DELTA_PREDICT_BEFORE_BYTES + 5] = {0, 0, 0xE8, 1, 2, 0, 0};
    uint8_t before[sizeof data];
    memcpy(before, data, sizeof data);
    struct delta_predict *map = open_map(copies, 1);
    for (int i = 0; i < DELTA_PREDICTORS; i++)
        delta_predict_run(map, &(struct delta_region){.predictor = (enum delta_predictor)i}, 0, 0,
                          data, 5);
    cr_expect_arr_eq(data, before, sizeof data);
    delta_predict_close(map);
}

Test(predict, more_copies_than_there_may_be_are_refused) {
    struct err e = ERR_NONE;
    struct delta_predict *map = NULL;
    struct delta_copy *copies = calloc(DELTA_PREDICT_COPIES_MAX + 1, sizeof *copies);
    cr_assert(copies);
    for (uint64_t i = 0; i <= DELTA_PREDICT_COPIES_MAX; i++)
        copies[i] = (struct delta_copy){i * 16, i * 16, 16};
    cr_expect_lt(delta_predict_open(copies, DELTA_PREDICT_COPIES_MAX + 1, &map, &e), 0);
    cr_expect(err_is(&e, &err_limit));
    cr_expect_null(map);
    err_clear(&e);
    cr_expect_eq(delta_predict_open(copies, DELTA_PREDICT_COPIES_MAX, &map, &e), 0);
    delta_predict_close(map);
    free(copies);
}

// Any bytes, any copies below 2^62, any origin: under the sanitizers nothing is read or written
// beside the piece, and the same input gives the same output.
Test(predict, hostile_numbers_are_harmless_and_repeatable) {
    uint64_t seed = 7;
    for (int round = 0; round < 300; round++) {
        struct delta_copy copies[20];
        for (size_t i = 0; i < 20; i++) {
            uint64_t *n = &copies[i].old;
            for (size_t k = 0; k < 3; k++) {
                seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
                n[k] = (seed >> 2) >> (seed % 60);
            }
            copies[i].old /= 2;
            copies[i].bytes /= 2;
        }
        struct delta_predict *map = open_map(copies, 20);
        uint8_t *a = malloc(DELTA_PREDICT_BEFORE_BYTES + 100),
                *b = malloc(DELTA_PREDICT_BEFORE_BYTES + 100);
        for (size_t i = 0; i < DELTA_PREDICT_BEFORE_BYTES + 100; i++) {
            seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
            a[i] = b[i] = seed >> 60 == 0 ? 0xE8 : (uint8_t)(seed >> 56);
        }
        const struct delta_region region = {
            .predictor = (enum delta_predictor)(round % DELTA_PREDICTORS), .origin = seed};
        size_t len = (size_t)round % 101;
        delta_predict_run(map, &region, copies[0].old, copies[0].at, a, len);
        delta_predict_run(map, &region, copies[0].old, copies[0].at, b, len);
        cr_assert_arr_eq(a, b, DELTA_PREDICT_BEFORE_BYTES + 100);
        free(a);
        free(b);
        delta_predict_close(map);
    }
}
