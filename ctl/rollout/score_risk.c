// SPDX-License-Identifier: Apache-2.0
//
// Counting in and out.
#include "ctl/rollout/score_risk.h"

#include <assert.h>

#include "ctl/rollout/unit.h"

static bool is_event(enum rollout_gate_kind kind) {
    return rollout_score_line(kind) == EVIDENCE_LINE_EVENTS;
}

static uint64_t *side(struct evidence_risk *risk, enum rollout_arm arm) {
    return arm == ROLLOUT_ARM_TREATED ? &risk->treated : &risk->comparison;
}

uint64_t rollout_score_risk_rhythms_s(const struct rollout_gates *gates, uint64_t n) {
    return n * (gates->rhythm_s == 0 ? ROLLOUT_GATES_RHYTHM_DEFAULT_S : gates->rhythm_s);
}

int64_t rollout_score_risk_grid_s(const struct rollout_gates *gates, int64_t now_s) {
    int64_t step_s = (int64_t)(rollout_score_risk_rhythms_s(gates, 1) / ROLLOUT_SCORE_HEARD);
    return now_s - now_s % (step_s > 0 ? step_s : 1);
}

void rollout_score_risk_leave(struct rollout_score *score, uint32_t gates,
                              struct rollout_score_device *device, struct rollout_score_news *ret) {
    for (size_t g = 0; g < ROLLOUT_GATES_MAX; g++) {
        if (!(device->at_risk & gates & 1U << g))
            continue;
        uint64_t *n = side(&score->risk[g][device->stratum], device->arm);
        assert(*n > 0);
        *n -= 1;
        ret->shared = ret->device = true;
    }
    if (device->sited)
        ret->sites |= rollout_score_sites_leave(&score->sites, device->stratum, device->site,
                                                device->arm == ROLLOUT_ARM_TREATED);
    device->at_risk &= ~gates;
    device->sited = false;
}

bool rollout_score_risk_is_late(const struct rollout_score *score,
                                const struct rollout_score_device *device) {
    return score->lost_gate > 0 && device->run == score->run && device->epoch != score->epoch &&
           device->epoch >= score->first_epoch && (device->at_risk & 1U << (score->lost_gate - 1));
}

void rollout_score_risk_leave_late(struct rollout_score *score, struct rollout_score_device *device,
                                   struct rollout_score_news *ret) {
    uint32_t stratum = rollout_score_tie_stratum(score, device);
    uint64_t *n = side(&score->late[device->stratum], device->arm);
    assert(*n > 0);
    *n -= 1;
    if (device->sited)
        ret->sites |= rollout_score_sites_leave(&score->sites, stratum, device->site,
                                                device->arm == ROLLOUT_ARM_TREATED);
    device->at_risk = 0;
    device->sited = false;
    ret->shared = ret->device = true;
}

void rollout_score_risk_follow_run(const struct rollout_score *score,
                                   struct rollout_score_device *device) {
    if (device->run == score->run)
        return;
    device->run = score->run;
    device->number = 0;
    device->outcome = ROLLOUT_OUTCOME_NONE;
    device->epoch = 0;
    device->entered = device->sited = false;
    device->at_risk = device->had = 0;
    device->base_s = device->due_s = 0;
    device->set_no = 0;
    device->place = 0;
    device->trial = ROLLOUT_TRIAL_NONE;
    device->crowd = (struct rollout_score_crowd){.heard = 0};
    for (size_t g = 0; g < ROLLOUT_GATES_MAX; g++)
        device->history[g].has_mark = device->history[g].has_guard = false;
}

bool rollout_score_risk_is_new(const struct rollout_gates *gates,
                               const struct rollout_score_device *device, int64_t now_s) {
    const struct rollout_score_crowd *crowd = &device->crowd;
    bool site = rollout_unit_is_site(gates);
    // Of a run before nobody's activation is known.
    bool known = site ? device->number != 0 && crowd->based >= crowd->heard : device->base_s != 0;
    int64_t last_s = site ? crowd->based_s : device->base_s;
    return device->arm == ROLLOUT_ARM_TREATED &&
           (!known || now_s - last_s <= (int64_t)gates->settle_s);
}

static void enter_gate(struct rollout_score *score, size_t g, struct rollout_score_device *device,
                       struct rollout_score_news *ret) {
    device->at_risk |= 1U << g;
    *side(&score->risk[g][device->stratum], device->arm) += 1;
    if (device->stratum >= score->n_strata)
        score->n_strata = device->stratum + 1;
    ret->shared = ret->device = true;
}

static bool may_enter(const struct rollout_gates *gates, size_t g,
                      const struct rollout_score_checkin *checkin,
                      const struct rollout_score_device *device) {
    enum rollout_gate_kind kind = gates->gate[g].kind;
    bool counter = kind == ROLLOUT_GATE_COUNTER;
    bool at_risk = is_event(kind) && kind != ROLLOUT_GATE_REVERT; // trial.h
    return at_risk && !(device->had & 1U << g) &&
           (!counter || ((checkin->given & 1U << g) &&
                         !rollout_score_risk_is_new(gates, device, checkin->now_s)));
}

