// SPDX-License-Identifier: Apache-2.0
//
// Decoding one frame by itself, over a few old bytes.
#pragma once

#include <criterion/criterion.h>
#include <string.h>

#include "base/buf.h"
#include "bundle/unpack/delta/frame.h"

#define ROOM      (1 << 23)
#define UNLIMITED (1ULL << 30)

static const char old_text[] = "0123456789abcdefghijklmnopqrstuvwxyz";
#define OLD_BYTES (sizeof old_text - 1)

static inline int read_old(void *context, uint64_t address, void *data, size_t len, struct err *e) {
    (void)context;
    if (address > OLD_BYTES || len > OLD_BYTES - address)
        return err_set(e, &err_internal, "the decoder reads outside the old contents");
    memcpy(data, old_text + address, len);
    return 0;
}

static inline int keep(void *context, const void *data, size_t len, struct err *e) {
    return buf_add(context, data, len, e);
}

static inline int decode_within(struct slice stored, uint64_t out, uint64_t max, struct buf *ret,
                                struct err *e) {
    const struct delta_base base = {.read = read_old, .bytes = OLD_BYTES};
    const struct delta_sink sink = {.write = keep, .context = ret};
    buf_init(ret, ROOM);
    return unpack_delta_frame(stored, out, max, &base, &sink, e);
}

static inline int decode(struct slice stored, uint64_t out, struct buf *ret, struct err *e) {
    return decode_within(stored, out, UNLIMITED, ret, e);
}

static inline void add(struct buf *b, const void *data, size_t len) {
    struct err e = ERR_NONE;
    cr_assert_eq(buf_add(b, data, len, &e), 0);
}

static inline void add_number(struct buf *b, uint64_t value) {
    uint8_t bytes[BUNDLE_DELTA_VARINT_BYTES];
    add(b, bytes, bundle_delta_put_varint(value, bytes));
}
