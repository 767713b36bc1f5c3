// SPDX-License-Identifier: Apache-2.0
//
// What the types are made of.
#include "bundle/tensor/element.h"

static const struct {
    unsigned bytes, mantissa;
    bool is_signed;
} types[] = {
#define TENSOR_TYPE(name, number, bytes, mantissa, sign) [number] = {bytes, mantissa, sign},
    TENSOR_TYPES(TENSOR_TYPE)
#undef TENSOR_TYPE
};

unsigned tensor_element_zero_max(enum tensor_type type) {
    return types[type].mantissa ? types[type].mantissa : 8 * types[type].bytes - 1;
}

void tensor_element_init(struct tensor_element *t, enum tensor_type type, unsigned zero_bits) {
    unsigned mantissa = types[type].mantissa;
    *t = (struct tensor_element){.bytes = types[type].bytes,
                                 .zero_bits = zero_bits,
                                 .bits = 8 * types[type].bytes - zero_bits,
                                 .mantissa = mantissa ? mantissa - zero_bits : 0,
                                 .is_float = mantissa != 0,
                                 .is_signed = types[type].is_signed};
}
