// SPDX-License-Identifier: Apache-2.0
//
// How a rollout moves from stage to stage. Pure: policy, tallies and time in, progress out.
//
//   running ──all stages done──▶ finished
//     │  ▲
//     │  └─ resume (a new attempt after failed) ──┐
//     ├─ pause ──▶ paused ────────────────────────┤
//     ├─ a gate fails, on_failure pause ──▶ failed ┘
//     ├─ a gate fails, on_failure revert; or revert by hand ──▶ reverting ──all are back──▶
//     reverted └─ abort ──▶ aborted
//
// A rollout that goes back can be paused, too: nobody is told to go back any more, and nothing is
// offered. resume (or revert) goes on with going back, abort leaves devices as they are then. It
// cannot be aborted before it is paused: whoever wants to stop a bad release would keep it.
//
// After `until` nothing is offered, and no stage begins. Whoever has not activated the release by
// then is told to give it up; those in probation end it, or are lost. A stage that is complete is
// watched to its end, and finishes the rollout if it is the last one; any other rollout is aborted
// (too_late) as soon as nobody is at work on it. One that stands still is people's to end.
//
// A stage is done when each of its planned devices has an outcome (or none is to be expected, or
// has not been seen for timeout_s since the stage began), nobody is at work on the offer, its gate
// passes, and that has stayed so for soak_s. Its gate goes on judging what comes later (newcomers,
// devices that revert after all) until the rollout ends: a failure always counts.
//
// When all stages are done it finishes as soon as nobody is at work on it, of whatever stage: who was
// offered it late has an outcome, or is lost in its time. Then nobody is left that is neither.
#pragma once

#include "ctl/rollout/batch.h"
#include "ctl/rollout/evidence/combine.h"
#include "ctl/rollout/gate.h"
#include "ctl/rollout/score.h"
#include "ctl/rollout/verdict.h"

enum rollout_state {
    ROLLOUT_STATE_RUNNING,
    ROLLOUT_STATE_PAUSED,
    ROLLOUT_STATE_FAILED,
    ROLLOUT_STATE_REVERTING,
    ROLLOUT_STATE_REVERTED,
    ROLLOUT_STATE_ABORTED,
    ROLLOUT_STATE_FINISHED,
    ROLLOUT_STATES
};
enum rollout_stage_state {
    ROLLOUT_STAGE_PENDING,
    ROLLOUT_STAGE_APPROVAL,
    ROLLOUT_STAGE_RUNNING,
    ROLLOUT_STAGE_SOAKING,
    ROLLOUT_STAGE_DONE,
    ROLLOUT_STAGE_FAILED
};

struct rollout_progress {
    enum rollout_state state;
    uint64_t attempt;                             // from 1
    uint64_t stage;                               // the open one; n_stages when all are done
    uint32_t approved;                            // bit per stage
    int64_t started_s[ROLLOUT_POLICY_STAGES_MAX]; // when the stage began to offer; 0 before
    int64_t complete_s;    // since when the open stage is complete; 0 when it is not
    int64_t ended_s;       // when the state became failed, reverting, aborted, finished; else 0
    uint64_t failed_stage; // whose gate failed; n_stages none
    uint64_t gone; // reverting: of those counted as having it, these went on to another update or
                   // are out of service, and are not waited for
    struct rollout_why why;
    bool back;                   // paused while it was going back
    struct rollout_why back_why; // back: what why said until then
    struct rollout_batch batch;  // how far the open stage is open
    // With gates of evidence, else all zero.
    struct evidence_spend spend; // .runs: the run that is scored; 0 before the first stage begins
    bool stopped;                // the gates stopped this run: going on is another one
    bool doubt;                  // paused by a verdict in doubt: it is still judged
    bool silent;                 // paused because the fleet is silent: goes on when it is heard of
    uint32_t waived;             // bit per stage: a person lets it advance without evidence
    uint32_t without;            // bit per stage: it advanced without evidence
    int64_t reached_s;           // since when the open stage is complete but for its gates; 0 not
    int64_t going_s;             // since when it goes on after it stood still; 0: it never did
    int64_t paused_s;            // paused: since when; 0 else
    int64_t resumed_s;           // it went on after a pause in which nobody was heard; 0 never
    bool planned;                // it was applied with a plan: its bounds are never found anew
    // No stage begins before its time, what is held back not before [n_stages], and the rollout does
    // not finish before [n_stages + 1]; 0 none. And how a stage, or what is held back, opens. People
    // signed for that, and devices hold to it.
    int64_t not_before_s[ROLLOUT_POLICY_STAGES_MAX + 2];
    struct rollout_batch_ramp ramp[ROLLOUT_POLICY_STAGES_MAX + 1];
};

