// SPDX-License-Identifier: Apache-2.0
//
// Coding an element by its difference from the old one, both as ordered numbers.
//
// Fine-tuning moves weights by about the same *value*, whatever their size, while a difference of
// ordered numbers counts steps of the old one's exponent. So differences are kept as values too (in
// the section's unit, 16 bits): five of them, those of the two rows above in this column, of the
// element to the left, the column's mean and the old element, are weighed into a prediction by
// weights that adapt (normalised LMS); mean deviations of column and row say how far off it may be.
// Both are brought back to steps by the old exponent.
//
// What is coded is the rest, turned so that the prediction's remainder is positive: its length in
// bits, starting at the expected one and counting up or down, its sign, three bits under the
// leading one by context, and the lower ones as they are.
//
// Where weights had no gradient, decay alone moved them, all of like mantissa by the same number of
// steps. When a section says so, one decision comes before all this: whether the element changes by
// as many steps as is usual in its class, that is, as the last two did that changed by the same.
#pragma once

#include "bundle/tensor/model.h"

#define TENSOR_DIFFERENCE_CLASSES 256

// Of a class: the sign and seven bits under the leading one.
static inline unsigned tensor_difference_class(const struct tensor_element *t, uint64_t old) {
    uint64_t minus = old >> (t->bits - 1);
    uint64_t part = t->mantissa >= 7 ? old >> (t->mantissa - 7) : old << (7 - t->mantissa);
    return (unsigned)(minus << 7 | (part & 127));
}

// The state for rows of `columns` elements; NULL without memory, free() drops it.
struct tensor_difference *tensor_difference_new(uint32_t columns, int32_t unit, int32_t old_unit);

// Codes the element that has the bits `new` (when encoding), given the old one's, and returns it.
uint64_t tensor_difference_code(struct tensor_model *m, struct tensor_coder *c, uint64_t old,
                                uint64_t new) __attribute__((nonnull));
