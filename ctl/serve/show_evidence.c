// SPDX-License-Identifier: Apache-2.0
//
// Evidence for people and scripts.
#include "ctl/serve/show_evidence.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/num.h"
#include "ctl/serve/show.h"

static const char *const kinds[ROLLOUT_GATE_KINDS] = {"install", "lost", "revert", "counter",
                                                      "metric"};
static const char *const verdicts[] = {[EVIDENCE_VERDICT_INCONCLUSIVE] = "inconclusive",
                                       [EVIDENCE_VERDICT_PASS] = "pass",
                                       [EVIDENCE_VERDICT_FAIL] = "fail"};

#define ODDS_BYTES (2 * ROLLOUT_VERDICT_ODDS_BYTES + 8)

static const char *odds_of(int64_t log, int64_t needed, char ret[static ODDS_BYTES]) {
    char have[ROLLOUT_VERDICT_ODDS_BYTES], need[ROLLOUT_VERDICT_ODDS_BYTES];
    (void)snprintf(ret, ODDS_BYTES, "%s of %s", rollout_verdict_odds(log, have),
                   rollout_verdict_odds(needed, need));
    return ret;
}

// What a gate alone needs: its share of the promise is its weight.
static int64_t level_of(const struct serve_engine_rollout *r, size_t g) {
    const struct rollout_gates *gates = &r->row.policy.gates;
    uint32_t alpha = r->row.progress.spend.alpha_ppm;
    return evidence_num_level(alpha > 0 ? alpha : gates->alpha_ppm) -
           evidence_num_part(gates->gate[g].weight_ppm);
}

// ── Bounds ──

static json_t *decimal(struct decimal value) {
    char text[NUM_DECIMAL_TEXT];
    return json_string(num_format_decimal(value, text));
}

static json_t *ratio(double value) {
    char text[32];
    (void)snprintf(text, sizeof text, "%.2f", value);
    return json_string(text);
}

static json_t *percent(uint32_t ppm) {
    return decimal((struct decimal){(int64_t)ppm * (NUM_DECIMAL_SCALE / 10000)});
}

static json_t *bounds_of_events(const struct evidence_events *state, int64_t fail, int64_t pass) {
    int lower = -1, upper = EVIDENCE_EVENTS_NODES, ignored = 0;
    evidence_events_bounds(state, fail, &lower, &ignored);
    evidence_events_bounds(state, pass, &ignored, &upper);
    return json_pack(
        "{s:s, s:o, s:o}", "of", "hazard ratio", "lower",
        lower < 0 ? json_null() : ratio(evidence_events_ratio((unsigned)lower)), "upper",
        upper >= EVIDENCE_EVENTS_NODES ? json_null()
                                       : ratio(evidence_events_ratio((unsigned)upper)));
}

static json_t *bounds_of_metric(const struct rollout_gate_policy *gate,
                                const struct evidence_rank *state, int64_t fail, int64_t pass) {
    const struct evidence_rank_design design = {.tolerable = gate->tolerable,
                                                .intolerable = gate->intolerable,
                                                .baseline_ppm = gate->baseline_ppm};
    int lower = -1, upper = EVIDENCE_RANK_NODES, ignored = 0;
    evidence_rank_bounds(state, fail, &lower, &ignored);
    evidence_rank_bounds(state, pass, &ignored, &upper);
    return json_pack(
        "{s:s, s:o, s:o}", "of", "worse by", "lower",
        lower < 0 ? json_null() : decimal(evidence_rank_shift(&design, (unsigned)lower)), "upper",
        upper >= EVIDENCE_RANK_NODES ? json_null()
                                     : decimal(evidence_rank_shift(&design, (unsigned)upper)));
}

static json_t *bounds_of_install(const struct evidence_install *state, int64_t fail, int64_t pass) {
    uint32_t lower = 0, upper = EVIDENCE_PPM, ignored = 0;
    evidence_install_bounds(state, fail, &lower, &ignored);
    evidence_install_bounds(state, pass, &ignored, &upper);
    return json_pack("{s:s, s:o, s:o}", "of", "percent that fail", "lower",
                     lower == 0 ? json_null() : percent(lower), "upper",
                     upper >= EVIDENCE_PPM ? json_null() : percent(upper));
}

static json_t *bounds_of(const struct serve_engine_rollout *r, size_t g) {
    const struct rollout_gates *gates = &r->row.policy.gates;
    const struct rollout_gate_policy *gate = &gates->gate[g];
    const union rollout_score_gate *state = &r->score->gate[g];
    int64_t fail = evidence_num_level(gates->alpha_ppm);
    int64_t pass = evidence_num_level(gates->alpha_pass_ppm);
    switch (rollout_score_line(gate->kind)) {
    case EVIDENCE_LINE_INSTALL:
        return bounds_of_install(&state->install, fail, pass);
    case EVIDENCE_LINE_METRICS:
        return bounds_of_metric(gate, &state->rank, fail, pass);
    case EVIDENCE_LINE_EVENTS:
    case EVIDENCE_LINES:
        break;
    }
    return bounds_of_events(&state->events, fail, pass);
}

