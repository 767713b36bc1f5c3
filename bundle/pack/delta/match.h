// SPDX-License-Identifier: Apache-2.0
//
// Finding what of a content the device has already: bsdiff's way. A suffix array of the old bytes
// gives the longest match for any place of the new ones; matches are stretched in both directions
// over bytes that differ here and there, as long as more agree than not. The result is a list of
// records, each a copy and the literal bytes behind it.
//
// In programs matching is done on a disguise of both sides in which the addresses inside code are
// blank (bundle/delta/predict.h knows them), so that code is found again wherever it moved to.
//
// Memory: a suffix array takes five bytes for each old byte, so contents are matched window by
// window: PACK_DELTA_MATCH_WINDOW_BYTES of the old one around the place that corresponds.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "bundle/tensor/shape.h"

#define PACK_DELTA_MATCH_WINDOW_BYTES (64UL * 1024 * 1024)
#define PACK_DELTA_MATCH_STEP_BYTES                                                                \
    (32UL * 1024 * 1024) // of the new content matched against one window

// `copy` bytes of the old stream from `old`, then `literal` bytes; either may be 0. With `weights`
// it is an array of numbers: `copy` bytes coded as the difference to the old ones, or `literal`
// bytes coded on their own.
struct pack_delta_match_record {
    uint64_t old, copy, literal;
    bool weights;
    struct tensor_shape shape;
};

struct pack_delta_match_records {
    size_t n, max;
    struct pack_delta_match_record *list; // owned
};

// Appends records that make new_bytes. `old` lies at old_address of the old stream. Old bytes may
// be none: one literal. Kind memory.
int pack_delta_match(struct slice old, uint64_t old_address, struct slice new_bytes,
                     struct pack_delta_match_records *ret, struct err *e) __attribute__((nonnull));
int pack_delta_match_add(struct pack_delta_match_records *records,
                         const struct pack_delta_match_record *record, struct err *e)
    __attribute__((nonnull));
void pack_delta_match_clear(struct pack_delta_match_records *records) __attribute__((nonnull));
