// SPDX-License-Identifier: Apache-2.0
//
// What the gates of a plan can see.
#include "ctl/rollout/plan/sight.h"

#include <stdio.h>

#include "ctl/rollout/evidence/events.h"
#include "ctl/rollout/evidence/power.h"
#include "ctl/rollout/policy/read.h"
#include "ctl/rollout/unit.h"

#define DAY_S 86400
#define SETS_ASKED                                                                                 \
    200 // more sets show more, and are not asked for: the answer is the same to a tenth
#define EVENTS_ASKED 4000
#define SHIFT_LARGE  5.0
#define TEXT_BYTES   256

int64_t plan_sight_level(const struct rollout_gates *gates,
                         const struct rollout_gate_policy *gate) {
    return evidence_num_level(gates->alpha_ppm) - evidence_num_part(gate->weight_ppm);
}

static const char *kind_of(const struct rollout_gate_policy *gate) {
    static const char *const names[ROLLOUT_GATE_KINDS] = {"install", "lost", "revert", "counter",
                                                          "metric"};
    return names[gate->kind];
}

static const char *unit_of(const struct rollout_gates *gates,
                           const struct rollout_gate_policy *gate) {
    bool install = gate->kind == ROLLOUT_GATE_INSTALL;
    return install && rollout_unit_is_site(gates) ? "sites"
           : install                              ? "devices"
           : gate->kind == ROLLOUT_GATE_METRIC    ? "sets"
                                                  : "events";
}

// "12.5 %", "2.4 times", "0.65 standard deviations".
static void effect_text(const struct rollout_gate_policy *gate, uint32_t effect, char *ret,
                        size_t bytes) {
    char number[NUM_DECIMAL_TEXT];
    if (gate->kind == ROLLOUT_GATE_INSTALL)
        (void)snprintf(
            ret, bytes, "%s %% of installs failing",
            num_format_decimal(
                (struct decimal){(int64_t)(effect / 1000) * (NUM_DECIMAL_SCALE / 10)}, number));
    else if (gate->kind == ROLLOUT_GATE_METRIC)
        (void)snprintf(ret, bytes, "a shift of %s standard deviations beyond the tolerable",
                       num_format_decimal((struct decimal){(int64_t)((effect + 9) / 10) *
                                                           (NUM_DECIMAL_SCALE / 100)},
                                          number));
    else
        (void)snprintf(ret, bytes, "%s times the rate of the comparison",
                       num_format_decimal((struct decimal){(int64_t)((effect + 99999) / 100000) *
                                                           (NUM_DECIMAL_SCALE / 10)},
                                          number));
}

// ── What each needs ──

