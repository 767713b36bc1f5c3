// SPDX-License-Identifier: Apache-2.0
//
// Arrays to sections.
#include "bundle/tensor/encode.h"

#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "bundle/tensor/difference.h"
#include "bundle/tensor/model.h"

#define SAMPLES       65536
#define STRETCH       256  // elements that are looked at one after the other
#define REPEATS_LEAST 32   // one in so many
#define CHEAP_BITS    4    // of a change that is as well coded as any other
#define EXPONENTS     4096 // of a value in steps: those of f64 and the bits of 64
#define VALUE_BITS    9    // of a common difference in the section's unit
#define OLD_BITS      12   // of a common old element in its unit
// What one run can take at most: no decision has less probability than 2^-12, an element has fewer
// than its bits and 8 more of them.
#define RUN_BYTES(bits) (TENSOR_MODEL_RUN * ((size_t)(bits) + 8) * 12 / 8 + 64)

struct array {
    const struct tensor_shape *what;
    struct slice old, new;
};

// Low bits that are 0 in every element.
static unsigned zero_bits(const struct array *a) {
    struct tensor_element t;
    unsigned n = 0, most = tensor_element_zero_max(a->what->type);
    uint64_t any = 0;
    tensor_element_init(&t, a->what->type, 0);
    for (size_t i = 0; i < a->new.len && !(any & 1); i += t.bytes)
        any |= tensor_element_load(&t, a->new.data + i);
    while (n < most && !(any >> n & 1))
        n++;
    return n;
}

static unsigned bit_length(int64_t value) {
    uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;
    return magnitude ? 64 - (unsigned)__builtin_clzll(magnitude) : 0;
}

// The length in bits, exponent included, that three quarters of the counted values stay within.
static int32_t upper_quartile(const uint32_t counts[static EXPONENTS], uint32_t total) {
    uint32_t seen = 0;
    for (int32_t i = 0; i < EXPONENTS; i++) {
        seen += counts[i];
        if (seen * 4ULL >= total * 3ULL)
            return i;
    }
    return 0;
}

// The section's units: such that usual differences and usual old elements are numbers of a few
// hundred and a few thousand.
static int measure_units(const struct array *a, struct tensor_section *s, struct err *e) {
    struct tensor_element t;
    tensor_element_init(&t, s->type, s->zero_bits);
    OWN(mem) uint32_t *counts = calloc(2 * EXPONENTS, sizeof *counts);
    uint32_t changed = 0, seen = 0;
    if (!counts)
        return err_set(e, &err_memory, "statistics of weights");
    size_t n = a->new.len / t.bytes, step = n / SAMPLES | 1;
    for (size_t i = 0; i < n; i += step) {
        uint64_t new = tensor_element_load(&t, a->new.data + i *t.bytes);
        uint64_t old = s->based ? tensor_element_load(&t, a->old.data + i * t.bytes) : 0;
        int32_t exponent = s->based ? tensor_element_exponent(&t, old) : 0;
        uint64_t from = s->based ? (uint64_t)tensor_element_ordered(&t, old) : 0;
        int64_t change =
            tensor_element_wrap((uint64_t)tensor_element_ordered(&t, new) - from, t.bits);
        if (s->based)
            counts[exponent + (int32_t)bit_length(tensor_element_steps(&t, old))]++;
        seen++;
        if (change == 0)
            continue;
        counts[EXPONENTS + exponent + (int32_t)bit_length(change)]++;
        changed++;
    }
    s->old_unit = upper_quartile(counts, seen) - OLD_BITS;
    s->unit = upper_quartile(counts + EXPONENTS, changed) - VALUE_BITS;
    return 0;
}

