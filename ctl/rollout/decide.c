// SPDX-License-Identifier: Apache-2.0
//
// What to tell one device.
#include "ctl/rollout/decide.h"

#include <inttypes.h>
#include <string.h>

#include "ctl/rollout/decide_steps.h"

// Each step returns true when it decided.
typedef bool (*step_fn)(const struct rollout_inputs *in, struct rollout_decision *ret);

bool rollout_decide_is_part(const struct rollout_device *device,
                            const struct rollout_candidate *c) {
    return device->task != ROLLOUT_TASK_NONE && strcmp(device->rollout, c->policy->name) == 0;
}

bool rollout_decide_goes_back(const struct rollout_candidate *c) {
    return c->progress->state == ROLLOUT_STATE_REVERTING ||
           c->progress->state == ROLLOUT_STATE_REVERTED;
}

bool rollout_decide_awaits(const struct rollout_device *d, const struct rollout_candidate *c) {
    return rollout_decide_is_part(d, c) &&
           (d->task == ROLLOUT_TASK_OFFERED || d->task == ROLLOUT_TASK_STAGED);
}

bool rollout_decide_act(struct rollout_decision *ret, enum rollout_action action, size_t candidate,
                        uint64_t attempt, const struct keys_digest *bundle) {
    ret->action = action;
    ret->candidate = candidate;
    ret->attempt = attempt;
    ret->bundle = *bundle;
    return true;
}

bool rollout_decide_too_late(const struct rollout_candidate *c, int64_t now_s) {
    return c->policy->until_s != 0 && now_s >= c->policy->until_s;
}

// Nothing is offered or activated by a rollout in this state, or at this time. True when so.
bool rollout_decide_stands_still(const struct rollout_candidate *c, int64_t now_s,
                                 struct rollout_why *why) {
    const struct rollout_progress *progress = c->progress;
    const char *name = c->policy->name;
    if (progress->state == ROLLOUT_STATE_PAUSED)
        rollout_why_set(why, ROLLOUT_WHY_paused, "rollout %s is paused", name);
    else if (progress->state == ROLLOUT_STATE_FAILED)
        rollout_why_set(why, ROLLOUT_WHY_rollout_failed, "rollout %s failed: %.300s", name,
                        progress->why.text);
    else if (now_s < c->policy->not_before_s)
        rollout_why_set(why, ROLLOUT_WHY_too_early, "rollout %s has not begun", name);
    else if (rollout_decide_too_late(c, now_s))
        rollout_why_set(why, ROLLOUT_WHY_too_late, "the time of rollout %s is over", name);
    else if (c->mandate_ends_s == ROLLOUT_MANDATE_MISSING)
        rollout_why_set(why, ROLLOUT_WHY_no_mandate,
                        "nobody signed for rollout %s, and devices ask for that since it began: "
                        "plan, sign and apply it anew, under another name",
                        name);
    else if (c->mandate_ends_s != 0 && now_s >= c->mandate_ends_s)
        rollout_why_set(why, ROLLOUT_WHY_mandate_expired,
                        "what people signed for rollout %s has expired: sign its plan again and "
                        "give it along (edgectl rollout approve --mandate)",
                        name);
    else
        return false;
    return true;
}

// A device that an operator keeps out is not waited for.
static void skip(const struct rollout_inputs *in, struct rollout_decision *ret) {
    for (size_t i = 0; i < in->n_candidates && ret->mark == ROLLOUT_TASK_NONE; i++) {
        const struct rollout_candidate *c = &in->candidates[i];
        if (c->selected && c->progress->state == ROLLOUT_STATE_RUNNING &&
            c->stage <= c->progress->stage && c->stage < c->policy->n_stages &&
            (!rollout_decide_is_part(&in->device, c) || in->device.task == ROLLOUT_TASK_NONE)) {
            ret->candidate = i;
            ret->mark = ROLLOUT_TASK_SKIPPED;
        }
    }
}

static bool is_open(const struct rollout_candidate *c) {
    return c->selected && c->stage < c->policy->n_stages && c->stage <= c->progress->stage &&
           c->progress->started_s[c->stage] != 0 && c->admission == ROLLOUT_ADMISSION_OPEN;
}

