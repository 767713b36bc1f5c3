// SPDX-License-Identifier: Apache-2.0
//
// What devices bring to their site.
#include "ctl/rollout/score_member.h"

#include <assert.h>
#include <string.h>

#include "ctl/rollout/score_risk.h"
#include "ctl/rollout/score_slots.h"

// ── Counted ──

void rollout_score_ballot_add(const struct rollout_gates *gates,
                              const struct rollout_score_seen *seen, int64_t now_s,
                              struct rollout_score_ballot *io) {
    io->devices++;
    io->counted += rollout_score_counts(gates, seen, now_s);
    io->named = io->named || seen->named;
}

bool rollout_score_ballot_counts(const struct rollout_score_ballot *ballot) {
    return !ballot->named && 2 * ballot->counted > ballot->devices;
}

bool rollout_score_count_ballot(const struct rollout_score *score,
                                const struct rollout_score_ballot *ballot,
                                struct rollout_score_device *io) {
    if (!rollout_score_is_asked(score, io))
        return false;
    rollout_score_risk_follow_run(score, io);
    io->counted = rollout_score_ballot_counts(ballot);
    io->epoch = io->counted ? 0 : score->epoch;
    return true;
}

// ── Check-ins ──

static bool same_seen(const struct rollout_score_seen *a, const struct rollout_score_seen *b) {
    return a->enrolled_s == b->enrolled_s && a->fits == b->fits && a->named == b->named &&
           a->apart == b->apart && a->shams == b->shams;
}

bool rollout_score_member_know(const struct rollout_score_seen *seen,
                               struct rollout_score_member *io) {
    int64_t seen_s = io->seen.seen_s;
    if (same_seen(seen, &io->seen))
        return false;
    io->seen = *seen;
    io->seen.seen_s = seen_s;
    return true;
}

static void stop_waiting(struct rollout_score *score, struct rollout_score_member *member) {
    if (member->waits && member->run == score->run) {
        assert(score->waiting > 0);
        score->waiting--;
    }
    member->waits = false;
}

// Its first check-in of a run: what an earlier one noted is spent.
static bool join(const struct rollout_score *score, struct rollout_score_member *member,
                 struct rollout_score_device *unit, struct rollout_score_news *ret) {
    rollout_score_risk_follow_run(score, unit);
    if (member->run == score->run)
        return false;
    member->run = score->run;
    member->first = member->waits = false;
    member->outcome = ROLLOUT_OUTCOME_NONE;
    member->epoch = 0;
    member->at_risk = 0;
    member->base_s = 0;
    member->idle = !member->seen.fits || member->seen.apart;
    unit->crowd.heard++;
    unit->crowd.based += member->idle;
    ret->device = true;
    return true;
}

// Silence is asked of it until its unit has had the event.
static bool wait(struct rollout_score *score, const struct rollout_gates *gates,
                 struct rollout_score_member *member, const struct rollout_score_device *unit,
                 struct rollout_score_news *ret) {
    uint32_t lost = rollout_score_lost_gates(gates);
    bool waits = lost != 0 && (unit->had & lost) == 0;
    if (waits == member->waits)
        return false;
    if (waits)
        score->waiting++;
    else
        stop_waiting(score, member);
    member->waits = waits;
    ret->shared = true;
    return true;
}

// Whether what its counters read may be its own restart.
static bool is_new(const struct rollout_gates *gates, const struct rollout_score_member *member,
                   const struct rollout_score_device *unit, int64_t now_s) {
    return unit->arm == ROLLOUT_ARM_TREATED && !member->idle &&
           (member->base_s == 0 || now_s - member->base_s <= (int64_t)gates->settle_s);
}

// at_risk: of the unit, before this check-in.
static bool count(struct rollout_score *score, const struct rollout_gates *gates,
                  const struct rollout_score_checkin *checkin, uint32_t at_risk,
                  struct rollout_score_member *member, struct rollout_score_device *unit,
                  struct rollout_score_news *ret) {
    bool new = is_new(gates, member, unit, checkin->now_s), changed = false;
    uint32_t both = at_risk & (member->epoch == score->epoch ? member->at_risk : 0);
    for (size_t g = 0; g < gates->n; g++) {
        struct rollout_score_reading *reading = &member->reading[g];
        if (gates->gate[g].kind != ROLLOUT_GATE_COUNTER || !(checkin->given & 1U << g))
            continue;
        if (!new && reading->has_last && checkin->nano[g] > reading->last_nano && (both & 1U << g))
            rollout_score_risk_event(score, unit, g, ret);
        changed =
            changed || reading->has_last == new || (!new && reading->last_nano != checkin->nano[g]);
        reading->has_last = !new;
        reading->last_nano = new ? 0 : checkin->nano[g];
    }
    return changed;
}

