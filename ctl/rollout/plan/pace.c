// SPDX-License-Identifier: Apache-2.0
//
// How long stages take, and whom a release that fails reaches.
#include "ctl/rollout/plan/pace.h"

#include <stdio.h>

#include "ctl/rollout/batch.h"
#include "ctl/rollout/evidence/install.h"
#include "ctl/rollout/evidence/power.h"
#include "ctl/rollout/plan/hours.h"
#include "ctl/rollout/plan/sight.h"
#include "ctl/rollout/policy/read.h"
#include "ctl/rollout/score.h"

#define NEARLY_ALL_PPM 950000
#define TEXT_BYTES     256

// ── Batches ──

static uint64_t larger(const struct rollout_batch_policy *batch, uint64_t size) {
    uint64_t next = (uint64_t)((unsigned __int128)size * batch->factor_ppm / ROLLOUT_PPM);
    next = next <= size && batch->factor_ppm > ROLLOUT_PPM ? size + 1 : next;
    return batch->max != 0 && next > batch->max ? batch->max : next;
}

// Batches of n devices when each is clean; *io_size is the size of the last one before and of the
// last one of them.
static uint64_t count_batches(const struct rollout_batch_policy *batch, uint64_t n,
                              uint64_t *io_size) {
    uint64_t batches = 0, size = *io_size == 0 ? batch->start : larger(batch, *io_size);
    if (batch->start == 0)
        return n > 0;
    while (n > 0) {
        uint64_t next = larger(batch, size);
        if (next == size) { // it grows no more
            *io_size = size;
            return batches + (n + size - 1) / size;
        }
        batches++;
        *io_size = size;
        n -= n < size ? n : size;
        size = next;
    }
    return batches;
}

// How many devices the batches hold that reach the n-th device.
static uint64_t batches_over(const struct rollout_policy *policy, uint64_t n, uint64_t all) {
    uint64_t size = policy->batch.start, sum = 0;
    if (size == 0)
        return all;
    while (sum < n && sum < all) {
        sum += size;
        size = larger(&policy->batch, size);
    }
    return sum < all ? sum : all;
}

static bool has_metric(const struct rollout_gates *gates) {
    for (size_t i = 0; i < gates->n; i++)
        if (gates->gate[i].kind == ROLLOUT_GATE_METRIC)
            return true;
    return false;
}

static uint64_t rhythm_of(const struct rollout_policy *policy) {
    return policy->gates.n == 0 ? ROLLOUT_GATES_RHYTHM_DEFAULT_S : policy->gates.rhythm_s;
}

// After which a device that fell silent is lost to a gate; 0 without such a gate.
static uint64_t losses_s(const struct rollout_policy *policy) {
    return rollout_score_lost_gates(&policy->gates) == 0
               ? 0
               : (uint64_t)rollout_score_silence_s(policy);
}

static uint64_t waits(const struct rollout_policy *policy, size_t stage) {
    uint64_t measured =
        has_metric(&policy->gates) ? policy->gates.horizon_s + policy->gates.grace_s : 0;
    // The last batch is watched for losses while its metrics are measured.
    uint64_t seen = losses_s(policy);
    return policy->stages[stage].soak_s + (measured > seen ? measured : seen);
}

void plan_pace_find(const struct rollout_policy *policy, const struct rollout_plan_ages *ages,
                    const struct rollout_plan *plan, size_t stage, uint64_t *io_size,
                    struct plan_pace_stage *ret) {
    uint64_t rhythm = rhythm_of(policy);
    uint64_t most = policy->batch.start == 0 ? policy->timeout_s : ROLLOUT_BATCH_RHYTHMS * rhythm;
    uint64_t one = rollout_plan_age_at(ages, NEARLY_ALL_PPM);
    one = one < most ? one : most;
    ret->batches = count_batches(&policy->batch, plan->adds[stage], io_size);
    ret->calls_s = ret->batches * one;
    // No faster than they are offered it.
    uint64_t offers_s = policy->offer_rate == 0 ? 0 : plan->adds[stage] * 60 / policy->offer_rate;
    ret->calls_s = ret->calls_s > offers_s ? ret->calls_s : offers_s;
    ret->hours_s = plan->adds[stage] == 0 ? 0 : plan_hours_find(&policy->windows, ret->calls_s);
    ret->waits_s = waits(policy, stage);
    ret->seen_after_s = losses_s(policy);
    ret->dies_by_s = ret->seen_after_s == 0 ? 0 : rhythm + ret->waits_s - ret->seen_after_s;
}

