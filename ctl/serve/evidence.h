// SPDX-License-Identifier: Apache-2.0
//
// Gates of evidence in the controller: what a fleet's check-ins, reports and silence change in the
// scores of rollouts (ctl/rollout/score.h), in memory and store together, inside the transaction of
// what was reported. What is decided is ctl/rollout's; this carries it out:
//
//     a device checks in             serve_evidence_heard, then the decision
//     one that is not selected does  serve_evidence_unselected
//     it is offered the release      serve_evidence_offered
//     its task moves                 serve_evidence_moved (from serve_fleet_move)
//     a sham begins or ends           serve_evidence_shammed (from serve_fleet_report)
//     it does not take part          serve_evidence_leave
//     the progress of a rollout moved serve_evidence_follow (from serve_fleet_keep)
//     before a rollout is judged     serve_evidence_judge (from serve_fleet_advance)
//     the tick                       serve_evidence_tick
//
// In memory is only what the gates share (struct rollout_score, some 300 KB a rollout); rows of
// devices stay in the store and are read one by one, and nothing here walks a fleet. A row or a
// line is written when it changed. Rollouts without gates of evidence (score NULL) are passed over.
// The store's thread only.
#pragma once

#include "ctl/serve/fleet.h"

// Reads the score of a rollout; progress and strata are there.
int serve_evidence_load(struct store_db *db, struct serve_engine_rollout *rollout, struct err *e)
    __attribute__((nonnull));
// Whether check-ins count for its gates now.
bool serve_evidence_counts(const struct serve_engine_rollout *rollout) __attribute__((nonnull));
int serve_evidence_follow(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                          struct err *e) __attribute__((nonnull));

// Of a device that a rollout selects, as it was found for the decision.
struct serve_evidence_place {
    size_t stratum;
    size_t stage; // the first that admits it
    uint64_t rank;
    bool admitted; // within the open bound
    bool named;    // a stage names it
    bool fits;     // a bundle of the release fits it, and it does not run the release
    bool shams;    // it could be told to sham
    const struct bundle_facts *facts;
};
struct serve_evidence_standing {
    bool compared; // it is a member of an open set
    bool sham;     // and is to restart for that (ctl/rollout/trial.h)
};
// The stratum whose bounds hold for a device, *io its own: where sites are units that of the site, which
// was settled when the first of its devices was heard of. One that came with other facts since would
// be admitted while the site is not.
int serve_evidence_bounds(const struct serve_fleet *fleet,
                          const struct serve_engine_rollout *rollout, const char *device,
                          const struct bundle_facts *facts, size_t *io, struct err *e)
    __attribute__((nonnull));
int serve_evidence_heard(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                         const struct store_device *device,
                         const struct serve_evidence_place *place,
                         struct serve_evidence_standing *ret, struct err *e)
    __attribute__((nonnull));
// The rollout does not select it (any more). Who was treated, is compared, or is a member of an open
// set is heard of all the same, by the facts that it had when that was settled: what it says of itself
// now may be what the release does, and both arms are asked alike. Anybody else leaves; who was
// never heard of as one of the rollout's is none.
int serve_evidence_unselected(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                              const struct store_device *device, const struct bundle_facts *facts,
                              struct err *e) __attribute__((nonnull));
// The same without hearing of it.
int serve_evidence_compared(const struct serve_fleet *fleet,
                            const struct serve_engine_rollout *rollout, const char *device,
                            const struct bundle_facts *facts, struct serve_evidence_standing *ret,
                            struct err *e) __attribute__((nonnull));
// It is offered something by this rollout (NULL: by a pin or a baseline): it leaves the others.
int serve_evidence_offered(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                           const char *device, struct err *e) __attribute__((nonnull(1, 3, 4)));
// Its task in this rollout is what `task` says now.
int serve_evidence_moved(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                         const char *device, const struct store_device_task *task, struct err *e)
    __attribute__((nonnull));
// It gave the release up, and nobody at the controller had told it to: a bad outcome, by intention to
// treat. Before its task moves.
int serve_evidence_gave_up(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                           const char *device, struct err *e) __attribute__((nonnull));
// A device that this rollout compares others with reported a sham's event.
int serve_evidence_shammed(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                           const char *device, enum bundle_event event, struct err *e)
    __attribute__((nonnull));
// It takes part in this rollout no more (NULL: in none).
int serve_evidence_leave(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                         const char *device, struct err *e) __attribute__((nonnull(1, 3, 4)));

// Fills what the gates say into the counts that the rollout is judged by.
int serve_evidence_judge(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                         struct rollout_counts *io, struct err *e) __attribute__((nonnull));
// Keeps the verdict when the progress was stopped, or put in doubt, by it.
int serve_evidence_archive(const struct serve_fleet *fleet,
                           const struct serve_engine_rollout *rollout,
                           const struct rollout_progress *before, struct err *e)
    __attribute__((nonnull));

// Writes the pulse (ctl/rollout/pulse.h) when it is another one than before.
int serve_evidence_keep_pulse(const struct serve_fleet *fleet,
                              const struct serve_engine_rollout *rollout,
                              const struct rollout_pulse *before, struct err *e)
    __attribute__((nonnull));
// The clock was set back.
int serve_evidence_set_back(const struct serve_fleet *fleet,
                            const struct serve_engine_rollout *rollout, struct err *e)
    __attribute__((nonnull));
// Whether the fleet is silent now.
int serve_evidence_pulse(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                         bool *ret_silent, struct err *e) __attribute__((nonnull));
// Silence, devices with a try left that do not return, sets that are due, and what a rollout that
// has ended leaves behind, a slice each.
int serve_evidence_tick(const struct serve_fleet *fleet, struct serve_engine_rollout *rollout,
                        struct err *e) __attribute__((nonnull));
