// SPDX-License-Identifier: Apache-2.0
//
// Arrays for the tests of bundle/tensor, the same at every run, and a device that decodes them: an
// old stream in memory that refuses reads outside it, and a sink that compares.
#pragma once

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/tensor/decode.h"
#include "bundle/tensor/encode.h"

#define ADDRESS 1000 // of the old array in the old stream, which ends with it

static inline uint64_t arrays_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state * 0x2545f4914f6cdd1dU;
}

static inline void arrays_fill(uint8_t *to, size_t bytes, uint64_t seed) {
    for (size_t i = 0; i < bytes; i++)
        to[i] = (uint8_t)(arrays_random(&seed) >> 56);
}

// About normal, with deviation 1.
static inline double arrays_normal(uint64_t *state) {
    double sum = 0;
    for (int i = 0; i < 12; i++)
        sum += (double)(arrays_random(state) >> 11) / 9007199254740992.0;
    return sum - 6;
}

struct device {
    struct slice old;
    struct slice expected; // of the output; only counted when data is NULL
    uint64_t reads_end;    // where the last read ended
    size_t written;
    bool differs;
};

static inline int device_read(void *context, uint64_t address, void *data, size_t len,
                              struct err *e) {
    struct device *d = context;
    if (address < ADDRESS || address - ADDRESS + len > d->old.len)
        return err_set(e, &err_internal, "a read outside the old array");
    if (address < d->reads_end)
        return err_set(e, &err_internal, "a read that goes back");
    memcpy(data, d->old.data + (address - ADDRESS), len);
    d->reads_end = address + len;
    return 0;
}

static inline int device_write(void *context, const void *data, size_t len, struct err *e) {
    struct device *d = context;
    (void)e;
    d->differs =
        d->differs || (d->expected.data && (len > d->expected.len - d->written ||
                                            memcmp(d->expected.data + d->written, data, len) != 0));
    d->written += len;
    return 0;
}

static inline int device_decode(struct device *d, struct slice coded, uint64_t out_bytes,
                                struct err *e) {
    const struct delta_base base = {device_read, ADDRESS + d->old.len, d};
    const struct delta_sink sink = {device_write, d};
    d->reads_end = 0;
    d->written = 0;
    d->differs = false;
    return tensor_decode(coded, out_bytes, &base, &sink, e);
}

// Encodes an array in sections of at most max_bytes, decodes them as one frame and compares;
// returns the bytes of all sections.
static inline size_t arrays_round_trip(struct tensor_shape shape, struct slice old,
                                       struct slice new, size_t max_bytes) {
    OWN(buf) struct buf coded;
    struct err e = ERR_NONE;
    struct device device = {.old = old, .expected = new};
    size_t done = 0, size = tensor_shape_bytes(shape.type);
    buf_init(&coded, 64UL << 20);
    while (done < new.len) {
        size_t taken = 0, before = coded.len;
        struct slice rest = {new.data + done, new.len - done};
        struct slice old_rest = {old.len ? old.data + done : NULL, old.len ? old.len - done : 0};
        cr_assert_eq(
            tensor_encode(&shape, old_rest, ADDRESS + done, rest, max_bytes, &coded, &taken, &e), 0,
            "%s", e.text);
        cr_assert(taken > 0 && taken <= rest.len && taken % size == 0);
        cr_assert_leq(coded.len - before, max_bytes);
        done += taken;
        if (shape.columns)
            shape.first_column = (shape.first_column + taken / size) % shape.columns;
    }
    cr_assert_eq(device_decode(&device, buf_slice(&coded), new.len, &e), 0, "%s", e.text);
    cr_assert(!device.differs);
    cr_assert_eq(device.written, new.len);
    return coded.len;
}
