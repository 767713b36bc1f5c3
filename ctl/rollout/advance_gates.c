// SPDX-License-Identifier: Apache-2.0
//
// Gates of evidence: stopping, waiting, going on without.
#include "ctl/rollout/advance_gates.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/chrono.h"

static const char *stage_name(const struct rollout_policy *policy,
                              const struct rollout_progress *progress) {
    size_t last = policy->n_stages - 1;
    return policy->stages[progress->stage < last ? progress->stage : last].name;
}

// The judgement's own sentence, where nobody asked what it rests on.
static void say_stop(const struct rollout_policy *policy, const struct rollout_judgement *evidence,
                     struct rollout_why *ret) {
    char odds[ROLLOUT_VERDICT_ODDS_BYTES], needed[ROLLOUT_VERDICT_ODDS_BYTES];
    char mean[NUM_DECIMAL_TEXT], bound[NUM_DECIMAL_TEXT];
    const struct evidence_sum *sum = &evidence->sum;
    if (!sum->stop) {
        const struct rollout_gate_policy *gate = &policy->gates.gate[evidence->guard_gate];
        rollout_why_set(ret, ROLLOUT_WHY_guard_exceeded,
                        "gate %s: the mean of the treated devices is %s, beyond its guard of %s",
                        gate->name, num_format_decimal(evidence->guard_mean, mean),
                        num_format_decimal(gate->guard, bound));
        return;
    }
    enum evidence_line line = rollout_score_line(policy->gates.gate[sum->gate].kind);
    rollout_why_set(ret, ROLLOUT_WHY_evidence_failed, "gate %s: evidence %s of %s needed",
                    policy->gates.gate[sum->gate].name, rollout_verdict_odds(sum->line[line], odds),
                    rollout_verdict_odds(sum->level, needed));
}

static bool fail(const struct rollout_policy *policy, const struct rollout_counts *counts,
                 const struct rollout_why *cause, struct rollout_progress *io) {
    io->state = policy->on_failure == ROLLOUT_ON_FAILURE_REVERT ? ROLLOUT_STATE_REVERTING
                                                                : ROLLOUT_STATE_FAILED;
    io->failed_stage = io->stage < policy->n_stages ? io->stage : policy->n_stages - 1;
    io->ended_s = counts->now_s;
    io->complete_s = io->reached_s = 0;
    io->doubt = io->silent = false;
    rollout_why_set(&io->why, cause->code, "stage %s: %.400s", stage_name(policy, io), cause->text);
    return true;
}

// What may take a doubt away. One about installs rests on outcomes, of which no more come when nobody
// is at work on it: nothing is offered while it is paused.
static const char *way_out(const struct rollout_policy *policy,
                           const struct rollout_counts *counts) {
    const struct rollout_verdict *v = counts->verdict;
    uint64_t working = 0;
    for (size_t i = 0; i < policy->n_stages * counts->n_strata; i++)
        working += rollout_tally_unresolved(&counts->tallies[i]);
    if (working > 0 || v->guard || policy->gates.gate[v->gate].kind != ROLLOUT_GATE_INSTALL)
        return ", or wait for more reports";
    return "; nobody is at work on it any more, so reports alone do not settle it";
}

bool rollout_advance_gates_stop(const struct rollout_policy *policy,
                                const struct rollout_counts *counts, struct rollout_progress *io) {
    struct rollout_why own;
    if (counts->evidence == NULL || counts->evidence->overall != ROLLOUT_VERDICT_FAIL)
        return false;
    io->stopped = true;
    if (counts->verdict == NULL) {
        say_stop(policy, counts->evidence, &own);
        return fail(policy, counts, &own, io);
    }
    const struct rollout_why *why = &counts->verdict->why;
    if (!counts->verdict->doubt)
        return fail(policy, counts, why, io);
    io->state = ROLLOUT_STATE_PAUSED;
    io->doubt = true;
    io->silent = false;
    io->complete_s = io->reached_s = 0;
    rollout_why_set(&io->why, why->code,
                    "stage %s: %.380s; paused: resume it, revert it or abort it%s",
                    stage_name(policy, io), why->text, way_out(policy, counts));
    return true;
}

void rollout_advance_gates_silence(const struct rollout_counts *counts,
                                   struct rollout_progress *io) {
    if (io->state == ROLLOUT_STATE_RUNNING && counts->silence == ROLLOUT_SILENCE_SILENT) {
        io->state = ROLLOUT_STATE_PAUSED;
        io->silent = true;
        rollout_why_set(&io->why, ROLLOUT_WHY_fleet_silent,
                        "more than half of the devices that are compared, with and without the "
                        "release, are silent: nothing is concluded from it, and nothing offered "
                        "before they are heard of");
    } else if (io->state == ROLLOUT_STATE_PAUSED && io->silent &&
               counts->silence == ROLLOUT_SILENCE_HEARD) {
        io->state = ROLLOUT_STATE_RUNNING;
        io->silent = false;
        rollout_why_set(&io->why, ROLLOUT_WHY_NONE, "%s", "");
    }
}

// ── Pauses ──