static bool is_responsible(const struct rollout_candidate *c, int64_t now_s) {
    bool over = rollout_decide_too_late(c, now_s);
    if (rollout_decide_goes_back(c) || c->progress->state == ROLLOUT_STATE_ABORTED)
        return false;
    if (c->fit.runs)
        return true;
    if (c->progress->state == ROLLOUT_STATE_FINISHED)
        return c->selected && c->policy->baseline && c->fit.fits;
    return is_open(c) && c->fit.fits && !over;
}

bool rollout_decide_superseded(const struct rollout_inputs *in, size_t candidate) {
    const char *name = in->candidates[candidate].policy->release_name;
    for (size_t i = 0; i < candidate; i++)
        if (strcmp(in->candidates[i].policy->release_name, name) == 0 &&
            is_responsible(&in->candidates[i], in->now_s))
            return true;
    return false;
}

// ── 0. Two that say they are one ──

// What one of them is told the other does too, and reports of both are counted as one.
static bool cloned(const struct rollout_inputs *in, struct rollout_decision *ret) {
    if (!in->device.cloned)
        return false;
    skip(in, ret);
    rollout_why_set(&ret->why, ROLLOUT_WHY_clone,
                    "two devices seem to share its identity: nothing is told to either until an "
                    "operator decides (edgectl device accept, or replace)");
    return true;
}

// ── 1. An update under way ──

static bool give_up(const struct rollout_inputs *in, size_t candidate, const char *cause,
                    struct rollout_decision *ret) {
    const struct rollout_device *d = &in->device;
    if (d->probation) {
        rollout_why_set(&ret->why, ROLLOUT_WHY_going_back, "is told to go back: %.400s", cause);
        return rollout_decide_act(ret, ROLLOUT_ACTION_REVERT, candidate, d->update_attempt,
                                  &d->update_bundle);
    }
    rollout_why_set(&ret->why, ROLLOUT_WHY_cancelling, "is told to give the update up: %.400s",
                    cause);
    return rollout_decide_act(ret, ROLLOUT_ACTION_CANCEL, candidate, d->update_attempt,
                              &d->update_bundle);
}

static bool go_on(const struct rollout_inputs *in, size_t candidate, const char *whose,
                  struct rollout_decision *ret) {
    const struct rollout_device *d = &in->device;
    if (d->look && !d->probation) {
        rollout_why_set(&ret->why, ROLLOUT_WHY_activate, "may activate what it staged for %s",
                        whose);
        return rollout_decide_act(ret, ROLLOUT_ACTION_ACTIVATE, candidate, d->update_attempt,
                                  &d->update_bundle);
    }
    rollout_why_set(&ret->why, ROLLOUT_WHY_in_progress, "is at work on %s", whose);
    return true;
}

static bool wants(const struct rollout_target *target, const struct keys_digest *bundle) {
    return target->fit.fits && keys_digest_equal(&target->fit.bundle, bundle);
}

// An offer without a rollout goes on as long as a pin or a baseline wants just that bundle.
static bool direct_under_way(const struct rollout_inputs *in, struct rollout_decision *ret) {
    const struct keys_digest *bundle = &in->device.update_bundle;
    if (in->pin != NULL && wants(in->pin, bundle))
        return go_on(in, ROLLOUT_DECIDE_NO_CANDIDATE, "the release it is pinned to", ret);
    for (size_t i = 0; in->pin == NULL && i < in->n_baselines; i++)
        if (wants(&in->baselines[i], bundle))
            return go_on(in, ROLLOUT_DECIDE_NO_CANDIDATE, "its baseline", ret);
    if (in->device.probation)
        return go_on(in, ROLLOUT_DECIDE_NO_CANDIDATE, "a release that was offered before", ret);
    return give_up(in, ROLLOUT_DECIDE_NO_CANDIDATE, "the release is not meant for it any more",
                   ret);
}

// What it has fetched is kept until its rollout goes on, or ends.
static bool waits(const struct rollout_inputs *in, const struct rollout_candidate *c,
                  struct rollout_decision *ret) {
    struct rollout_why cause;
    if (!rollout_decide_stands_still(c, in->now_s, &cause))
        return false;
    rollout_why_set(&ret->why, cause.code, "%s %s %s and waits: %.350s",
                    in->device.look ? "has staged" : "is at work on", c->policy->release_name,
                    c->policy->release_version, cause.text);
    return true;
}

