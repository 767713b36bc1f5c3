// SPDX-License-Identifier: Apache-2.0
//
// What a stop rests on, asked before anything is reverted (evidence/robust.h). Given that the gates
// say stop, in this order:
//
//   control_suspect  the comparison left its own past by more than drift_ppm: what was compared with
//                    it proves nothing (not asked of installs, which are not compared)
//   one_cluster      without the devices of one cluster (a site, an enrolment token, an age) the
//                    gates would not have stopped; more than half of the devices that speak against
//                    the release are its, though at least as many treated devices are elsewhere: it
//                    is about the cluster
//   fragile          fewer than min_fragility devices decide it
//   evidence_failed  none of these: what the policy says on failure
//
// and guard_exceeded when no gate stopped it, but a guard: a bound that people set needs no
// statistics. Fragility and clusters are asked of it all the same (verdict_guard.h).
//
// The first three are doubts: the rollout pauses at once and people are asked. It goes on being
// judged while it is paused, since devices that have the release go on reporting: when the doubt is
// gone, because more devices of more clusters speak against it, it does what the policy says. At
// the instant at which evidence reaches its level one device less would often not have reached it;
// so a first crossing is usually fragile, and the outcomes that are under way decide.
//
// Units are the treated, counted devices (or sites, unit.h) of the current run: those that had an event or were in a
// set with what it added, and the others because a cluster is judged against them. Whoever calls
// names clusters by small numbers; one without a site, say, is a cluster of its own kind.
#pragma once

#include "base/err.h"
#include "ctl/rollout/evidence/robust.h"
#include "ctl/rollout/score.h"
#include "ctl/rollout/why.h"

enum rollout_cluster {
    ROLLOUT_CLUSTER_SITE,
    ROLLOUT_CLUSTER_TOKEN, // it enrolled with
    ROLLOUT_CLUSTER_AGE,   // when it enrolled, by the week
    ROLLOUT_CLUSTERS
};

struct rollout_unit {
    bool numbered; // it counts for the install gate
    enum rollout_outcome outcome;
    uint32_t marked;                     // bit per gate
    uint32_t mark[ROLLOUT_GATES_MAX][3]; // score.h
    uint32_t guarded;                    // bit per gate: it is in the guard's mean, with
    int64_t guard_nano[ROLLOUT_GATES_MAX];
    uint32_t cluster[ROLLOUT_CLUSTERS]; // below n_clusters
};

// "device", or "site" where sites are counted: what a verdict rests on. Static.
const char *rollout_verdict_unit_name(const struct rollout_gates *gates) __attribute__((nonnull));
// All of a unit but its clusters; false when the device is none (not treated, not counted, gone, or
// of another run).
bool rollout_verdict_unit(const struct rollout_score *score, const struct rollout_gates *gates,
                          const struct rollout_score_device *device, struct rollout_unit *ret)
    __attribute__((nonnull));

struct rollout_verdict_case {
    const struct rollout_gates *gates;
    const struct rollout_score *score;
    const struct rollout_judgement *judgement; // of this score; overall is FAIL
    uint32_t alpha_ppm;
    const struct rollout_unit *units;
    size_t n_units;
    size_t n_clusters[ROLLOUT_CLUSTERS]; // 0: not asked
};

struct rollout_verdict {
    struct rollout_why
        why;    // code as above; a sentence with the gate, the odds and what it rests on
    bool doubt; // pause and ask
    bool guard;
    enum evidence_line line; // that stopped it
    size_t gate;             // of it that says most, or whose guard it is
    int64_t log, level;      // ln of the line's weighted sum, and what it has to reach
    int64_t drift;
    size_t fragility; // devices
    bool alone;       // one cluster alone:
    enum rollout_cluster kind;
    uint32_t cluster;
    size_t cluster_units; // of it that speak against the release
};

// Kinds: limit, memory.
int rollout_verdict_find(const struct rollout_verdict_case *of, struct rollout_verdict *ret,
                         struct err *e) __attribute__((nonnull));
// "site", "token", "age"; static.
const char *rollout_verdict_cluster_name(enum rollout_cluster kind);
// "1 : 40" for people: the odds of an e-value, from its ln; at most two digits after a point.
#define ROLLOUT_VERDICT_ODDS_BYTES 32
char *rollout_verdict_odds(int64_t log, char ret[static ROLLOUT_VERDICT_ODDS_BYTES]);
