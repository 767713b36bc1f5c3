// SPDX-License-Identifier: Apache-2.0
//
// What time brings: devices that are not heard of, or do not finish, are lost; stages are over.
#include <stdio.h>

#include "ctl/rollout/retry.h"
#include "ctl/serve/evidence.h"
#include "ctl/serve/fleet.h"
#include "ctl/store/mandate.h"

#define LOST_PER_TICK 256

static const enum rollout_task phases[] = {ROLLOUT_TASK_OFFERED, ROLLOUT_TASK_STAGED,
                                           ROLLOUT_TASK_ACTIVATED};
#define PHASES (sizeof phases / sizeof *phases)

static int64_t now_s(const struct serve_fleet *fleet) {
    return fleet->now_ms / 1000;
}

// Whoever was heard of, or began, before this waited for longer than so long.
static int64_t before_s(const struct serve_fleet *fleet, uint64_t timeout_s) {
    return rollout_downtime_before_s(&fleet->engine->down, now_s(fleet), timeout_s) + 1;
}

// ── Lost ──

struct lost {
    size_t n;
    char ids[LOST_PER_TICK][BUNDLE_DEVICE_ID_MAX + 1];
};

// The query is still open here: the devices are changed afterwards.
static int note_lost(void *context, const struct store_device *device, struct err *e) {
    struct lost *lost = context;
    (void)e;
    (void)snprintf(lost->ids[lost->n++], sizeof lost->ids[0], "%s", device->id);
    return lost->n == LOST_PER_TICK ? 1 : 0;
}

// Whom an operator holds before it activated does not go on because of that: nothing is said about
// the release, and it is not waited for.
static int excuse(const struct serve_fleet *fleet, struct store_device *device, struct err *e) {
    if (serve_fleet_move(fleet, device, ROLLOUT_TASK_CANCELLED, e) < 0 ||
        store_device_put(fleet->db, device, e) < 0)
        return -1;
    return serve_fleet_tell(fleet, "device_cancelled", device->id, device->task.rollout,
                            rollout_why_name(ROLLOUT_WHY_held),
                            "took the offer, and an operator has held it since for longer than is "
                            "waited for a device: it does not count",
                            e);
}

static int lose(const struct serve_fleet *fleet, struct store_device *device, const char *code,
                const char *text, struct err *e) {
    bool begun = device->task.state == ROLLOUT_TASK_ACTIVATED;
    if (!rollout_task_unresolved(device->task.state)) // what came before it in this tick ended it
        return 0;
    if (device->held && !begun)
        return excuse(fleet, device, e);
    (void)snprintf(device->task.code, sizeof device->task.code, "%s", code);
    if (serve_fleet_move(fleet, device, ROLLOUT_TASK_LOST, e) < 0 ||
        store_device_put(fleet->db, device, e) < 0)
        return -1;
    return serve_fleet_tell(fleet, "device_lost", device->id, device->task.rollout, code, text, e);
}

static int lose_each(const struct serve_fleet *fleet, const struct lost *lost, const char *code,
                     const char *text, struct err *e) {
    for (size_t i = 0; i < lost->n; i++) {
        struct store_device device = {.held = false};
        int found = store_device_get(fleet->db, lost->ids[i], &device, e);
        int done = found == 0 ? lose(fleet, &device, code, text, e) : found;
        store_device_clear(&device);
        if (done < 0)
            return -1;
    }
    return 0;
}

// Devices at work on one rollout ("" on an offer without one), by its own time to wait for a device
// that got so far: who was not heard of for so long.
static int lose_silent(const struct serve_fleet *fleet, const char *rollout, enum rollout_task task,
                       uint64_t timeout_s, int64_t since_s, struct err *e) {
    const struct store_device_silence silence = {
        .rollout = rollout, .task = task, .before_s = before_s(fleet, timeout_s)};
    struct lost lost = {.n = 0};
    if (since_s >= silence.before_s)
        return 0;
    if (store_device_silent(fleet->db, &silence, LOST_PER_TICK, note_lost, &lost, e) < 0)
        return -1;
    return lose_each(fleet, &lost, "", "took the offer and has not been heard of since", e);
}

