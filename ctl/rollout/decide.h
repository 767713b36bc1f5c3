// SPDX-License-Identifier: Apache-2.0
//
// What to tell one device, given what it said and everything that may concern it. Pure: whoever
// calls has evaluated selectors, strata and variants, and looks up nothing here. In order:
//
//   0. it seems to be two devices that share an identity: nothing until a person decided;
//   1. an update that is under way: go on, wait, or give it up (as one that is not activated yet is
//      by a device that was pinned to something else);
//   2. a rollout that goes back, and of which the device has the release: revert;
//   3. held: nothing. Pinned: the pinned release;
//   4. rollouts, by priority, then the older one first: the first one that has something for it. Of
//      two for a release of the same name the newer one alone is responsible
//      (rollout_decide_superseded);
//   5. a comparison: what it runs is restarted as the release was elsewhere (trial.h);
//   6. baselines: what finished rollouts left behind, at a limited rate.
//
// There is always a why.
#pragma once

#include "bundle/instruction.h"
#include "ctl/rollout/advance.h"

enum rollout_action {
    ROLLOUT_ACTION_NONE,
    ROLLOUT_ACTION_INSTALL,
    ROLLOUT_ACTION_ACTIVATE,
    ROLLOUT_ACTION_CANCEL,
    ROLLOUT_ACTION_REVERT,
    ROLLOUT_ACTION_SHAM
};

// A release as this device would get it.
struct rollout_fit {
    bool published;            // any bundle of the release is there
    bool fits;                 // one fits the device: bundle says which
    struct keys_digest bundle; // manifest id
    bool runs;                 // the device reports that it runs the release
    const char *reason;        // why none fits; borrowed
};

// A rollout that has not ended, or has ended by going back, and whose selector and scope hold for
// the device (or of which it is a part already). And those that finished after an older one began
// that has not.
#define ROLLOUT_MANDATE_MISSING (-1)

struct rollout_candidate {
    const struct rollout_policy *policy;
    const struct rollout_progress *progress;
    bool selected;       // selector and scope hold now
    size_t stage;        // the first that admits it; n_stages: none
    uint64_t unresolved; // devices at work on the rollout now
    struct rollout_fit fit;
    // What it counts as there while its task is another one's; NONE nothing.
    enum rollout_task aside;
    uint64_t aside_attempt;
    int64_t aside_since_s;
    const char *aside_code; // what the failure was reported with; NULL or "" unknown
    // Where its rank is (batch.h). OPEN also for a device that the stage names.
    enum rollout_admission admission;
    bool compared; // it is in an open set (score.h: place > 0, due_s > 0)
    bool sham;     // and is to restart as the treated device did (trial.h): what it runs, by
    struct keys_digest sham_bundle; // the bundle that the release would take the place of
    const char *stone; // a stepping stone that it has not run, "NAME VERSION"; NULL: none
    bool went_back;    // another rollout told it to go back from this release before
    // Until when what people signed for holds (bundle/mandate.h); 0: nothing has to be signed,
    // ROLLOUT_MANDATE_MISSING: nobody signed. Devices would refuse what is offered then.
    int64_t mandate_ends_s;
    bool revert_full; // as many as revert_rate allows were told to go back
    bool offer_full;  // as many as offer_rate allows were offered it
};

// A finished rollout's release (the newest of its name whose selector holds), or the pinned one.
struct rollout_target {
    const char *release_name;
    const char *release_version;
    struct rollout_fit fit;
    int64_t mandate_ends_s; // as of a candidate
};

// What the controller remembers of the device's last update, and what the device says now.
struct rollout_device {
    // remembered
    const char *rollout; // "" a baseline or pin; with task NONE nothing
    uint64_t attempt;
    enum rollout_task task;
    struct keys_digest bundle;
    bool held;
    bool cloned;             // two devices seem to share its identity
    uint64_t direct_attempt; // of offers without a rollout; rises when a person pins again
    int64_t since_s;         // when the task became what it is
    const char *code;        // what a failure was reported with; NULL or "" unknown
    // said
    bool updating; // an update is under way
    const char *update_rollout;
    uint64_t update_attempt;
    struct keys_digest update_bundle;
    bool look;       // asks whether it may activate
    bool probation;  // the update was swapped in
    bool going_back; // is going back to the previous generation already
    bool shamming;   // restarts, or is watched after it, for a comparison
};

struct rollout_inputs {
    struct rollout_device device;
    const struct rollout_candidate *candidates; // newest first
    size_t n_candidates;
    const struct rollout_target *pin; // NULL: not pinned
    const struct rollout_target *baselines;
    size_t n_baselines;
    bool baseline_allowed; // the rate limit has room
    int64_t now_s;
};

#define ROLLOUT_DECIDE_NO_CANDIDATE SIZE_MAX

struct rollout_decision {
    enum rollout_action action;
    size_t
        candidate; // the one that acts or marks; ROLLOUT_DECIDE_NO_CANDIDATE for pin and baseline
    uint64_t attempt;
    struct keys_digest bundle;
    // What the device becomes in the candidate (or, without one, in the offer without rollout);
    // NONE: as it was. Remembered even when the action is NONE (already, skipped, cancelled).
    enum rollout_task mark;
    const char *rollout; // SHAM: whose comparison it is for; borrowed from the candidate's policy
    bool spent_baseline; // counts against the rate
    bool spent_offer;    // counts against the candidate's offer_rate
    bool spent_revert;   // counts against the candidate's revert_rate, and as went_back from now on
    struct rollout_why why;
};

// A newer rollout of the same release name is responsible for the device: it has brought its
// release, offers it now, or is the baseline. So the device is not this one's to bring anywhere;
// otherwise both would take it back and forth for ever.
bool rollout_decide_superseded(const struct rollout_inputs *in, size_t candidate)
    __attribute__((nonnull));

void rollout_decide(const struct rollout_inputs *in, struct rollout_decision *ret)
    __attribute__((nonnull));
