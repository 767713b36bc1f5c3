// SPDX-License-Identifier: Apache-2.0
//
// The format stays what it is: sections that were written once (tests/data/tensor) still decode to
// what they were made of, whatever becomes of the encoder.
#include <stdio.h>

#include "tests/unit/bundle/tensor/arrays.h"

#define ELEMENTS      300
#define SECTION_BYTES 4096

// What the sections were made of: bytes without a pattern, each element then raised a little; or,
// without an old array, elements of few exponents.
static void make(unsigned size, bool based, uint8_t old[static 4096], uint8_t new[static 4096]) {
    for (uint32_t i = 0; i < 4096; i++)
        new[i] = old[i] = (uint8_t)(i * 0x9e3779b9U >> 13);
    for (size_t i = 0; i < ELEMENTS; i++) {
        uint8_t *element = new + i *size;
        element[0] = (uint8_t)(element[0] + i % 3);
        if (based)
            continue;
        memset(element, 0, size);
        element[size - 1] = (uint8_t)(60 + i * size % 5);
        element[0] = (uint8_t)(i * size);
    }
}

static int read_old(void *context, uint64_t address, void *to, size_t len, struct err *e) {
    (void)e;
    memcpy(to, (const uint8_t *)context + address, len);
    return 0;
}

static int write_new(void *context, const void *bytes, size_t len, struct err *e) {
    (void)e;
    struct slice *left = context;
    cr_assert_leq(len, left->len);
    cr_expect_eq(memcmp(bytes, left->data, len), 0);
    left->data += len;
    left->len -= len;
    return 0;
}

static size_t read_section(const char *name, uint8_t ret[static SECTION_BYTES]) {
    char path[512];
    (void)snprintf(path, sizeof path, "%s/tests/data/tensor/%s.section", EDGE_SOURCE_DIR, name);
    FILE *file = fopen(path, "rbe");
    cr_assert(file, "%s", path);
    size_t len = fread(ret, 1, SECTION_BYTES, file);
    fclose(file);
    return len;
}

Test(tensor_format, sections_of_before_decode_as_before) {
    static const struct {
        const char *name;
        unsigned size;
        bool based;
    } cases[] = {{"f32", 4, true},       {"bf16", 2, true},       {"i8", 1, true},
                 {"f64", 8, true},       {"f32-alone", 4, false}, {"i16-alone", 2, false},
                 {"f16-alone", 2, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t old[4096], new[4096], section[SECTION_BYTES];
        struct err e = ERR_NONE;
        make(cases[i].size, cases[i].based, old, new);
        struct slice left = {new, (size_t)ELEMENTS *cases[i].size};
        const struct delta_base base = {read_old, sizeof old, old};
        const struct delta_sink sink = {write_new, &left};
        const struct slice coded = {section, read_section(cases[i].name, section)};
        cr_expect_eq(tensor_decode(coded, left.len, &base, &sink, &e), 0, "%s: %s", cases[i].name,
                     e.text);
        cr_expect_eq(left.len, 0);
    }
}