// And who was held for so long, and will not go on before somebody decides.
static int let_held_go(const struct serve_fleet *fleet, const char *rollout, uint64_t timeout_s,
                       struct err *e) {
    struct lost held = {.n = 0};
    if (store_device_held(fleet->db, rollout, before_s(fleet, timeout_s), LOST_PER_TICK, note_lost,
                          &held, e) < 0)
        return -1;
    return lose_each(fleet, &held, "", "", e);
}

// Until when the rollout itself stood still, so that nobody could have gone on.
static int stood_until(const struct serve_fleet *fleet, const struct serve_engine_rollout *r,
                       int64_t *ret, struct err *e) {
    struct store_mandate mandate;
    int found = store_mandate_of_rollout(fleet->db, r->row.policy.name, &mandate, e);
    if (found < 0)
        return -1;
    *ret = r->row.progress.going_s;
    if (found == 0 && mandate.expires_s <= now_s(fleet))
        *ret = now_s(fleet);
    else if (found == 0 && mandate.created_s > *ret)
        *ret = mandate.created_s;
    return 0;
}

// Who calls, and is as far as it was so long ago. What is finished stands still for nobody: one that
// was lost may be heard of again then, and get stuck.
static int lose_stuck(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                      struct err *e) {
    const struct rollout_policy *policy = &r->row.policy;
    bool runs = r->row.progress.state == ROLLOUT_STATE_RUNNING;
    int64_t until_s = 0, since_s = before_s(fleet, rollout_retry_stuck_s(policy));
    struct lost lost = {.n = 0};
    if (!runs && r->row.progress.state != ROLLOUT_STATE_FINISHED)
        return 0;
    if (store_device_stuck(fleet->db, policy->name, since_s, LOST_PER_TICK, note_lost, &lost, e) <
        0)
        return -1;
    if (lost.n == 0 || (runs && stood_until(fleet, r, &until_s, e) < 0))
        return lost.n == 0 ? 0 : -1;
    if (until_s >= since_s)
        return 0;
    return lose_each(fleet, &lost, rollout_why_name(ROLLOUT_WHY_stuck),
                     "calls, and has not come further with the offer for longer than a device is "
                     "waited for",
                     e);
}

// ── Each rollout ──

static int lose_of(const struct serve_fleet *fleet, struct serve_engine_rollout *r, struct err *e) {
    const struct rollout_policy *policy = &r->row.policy;
    struct rollout_tally all = serve_engine_sum(r, policy->n_stages);
    bool silent = false;
    if (rollout_tally_unresolved(&all) == 0)
        return 0;
    if (r->score != NULL && serve_evidence_pulse(fleet, r, &silent, e) < 0)
        return -1;
    if (silent) // nobody is lost, and what the fleet was silent for does not count
        return 0;
    int64_t since_s = rollout_pulse_since_s(&r->pulse);
    for (size_t p = 0; p < PHASES; p++)
        if (all.now[phases[p]] > 0 &&
            lose_silent(fleet, policy->name, phases[p], rollout_retry_silence_s(policy, phases[p]),
                        since_s, e) < 0)
            return -1;
    if (let_held_go(fleet, policy->name, policy->timeout_s, e) < 0)
        return -1;
    return lose_stuck(fleet, r, e);
}

static int lose_all(const struct serve_fleet *fleet, struct err *e) {
    const struct serve_engine *engine = fleet->engine;
    for (size_t p = 0; p < PHASES; p++)
        if (lose_silent(fleet, "", phases[p], ROLLOUT_POLICY_TIMEOUT_DEFAULT_S, INT64_MIN, e) < 0)
            return -1;
    if (let_held_go(fleet, "", ROLLOUT_POLICY_TIMEOUT_DEFAULT_S, e) < 0)
        return -1;
    for (size_t i = 0; i < engine->n_rollouts; i++)
        if (lose_of(fleet, engine->rollouts[i], e) < 0)
            return -1;
    return 0;
}

