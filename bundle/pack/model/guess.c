// SPDX-License-Identifier: Apache-2.0
//
// The width of elements, measured. Arrays of numbers have bytes that repeat with the width: those
// with signs and exponents are alike, those below are noise. For strides of 1, 2, 4 and 8 the
// samples say how often two bytes at the same place within the stride are equal; the stride that
// raises this much above that of smaller ones is the width, if coding a sample as numbers of this
// width bears it out.
#include <string.h>

#include "base/own.h"
#include "bundle/pack/model/format.h"
#include "bundle/tensor/encode.h"

#define WINDOWS      16
#define WINDOW_BYTES 4096
#define SAMPLE_BYTES (WINDOWS * WINDOW_BYTES)
#define LEAST_BYTES  SAMPLE_BYTES // nothing is guessed of less
#define STRIDE_MAX   8
#define CODED_BYTES  (4 * SAMPLE_BYTES + TENSOR_ENCODE_MIN_BYTES)
#define ONE          65536

static const struct {
    unsigned stride;
    enum tensor_type type;
} candidates[] = {{2, TENSOR_bf16}, {2, TENSOR_f16}, {2, TENSOR_i16}, {4, TENSOR_f32},
                  {4, TENSOR_i32},  {8, TENSOR_f64}, {8, TENSOR_i64}};

// Windows spread over the content, each at a multiple of the largest stride.
static void take_samples(struct slice content, uint8_t ret[static SAMPLE_BYTES]) {
    size_t step = (content.len - WINDOW_BYTES) / (WINDOWS - 1);
    for (size_t i = 0; i < WINDOWS; i++)
        memcpy(ret + i * WINDOW_BYTES, content.data + (i * step & ~(size_t)(STRIDE_MAX - 1)),
               WINDOW_BYTES);
}

// How likely two bytes at the same place within a stride are equal, in 1/65536.
static uint64_t likeness(const uint8_t samples[static SAMPLE_BYTES], unsigned stride) {
    uint64_t sum = 0, per_place = SAMPLE_BYTES / stride;
    for (unsigned place = 0; place < stride; place++) {
        uint32_t counts[256] = {0};
        for (size_t i = place; i < SAMPLE_BYTES; i += stride)
            counts[samples[i]]++;
        for (int i = 0; i < 256; i++)
            sum += (uint64_t)counts[i] * counts[i];
    }
    return sum * ONE / per_place / per_place / stride;
}

static unsigned stride_of(const uint8_t samples[static SAMPLE_BYTES]) {
    unsigned best = 1;
    uint64_t most = likeness(samples, 1);
    for (unsigned stride = 2; stride <= STRIDE_MAX; stride *= 2) {
        uint64_t found = likeness(samples, stride);
        if (found * 4 < most * 5) // a quarter more, or it is chance
            continue;
        best = stride;
        most = found;
    }
    return best;
}

static int coded_size(enum tensor_type type, const uint8_t samples[static SAMPLE_BYTES],
                      size_t *ret, struct err *e) {
    const struct tensor_shape shape = {.type = type};
    OWN(buf) struct buf coded;
    size_t taken;
    buf_init(&coded, CODED_BYTES);
    if (tensor_encode(&shape, (struct slice){NULL, 0}, 0, (struct slice){samples, SAMPLE_BYTES},
                      CODED_BYTES, &coded, &taken, e) < 0)
        return -1;
    *ret = coded.len;
    return 0;
}

int model_guess_list(struct model_list *l, struct err *e) {
    struct model_region region = {.bytes = l->content.len, .shape.type = TENSOR_u8};
    size_t least = 0;
    if (l->content.len < LEAST_BYTES)
        return 0;
    OWN(mem) uint8_t *samples = malloc(SAMPLE_BYTES);
    if (!samples)
        return err_set(e, &err_memory, "samples of a content");
    take_samples(l->content, samples);
    unsigned stride = stride_of(samples);
    if (stride == 1)
        return 0;
    if (coded_size(TENSOR_u8, samples, &least, e) < 0)
        return -1;
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
        size_t size;
        if (candidates[i].stride != stride)
            continue;
        if (coded_size(candidates[i].type, samples, &size, e) < 0)
            return -1;
        if (size >= least)
            continue;
        least = size;
        region.shape.type = candidates[i].type;
    }
    if (region.shape.type == TENSOR_u8)
        return 0;
    return model_list_add(l, &region, (struct slice){NULL, 0}, e);
}
