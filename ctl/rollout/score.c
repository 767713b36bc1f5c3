// SPDX-License-Identifier: Apache-2.0
//
// Who is at risk, who has had an event, who has an outcome.
#include "ctl/rollout/score.h"

#include <assert.h>
#include <string.h>

#include "ctl/rollout/score_slots.h"

static bool is_event(enum rollout_gate_kind kind) {
    return rollout_score_line(kind) == EVIDENCE_LINE_EVENTS;
}

static uint64_t *side(struct evidence_risk *risk, enum rollout_arm arm) {
    return arm == ROLLOUT_ARM_TREATED ? &risk->treated : &risk->comparison;
}

static uint64_t rhythms_s(const struct rollout_gates *gates, uint64_t n) {
    return n * (gates->rhythm_s == 0 ? ROLLOUT_GATES_RHYTHM_DEFAULT_S : gates->rhythm_s);
}

// Counted out of every gate's risk set.
static void leave_risk(struct rollout_score *score, struct rollout_score_device *device,
                       struct rollout_score_news *ret) {
    for (size_t g = 0; g < ROLLOUT_GATES_MAX; g++) {
        if (!(device->at_risk & 1U << g))
            continue;
        uint64_t *n = side(&score->risk[g][device->stratum], device->arm);
        assert(*n > 0);
        *n -= 1;
        ret->shared = ret->device = true;
    }
    if (device->sited)
        ret->sites |= rollout_score_sites_leave(&score->sites, device->stratum, device->site,
                                                device->arm == ROLLOUT_ARM_TREATED);
    device->at_risk = 0;
    device->sited = false;
}

// At risk of being lost since an epoch before, and not heard of since.
static bool is_late(const struct rollout_score *score, const struct rollout_score_device *device) {
    return score->lost_gate > 0 && device->run == score->run && device->epoch != score->epoch &&
           device->epoch >= score->first_epoch && (device->at_risk & 1U << (score->lost_gate - 1));
}

