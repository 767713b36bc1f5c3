// SPDX-License-Identifier: Apache-2.0
//
// Arrays come back from their sections to the bit, whatever is in them, and cost what they should.
#include "bundle/tensor/element.h"
#include "tests/unit/bundle/tensor/arrays.h"

#define ROOM (1UL << 20)

static const enum tensor_type types[] = {
#define TENSOR_TYPE(name, number, bytes, mantissa, sign) TENSOR_##name,
    TENSOR_TYPES(TENSOR_TYPE)
#undef TENSOR_TYPE
};
#define TYPES (sizeof types / sizeof *types)

Test(tensor, any_bytes_of_any_type_come_back) {
    static const size_t counts[] = {1, 2, 255, 256, 257, 4096, 5000};
    static const uint64_t columns[] = {0, 1, 7, 300, 65536, 65537};
    static uint8_t old[5000 * 8], new[5000 * 8];
    arrays_fill(old, sizeof old, 1);
    arrays_fill(new, sizeof new, 2);
    for (size_t t = 0; t < TYPES; t++)
        for (size_t n = 0; n < sizeof counts / sizeof *counts; n++) {
            size_t bytes = counts[n] * tensor_shape_bytes(types[t]);
            uint64_t wide = columns[(t + n) % 6];
            struct tensor_shape shape = {types[t], wide, wide ? wide - 1 : 0};
            arrays_round_trip(shape, (struct slice){old, bytes}, (struct slice){new, bytes}, ROOM);
            arrays_round_trip(shape, (struct slice){NULL, 0}, (struct slice){new, bytes}, ROOM);
        }
}

// Infinities, NaNs with payloads, signed zeros, denormals and their neighbours; each against each.
Test(tensor, floats_that_are_no_numbers_come_back) {
    static const enum tensor_type floats[] = {TENSOR_f16, TENSOR_bf16, TENSOR_f32, TENSOR_f64};
    for (size_t f = 0; f < 4; f++) {
        struct tensor_element t;
        uint64_t odd[32];
        size_t n = 0;
        tensor_element_init(&t, floats[f], 0);
        uint64_t top = 1ULL << (t.bits - 1), one = 1ULL << t.mantissa;
        uint64_t infinity = (top - 1) & ~(one - 1);
        const uint64_t magnitudes[] = {0,
                                       1,
                                       2,
                                       one - 1,
                                       one,
                                       one + 1,
                                       infinity - 1,
                                       infinity,
                                       infinity + 1,
                                       infinity | one >> 1,
                                       (infinity | one >> 1) + 5,
                                       top - 1};
        for (size_t i = 0; i < sizeof magnitudes / sizeof *magnitudes; i++) {
            odd[n++] = magnitudes[i];
            odd[n++] = magnitudes[i] | top;
        }
        OWN(mem) uint8_t *old = calloc(n * n, t.bytes), *new = calloc(n * n, t.bytes);
        for (size_t i = 0; i < n * n; i++) {
            tensor_element_store(&t, odd[i / n], old + i * t.bytes);
            tensor_element_store(&t, odd[i % n], new + i *t.bytes);
        }
        struct tensor_shape shape = {.type = floats[f], .columns = n};
        struct slice olds = {old, n * n * t.bytes}, news = {new, n *n *t.bytes};
        arrays_round_trip(shape, olds, news, ROOM);
        arrays_round_trip(shape, (struct slice){NULL, 0}, news, ROOM);
    }
}

Test(tensor, every_16_bit_float_is_a_number_of_its_own_in_order) {
    static const enum tensor_type floats[] = {TENSOR_f16, TENSOR_bf16};
    for (size_t f = 0; f < 2; f++) {
        struct tensor_element t;
        tensor_element_init(&t, floats[f], 0);
        for (uint64_t raw = 0; raw < 65536; raw++) {
            int64_t number = tensor_element_ordered(&t, raw);
            cr_assert(number >= -32768 && number <= 32767);
            cr_assert_eq(tensor_element_bits(&t, (uint64_t)number), raw);
            cr_assert_eq(tensor_element_bits(&t, (uint64_t)number + (5ULL << 16)), raw);
        }
        cr_expect_eq(tensor_element_ordered(&t, 0x8000), -1, "-0 is right below 0");
        cr_expect_lt(tensor_element_ordered(&t, 0x8001), tensor_element_ordered(&t, 0x8000));
    }
}

