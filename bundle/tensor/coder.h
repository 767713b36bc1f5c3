// SPDX-License-Identifier: Apache-2.0
//
// A binary range coder, both ways in one: each call takes the decision when it encodes and gives it
// back when it decodes, so that the model above it is written once and cannot differ between the
// two. The arithmetic is that of LZMA's coder with probabilities of 16 bits.
//
// A coded run of decisions takes 5 bytes more than its carries: the first is 0. A decoder that took
// the same decisions used them all up and is left with the code 0 (tensor_coder_finished).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TENSOR_CODER_BITS 16 // of a probability
#define TENSOR_CODER_TOP  (1U << 24)

struct tensor_coder {
    uint64_t low; // encoding
    uint64_t held_bytes;
    uint32_t range;
    uint32_t code; // decoding
    uint8_t cache;
    bool encodes;
    bool overran;      // a byte was wanted behind the end, or there was no room for one
    uint8_t *out;      // encoding: where the next byte goes
    const uint8_t *in; // decoding: the next byte
    size_t left;       // bytes of either
};

// An encoder into room bytes of out.
void tensor_coder_encode(struct tensor_coder *c, uint8_t *out, size_t room)
    __attribute__((nonnull));
// Writes what it holds; the coder has ended.
void tensor_coder_flush(struct tensor_coder *c) __attribute__((nonnull));
// A decoder of len bytes.
void tensor_coder_decode(struct tensor_coder *c, const uint8_t *in, size_t len)
    __attribute__((nonnull));
// After the last decision: whether the code was one of this many decisions and nothing else.
bool tensor_coder_finished(const struct tensor_coder *c) __attribute__((nonnull));
// Moves eight bits out or in. For the two functions below.
void tensor_coder_shift(struct tensor_coder *c) __attribute__((nonnull));

// One decision, which is 1 with probability p1 / 65536, 0 < p1 < 65536.
static inline unsigned tensor_coder_bit(struct tensor_coder *c, unsigned bit, uint32_t p1) {
    uint32_t bound = (c->range >> TENSOR_CODER_BITS) * p1;
    if (!c->encodes)
        bit = c->code < bound;
    if (bit) {
        c->range = bound;
    } else {
        c->low += bound;
        c->code -= bound;
        c->range -= bound;
    }
    while (c->range < TENSOR_CODER_TOP) {
        c->range <<= 8;
        tensor_coder_shift(c);
    }
    return bit;
}

// n bits (at most 16) of which nothing is known.
static inline uint32_t tensor_coder_raw(struct tensor_coder *c, uint32_t value, unsigned n) {
    c->range >>= n;
    if (!c->encodes) {
        value = c->code / c->range;
        value = value >> n ? (1U << n) - 1 : value;
    }
    c->low += (uint64_t)value * c->range;
    c->code -= value * c->range;
    while (c->range < TENSOR_CODER_TOP) {
        c->range <<= 8;
        tensor_coder_shift(c);
    }
    return value;
}