static bool under_way(const struct rollout_inputs *in, struct rollout_decision *ret) {
    const struct rollout_device *d = &in->device;
    if (d->going_back) {
        rollout_why_set(&ret->why, ROLLOUT_WHY_in_progress, "is going back");
        return true;
    }
    if (d->shamming) {
        rollout_why_set(&ret->why, ROLLOUT_WHY_sham,
                        "it restarted what it runs, to be compared, and is watched");
        return true;
    }
    if (!d->updating)
        return false;
    size_t i = 0;
    while (i < in->n_candidates && strcmp(in->candidates[i].policy->name, d->update_rollout) != 0)
        i++;
    const struct rollout_candidate *c = i < in->n_candidates ? &in->candidates[i] : NULL;
    if (c != NULL && (rollout_decide_goes_back(c) || c->progress->state == ROLLOUT_STATE_ABORTED))
        return give_up(in, i, c->progress->why.text, ret);
    if (c != NULL && !d->probation && c->progress->state != ROLLOUT_STATE_FINISHED &&
        rollout_decide_too_late(c, in->now_s)) {
        ret->mark = rollout_decide_awaits(d, c) ? ROLLOUT_TASK_CANCELLED : ROLLOUT_TASK_NONE;
        return give_up(in, i, "the time that the policy of its rollout names in until is over",
                       ret);
    }
    if (d->held && !d->probation) {
        rollout_why_set(&ret->why, ROLLOUT_WHY_held, "an operator holds it: the update waits");
        return true;
    }
    if (d->update_rollout[0] == '\0')
        return direct_under_way(in, ret);
    if (in->pin != NULL && !d->probation && !wants(in->pin, &d->update_bundle))
        return give_up(in, c == NULL ? ROLLOUT_DECIDE_NO_CANDIDATE : i,
                       "an operator pinned it to another release", ret);
    if (c == NULL)
        return d->probation
                   ? go_on(in, ROLLOUT_DECIDE_NO_CANDIDATE, "a rollout that ended", ret)
                   : give_up(in, ROLLOUT_DECIDE_NO_CANDIDATE, "its rollout is not known here", ret);
    if (!d->probation && rollout_decide_superseded(in, i))
        return give_up(in, i, "a newer rollout of the release is responsible for it", ret);
    if (!d->probation && waits(in, c, ret))
        return true;
    return go_on(in, i, c->policy->name, ret);
}

// ── 2. Going back ──

// It has the release and keeps it: what was committed, when the policy says so; and whoever brought
// it back after it went back from it once decides that for good: not for ever in turns.
static bool keeps(const struct rollout_device *d, const struct rollout_candidate *c) {
    bool committed = d->task == ROLLOUT_TASK_COMMITTED;
    return c->went_back || (committed && c->policy->revert_scope == ROLLOUT_REVERT_ACTIVATED);
}

static bool go_back(const struct rollout_inputs *in, struct rollout_decision *ret) {
    const struct rollout_device *d = &in->device;
    for (size_t i = 0; i < in->n_candidates; i++) {
        const struct rollout_candidate *c = &in->candidates[i];
        bool over = rollout_decide_goes_back(c) || c->progress->state == ROLLOUT_STATE_ABORTED;
        if (!over || !rollout_decide_is_part(d, c) || !rollout_task_took(d->task))
            continue;
        if (rollout_decide_goes_back(c) && c->fit.runs && keeps(d, c))
            continue;
        if (rollout_decide_goes_back(c) && c->fit.runs && c->revert_full) {
            rollout_why_set(&ret->why, ROLLOUT_WHY_revert_rate,
                            "rollout %s goes back, %" PRIu32 " devices a minute: its turn comes",
                            c->policy->name, c->policy->revert_rate);
            return true;
        }
        if (rollout_decide_goes_back(c) && c->fit.runs) {
            ret->spent_revert = true;
            rollout_why_set(&ret->why, ROLLOUT_WHY_going_back, "rollout %s goes back: %.300s",
                            c->policy->name, c->progress->why.text);
            return rollout_decide_act(ret, ROLLOUT_ACTION_REVERT, i, d->attempt, &d->bundle);
        }
        if (c->progress->state == ROLLOUT_STATE_ABORTED && d->task == ROLLOUT_TASK_COMMITTED)
            continue; // what was committed remains
        // It never got that far, and has nothing of it.
        ret->candidate = i;
        ret->mark = ROLLOUT_TASK_CANCELLED;
        return false;
    }
    return false;
}

