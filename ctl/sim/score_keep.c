// SPDX-License-Identifier: Apache-2.0
//
// A score as lines, and back: what a restart of the controller does to it. What is not in the lines
// (the list of what is due, who has which number, where drawing goes on) is found again from the
// rows, as the store's indexes would.
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "ctl/rollout/score_state.h"
#include "ctl/sim/score_units.h"

static int end_line(struct buf *ret, struct err *e) {
    return buf_add_text(ret, "\n", e);
}

int sim_score_save(const struct sim_score *s, struct buf *ret, struct err *e) {
    const struct rollout_gates *gates = &s->policy->gates;
    for (size_t g = 0; g < gates->n; g++)
        if (rollout_score_state_format_gate(&s->score, gates, g, ret, e) < 0 ||
            end_line(ret, e) < 0)
            return -1;
    if (rollout_score_state_format_shared(&s->score, gates, ret, e) < 0 || end_line(ret, e) < 0)
        return -1;
    for (size_t b = 0; b < ROLLOUT_SCORE_SITE_BLOCKS; b++)
        if (rollout_score_state_format_sites(&s->score, b, ret, e) < 0 || end_line(ret, e) < 0)
            return -1;
    for (size_t i = 0; i < s->world->n; i++) {
        if (s->made[i] && rollout_score_state_format_device(&s->devices[i], gates, ret, e) < 0)
            return -1;
        if (end_line(ret, e) < 0)
            return -1;
    }
    for (size_t i = 0; i < s->world->n && s->members != NULL; i++)
        if ((s->joined[i] &&
             rollout_score_state_format_member(&s->members[i], gates, ret, e) < 0) ||
            end_line(ret, e) < 0)
            return -1;
    return 0;
}

// The next line of the text, as a string of its own.
static int next_line(const char **text, struct buf *line, struct err *e) {
    size_t len = strcspn(*text, "\n");
    buf_consume(line, line->len);
    if (buf_add(line, *text, len, e) < 0)
        return -1;
    *text += len + (((*text)[len] == '\n') ? 1 : 0);
    return 0;
}

static int read_lines(struct sim_score *s, const char *text, struct buf *line, struct err *e) {
    const struct rollout_gates *gates = &s->policy->gates;
    for (size_t g = 0; g < gates->n; g++)
        if (next_line(&text, line, e) < 0 ||
            rollout_score_state_parse_gate(buf_text(line), gates, g, &s->score, e) < 0)
            return -1;
    if (next_line(&text, line, e) < 0 ||
        rollout_score_state_parse_shared(buf_text(line), gates, &s->score, e) < 0)
        return -1;
    for (size_t b = 0; b < ROLLOUT_SCORE_SITE_BLOCKS; b++)
        if (next_line(&text, line, e) < 0 ||
            rollout_score_state_parse_sites(buf_text(line), &s->score, e) < 0)
            return -1;
    for (size_t i = 0; i < s->world->n; i++) {
        if (next_line(&text, line, e) < 0)
            return -1;
        s->made[i] = line->len > 0;
        if (s->made[i] &&
            rollout_score_state_parse_device(buf_text(line), gates, &s->devices[i], e) < 0)
            return -1;
    }
    for (size_t i = 0; i < s->world->n && s->members != NULL; i++) {
        if (next_line(&text, line, e) < 0)
            return -1;
        s->joined[i] = line->len > 0;
        if (s->joined[i] &&
            rollout_score_state_parse_member(buf_text(line), gates, &s->members[i], e) < 0)
            return -1;
    }
    return 0;
}

// ── What the store's indexes are for ──

static int by_set(const void *left, const void *right, void *context) {
    const struct rollout_score_device *devices = context;
    const uint32_t *a = left, *b = right;
    uint64_t x = devices[*a].set_no, y = devices[*b].set_no;
    return (x > y) - (x < y);
}

static void index_sets(struct sim_score *s) {
    s->n_due = s->next_due = 0;
    for (size_t i = 0; i < s->world->n; i++) {
        const struct rollout_score_device *row = &s->devices[i];
        bool in_set = s->made[i] && row->set_no != 0 && row->run == s->score.run;
        if (!in_set || row->set_no >= s->sets_capacity)
            continue;
        struct sim_score_set *set = &s->sets[row->set_no];
        if (row->place == 0) {
            set->treated = (uint32_t)i;
            if (row->due_s != 0)
                s->due[s->n_due++] = (uint32_t)i;
        } else if (row->place <= EVIDENCE_RANK_COMPARED_MAX) {
            set->members[row->place - 1] = (uint32_t)i;
            set->n = row->place > set->n ? row->place : set->n;
        }
    }
    qsort_r(s->due, s->n_due, sizeof *s->due, by_set, s->devices);
}

static void index_rows(struct sim_score *s) {
    for (size_t i = 0; i < s->world->n; i++)
        if (s->made[i] && s->devices[i].number != 0 && s->devices[i].number < s->numbers_capacity)
            s->by_number[s->devices[i].number] = (uint32_t)i;
    for (size_t i = 0; i < s->world->n_strata; i++)
        s->cursor[i] = s->first[i];
    if (s->sets_capacity > 0) {
        memset(s->sets, 0, s->sets_capacity * sizeof *s->sets);
        index_sets(s);
    }
    sim_score_units_index(s);
    s->has_verdict = false;
}

int sim_score_load(struct sim_score *s, const char *text, struct err *e) {
    OWN(buf) struct buf line;
    buf_init(&line, ROLLOUT_SCORE_LINE_MAX_BYTES);
    s->score = (struct rollout_score){.run = 0};
    memset(s->devices, 0, s->world->n * sizeof *s->devices);
    if (s->members != NULL)
        memset(s->members, 0, s->world->n * sizeof *s->members);
    if (read_lines(s, text, &line, e) < 0)
        return err_prefix(e, "reading the score that was just written");
    index_rows(s);
    return 0;
}
