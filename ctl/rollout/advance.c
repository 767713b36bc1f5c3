// SPDX-License-Identifier: Apache-2.0
//
// From stage to stage.
#include "ctl/rollout/advance.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const state_names[ROLLOUT_STATES] = {
    "running", "paused", "failed", "reverting", "reverted", "aborted", "finished"};
static const char *const stage_names[] = {"pending", "approval", "running",
                                          "soaking", "done",     "failed"};

const char *rollout_advance_state_name(enum rollout_state state) {
    assert(state < ROLLOUT_STATES);
    return state_names[state];
}

const char *rollout_advance_stage_name(enum rollout_stage_state state) {
    assert(state <= ROLLOUT_STAGE_FAILED);
    return stage_names[state];
}

bool rollout_advance_ended(enum rollout_state state) {
    return state == ROLLOUT_STATE_REVERTED || state == ROLLOUT_STATE_ABORTED ||
           state == ROLLOUT_STATE_FINISHED;
}

enum rollout_stage_state rollout_advance_stage(const struct rollout_policy *policy,
                                               const struct rollout_progress *progress,
                                               size_t stage) {
    if (progress->failed_stage == stage)
        return ROLLOUT_STAGE_FAILED;
    if (stage < progress->stage)
        return ROLLOUT_STAGE_DONE;
    if (stage > progress->stage)
        return ROLLOUT_STAGE_PENDING;
    if (progress->started_s[stage] == 0)
        return policy->stages[stage].approve && !(progress->approved & 1U << stage)
                   ? ROLLOUT_STAGE_APPROVAL
                   : ROLLOUT_STAGE_PENDING;
    return progress->complete_s != 0 ? ROLLOUT_STAGE_SOAKING : ROLLOUT_STAGE_RUNNING;
}

static struct rollout_tally sum(const struct rollout_counts *counts, size_t first, size_t stages) {
    struct rollout_tally all = {0};
    for (size_t i = 0; i < stages * counts->n_strata; i++)
        rollout_tally_add(&all, &counts->tallies[first * counts->n_strata + i]);
    return all;
}

static enum rollout_gate_verdict judge(const struct rollout_policy *policy,
                                  const struct rollout_gate_ops *gate,
                                  const struct rollout_counts *counts, size_t stage,
                                  struct rollout_why *why) {
    return gate->judge(&policy->stages[stage].gate, counts->tallies + stage * counts->n_strata,
                       counts->n_strata, why);
}

// A failure in any stage that has begun ends the rollout's way forward.
static int find_failure(const struct rollout_policy *policy, const struct rollout_gate_ops *gate,
                        const struct rollout_counts *counts, struct rollout_progress *io) {
    struct rollout_why why = {.code = ROLLOUT_WHY_NONE};
    for (size_t stage = 0; stage < policy->n_stages && stage <= io->stage; stage++) {
        if (judge(policy, gate, counts, stage, &why) != ROLLOUT_VERDICT_FAIL)
            continue;
        io->state = policy->on_failure == ROLLOUT_ON_FAILURE_REVERT ? ROLLOUT_STATE_REVERTING
                                                                    : ROLLOUT_STATE_FAILED;
        io->failed_stage = stage;
        io->ended_s = counts->now_s;
        io->complete_s = 0;
        rollout_why_set(&io->why, ROLLOUT_WHY_rollout_failed, "stage %s: %.400s",
                        policy->stages[stage].name, why.text);
        return ROLLOUT_MOVED;
    }
    return 0;
}

// Begins the open stage, unless it has to wait. 1 when it (now) offers.
static bool begin(const struct rollout_policy *policy, const struct rollout_counts *counts,
                  struct rollout_progress *io) {
    const struct rollout_stage_policy *stage = &policy->stages[io->stage];
    if (io->started_s[io->stage] != 0)
        return true;
    if (stage->approve && !(io->approved & 1U << io->stage)) {
        rollout_why_set(&io->why, ROLLOUT_WHY_approval, "stage %s waits for approval", stage->name);
        return false;
    }
    if (counts->now_s < policy->not_before_s) {
        rollout_why_set(&io->why, ROLLOUT_WHY_too_early,
                        "stage %s waits for the time that the policy names in not_before",
                        stage->name);
        return false;
    }
    io->started_s[io->stage] = counts->now_s;
    return true;
}

