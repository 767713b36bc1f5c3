// SPDX-License-Identifier: Apache-2.0
//
// Sizes of types.
#include "bundle/tensor/shape.h"

unsigned tensor_shape_bytes(enum tensor_type type) {
    static const unsigned char bytes[] = {
#define TENSOR_TYPE(name, number, size, mantissa, sign) [number] = size,
        TENSOR_TYPES(TENSOR_TYPE)
#undef TENSOR_TYPE
    };
    return (unsigned)type < sizeof bytes ? bytes[type] : 0;
}
