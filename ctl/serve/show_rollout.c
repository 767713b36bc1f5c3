// SPDX-License-Identifier: Apache-2.0
//
// JSON of rollouts.
#include <string.h>

#include "ctl/serve/show.h"
#include "ctl/serve/show_evidence.h"
#include "ctl/serve/spent.h"

static json_t *name_of_stage(const struct serve_engine_rollout *r, uint64_t stage) {
    return stage < r->row.policy.n_stages ? json_string(r->row.policy.stages[stage].name)
                                          : json_null();
}

static json_t *show_why(const struct rollout_why *why) {
    return serve_show_why(rollout_why_name(why->code), why->text);
}

json_t *serve_show_rollout_summary(const struct serve_engine_rollout *r) {
    const struct rollout_policy *policy = &r->row.policy;
    const struct rollout_progress *progress = &r->row.progress;
    return json_pack("{s:s, s:o, s:s, s:I, s:o, s:o, s:s, s:o}", "name", policy->name, "release",
                     serve_show_release(policy->release_name, policy->release_version), "state",
                     rollout_advance_state_name(progress->state), "attempt",
                     (json_int_t)progress->attempt, "stage", name_of_stage(r, progress->stage),
                     "created", serve_show_time(r->row.created_s), "by", r->row.actor, "why",
                     show_why(&progress->why));
}

static void add_tally(json_t *to, const struct rollout_tally *t) {
    const struct {
        const char *key;
        uint64_t n;
    } counts[] = {{"planned", t->planned},
                  {"offered", rollout_tally_offered(t)},
                  {"unresolved", rollout_tally_unresolved(t)},
                  {"committed", t->now[ROLLOUT_TASK_COMMITTED]},
                  {"failed", t->now[ROLLOUT_TASK_FAILED]},
                  {"reverted", t->now[ROLLOUT_TASK_REVERTED]},
                  {"lost", t->now[ROLLOUT_TASK_LOST]},
                  {"cancelled", t->now[ROLLOUT_TASK_CANCELLED]},
                  {"already", t->now[ROLLOUT_TASK_ALREADY]},
                  {"skipped", t->now[ROLLOUT_TASK_SKIPPED]}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        (void)json_object_set_new(to, counts[i].key, json_integer((json_int_t)counts[i].n));
}

static json_t *show_strata(const struct serve_engine_rollout *r, size_t stage) {
    json_t *all = json_array();
    for (size_t s = 0; s < r->n_strata && r->row.policy.n_stratify > 0; s++) {
        json_t *facts = json_loads(r->strata[s].key, JSON_REJECT_DUPLICATES, NULL);
        json_t *one = json_pack("{s:o}", "facts", facts == NULL ? json_object() : facts);
        add_tally(one, &r->tallies[stage * r->n_strata + s]);
        (void)json_array_append_new(all, one);
    }
    return all;
}

// Why a stage is where it is: the rollout's why for the one that is open or failed.
static json_t *stage_why(const struct serve_engine_rollout *r, size_t stage) {
    const struct rollout_progress *p = &r->row.progress;
    if (p->failed_stage == stage ||
        (p->stage == stage && p->failed_stage >= r->row.policy.n_stages))
        return show_why(&p->why);
    return serve_show_why("", "");
}

static json_t *show_stage(const struct serve_engine_rollout *r, size_t i) {
    const struct rollout_stage_policy *stage = &r->row.policy.stages[i];
    const struct rollout_progress *p = &r->row.progress;
    enum rollout_stage_state state = rollout_advance_stage(&r->row.policy, p, i);
    struct rollout_tally tally = serve_engine_sum(r, i);
    int64_t soak_until =
        state == ROLLOUT_STAGE_SOAKING ? p->complete_s + (int64_t)stage->soak_s : 0;
    json_t *made = json_pack(
        "{s:s, s:s, s:b, s:b, s:o, s:o, s:o, s:o}", "name", stage->name, "state",
        rollout_advance_stage_name(state), "approve", (int)stage->approve, "approved",
        (int)((p->approved >> i) & 1U), "started", serve_show_time(p->started_s[i]), "soak_until",
        serve_show_time(soak_until), "why", stage_why(r, i), "strata", show_strata(r, i));
    add_tally(made, &tally);
    return made;
}

json_t *serve_show_rollout(const struct serve_engine_rollout *r) {
    json_t *made = serve_show_rollout_summary(r), *stages = json_array(), *policy = NULL;
    struct err ignored = ERR_NONE;
    for (size_t i = 0; i < r->row.policy.n_stages; i++)
        (void)json_array_append_new(stages, show_stage(r, i));
    if (rollout_policy_format(&r->row.policy, &policy, &ignored) < 0 ||
        json_object_set_new(made, "scope", json_string(r->row.scope)) < 0 ||
        json_object_set_new(made, "policy", policy) < 0 ||
        json_object_set_new(made, "stages", stages) < 0 ||
        json_object_set_new(made, "bytes", serve_spent_show(r->bytes)) < 0 ||
        json_object_set_new(made, "batch", serve_show_batch(r)) < 0 ||
        json_object_set_new(made, "evidence", serve_show_evidence(r)) < 0) {
        json_decref(made);
        return NULL;
    }
    return made;
}
