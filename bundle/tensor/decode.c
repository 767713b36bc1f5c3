// SPDX-License-Identifier: Apache-2.0
//
// Sections to arrays.
#include "bundle/tensor/decode.h"

#include <stdlib.h>

#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/tensor/model.h"

#define BLOCK_RUNS  16
#define BLOCK_BYTES (BLOCK_RUNS * TENSOR_MODEL_RUN * 8)

struct blocks {
    uint8_t old[BLOCK_BYTES];
    uint8_t new[BLOCK_BYTES];
};

_Static_assert(TENSOR_MODEL_STATE_BYTES + sizeof(struct tensor_model) + sizeof(struct blocks) <=
                   TENSOR_DECODE_BYTES,
               "the ceiling of what decoding allocates");

static int wrong(struct err *e, const char *what) {
    return err_set(e, &err_bad_delta, "a section of weights: %s", what);
}

// One block: n elements, all runs but the last of the section whole.
static int decode_block(struct tensor_model *m, struct tensor_coder *c, uint64_t address, size_t n,
                        const struct delta_base *base, struct blocks *b, struct err *e) {
    size_t size = m->element.bytes;
    if (m->based && base->read(base->context, address, b->old, n * size, e) < 0)
        return -1;
    for (size_t i = 0; i < n; i += TENSOR_MODEL_RUN) {
        size_t run = n - i < TENSOR_MODEL_RUN ? n - i : TENSOR_MODEL_RUN;
        tensor_model_run(m, c, b->old + i * size, b->new + i *size, run);
    }
    return c->overran ? wrong(e, "its code is cut short") : 0;
}

static int decode_blocks(const struct tensor_section *s, struct tensor_coder *c,
                         const struct delta_base *base, const struct delta_sink *sink,
                         struct err *e) {
    OWN(tensor_model) struct tensor_model *m = NULL;
    OWN(mem) struct blocks *b = calloc(1, sizeof *b);
    uint64_t done = 0;
    if (!b)
        return err_set(e, &err_memory, "blocks of weights");
    if (tensor_model_open(s, &m, e) < 0)
        return -1;
    size_t size = m->element.bytes;
    while (done < s->elements) {
        uint64_t left = s->elements - done;
        size_t n = left < BLOCK_BYTES / 8 ? (size_t)left : BLOCK_BYTES / 8;
        if (decode_block(m, c, s->address + done * size, n, base, b, e) < 0 ||
            sink->write(sink->context, b->new, n * size, e) < 0)
            return -1;
        done += n;
    }
    return tensor_coder_finished(c) ? 0 : wrong(e, "its code goes on behind the last element");
}

static int decode_section(struct slice *rest, uint64_t *out_bytes, const struct delta_base *base,
                          const struct delta_sink *sink, struct err *e) {
    struct tensor_section s;
    struct tensor_coder c;
    if (tensor_section_get(rest, &s, e) < 0)
        return -1;
    uint64_t bytes = s.elements * tensor_shape_bytes(s.type);
    if (bytes > *out_bytes)
        return wrong(e, "it makes more than its frame");
    if (s.based && (bytes > base->bytes || s.address > base->bytes - bytes))
        return wrong(e, "its old array is not inside the old contents");
    tensor_coder_decode(&c, rest->data, (size_t)s.coded_bytes);
    if (decode_blocks(&s, &c, base, sink, e) < 0)
        return -1;
    rest->data += s.coded_bytes;
    rest->len -= (size_t)s.coded_bytes;
    *out_bytes -= bytes;
    return 0;
}

int tensor_decode(struct slice coded, uint64_t out_bytes, const struct delta_base *base,
                  const struct delta_sink *sink, struct err *e) {
    while (coded.len > 0)
        if (decode_section(&coded, &out_bytes, base, sink, e) < 0)
            return -1;
    if (out_bytes > 0)
        return wrong(e, "the last one ends before its frame does");
    return 0;
}