// ── Gates ──

static uint64_t scored(const struct serve_engine_rollout *r, size_t g) {
    const union rollout_score_gate *state = &r->score->gate[g];
    switch (rollout_score_line(r->row.policy.gates.gate[g].kind)) {
    case EVIDENCE_LINE_INSTALL:
        return state->install.scored;
    case EVIDENCE_LINE_METRICS:
        return state->rank.sets;
    case EVIDENCE_LINE_EVENTS:
    case EVIDENCE_LINES:
        break;
    }
    return state->events.scored;
}

static json_t *show_risk(const struct serve_engine_rollout *r, size_t g) {
    if (rollout_score_line(r->row.policy.gates.gate[g].kind) != EVIDENCE_LINE_EVENTS)
        return json_null();
    struct evidence_risk risk = rollout_score_at_risk(r->score, g);
    return json_pack("{s:I, s:I}", "comparison", (json_int_t)risk.comparison, "treated",
                     (json_int_t)risk.treated);
}

static json_t *show_gate(const struct serve_engine_rollout *r, size_t g) {
    const struct rollout_gate_policy *gate = &r->row.policy.gates.gate[g];
    const struct rollout_judgement_gate *judged = &r->judged.gate[g];
    char worse[ODDS_BYTES], better[ODDS_BYTES];
    int64_t pass = evidence_num_level(r->row.policy.gates.alpha_pass_ppm);
    return json_pack("{s:s, s:s, s:s, s:o, s:s, s:s, s:s, s:I, s:o, s:o}", "name", gate->name,
                     "kind", kinds[gate->kind], "metric", gate->metric, "weight_pct",
                     percent(gate->weight_ppm), "verdict", verdicts[judged->verdict], "evidence",
                     odds_of(judged->worse, level_of(r, g), worse), "passing",
                     odds_of(judged->better, pass, better), "scored", (json_int_t)scored(r, g),
                     "at_risk", show_risk(r, g), "bounds", bounds_of(r, g));
}

static json_t *show_sets(const struct rollout_score *s) {
    uint64_t begun = s->next_set - s->first_set, over = s->sets_scored + s->sets_void;
    return json_pack("{s:I, s:I, s:I, s:I}", "begun", (json_int_t)begun, "open",
                     (json_int_t)(begun - over), "scored", (json_int_t)s->sets_scored, "void",
                     (json_int_t)s->sets_void);
}

// Stages that went on without evidence.
static json_t *show_without(const struct serve_engine_rollout *r) {
    json_t *names = json_array();
    for (size_t i = 0; i < r->row.policy.n_stages; i++)
        if (r->row.progress.without & 1U << i)
            (void)json_array_append_new(names, json_string(r->row.policy.stages[i].name));
    return names;
}

static uint64_t held_back(const struct serve_engine_rollout *r) {
    uint64_t n = 0;
    for (size_t s = 0; s < r->n_strata; s++)
        n += r->strata[s].plan.held_back;
    return n;
}

// Of the open stage's devices, those that neither were offered it nor needed it.
static json_t *unreached(const struct serve_engine_rollout *r) {
    const struct rollout_progress *p = &r->row.progress;
    if (p->stage >= r->row.policy.n_stages)
        return percent(0);
    struct rollout_tally stage = serve_engine_sum(r, (size_t)p->stage);
    return percent(rollout_advance_unreached_ppm(&stage));
}

static const char *overall(const struct serve_engine_rollout *r) {
    switch (r->judged.overall) {
    case ROLLOUT_VERDICT_PASS:
        return "pass";
    case ROLLOUT_VERDICT_FAIL:
        return "fail";
    case ROLLOUT_VERDICT_WAIT:
        break;
    }
    return "inconclusive";
}

json_t *serve_show_evidence(const struct serve_engine_rollout *r) {
    const struct evidence_spend *spend = &r->row.progress.spend;
    if (r->score == NULL)
        return json_null();
    json_t *gates = json_array();
    struct rollout_tally all = serve_engine_sum(r, r->row.policy.n_stages);
    char drift[ODDS_BYTES];
    int64_t level =
        evidence_num_level(spend->alpha_ppm > 0 ? spend->alpha_ppm : r->row.policy.gates.alpha_ppm);
    for (size_t g = 0; g < r->row.policy.gates.n; g++)
        (void)json_array_append_new(gates, show_gate(r, g));
    return json_pack(
        "{s:s, s:s, s:{s:I, s:o, s:o}, s:o, s:o, s:{s:s, s:I, s:I}, s:{s:I, s:b}, s:I, s:I, s:o, "
        "s:o}",
        "verdict", overall(r), "unit", rollout_verdict_unit_name(&r->row.policy.gates), "spend",
        "runs", (json_int_t)spend->runs, "alpha_pct", percent(spend->alpha_ppm), "total_pct",
        percent(spend->total_ppm), "gates", gates, "sets", show_sets(r->score), "drift", "evidence",
        odds_of(r->judged.drift, level, drift), "worse", (json_int_t)r->score->drift_worse,
        "better", (json_int_t)r->score->drift_better, "hold_back", "devices",
        (json_int_t)held_back(r), "released", (int)r->row.progress.batch.held_back_open, "exposed",
        (json_int_t)rollout_tally_offered(&all), "unresolved",
        (json_int_t)rollout_tally_unresolved(&all), "unreached_pct", unreached(r), "without",
        show_without(r));
}

