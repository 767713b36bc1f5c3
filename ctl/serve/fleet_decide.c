// SPDX-License-Identifier: Apache-2.0
//
// Everything that may concern a device, put together for the decision, and what follows from it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "ctl/serve/evidence.h"
#include "ctl/serve/fleet_view.h"
#include "ctl/serve/mandate.h"
#include "ctl/store/mandate.h"
#include "ctl/store/undone.h"

static void clear(struct serve_fleet_view *view) {
    bundle_facts_free(view->facts);
    free(view->candidates);
    free(view->beside);
    free(view->baselines);
    free(view->reasons);
}

static int prepare(const struct serve_fleet *fleet, const struct store_device *device,
                   struct serve_fleet_view *ret, struct err *e) {
    size_t n = fleet->engine->n_rollouts + 1;
    ret->candidates = calloc(n, sizeof *ret->candidates);
    ret->beside = calloc(n, sizeof *ret->beside);
    ret->baselines = calloc(n, sizeof *ret->baselines);
    ret->reasons = calloc(2 * n, sizeof *ret->reasons);
    ret->components = json_object_get(device->said, "components");
    if (ret->candidates == NULL || ret->beside == NULL || ret->baselines == NULL ||
        ret->reasons == NULL)
        return err_set(e, &err_memory, "deciding for %s: out of memory", device->id);
    return serve_engine_facts(device, &ret->facts, e);
}

// The newest finished rollout of each name of release counts: the one applied last, whichever of
// them took longer.
static int add_baseline(const struct serve_fleet *fleet, const struct serve_engine_rollout *r,
                        struct serve_fleet_view *view, struct err *e) {
    const struct rollout_policy *policy = &r->row.policy;
    for (size_t i = 0; i < view->n_baselines; i++)
        if (strcmp(view->baselines[i].release_name, policy->release_name) == 0)
            return 0;
    struct rollout_target *t = &view->baselines[view->n_baselines++];
    t->release_name = policy->release_name;
    t->release_version = policy->release_version;
    serve_fleet_fit(fleet, view, t->release_name, t->release_version, &t->fit);
    if (t->fit.runs || !t->fit.fits)
        return 0;
    struct store_mandate mandate;
    int found =
        store_mandate_of_baseline(fleet->db, t->release_name, t->release_version, &mandate, e);
    t->mandate_ends_s = serve_mandate_ends(fleet->engine, found, &mandate);
    return found < 0 ? -1 : 0;
}

static int find_pin(const struct serve_fleet *fleet, const struct store_device *device,
                    struct rollout_target *ret, struct serve_fleet_view *view, struct err *e) {
    struct store_mandate mandate;
    if (device->pin_name[0] == '\0')
        return 0;
    ret->release_name = device->pin_name;
    ret->release_version = device->pin_version;
    serve_fleet_fit(fleet, view, device->pin_name, device->pin_version, &ret->fit);
    int found = store_mandate_of_pin(fleet->db, device->id, device->pin_name, device->pin_version,
                                     &mandate, e);
    ret->mandate_ends_s = serve_mandate_ends(fleet->engine, found, &mandate);
    return found < 0 ? -1 : 0;
}

// Where the oldest rollout is that has not ended: what finished after it was applied may supersede
// it.
static size_t oldest_live(const struct serve_engine *engine) {
    size_t i = 0;
    while (i < engine->n_rollouts && rollout_advance_ended(engine->rollouts[i]->row.progress.state))
        i++;
    return i;
}

static int collect(const struct serve_fleet *fleet, const struct store_device *device,
                   struct serve_fleet_view *view, struct err *e) {
    struct serve_engine *engine = fleet->engine;
    size_t oldest = oldest_live(engine);
    for (size_t i = engine->n_rollouts; i-- > 0;) {
        struct serve_engine_rollout *r = engine->rollouts[i];
        enum rollout_state state = r->row.progress.state;
        bool part = serve_fleet_is_part(device, r);
        bool live = !rollout_advance_ended(state);
        bool finish = state == ROLLOUT_STATE_FINISHED;
        bool selected = (live || finish) && serve_fleet_selects(r, view);
        bool counts = selected && (live || i > oldest);
        if ((counts || part) && serve_fleet_candidate(fleet, device, r, selected, view, e) < 0)
            return -1;
        if (finish && selected && r->row.policy.baseline && add_baseline(fleet, r, view, e) < 0)
            return -1;
    }
    return 0;
}

static bool has_room(const struct serve_fleet *fleet) {
    return rollout_bucket_has(&fleet->engine->baselines, SERVE_ENGINE_BASELINE_PER_MINUTE,
                              SERVE_ENGINE_BASELINE_PER_MINUTE, fleet->now_ms);
}

