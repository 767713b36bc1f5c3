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
#pragma once

#include "bundle/tensor/model.h"

// The state for rows of `columns` elements; NULL without memory, free() drops it.
struct tensor_difference *tensor_difference_new(uint32_t columns, int32_t unit, int32_t old_unit);

// Codes the element that has the bits `new` (when encoding), given the old one's, and returns it.
uint64_t tensor_difference_code(struct tensor_model *m, struct tensor_coder *c, uint64_t old,
                                uint64_t new) __attribute__((nonnull));
