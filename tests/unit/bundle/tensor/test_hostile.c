// SPDX-License-Identifier: Apache-2.0
//
// What the decoder refuses: headers out of range, code that is too short or too long, arrays that
// are not inside the old contents. And what it needs: two mebibytes, whatever it is told.
#include "tests/unit/bundle/tensor/arrays.h"

#include "bundle/tensor/section.h"
#include "tests/support/alloc_fault.h"

#define N 1000 // elements of the sections here

static uint8_t old_bytes[N * 4], new_bytes[N * 4];

// A section of N floats at ADDRESS.
static void make(struct buf *ret) {
    struct err e = ERR_NONE;
    size_t taken;
    arrays_fill(old_bytes, sizeof old_bytes, 11);
    memcpy(new_bytes, old_bytes, sizeof new_bytes);
    for (size_t i = 0; i < sizeof new_bytes; i += 4)
        new_bytes[i] = (uint8_t)(new_bytes[i] + i % 13);
    buf_init(ret, 1 << 20);
    cr_assert_eq(tensor_encode(&(struct tensor_shape){TENSOR_f32, 10, 3},
                               (struct slice){old_bytes, sizeof old_bytes}, ADDRESS,
                               (struct slice){new_bytes, sizeof new_bytes}, 1 << 20, ret, &taken,
                               &e),
                 0);
}

static struct device device(void) {
    return (struct device){.old = {old_bytes, sizeof old_bytes},
                           .expected = {new_bytes, sizeof new_bytes}};
}

static void refused(const struct buf *coded, uint64_t out_bytes, const char *why) {
    struct err e = ERR_NONE;
    struct device d = device();
    d.expected.data = NULL;
    cr_expect_lt(device_decode(&d, buf_slice(coded), out_bytes, &e), 0, "%s", why);
    cr_expect(err_is(&e, &err_bad_delta), "%s: %s", why, e.text);
    cr_expect_leq(d.written, out_bytes);
}

Test(tensor_decode, code_that_is_cut_short_anywhere_is_refused) {
    OWN(buf) struct buf coded;
    make(&coded);
    for (size_t len = coded.len; len-- > 0;) {
        coded.len = len;
        refused(&coded, sizeof new_bytes, "cut short");
    }
}

Test(tensor_decode, code_that_declares_less_than_it_is_is_refused) {
    OWN(buf) struct buf coded, shorter;
    struct tensor_section s;
    struct err e = ERR_NONE;
    make(&coded);
    struct slice rest = buf_slice(&coded);
    cr_assert_eq(tensor_section_get(&rest, &s, &e), 0);
    for (uint64_t drop = 1; drop <= 8; drop++) {
        struct tensor_section less = s;
        less.coded_bytes = s.coded_bytes - drop;
        buf_init(&shorter, 1 << 20);
        cr_assert_eq(tensor_section_put(&less, &shorter, &e), 0);
        cr_assert_eq(buf_add(&shorter, rest.data, (size_t)less.coded_bytes, &e), 0);
        refused(&shorter, sizeof new_bytes, "declared shorter");
        buf_clear(&shorter);
    }
}

Test(tensor_decode, what_follows_the_last_element_is_refused) {
    OWN(buf) struct buf coded, longer;
    struct tensor_section s;
    struct err e = ERR_NONE;
    make(&coded);
    struct slice rest = buf_slice(&coded);
    cr_assert_eq(tensor_section_get(&rest, &s, &e), 0);
    s.coded_bytes++;
    buf_init(&longer, 1 << 20);
    cr_assert_eq(tensor_section_put(&s, &longer, &e), 0);
    cr_assert_eq(buf_add(&longer, rest.data, rest.len, &e), 0);
    cr_assert_eq(buf_add(&longer, "", 1, &e), 0);
    refused(&longer, sizeof new_bytes, "a byte of code more");
    cr_assert_eq(buf_add(&coded, "", 1, &e), 0);
    refused(&coded, sizeof new_bytes, "a byte behind the section");
}

Test(tensor_decode, an_output_of_another_size_is_refused) {
    OWN(buf) struct buf coded;
    make(&coded);
    static const uint64_t sizes[] = {0, 1, sizeof new_bytes - 1, sizeof new_bytes + 1, 1ULL << 40};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        refused(&coded, sizes[i], "another size");
}

