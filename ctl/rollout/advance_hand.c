// SPDX-License-Identifier: Apache-2.0
//
// What people may do with a rollout.
#include <assert.h>
#include <inttypes.h>

#include "ctl/rollout/advance_gates.h"
#include "ctl/rollout/retry.h"

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

// Goes on after a failure: another attempt, since devices refuse what failed there before unless it
// is higher (I4), and batches from the smallest. Ranks that were admitted stay so: those who did not
// call would otherwise be compared, and are not like those who did.
static void begin_again(const struct rollout_policy *policy, int64_t now_s,
                        struct rollout_progress *io) {
    size_t last = policy->n_stages - 1; // of a doubt after all stages there is no other
    size_t at = io->failed_stage < last ? (size_t)io->failed_stage : last;
    io->attempt += rollout_retry_step(policy);
    if (at < io->stage) {
        io->stage = at;
        io->batch.share = ROLLOUT_BATCH_WHOLE;
    }
    io->failed_stage = policy->n_stages;
    // The time to wait for silent devices begins again.
    for (size_t i = io->stage; i < policy->n_stages; i++)
        io->started_s[i] =
            i == io->stage && io->batch.number > 0 && io->started_s[i] != 0 ? now_s : 0;
    if (io->started_s[io->stage] != 0)
        rollout_batch_again(policy, now_s, &io->batch);
}

static int resume(const struct rollout_policy *policy, int64_t now_s, struct rollout_progress *io,
                  struct rollout_why *reason) {
    struct evidence_spend spend = io->spend;
    if (io->back)
        return resume_back(io, now_s);
    if (io->state == ROLLOUT_STATE_RUNNING || io->state == ROLLOUT_STATE_REVERTING)
        return ROLLOUT_UNCHANGED;
    if (io->state != ROLLOUT_STATE_PAUSED && io->state != ROLLOUT_STATE_FAILED)
        return refuse(reason, io, "resumed");
    if (io->stopped && evidence_combine_begin(&spend, policy->gates.alpha_ppm) != 0) {
        rollout_why_set(reason, ROLLOUT_WHY_evidence_spent,
                        "the gates stopped it %" PRIu32 " times; what may be promised of the "
                        "rollout is spent: revert it or abort it, and apply another one",
                        io->spend.runs);
        return ROLLOUT_REFUSED;
    }
    if (io->stopped)
        rollout_why_set(reason, ROLLOUT_WHY_NONE,
                        "run %" PRIu32 ": the probability that the gates ever stop a harmless "
                        "release is now at most %" PRIu32 ".%02" PRIu32 " %% in all",
                        spend.runs, spend.total_ppm / 10000, spend.total_ppm % 10000 / 100);
    if (io->why.code == ROLLOUT_WHY_inconclusive && io->stage < policy->n_stages)
        io->waived |= 1U << io->stage;
    if (io->state == ROLLOUT_STATE_FAILED || io->stopped)
        begin_again(policy, now_s, io);
    io->spend = spend;
    io->stopped = io->doubt = io->silent = false;
    io->state = ROLLOUT_STATE_RUNNING;
    io->going_s = now_s;
    io->ended_s = 0;
    rollout_why_set(&io->why, ROLLOUT_WHY_NONE, "%s", "");
    return 0;
}

static int pause_it(struct rollout_progress *io, struct rollout_why *reason) {
    if (io->state == ROLLOUT_STATE_PAUSED && !rollout_advance_judged(io))
        return ROLLOUT_UNCHANGED;
    if (io->state != ROLLOUT_STATE_RUNNING && io->state != ROLLOUT_STATE_PAUSED &&
        io->state != ROLLOUT_STATE_REVERTING)
        return refuse(reason, io, "paused");
    struct rollout_why cause = io->why;
    bool paused = io->state == ROLLOUT_STATE_PAUSED && !io->silent;
    io->silent = io->doubt = false; // it neither goes on nor back by itself any more
    io->back = io->state == ROLLOUT_STATE_REVERTING;
    io->state = ROLLOUT_STATE_PAUSED;
    if (!io->back) {
        rollout_why_set(&io->why, ROLLOUT_WHY_paused, "an operator paused it%s%.400s",
                        paused ? "; " : "", paused ? cause.text : "");
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
    io->complete_s = io->reached_s = 0;
    io->back = io->doubt = io->silent = false;
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

static int act(const struct rollout_policy *policy, enum rollout_verb verb, int64_t now_s,
               struct rollout_progress *io, struct rollout_why *reason) {
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

int rollout_advance_by_hand(const struct rollout_policy *policy, enum rollout_verb verb,
                            int64_t now_s, struct rollout_progress *io,
                            struct rollout_why *reason) {
    struct rollout_progress before = *io;
    assert(verb < ROLLOUT_VERBS);
    int done = act(policy, verb, now_s, io, reason);
    rollout_advance_gates_pause(policy, &before, now_s, io);
    return done;
}