static void say_waiting(const struct rollout_counts *counts, const char *stage, uint64_t done,
                        uint64_t working, uint64_t silent, struct rollout_why *why) {
    char held[64] = "";
    if (counts->held > 0)
        (void)snprintf(held, sizeof held, ", %" PRIu64 " device%s held by an operator",
                       counts->held, counts->held == 1 ? " is" : "s are");
    rollout_why_set(why, ROLLOUT_WHY_waiting_devices,
                    "stage %s: %" PRIu64 " of %" PRIu64 " devices have an outcome, %" PRIu64
                    " are at work on it, %" PRIu64 " have not asked since it began%s",
                    stage, done, done + working + silent, working, silent, held);
}

// Whether every device of the stage that can be expected to has an outcome.
static bool is_complete(const struct rollout_policy *policy, const struct rollout_counts *counts,
                        struct rollout_progress *io) {
    const char *name = policy->stages[io->stage].name;
    struct rollout_tally stage = sum(counts, io->stage, 1), all = sum(counts, 0, policy->n_stages);
    uint64_t done =
        rollout_tally_good(&stage) + rollout_tally_bad(&stage) + rollout_tally_moot(&stage);
    uint64_t working = rollout_tally_unresolved(&stage);
    if (all.planned == 0 && rollout_tally_offered(&all) + rollout_tally_moot(&all) == 0) {
        rollout_why_set(&io->why, ROLLOUT_WHY_no_devices,
                        "stage %s: no device matches the selector yet", name);
        return false;
    }
    bool waited = counts->now_s - io->started_s[io->stage] >= (int64_t)policy->timeout_s;
    if (working > 0 || (done < stage.planned && !waited)) {
        uint64_t silent = stage.planned > done + working ? stage.planned - done - working : 0;
        say_waiting(counts, name, done, working, silent, &io->why);
        return false;
    }
    return true;
}

// The open stage: 1 when the next one is open now.
static bool finish_stage(const struct rollout_policy *policy, const struct rollout_gate_ops *gate,
                         const struct rollout_counts *counts, struct rollout_progress *io) {
    const struct rollout_stage_policy *stage = &policy->stages[io->stage];
    struct rollout_why why = {.code = ROLLOUT_WHY_NONE};
    bool complete = is_complete(policy, counts, io);
    if (complete && judge(policy, gate, counts, io->stage, &why) != ROLLOUT_VERDICT_PASS) {
        rollout_why_set(&io->why, why.code, "stage %s: %.400s", stage->name, why.text);
        complete = false;
    }
    if (!complete) {
        io->complete_s = 0;
        return false;
    }
    if (io->complete_s == 0)
        io->complete_s = counts->now_s;
    int64_t left = io->complete_s + (int64_t)stage->soak_s - counts->now_s;
    if (left > 0) {
        rollout_why_set(&io->why, ROLLOUT_WHY_soaking,
                        "stage %s is complete and is watched for %" PRId64 " s more", stage->name,
                        left);
        return false;
    }
    io->stage++;
    io->complete_s = 0;
    return true;
}

// Nothing is offered or activated any more: waiting for it would be for ever.
static void say_too_late(const struct rollout_policy *policy, const struct rollout_counts *counts,
                         struct rollout_progress *io) {
    if (policy->until_s == 0 || counts->now_s < policy->until_s ||
        io->why.code == ROLLOUT_WHY_soaking)
        return;
    struct rollout_why cause = io->why;
    rollout_why_set(&io->why, ROLLOUT_WHY_too_late,
                    "the time that the policy names in until is over, nothing is offered any more "
                    "(abort it, or revert it); %.300s",
                    cause.text);
}

