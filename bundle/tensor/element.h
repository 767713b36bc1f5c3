// SPDX-License-Identifier: Apache-2.0
//
// An element as a whole number that has the order of the values: the difference of two is then the
// number of representable values between them, and small where a weight changed little. Every
// pattern of bits has its own number, NaNs, -0 and denormals too.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bundle/tensor/shape.h"

struct tensor_element {
    unsigned bytes;     // in the array
    unsigned zero_bits; // low bits that are not looked at
    unsigned bits;      // those that are
    unsigned mantissa;  // of these; 0 for integers
    bool is_float;
    bool is_signed;
};

// zero_bits: at most tensor_element_zero_max.
void tensor_element_init(struct tensor_element *t, enum tensor_type type, unsigned zero_bits)
    __attribute__((nonnull));
// How many low bits a type can go without.
unsigned tensor_element_zero_max(enum tensor_type type);

// The low `bits` bits as a signed number.
static inline int64_t tensor_element_wrap(uint64_t value, unsigned bits) {
    uint64_t top = (uint64_t)1 << (bits - 1);
    value &= top | (top - 1);
    return (int64_t)((value ^ top) - top);
}

static inline uint64_t tensor_element_load(const struct tensor_element *t, const uint8_t *from) {
    uint64_t raw = 0;
    for (unsigned i = 0; i < t->bytes; i++)
        raw |= (uint64_t)from[i] << (8 * i);
    return raw >> t->zero_bits;
}

static inline void tensor_element_store(const struct tensor_element *t, uint64_t raw, uint8_t *to) {
    raw <<= t->zero_bits;
    for (unsigned i = 0; i < t->bytes; i++)
        to[i] = (uint8_t)(raw >> (8 * i));
}

// Bits to ordered number. A float is sign and magnitude: of the negative ones all bits are turned,
// so that -0 is the number right below 0.
static inline int64_t tensor_element_ordered(const struct tensor_element *t, uint64_t raw) {
    uint64_t top = (uint64_t)1 << (t->bits - 1);
    if (t->is_float)
        return raw & top ? -(int64_t)(raw & ~top) - 1 : (int64_t)raw;
    return tensor_element_wrap(t->is_signed ? raw : raw ^ top, t->bits);
}

// And back, from a number that may be out of range by any multiple of 2^bits.
static inline uint64_t tensor_element_bits(const struct tensor_element *t, uint64_t number) {
    uint64_t top = (uint64_t)1 << (t->bits - 1);
    number &= top | (top - 1);
    if (!t->is_float)
        return t->is_signed ? number : number ^ top;
    return number & top ? (~number & (top - 1)) | top : number;
}

// The exponent by which one step of the ordered number is scaled; integers have 0.
static inline int32_t tensor_element_exponent(const struct tensor_element *t, uint64_t raw) {
    if (!t->is_float)
        return 0;
    uint64_t magnitude = raw & (((uint64_t)1 << (t->bits - 1)) - 1);
    uint64_t exponent = magnitude >> t->mantissa;
    return exponent ? (int32_t)exponent : 1;
}

// The value in steps of that scale: an integer itself, a float's mantissa with its hidden bit.
static inline int64_t tensor_element_steps(const struct tensor_element *t, uint64_t raw) {
    if (!t->is_float)
        return tensor_element_ordered(t, raw);
    uint64_t top = (uint64_t)1 << (t->bits - 1);
    uint64_t hidden = (uint64_t)1 << t->mantissa;
    uint64_t steps = raw & (hidden - 1);
    if ((raw & (top - 1)) >= hidden)
        steps |= hidden;
    return raw & top ? -(int64_t)steps : (int64_t)steps;
}
