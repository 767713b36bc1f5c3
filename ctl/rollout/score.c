// SPDX-License-Identifier: Apache-2.0
//
// Openings, check-ins, offers, outcomes.
#include "ctl/rollout/score.h"

#include <assert.h>
#include <string.h>

#include "ctl/rollout/score_risk.h"
#include "ctl/rollout/score_slots.h"

// ── Openings ──

static void begin_run(uint32_t run, struct rollout_score *io) {
    uint64_t number = io->next_number == 0 ? 1 : io->next_number;
    uint64_t set = io->next_set == 0 ? 1 : io->next_set;
    memset(io, 0, sizeof *io);
    io->run = run;
    io->first_number = io->next_number = io->prefix = number;
    io->first_set = io->next_set = io->next_trial = set;
}

bool rollout_score_follow(uint32_t run, uint64_t number, struct rollout_score *io) {
    bool other = run != io->run;
    if (other)
        begin_run(run, io);
    else if (number == io->epoch)
        return false;
    if (other)
        io->first_epoch = number;
    for (size_t s = 0; io->lost_gate > 0 && s < io->n_strata; s++) {
        io->late[s].comparison += io->risk[io->lost_gate - 1][s].comparison;
        io->late[s].treated += io->risk[io->lost_gate - 1][s].treated;
    }
    io->epoch = number;
    memset(io->risk, 0, sizeof io->risk);
    if (other)
        rollout_score_sites_open(number, &io->sites);
    else
        rollout_score_sites_next(number, &io->sites);
    return true;
}

// ── Devices ──

bool rollout_score_counts(const struct rollout_gates *gates, const struct rollout_score_seen *seen,
                          int64_t now_s) {
    return seen->fits && !seen->named && !seen->apart && (!gates->sham || seen->shams) &&
           now_s - seen->enrolled_s > (int64_t)gates->newcomer_s && seen->seen_s > 0 &&
           now_s - seen->seen_s <=
               (int64_t)rollout_score_risk_rhythms_s(gates, ROLLOUT_SCORE_RHYTHMS);
}

void rollout_score_device_init(const struct rollout_score *score, uint32_t stratum, uint32_t stage,
                               uint64_t rank, bool counted, struct rollout_score_device *ret) {
    assert(stratum < BUNDLE_STRATA_MAX);
    memset(ret, 0, sizeof *ret);
    ret->run = score->run;
    ret->counted = counted;
    ret->epoch = counted ? 0 : score->epoch; // it was asked in this one
    ret->stratum = stratum;
    ret->stage = stage;
    ret->rank = rank;
}

bool rollout_score_is_asked(const struct rollout_score *score,
                            const struct rollout_score_device *device) {
    bool asked = device->run == score->run && device->epoch == score->epoch;
    return !device->counted && !device->gone && device->arm != ROLLOUT_ARM_TREATED && !asked;
}

bool rollout_score_count_again(const struct rollout_score *score, const struct rollout_gates *gates,
                               const struct rollout_score_seen *seen, int64_t now_s,
                               struct rollout_score_device *io) {
    if (!rollout_score_is_asked(score, io))
        return false;
    rollout_score_risk_follow_run(score, io);
    io->counted = rollout_score_counts(gates, seen, now_s);
    io->epoch = io->counted ? 0 : score->epoch;
    return true;
}

// Readings of counters: an increase is the event of a device that was at risk before it.
static void count(struct rollout_score *score, const struct rollout_gates *gates,
                  const struct rollout_score_checkin *checkin, uint32_t at_risk,
                  struct rollout_score_device *device, struct rollout_score_news *ret) {
    for (size_t g = 0; g < gates->n; g++) {
        struct rollout_score_history *history = &device->history[g];
        if (gates->gate[g].kind != ROLLOUT_GATE_COUNTER || !(checkin->given & 1U << g))
            continue;
        if (rollout_score_risk_is_new(gates, device, checkin->now_s)) {
            ret->device = ret->device || history->has_last;
            history->has_last = false;
            continue;
        }
        bool more = history->has_last && checkin->nano[g] > history->last_nano;
        if (more && (at_risk & 1U << g))
            rollout_score_risk_event(score, device, g, ret);
        ret->device = ret->device || !history->has_last || history->last_nano != checkin->nano[g];
        history->has_last = true;
        history->last_nano = checkin->nano[g];
    }
}

