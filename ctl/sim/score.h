// SPDX-License-Identifier: Apache-2.0
//
// The caller of ctl/rollout/score.h in the simulator: it loads and keeps the structs in arrays, draws
// who is compared, walks the sets that are due, and feeds outcomes in the order of their numbers. The
// play in score.h is its specification; nothing here decides.
//
// Rows are made with the rollout (about 10 KiB a device), so there are none without gates.
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "ctl/rollout/advance.h"
#include "ctl/rollout/score_member.h"
#include "ctl/sim/world.h"

struct sim_score_set {
    uint32_t treated;
    uint32_t n;
    uint32_t members[EVIDENCE_RANK_COMPARED_MAX]; // units, highest rank first
};

struct sim_score {
    const struct sim_world *world;            // borrowed
    const struct rollout_policy *policy;      // borrowed
    const struct rollout_stratum_plan *plans; // borrowed; the bounds
    struct rollout_score score;
    struct rollout_score_device *devices; // by unit: a device, or the first device of a site
    bool *made;                           // which rows there are
    // Where sites are units, of each device; else NULL.
    struct rollout_score_member *members;
    bool *joined;    // which of them there are
    uint32_t *next;  // the next device of its site
    uint32_t *leads; // by unit: the device that was offered the release first
    size_t *metric;  // of the fleet, by gate; n_metrics: it has none by that name
    // Known units by stratum, the highest rank first; where drawing begins.
    uint32_t *order;
    size_t first[BUNDLE_STRATA_MAX + 1], cursor[BUNDLE_STRATA_MAX];
    uint32_t *by_number; // unit, by number
    size_t numbers_capacity;
    struct sim_score_set *sets; // by set number
    size_t sets_capacity;
    uint32_t *due; // treated units in the order in which their sets are due
    size_t n_due, next_due, due_capacity;
    bool is_dirty; // evidence changed since the last judgement
    bool has_verdict;
    struct rollout_judgement judgement;
    struct rollout_verdict verdict;
};

// What is known of a device at a check-in.
struct sim_score_seen {
    struct rollout_score_seen seen;
    struct rollout_score_checkin checkin;
    uint32_t stage;
    uint64_t rank;
};

// NULL is not returned: *ret is the caller's (sim_score_close). Kind memory.
int sim_score_open(const struct sim_world *world, const struct rollout_stratum_plan *plans,
                   struct sim_score **ret, struct err *e) __attribute__((nonnull));
void sim_score_close(struct sim_score *score);
// The rollout begins: members are the known devices that it selects, with their ranks.
int sim_score_begin(struct sim_score *score, const uint32_t *members, const uint64_t *ranks,
                    size_t n, struct err *e) __attribute__((nonnull(1, 5)));
// Progress changed.
void sim_score_follow(struct sim_score *score, const struct rollout_progress *progress)
    __attribute__((nonnull));
// A check-in, after its reports.
void sim_score_heard(struct sim_score *score, size_t device, const struct sim_score_seen *seen)
    __attribute__((nonnull));
// It is offered the release.
int sim_score_offered(struct sim_score *score, size_t device, struct err *e)
    __attribute__((nonnull));
// Its task became this one; will_retry: a failure that is tried again. Kinds: memory.
int sim_score_became(struct sim_score *score, const struct rollout_progress *progress,
                     size_t device, enum rollout_task task, bool will_retry, int64_t now_s,
                     struct err *e) __attribute__((nonnull));
// The treated device whose outcome the install gate waits for; false when it waits for none.
bool sim_score_awaits(const struct sim_score *score, size_t *ret_device) __attribute__((nonnull));
// A device that is compared reported a sham's event.
void sim_score_shammed(struct sim_score *score, size_t device, enum bundle_event event,
                       int64_t now_s) __attribute__((nonnull));
// Whether the device is to be told to sham.
bool sim_score_wants_sham(const struct sim_score *score, size_t device, int64_t now_s)
    __attribute__((nonnull));
// Sets whose time has come.
void sim_score_due(struct sim_score *score, int64_t now_s) __attribute__((nonnull));
// When the device is lost to the gates if nothing more is heard of it; INT64_MAX when its silence
// means nothing to them.
int64_t sim_score_deadline_s(const struct sim_score *score, size_t device) __attribute__((nonnull));
// Devices that were silent for too long, n of them: scored as lost, or none of them is because the
// fleet is silent (ROLLOUT_SILENCE_SILENT). Sorts them.
enum rollout_silence sim_score_silence(struct sim_score *score, uint32_t *devices, size_t n,
                                       int64_t now_s) __attribute__((nonnull(1)));
// The judgement, made anew when evidence changed; and what a stop rests on, NULL when there is none.
const struct rollout_judgement *sim_score_judge(struct sim_score *score,
                                                const struct rollout_progress *progress)
    __attribute__((nonnull));
const struct rollout_verdict *sim_score_verdict(struct sim_score *score,
                                                const struct rollout_progress *progress,
                                                struct err *e) __attribute__((nonnull));
// Whether the device is in an open set, to be compared.
bool sim_score_is_compared(const struct sim_score *score, size_t device) __attribute__((nonnull));

// Everything that is durable as lines of text; and a score that is read from them in place of what
// is there. Kinds: limit, memory, syntax.
int sim_score_save(const struct sim_score *score, struct buf *ret, struct err *e)
    __attribute__((nonnull));
int sim_score_load(struct sim_score *score, const char *text, struct err *e)
    __attribute__((nonnull));
