// SPDX-License-Identifier: Apache-2.0
//
// What rollouts have for a device, one after the other.
#include <inttypes.h>

#include "ctl/rollout/decide_steps.h"
#include "ctl/rollout/retry.h"
#include "ctl/rollout/unit.h"

// What it is in the rollout, or counts as there beside its task.
struct past {
    enum rollout_task task;
    uint64_t attempt;
    int64_t since_s;
    const char *code;
};

static struct past past_of(const struct rollout_device *d, const struct rollout_candidate *c) {
    struct past past = {c->aside, c->aside_attempt, c->aside_since_s, c->aside_code};
    if (rollout_decide_is_part(d, c))
        past = (struct past){d->task, d->attempt, d->since_s, d->code};
    past.code = past.code == NULL ? "" : past.code;
    return past;
}

static bool is_retried(const struct past *past, const struct rollout_candidate *c) {
    return past->attempt >= c->progress->attempt &&
           rollout_retry_left(c->policy, past->task, c->progress->attempt, past->attempt,
                              past->code);
}

// The attempt of an offer: a retry's is higher than the one that failed, and stays with the device.
static uint64_t next_attempt(const struct rollout_device *d, const struct rollout_candidate *c) {
    struct past past = past_of(d, c);
    if (is_retried(&past, c))
        return past.attempt + 1;
    return rollout_decide_is_part(d, c) && past.attempt > c->progress->attempt
               ? past.attempt
               : c->progress->attempt;
}

// It was part of the rollout before. True when it needs nothing, or nothing yet.
static bool settled(const struct rollout_inputs *in, const struct rollout_candidate *c,
                    struct rollout_why *why) {
    struct past past = past_of(&in->device, c);
    if (past.attempt < c->progress->attempt)
        return false;
    switch (past.task) {
    case ROLLOUT_TASK_FAILED:
    case ROLLOUT_TASK_REVERTED:
        if (is_retried(&past, c)) {
            int64_t left =
                rollout_retry_due_s(c->policy, c->progress->attempt, past.attempt, past.since_s) -
                in->now_s;
            rollout_why_set(why, ROLLOUT_WHY_retry_later,
                            "rollout %s tries it again in %" PRId64 " s", c->policy->name, left);
            return left > 0;
        }
        rollout_why_set(why, ROLLOUT_WHY_failed_here,
                        "%s %s of rollout %s failed here: resume the rollout for a new attempt",
                        c->policy->release_name, c->policy->release_version, c->policy->name);
        return true;
    case ROLLOUT_TASK_LOST:
        if (!rollout_task_is_stuck(past.task, past.code))
            return false; // it was silent, and is heard of again
        rollout_why_set(why, ROLLOUT_WHY_stuck,
                        "did not finish %s %s of rollout %s in the time for it: resume the rollout "
                        "for a new attempt",
                        c->policy->release_name, c->policy->release_version, c->policy->name);
        return true;
    case ROLLOUT_TASK_ACTIVATED: // never aside: what is left without an outcome is cancelled
        rollout_why_set(why, ROLLOUT_WHY_in_progress, "is at work on rollout %s", c->policy->name);
        return true;
    default:
        return false;
    }
}

// Whose rank it is.
static const char *whose(const struct rollout_candidate *c) {
    return rollout_unit_is_site(&c->policy->gates) ? "its site" : "it";
}

// Its stage is open, but not for this device. Who was offered it before is let in.
static bool is_kept_out(const struct rollout_device *d, const struct rollout_candidate *c,
                        struct rollout_why *why) {
    const char *name = c->policy->name;
    struct past past = past_of(d, c);
    bool offered = rollout_task_took(past.task) || past.task == ROLLOUT_TASK_FAILED ||
                   past.task == ROLLOUT_TASK_REVERTED;
    if (offered)
        return false;
    if (c->admission == ROLLOUT_ADMISSION_HELD_BACK)
        rollout_why_set(why, ROLLOUT_WHY_holdback,
                        "rollout %s keeps %s back, to compare with those that have the release",
                        name, whose(c));
    else if (c->admission != ROLLOUT_ADMISSION_OPEN)
        rollout_why_set(why, ROLLOUT_WHY_rank_beyond,
                        "%s belongs to stage %s of rollout %s, and its batch has not opened",
                        whose(c), c->policy->stages[c->stage].name, name);
    else if (c->compared)
        rollout_why_set(why, ROLLOUT_WHY_in_comparison,
                        "rollout %s compares %s with %s that has the release", name, whose(c),
                        rollout_unit_is_site(&c->policy->gates) ? "one" : "a device");
    else if (c->stone != NULL)
        rollout_why_set(why, ROLLOUT_WHY_stepping_stone,
                        "rollout %s wants %.200s to have run before", name, c->stone);
    else
        return false;
    return true;
}