static bool is_any(const char *state, const char *const *names) {
    for (; *names != NULL; names++)
        if (strcmp(state, *names) == 0)
            return true;
    return false;
}

static struct rollout_device device_view(const struct store_device *device,
                                         const struct bundle_checkin *m) {
    static const char *const swapped[] = {"activating", "rebooting", "probation", "committed",
                                          NULL};
    static const char *const back[] = {"reverting", NULL};
    static const char *const sham[] = {"sham_restarting", "sham_probation", NULL};
    return (struct rollout_device){.rollout = device->task.rollout,
                                   .attempt = device->task.attempt,
                                   .task = device->task.state,
                                   .bundle = device->task.bundle,
                                   .held = device->held,
                                   .cloned = device->clone_s != 0,
                                   .direct_attempt = device->direct_attempt,
                                   .since_s = device->task.since_s,
                                   .code = device->task.code,
                                   .updating = m->has_update,
                                   .update_rollout = m->rollout,
                                   .update_attempt = m->attempt,
                                   .update_bundle = m->bundle,
                                   .look = m->look,
                                   .probation = is_any(m->state, swapped),
                                   .going_back = is_any(m->state, back),
                                   .shamming = is_any(m->state, sham)};
}

static bool stands_aside(enum rollout_task task) {
    return task == ROLLOUT_TASK_ALREADY || task == ROLLOUT_TASK_SKIPPED;
}

static struct store_device_task task_of(const struct serve_fleet_view *view, size_t candidate,
                                        enum rollout_task state) {
    const struct rollout_candidate *c = &view->candidates[candidate];
    struct store_device_task task = {
        .state = state, .stage = c->stage, .stratum = view->beside[candidate].stratum};
    (void)snprintf(task.rollout, sizeof task.rollout, "%s", c->policy->name);
    if (c->fit.fits)
        task.bundle = c->fit.bundle;
    return task;
}

// Notes what the device becomes. Its task stays what it was while it only stands aside: what it
// runs because of a rollout is not forgotten over one that has nothing for it.
static int mark(const struct serve_fleet *fleet, struct store_device *device,
                const struct serve_fleet_view *view, const struct rollout_decision *decision,
                struct err *e) {
    struct store_device_task *task = &device->task;
    bool direct = decision->candidate == ROLLOUT_DECIDE_NO_CANDIDATE;
    struct store_device_task to = {.state = ROLLOUT_TASK_NONE};
    if (!direct)
        to = task_of(view, decision->candidate, ROLLOUT_TASK_NONE);
    bool same = task->state != ROLLOUT_TASK_NONE && strcmp(task->rollout, to.rollout) == 0;
    bool busy = task->state != ROLLOUT_TASK_NONE && task->state != ROLLOUT_TASK_CANCELLED &&
                !stands_aside(task->state);
    if (!same && busy && stands_aside(decision->mark)) {
        to.state = decision->mark;
        return serve_fleet_aside(fleet, view->beside[decision->candidate].rollout, device->id, &to,
                                 e);
    }
    if (!same && serve_fleet_turn(fleet, device, &to, e) < 0)
        return -1;
    if (serve_fleet_move(fleet, device, decision->mark, e) < 0)
        return -1;
    if (decision->action == ROLLOUT_ACTION_INSTALL) {
        task->attempt = decision->attempt;
        task->bundle = decision->bundle;
        task->code[0] = '\0';
        return serve_evidence_offered(
            fleet, direct ? NULL : view->beside[decision->candidate].rollout, device->id, e);
    }
    if (!direct && decision->mark != ROLLOUT_TASK_CANCELLED) // its last reports are about its own
        task->attempt = view->candidates[decision->candidate].progress->attempt;
    return 0;
}

// An older rollout of what a newer one is responsible for does not wait for the device.
static int step_aside(const struct serve_fleet *fleet, const struct store_device *device,
                      const struct serve_fleet_view *view, const struct rollout_inputs *in,
                      struct err *e) {
    for (size_t i = 0; i < view->n_candidates; i++) {
        struct serve_engine_rollout *r = view->beside[i].rollout;
        const struct rollout_candidate *c = &view->candidates[i];
        if (serve_fleet_is_part(device, r) || rollout_advance_ended(c->progress->state) ||
            c->stage >= c->policy->n_stages || !rollout_decide_superseded(in, i))
            continue;
        struct store_device_task as = task_of(view, i, ROLLOUT_TASK_SKIPPED);
        if (serve_fleet_aside(fleet, r, device->id, &as, e) < 0)
            return -1;
    }
    return 0;
}

// ── Evidence ──

static bool is_candidate(const struct serve_fleet_view *view,
                         const struct serve_engine_rollout *r) {
    for (size_t i = 0; i < view->n_candidates; i++)
        if (view->beside[i].rollout == r)
            return view->candidates[i].selected;
    return false;
}

