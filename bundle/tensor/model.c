// SPDX-License-Identifier: Apache-2.0
//
// Runs of elements.
#include "bundle/tensor/model.h"

#include <stdlib.h>
#include <string.h>

#include "bundle/tensor/difference.h"
#include "bundle/tensor/plain.h"

int tensor_model_open(const struct tensor_section *s, struct tensor_model **ret, struct err *e) {
    struct tensor_model *m = calloc(1, sizeof *m);
    if (!m)
        return err_set(e, &err_memory, "a model of weights");
    tensor_element_init(&m->element, s->type, s->zero_bits);
    tensor_mix_init(&m->mix);
    m->columns = s->columns;
    m->column = s->first_column;
    m->based = s->based;
    m->again = s->again;
    m->same[0] = m->same[1] = TENSOR_MIX_SLOT_FRESH;
    if (m->based || !m->element.is_float)
        m->difference = tensor_difference_new(s->columns, s->unit, s->old_unit);
    else
        m->plain = tensor_plain_new(s->columns);
    if (!m->difference && !m->plain) {
        tensor_model_close(m);
        return err_set(e, &err_memory, "a model of weights");
    }
    *ret = m;
    return 0;
}

void tensor_model_close(struct tensor_model *m) {
    if (!m)
        return;
    free(m->difference);
    free(m->plain);
    free(m);
}

static void next_column(struct tensor_model *m) {
    if (++m->column < m->columns)
        return;
    m->column = 0;
    m->row += m->row < TENSOR_MODEL_ROWS;
}

static bool same(struct tensor_model *m, struct tensor_coder *c, bool is) {
    uint32_t *slot = &m->same[m->was_same];
    uint32_t p1 = *slot >> 16;
    p1 = p1 < 32 ? 32 : p1 > 65504 ? 65504 : p1;
    m->was_same = tensor_coder_bit(c, is, p1);
    tensor_mix_learn(&m->mix, slot, m->was_same);
    return m->was_same;
}

void tensor_model_run(struct tensor_model *m, struct tensor_coder *c, const uint8_t *old,
                      uint8_t *new, size_t n) {
    const struct tensor_element *t = &m->element;
    size_t bytes = n * t->bytes;
    if (m->based && same(m, c, c->encodes && memcmp(old, new, bytes) == 0)) {
        memcpy(new, old, bytes);
        m->column = (uint32_t)((m->column + n) % m->columns);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint8_t *at = new + i * t->bytes;
        uint64_t raw = c->encodes ? tensor_element_load(t, at) : 0;
        if (m->plain)
            raw = tensor_plain_code(m, c, raw);
        else
            raw = tensor_difference_code(
                m, c, m->based ? tensor_element_load(t, old + i * t->bytes) : 0, raw);
        if (!c->encodes)
            tensor_element_store(t, raw, at);
        next_column(m);
    }
}
