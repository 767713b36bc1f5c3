// SPDX-License-Identifier: Apache-2.0
//
// Sets: a treated device and those like it, from the draw to the score.
#include <assert.h>
#include <string.h>

#include "ctl/rollout/score.h"
#include "ctl/rollout/score_member.h"
#include "ctl/rollout/score_slots.h"
#include "ctl/rollout/trial.h"

bool rollout_score_may_compare(const struct rollout_score *score, const struct rollout_gates *gates,
                               const struct rollout_score_device *device, bool admitted,
                               int64_t now_s) {
    uint64_t rhythm = gates->rhythm_s == 0 ? ROLLOUT_GATES_RHYTHM_DEFAULT_S : gates->rhythm_s;
    return device->run == score->run && device->arm == ROLLOUT_ARM_COMPARISON && !admitted &&
           device->counted && !device->gone && device->set_no == 0 &&
           now_s - device->heard_s <= (int64_t)(ROLLOUT_SCORE_RHYTHMS * rhythm);
}

static bool has_metrics(const struct rollout_gates *gates) {
    for (size_t g = 0; g < gates->n; g++)
        if (gates->gate[g].kind == ROLLOUT_GATE_METRIC)
            return true;
    return false;
}

static void place(const struct rollout_gates *gates, struct rollout_score_device *device,
                  uint64_t set_no, uint32_t place, int64_t now_s) {
    device->set_no = set_no;
    device->place = place;
    device->base_s = now_s;
    device->due_s = now_s + (int64_t)(gates->horizon_s + gates->grace_s);
}

// What was heard before the set began is settled: later readings are not of it. Of whom nothing was
// heard before its offer nothing is: it would be the outcome that decides whether it is in.
static void freeze_treated(const struct rollout_gates *gates, struct rollout_score_device *device,
                           int64_t now_s) {
    for (size_t g = 0; g < gates->n; g++) {
        struct rollout_score_history *history = &device->history[g];
        if (gates->gate[g].kind != ROLLOUT_GATE_METRIC || history->before.n == 0)
            continue;
        int64_t first = rollout_score_slots_of(gates, now_s - (int64_t)gates->window_s);
        struct rollout_score_mean last = rollout_score_slots_sum(history, first, INT64_MAX);
        if (last.n > 0)
            history->before = last;
    }
}

int rollout_score_set_begin(struct rollout_score *score, const struct rollout_gates *gates,
                            struct rollout_score_device *treated,
                            struct rollout_score_device *const *members, size_t n, int64_t now_s) {
    assert(treated->arm == ROLLOUT_ARM_TREATED && treated->set_no == 0);
    assert(n <= EVIDENCE_RANK_COMPARED_MAX);
    treated->base_s = now_s;
    bool metrics = has_metrics(gates);
    if (!rollout_trial_has_sets(gates) || n < (metrics ? EVIDENCE_RANK_COMPARED_MIN : 1) ||
        (!metrics && !rollout_trial_began(treated)) || treated->gone ||
        treated->run != score->run || treated->number < score->first_number)
        return ROLLOUT_SCORE_NO_SET;
    uint64_t set_no = score->next_set++;
    freeze_treated(gates, treated, now_s);
    place(gates, treated, set_no, 0, now_s);
    for (size_t i = 0; i < n; i++) {
        assert(members[i]->arm == ROLLOUT_ARM_COMPARISON && members[i]->set_no == 0);
        rollout_score_slots_freeze(gates, now_s, members[i]);
        place(gates, members[i], set_no, (uint32_t)i + 1, now_s);
    }
    return 0;
}

// ── Scoring ──

struct span {
    int64_t first, last;
};

// The window up to the horizon, and the grace; never before the set began.
static struct span span_of(const struct rollout_gates *gates,
                           const struct rollout_score_device *device) {
    int64_t from_s = device->base_s + (int64_t)gates->horizon_s - (int64_t)gates->window_s;
    struct span span = {.first = rollout_score_slots_of(gates, from_s),
                        .last = rollout_score_slots_of(gates, device->due_s)};
    int64_t after = rollout_score_slots_of(gates, device->base_s) + 1;
    span.first = span.first < after ? after : span.first;
    return span;
}

// The device's value for a gate; false when nothing was heard of it before.
static bool value_of(const struct rollout_gate_policy *gate,
                     const struct rollout_score_device *device, size_t g, const struct span *span,
                     struct evidence_rank_value *ret) {
    const struct rollout_score_history *history = &device->history[g];
    if (history->before.n == 0)
        return false;
    struct rollout_score_mean after = rollout_score_slots_sum(history, span->first, span->last);
    *ret = (struct evidence_rank_value){.worst = after.n == 0};
    if (ret->worst)
        return true;
    int64_t change = rollout_score_slots_mean(&after) - rollout_score_slots_mean(&history->before);
    ret->change_nano = gate->lower_worse ? -change : change;
    return true;
}

