// SPDX-License-Identifier: Apache-2.0
//
// What is waited for: a fleet that is heard of, a device that has a try left.
#include <stdio.h>
#include <string.h>

#include "ctl/rollout/retry.h"
#include "ctl/serve/evidence_parts.h"

// ── The pulse ──

#define KEY_BYTES (sizeof SERVE_ENGINE_PULSE_META + BUNDLE_NAME_MAX)

static void key_of(const struct serve_engine_rollout *r, char ret[static KEY_BYTES]) {
    (void)snprintf(ret, KEY_BYTES, SERVE_ENGINE_PULSE_META "%s", r->row.policy.name);
}

int serve_evidence_keep_pulse(const struct serve_fleet *fleet, const struct serve_engine_rollout *r,
                              const struct rollout_pulse *before, struct err *e) {
    uint8_t bytes[ROLLOUT_PULSE_BYTES];
    char key[KEY_BYTES];
    if (!rollout_pulse_differs(before, &r->pulse))
        return 0;
    key_of(r, key);
    rollout_pulse_format(&r->pulse, bytes);
    return store_db_put_meta(fleet->db, key, bytes, sizeof bytes, e);
}

int serve_evidence_load_pulse(struct store_db *db, struct serve_engine_rollout *r, struct err *e) {
    uint8_t bytes[ROLLOUT_PULSE_BYTES] = {0};
    char key[KEY_BYTES];
    key_of(r, key);
    if (store_db_get_meta(db, key, bytes, sizeof bytes, e) < 0)
        return -1;
    rollout_pulse_parse(bytes, &r->pulse);
    return 0;
}

int serve_evidence_pulse(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                         bool *ret_silent, struct err *e) {
    struct rollout_pulse before = r->pulse;
    *ret_silent = rollout_pulse_tick(&r->row.policy.gates, fleet->now_ms / 1000, &r->pulse);
    return serve_evidence_keep_pulse(fleet, r, &before, e);
}

int serve_evidence_set_back(const struct serve_fleet *fleet, const struct serve_engine_rollout *r,
                            struct err *e) {
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    if (!serve_evidence_counts(r))
        return 0;
    if (store_cohort_set_back(&of, fleet->now_ms / 1000, e) < 0)
        return -1;
    return store_member_set_back(&of, fleet->now_ms / 1000, e);
}

// ── A try that is left ──

// Whether it failed here, could be offered it again, and has not been heard of for so long that it
// is not waited for.
static bool is_gone(const struct serve_fleet *fleet, const struct serve_engine_rollout *r,
                    const struct store_device *device) {
    const struct store_device_task *task = &device->task;
    const struct rollout_retry_wait wait = {.first = r->row.progress.attempt,
                                            .attempt = task->attempt,
                                            .task = task->state,
                                            .code = task->code,
                                            .since_s = task->since_s,
                                            .seen_s = device->seen_s,
                                            .silent_s = rollout_pulse_since_s(&r->pulse)};
    return strcmp(task->rollout, r->row.policy.name) == 0 &&
           rollout_retry_gone(&r->row.policy, &wait, &fleet->engine->down, fleet->now_ms / 1000);
}

struct first {
    uint32_t run;
    char *ret;
};

static int take_first(void *context, const char *device, const char *unit,
                      const struct rollout_score_member *member, struct err *e) {
    const struct first *first = context;
    (void)unit;
    (void)e;
    if (member->run != first->run || !member->first)
        return 0;
    (void)snprintf(first->ret, BUNDLE_DEVICE_ID_MAX + 1, "%s", device);
    return 1;
}

// The device whose outcome is the unit's: itself, or of a site the one that was offered first.
static int find_first(const struct store_cohort *of, uint32_t run, const char *unit,
                      char ret[static BUNDLE_DEVICE_ID_MAX + 1], struct err *e) {
    struct first first = {run, ret};
    ret[0] = '\0';
    if (!rollout_unit_is_site(of->gates))
        (void)snprintf(ret, BUNDLE_DEVICE_ID_MAX + 1, "%.*s", BUNDLE_DEVICE_ID_MAX, unit);
    else if (store_member_of(of, unit, take_first, &first, e) < 0)
        return -1;
    return ret[0] == '\0' ? STORE_ABSENT : 0;
}

int serve_evidence_give_up(const struct serve_fleet *fleet, struct serve_engine_rollout *r,
                           struct err *e) {
    const struct store_cohort of = serve_evidence_cohort(fleet, r);
    struct store_device device = {.held = false};
    char unit[ROLLOUT_UNIT_ID_MAX + 1], id[BUNDLE_DEVICE_ID_MAX + 1];
    uint64_t number = r->score->prefix;
    if (r->row.policy.retries.max == 0 || r->pulse.silent || number >= r->score->next_number)
        return 0;
    int found = store_cohort_holder(&of, number, unit, e);
    if (found == 0)
        found = find_first(&of, r->score->run, unit, id, e);
    if (found == 0)
        found = store_device_get(fleet->db, id, &device, e);
    if (found == 0 && is_gone(fleet, r, &device))
        found = serve_evidence_note(fleet, r, id, device.task.state, e);
    store_device_clear(&device);
    return found < 0 ? -1 : 0;
}