void rollout_score_heard(struct rollout_score *score, const struct rollout_gates *gates,
                         const struct rollout_score_checkin *checkin,
                         struct rollout_score_device *device, struct rollout_score_news *ret) {
    memset(ret, 0, sizeof *ret);
    if (!device->counted || device->gone)
        return;
    uint32_t before = rollout_score_risk_hear(score, gates, checkin, device, ret);
    count(score, gates, checkin, before, device, ret);
    rollout_score_slots_hear(score, gates, checkin, device, ret);
}

void rollout_score_offered(struct rollout_score *score, const struct rollout_gates *gates,
                           struct rollout_score_device *device, struct rollout_score_news *ret) {
    memset(ret, 0, sizeof *ret);
    rollout_score_risk_follow_run(score, device);
    if (device->epoch == score->epoch && device->arm != ROLLOUT_ARM_TREATED)
        rollout_score_risk_leave(score, ROLLOUT_SCORE_RISK_ALL, device, ret);
    if (rollout_score_risk_is_late(score, device) && device->arm != ROLLOUT_ARM_TREATED)
        rollout_score_risk_leave_late(score, device, ret);
    ret->device = device->arm != ROLLOUT_ARM_TREATED || (device->counted && device->number == 0);
    device->arm = ROLLOUT_ARM_TREATED;
    if (device->counted && !device->gone && device->number == 0) {
        device->number = score->next_number++;
        rollout_score_slots_freeze(gates, device->heard_s, device);
        ret->shared = true;
    }
}

static size_t install_gate(const struct rollout_gates *gates) {
    size_t g = 0;
    while (g < gates->n && gates->gate[g].kind != ROLLOUT_GATE_INSTALL)
        g++;
    return g;
}

void rollout_score_outcome(struct rollout_score *score, const struct rollout_gates *gates, bool bad,
                           struct rollout_score_device *device, struct rollout_score_news *ret) {
    size_t gate = install_gate(gates);
    memset(ret, 0, sizeof *ret);
    if (device->run != score->run || device->number == 0 || device->outcome != ROLLOUT_OUTCOME_NONE)
        return;
    device->outcome = bad ? ROLLOUT_OUTCOME_BAD : ROLLOUT_OUTCOME_GOOD;
    score->known_resolved++;
    score->known_failed += bad;
    ret->device = ret->shared = true;
    if (bad && gate < gates->n)
        ret->gates = 1U << gate;
}

void rollout_score_install_next(struct rollout_score *score, const struct rollout_gates *gates,
                                enum rollout_outcome outcome, struct rollout_score_news *ret) {
    size_t gate = install_gate(gates);
    memset(ret, 0, sizeof *ret);
    assert(score->prefix < score->next_number && outcome != ROLLOUT_OUTCOME_NONE);
    score->prefix++;
    ret->shared = true;
    if (gate == gates->n || outcome == ROLLOUT_OUTCOME_LEFT)
        return;
    evidence_install_add(&score->gate[gate].install, outcome == ROLLOUT_OUTCOME_BAD);
    ret->gates = 1U << gate;
}

void rollout_score_leave(struct rollout_score *score, struct rollout_score_device *device,
                         struct rollout_score_news *ret) {
    memset(ret, 0, sizeof *ret);
    if (device->run == score->run && device->epoch == score->epoch)
        rollout_score_risk_leave(score, ROLLOUT_SCORE_RISK_ALL, device, ret);
    if (rollout_score_risk_is_late(score, device))
        rollout_score_risk_leave_late(score, device, ret);
    ret->device = ret->device || !device->gone;
    device->gone = true;
    if (device->number != 0 && device->outcome == ROLLOUT_OUTCOME_NONE)
        device->outcome = ROLLOUT_OUTCOME_LEFT;
}