Test(tensor, equal_arrays_cost_nearly_nothing) {
    enum { BYTES = 4 << 20 };
    OWN(mem) uint8_t *bytes = malloc(BYTES);
    arrays_fill(bytes, BYTES, 3);
    const struct slice all = {bytes, BYTES};
    for (size_t t = 0; t < TYPES; t++)
        cr_expect_leq(arrays_round_trip((struct tensor_shape){types[t], 3072, 0}, all, all, ROOM),
                      200);
}

// Weights as trained, and each moved by about the same value.
static void fine_tune(float *old, float *new, size_t n, size_t columns) {
    uint64_t seed = 4;
    for (size_t i = 0; i < n; i++) {
        double step = i % columns % 2 ? 1e-4 : 3e-4; // units learn at different rates
        old[i] = (float)(0.05 * arrays_normal(&seed));
        new[i] = (float)(old[i] + step * arrays_normal(&seed));
    }
}

Test(tensor, fine_tuned_weights_cost_little_more_than_their_entropy) {
    enum { N = 200000, COLUMNS = 400 };
    OWN(mem) float *old = calloc(N, 4), *new = calloc(N, 4);
    struct tensor_element t;
    double entropy = 0;
    tensor_element_init(&t, TENSOR_f32, 0);
    fine_tune(old, new, N, COLUMNS);
    for (size_t i = 0; i < N; i++) { // of a normal value of this deviation in steps of the old one
        double step = i % COLUMNS % 2 ? 1e-4 : 3e-4;
        int32_t exponent =
            tensor_element_exponent(&t, tensor_element_load(&t, (uint8_t *)(old + i)));
        double ulp = 1.0;
        for (int32_t k = exponent; k < 150; k++)
            ulp /= 2;
        double bits = 2.047; // log2(sqrt(2 pi e))
        for (double ratio = step / ulp; ratio > 1; ratio /= 2)
            bits += ratio >= 2 ? 1 : ratio - 1;
        entropy += bits;
    }
    size_t bytes = arrays_round_trip((struct tensor_shape){TENSOR_f32, COLUMNS, 0},
                                     (struct slice){(uint8_t *)old, 4 * N},
                                     (struct slice){(uint8_t *)new, 4 * N}, 4 * ROOM);
    cr_expect_lt((double)bytes * 8, entropy * 1.03, "%zu bytes, entropy %.0f", bytes, entropy / 8);
}

// A tenth of the columns learns; in the others nothing moved but by decay, whose rounding follows
// from the mantissa.
Test(tensor, weights_that_only_decayed_cost_nearly_nothing) {
    enum { N = 200000, COLUMNS = 400 };
    OWN(mem) float *old = calloc(N, 4), *new = calloc(N, 4);
    fine_tune(old, new, N, COLUMNS);
    for (size_t i = 0; i < N; i++) {
        if (i % COLUMNS % 10 == 0)
            continue;
        new[i] = old[i];
        for (int step = 0; step < 100; step++)
            new[i] -= 1e-7F * new[i];
    }
    size_t bytes = arrays_round_trip((struct tensor_shape){TENSOR_f32, COLUMNS, 0},
                                     (struct slice){(uint8_t *)old, 4 * N},
                                     (struct slice){(uint8_t *)new, 4 * N}, 4 * ROOM);
    cr_expect_lt(bytes, (size_t)N * 3 / 10, "%zu bytes", bytes);
}

Test(tensor, floats_on_their_own_are_smaller_than_they_were) {
    enum { N = 100000 };
    OWN(mem) float *old = calloc(N, 4), *new = calloc(N, 4);
    fine_tune(old, new, N, 100);
    const struct slice all = {(uint8_t *)new, 4 * N};
    const struct tensor_shape shape = {TENSOR_f32, 100, 0};
    size_t whole = arrays_round_trip(shape, (struct slice){NULL, 0}, all, 4 * ROOM);
    cr_expect_lt(whole, (size_t)N * 4 * 86 / 100, "%zu", whole);
    for (size_t i = 0; i < N; i++) // as if converted from bf16
        memset((uint8_t *)(new + i), 0, 2);
    size_t half = arrays_round_trip(shape, (struct slice){NULL, 0}, all, 4 * ROOM);
    cr_expect_lt(half, (size_t)N * 2 * 72 / 100, "%zu", half);
}