static void score_gate(const struct rollout_gate_policy *gate, struct rollout_score_device *treated,
                       const struct rollout_score_unit *unit, struct evidence_rank *io) {
    struct evidence_rank_design design = {.tolerable = gate->tolerable,
                                          .intolerable = gate->intolerable,
                                          .baseline_ppm = gate->baseline_ppm};
    struct rollout_score_history *history = &treated->history[unit->gate];
    evidence_rank_add(io, &design, &unit->values[0], unit->values + 1, unit->n_values - 1);
    history->has_mark = true;
    history->mark[0] = (uint32_t)unit->a;
    history->mark[1] = (uint32_t)unit->b;
    history->mark[2] = (uint32_t)unit->c;
}

// Where members restart as the treated device did, those that did not are not like it.
static bool is_alike(const struct rollout_gates *gates, const struct rollout_score_device *member) {
    return !gates->sham || rollout_trial_began(member);
}

// Whatever it reads is worst: it went back, or, of a member that restarted as well, would have. If
// only treated devices were, restarts that fail in both arms alike would speak against the release.
static bool is_bad(const struct rollout_gates *gates, const struct rollout_score_device *device) {
    return device->arm == ROLLOUT_ARM_TREATED
               ? rollout_score_member_failed(device)
               : gates->sham && device->trial == ROLLOUT_TRIAL_FAILED;
}

static bool ranked_value(const struct rollout_gates *gates,
                         const struct rollout_score_device *device, size_t g,
                         const struct span *span, struct evidence_rank_value *ret) {
    if (!value_of(&gates->gate[g], device, g, span, ret))
        return false;
    if (is_bad(gates, device))
        *ret = (struct evidence_rank_value){.worst = true};
    return true;
}

// The values of a gate's set: false when the treated device, or too many others, have none.
static bool read_set(const struct rollout_gates *gates, size_t g,
                     const struct rollout_score_device *treated,
                     struct rollout_score_device *const *members, size_t n,
                     struct rollout_score_unit *ret) {
    const struct rollout_gate_policy *gate = &gates->gate[g];
    struct span span = span_of(gates, treated);
    struct evidence_rank_place place;
    ret->gate = g;
    if (!ranked_value(gates, treated, g, &span, &ret->values[0]))
        return false;
    ret->n_values = 1;
    for (size_t i = 0; i < n; i++)
        if (is_alike(gates, members[i]))
            ret->n_values += ranked_value(gates, members[i], g, &span, &ret->values[ret->n_values]);
    if (ret->n_values - 1 < EVIDENCE_RANK_COMPARED_MIN)
        return false;
    evidence_rank_find(&ret->values[0], ret->values + 1, ret->n_values - 1, gate->tolerable.nano,
                       &place);
    ret->a = place.compared;
    ret->b = place.better;
    ret->c = place.equal;
    return true;
}

// A comparison device against its own past: once, by the first metric that changed at all.
static void drift(struct rollout_score *score, const struct rollout_gates *gates,
                  const struct rollout_score_device *treated,
                  const struct rollout_score_device *member) {
    struct span span = span_of(gates, treated);
    for (size_t g = 0; g < gates->n; g++) {
        struct evidence_rank_value value;
        if (gates->gate[g].kind != ROLLOUT_GATE_METRIC ||
            !value_of(&gates->gate[g], member, g, &span, &value) || value.worst ||
            value.change_nano == 0)
            continue;
        score->drift_worse += value.change_nano > 0;
        score->drift_better += value.change_nano < 0;
        return;
    }
}

static bool is_void(const struct rollout_score *score, const struct rollout_score_device *treated,
                    struct rollout_score_device *const *members, size_t n) {
    if (treated->gone || treated->run != score->run || treated->set_no < score->first_set ||
        n < EVIDENCE_RANK_COMPARED_MIN)
        return true;
    for (size_t i = 0; i < n; i++)
        // One that was admitted since is not offered the release before: it is compared as ever.
        if (members[i]->gone || members[i]->arm == ROLLOUT_ARM_TREATED ||
            members[i]->run != score->run || members[i]->set_no != treated->set_no)
            return true;
    return false;
}

int rollout_score_set_score(struct rollout_score *score, const struct rollout_gates *gates,
                            struct rollout_score_device *treated,
                            struct rollout_score_device *const *members, size_t n,
                            struct rollout_score_news *ret) {
    bool none = is_void(score, treated, members, n);
    memset(ret, 0, sizeof *ret);
    assert(treated->place == 0 && n <= EVIDENCE_RANK_COMPARED_MAX);
    ret->shared = ret->device = true;
    for (size_t g = 0; g < gates->n && !none; g++) {
        struct rollout_score_unit *unit = &ret->units[ret->n_units];
        if (gates->gate[g].kind != ROLLOUT_GATE_METRIC ||
            !read_set(gates, g, treated, members, n, unit))
            continue;
        score_gate(&gates->gate[g], treated, unit, &score->gate[g].rank);
        ret->n_units++;
        ret->gates |= 1U << g;
    }
    for (size_t i = 0; i < n; i++) {
        if (!none && is_alike(gates, members[i]))
            drift(score, gates, treated, members[i]);
        members[i]->due_s = 0;
    }
    score->sets_scored += !none;
    // A set of a run before is over with that run.
    score->sets_void += none && treated->run == score->run && treated->set_no >= score->first_set;
    treated->due_s = 0;
    return none ? ROLLOUT_SCORE_VOID : 0;
}