uint64_t plan_pace_least(const struct rollout_policy *policy, const struct rollout_plan *plan,
                         size_t stage, uint64_t *io_size) {
    uint64_t batches = count_batches(&policy->batch, plan->adds[stage], io_size);
    return waits(policy, stage) + (policy->batch.start == 0 ? 0 : batches * rhythm_of(policy));
}

// Batch number `at` of `last` is the first of its step; with few batches each is one.
static bool begins_step(uint64_t at, uint64_t last) {
    uint64_t most = ROLLOUT_PLAN_STEPS_MAX;
    return last <= most || at == 0 || at * most / last != (at - 1) * most / last;
}

void plan_pace_ramp(const struct rollout_policy *policy, uint64_t devices, uint64_t size,
                    struct rollout_plan_ramp *ret) {
    uint64_t before = size, open = 0, rhythm = rhythm_of(policy);
    uint64_t batches = count_batches(&policy->batch, devices, &before);
    *ret = (struct rollout_plan_ramp){.n = 0};
    if (policy->batch.start == 0 || batches < 2)
        return;
    for (uint64_t at = 0; at + 1 < batches; at++) {
        size = size == 0 ? policy->batch.start : larger(&policy->batch, size);
        open += size;
        if (begins_step(at, batches - 1))
            ret->steps[ret->n++].after_s = at * rhythm;
        ret->steps[ret->n - 1].share =
            (uint64_t)((unsigned __int128)ROLLOUT_BATCH_WHOLE * open / devices);
    }
    ret->whole_s = (batches - 1) * rhythm;
}

// ── Exposure ──

static const struct rollout_gate_policy *install_gate(const struct rollout_gates *gates) {
    for (size_t i = 0; i < gates->n; i++)
        if (gates->gate[i].kind == ROLLOUT_GATE_INSTALL)
            return &gates->gate[i];
    return NULL;
}

struct exposure {
    uint64_t median, most; // half of such rollouts reach no more; 95 % of them
    bool stopped;
    char text[TEXT_BYTES];
};

// So many devices have so many units of the mean size.
static uint64_t devices_of(const struct rollout_plan *plan, uint64_t units, uint64_t all) {
    uint64_t devices = 0;
    for (size_t s = 0; s < plan->n_strata; s++)
        devices += plan->sizes[s];
    if (plan->units == 0 || devices == plan->units)
        return units;
    uint64_t n = (uint64_t)(((unsigned __int128)units * devices + plan->units - 1) / plan->units);
    return n < all ? n : all;
}

static void expose_to_gate(const struct rollout_policy *policy, const struct rollout_plan *plan,
                           const struct rollout_gate_policy *gate, uint64_t all,
                           uint32_t failing_ppm, struct exposure *ret) {
    uint64_t units = plan->units < all ? plan->units : all;
    uint64_t asked = units < EVIDENCE_POWER_STEPS_MAX ? units : EVIDENCE_POWER_STEPS_MAX;
    int64_t level = plan_sight_level(&policy->gates, gate);
    uint64_t half = asked == 0 ? 1
                               : evidence_power_exposure(gate->baseline_ppm, failing_ppm, asked,
                                                         level, ROLLOUT_PPM / 2);
    uint64_t most = asked == 0 ? 1
                               : evidence_power_exposure(gate->baseline_ppm, failing_ppm, asked,
                                                         level, NEARLY_ALL_PPM);
    ret->stopped = half <= asked;
    ret->median = half <= asked ? batches_over(policy, devices_of(plan, half, all), all) : all;
    ret->most = most <= asked ? batches_over(policy, devices_of(plan, most, all), all) : all;
    if (!ret->stopped)
        (void)snprintf(ret->text, sizeof ret->text,
                       "gate %s does not stop it: more often than not all %llu devices get it",
                       gate->name, (unsigned long long)all);
    else
        (void)snprintf(ret->text, sizeof ret->text,
                       "gate %s stops half of such rollouts by %llu devices, 95 %% of them by %llu",
                       gate->name, (unsigned long long)ret->median, (unsigned long long)ret->most);
}