// Whether the fleet is silent (rollout_score_silent): only who looked for silent devices knows.
enum rollout_silence { ROLLOUT_SILENCE_UNKNOWN, ROLLOUT_SILENCE_HEARD, ROLLOUT_SILENCE_SILENT };

struct rollout_counts {
    const struct rollout_tally *tallies; // [stage * n_strata + stratum]
    size_t n_strata;
    uint64_t held; // of those at work on the offer: an operator holds them, so it will not go on
    int64_t now_s;
    uint64_t held_back; // known devices that the hold-back keeps (sum of the plans' held_back)
    // What the gates of evidence say; NULL: the policy has none, thresholds alone judge.
    const struct rollout_judgement *evidence;
    // What the stop rests on, when evidence->overall is FAIL. NULL: the rollout is failed as it is.
    const struct rollout_verdict *verdict;
    enum rollout_silence silence;
};

// Whether the gates may stop it as it is: it runs, or stands still in a way that evidence may end.
bool rollout_advance_judged(const struct rollout_progress *progress) __attribute__((nonnull));

// Whether check-ins are heard for the gates: while it runs, and in a pause for as long as a stage
// may wait for a verdict and what was begun before the pause takes to be seen (max_soak_s, horizon,
// grace). A rollout that somebody paused and forgot writes nothing for each check-in of its fleet.
// After a longer one silence counts from resumed_s.
bool rollout_advance_hears(const struct rollout_policy *policy,
                           const struct rollout_progress *progress, int64_t now_s)
    __attribute__((nonnull));

// Judges and moves as far as it goes. 1 when anything but the sentence in why changed.
enum { ROLLOUT_MOVED = 1 };
int rollout_advance(const struct rollout_policy *policy, const struct rollout_gate_ops *gate,
                    const struct rollout_counts *counts, struct rollout_progress *io)
    __attribute__((nonnull));

// What people may do; on failure *io is untouched and e says why not (config: no such stage to
// approve; busy never). 1 (ROLLOUT_UNCHANGED) when it was so already.
enum { ROLLOUT_UNCHANGED = 1 };
enum rollout_verb {
    ROLLOUT_VERB_APPROVE,
    ROLLOUT_VERB_PAUSE,
    ROLLOUT_VERB_RESUME,
    ROLLOUT_VERB_ABORT,
    ROLLOUT_VERB_REVERT,
    ROLLOUT_VERBS
};
// ROLLOUT_REFUSED (2) when the state does not allow it; reason says why.
enum { ROLLOUT_REFUSED = 2 };
int rollout_advance_by_hand(const struct rollout_policy *policy, enum rollout_verb verb,
                            int64_t now_s, struct rollout_progress *io, struct rollout_why *reason)
    __attribute__((nonnull));

enum rollout_stage_state rollout_advance_stage(const struct rollout_policy *policy,
                                               const struct rollout_progress *progress,
                                               size_t stage) __attribute__((nonnull));
// The share of a stage's planned devices that neither were offered the release nor needed it.
uint32_t rollout_advance_unreached_ppm(const struct rollout_tally *stage) __attribute__((nonnull));
// "running", …; static.
const char *rollout_advance_state_name(enum rollout_state state);
const char *rollout_advance_stage_name(enum rollout_stage_state state);
// Over for good: reverted, aborted, finished.
bool rollout_advance_ended(enum rollout_state state);