// Of those that do not select it (any more).
static int hear_others(const struct serve_fleet *fleet, const struct store_device *device,
                       const struct serve_fleet_view *view, struct err *e) {
    for (size_t i = 0; i < fleet->engine->n_rollouts; i++) {
        struct serve_engine_rollout *r = fleet->engine->rollouts[i];
        if (serve_evidence_counts(r) && !is_candidate(view, r) &&
            serve_evidence_unselected(fleet, r, device, view->facts, e) < 0)
            return -1;
    }
    return 0;
}

// Its check-in counts for the gates of the rollouts that select it, before anything is decided.
static int hear(const struct serve_fleet *fleet, const struct store_device *device,
                const struct serve_fleet_view *view, struct err *e) {
    for (size_t i = 0; i < view->n_candidates; i++) {
        struct rollout_candidate *c = &view->candidates[i];
        const struct serve_fleet_beside *b = &view->beside[i];
        struct serve_evidence_place place = {.stratum = b->stratum,
                                             .stage = c->stage,
                                             .rank = b->rank,
                                             .admitted = c->admission == ROLLOUT_ADMISSION_OPEN,
                                             .named = rollout_policy_named(c->policy, device->id) <
                                                      c->policy->n_stages,
                                             .fits = c->fit.fits && !c->fit.runs,
                                             .shams = b->shams,
                                             .facts = view->facts};
        struct serve_evidence_standing standing = {.compared = false};
        if (c->selected && serve_evidence_counts(b->rollout) &&
            serve_evidence_heard(fleet, b->rollout, device, &place, &standing, e) < 0)
            return -1;
        c->compared = standing.compared;
        c->sham = standing.sham && b->shams;
    }
    return hear_others(fleet, device, view, e);
}

static int foresee_compared(const struct serve_fleet *fleet, const struct store_device *device,
                            const struct serve_fleet_view *view, struct err *e) {
    for (size_t i = 0; i < view->n_candidates; i++) {
        const struct serve_engine_rollout *r = view->beside[i].rollout;
        struct serve_evidence_standing standing = {.compared = false};
        if (serve_evidence_counts(r) &&
            serve_evidence_compared(fleet, r, device->id, view->facts, &standing, e) < 0)
            return -1;
        view->candidates[i].compared = standing.compared;
        view->candidates[i].sham = standing.sham && view->beside[i].shams;
    }
    return 0;
}

// The inputs borrow from view.
static int look_up(const struct serve_fleet *fleet, const struct store_device *device,
                   const struct bundle_checkin *checkin, struct serve_fleet_view *view,
                   struct rollout_inputs *ret, struct err *e) {
    if (prepare(fleet, device, view, e) < 0 || collect(fleet, device, view, e) < 0 ||
        find_pin(fleet, device, &view->pin, view, e) < 0)
        return -1;
    *ret = (struct rollout_inputs){.device = device_view(device, checkin),
                                   .candidates = view->candidates,
                                   .n_candidates = view->n_candidates,
                                   .pin = device->pin_name[0] == '\0' ? NULL : &view->pin,
                                   .baselines = view->baselines,
                                   .n_baselines = view->n_baselines,
                                   .baseline_allowed = has_room(fleet),
                                   .now_s = fleet->now_ms / 1000};
    return 0;
}

// It is told to go back: once is all, whichever rollout brings the release again.
static int note_revert(const struct serve_fleet *fleet, const struct store_device *device,
                       struct serve_engine_rollout *r, struct err *e) {
    const struct rollout_policy *policy = &r->row.policy;
    struct store_undone undone = {.at_s = fleet->now_ms / 1000};
    (void)snprintf(undone.rollout, sizeof undone.rollout, "%s", policy->name);
    rollout_bucket_take(&r->reverts);
    return store_undone_add(fleet->db, device->id, policy->release_name, policy->release_version,
                            &undone, e);
}

static int decide(const struct serve_fleet *fleet, struct store_device *device,
                  const struct bundle_checkin *checkin, struct serve_fleet_view *view,
                  struct rollout_decision *ret, struct err *e) {
    struct rollout_inputs in;
    if (look_up(fleet, device, checkin, view, &in, e) < 0 || hear(fleet, device, view, e) < 0)
        return -1;
    rollout_decide(&in, ret);
    if (ret->spent_baseline)
        rollout_bucket_take(&fleet->engine->baselines);
    if (ret->spent_offer)
        rollout_bucket_take(&view->beside[ret->candidate].rollout->offers);
    (void)snprintf(device->why_code, sizeof device->why_code, "%s",
                   rollout_why_name(ret->why.code));
    (void)snprintf(device->why_text, sizeof device->why_text, "%s", ret->why.text);
    if (ret->spent_revert &&
        note_revert(fleet, device, view->beside[ret->candidate].rollout, e) < 0)
        return -1;
    if (ret->mark != ROLLOUT_TASK_NONE && mark(fleet, device, view, ret, e) < 0)
        return -1;
    return step_aside(fleet, device, view, &in, e);
}

