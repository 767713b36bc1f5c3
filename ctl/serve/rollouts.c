// SPDX-License-Identifier: Apache-2.0
//
// Rollouts and releases of the admin API.
#include "ctl/serve/rollouts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/random.h"
#include "ctl/kind.h"
#include "ctl/rollout/policy/read.h"
#include "ctl/serve/admin.h"
#include "ctl/serve/delta.h"
#include "ctl/serve/fleet.h"
#include "ctl/serve/mandate.h"
#include "ctl/serve/plan.h"
#include "ctl/serve/repository.h"
#include "ctl/serve/server.h"
#include "ctl/serve/show.h"
#include "ctl/serve/show_remains.h"

static struct serve_fleet fleet_of(struct store_db *db, struct serve_call *call) {
    return (struct serve_fleet){.engine = call->server->engine, .db = db, .now_ms = call->now_ms};
}

int serve_rollouts_list(struct store_db *db, struct serve_call *call, struct err *e) {
    const struct serve_engine *engine = call->server->engine;
    json_t *all = json_array();
    (void)db;
    for (size_t i = engine->n_rollouts; i-- > 0;)
        if (serve_admin_sees_rollout(call, engine->rollouts[i]))
            (void)json_array_append_new(all, serve_show_rollout_summary(engine->rollouts[i]));
    return serve_call_answer(call, 200, json_pack("{s:o}", "rollouts", all), e);
}

int serve_rollouts_show(struct store_db *db, struct serve_call *call, struct err *e) {
    struct serve_engine_rollout *r = NULL;
    json_t *deltas = NULL;
    if (serve_admin_rollout(call, &r, e) < 0 ||
        serve_delta_show(call->server->deltas, db, r, &deltas, e) < 0)
        return -1;
    OWN(json) json_t *shown = serve_show_rollout(r);
    if (json_object_set_new(shown, "deltas", deltas) < 0)
        return err_set(e, &err_memory, "showing a rollout: out of memory");
    if (serve_mandate_show(db, call->server, r, shown, e) < 0 ||
        serve_show_remains(db, call->server, r, serve_call_now_s(call), shown, e) < 0)
        return -1;
    return serve_call_answer(call, 200, own_take(&shown), e);
}

// ── Apply ──

#define DRIFT_DEFAULT_PPM 100000

// What is applied: a policy by itself, for which bounds are found now, or with a plan of it.
struct application {
    json_t *policy;  // borrowed
    json_t *mandate; // borrowed; NULL: none came along
    bool has_plan;
    struct serve_plan_given plan;
};

// The same policy again is the same rollout; another one needs another name, and so does another
// plan of the same.
static int apply_again(struct serve_call *call, const struct rollout_policy *policy,
                       const struct application *how, const struct serve_engine_rollout *there,
                       struct err *e) {
    OWN(json) json_t *a = NULL;
    OWN(json) json_t *b = NULL;
    if (!serve_admin_sees_rollout(call, there))
        return err_set(e, &err_exists, "a rollout named %s exists; choose another name",
                       policy->name);
    if (rollout_policy_format(policy, &a, e) < 0 ||
        rollout_policy_format(&there->row.policy, &b, e) < 0)
        return -1;
    if (!json_equal(a, b))
        return err_set(e, &err_exists,
                       "a rollout named %s exists with another policy; a policy does not change "
                       "once applied: give the new one another name",
                       policy->name);
    if (how->has_plan && memcmp(how->plan.read.seed, there->row.seed, sizeof there->row.seed) != 0)
        return err_set(e, &err_exists,
                       "a rollout named %s exists with another plan of this policy; what is under "
                       "way does not change: give the new one another name",
                       policy->name);
    return serve_call_answer(call, 200, serve_show_rollout(there), e);
}

static bool is_published(const struct serve_engine *engine, const struct rollout_policy *policy) {
    for (size_t i = 0; i < engine->n_bundles; i++)
        if (strcmp(engine->bundles[i].row.name, policy->release_name) == 0 &&
            strcmp(engine->bundles[i].row.version, policy->release_version) == 0)
            return true;
    return false;
}

static int find_bounds(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                       const struct application *a, struct err *e) {
    return a->has_plan ? serve_plan_take(fleet, r, &a->plan, e) : serve_fleet_plan(fleet, r, e);
}