// What was offered by a rollout whose time is over is not waited for any more.
static bool expire(const struct rollout_inputs *in, struct rollout_decision *ret) {
    for (size_t i = 0; i < in->n_candidates; i++) {
        const struct rollout_candidate *c = &in->candidates[i];
        if (!rollout_decide_awaits(&in->device, c) || !rollout_decide_too_late(c, in->now_s))
            continue;
        ret->candidate = i;
        ret->mark = ROLLOUT_TASK_CANCELLED;
    }
    return false;
}

// ── 3. Hold and pin ──

// Devices would refuse it.
static void say_not_signed(const char *what, const struct rollout_target *t, bool pinned,
                           struct rollout_why *ret) {
    bool missing = t->mandate_ends_s == ROLLOUT_MANDATE_MISSING;
    rollout_why_set(ret, missing ? ROLLOUT_WHY_no_mandate : ROLLOUT_WHY_mandate_expired,
                    "%s is %s %s, and %s: %s", what, t->release_name, t->release_version,
                    missing ? "nobody signed for that, as devices ask since"
                            : "what people signed for it has expired",
                    pinned    ? "pin it again (edgectl device pin --workspace)"
                    : missing ? "plan, sign and apply it anew"
                              : "sign its plan again (edgectl rollout sign --expires) and give it "
                                "along (edgectl rollout approve --mandate)");
}

// Brings it to a release without a rollout. pinned: by a person, so at once.
static bool bring(const struct rollout_inputs *in, const struct rollout_target *t, bool pinned,
                  struct rollout_decision *ret) {
    const struct rollout_device *d = &in->device;
    const char *what = pinned ? "the release it is pinned to" : "its baseline";
    bool same = d->task != ROLLOUT_TASK_NONE && d->rollout[0] == '\0' &&
                keys_digest_equal(&d->bundle, &t->fit.bundle) && d->attempt >= d->direct_attempt;
    if (!t->fit.published)
        rollout_why_set(&ret->why, ROLLOUT_WHY_release_missing, "%s, %s %s, was not published",
                        what, t->release_name, t->release_version);
    else if (!t->fit.fits)
        rollout_why_set(&ret->why, ROLLOUT_WHY_requirement_unmet,
                        "no bundle of %s, %s %s, fits: %.200s", what, t->release_name,
                        t->release_version, t->fit.reason);
    else if (same && (d->task == ROLLOUT_TASK_FAILED || d->task == ROLLOUT_TASK_REVERTED))
        rollout_why_set(&ret->why, ROLLOUT_WHY_failed_here,
                        "%s, %s %s, failed here before: pin it to try again", what, t->release_name,
                        t->release_version);
    else if (t->mandate_ends_s != 0 && in->now_s >= t->mandate_ends_s)
        say_not_signed(what, t, pinned, &ret->why);
    else if (!pinned && !in->baseline_allowed)
        rollout_why_set(&ret->why, ROLLOUT_WHY_baseline_rate,
                        "%s is %s %s: it will be offered when its turn comes", what,
                        t->release_name, t->release_version);
    else {
        rollout_why_set(&ret->why, ROLLOUT_WHY_offered, "is offered %s, %s %s", what,
                        t->release_name, t->release_version);
        ret->spent_baseline = !pinned;
        ret->mark = ROLLOUT_TASK_OFFERED;
        return rollout_decide_act(ret, ROLLOUT_ACTION_INSTALL, ROLLOUT_DECIDE_NO_CANDIDATE,
                                  d->direct_attempt, &t->fit.bundle);
    }
    return true;
}

// What a rollout offered it before it was pinned it does not take any more, and has not begun: that
// rollout does not wait for it.
static void let_go(const struct rollout_inputs *in, struct rollout_decision *ret) {
    const struct rollout_device *d = &in->device;
    for (size_t i = 0; i < in->n_candidates; i++) {
        if (rollout_decide_awaits(d, &in->candidates[i])) {
            ret->candidate = i;
            ret->mark = ROLLOUT_TASK_CANCELLED;
        }
    }
}