static bool may_not_start(const struct rollout_inputs *in, const struct rollout_candidate *c,
                          struct rollout_why *why) {
    const struct rollout_policy *policy = c->policy;
    const char *name = policy->name;
    if (rollout_decide_stands_still(c, in->now_s, why))
        return true;
    if (c->stage >= policy->n_stages)
        rollout_why_set(why, ROLLOUT_WHY_not_in_rollout,
                        "rollout %s ends before %s share of the fleet", name,
                        rollout_unit_is_site(&policy->gates) ? "its site's" : "this device's");
    else if (c->stage > c->progress->stage || c->progress->started_s[c->stage] == 0)
        rollout_why_set(why, ROLLOUT_WHY_stage_closed,
                        "it belongs to stage %s of rollout %s, which has not started: %.300s",
                        policy->stages[c->stage].name, name, c->progress->why.text);
    else
        return false;
    return true;
}

// Whether the candidate makes an offer; else why says what is in the way.
static bool is_full(const struct rollout_candidate *c, struct rollout_why *why) {
    uint64_t most = c->policy->max_unresolved, batch = c->progress->batch.size;
    if (batch > 0 && c->unresolved >= batch && (most == 0 || batch <= most))
        rollout_why_set(why, ROLLOUT_WHY_batch_limit,
                        "%" PRIu64 " devices are at work on rollout %s, as many as its batch "
                        "allows",
                        c->unresolved, c->policy->name);
    else if (most > 0 && c->unresolved >= most)
        rollout_why_set(why, ROLLOUT_WHY_unresolved_limit,
                        "%" PRIu64 " devices are at work on rollout %s, as many as it allows",
                        c->unresolved, c->policy->name);
    else if (c->offer_full)
        rollout_why_set(why, ROLLOUT_WHY_offer_rate,
                        "rollout %s is offered to %" PRIu32 " devices a minute: its turn comes",
                        c->policy->name, c->policy->offer_rate);
    else
        return false;
    return true;
}

static bool offer(const struct rollout_inputs *in, size_t i, struct rollout_decision *ret,
                  struct rollout_why *why) {
    const struct rollout_device *d = &in->device;
    const struct rollout_candidate *c = &in->candidates[i];
    const struct rollout_policy *policy = c->policy;
    bool again = rollout_decide_is_part(d, c) && rollout_task_unresolved(d->task);
    if (!c->fit.published) {
        rollout_why_set(why, ROLLOUT_WHY_release_missing, "%s %s of rollout %s was not published",
                        policy->release_name, policy->release_version, policy->name);
    } else if (!c->fit.fits) {
        rollout_why_set(why, ROLLOUT_WHY_requirement_unmet,
                        "no bundle of %s %s (rollout %s) fits: %.200s", policy->release_name,
                        policy->release_version, policy->name, c->fit.reason);
        ret->candidate = i;
        ret->mark = ROLLOUT_TASK_SKIPPED;
    } else if (again || !is_full(c, why)) {
        rollout_why_set(&ret->why, ROLLOUT_WHY_offered, "is offered %s %s by rollout %s, stage %s",
                        policy->release_name, policy->release_version, policy->name,
                        policy->stages[c->stage].name);
        ret->mark = ROLLOUT_TASK_OFFERED;
        // The same offer again, because an answer was lost, is none more.
        ret->spent_offer = !again;
        return rollout_decide_act(ret, ROLLOUT_ACTION_INSTALL, i, next_attempt(d, c),
                                  &c->fit.bundle);
    }
    return false;
}

// The candidate whose turn comes after that of `last` (n_candidates: the first one): the higher
// priority, then the older one. n_candidates when there is none.
static size_t after(const struct rollout_inputs *in, size_t last) {
    size_t best = in->n_candidates;
    for (size_t i = in->n_candidates; i-- > 0;) { // oldest first
        int priority = in->candidates[i].policy->priority;
        if (last < in->n_candidates) {
            int before = in->candidates[last].policy->priority;
            if (priority > before || (priority == before && i >= last))
                continue;
        }
        if (best == in->n_candidates || priority > in->candidates[best].policy->priority)
            best = i;
    }
    return best;
}

bool rollout_decide_rollouts(const struct rollout_inputs *in, struct rollout_decision *ret) {
    struct rollout_why first = {.code = ROLLOUT_WHY_NONE};
    const struct rollout_device *d = &in->device;
    for (size_t i = after(in, in->n_candidates); i < in->n_candidates; i = after(in, i)) {
        const struct rollout_candidate *c = &in->candidates[i];
        struct rollout_why why = {.code = ROLLOUT_WHY_NONE};
        if (rollout_advance_ended(c->progress->state) || rollout_decide_goes_back(c) ||
            !c->selected || rollout_decide_superseded(in, i))
            continue;
        bool open = !may_not_start(in, c, &why);
        if (c->fit.runs) {
            // Not waited for: it had the release before this rollout reached it.
            if (open && ret->mark == ROLLOUT_TASK_NONE &&
                (!rollout_decide_is_part(d, c) || d->task == ROLLOUT_TASK_SKIPPED ||
                 d->task == ROLLOUT_TASK_CANCELLED)) {
                ret->candidate = i;
                ret->mark = ROLLOUT_TASK_ALREADY;
            }
            continue;
        }
        if (open && !settled(in, c, &why) && !is_kept_out(d, c, &why) && offer(in, i, ret, &why))
            return true;
        if (first.code == ROLLOUT_WHY_NONE)
            first = why;
    }
    ret->why = first;
    return false;
}