static void leave_late(struct rollout_score *score, struct rollout_score_device *device,
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
           now_s - seen->seen_s <= (int64_t)rhythms_s(gates, ROLLOUT_SCORE_RHYTHMS);
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

// What an earlier run noted is spent; who has the release still has it, and readings go on.
static void follow_run(const struct rollout_score *score, struct rollout_score_device *device) {
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
    for (size_t g = 0; g < ROLLOUT_GATES_MAX; g++)
        device->history[g].has_mark = device->history[g].has_guard = false;
}

bool rollout_score_count_again(const struct rollout_score *score, const struct rollout_gates *gates,
                               const struct rollout_score_seen *seen, int64_t now_s,
                               struct rollout_score_device *io) {
    bool asked = io->run == score->run && io->epoch == score->epoch;
    if (io->counted || io->gone || io->arm == ROLLOUT_ARM_TREATED || asked)
        return false;
    follow_run(score, io);
    io->counted = rollout_score_counts(gates, seen, now_s);
    io->epoch = io->counted ? 0 : score->epoch;
    return true;
}

// A treated device whose activation is not known, or too new: what a counter reads may be the restart.
static bool is_new(const struct rollout_gates *gates, const struct rollout_score_device *device,
                   int64_t now_s) {
    return device->arm == ROLLOUT_ARM_TREATED &&
           (device->base_s == 0 || now_s - device->base_s <= (int64_t)gates->settle_s);
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
           (!counter || ((checkin->given & 1U << g) && !is_new(gates, device, checkin->now_s)));
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

static void note_unit(struct rollout_score_news *ret, size_t gate,
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

static void mark(struct rollout_score_device *device, size_t gate, uint64_t a, uint64_t b) {
    struct rollout_score_history *history = &device->history[gate];
    history->has_mark = true;
    history->mark[0] = narrow(a);
    history->mark[1] = narrow(b);
    history->mark[2] = 0;
}

static void have_event(struct rollout_score *score, struct rollout_score_device *device,
                       size_t gate, struct rollout_score_news *ret) {
    bool treated = device->arm == ROLLOUT_ARM_TREATED;
    struct evidence_risk *risk = &score->risk[gate][device->stratum];
    note_unit(ret, gate, risk, treated);
    if (treated)
        mark(device, gate, risk->comparison, risk->treated);
    evidence_events_add(&score->gate[gate].events, risk, !treated, treated);
    device->at_risk &= ~(1U << gate);
    device->had |= 1U << gate;
    ret->device = ret->shared = true;
    ret->gates |= 1U << gate;
}

// Readings of counters: an increase is the event of a device that was at risk before it.
static void count(struct rollout_score *score, const struct rollout_gates *gates,
                  const struct rollout_score_checkin *checkin, uint32_t at_risk,
                  struct rollout_score_device *device, struct rollout_score_news *ret) {
    for (size_t g = 0; g < gates->n; g++) {
        struct rollout_score_history *history = &device->history[g];
        if (gates->gate[g].kind != ROLLOUT_GATE_COUNTER || !(checkin->given & 1U << g))
            continue;
        if (is_new(gates, device, checkin->now_s)) {
            ret->device = ret->device || history->has_last;
            history->has_last = false;
            continue;
        }
        bool more = history->has_last && checkin->nano[g] > history->last_nano;
        if (more && (at_risk & 1U << g))
            have_event(score, device, g, ret);
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
    // To a grid: who calls in bursts, as the treated do, is not held to be silent for longer than others.
    int64_t step_s = (int64_t)(rhythms_s(gates, 1) / ROLLOUT_SCORE_HEARD);
    int64_t heard_s = checkin->now_s - checkin->now_s % (step_s > 0 ? step_s : 1);
    ret->device =
        device->run != score->run || device->epoch != score->epoch || heard_s != device->heard_s;
    follow_run(score, device);
    if (is_late(score, device)) {
        if (device->sited)
            ret->sites |=
                rollout_score_sites_hear(&score->sites, rollout_score_tie_stratum(score, device),
                                         device->site, rhythms_s(gates, 1), checkin->now_s);
        leave_late(score, device, ret);
    }
    uint32_t before = device->epoch == score->epoch ? device->at_risk : 0;
    if (device->arm != ROLLOUT_ARM_TREATED) {
        enum rollout_arm arm = checkin->admitted ? ROLLOUT_ARM_NONE : ROLLOUT_ARM_COMPARISON;
        // Within an epoch the bound stays, so that this is only somebody else's change of facts.
        if (before != 0 && arm != device->arm) {
            leave_risk(score, device, ret);
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
        ret->sites |= rollout_score_sites_hear(&score->sites, device->stratum, device->site,
                                               rhythms_s(gates, 1), checkin->now_s);
    count(score, gates, checkin, before, device, ret);
    rollout_score_slots_hear(score, gates, checkin, device, ret);
    device->heard_s = heard_s;
}

void rollout_score_offered(struct rollout_score *score, const struct rollout_gates *gates,
                           struct rollout_score_device *device, struct rollout_score_news *ret) {
    memset(ret, 0, sizeof *ret);
    follow_run(score, device);
    if (device->epoch == score->epoch && device->arm != ROLLOUT_ARM_TREATED)
        leave_risk(score, device, ret);
    if (is_late(score, device) && device->arm != ROLLOUT_ARM_TREATED)
        leave_late(score, device, ret);
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
        leave_risk(score, device, ret);
    if (is_late(score, device))
        leave_late(score, device, ret);
    ret->device = ret->device || !device->gone;
    device->gone = true;
    if (device->number != 0 && device->outcome == ROLLOUT_OUTCOME_NONE)
        device->outcome = ROLLOUT_OUTCOME_LEFT;
}

// ── Silence ──

int64_t rollout_score_silence_s(const struct rollout_policy *policy) {
    uint64_t rhythms = rhythms_s(&policy->gates, ROLLOUT_SCORE_SILENCE);
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
               tie->before_s + (int64_t)rhythms_s(gates, 1);
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
        note_unit(ret, g, &tie->before, treated);
        if (treated) // the comparison's come first
            mark(device, g, tie->before.comparison - tie->comparison,
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
    if (is_late(score, device))
        leave_late(score, device, ret);
    else
        leave_risk(score, device, ret);
    ret->device = true;
}