static bool kept_out(const struct rollout_inputs *in, struct rollout_decision *ret) {
    if (!in->device.held && in->pin == NULL)
        return false;
    if (in->pin != NULL)
        let_go(in, ret);
    skip(in, ret);
    if (in->device.held) {
        rollout_why_set(&ret->why, ROLLOUT_WHY_held, "an operator holds it: nothing is offered");
        return true;
    }
    if (in->pin->fit.runs) {
        rollout_why_set(&ret->why, ROLLOUT_WHY_pinned, "pinned to %s %s, which it has",
                        in->pin->release_name, in->pin->release_version);
        return true;
    }
    enum rollout_task mark = ret->mark;
    bool decided = bring(in, in->pin, true, ret);
    if (ret->action == ROLLOUT_ACTION_NONE)
        ret->mark = mark;
    return decided;
}

// ── 5. Comparisons ──

static bool compare(const struct rollout_inputs *in, struct rollout_decision *ret) {
    for (size_t i = 0; i < in->n_candidates; i++) {
        const struct rollout_candidate *c = &in->candidates[i];
        if (!c->sham || c->progress->state != ROLLOUT_STATE_RUNNING)
            continue;
        rollout_why_set(
            &ret->why, ROLLOUT_WHY_sham,
            "rollout %s compares it: it is told to restart what it runs, as a device that "
            "got the release did",
            c->policy->name);
        ret->mark = ROLLOUT_TASK_NONE;
        ret->rollout = c->policy->name;
        return rollout_decide_act(ret, ROLLOUT_ACTION_SHAM, i, c->progress->attempt,
                                  &c->sham_bundle);
    }
    return false;
}

// ── 6. Baselines ──

// Whether a newer release of the same name was or will be given to it by this rollout, so that no
// older baseline takes its place.
static bool claims(const struct rollout_device *d, const struct rollout_candidate *c) {
    return rollout_decide_is_part(d, c) && !rollout_advance_ended(c->progress->state) &&
           !rollout_decide_goes_back(c) && d->task != ROLLOUT_TASK_SKIPPED &&
           d->task != ROLLOUT_TASK_CANCELLED;
}

static bool claimed(const struct rollout_inputs *in, const char *release_name) {
    for (size_t i = 0; i < in->n_candidates; i++)
        if (strcmp(in->candidates[i].policy->release_name, release_name) == 0 &&
            claims(&in->device, &in->candidates[i]) && !rollout_decide_superseded(in, i))
            return true;
    return false;
}

static bool from_baselines(const struct rollout_inputs *in, struct rollout_decision *ret) {
    struct rollout_decision before = *ret;
    for (size_t i = 0; i < in->n_baselines; i++) {
        const struct rollout_target *t = &in->baselines[i];
        if (t->fit.runs || claimed(in, t->release_name))
            continue;
        (void)bring(in, t, false, ret);
        if (ret->action != ROLLOUT_ACTION_NONE)
            return true;
        ret->mark = before.mark;
        ret->candidate = before.candidate;
        if (before.why.code != ROLLOUT_WHY_NONE)
            ret->why = before.why;
        return true;
    }
    return false;
}

static bool nothing(const struct rollout_inputs *in, struct rollout_decision *ret) {
    bool has = in->n_baselines > 0;
    if (ret->why.code != ROLLOUT_WHY_NONE)
        return true;
    for (size_t i = 0; i < in->n_candidates; i++) {
        const struct rollout_candidate *c = &in->candidates[i];
        has = has || c->fit.runs;
        if (!rollout_decide_goes_back(c) || !c->fit.runs || !c->went_back)
            continue;
        rollout_why_set(&ret->why, ROLLOUT_WHY_went_back,
                        "rollout %s goes back, but the device went back from %s %s before, and "
                        "got it again: an operator has to decide",
                        c->policy->name, c->policy->release_name, c->policy->release_version);
        return true;
    }
    if (has)
        rollout_why_set(&ret->why, ROLLOUT_WHY_up_to_date, "it has what it should have");
    else
        rollout_why_set(&ret->why, ROLLOUT_WHY_no_release, "no rollout and no baseline selects it");
    return true;
}

void rollout_decide(const struct rollout_inputs *in, struct rollout_decision *ret) {
    static const step_fn steps[] = {
        cloned,  under_way,      go_back, expire, kept_out, rollout_decide_rollouts,
        compare, from_baselines, nothing};
    *ret = (struct rollout_decision){.candidate = ROLLOUT_DECIDE_NO_CANDIDATE};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (steps[i](in, ret))
            return;
}
