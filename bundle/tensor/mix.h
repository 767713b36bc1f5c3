// SPDX-License-Identifier: Apache-2.0
//
// How likely a decision is, learnt from those before it: four contexts each keep a probability that
// adapts fast at first and slower with experience, and a small network mixes the four in the
// logistic domain, with weights that learn which of the contexts is right. Integers only.
#pragma once

#include "bundle/tensor/coder.h"

#define TENSOR_MIX_INPUTS     4
#define TENSOR_MIX_SETS       64 // of weights
#define TENSOR_MIX_SLOT_FRESH (1U << 31)
#define TENSOR_MIX_TURNS      1000 // experience is counted to here
#define TENSOR_MIX_WEIGHT_MAX (1 << 22)
#define TENSOR_MIX_STRETCHED  2047 // largest logit, in 1/256

struct tensor_mix {
    int16_t stretch[4096]; // probability in 1/4096 to logit
    uint16_t squash[4096]; // logit + 2048 to probability in 1/65536
    uint16_t step[TENSOR_MIX_TURNS + 1];
    int32_t weights[TENSOR_MIX_SETS][TENSOR_MIX_INPUTS];
};

void tensor_mix_init(struct tensor_mix *m) __attribute__((nonnull));

// A slot: probability of a 1 in 22 bits, and how often it was asked in 10. They start as
// TENSOR_MIX_SLOT_FRESH.
static inline void tensor_mix_learn(const struct tensor_mix *m, uint32_t *slot, unsigned bit) {
    uint32_t turns = *slot & 1023;
    int32_t p = (int32_t)(*slot >> 10);
    int32_t aim = bit ? (1 << 22) - 1 : 0;
    p += (int32_t)((int64_t)(aim - p) * m->step[turns] >> 16);
    *slot = (uint32_t)p << 10 | (turns < TENSOR_MIX_TURNS ? turns + 1 : turns);
}

// Codes one decision by the four slots and a set of weights, and lets them learn from it.
static inline unsigned tensor_mix_bit(struct tensor_mix *m, struct tensor_coder *c,
                                      uint32_t *const slots[static TENSOR_MIX_INPUTS], unsigned set,
                                      unsigned bit) {
    int32_t *weights = m->weights[set];
    int32_t logits[TENSOR_MIX_INPUTS];
    int64_t sum = 0;
    for (int i = 0; i < TENSOR_MIX_INPUTS; i++) {
        logits[i] = m->stretch[*slots[i] >> 20];
        sum += (int64_t)weights[i] * logits[i];
    }
    sum >>= 16;
    sum = sum > TENSOR_MIX_STRETCHED ? TENSOR_MIX_STRETCHED : sum;
    sum = sum < -TENSOR_MIX_STRETCHED ? -TENSOR_MIX_STRETCHED : sum;
    uint32_t p1 = m->squash[sum + 2048];
    bit = tensor_coder_bit(c, bit, p1);
    int32_t error = (bit ? 65535 : 0) - (int32_t)p1;
    for (int i = 0; i < TENSOR_MIX_INPUTS; i++) {
        int32_t weight = weights[i] + ((logits[i] * error + (1 << 15)) >> 16);
        weight = weight > TENSOR_MIX_WEIGHT_MAX ? TENSOR_MIX_WEIGHT_MAX : weight;
        weights[i] = weight < -TENSOR_MIX_WEIGHT_MAX ? -TENSOR_MIX_WEIGHT_MAX : weight;
        tensor_mix_learn(m, slots[i], bit);
    }
    return bit;
}