// Whether enough elements change by as many steps as others of the same class did, as they do where
// there was no gradient and only decay. Looked at in stretches, for what repeats does so nearby.
static bool repeats(const struct array *a, const struct tensor_section *s) {
    struct tensor_element t;
    int64_t last[TENSOR_DIFFERENCE_CLASSES] = {0};
    size_t seen = 0, again = 0;
    tensor_element_init(&t, s->type, s->zero_bits);
    size_t n = a->new.len / t.bytes, step = n / SAMPLES *STRETCH + STRETCH;
    for (size_t i = 0; i < n; i++) {
        if (i % STRETCH == STRETCH - 1)
            i += step - STRETCH;
        if (i >= n)
            break;
        uint64_t old = tensor_element_load(&t, a->old.data + i * t.bytes);
        uint64_t new = tensor_element_load(&t, a->new.data + i *t.bytes);
        uint64_t from = (uint64_t)tensor_element_ordered(&t, old);
        int64_t change =
            tensor_element_wrap((uint64_t)tensor_element_ordered(&t, new) - from, t.bits);
        unsigned class = tensor_difference_class(&t, old);
        seen++;
        again += change == last[class] && bit_length(change) > CHEAP_BITS;
        last[class] = change;
    }
    return again * REPEATS_LEAST > seen;
}

// Codes runs as long as the room surely takes one more; returns the elements done.
static uint64_t encode_runs(const struct array *a, struct tensor_model *m, struct tensor_coder *c) {
    uint8_t new[TENSOR_MODEL_RUN * 8];
    size_t size = m->element.bytes, n = a->new.len / size, done = 0;
    while (done < n && c->left > RUN_BYTES(m->element.bits) + c->held_bytes) {
        size_t run = n - done < TENSOR_MODEL_RUN ? n - done : TENSOR_MODEL_RUN;
        memcpy(new, a->new.data + done *size, run * size);
        tensor_model_run(m, c, m->based ? a->old.data + done * size : NULL, new, run);
        done += run;
    }
    tensor_coder_flush(c);
    return done;
}

static int encode_section(const struct array *a, struct tensor_section *s, size_t max_bytes,
                          struct buf *ret, struct err *e) {
    OWN(tensor_model) struct tensor_model *m = NULL;
    size_t room = max_bytes - TENSOR_SECTION_HEAD_BYTES, before = ret->len;
    size_t enough = a->new.len / tensor_shape_bytes(s->type);
    enough = (enough / TENSOR_MODEL_RUN + 2) * RUN_BYTES(8 * tensor_shape_bytes(s->type));
    room = room < enough ? room : enough;
    OWN(mem) uint8_t *coded = malloc(room);
    struct tensor_coder c;
    if (!coded)
        return err_set(e, &err_memory, "a section of weights of %zu bytes", room);
    if (tensor_model_open(s, &m, e) < 0)
        return -1;
    tensor_coder_encode(&c, coded, room);
    s->elements = encode_runs(a, m, &c);
    s->coded_bytes = room - c.left;
    if (c.overran)
        return err_set(e, &err_internal, "a run of weights took more room than any can");
    if (tensor_section_put(s, ret, e) < 0 || buf_add(ret, coded, (size_t)s->coded_bytes, e) < 0) {
        ret->len = before;
        return -1;
    }
    return 0;
}

int tensor_encode(const struct tensor_shape *what, struct slice old, uint64_t old_address,
                  struct slice new, size_t max_bytes, struct buf *ret, size_t *ret_taken,
                  struct err *e) {
    const struct array a = {.what = what, .old = old, .new = new};
    unsigned size = tensor_shape_bytes(what->type);
    bool rows = what->columns > 0 && what->columns <= TENSOR_SECTION_COLUMNS_MAX;
    if (size == 0 || new.len == 0 || new.len % size || (old.len > 0 && old.len != new.len) ||
        max_bytes < TENSOR_ENCODE_MIN_BYTES || (rows && what->first_column >= what->columns))
        return err_set(e, &err_usage,
                       "an array of weights of %zu bytes, %zu of the old one: sizes do not fit",
                       new.len, old.len);
    struct tensor_section s = {.type = what->type,
                               .based = old.len > 0,
                               .zero_bits = zero_bits(&a),
                               .columns = rows ? (uint32_t)what->columns : 1,
                               .first_column = rows ? (uint32_t)what->first_column : 0,
                               .address = old_address};
    s.again = s.based && repeats(&a, &s);
    if (measure_units(&a, &s, e) < 0 || encode_section(&a, &s, max_bytes, ret, e) < 0)
        return -1;
    *ret_taken = (size_t)s.elements * size;
    return 0;
}