Test(tensor, a_section_ends_before_its_room_does) {
    enum { N = 60000 };
    OWN(mem) uint8_t *old = malloc(N * 8), *new = malloc(N * 8);
    arrays_fill(old, N * 8, 5);
    arrays_fill(new, N * 8, 6);
    for (size_t t = 0; t < TYPES; t++)
        arrays_round_trip((struct tensor_shape){types[t], 123, 5}, (struct slice){old, N * 8},
                          (struct slice){new, N * 8}, TENSOR_ENCODE_MIN_BYTES);
}

Test(tensor, the_same_arrays_give_the_same_sections) {
    enum { N = 5000 };
    static uint8_t old[N * 4], new[N * 4];
    struct buf coded[2];
    arrays_fill(old, sizeof old, 7);
    memcpy(new, old, sizeof new);
    for (size_t i = 0; i < sizeof new; i += 12)
        new[i]++;
    for (int i = 0; i < 2; i++) {
        struct err e = ERR_NONE;
        size_t taken;
        buf_init(&coded[i], ROOM);
        cr_assert_eq(tensor_encode(&(struct tensor_shape){TENSOR_f32, 50, 0},
                                   (struct slice){old, sizeof old}, ADDRESS,
                                   (struct slice){new, sizeof new}, ROOM, &coded[i], &taken, &e),
                     0);
    }
    cr_expect_eq(coded[0].len, coded[1].len);
    cr_expect_eq(memcmp(coded[0].data, coded[1].data, coded[0].len), 0);
    buf_clear(&coded[0]);
    buf_clear(&coded[1]);
}

Test(tensor, sizes_that_do_not_fit_are_refused) {
    static uint8_t bytes[4096];
    static const struct {
        struct tensor_shape shape;
        size_t old, new, room;
    } cases[] = {
        {{TENSOR_f32, 0, 0}, 0, 0, ROOM},          // nothing
        {{TENSOR_f32, 0, 0}, 0, 4095, ROOM},       // part of an element
        {{TENSOR_f32, 0, 0}, 4092, 4096, ROOM},    // an old array of another size
        {{TENSOR_f32, 10, 10}, 4096, 4096, ROOM},  // a column that is none
        {{TENSOR_TYPES_COUNT, 0, 0}, 0, 64, ROOM}, // a type that is none
        {{TENSOR_f32, 0, 0}, 0, 4096, TENSOR_ENCODE_MIN_BYTES - 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OWN(buf) struct buf coded;
        struct err e = ERR_NONE;
        size_t taken = 77;
        buf_init(&coded, ROOM);
        cr_expect_lt(tensor_encode(&cases[i].shape, (struct slice){bytes, cases[i].old}, 0,
                                   (struct slice){bytes, cases[i].new}, cases[i].room, &coded,
                                   &taken, &e),
                     0, "case %zu", i);
        cr_expect(err_is(&e, &err_usage));
        cr_expect(taken == 77 && coded.len == 0);
    }
}

Test(tensor, a_buffer_that_is_too_small_stays_as_it_was) {
    static uint8_t bytes[8192];
    OWN(buf) struct buf coded;
    struct err e = ERR_NONE;
    size_t taken = 77;
    arrays_fill(bytes, sizeof bytes, 8);
    buf_init(&coded, 1000);
    cr_assert_eq(buf_add_text(&coded, "before", &e), 0);
    cr_expect_lt(tensor_encode(&(struct tensor_shape){.type = TENSOR_u8}, (struct slice){NULL, 0},
                               0, (struct slice){bytes, sizeof bytes}, ROOM, &coded, &taken, &e),
                 0);
    cr_expect(err_is(&e, &err_limit));
    cr_expect(taken == 77 && coded.len == 6);
}