// A rollout for which nobody was there when it was applied finds its devices when they come. One
// with a plan keeps what it says, of newcomers: others were not signed for.
static bool wants_plan(const struct serve_engine_rollout *r) {
    struct rollout_tally all = serve_engine_sum(r, r->row.policy.n_stages);
    return all.planned == 0 && rollout_tally_offered(&all) + rollout_tally_moot(&all) == 0 &&
           r->row.progress.state == ROLLOUT_STATE_RUNNING && !r->row.progress.planned;
}

// ── The clock ──

static int keep_clock(const struct serve_fleet *fleet, struct err *e) {
    uint8_t bytes[ROLLOUT_DOWNTIME_BYTES];
    struct serve_engine *engine = fleet->engine;
    rollout_downtime_format(&engine->down, bytes);
    engine->down_kept_s = engine->down.last_s;
    return store_db_put_meta(fleet->db, SERVE_ENGINE_DOWN_META, bytes, sizeof bytes, e);
}

// Nobody was heard for a while, of any rollout.
static int note_break(const struct serve_fleet *fleet, struct err *e) {
    const struct serve_engine *engine = fleet->engine;
    for (size_t i = 0; i < engine->n_rollouts; i++) {
        struct serve_engine_rollout *r = engine->rollouts[i];
        struct rollout_pulse before = r->pulse;
        rollout_pulse_break(&r->row.policy.gates, now_s(fleet), &r->pulse);
        if (r->score != NULL && serve_evidence_keep_pulse(fleet, r, &before, e) < 0)
            return -1;
    }
    return keep_clock(fleet, e);
}

// Who was heard of while the clock was ahead would else not be missed before that time has come.
static int set_back(const struct serve_fleet *fleet, struct err *e) {
    const struct serve_engine *engine = fleet->engine;
    for (size_t i = 0; i < engine->n_rollouts; i++)
        if (serve_evidence_set_back(fleet, engine->rollouts[i], e) < 0)
            return -1;
    return store_device_set_back(fleet->db, now_s(fleet), e);
}

int serve_fleet_start(const struct serve_fleet *fleet, struct err *e) {
    bool back = fleet->engine->down.last_s > now_s(fleet);
    rollout_downtime_start(&fleet->engine->down, now_s(fleet));
    if (back && set_back(fleet, e) < 0)
        return -1;
    return note_break(fleet, e);
}

int serve_fleet_jump(const struct serve_fleet *fleet, int64_t jump_s, struct err *e) {
    rollout_downtime_jump(&fleet->engine->down, now_s(fleet), jump_s);
    if (jump_s < 0 && set_back(fleet, e) < 0)
        return -1;
    return note_break(fleet, e);
}

static int follow_clock(const struct serve_fleet *fleet, struct err *e) {
    struct serve_engine *engine = fleet->engine;
    if (rollout_downtime_tick(&engine->down, now_s(fleet)))
        return note_break(fleet, e);
    int64_t kept_s = now_s(fleet) - engine->down_kept_s;
    return kept_s < 0 || kept_s >= ROLLOUT_DOWNTIME_KEEP_S ? keep_clock(fleet, e) : 0;
}

int serve_fleet_tick(const struct serve_fleet *fleet, struct err *e) {
    struct serve_engine *engine = fleet->engine;
    if (follow_clock(fleet, e) < 0 || lose_all(fleet, e) < 0)
        return -1;
    for (size_t i = 0; i < engine->n_rollouts; i++) {
        struct serve_engine_rollout *r = engine->rollouts[i];
        if (wants_plan(r) && engine->fleet_changes != engine->planned_changes &&
            serve_fleet_plan(fleet, r, e) < 0)
            return -1;
        if (serve_evidence_tick(fleet, r, e) < 0)
            return -1;
        if (!rollout_advance_ended(r->row.progress.state) && serve_fleet_advance(fleet, r, e) < 0)
            return -1;
    }
    engine->planned_changes = engine->fleet_changes;
    return 0;
}