static void advance_running(const struct rollout_policy *policy,
                            const struct rollout_gate_ops *gate,
                            const struct rollout_counts *counts, struct rollout_progress *io) {
    if (find_failure(policy, gate, counts, io))
        return;
    while (io->stage < policy->n_stages)
        if (!begin(policy, counts, io) || !finish_stage(policy, gate, counts, io)) {
            say_too_late(policy, counts, io);
            return;
        }
    io->state = ROLLOUT_STATE_FINISHED;
    io->ended_s = counts->now_s;
    struct rollout_tally all = sum(counts, 0, policy->n_stages);
    rollout_why_set(&io->why, ROLLOUT_WHY_finished, "all stages are done: %" PRIu64 " committed",
                    rollout_tally_good(&all));
}

static void advance_reverting(const struct rollout_policy *policy,
                              const struct rollout_counts *counts, struct rollout_progress *io) {
    struct rollout_tally all = sum(counts, 0, policy->n_stages);
    uint64_t took = rollout_tally_took(&all), left = took > io->gone ? took - io->gone : 0;
    if (left == 0 || counts->now_s - io->ended_s >= (int64_t)policy->timeout_s) {
        struct rollout_why cause = io->why;
        io->state = ROLLOUT_STATE_REVERTED;
        rollout_why_set(&io->why, ROLLOUT_WHY_reverted,
                        "%.330s; %" PRIu64 " devices went back, %" PRIu64
                        " were not heard of and will when they ask",
                        io->failed_stage < policy->n_stages ? cause.text : "an operator said so",
                        all.now[ROLLOUT_TASK_REVERTED], left);
        return;
    }
    // The cause stays in the sentence until all are back: it is what people look for first.
    if (io->failed_stage >= policy->n_stages)
        rollout_why_set(&io->why, ROLLOUT_WHY_reverting,
                        "an operator said so; %" PRIu64 " devices have yet to go back", left);
}

int rollout_advance(const struct rollout_policy *policy, const struct rollout_gate_ops *gate,
                    const struct rollout_counts *counts, struct rollout_progress *io) {
    struct rollout_progress before = *io;
    if (io->state == ROLLOUT_STATE_RUNNING)
        advance_running(policy, gate, counts, io);
    else if (io->state == ROLLOUT_STATE_REVERTING)
        advance_reverting(policy, counts, io);
    bool moved = before.state != io->state || before.stage != io->stage ||
                 before.complete_s != io->complete_s || before.why.code != io->why.code ||
                 memcmp(before.started_s, io->started_s, sizeof before.started_s) != 0;
    return moved ? ROLLOUT_MOVED : 0;
}

// ── By hand ──

static int refuse(struct rollout_why *reason, const struct rollout_progress *p, const char *verb) {
    rollout_why_set(reason, p->why.code, "it is %s and cannot be %s: %.400s",
                    rollout_advance_state_name(p->state), verb, p->why.text);
    return ROLLOUT_REFUSED;
}

static int approve(const struct rollout_policy *policy, struct rollout_progress *io,
                   struct rollout_why *reason) {
    if (io->stage >= policy->n_stages || rollout_advance_ended(io->state))
        return refuse(reason, io, "approved");
    if (io->approved & 1U << io->stage)
        return ROLLOUT_UNCHANGED;
    if (!policy->stages[io->stage].approve)
        return ROLLOUT_UNCHANGED;
    io->approved |= 1U << io->stage;
    return 0;
}

// The time to wait for those who are silent begins again.
static int resume_back(struct rollout_progress *io, int64_t now_s) {
    io->state = ROLLOUT_STATE_REVERTING;
    io->ended_s = now_s;
    io->why = io->back_why;
    io->back = false;
    return 0;
}

