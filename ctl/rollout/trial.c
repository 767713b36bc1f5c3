// SPDX-License-Identifier: Apache-2.0
//
// Restarts in both arms, set by set.
#include "ctl/rollout/trial.h"

#include <assert.h>
#include <string.h>

uint32_t rollout_trial_gates(const struct rollout_gates *gates) {
    uint32_t bits = 0;
    for (size_t g = 0; g < gates->n; g++)
        if (gates->gate[g].kind == ROLLOUT_GATE_REVERT)
            bits |= 1U << g;
    return bits;
}

static bool has_metrics(const struct rollout_gates *gates) {
    for (size_t g = 0; g < gates->n; g++)
        if (gates->gate[g].kind == ROLLOUT_GATE_METRIC)
            return true;
    return false;
}

bool rollout_trial_has_sets(const struct rollout_gates *gates) {
    return has_metrics(gates) || rollout_trial_gates(gates) != 0;
}

bool rollout_trial_began(const struct rollout_score_device *device) {
    return device->trial == ROLLOUT_TRIAL_BEGUN || device->trial == ROLLOUT_TRIAL_HELD ||
           device->trial == ROLLOUT_TRIAL_FAILED;
}

// A member that did not begin by then is left out.
static bool is_late(const struct rollout_gates *gates, int64_t base_s, int64_t now_s) {
    uint64_t rhythm = gates->rhythm_s == 0 ? ROLLOUT_GATES_RHYTHM_DEFAULT_S : gates->rhythm_s;
    return now_s - base_s > (int64_t)(ROLLOUT_SCORE_SILENCE * rhythm);
}

static bool is_member(const struct rollout_score *score,
                      const struct rollout_score_device *device) {
    // One that was admitted since is not offered the release before: it is compared as ever.
    return device->run == score->run && !device->gone && device->arm != ROLLOUT_ARM_TREATED &&
           device->set_no >= score->first_set && device->set_no != 0 && device->place > 0;
}

static bool become(enum rollout_trial_state to, struct rollout_score_device *io) {
    bool over = io->trial != ROLLOUT_TRIAL_NONE && io->trial != ROLLOUT_TRIAL_BEGUN;
    if (over || io->trial == to)
        return false;
    io->trial = to;
    return true;
}

bool rollout_trial_wanted(const struct rollout_score *score, const struct rollout_gates *gates,
                          const struct rollout_score_device *device, int64_t now_s) {
    return gates->sham && is_member(score, device) && device->due_s > 0 &&
           device->trial == ROLLOUT_TRIAL_NONE && !is_late(gates, device->base_s, now_s);
}

bool rollout_trial_told(const struct rollout_score *score, const struct rollout_gates *gates,
                        enum bundle_event event, int64_t now_s, struct rollout_score_device *io) {
    if (!is_member(score, io))
        return false;
    if (io->trial == ROLLOUT_TRIAL_NONE && is_late(gates, io->base_s, now_s))
        return become(ROLLOUT_TRIAL_OUT, io);
    switch (event) {
    case BUNDLE_EVENT_SHAM_BEGUN:
        return become(ROLLOUT_TRIAL_BEGUN, io);
    case BUNDLE_EVENT_SHAMMED:
        return become(ROLLOUT_TRIAL_HELD, io);
    case BUNDLE_EVENT_SHAM_FAILED:
        return become(ROLLOUT_TRIAL_FAILED, io);
    case BUNDLE_EVENT_SHAM_REFUSED:
        return become(ROLLOUT_TRIAL_OUT, io);
    default:
        return false;
    }
}

bool rollout_trial_moved(const struct rollout_score *score, enum rollout_task task,
                         struct rollout_score_device *io) {
    bool began = io->trial == ROLLOUT_TRIAL_BEGUN;
    if (io->run != score->run || io->arm != ROLLOUT_ARM_TREATED)
        return false;
    switch (task) {
    case ROLLOUT_TASK_ACTIVATED:
        return become(ROLLOUT_TRIAL_BEGUN, io);
    case ROLLOUT_TASK_COMMITTED:
        return become(ROLLOUT_TRIAL_HELD, io);
    case ROLLOUT_TASK_REVERTED:
        return become(ROLLOUT_TRIAL_FAILED, io);
    case ROLLOUT_TASK_FAILED: // could not even go back; or refused it before
        return become(began ? ROLLOUT_TRIAL_FAILED : ROLLOUT_TRIAL_OUT, io);
    case ROLLOUT_TASK_LOST:
        return become(began ? ROLLOUT_TRIAL_HELD : ROLLOUT_TRIAL_OUT, io);
    default:
        return false;
    }
}

