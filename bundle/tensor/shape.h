// SPDX-License-Identifier: Apache-2.0
//
// What an array of numbers is, as far as coding its difference needs to know: the type of an
// element, little-endian, and how many of them make a row. Both only steer what is cheap; with the
// wrong ones the array comes back all the same, from more bytes.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// X(name, number in the format, bytes of an element, bits of the mantissa (0: an integer), signed)
#define TENSOR_TYPES(X)                                                                            \
    X(u8, 0, 1, 0, false)                                                                          \
    X(i8, 1, 1, 0, true)                                                                           \
    X(u16, 2, 2, 0, false)                                                                         \
    X(i16, 3, 2, 0, true)                                                                          \
    X(u32, 4, 4, 0, false)                                                                         \
    X(i32, 5, 4, 0, true)                                                                          \
    X(u64, 6, 8, 0, false)                                                                         \
    X(i64, 7, 8, 0, true)                                                                          \
    X(f16, 8, 2, 10, true)                                                                         \
    X(bf16, 9, 2, 7, true)                                                                         \
    X(f32, 10, 4, 23, true)                                                                        \
    X(f64, 11, 8, 52, true)

enum tensor_type {
#define TENSOR_TYPE(name, number, bytes, mantissa, sign) TENSOR_##name = number,
    TENSOR_TYPES(TENSOR_TYPE)
#undef TENSOR_TYPE
        TENSOR_TYPES_COUNT
};

// Things of other sizes (packed nibbles, blocks of a quantised format, FP8) are u8, with as many
// columns as a block has bytes.
struct tensor_shape {
    enum tensor_type type;
    uint64_t columns;      // elements of a row; 0: not known
    uint64_t first_column; // of the first element; below columns
};

// Bytes of an element; 0 for a number that is no type.
unsigned tensor_shape_bytes(enum tensor_type type);
