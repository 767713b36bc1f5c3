// SPDX-License-Identifier: Apache-2.0
//
// The range coder's bytes.
#include "bundle/tensor/coder.h"

void tensor_coder_encode(struct tensor_coder *c, uint8_t *out, size_t room) {
    *c = (struct tensor_coder){
        .encodes = true, .range = UINT32_MAX, .held_bytes = 1, .out = out, .left = room};
}

static void put(struct tensor_coder *c, uint8_t byte) {
    if (c->left == 0) {
        c->overran = true;
        return;
    }
    *c->out++ = byte;
    c->left--;
}

// A byte goes out once no carry can reach it: the last one that is not 0xff is held with all 0xff
// behind it.
static void shift_out(struct tensor_coder *c) {
    if (c->low < 0xff000000U || c->low >> 32) {
        uint8_t carry = (uint8_t)(c->low >> 32);
        put(c, (uint8_t)(c->cache + carry));
        for (; c->held_bytes > 1; c->held_bytes--)
            put(c, (uint8_t)(0xff + carry));
        c->held_bytes = 0;
        c->cache = (uint8_t)(c->low >> 24);
    }
    c->held_bytes++;
    c->low = (c->low & 0x00ffffffU) << 8;
}

static void shift_in(struct tensor_coder *c) {
    uint8_t byte = 0;
    if (c->left > 0) {
        byte = *c->in++;
        c->left--;
    } else {
        c->overran = true;
    }
    c->code = c->code << 8 | byte;
}

void tensor_coder_shift(struct tensor_coder *c) {
    if (c->encodes)
        shift_out(c);
    else
        shift_in(c);
}

void tensor_coder_flush(struct tensor_coder *c) {
    for (int i = 0; i < 5; i++)
        shift_out(c);
}

void tensor_coder_decode(struct tensor_coder *c, const uint8_t *in, size_t len) {
    *c = (struct tensor_coder){.range = UINT32_MAX, .in = in, .left = len};
    c->overran = len > 0 && in[0] != 0;
    for (int i = 0; i < 5; i++)
        shift_in(c);
}

bool tensor_coder_finished(const struct tensor_coder *c) {
    return !c->overran && c->left == 0 && c->code == 0;
}