// Counters of a device that was new when it entered: it has no reading of before.
static void enter_later(struct rollout_score *score, const struct rollout_gates *gates,
                        const struct rollout_score_checkin *checkin,
                        struct rollout_score_device *device, struct rollout_score_news *ret) {
    for (size_t g = 0; g < gates->n; g++)
        if (gates->gate[g].kind == ROLLOUT_GATE_COUNTER && !device->history[g].has_last &&
            !(device->at_risk & 1U << g) && device->arm == ROLLOUT_ARM_TREATED &&
            may_enter(gates, g, checkin, device))
            enter_gate(score, g, device, ret);
}

static void enter(struct rollout_score *score, const struct rollout_gates *gates,
                  const struct rollout_score_checkin *checkin, struct rollout_score_device *device,
                  struct rollout_score_news *ret) {
    device->entered = true;
    ret->device = true;
    if (rollout_unit_is_site(gates))
        device->crowd.entered_s = checkin->now_s;
    for (size_t g = 0; g < gates->n; g++)
        if (may_enter(gates, g, checkin, device))
            enter_gate(score, g, device, ret);
    uint32_t lost = device->at_risk & rollout_score_lost_gates(gates);
    if (lost == 0)
        return;
    score->lost_gate = (uint32_t)__builtin_ctz(lost) + 1;
    uint64_t changed =
        rollout_score_sites_enter(&score->sites, device->stratum, device->site,
                                  device->arm == ROLLOUT_ARM_TREATED, checkin->now_s);
    device->sited = changed != 0;
    ret->sites |= changed;
}

void rollout_score_risk_note(struct rollout_score_news *ret, size_t gate,
                             const struct evidence_risk *before, bool treated) {
    struct rollout_score_unit *unit = &ret->units[ret->n_units++];
    unit->gate = gate;
    unit->a = before->comparison;
    unit->b = before->treated;
    unit->c = treated;
}

static uint32_t narrow(uint64_t n) {
    return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

void rollout_score_risk_mark(struct rollout_score_device *device, size_t gate, uint64_t a,
                             uint64_t b) {
    struct rollout_score_history *history = &device->history[gate];
    history->has_mark = true;
    history->mark[0] = narrow(a);
    history->mark[1] = narrow(b);
    history->mark[2] = 0;
}

void rollout_score_risk_event(struct rollout_score *score, struct rollout_score_device *device,
                              size_t gate, struct rollout_score_news *ret) {
    bool treated = device->arm == ROLLOUT_ARM_TREATED;
    struct evidence_risk *risk = &score->risk[gate][device->stratum];
    rollout_score_risk_note(ret, gate, risk, treated);
    if (treated)
        rollout_score_risk_mark(device, gate, risk->comparison, risk->treated);
    evidence_events_add(&score->gate[gate].events, risk, !treated, treated);
    device->at_risk &= ~(1U << gate);
    device->had |= 1U << gate;
    ret->device = ret->shared = true;
    ret->gates |= 1U << gate;
}

uint32_t rollout_score_risk_hear(struct rollout_score *score, const struct rollout_gates *gates,
                                 const struct rollout_score_checkin *checkin,
                                 struct rollout_score_device *device,
                                 struct rollout_score_news *ret) {
    // To a grid: who calls in bursts, as the treated do, is not held to be silent for longer than others.
    int64_t heard_s = rollout_score_risk_grid_s(gates, checkin->now_s);
    ret->device = ret->device || device->run != score->run || device->epoch != score->epoch ||
                  heard_s != device->heard_s; // beside what its device brought (score_member.h)
    rollout_score_risk_follow_run(score, device);
    if (rollout_score_risk_is_late(score, device)) {
        if (device->sited)
            ret->sites |= rollout_score_sites_hear(
                &score->sites, rollout_score_tie_stratum(score, device), device->site,
                rollout_score_risk_rhythms_s(gates, 1), checkin->now_s);
        rollout_score_risk_leave_late(score, device, ret);
    }
    uint32_t before = device->epoch == score->epoch ? device->at_risk : 0;
    if (device->arm != ROLLOUT_ARM_TREATED) {
        enum rollout_arm arm = checkin->admitted ? ROLLOUT_ARM_NONE : ROLLOUT_ARM_COMPARISON;
        // Within an epoch the bound stays, so that this is only somebody else's change of facts.
        if (before != 0 && arm != device->arm) {
            rollout_score_risk_leave(score, ROLLOUT_SCORE_RISK_ALL, device, ret);
            before = 0;
        }
        ret->device = ret->device || device->arm != arm;
        device->arm = arm;
    }
    if (device->epoch != score->epoch) {
        device->epoch = score->epoch;
        device->first_s = checkin->now_s;
        device->entered = device->sited = false;
        device->at_risk = 0;
    } else if (!device->entered && device->arm != ROLLOUT_ARM_NONE &&
               checkin->now_s - device->first_s > (int64_t)gates->settle_s)
        enter(score, gates, checkin, device, ret);
    else if (device->entered)
        enter_later(score, gates, checkin, device, ret);
    if (device->sited)
        ret->sites |=
            rollout_score_sites_hear(&score->sites, device->stratum, device->site,
                                     rollout_score_risk_rhythms_s(gates, 1), checkin->now_s);
    device->heard_s = heard_s;
    return before;
}
