// SPDX-License-Identifier: Apache-2.0
//
// A device in several rollouts: its task is one's; in the others it counts as what became of it
// there, or stands aside.
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "ctl/rollout/unit.h"
#include "ctl/serve/fleet.h"
#include "ctl/store/part.h"

static bool is_live(const struct serve_engine_rollout *r) {
    return !rollout_advance_ended(r->row.progress.state);
}

bool serve_fleet_is_part(const struct store_device *device, const struct serve_engine_rollout *r) {
    return device->task.state != ROLLOUT_TASK_NONE &&
           strcmp(device->task.rollout, r->row.policy.name) == 0;
}

// Waiting for an outcome that will not come any more ends; an outcome is kept where it may matter.
static int leave(const struct serve_fleet *fleet, struct store_device *device, struct err *e) {
    const struct store_device_task *task = &device->task;
    const struct serve_engine_rollout *r = serve_engine_find(fleet->engine, task->rollout);
    if (rollout_task_unresolved(task->state) &&
        serve_fleet_move(fleet, device, ROLLOUT_TASK_CANCELLED, e) < 0)
        return -1;
    if (task->state == ROLLOUT_TASK_NONE || r == NULL || !is_live(r))
        return 0;
    return store_part_put(fleet->db, device->id, task, e);
}

int serve_fleet_turn(const struct serve_fleet *fleet, struct store_device *device,
                     const struct store_device_task *to, struct err *e) {
    struct store_device_task task = *to;
    int found = STORE_ABSENT;
    if (leave(fleet, device, e) < 0)
        return -1;
    if (to->rollout[0] != '\0')
        found = store_part_get(fleet->db, device->id, to->rollout, &task, e);
    if (found < 0 || (found == 0 && store_part_drop(fleet->db, device->id, to->rollout, e) < 0))
        return -1;
    device->task = task;
    return 0;
}

int serve_fleet_aside(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                      const char *device, const struct store_device_task *as, struct err *e) {
    struct store_device_task task = *as;
    task.state = ROLLOUT_TASK_NONE;
    if (store_part_get(fleet->db, device, r->row.policy.name, &task, e) < 0)
        return -1;
    bool open = task.state == ROLLOUT_TASK_NONE || task.state == ROLLOUT_TASK_SKIPPED ||
                task.state == ROLLOUT_TASK_ALREADY;
    if (!open || task.state == as->state)
        return 0;
    if (serve_fleet_count(fleet, r, device, &task, as->state, e) < 0)
        return -1;
    task.state = as->state;
    task.attempt = r->row.progress.attempt;
    task.since_s = fleet->now_ms / 1000;
    if (store_part_put(fleet->db, device, &task, e) < 0)
        return -1;
    return serve_fleet_advance(fleet, r, e);
}

// ── Taken out by an operator ──

static bool selects(const struct serve_engine_rollout *r, const struct bundle_facts *facts) {
    char reason[BUNDLE_PREDICATE_REASON_BYTES];
    return bundle_predicate_holds(r->selector, facts, reason) &&
           bundle_predicate_holds(r->scope, facts, reason);
}

static int excuse(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                  const struct store_device *device, const struct bundle_facts *facts,
                  struct err *e) {
    const struct rollout_policy *policy = &r->row.policy;
    struct store_device_task as = {.state = ROLLOUT_TASK_SKIPPED};
    OWN(buf) struct buf key;
    size_t stratum = 0;
    buf_init(&key, BUNDLE_STRATUM_KEY_MAX_BYTES);
    if (bundle_stratum_key(policy->stratify, policy->n_stratify, facts, &key, e) < 0 ||
        serve_engine_stratum(fleet->db, r, buf_text(&key), &stratum, e) < 0)
        return -1;
    as.stage =
        rollout_strata_admits(policy, &r->strata[stratum].plan, device->id,
                              rollout_unit_rank(&policy->gates, device->id, facts, r->row.seed));
    as.stratum = stratum;
    (void)snprintf(as.rollout, sizeof as.rollout, "%s", policy->name);
    return as.stage < policy->n_stages ? serve_fleet_aside(fleet, r, device->id, &as, e) : 0;
}

int serve_fleet_excuse(const struct serve_fleet *fleet, const struct store_device *device,
                       const struct store_device *after, struct err *e) {
    struct serve_engine *engine = fleet->engine;
    struct bundle_facts *was = NULL, *is = NULL;
    int done = 0;
    if (device->state != STORE_DEVICE_ACCEPTED)
        return 0;
    if (serve_engine_facts(device, &was, e) < 0 ||
        (after != NULL && serve_engine_facts(after, &is, e) < 0))
        done = -1;
    for (size_t i = 0; done == 0 && i < engine->n_rollouts; i++) {
        struct serve_engine_rollout *r = engine->rollouts[i];
        // Whoever came later was not counted on.
        if (is_live(r) && !serve_fleet_is_part(device, r) &&
            device->created_s <= r->row.created_s && selects(r, was) &&
            (is == NULL || !selects(r, is)))
            done = excuse(fleet, r, device, was, e);
    }
    bundle_facts_free(was);
    bundle_facts_free(is);
    return done;
}