static int resume(const struct rollout_policy *policy, int64_t now_s, struct rollout_progress *io,
                  struct rollout_why *reason) {
    if (io->back)
        return resume_back(io, now_s);
    if (io->state == ROLLOUT_STATE_RUNNING || io->state == ROLLOUT_STATE_REVERTING)
        return ROLLOUT_UNCHANGED;
    if (io->state != ROLLOUT_STATE_PAUSED && io->state != ROLLOUT_STATE_FAILED)
        return refuse(reason, io, "resumed");
    if (io->state == ROLLOUT_STATE_FAILED) {
        // Devices refuse what failed there before unless the attempt is higher (I4).
        io->attempt++;
        io->stage = io->failed_stage < io->stage ? io->failed_stage : io->stage;
        io->failed_stage = policy->n_stages;
        for (size_t i = io->stage; i < policy->n_stages; i++)
            io->started_s[i] = 0; // the time to wait for silent devices begins again
    }
    io->state = ROLLOUT_STATE_RUNNING;
    io->ended_s = 0;
    rollout_why_set(&io->why, ROLLOUT_WHY_NONE, "%s", "");
    return 0;
}

static int pause_it(struct rollout_progress *io, struct rollout_why *reason) {
    if (io->state == ROLLOUT_STATE_PAUSED)
        return ROLLOUT_UNCHANGED;
    if (io->state != ROLLOUT_STATE_RUNNING && io->state != ROLLOUT_STATE_REVERTING)
        return refuse(reason, io, "paused");
    io->back = io->state == ROLLOUT_STATE_REVERTING;
    io->state = ROLLOUT_STATE_PAUSED;
    if (!io->back) {
        rollout_why_set(&io->why, ROLLOUT_WHY_paused, "an operator paused it");
        return 0;
    }
    io->back_why = io->why;
    rollout_why_set(&io->why, ROLLOUT_WHY_paused,
                    "an operator paused it while its devices go back: no more of them do until it "
                    "is resumed; %.300s",
                    io->back_why.text);
    return 0;
}

static int end(struct rollout_progress *io, enum rollout_state state, enum rollout_why_code code,
               int64_t now_s) {
    io->state = state;
    io->ended_s = now_s;
    io->complete_s = 0;
    io->back = false;
    rollout_why_set(&io->why, code,
                    state == ROLLOUT_STATE_ABORTED ? "an operator ended it"
                                                   : "an operator said that devices go back");
    return 0;
}

static int abort_it(int64_t now_s, struct rollout_progress *io, struct rollout_why *reason) {
    if (io->state == ROLLOUT_STATE_ABORTED)
        return ROLLOUT_UNCHANGED;
    if (rollout_advance_ended(io->state))
        return refuse(reason, io, "aborted");
    if (io->state == ROLLOUT_STATE_REVERTING) {
        rollout_why_set(reason, io->why.code,
                        "its devices go back, which aborting would stop for good: pause it first, "
                        "and abort it then if they are to keep what they have; %.300s",
                        io->why.text);
        return ROLLOUT_REFUSED;
    }
    return end(io, ROLLOUT_STATE_ABORTED, ROLLOUT_WHY_aborted, now_s);
}

int rollout_advance_by_hand(const struct rollout_policy *policy, enum rollout_verb verb,
                            int64_t now_s, struct rollout_progress *io,
                            struct rollout_why *reason) {
    assert(verb < ROLLOUT_VERBS);
    switch (verb) {
    case ROLLOUT_VERB_APPROVE:
        return approve(policy, io, reason);
    case ROLLOUT_VERB_PAUSE:
        return pause_it(io, reason);
    case ROLLOUT_VERB_RESUME:
        return resume(policy, now_s, io, reason);
    case ROLLOUT_VERB_ABORT:
        return abort_it(now_s, io, reason);
    case ROLLOUT_VERB_REVERT:
    case ROLLOUT_VERBS:
        break;
    }
    if (io->state == ROLLOUT_STATE_REVERTING || io->state == ROLLOUT_STATE_REVERTED)
        return ROLLOUT_UNCHANGED;
    if (io->back)
        return resume_back(io, now_s);
    return end(io, ROLLOUT_STATE_REVERTING, ROLLOUT_WHY_reverting, now_s);
}