static int start(struct store_db *db, struct serve_call *call, const struct store_rollout *row,
                 const struct application *a, struct err *e) {
    struct serve_fleet fleet = fleet_of(db, call);
    struct serve_engine_rollout *r = NULL;
    struct store_event event = {.kind = "rollout_applied"};
    OWN(json) json_t *policy = NULL;
    (void)snprintf(event.subject, sizeof event.subject, "%s", row->policy.name);
    (void)snprintf(event.rollout, sizeof event.rollout, "%s", row->policy.name);
    if (store_rollout_add(db, row, e) < 0 ||
        serve_engine_add(call->server->engine, row, &r, e) < 0 ||
        find_bounds(&fleet, r, a, e) < 0 || serve_mandate_apply(db, call, a->mandate, r, e) < 0 ||
        serve_engine_tell(call->server->engine, db, call->now_ms, &event, e) < 0 ||
        serve_fleet_advance(&fleet, r, e) < 0 ||
        rollout_policy_format(&row->policy, &policy, e) < 0 ||
        serve_admin_audit(db, call, "rollout.apply", row->policy.name, policy, e) < 0)
        return -1;
    return serve_call_answer(call, 201, serve_show_rollout(r), e);
}

// A body with a member plan has the policy beside it; every other one is a policy.
static int read_application(struct serve_call *call, struct rollout_policy *policy,
                            struct application *ret, struct err *e) {
    static const char *const known[] = {"policy", "plan", "mandate", "drift_pct", NULL};
    static const struct policy_read_range percent = {0, ROLLOUT_PPM, "a percentage from 0 to 100"};
    struct doc_at at;
    json_t *plan = json_object_get(call->document, "plan");
    *ret = (struct application){.policy = call->document, .has_plan = plan != NULL};
    ret->plan.drift_ppm = DRIFT_DEFAULT_PPM;
    if (plan == NULL)
        return rollout_policy_parse(ret->policy, "policy", policy, e);
    ret->policy = json_object_get(call->document, "policy");
    ret->mandate = json_object_get(call->document, "mandate");
    if (serve_call_members(call, known, &at, e) < 0 ||
        policy_read_percent(&at, "drift_pct", &percent, &ret->plan.drift_ppm, e) < 0)
        return -1;
    if (!json_is_object(ret->policy) || !json_is_object(plan))
        return err_set(e, &err_bad_request, "expected a plan and the policy that it is of");
    if (rollout_policy_parse(ret->policy, "policy", policy, e) < 0)
        return -1;
    return rollout_plan_read(policy, plan, &ret->plan.read, e);
}

static int apply(struct store_db *db, struct serve_call *call, struct store_rollout *row,
                 struct err *e) {
    struct serve_engine *engine = call->server->engine;
    struct application a;
    if (read_application(call, &row->policy, &a, e) < 0)
        return -1;
    const struct serve_engine_rollout *there = serve_engine_find(engine, row->policy.name);
    if (there != NULL)
        return apply_again(call, &row->policy, &a, there, e);
    if (!is_published(engine, &row->policy))
        return err_set(e, &err_not_found,
                       "applying %s: the release %s %s was not published; publish it first",
                       row->policy.name, row->policy.release_name, row->policy.release_version);
    if (serve_repository_check(call, &row->policy, e) < 0)
        return -1;
    (void)snprintf(row->scope, sizeof row->scope, "%s", call->who.selector);
    (void)snprintf(row->actor, sizeof row->actor, "%s", call->who.name);
    // The order of applying decides which one is newer, and outlives a restart.
    row->created_s = serve_call_now_s(call);
    if (engine->n_rollouts > 0 &&
        row->created_s <= engine->rollouts[engine->n_rollouts - 1]->row.created_s)
        row->created_s = engine->rollouts[engine->n_rollouts - 1]->row.created_s + 1;
    row->progress.attempt = 1;
    row->progress.failed_stage = row->policy.n_stages;
    if (a.has_plan)
        memcpy(row->seed, a.plan.read.seed, sizeof row->seed);
    else
        random_fill(row->seed, sizeof row->seed);
    return start(db, call, row, &a, e);
}

int serve_rollouts_apply(struct store_db *db, struct serve_call *call, struct err *e) {
    OWN(mem) struct store_rollout *row = calloc(1, sizeof *row);
    if (row == NULL)
        return err_set(e, &err_memory, "applying: out of memory");
    return apply(db, call, row, e);
}

// ── By hand ──

static int check_stage(struct serve_call *call, const struct serve_engine_rollout *r,
                       struct err *e) {
    const char *stage = json_string_value(json_object_get(call->document, "stage"));
    const struct rollout_policy *policy = &r->row.policy;
    uint64_t open = r->row.progress.stage;
    if (stage == NULL)
        return 0;
    if (open < policy->n_stages && strcmp(policy->stages[open].name, stage) == 0)
        return 0;
    return err_set(e, &err_rollout_state, "stage %s of rollout %s is not the one that waits", stage,
                   policy->name);
}

static void forget_bad(struct serve_engine_rollout *r) {
    for (size_t i = 0; i < r->row.policy.n_stages * r->n_strata; i++) {
        r->tallies[i].now[ROLLOUT_TASK_FAILED] = 0;
        r->tallies[i].now[ROLLOUT_TASK_REVERTED] = 0;
        r->tallies[i].now[ROLLOUT_TASK_LOST] = 0;
    }
}