Test(tensor_decode, an_empty_frame_makes_nothing) {
    const struct buf none = {0};
    struct err e = ERR_NONE;
    struct device d = device();
    cr_expect_eq(device_decode(&d, buf_slice(&none), 0, &e), 0);
    refused(&none, 1, "nothing for something");
}

// Each is put before the code of a good section, whose header it replaces.
Test(tensor_decode, headers_out_of_range_are_refused_and_those_at_the_limit_read) {
    static const struct {
        struct tensor_section s;
        bool good;
    } cases[] = {
        {{.type = TENSOR_f32, .elements = N, .columns = 1}, true},
        {{.type = TENSOR_TYPES_COUNT, .elements = N, .columns = 1}, false},
        {{.type = (enum tensor_type)63, .elements = N, .columns = 1}, false},
        {{.type = TENSOR_f32, .again = true, .elements = N, .columns = 1}, false},
        {{.type = TENSOR_f32, .based = true, .again = true, .elements = N, .columns = 1}, true},
        {{.type = TENSOR_f32, .zero_bits = 23, .elements = N, .columns = 1}, true},
        {{.type = TENSOR_f32, .zero_bits = 24, .elements = N, .columns = 1}, false},
        {{.type = TENSOR_u8, .zero_bits = 7, .elements = N, .columns = 1}, true},
        {{.type = TENSOR_u8, .zero_bits = 8, .elements = N, .columns = 1}, false},
        {{.type = TENSOR_f32, .elements = 0, .columns = 1}, false},
        {{.type = TENSOR_u8, .elements = 1ULL << 32, .columns = 1}, true},
        {{.type = TENSOR_u8, .elements = (1ULL << 32) + 1, .columns = 1}, false},
        {{.type = TENSOR_u8, .elements = UINT64_MAX, .columns = 1}, false},
        {{.type = TENSOR_f32, .elements = N, .columns = 0}, false},
        {{.type = TENSOR_f32, .elements = N, .columns = TENSOR_SECTION_COLUMNS_MAX}, true},
        {{.type = TENSOR_f32, .elements = N, .columns = TENSOR_SECTION_COLUMNS_MAX + 1}, false},
        {{.type = TENSOR_f32, .elements = N, .columns = 5, .first_column = 4}, true},
        {{.type = TENSOR_f32, .elements = N, .columns = 5, .first_column = 5}, false},
        {{.type = TENSOR_f32, .elements = N, .columns = 1, .unit = 4096}, true},
        {{.type = TENSOR_f32, .elements = N, .columns = 1, .unit = -4096}, true},
        {{.type = TENSOR_f32, .elements = N, .columns = 1, .unit = -4097}, false},
        {{.type = TENSOR_f32, .elements = N, .columns = 1, .old_unit = 4097}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OWN(buf) struct buf b;
        struct err e = ERR_NONE;
        struct tensor_section back;
        buf_init(&b, 1000);
        cr_assert_eq(tensor_section_put(&cases[i].s, &b, &e), 0);
        cr_expect_leq(b.len, TENSOR_SECTION_HEAD_BYTES);
        struct slice rest = buf_slice(&b);
        cr_expect_eq(tensor_section_get(&rest, &back, &e) == 0, cases[i].good, "case %zu: %s", i,
                     e.text);
        if (cases[i].good)
            cr_expect(rest.len == 0 && back.elements == cases[i].s.elements &&
                      back.unit == cases[i].s.unit && back.again == cases[i].s.again);
        else
            cr_expect(err_is(&e, &err_bad_delta));
    }
}

Test(tensor_decode, an_old_array_that_is_not_inside_the_old_contents_is_refused) {
    static const uint64_t addresses[] = {ADDRESS + 1, ADDRESS + sizeof old_bytes, UINT64_MAX - 3,
                                         UINT64_MAX};
    OWN(buf) struct buf coded, moved;
    struct tensor_section s;
    struct err e = ERR_NONE;
    make(&coded);
    struct slice rest = buf_slice(&coded);
    cr_assert_eq(tensor_section_get(&rest, &s, &e), 0);
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        s.address = addresses[i];
        buf_init(&moved, 1 << 20);
        cr_assert_eq(tensor_section_put(&s, &moved, &e), 0);
        cr_assert_eq(buf_add(&moved, rest.data, rest.len, &e), 0);
        refused(&moved, sizeof new_bytes, "an address outside");
        buf_clear(&moved);
    }
}