// The least n from 1 to most at which it is seen; most + 1 when it is not. Power rises with n.
static uint64_t search(uint64_t most, bool (*seen)(const void *context, uint64_t n),
                       const void *context) {
    uint64_t low = 1, high = most;
    if (!seen(context, most))
        return most + 1;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (seen(context, middle))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

struct question {
    const struct rollout_gates *gates;
    const struct rollout_gate_policy *gate;
    int64_t level;
};

// At a treated share of one in five, as when a stage of 20 % is open.
static bool sees_events(const void *context, uint64_t n) {
    const struct question *q = context;
    return evidence_power_events(ROLLOUT_PPM / 5, evidence_events_tolerable(q->gate->ratio_ok_ppm),
                                 (double)q->gate->ratio_bad_ppm / ROLLOUT_PPM, n,
                                 q->level) >= (double)ROLLOUT_PLAN_POWER_PPM / ROLLOUT_PPM;
}

static bool sees_shift(const void *context, uint64_t n) {
    const struct question *q = context;
    return evidence_power_rank(q->gates->compared, q->gate->baseline_ppm, 1, n, q->level) >=
           (double)ROLLOUT_PLAN_POWER_PPM / ROLLOUT_PPM;
}

static uint64_t find_need(const struct question *q, uint64_t *ret_most) {
    switch (q->gate->kind) {
    case ROLLOUT_GATE_INSTALL:
        *ret_most = EVIDENCE_POWER_STEPS_MAX;
        return evidence_power_exposure(q->gate->baseline_ppm, q->gate->intolerable_ppm,
                                       EVIDENCE_POWER_STEPS_MAX, q->level, ROLLOUT_PLAN_POWER_PPM);
    case ROLLOUT_GATE_METRIC:
        *ret_most = SETS_ASKED;
        return search(SETS_ASKED, sees_shift, q);
    default:
        *ret_most = EVENTS_ASKED;
        return search(EVENTS_ASKED, sees_events, q);
    }
}

static json_t *need_json(const struct question *q, char text[static TEXT_BYTES]) {
    static const char within[] = "with a probability of 80 %";
    char effect[TEXT_BYTES / 2];
    uint64_t most = 0, need = find_need(q, &most);
    uint32_t asked = q->gate->kind == ROLLOUT_GATE_INSTALL  ? q->gate->intolerable_ppm
                     : q->gate->kind == ROLLOUT_GATE_METRIC ? 1000
                                                            : (uint32_t)q->gate->ratio_bad_ppm;
    effect_text(q->gate, asked, effect, sizeof effect);
    if (need > most)
        (void)snprintf(text, TEXT_BYTES, "%llu %s do not show %s %s", (unsigned long long)most,
                       unit_of(q->gates, q->gate), effect, within);
    else
        (void)snprintf(text, TEXT_BYTES, "%llu %s show %s %s", (unsigned long long)need,
                       unit_of(q->gates, q->gate), effect, within);
    return json_pack("{s:o, s:s, s:s}", "n",
                     need > most ? json_null() : json_integer((json_int_t)need), "of",
                     unit_of(q->gates, q->gate), "effect", effect);
}

json_t *plan_sight_gates(const struct rollout_policy *policy) {
    json_t *all = json_array();
    for (size_t i = 0; i < policy->gates.n; i++) {
        struct question q = {&policy->gates, &policy->gates.gate[i], 0};
        char text[TEXT_BYTES];
        q.level = plan_sight_level(q.gates, q.gate);
        json_t *need = need_json(&q, text);
        json_t *one = json_pack(
            "{s:s, s:s, s:o, s:o, s:o, s:s}", "name", q.gate->name, "kind", kind_of(q.gate),
            "weight_pct", policy_read_percent_json(q.gate->weight_ppm), "level",
            json_sprintf("1 : %.0f", evidence_num_value(q.level)), "needs", need, "text", text);
        if (json_array_append_new(all, one) < 0) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

// ── What each sees at a stage ──

struct reach {
    uint64_t before, total, counted; // devices that have it; that can be counted
    uint64_t sets;
    uint64_t n_events;
    bool knows_events;
};

// Of each stratum as many as can be counted, in proportion.
static void find_reach(const struct rollout_policy *policy,
                       const struct rollout_plan_census *census, const struct rollout_plan *plan,
                       size_t stage, struct reach *ret) {
    *ret = (struct reach){0};
    for (size_t s = 0; s < plan->n_strata; s++) {
        uint64_t before = 0, total = 0, size = plan->unit_sizes[s];
        uint64_t counted = census->counted[s];
        for (size_t i = 0; i <= stage; i++) {
            before = total;
            total += plan->unit_adds[s][i];
        }
        if (size == 0)
            continue;
        ret->before += before * counted / size;
        ret->total += total * counted / size;
        ret->counted += counted;
        uint64_t treated = total * counted / size, sets = counted / (policy->gates.compared + 1);
        ret->sets += treated < sets ? treated : sets;
    }
}

// Devices fall silent at the rate of the past week while the stage is open, in both arms; a site when
// the first of its devices does.
static void expect_events(const struct plan_sight_view *view, uint64_t expected_s,
                          struct reach *io) {
    const struct rollout_plan_ages *ages = &view->census->ages;
    double each =
        view->plan->units == 0 ? 1 : (double)view->census->n_members / (double)view->plan->units;
    double events = ages->n == 0 ? 0
                                 : (double)ages->lost_week / (double)ages->n * (double)io->counted *
                                       (double)expected_s / (7.0 * DAY_S) * each;
    bool once = rollout_unit_is_site(&view->policy->gates) && events > (double)io->counted;
    io->knows_events = ages->n > 0;
    io->n_events = once ? io->counted : (uint64_t)events;
}

// The share of treated devices among those at risk, in the middle of the stage.
static uint32_t treated_share(const struct reach *reach) {
    uint64_t middle = (reach->before + reach->total + 1) / 2;
    if (reach->counted == 0 || middle == 0 || middle >= reach->counted)
        return 0;
    return (uint32_t)(middle * ROLLOUT_PPM / reach->counted);
}

static uint32_t ask(const struct question *q, const struct plan_sight_asked *asked) {
    switch (asked->kind) {
    case ROLLOUT_GATE_INSTALL:
        return evidence_power_least_install(q->gate->baseline_ppm, asked->n, asked->level,
                                            ROLLOUT_PLAN_POWER_PPM);
    case ROLLOUT_GATE_METRIC:
        return evidence_power_least_rank(q->gates->compared, q->gate->baseline_ppm, asked->n,
                                         asked->level, ROLLOUT_PLAN_POWER_PPM);
    default:
        return evidence_power_least_events((uint32_t)asked->share, (unsigned)asked->parameter,
                                           asked->n, asked->level, ROLLOUT_PLAN_POWER_PPM);
    }
}

static uint32_t least(const struct question *q, const struct reach *reach, uint64_t n,
                      struct plan_sight_memo *memo) {
    bool events = unit_of(q->gates, q->gate)[0] == 'e';
    uint64_t most = q->gate->kind == ROLLOUT_GATE_INSTALL  ? EVIDENCE_POWER_STEPS_MAX
                    : q->gate->kind == ROLLOUT_GATE_METRIC ? SETS_ASKED
                                                           : EVENTS_ASKED;
    struct plan_sight_asked asked = {.kind = q->gate->kind,
                                     .level = q->level,
                                     .n = n < most ? n : most,
                                     .parameter =
                                         events ? evidence_events_tolerable(q->gate->ratio_ok_ppm)
                                                : q->gate->baseline_ppm,
                                     .share = events ? treated_share(reach) : 0};
    if (n == 0 || (events && asked.share == 0))
        return EVIDENCE_POWER_NOTHING;
    for (size_t i = 0; i < memo->n; i++) {
        const struct plan_sight_asked *before = &memo->asked[i];
        if (before->kind == asked.kind && before->level == asked.level && before->n == asked.n &&
            before->parameter == asked.parameter && before->share == asked.share)
            return before->answer;
    }
    asked.answer = ask(q, &asked);
    if (memo->n < PLAN_SIGHT_ASKED_MAX)
        memo->asked[memo->n++] = asked;
    return asked.answer;
}

// Whether a gate passes a harmless release more often than not by the end of the stage.
enum passing { PASSES_NOT, PASSES, PASSES_UNKNOWN };
static enum passing passes(const struct question *q, const struct reach *reach, uint64_t n) {
    const struct rollout_gate_policy *gate = q->gate;
    int64_t level = evidence_num_level(q->gates->alpha_pass_ppm);
    uint32_t share = treated_share(reach);
    switch (gate->kind) {
    case ROLLOUT_GATE_INSTALL: // failing in a mirror: of installs that succeed
        return evidence_power_install(
                   EVIDENCE_PPM - gate->intolerable_ppm, EVIDENCE_PPM - gate->baseline_ppm,
                   n < EVIDENCE_POWER_STEPS_MAX ? n : EVIDENCE_POWER_STEPS_MAX, level) >= 0.5;
    case ROLLOUT_GATE_METRIC: // how large a standard deviation is, is not known: even if it is small
        return evidence_power_rank(q->gates->compared, 0, SHIFT_LARGE,
                                   n < SETS_ASKED ? n : SETS_ASKED, level) >= 0.5
                   ? PASSES_UNKNOWN
                   : PASSES_NOT;
    case ROLLOUT_GATE_COUNTER:
    case ROLLOUT_GATE_REVERT:
        return share == 0 ? PASSES_NOT : PASSES_UNKNOWN;
    default:
        return share != 0 && evidence_power_passing_events(
                                 share, evidence_events_intolerable(gate->ratio_bad_ppm),
                                 (double)gate->ratio_ok_ppm / ROLLOUT_PPM,
                                 n < EVENTS_ASKED ? n : EVENTS_ASKED, level) >= 0.5;
    }
}

// How often a counter rises, and a restart fails, nobody has said.
static bool is_rate_unknown(const struct rollout_gate_policy *gate) {
    return gate->kind == ROLLOUT_GATE_COUNTER || gate->kind == ROLLOUT_GATE_REVERT;
}

static void see(const struct question *q, const struct reach *reach, uint64_t n,
                struct plan_sight_memo *memo, char effect[static TEXT_BYTES / 2],
                char text[static TEXT_BYTES]) {
    bool counter = is_rate_unknown(q->gate);
    uint32_t seen = counter ? EVIDENCE_POWER_NOTHING : least(q, reach, n, memo);
    effect[0] = '\0';
    if (counter && treated_share(reach) == 0)
        (void)snprintf(text, TEXT_BYTES, "nothing is left to compare with");
    else if (counter)
        (void)snprintf(text, TEXT_BYTES,
                       "how often it comes is not known; see how many events it needs");
    else if (seen == EVIDENCE_POWER_NOTHING)
        (void)snprintf(text, TEXT_BYTES, "%llu %s: too small to see anything",
                       (unsigned long long)n, unit_of(q->gates, q->gate));
    else {
        effect_text(q->gate, seen, effect, TEXT_BYTES / 2);
        (void)snprintf(text, TEXT_BYTES, "%llu %s: sees %s", (unsigned long long)n,
                       unit_of(q->gates, q->gate), effect);
    }
}

static json_t *gate_json(const struct question *q, const struct reach *reach,
                         struct plan_sight_memo *memo) {
    const struct rollout_gate_policy *gate = q->gate;
    char effect[TEXT_BYTES / 2], text[TEXT_BYTES], all[2 * TEXT_BYTES];
    bool counter = is_rate_unknown(gate);
    uint64_t n = gate->kind == ROLLOUT_GATE_INSTALL  ? reach->total
                 : gate->kind == ROLLOUT_GATE_METRIC ? reach->sets
                                                     : reach->n_events;
    enum passing passing = passes(q, reach, n);
    see(q, reach, n, memo, effect, text);
    (void)snprintf(all, sizeof all, "%s%s", text,
                   passing == PASSES_NOT ? "; too small to pass a harmless release" : "");
    return json_pack(
        "{s:s, s:s, s:o, s:o, s:s, s:o, s:o, s:s}", "name", gate->name, "kind", kind_of(gate),
        "weight_pct", policy_read_percent_json(gate->weight_ppm), "n",
        counter ? json_null() : json_integer((json_int_t)n), "of", unit_of(q->gates, gate), "sees",
        effect[0] == '\0' ? json_null() : json_string(effect), "passes",
        passing == PASSES_UNKNOWN ? json_null() : json_boolean(passing == PASSES), "text", all);
}

json_t *plan_sight_stage(const struct plan_sight_view *view, size_t stage, uint64_t expected_s) {
    const struct rollout_gates *gates = &view->policy->gates;
    json_t *all = json_array();
    struct reach reach;
    find_reach(view->policy, view->census, view->plan, stage, &reach);
    expect_events(view, expected_s, &reach);
    for (size_t i = 0; i < gates->n; i++) {
        struct question q = {gates, &gates->gate[i], plan_sight_level(gates, &gates->gate[i])};
        if (json_array_append_new(all, gate_json(&q, &reach, view->memo)) < 0) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

bool plan_sight_passes(const json_t *gates) {
    size_t i;
    json_t *gate;
    json_array_foreach (gates, i, gate)
        if (json_is_false(json_object_get(gate, "passes")))
            return false;
    return true;
}