// Devices keep the generation before the one they run: what was brought before that is out of
// reach.
static int check_revert(struct store_db *db, const struct serve_engine *engine,
                        const struct serve_engine_rollout *r, struct err *e) {
    struct rollout_tally all = serve_engine_sum(r, r->row.policy.n_stages);
    uint64_t there = 0;
    if (rollout_tally_took(&all) == 0)
        return 0;
    if (store_device_took(db, r->row.policy.name, &there, e) < 0)
        return -1;
    for (size_t i = engine->n_rollouts; there == 0 && i-- > 0 && engine->rollouts[i] != r;) {
        const struct serve_engine_rollout *newer = engine->rollouts[i];
        struct rollout_tally its = serve_engine_sum(newer, newer->row.policy.n_stages);
        if (rollout_tally_took(&its) > 0)
            return err_set(e, &err_rollout_state,
                           "rollout %s: its devices run what rollout %s brought since; revert that",
                           r->row.policy.name, newer->row.policy.name);
    }
    return 0;
}

static int carry_out(struct store_db *db, struct serve_call *call, struct serve_engine_rollout *r,
                     enum rollout_verb verb, const char *action, struct rollout_why *ret_note,
                     struct err *e) {
    struct serve_fleet fleet = fleet_of(db, call);
    struct rollout_progress before = r->row.progress;
    int done = rollout_advance_by_hand(&r->row.policy, verb, serve_call_now_s(call),
                                       &r->row.progress, ret_note);
    if (done == ROLLOUT_REFUSED)
        return err_set(e, &err_rollout_state, "rollout %s: %.400s", r->row.policy.name,
                       ret_note->text);
    if (done == ROLLOUT_UNCHANGED)
        return 0;
    if (verb == ROLLOUT_VERB_APPROVE && strcmp(call->who.name, r->row.actor) == 0)
        return err_set(e, &err_permission,
                       "rollout %s was applied by %s, and another person has to approve its "
                       "stages: use another token",
                       r->row.policy.name, r->row.actor);
    if (verb == ROLLOUT_VERB_REVERT && check_revert(db, call->server->engine, r, e) < 0)
        return -1;
    if (r->row.progress.attempt > before.attempt) {
        if (store_rollout_forget_bad(db, r->row.policy.name, e) < 0)
            return -1;
        forget_bad(r);
    }
    if (serve_fleet_keep(&fleet, r, &before, e) < 0 || serve_fleet_advance(&fleet, r, e) < 0)
        return -1;
    return serve_admin_audit(db, call, action, r->row.policy.name, call->document, e);
}

// Whoever approves may bring what was signed for the stages that follow.
static int check_mandate(struct store_db *db, struct serve_call *call,
                         struct serve_engine_rollout *r, struct err *e) {
    const struct rollout_progress *p = &r->row.progress;
    const json_t *mandate = json_object_get(call->document, "mandate");
    bool over = p->state == ROLLOUT_STATE_FINISHED;
    if (!over && (p->stage >= r->row.policy.n_stages || rollout_advance_ended(p->state)))
        return 0;
    if ((over ? serve_mandate_renew : serve_mandate_approve)(db, call, mandate, r, e) < 0)
        return -1;
    // The audit says that there was one; the store has it.
    return mandate == NULL || json_object_set_new(call->document, "mandate", json_true()) == 0
               ? 0
               : err_set(e, &err_memory, "approving: out of memory");
}

static int by_hand(struct store_db *db, struct serve_call *call, enum rollout_verb verb,
                   const char *action, const char *member, struct err *e) {
    bool approves = verb == ROLLOUT_VERB_APPROVE;
    const char *const known[] = {member, approves ? "mandate" : NULL, NULL};
    struct serve_engine_rollout *r = NULL;
    struct rollout_why note = {.code = ROLLOUT_WHY_NONE};
    struct doc_at at;
    if (serve_call_members(call, known, &at, e) < 0 || serve_admin_rollout(call, &r, e) < 0 ||
        check_stage(call, r, e) < 0 || (approves && check_mandate(db, call, r, e) < 0))
        return -1;
    bool renewed = approves && r->row.progress.state == ROLLOUT_STATE_FINISHED &&
                   json_is_true(json_object_get(call->document, "mandate"));
    if ((renewed ? serve_admin_audit(db, call, action, r->row.policy.name, call->document, e)
                 : carry_out(db, call, r, verb, action, &note, e)) < 0)
        return -1;
    OWN(json) json_t *shown = serve_show_rollout(r);
    if (serve_show_remains(db, call->server, r, serve_call_now_s(call), shown, e) < 0)
        return -1;
    if (note.text[0] != '\0' && json_object_set_new(shown, "note", json_string(note.text)) < 0)
        return err_set(e, &err_memory, "showing a rollout: out of memory");
    return serve_call_answer(call, 200, own_take(&shown), e);
}