bool rollout_advance_hears(const struct rollout_policy *policy, const struct rollout_progress *p,
                           int64_t now_s) {
    const struct rollout_gates *gates = &policy->gates;
    uint64_t most_s = gates->max_soak_s + gates->horizon_s + gates->grace_s;
    if (p->state != ROLLOUT_STATE_PAUSED)
        return p->state == ROLLOUT_STATE_RUNNING;
    return !p->back && (p->paused_s == 0 || now_s - p->paused_s <= (int64_t)most_s);
}

void rollout_advance_gates_pause(const struct rollout_policy *policy,
                                 const struct rollout_progress *before, int64_t now_s,
                                 struct rollout_progress *io) {
    bool was = before->state == ROLLOUT_STATE_PAUSED, is = io->state == ROLLOUT_STATE_PAUSED;
    if (was == is)
        return;
    if (was && !rollout_advance_hears(policy, before, now_s))
        io->resumed_s = now_s;
    io->paused_s = is ? now_s : 0;
}

// ── Passing ──

static void say_gates(const struct rollout_policy *policy, const struct rollout_judgement *evidence,
                      char *ret, size_t size) {
    size_t used = 0;
    ret[0] = '\0';
    for (size_t g = 0; g < policy->gates.n && used < size; g++) {
        if (evidence != NULL && evidence->gate[g].verdict == EVIDENCE_VERDICT_PASS)
            continue;
        int n = snprintf(ret + used, size - used, "%s%s", used == 0 ? "" : ", ",
                         policy->gates.gate[g].name);
        used += n < 0 ? size : (size_t)n;
    }
}

bool rollout_advance_gates_pass(const struct rollout_policy *policy,
                                const struct rollout_counts *counts, struct rollout_progress *io) {
    const struct rollout_gates *gates = &policy->gates;
    const char *stage = stage_name(policy, io);
    char names[160];
    if (gates->n == 0 ||
        (counts->evidence != NULL && counts->evidence->overall == ROLLOUT_VERDICT_PASS))
        return true;
    int64_t left = io->reached_s + (int64_t)gates->max_soak_s - counts->now_s;
    bool waived = io->waived & 1U << io->stage;
    say_gates(policy, counts->evidence, names, sizeof names);
    if (waived || (left <= 0 && gates->advance_on_max_soak)) {
        io->without |= 1U << io->stage;
        rollout_why_set(&io->why, ROLLOUT_WHY_advanced_without_evidence,
                        "stage %s: advanced without evidence (%s), since %s", stage, names,
                        waived ? "a person said so" : "max_soak_s is over");
        return true;
    }
    if (left > 0) {
        rollout_why_set(&io->why, ROLLOUT_WHY_inconclusive,
                        "stage %s is complete, and its gates are inconclusive (%s); it is watched "
                        "for at most %" PRId64 " s more",
                        stage, names, left);
        return false;
    }
    io->state = ROLLOUT_STATE_PAUSED;
    rollout_why_set(&io->why, ROLLOUT_WHY_inconclusive,
                    "stage %s: its gates stayed inconclusive (%s) for as long as max_soak_s says; "
                    "resume it to go on without evidence, revert it or abort it",
                    stage, names);
    return false;
}

// The last stage goes on with those held back.
static void release(const struct rollout_policy *policy, const struct rollout_counts *counts,
                    struct rollout_progress *io) {
    struct rollout_tally stage = {0};
    for (size_t s = 0; s < counts->n_strata; s++)
        rollout_tally_add(&stage, &counts->tallies[io->stage * counts->n_strata + s]);
    rollout_batch_end(policy, &stage, &io->batch);
    io->batch.held_back_open = true;
    int64_t next_s = 0;
    io->batch.most = rollout_batch_ramp_share(&io->ramp[policy->n_stages], counts->now_s, &next_s);
    rollout_batch_begin(policy, &stage, counts->held_back, counts->now_s, &io->batch);
    io->complete_s = io->reached_s = 0;
}

bool rollout_advance_gates_hold(const struct rollout_policy *policy,
                                const struct rollout_counts *counts, bool passed,
                                struct rollout_progress *io) {
    const struct rollout_gates *gates = &policy->gates;
    if (gates->n == 0 || gates->holdback_ppm == 0 || io->batch.held_back_open ||
        io->stage + 1 < policy->n_stages)
        return false;
    int64_t left = io->started_s[io->stage] + (int64_t)gates->holdback_release_s - counts->now_s;
    bool due = gates->holdback_release_s > 0 ? left <= 0 : passed;
    if (due && counts->now_s < io->not_before_s[policy->n_stages]) {
        char at[CHRONO_TEXT_BYTES];
        if (passed)
            rollout_why_set(&io->why, ROLLOUT_WHY_too_early,
                            "stage %s has passed; what is held back opens at %s at the earliest: "
                            "people signed for no sooner",
                            stage_name(policy, io),
                            chrono_format(io->not_before_s[policy->n_stages], at));
        return passed;
    }
    if (due) {
        release(policy, counts, io);
        return true;
    }
    if (passed)
        rollout_why_set(&io->why, ROLLOUT_WHY_holdback,
                        "stage %s has passed; the devices held back are compared for %" PRId64
                        " s more",
                        stage_name(policy, io), left);
    return passed;
}
