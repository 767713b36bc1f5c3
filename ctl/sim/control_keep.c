// SPDX-License-Identifier: Apache-2.0
//
// Restarts of the controller.
#include <string.h>

#include "base/own.h"
#include "ctl/rollout/score_state.h"
#include "ctl/sim/control_parts.h"

// What the store keeps of the progress: its own columns, and the line of what is for evidence.
static int reload_progress(struct sim_control *c, struct err *e) {
    const struct rollout_progress *p = &c->progress;
    struct rollout_progress read = {.state = p->state,
                                    .attempt = p->attempt,
                                    .stage = p->stage,
                                    .approved = p->approved,
                                    .complete_s = p->complete_s,
                                    .ended_s = p->ended_s,
                                    .failed_stage = p->failed_stage,
                                    .gone = p->gone,
                                    .why = p->why,
                                    .back = p->back,
                                    .back_why = p->back_why};
    OWN(buf) struct buf line;
    buf_init(&line, ROLLOUT_SCORE_LINE_MAX_BYTES);
    memcpy(read.started_s, p->started_s, sizeof read.started_s);
    if (rollout_score_state_format_progress(p, &line, e) < 0 ||
        rollout_score_state_parse_progress(buf_text(&line), &read, e) < 0)
        return -1;
    c->progress = read;
    return 0;
}

int sim_control_reload(struct sim_control *c, struct err *e) {
    OWN(buf) struct buf before;
    OWN(buf) struct buf after;
    size_t most = (2 * c->n + 64) * ROLLOUT_SCORE_LINE_MAX_BYTES;
    buf_init(&before, most);
    buf_init(&after, most);
    if (!c->applied)
        return 0;
    if (reload_progress(c, e) < 0)
        return -1;
    uint8_t pulse[ROLLOUT_PULSE_BYTES], down[ROLLOUT_DOWNTIME_BYTES];
    rollout_pulse_format(&c->pulse, pulse);
    rollout_pulse_parse(pulse, &c->pulse);
    rollout_downtime_format(&c->down, down);
    rollout_downtime_parse(down, &c->down);
    if (c->score == NULL)
        return 0;
    bool news = c->score->is_dirty;
    if (sim_score_save(c->score, &before, e) < 0 ||
        sim_score_load(c->score, buf_text(&before), e) < 0 ||
        sim_score_save(c->score, &after, e) < 0)
        return -1;
    // Judged from what was read; whether anybody has acted on it is as before.
    c->score->is_dirty = true;
    if (c->progress.spend.runs > 0)
        (void)sim_score_judge(c->score, &c->progress);
    c->score->is_dirty = news;
    return strcmp(buf_text(&before), buf_text(&after)) == 0
               ? 0
               : err_set(e, &err_internal, "a restart of the controller changed the score");
}
