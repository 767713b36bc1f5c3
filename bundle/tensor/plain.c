// SPDX-License-Identifier: Apache-2.0
//
// The model of floats without an old array.
#include "bundle/tensor/plain.h"

#include <stdlib.h>

#define HEADS    256
#define LOWS     8 // decisions after the head: the sign, and three bits by what is above them
#define HEAD_SET 0 // sets of weights: by how deep in the tree, then by decision
#define LOW_SET  8

struct tensor_plain {
    uint8_t left;
    uint32_t alone[HEADS];
    uint32_t by_left[HEADS * HEADS];
    uint32_t by_up[HEADS * HEADS];
    uint32_t by_both[HEADS * HEADS]; // the mean of the two
    uint32_t low[4][HEADS * LOWS];
    uint8_t up[];
};

_Static_assert(sizeof(struct tensor_plain) + TENSOR_SECTION_COLUMNS_MAX <= TENSOR_MODEL_STATE_BYTES,
               "the ceiling of what decoding allocates");

static void fresh(uint32_t *slots, size_t n) {
    for (size_t i = 0; i < n; i++)
        slots[i] = TENSOR_MIX_SLOT_FRESH;
}

struct tensor_plain *tensor_plain_new(uint32_t columns) {
    struct tensor_plain *p = calloc(1, sizeof *p + columns);
    if (!p)
        return NULL;
    fresh(p->alone, HEADS);
    fresh(p->by_left, HEADS * HEADS);
    fresh(p->by_up, HEADS * HEADS);
    fresh(p->by_both, HEADS * HEADS);
    for (int i = 0; i < 4; i++)
        fresh(p->low[i], HEADS * LOWS);
    return p;
}

static unsigned code_head(struct tensor_model *m, struct tensor_coder *c, unsigned bits,
                          unsigned is) {
    struct tensor_plain *p = m->plain;
    unsigned up = p->up[m->column], node = 1;
    unsigned both = (up + p->left) / 2;
    for (unsigned i = bits; i > 0; i--) {
        uint32_t *slots[TENSOR_MIX_INPUTS] = {&p->alone[node], &p->by_left[p->left * HEADS + node],
                                              &p->by_up[up * HEADS + node],
                                              &p->by_both[both * HEADS + node]};
        node = node * 2 + tensor_mix_bit(&m->mix, c, slots, HEAD_SET + bits - i, is >> (i - 1) & 1);
    }
    return node - (1U << bits);
}

static unsigned code_low(struct tensor_model *m, struct tensor_coder *c, unsigned head,
                         unsigned node, unsigned is) {
    struct tensor_plain *p = m->plain;
    uint32_t *slots[TENSOR_MIX_INPUTS] = {
        &p->low[0][head * LOWS + node], &p->low[1][p->left * LOWS + node],
        &p->low[2][p->up[m->column] * LOWS + node], &p->low[3][node]};
    return tensor_mix_bit(&m->mix, c, slots, LOW_SET + node, is);
}

uint64_t tensor_plain_code(struct tensor_model *m, struct tensor_coder *c, uint64_t raw) {
    struct tensor_plain *p = m->plain;
    unsigned left = m->element.bits - 1;
    uint64_t sign_bit = (uint64_t)1 << left;
    unsigned bits = left < 8 ? left : 8;
    left -= bits;
    unsigned head = code_head(m, c, bits, (unsigned)(raw >> left) & ((1U << bits) - 1));
    uint64_t value = head;
    bool minus = code_low(m, c, head, 0, (raw & sign_bit) != 0);
    for (unsigned prefix = 1; left > 0 && prefix < LOWS; left--) {
        unsigned bit = code_low(m, c, head, prefix, raw >> (left - 1) & 1);
        prefix = prefix * 2 + bit;
        value = value * 2 + bit;
    }
    while (left > 0) {
        unsigned n = left > 16 ? 16 : left;
        left -= n;
        value = value << n | tensor_coder_raw(c, (uint32_t)(raw >> left) & ((1U << n) - 1), n);
    }
    p->left = p->up[m->column] = (uint8_t)head;
    return minus ? value | sign_bit : value;
}
