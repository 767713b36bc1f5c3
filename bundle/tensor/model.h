// SPDX-License-Identifier: Apache-2.0
//
// What is known about the elements of a section before each is coded. The coder gives decisions one
// way or the other (bundle/tensor/coder.h), so this is both the encoder's and the decoder's model.
//
// Elements are coded in runs of TENSOR_MODEL_RUN (the last may be shorter). With an old array one
// decision says of each run whether it is the old one unchanged. Other elements:
//
//   difference.c   the difference from the old element (or, for integers without one, from 0)
//   plain.c        floats without an old array: sign, exponent, mantissa
#pragma once

#include "bundle/tensor/element.h"
#include "bundle/tensor/mix.h"
#include "bundle/tensor/section.h"

#define TENSOR_MODEL_RUN         256           // elements
#define TENSOR_MODEL_STATE_BYTES (1900 * 1024) // what one of the two takes at most

struct tensor_difference;
struct tensor_plain;

struct tensor_model {
    struct tensor_element element;
    uint32_t columns;
    uint32_t column; // of the next element
    uint32_t row;    // of it, counted to TENSOR_MODEL_ROWS
    bool based;
    bool again;       // changes that repeat by class are expected
    uint32_t same[2]; // slots for "this run is unchanged", by whether the run before was
    unsigned was_same;
    struct tensor_mix mix;
    struct tensor_difference *difference; // one of the two
    struct tensor_plain *plain;
};

#define TENSOR_MODEL_ROWS 63

// The model at the beginning of a section; tensor_model_close frees it. Kind memory.
int tensor_model_open(const struct tensor_section *s, struct tensor_model **ret, struct err *e)
    __attribute__((nonnull));
void tensor_model_close(struct tensor_model *m);
static inline void own_drop_tensor_model(struct tensor_model **model) {
    tensor_model_close(*model);
}

// Codes n <= TENSOR_MODEL_RUN elements: of `new` when c encodes, else into it. old: n elements when
// the section is based, else not looked at.
void tensor_model_run(struct tensor_model *m, struct tensor_coder *c, const uint8_t *old,
                      uint8_t *new, size_t n) __attribute__((nonnull(1, 2, 4)));
