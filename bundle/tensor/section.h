// SPDX-License-Identifier: Apache-2.0
//
// A section: the part of a tensor frame that makes one array, or a run of one.
//
//   u8       type (bundle/tensor/shape.h), + 128 when the array has an old one,
//            + 64 when changes that repeat are told apart (bundle/tensor/difference.h)
//   u8       low bits that are zero in all elements, and are not coded
//   varint   elements, at least 1
//   varint   columns: elements of a row, at least 1
//   varint   first column: column of the first element, below columns
//   varint   old address, only with an old array
//   varint   unit, zigzag           } exponents by which numbers are scaled,
//   varint   old unit, zigzag       } each within TENSOR_SECTION_UNIT_MAX of 0
//   varint   coded bytes
//   coded decisions (bundle/tensor/model.h)
#pragma once

#include "base/buf.h"
#include "bundle/tensor/shape.h"

#define TENSOR_SECTION_BASED       128
#define TENSOR_SECTION_AGAIN       64    // only with an old array
#define TENSOR_SECTION_COLUMNS_MAX 65536 // a builder calls longer rows 1 column
#define TENSOR_SECTION_UNIT_MAX    4096
#define TENSOR_SECTION_HEAD_BYTES  96 // no header is longer

struct tensor_section {
    enum tensor_type type;
    bool based;
    bool again;
    unsigned zero_bits;
    uint64_t elements;
    uint32_t columns;
    uint32_t first_column;
    uint64_t address;
    int32_t unit;
    int32_t old_unit;
    uint64_t coded_bytes;
};

// Takes a section's header off the front of *rest; the coded bytes stay. Everything but the old
// address is checked, coded_bytes against what is left. Kind bad_delta.
int tensor_section_get(struct slice *rest, struct tensor_section *ret, struct err *e)
    __attribute__((nonnull));
// Appends a header.
int tensor_section_put(const struct tensor_section *s, struct buf *ret, struct err *e)
    __attribute__((nonnull));