// ── Scoring ──

static bool is_over(const struct rollout_score *score, const struct rollout_gates *gates,
                    const struct rollout_score_device *treated,
                    struct rollout_score_device *const *members, size_t n, int64_t now_s) {
    bool late = is_late(gates, treated->base_s, now_s);
    if (treated->run != score->run || treated->gone)
        return true;
    if (now_s - treated->base_s >= (int64_t)(gates->horizon_s + gates->grace_s))
        return true;
    if (treated->trial == ROLLOUT_TRIAL_BEGUN && treated->outcome == ROLLOUT_OUTCOME_NONE)
        return false;
    for (size_t i = 0; i < n; i++)
        if (is_member(score, members[i]) && (members[i]->trial == ROLLOUT_TRIAL_BEGUN ||
                                             (members[i]->trial == ROLLOUT_TRIAL_NONE && !late)))
            return false;
    return true;
}

static void mark(const struct rollout_gates *gates, const struct rollout_trial *trial,
                 struct rollout_score_device *treated) {
    uint32_t bits = rollout_trial_gates(gates);
    for (size_t g = 0; g < gates->n; g++) {
        struct rollout_score_history *history = &treated->history[g];
        if (!(bits & 1U << g))
            continue;
        history->has_mark = true; // the members' come first
        history->mark[0] = (uint32_t)(trial->risk.comparison - trial->comparison);
        history->mark[1] = (uint32_t)trial->risk.treated;
        history->mark[2] = 0;
        treated->had |= 1U << g;
    }
}

// Without metrics nothing more is asked of the set: its members may have the release.
static void end_set(struct rollout_score *score, struct rollout_score_device *treated,
                    struct rollout_score_device *const *members, size_t n) {
    if (treated->due_s == 0)
        return;
    for (size_t i = 0; i < n; i++)
        members[i]->due_s = 0;
    treated->due_s = 0;
    score->sets_scored++;
}

int rollout_trial_score(struct rollout_score *score, const struct rollout_gates *gates,
                        struct rollout_score_device *treated,
                        struct rollout_score_device *const *members, size_t n, int64_t now_s,
                        struct rollout_trial *ret, struct rollout_score_news *ret_news) {
    struct rollout_trial trial = {.comparison = 0};
    memset(ret_news, 0, sizeof *ret_news);
    assert(treated->run != score->run || treated->set_no == score->next_trial);
    if (!is_over(score, gates, treated, members, n, now_s))
        return ROLLOUT_TRIAL_OPEN;
    score->next_trial++;
    ret_news->shared = ret_news->device = true;
    bool counts = treated->run == score->run && !treated->gone && rollout_trial_began(treated);
    trial.risk.treated = counts;
    trial.treated = counts && treated->trial == ROLLOUT_TRIAL_FAILED;
    for (size_t i = 0; i < n; i++) {
        bool began = is_member(score, members[i]) && rollout_trial_began(members[i]);
        trial.risk.comparison += began;
        trial.comparison += began && members[i]->trial == ROLLOUT_TRIAL_FAILED;
    }
    bool compares = trial.risk.treated > 0 && trial.risk.comparison > 0;
    for (size_t g = 0; g < gates->n && compares; g++) {
        struct evidence_risk risk = trial.risk;
        if (gates->gate[g].kind != ROLLOUT_GATE_REVERT || trial.comparison + trial.treated == 0)
            continue;
        evidence_events_add(&score->gate[g].events, &risk, trial.comparison, trial.treated);
        ret_news->gates |= 1U << g;
    }
    if (compares && trial.treated > 0)
        mark(gates, &trial, treated);
    if (!has_metrics(gates))
        end_set(score, treated, members, n);
    *ret = compares ? trial : (struct rollout_trial){.comparison = 0};
    return 0;
}

void rollout_trial_units(const struct rollout_gates *gates, const struct rollout_trial *trial,
                         const struct rollout_score_device *device,
                         struct rollout_score_news *ret) {
    memset(ret, 0, sizeof *ret);
    for (size_t g = 0; g < gates->n; g++) {
        if (gates->gate[g].kind != ROLLOUT_GATE_REVERT || device->trial != ROLLOUT_TRIAL_FAILED ||
            trial->comparison + trial->treated == 0)
            continue;
        struct rollout_score_unit *unit = &ret->units[ret->n_units++];
        unit->gate = g;
        unit->a = trial->risk.comparison;
        unit->b = trial->risk.treated;
        unit->c = device->arm == ROLLOUT_ARM_TREATED;
    }
}
