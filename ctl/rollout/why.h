// SPDX-License-Identifier: Apache-2.0
//
// Why something moves, or does not: a stable code for scripts and a sentence for people. Where a
// reason is also a kind of error, the code is that kind's name (requirement_unmet, rollout_failed).
#pragma once

#include "base/err.h"
#include "bundle/limits.h"

// clang-format off
#define ROLLOUT_WHYS(X)                                                                                                \
    /* a device */                                                                                                     \
    X(up_to_date,        "it has what it should have")                                                                 \
    X(no_release,        "nothing is meant for it")                                                                    \
    X(offered,           "it was offered the release")                                                                 \
    X(in_progress,       "it is at work on the offer")                                                                 \
    X(activate,          "it may activate what it staged")                                                             \
    X(cancelling,        "it was told to give the update up")                                                          \
    X(going_back,        "it was told to go back")                                                                     \
    X(clone,             "two devices seem to share its identity; an operator has to decide")                          \
    X(held,              "an operator holds it")                                                                       \
    X(pinned,            "an operator pinned it to a release")                                                         \
    X(stage_closed,      "its stage has not started")                                                                  \
    X(not_selected,      "the rollout does not select it")                                                             \
    X(not_in_rollout,    "the rollout ends before its share of the fleet")                                             \
    X(too_early,         "the rollout may not offer anything yet")                                                     \
    X(too_late,          "the rollout's time is over")                                                                 \
    X(mandate_expired,   "what people signed for the rollout has expired")                                             \
    X(no_mandate,        "nobody signed for it, and devices ask for that")                                             \
    X(unresolved_limit,  "as many devices as allowed are at work on the rollout")                                      \
    X(other_update,      "it is at work on another update")                                                            \
    X(failed_here,       "the release failed here before; a new attempt is needed")                                    \
    X(requirement_unmet, "no bundle of the release fits it")                                                           \
    X(release_missing,   "the release was not published")                                                              \
    X(baseline_rate,     "it will be brought to the baseline when its turn comes")                                     \
    X(batch_limit,       "as many devices as the batch allows are at work on the rollout")                             \
    X(rank_beyond,       "its batch has not opened")                                                                   \
    X(holdback,          "it is kept back from the rollout, to compare with")                                          \
    X(in_comparison,     "it is being compared with a device that has the release")                                    \
    X(stepping_stone,    "it has to run another release first")                                                        \
    X(offer_rate,        "it will be offered the release when its turn comes")                                         \
    X(sham,              "it restarts what it runs, to be compared with a device that has the release")                \
    X(retry_later,       "it gets another attempt later")                                                              \
    X(revert_rate,       "it will go back when its turn comes")                                                        \
    X(went_back,         "it went back from the release before: once is all")                                          \
    X(stuck,             "it calls, and did not finish what it was offered in time")                                   \
    /* a stage or a rollout */                                                                                         \
    X(waiting_devices,   "devices have no outcome yet")                                                                \
    X(no_devices,        "no device matches yet")                                                                      \
    X(small_sample,      "too few devices have an outcome to conclude anything")                                       \
    X(below_success,     "fewer devices committed than the gate wants")                                                \
    X(soaking,           "the stage is complete and is being watched")                                                 \
    X(approval,          "the stage waits for approval")                                                               \
    X(paused,            "an operator paused it")                                                                      \
    X(rollout_failed,    "more devices failed than the gate allows")                                                   \
    X(reverting,         "devices that took it go back")                                                               \
    X(reverted,          "devices that took it went back")                                                             \
    X(aborted,           "an operator ended it")                                                                       \
    X(inconclusive,      "the gates of evidence neither passed nor failed")                                            \
    X(advanced_without_evidence, "the policy, or a person, went on without evidence")                                  \
    X(evidence_failed,   "treated devices do worse than the gates of evidence allow")                                  \
    X(guard_exceeded,    "treated devices are beyond a guard")                                                         \
    X(control_suspect,   "the devices compared with left their own past")                                              \
    X(one_cluster,       "devices of one site, token or age alone speak against the release")                          \
    X(fragile,           "too few devices decide")                                                                     \
    X(fleet_silent,      "devices with and without the release are silent")                                            \
    X(evidence_spent,    "what may be promised is spent")                                                              \
    X(finished,          "all stages are done")
// clang-format on

enum rollout_why_code {
    ROLLOUT_WHY_NONE,
#define ROLLOUT_WHY_ENUM(name, text) ROLLOUT_WHY_##name,
    ROLLOUT_WHYS(ROLLOUT_WHY_ENUM)
#undef ROLLOUT_WHY_ENUM
        ROLLOUT_WHY_CODES
};

struct rollout_why {
    enum rollout_why_code code;
    char text[BUNDLE_REPORT_TEXT_MAX + 1];
};

// "stage_closed"; "" for ROLLOUT_WHY_NONE. Static.
const char *rollout_why_name(enum rollout_why_code code);
// ROLLOUT_WHY_NONE when there is none by that name.
enum rollout_why_code rollout_why_find(const char *name) __attribute__((nonnull));
// Sets code and sentence; a sentence that is too long is cut.
void rollout_why_set(struct rollout_why *why, enum rollout_why_code code, const char *format, ...)
    __attribute__((nonnull, format(printf, 3, 4)));