int serve_rollouts_approve(struct store_db *db, struct serve_call *call, struct err *e) {
    return by_hand(db, call, ROLLOUT_VERB_APPROVE, "rollout.approve", "stage", e);
}

int serve_rollouts_pause(struct store_db *db, struct serve_call *call, struct err *e) {
    return by_hand(db, call, ROLLOUT_VERB_PAUSE, "rollout.pause", NULL, e);
}

int serve_rollouts_resume(struct store_db *db, struct serve_call *call, struct err *e) {
    return by_hand(db, call, ROLLOUT_VERB_RESUME, "rollout.resume", NULL, e);
}

int serve_rollouts_abort(struct store_db *db, struct serve_call *call, struct err *e) {
    struct doc_at at;
    bool revert = false;
    if (doc_root(call->document, "body", &at, e) < 0 || doc_bool_opt(&at, "revert", &revert, e) < 0)
        return -1;
    return by_hand(db, call, revert ? ROLLOUT_VERB_REVERT : ROLLOUT_VERB_ABORT,
                   revert ? "rollout.revert" : "rollout.abort", "revert", e);
}

int serve_rollouts_revert(struct store_db *db, struct serve_call *call, struct err *e) {
    return by_hand(db, call, ROLLOUT_VERB_REVERT, "rollout.revert", NULL, e);
}

// ── Releases ──

struct releases {
    struct store_db *db;
    const struct serve_server *server;
    json_t *all;
    json_t *last; // borrowed: the release that bundles are added to
};

// The deltas that lead to a bundle are shown with it.
struct deltas {
    const struct serve_server *server;
    const struct store_bundle *bundle;
    json_t *all;
};

static int add_delta(void *context, const struct store_delta *d, struct err *e) {
    struct deltas *deltas = context;
    json_t *shown = serve_show_delta(deltas->server, deltas->bundle, d);
    return json_array_append_new(deltas->all, shown) < 0
               ? err_set(e, &err_memory, "listing releases: out of memory")
               : 0;
}

static int show_bundle(const struct releases *r, const struct store_bundle *b, json_t **ret,
                       struct err *e) {
    struct deltas deltas = {.server = r->server, .bundle = b, .all = json_array()};
    OWN(json) json_t *shown = serve_show_bundle(b);
    if (json_object_set_new(shown, "deltas", deltas.all) < 0)
        return err_set(e, &err_memory, "listing releases: out of memory");
    if (store_delta_list(r->db, b->id, add_delta, &deltas, e) < 0)
        return -1;
    *ret = own_take(&shown);
    return 0;
}

static int add_bundle(void *context, const struct store_bundle *b, struct err *e) {
    struct releases *r = context;
    json_t *shown = NULL;
    const char *version = json_string_value(json_object_get(r->last, "version"));
    const char *name = json_string_value(json_object_get(r->last, "name"));
    if (name == NULL || strcmp(name, b->name) != 0 || strcmp(version, b->version) != 0) {
        r->last = json_pack("{s:s, s:s, s:o, s:[]}", "name", b->name, "version", b->version,
                            "published", serve_show_time(b->published_s), "bundles");
        if (json_array_append_new(r->all, r->last) < 0)
            return err_set(e, &err_memory, "listing releases: out of memory");
    }
    if (show_bundle(r, b, &shown, e) < 0)
        return -1;
    if (json_array_append_new(json_object_get(r->last, "bundles"), shown) < 0)
        return err_set(e, &err_memory, "listing releases: out of memory");
    return 0;
}

int serve_rollouts_list_releases(struct store_db *db, struct serve_call *call, struct err *e) {
    struct releases r = {.db = db, .server = call->server, .all = json_array()};
    if (store_release_list(db, serve_call_query(call, "name"), NULL, add_bundle, &r, e) < 0) {
        json_decref(r.all);
        return -1;
    }
    return serve_call_answer(call, 200, json_pack("{s:o}", "releases", r.all), e);
}

int serve_rollouts_show_release(struct store_db *db, struct serve_call *call, struct err *e) {
    struct releases r = {.db = db, .server = call->server, .all = json_array()};
    int done = store_release_list(db, call->args[0], call->args[1], add_bundle, &r, e);
    if (done == 0 && json_array_size(r.all) == 0)
        done = err_set(e, &err_not_found, "the release %s %s was not published", call->args[0],
                       call->args[1]);
    if (done == 0)
        done = serve_call_answer(call, 200, json_incref(json_array_get(r.all, 0)), e);
    json_decref(r.all);
    return done;
}