int serve_fleet_decide(const struct serve_fleet *fleet, struct store_device *device,
                       const struct bundle_checkin *checkin, struct rollout_decision *ret,
                       struct err *e) {
    struct serve_fleet_view view = {.n_candidates = 0};
    int done = decide(fleet, device, checkin, &view, ret, e);
    clear(&view);
    return done;
}

// As much of a check-in as a decision needs.
static void remember(const json_t *said, struct bundle_checkin *ret) {
    const char *state = json_string_value(json_object_get(said, "state"));
    const json_t *update = json_object_get(said, "update");
    const char *rollout = json_string_value(json_object_get(update, "rollout"));
    const char *bundle = json_string_value(json_object_get(update, "bundle"));
    struct err ignored = ERR_NONE;
    (void)snprintf(ret->state, sizeof ret->state, "%s", state == NULL ? "" : state);
    if (rollout == NULL || bundle == NULL ||
        keys_digest_parse(bundle, "bundle", &ret->bundle, &ignored) < 0)
        return;
    ret->has_update = true;
    ret->look = json_is_true(json_object_get(update, "look"));
    ret->attempt = (uint64_t)json_integer_value(json_object_get(update, "attempt"));
    (void)snprintf(ret->rollout, sizeof ret->rollout, "%s", rollout);
}

// What was looked up for a device that says what it said last.
struct foresight {
    struct serve_fleet_view view;
    struct rollout_inputs in;
    struct bundle_checkin checkin;
};

static int look_ahead(const struct serve_fleet *fleet, const struct store_device *device,
                      struct foresight *ret, struct err *e) {
    remember(device->said, &ret->checkin);
    if (look_up(fleet, device, &ret->checkin, &ret->view, &ret->in, e) < 0)
        return -1;
    return foresee_compared(fleet, device, &ret->view, e);
}

int serve_fleet_foresee(const struct serve_fleet *fleet, const struct store_device *device,
                        struct rollout_decision *ret, struct err *e) {
    OWN(mem) struct foresight *f = calloc(1, sizeof *f);
    if (f == NULL)
        return err_set(e, &err_memory, "deciding for %s: out of memory", device->id);
    int done = look_ahead(fleet, device, f, e);
    if (done == 0)
        rollout_decide(&f->in, ret);
    clear(&f->view);
    return done;
}

// ── Each rollout by itself ──

static void say_selector(const struct serve_engine_rollout *r, const struct bundle_facts *facts,
                         struct rollout_why *ret) {
    char reason[BUNDLE_PREDICATE_REASON_BYTES];
    const char *what = "selector";
    if (bundle_predicate_holds(r->selector, facts, reason)) {
        what = "scope of whoever applied it";
        (void)bundle_predicate_holds(r->scope, facts, reason);
    }
    rollout_why_set(ret, ROLLOUT_WHY_not_selected, "the %s of rollout %s does not hold: %.300s",
                    what, r->row.policy.name, reason);
}

static void say_alone(const struct foresight *f, const struct serve_engine_rollout *r,
                      struct rollout_why *ret) {
    struct rollout_decision decision;
    size_t i = 0;
    while (i < f->view.n_candidates && f->view.beside[i].rollout != r)
        i++;
    if (i == f->view.n_candidates || !f->view.candidates[i].selected) {
        say_selector(r, f->view.facts, ret);
        return;
    }
    struct rollout_inputs in = f->in;
    in.candidates = &f->view.candidates[i];
    in.n_candidates = 1;
    in.n_baselines = 0;
    rollout_decide(&in, &decision);
    *ret = decision.why;
}

int serve_fleet_foresee_each(const struct serve_fleet *fleet, const struct store_device *device,
                             serve_fleet_visit_why visit, void *context, struct err *e) {
    const struct serve_engine *engine = fleet->engine;
    OWN(mem) struct foresight *f = calloc(1, sizeof *f);
    if (f == NULL)
        return err_set(e, &err_memory, "deciding for %s: out of memory", device->id);
    int done = look_ahead(fleet, device, f, e);
    for (size_t i = engine->n_rollouts; done == 0 && i-- > 0;) {
        const struct serve_engine_rollout *r = engine->rollouts[i];
        struct rollout_why why;
        if (rollout_advance_ended(r->row.progress.state))
            continue;
        say_alone(f, r, &why);
        done = visit(context, r->row.policy.name, &why, e);
    }
    clear(&f->view);
    return done;
}
