// SPDX-License-Identifier: Apache-2.0
//
// Devices that are not heard of any more, and the fleet that is not.
#include <assert.h>
#include <string.h>

#include "ctl/rollout/score.h"
#include "ctl/rollout/score_risk.h"
#include "ctl/rollout/unit.h"

int64_t rollout_score_silence_s(const struct rollout_policy *policy) {
    uint64_t rhythms = rollout_score_risk_rhythms_s(&policy->gates, ROLLOUT_SCORE_SILENCE);
    return (int64_t)(policy->timeout_s > rhythms ? policy->timeout_s : rhythms);
}

uint32_t rollout_score_lost_gates(const struct rollout_gates *gates) {
    uint32_t bits = 0;
    for (size_t g = 0; g < gates->n; g++)
        if (gates->gate[g].kind == ROLLOUT_GATE_LOST)
            bits |= 1U << g;
    return bits;
}

struct evidence_risk rollout_score_at_risk(const struct rollout_score *score, size_t gate) {
    struct evidence_risk all = {0};
    assert(gate < ROLLOUT_GATES_MAX);
    for (size_t s = 0; s < score->n_strata; s++) {
        all.comparison += score->risk[gate][s].comparison;
        all.treated += score->risk[gate][s].treated;
    }
    for (size_t s = 0; gate + 1 == score->lost_gate && s < score->n_strata; s++) {
        all.comparison += score->late[s].comparison;
        all.treated += score->late[s].treated;
    }
    return all;
}

bool rollout_score_silent(const struct rollout_score *score, const struct rollout_gates *gates,
                          uint64_t silent) {
    uint32_t lost = rollout_score_lost_gates(gates);
    if (lost == 0 || silent < ROLLOUT_SCORE_SILENT_MIN)
        return false;
    if (rollout_unit_is_site(gates))
        return silent > score->waiting / 2;
    struct evidence_risk all = rollout_score_at_risk(score, (size_t)__builtin_ctz(lost));
    return silent > (all.comparison + all.treated) / 2;
}

uint32_t rollout_score_tie_stratum(const struct rollout_score *score,
                                   const struct rollout_score_device *device) {
    return device->stratum + (device->epoch == score->epoch ? 0 : ROLLOUT_SCORE_SITE_LATE);
}

uint64_t rollout_score_tie_site(const struct rollout_score *score,
                                const struct rollout_score_device *device) {
    return device->sited
               ? rollout_score_sites_group(&score->sites, rollout_score_tie_stratum(score, device),
                                           device->site)
               : 0;
}

// At risk in the tie's cell, or in what has none of its own.
static struct evidence_risk risk_of(const struct rollout_score *score, size_t gate,
                                    const struct rollout_score_tie *tie) {
    if (tie->site != 0)
        return rollout_score_sites_find(&score->sites, tie->stratum, tie->site)->risk;
    struct evidence_risk apart = rollout_score_sites_apart(&score->sites, tie->stratum);
    struct evidence_risk risk = tie->stratum < ROLLOUT_SCORE_SITE_LATE
                                    ? score->risk[gate][tie->stratum]
                                    : score->late[tie->stratum - ROLLOUT_SCORE_SITE_LATE];
    assert(apart.comparison <= risk.comparison && apart.treated <= risk.treated);
    risk.comparison -= apart.comparison;
    risk.treated -= apart.treated;
    return risk;
}

static bool is_dark(const struct rollout_score *score, const struct rollout_gates *gates,
                    const struct rollout_score_tie *tie) {
    return tie->site != 0 &&
           rollout_score_sites_find(&score->sites, tie->stratum, tie->site)->heard_s <=
               tie->before_s + (int64_t)rollout_score_risk_rhythms_s(gates, 1);
}

void rollout_score_lose(struct rollout_score *score, const struct rollout_gates *gates,
                        struct rollout_score_tie *io, struct rollout_score_news *ret) {
    uint32_t lost = rollout_score_lost_gates(gates);
    memset(ret, 0, sizeof *ret);
    assert(io->stratum < 2 * ROLLOUT_SCORE_SITE_LATE);
    io->marked = 0;
    io->before = (struct evidence_risk){0};
    io->dark = is_dark(score, gates, io);
    if (io->dark)
        return;
    for (size_t g = 0; g < gates->n; g++) {
        if (!(lost & 1U << g))
            continue;
        struct evidence_risk risk = io->before = risk_of(score, g, io);
        evidence_events_add(&score->gate[g].events, &risk, io->comparison, io->treated);
    }
    ret->gates = lost;
}

static void note_loss(const struct rollout_gates *gates, uint32_t lost,
                      struct rollout_score_tie *tie, struct rollout_score_device *device,
                      struct rollout_score_news *ret) {
    bool treated = device->arm == ROLLOUT_ARM_TREATED;
    for (size_t g = 0; g < gates->n; g++) {
        if (!(lost & 1U << g))
            continue;
        rollout_score_risk_note(ret, g, &tie->before, treated);
        if (treated) // the comparison's come first
            rollout_score_risk_mark(device, g, tie->before.comparison - tie->comparison,
                                    tie->before.treated - tie->marked);
    }
    tie->marked += treated;
    device->had |= lost;
}

void rollout_score_lost(struct rollout_score *score, const struct rollout_gates *gates,
                        struct rollout_score_tie *tie, struct rollout_score_device *device,
                        struct rollout_score_news *ret) {
    uint32_t lost = rollout_score_lost_gates(gates);
    memset(ret, 0, sizeof *ret);
    assert(rollout_score_tie_stratum(score, device) == tie->stratum);
    assert((device->at_risk & lost) == lost);
    if (tie->dark)
        device->entered = false;
    else
        note_loss(gates, lost, tie, device, ret);
    if (rollout_score_risk_is_late(score, device))
        rollout_score_risk_leave_late(score, device, ret);
    else
        rollout_score_risk_leave(score, rollout_unit_is_site(gates) ? lost : ROLLOUT_SCORE_RISK_ALL,
                                 device, ret);
    ret->device = true;
}