// Most flips still decode, to something else; digests find that. None may do harm.
Test(tensor_decode, any_flipped_bit_is_refused_or_makes_as_many_bytes) {
    OWN(buf) struct buf coded;
    make(&coded);
    for (size_t bit = 0; bit < coded.len * 8; bit++) {
        struct err e = ERR_NONE;
        struct device d = device();
        d.expected.data = NULL;
        coded.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (device_decode(&d, buf_slice(&coded), sizeof new_bytes, &e) == 0)
            cr_expect_eq(d.written, sizeof new_bytes);
        else
            cr_expect(err_is(&e, &err_bad_delta) || err_is(&e, &err_internal), "%s", e.text);
        coded.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

Test(tensor_decode, random_code_of_any_header_does_no_harm) {
    for (uint64_t seed = 1; seed <= 60; seed++) {
        OWN(buf) struct buf b;
        uint8_t code[600];
        struct err e = ERR_NONE;
        struct device d = device();
        struct tensor_section s = {.type = (enum tensor_type)(seed % TENSOR_TYPES_COUNT),
                                   .based = seed & 1,
                                   .again = (seed & 3) == 3,
                                   .elements = 400,
                                   .columns = 1 + (uint32_t)(seed * 7 % 100),
                                   .address = ADDRESS,
                                   .unit = (int32_t)(seed * 137 % 8193) - 4096,
                                   .old_unit = (int32_t)(seed * 731 % 8193) - 4096,
                                   .coded_bytes = sizeof code};
        arrays_fill(code, sizeof code, seed);
        code[0] = 0;
        buf_init(&b, 1000);
        cr_assert_eq(tensor_section_put(&s, &b, &e), 0);
        cr_assert_eq(buf_add(&b, code, sizeof code, &e), 0);
        d.expected.data = NULL;
        cr_expect_lt(device_decode(&d, buf_slice(&b), 400 * tensor_shape_bytes(s.type), &e), 0);
        cr_expect(err_is(&e, &err_bad_delta), "%s", e.text);
    }
}

static int fail_write(void *context, const void *data, size_t len, struct err *e) {
    (void)context;
    (void)data;
    return err_set(e, &err_no_space, "no room for %zu bytes", len);
}

static int fail_read(void *context, uint64_t address, void *data, size_t len, struct err *e) {
    (void)context;
    (void)address;
    (void)data;
    return err_set(e, &err_io, "%zu bytes cannot be read", len);
}

Test(tensor_decode, failures_of_base_and_sink_are_handed_on) {
    OWN(buf) struct buf coded;
    struct err e = ERR_NONE, f = ERR_NONE;
    struct device d = device();
    make(&coded);
    const struct delta_base base = {device_read, ADDRESS + sizeof old_bytes, &d};
    const struct delta_base bad_base = {fail_read, ADDRESS + sizeof old_bytes, NULL};
    const struct delta_sink sink = {device_write, &d}, bad_sink = {fail_write, NULL};
    cr_expect_lt(tensor_decode(buf_slice(&coded), sizeof new_bytes, &base, &bad_sink, &e), 0);
    cr_expect(err_is(&e, &err_no_space));
    cr_expect_lt(tensor_decode(buf_slice(&coded), sizeof new_bytes, &bad_base, &sink, &f), 0);
    cr_expect(err_is(&f, &err_io));
}

Test(tensor_decode, without_memory_it_says_so) {
    OWN(buf) struct buf coded;
    bool refused_one = true;
    make(&coded);
    for (size_t n = 0; refused_one; n++) {
        struct err e = ERR_NONE;
        struct device d = device();
        alloc_fault_begin(n, false);
        int r = device_decode(&d, buf_slice(&coded), sizeof new_bytes, &e);
        refused_one = alloc_fault_end();
        cr_expect_eq(r < 0, refused_one);
        cr_expect(r == 0 || err_is(&e, &err_memory));
    }
}