bool rollout_score_member_heard(struct rollout_score *score, const struct rollout_gates *gates,
                                const struct rollout_score_checkin *checkin,
                                struct rollout_score_member *member,
                                struct rollout_score_device *unit, struct rollout_score_news *ret) {
    int64_t heard_s = rollout_score_risk_grid_s(gates, checkin->now_s);
    memset(ret, 0, sizeof *ret);
    if (member->gone || unit->gone)
        return false;
    bool changed = join(score, member, unit, ret) || heard_s != member->heard_s;
    member->heard_s = member->seen.seen_s = heard_s;
    if (!unit->counted)
        return changed;
    uint32_t before = rollout_score_risk_hear(score, gates, checkin, unit, ret);
    changed = count(score, gates, checkin, before, member, unit, ret) || changed;
    changed = rollout_score_slots_join(score, gates, checkin, member, unit, ret) || changed;
    changed = wait(score, gates, member, unit, ret) || changed;
    changed = changed || member->epoch != unit->epoch || member->at_risk != unit->at_risk;
    member->epoch = unit->epoch;
    member->at_risk = unit->at_risk;
    return changed;
}

// ── What becomes of it ──

// It restarts, too.
static void stop_idling(struct rollout_score_member *member, struct rollout_score_device *unit) {
    assert(!member->idle || unit->crowd.based > 0);
    unit->crowd.based -= member->idle;
    member->idle = false;
}

void rollout_score_member_offered(struct rollout_score *score, const struct rollout_gates *gates,
                                  struct rollout_score_member *member,
                                  struct rollout_score_device *unit,
                                  struct rollout_score_news *ret) {
    memset(ret, 0, sizeof *ret);
    if (member->gone)
        return;
    bool numbered = unit->run == score->run && unit->number != 0;
    bool idle = member->idle && member->run == score->run && unit->run == score->run;
    if (idle)
        stop_idling(member, unit);
    rollout_score_offered(score, gates, unit, ret);
    member->first = member->first || (!numbered && unit->number != 0);
    ret->device = ret->device || idle;
}

void rollout_score_member_moved(struct rollout_score *score, const struct rollout_gates *gates,
                                enum rollout_outcome outcome, int64_t now_s,
                                struct rollout_score_member *member,
                                struct rollout_score_device *unit, struct rollout_score_news *ret) {
    bool bad = outcome == ROLLOUT_OUTCOME_BAD;
    memset(ret, 0, sizeof *ret);
    if (member->gone || member->run != score->run || unit->run != score->run ||
        unit->arm != ROLLOUT_ARM_TREATED)
        return;
    if (outcome != ROLLOUT_OUTCOME_NONE && member->first)
        rollout_score_outcome(score, gates, bad, unit, ret);
    if (outcome != ROLLOUT_OUTCOME_NONE && member->outcome == ROLLOUT_OUTCOME_NONE) {
        member->outcome = outcome;
        unit->crowd.resolved++;
        unit->crowd.failed += bad;
        ret->device = true;
    }
    if (member->base_s == 0) {
        stop_idling(member, unit);
        member->base_s = unit->crowd.based_s = now_s;
        unit->crowd.based++;
        ret->device = true;
    }
}

void rollout_score_member_leave(struct rollout_score *score, struct rollout_score_member *member,
                                struct rollout_score_device *unit, struct rollout_score_news *ret) {
    struct rollout_score_crowd *crowd = &unit->crowd;
    bool joined = member->run == score->run && unit->run == score->run;
    bool waited = member->waits, based = member->base_s != 0 || member->idle;
    memset(ret, 0, sizeof *ret);
    if (member->gone)
        return;
    stop_waiting(score, member);
    member->gone = true;
    if (joined) {
        assert(crowd->heard > 0 && crowd->based >= based);
        crowd->heard--;
        crowd->based -= based;
        if (member->first && unit->outcome == ROLLOUT_OUTCOME_NONE)
            unit->outcome = ROLLOUT_OUTCOME_LEFT;
        if (crowd->heard == 0)
            rollout_score_leave(score, unit, ret);
    }
    ret->device = ret->device || joined;
    ret->shared = ret->shared || waited;
}

bool rollout_score_member_lost(struct rollout_score *score, const struct rollout_gates *gates,
                               int64_t silence_s, struct rollout_score_member *member,
                               const struct rollout_score_device *unit) {
    uint32_t lost = rollout_score_lost_gates(gates);
    bool late = rollout_score_risk_is_late(score, unit);
    stop_waiting(score, member);
    return member->run == score->run && unit->run == score->run && !member->gone && lost != 0 &&
           (unit->epoch == score->epoch || late) && (unit->at_risk & lost) == lost &&
           member->heard_s + silence_s > unit->crowd.entered_s;
}

bool rollout_score_member_failed(const struct rollout_score_device *unit) {
    const struct rollout_score_crowd *crowd = &unit->crowd;
    return crowd->resolved > 0 ? 2 * crowd->failed > crowd->resolved
                               : unit->outcome == ROLLOUT_OUTCOME_BAD;
}
