// SPDX-License-Identifier: Apache-2.0
//
// Coding a float on its own: the eight bits below its sign (of most types the exponent) as a walk
// down a binary tree, by those of the element to the left and of the one above; then its sign,
// three more bits, and the lower ones as they are.
#pragma once

#include "bundle/tensor/model.h"

// The state for rows of `columns` elements; NULL without memory, free() drops it.
struct tensor_plain *tensor_plain_new(uint32_t columns);

// Codes the element that has these bits (when encoding) and returns it.
uint64_t tensor_plain_code(struct tensor_model *m, struct tensor_coder *c, uint64_t raw)
    __attribute__((nonnull));