// A stage fails when so many failures as are to be expected, one at least, are more than it allows.
static void expose_to_thresholds(const struct rollout_policy *policy,
                                 const struct rollout_plan *plan, uint64_t all,
                                 uint32_t failing_ppm, struct exposure *ret) {
    uint64_t total = 0;
    for (size_t i = 0; i < policy->n_stages; i++) {
        const struct rollout_stage_policy *stage = &policy->stages[i];
        unsigned __int128 failures = (unsigned __int128)plan->adds[i] * failing_ppm;
        bool judged = policy->gates.n == 0 || stage->has_gate;
        total += plan->adds[i];
        if (!judged || failing_ppm <= stage->gate.failure_ppm || failures < ROLLOUT_PPM)
            continue;
        *ret = (struct exposure){.median = total, .most = total, .stopped = true};
        (void)snprintf(ret->text, sizeof ret->text,
                       "the thresholds of stage %s stop it when its %llu devices have it",
                       stage->name, (unsigned long long)plan->adds[i]);
        return;
    }
    *ret = (struct exposure){.median = all, .most = all};
    (void)snprintf(ret->text, sizeof ret->text, "nothing stops it: all %llu devices get it",
                   (unsigned long long)all);
}

json_t *plan_pace_exposure(const struct rollout_policy *policy, const struct rollout_plan *plan) {
    static const uint32_t failing[] = {10000, 50000, 200000};
    const struct rollout_gate_policy *gate = install_gate(&policy->gates);
    json_t *rows = json_array();
    uint64_t all = plan->held_back;
    for (size_t i = 0; i < policy->n_stages; i++)
        all += plan->adds[i];
    for (size_t i = 0; i < sizeof failing / sizeof *failing; i++) {
        struct exposure x;
        if (gate != NULL)
            expose_to_gate(policy, plan, gate, all, failing[i], &x);
        else
            expose_to_thresholds(policy, plan, all, failing[i], &x);
        json_t *row =
            json_pack("{s:o, s:I, s:I, s:b, s:s}", "failing_pct",
                      policy_read_percent_json(failing[i]), "median", (json_int_t)x.median, "p95",
                      (json_int_t)x.most, "stopped", (int)x.stopped, "text", x.text);
        if (json_array_append_new(rows, row) < 0) {
            json_decref(rows);
            return NULL;
        }
    }
    return rows;
}

// ── The past ──

json_t *plan_pace_installs(const struct rollout_policy *policy,
                           const struct rollout_plan_past *past) {
    const struct rollout_gate_policy *gate = install_gate(&policy->gates);
    struct evidence_install state = {.scored = past->good + past->bad, .failed = past->bad};
    uint32_t lower = 0, upper = ROLLOUT_GATES_BASELINE_DEFAULT_PPM;
    const char *text = "no rollout has finished here: the share that fails is not known";
    if (state.scored > 0) {
        evidence_install_bounds(&state, evidence_num_level(ROLLOUT_PPM - NEARLY_ALL_PPM), &lower,
                                &upper);
        upper = upper < ROLLOUT_PLAN_BASELINE_PPM ? ROLLOUT_PLAN_BASELINE_PPM : upper;
        text = gate == NULL                 ? "of finished rollouts"
               : gate->baseline_ppm < lower ? "the stated share is less than what failed so far: "
                                              "the gate would stop harmless releases"
               : gate->baseline_ppm > upper ? "the stated share is more than what failed so far: "
                                              "the gate would be sooner with the proposed one"
                                            : "the stated share is in keeping with what failed so "
                                              "far";
    }
    return json_pack("{s:I, s:I, s:I, s:o, s:o, s:s}", "rollouts", (json_int_t)past->rollouts,
                     "good", (json_int_t)past->good, "bad", (json_int_t)past->bad, "stated_pct",
                     gate == NULL ? json_null() : policy_read_percent_json(gate->baseline_ppm),
                     "proposed_pct", policy_read_percent_json(upper), "text", text);
}