json_t *serve_show_batch(const struct serve_engine_rollout *r) {
    const struct rollout_batch *b = &r->row.progress.batch;
    if (!rollout_batch_used(&r->row.policy) || b->number == 0)
        return json_null();
    uint32_t ppm = (uint32_t)((unsigned __int128)b->share * ROLLOUT_PPM / ROLLOUT_BATCH_WHOLE);
    return json_pack("{s:I, s:I, s:I, s:o, s:o}", "number", (json_int_t)b->number, "size",
                     (json_int_t)b->size, "expected", (json_int_t)b->expected, "share_pct",
                     percent(ppm), "opened", serve_show_time(b->opened_s));
}

// ── What holds it ──

static void add(json_t *to, enum rollout_why_code code, const char *text) {
    (void)json_array_append_new(to, serve_show_why(rollout_why_name(code), text));
}

static void add_gates(const struct serve_engine_rollout *r, json_t *to) {
    static const enum rollout_why_code codes[] = {
        [EVIDENCE_VERDICT_INCONCLUSIVE] = ROLLOUT_WHY_inconclusive,
        [EVIDENCE_VERDICT_FAIL] = ROLLOUT_WHY_evidence_failed};
    for (size_t g = 0; r->score != NULL && g < r->row.policy.gates.n; g++) {
        const struct rollout_judgement_gate *judged = &r->judged.gate[g];
        char text[512], worse[ODDS_BYTES], better[ODDS_BYTES];
        if (judged->verdict == EVIDENCE_VERDICT_PASS)
            continue;
        (void)snprintf(text, sizeof text,
                       "gate %s is %s: evidence against the release is %s, for it %s",
                       r->row.policy.gates.gate[g].name, verdicts[judged->verdict],
                       odds_of(judged->worse, level_of(r, g), worse),
                       odds_of(judged->better,
                               evidence_num_level(r->row.policy.gates.alpha_pass_ppm), better));
        add(to, codes[judged->verdict], text);
    }
}

static void add_batch(const struct serve_engine_rollout *r, json_t *to) {
    const struct rollout_batch *b = &r->row.progress.batch;
    struct rollout_tally all = serve_engine_sum(r, r->row.policy.n_stages);
    uint64_t working = rollout_tally_unresolved(&all);
    char text[256];
    if (!rollout_batch_used(&r->row.policy) || b->number == 0)
        return;
    if (working >= b->size && b->size > 0) {
        (void)snprintf(text, sizeof text,
                       "%" PRIu64 " devices are at work on it, as many as batch %" PRIu64 " allows",
                       working, b->number);
        add(to, ROLLOUT_WHY_batch_limit, text);
    }
    if (b->share < ROLLOUT_BATCH_WHOLE) {
        (void)snprintf(text, sizeof text,
                       "its batches have opened %.1f %% of the stage: the rest follows when the "
                       "devices of batch %" PRIu64 " have an outcome",
                       100.0 * (double)b->share / (double)ROLLOUT_BATCH_WHOLE, b->number);
        add(to, ROLLOUT_WHY_rank_beyond, text);
    }
}

static void add_devices(const struct serve_engine_rollout *r, uint64_t held, json_t *to) {
    const struct rollout_progress *p = &r->row.progress;
    char text[256];
    uint64_t kept = held_back(r);
    if (held > 0) {
        (void)snprintf(text, sizeof text,
                       "%" PRIu64 " of the devices at work on it are held by an operator", held);
        add(to, ROLLOUT_WHY_held, text);
    }
    if (kept > 0 && !p->batch.held_back_open) {
        (void)snprintf(text, sizeof text, "%" PRIu64 " devices are held back, to compare with",
                       kept);
        add(to, ROLLOUT_WHY_holdback, text);
    }
    if (p->stage >= r->row.policy.n_stages)
        return;
    struct rollout_tally stage = serve_engine_sum(r, (size_t)p->stage);
    uint32_t unreached = rollout_advance_unreached_ppm(&stage);
    if (unreached > 0 && p->started_s[p->stage] != 0) {
        (void)snprintf(text, sizeof text, "%.1f %% of stage %s were not reached",
                       unreached / 10000.0, r->row.policy.stages[p->stage].name);
        add(to, ROLLOUT_WHY_waiting_devices, text);
    }
}

json_t *serve_show_holds(const struct serve_engine_rollout *r, uint64_t held) {
    const struct rollout_progress *p = &r->row.progress;
    json_t *all = json_array();
    if (p->why.code != ROLLOUT_WHY_NONE)
        add(all, p->why.code, p->why.text);
    if (rollout_advance_ended(p->state))
        return all;
    add_gates(r, all);
    add_batch(r, all);
    add_devices(r, held, all);
    return all;
}
