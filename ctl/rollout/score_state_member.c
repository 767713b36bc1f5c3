// SPDX-License-Identifier: Apache-2.0
//
// A site's device as text.
#include "ctl/rollout/line.h"
#include "ctl/rollout/score_state.h"

#define VERSION 1

int rollout_score_state_format_member(const struct rollout_score_member *m,
                                      const struct rollout_gates *gates, struct buf *ret,
                                      struct err *e) {
    struct rollout_line_writer w;
    rollout_line_begin(&w, "member", VERSION, e);
    const uint64_t numbers[] = {
        m->run,   m->gone,    m->first,     m->idle,       m->waits,      (uint64_t)m->outcome,
        m->epoch, m->at_risk, m->seen.fits, m->seen.named, m->seen.apart, m->seen.shams};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        rollout_line_put(&w, numbers[i]);
    rollout_line_put_signed(&w, m->heard_s);
    rollout_line_put_signed(&w, m->base_s);
    rollout_line_put_signed(&w, m->seen.enrolled_s);
    for (size_t g = 0; g < gates->n; g++) {
        const struct rollout_score_reading *reading = &m->reading[g];
        if (gates->gate[g].kind == ROLLOUT_GATE_COUNTER) {
            rollout_line_put(&w, reading->has_last);
            rollout_line_put_signed(&w, reading->last_nano);
        }
        if (gates->gate[g].kind == ROLLOUT_GATE_METRIC)
            rollout_line_put_signed(&w, reading->slot);
    }
    return rollout_line_finish(&w, ret);
}

int rollout_score_state_parse_member(const char *text, const struct rollout_gates *gates,
                                     struct rollout_score_member *ret, struct err *e) {
    struct rollout_score_member read = {.run = 0};
    struct rollout_line_reader r;
    uint64_t version = 0;
    if (rollout_line_open(text, "member", VERSION, &r, &version, e) < 0)
        return -1;
    read.run = rollout_line_take_small(&r, UINT32_MAX);
    read.gone = rollout_line_take_flag(&r);
    read.first = rollout_line_take_flag(&r);
    read.idle = rollout_line_take_flag(&r);
    read.waits = rollout_line_take_flag(&r);
    read.outcome = (enum rollout_outcome)rollout_line_take_small(&r, ROLLOUT_OUTCOME_BAD);
    read.epoch = rollout_line_take(&r, INT64_MAX);
    read.at_risk = rollout_line_take_small(&r, (uint32_t)((UINT64_C(1) << gates->n) - 1));
    read.seen.fits = rollout_line_take_flag(&r);
    read.seen.named = rollout_line_take_flag(&r);
    read.seen.apart = rollout_line_take_flag(&r);
    read.seen.shams = rollout_line_take_flag(&r);
    read.heard_s = read.seen.seen_s = rollout_line_take_signed(&r);
    read.base_s = rollout_line_take_signed(&r);
    read.seen.enrolled_s = rollout_line_take_signed(&r);
    for (size_t g = 0; g < gates->n; g++) {
        struct rollout_score_reading *reading = &read.reading[g];
        if (gates->gate[g].kind == ROLLOUT_GATE_COUNTER) {
            reading->has_last = rollout_line_take_flag(&r);
            reading->last_nano = rollout_line_take_signed(&r);
        }
        if (gates->gate[g].kind == ROLLOUT_GATE_METRIC)
            reading->slot = rollout_line_take_signed(&r);
    }
    if (!rollout_line_is_over(&r))
        return rollout_line_refuse("member", e);
    *ret = read;
    return 0;
}
