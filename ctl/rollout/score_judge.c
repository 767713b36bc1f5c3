// SPDX-License-Identifier: Apache-2.0
//
// What the gates say together.
#include <assert.h>

#include "ctl/rollout/evidence/robust.h"
#include "ctl/rollout/score.h"
#include "ctl/rollout/score_slots.h"

enum evidence_line rollout_score_line(enum rollout_gate_kind kind) {
    switch (kind) {
    case ROLLOUT_GATE_INSTALL:
        return EVIDENCE_LINE_INSTALL;
    case ROLLOUT_GATE_METRIC:
        return EVIDENCE_LINE_METRICS;
    case ROLLOUT_GATE_LOST:
    case ROLLOUT_GATE_REVERT:
    case ROLLOUT_GATE_COUNTER:
    case ROLLOUT_GATE_KINDS:
        break;
    }
    return EVIDENCE_LINE_EVENTS;
}

static void weigh(const struct rollout_score *score, const struct rollout_gate_policy *gate,
                  size_t g, struct rollout_judgement_gate *ret) {
    const union rollout_score_gate *state = &score->gate[g];
    switch (rollout_score_line(gate->kind)) {
    case EVIDENCE_LINE_INSTALL: {
        struct evidence_install_known known = {
            .activated = score->next_number - score->first_number, .failed = score->known_failed};
        ret->worse = evidence_install_worse(&state->install, &known, gate->baseline_ppm);
        ret->better = evidence_install_better(&state->install, gate->intolerable_ppm);
        return;
    }
    case EVIDENCE_LINE_METRICS:
        ret->worse = evidence_rank_worse(&state->rank, EVIDENCE_RANK_TOLERABLE);
        ret->better = evidence_rank_better(&state->rank, EVIDENCE_RANK_INTOLERABLE);
        return;
    case EVIDENCE_LINE_EVENTS:
    case EVIDENCE_LINES:
        break;
    }
    ret->worse =
        evidence_events_worse(&state->events, evidence_events_tolerable(gate->ratio_ok_ppm));
    ret->better =
        evidence_events_better(&state->events, evidence_events_intolerable(gate->ratio_bad_ppm));
}

static void judge_guards(const struct rollout_score *score, const struct rollout_gates *gates,
                         struct rollout_judgement *ret) {
    uint64_t offered = score->next_number - score->first_number;
    uint64_t least = offered < ROLLOUT_SCORE_GUARD_MIN ? offered : ROLLOUT_SCORE_GUARD_MIN;
    for (size_t g = 0; g < gates->n && !ret->guard; g++) {
        const struct rollout_gate_policy *gate = &gates->gate[g];
        const struct rollout_score_mean *sum = &score->guard[g];
        if (gate->kind != ROLLOUT_GATE_METRIC || !gate->has_guard || sum->n == 0 || sum->n < least)
            continue;
        struct decimal mean = {rollout_score_slots_mean(sum)};
        int side = num_compare_decimal(mean, gate->guard);
        if (gate->lower_worse ? side >= 0 : side <= 0)
            continue;
        ret->guard = true;
        ret->guard_gate = g;
        ret->guard_mean = mean;
    }
}

void rollout_score_judge(const struct rollout_score *score, const struct rollout_gates *gates,
                         uint32_t alpha_ppm, struct rollout_judgement *ret) {
    struct evidence_gate terms[ROLLOUT_GATES_MAX];
    bool passed = true;
    assert(gates->n > 0 && gates->n <= ROLLOUT_GATES_MAX);
    *ret = (struct rollout_judgement){.n_gates = gates->n};
    // Policies were taken that ask for more than there can be.
    uint32_t drift_ppm = gates->drift_ppm > ROLLOUT_GATES_DRIFT_MAX_PPM
                             ? ROLLOUT_GATES_DRIFT_MAX_PPM
                             : gates->drift_ppm;
    ret->drift = evidence_robust_drift(score->drift_worse, score->drift_better, drift_ppm);
    ret->control = ret->drift >= evidence_num_level(alpha_ppm);
    for (size_t g = 0; g < gates->n; g++) {
        const struct rollout_gate_policy *gate = &gates->gate[g];
        struct rollout_judgement_gate *one = &ret->gate[g];
        weigh(score, gate, g, one);
        terms[g] = (struct evidence_gate){.line = rollout_score_line(gate->kind),
                                          .weight_ppm = gate->weight_ppm,
                                          .worse = one->worse};
        one->verdict =
            evidence_combine_judge(&terms[g], one->better, alpha_ppm, gates->alpha_pass_ppm);
        // What was compared with a comparison that left its own past has not passed.
        if (ret->control && gate->kind == ROLLOUT_GATE_METRIC &&
            one->verdict == EVIDENCE_VERDICT_PASS)
            one->verdict = EVIDENCE_VERDICT_INCONCLUSIVE;
        passed = passed && one->verdict == EVIDENCE_VERDICT_PASS;
    }
    evidence_combine(terms, gates->n, alpha_ppm, &ret->sum);
    judge_guards(score, gates, ret);
    ret->overall = ret->sum.stop || ret->guard ? ROLLOUT_VERDICT_FAIL
                   : passed                    ? ROLLOUT_VERDICT_PASS
                                               : ROLLOUT_VERDICT_WAIT;
}
