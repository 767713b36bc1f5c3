// SPDX-License-Identifier: Apache-2.0
//
// Bytes of updates.
#include "ctl/serve/spent.h"

#include <string.h>

#include "base/chrono.h"
#include "base/own.h"
#include "ctl/store/traffic.h"

#define SUM_MAX (UINT64_MAX / 4) // more than any link carries: what false reports come to

const char *const serve_spent_kinds[SERVE_SPENT_KINDS] = {
    [SERVE_SPENT_DELTA] = "delta", [SERVE_SPENT_RANGE] = "range", [SERVE_SPENT_FULL] = "full",
    [SERVE_SPENT_INDEX] = "index", [SERVE_SPENT_CACHE] = "cache", [SERVE_SPENT_REUSED] = "reused"};

static void list_bytes(const struct bundle_report_bytes *bytes, uint64_t ret[SERVE_SPENT_KINDS]) {
    ret[SERVE_SPENT_DELTA] = bytes->delta;
    ret[SERVE_SPENT_RANGE] = bytes->range;
    ret[SERVE_SPENT_FULL] = bytes->full;
    ret[SERVE_SPENT_INDEX] = bytes->index;
    ret[SERVE_SPENT_CACHE] = bytes->cache;
    ret[SERVE_SPENT_REUSED] = bytes->reused;
}

json_t *serve_spent_show(const uint64_t sums[static SERVE_SPENT_KINDS]) {
    OWN(json) json_t *made = json_object();
    for (size_t i = 0; i < SERVE_SPENT_KINDS; i++) {
        json_int_t sum = sums[i] > INT64_MAX ? INT64_MAX : (json_int_t)sums[i];
        if (json_object_set_new(made, serve_spent_kinds[i], json_integer(sum)) < 0)
            return NULL;
    }
    return own_take(&made);
}

// Whether what was noted last is of the update that the report is about.
static bool is_same(const json_t *spent, const struct bundle_report *report, const char *bundle) {
    const char *rollout = json_string_value(json_object_get(spent, "rollout"));
    const char *of = json_string_value(json_object_get(spent, "bundle"));
    json_int_t attempt = json_integer_value(json_object_get(spent, "attempt"));
    return rollout != NULL && of != NULL && strcmp(rollout, report->rollout) == 0 &&
           strcmp(of, bundle) == 0 && attempt >= 0 && (uint64_t)attempt == report->attempt;
}

static uint64_t noted(const json_t *spent, size_t kind) {
    const json_t *bytes = json_object_get(spent, "bytes");
    json_int_t n = json_integer_value(json_object_get(bytes, serve_spent_kinds[kind]));
    return n > 0 ? (uint64_t)n : 0;
}

// NULL: the report is not about an update of a rollout that the device has a part in.
static struct serve_engine_rollout *rollout_of(const struct serve_fleet *fleet,
                                               const struct store_device *device,
                                               const struct bundle_report *report) {
    const struct store_device_task *task = &device->task;
    bool part = task->state != ROLLOUT_TASK_NONE && strcmp(task->rollout, report->rollout) == 0 &&
                task->attempt == report->attempt;
    return part ? serve_engine_find(fleet->engine, report->rollout) : NULL;
}

static int note(const struct serve_fleet *fleet, struct store_device *device,
                const struct bundle_report *report, const char *bundle,
                const uint64_t bytes[static SERVE_SPENT_KINDS], struct err *e) {
    char received[CHRONO_TEXT_BYTES];
    json_t *made =
        json_pack("{s:s, s:I, s:s, s:s, s:o}", "rollout", report->rollout, "attempt",
                  (json_int_t)report->attempt, "bundle", bundle, "received",
                  chrono_format(fleet->now_ms / 1000, received), "bytes", serve_spent_show(bytes));
    if (made == NULL)
        return err_set(e, &err_memory, "noting what an update cost: out of memory");
    json_decref(device->spent);
    device->spent = made;
    return 0;
}

int serve_spent_take(const struct serve_fleet *fleet, struct store_device *device,
                     const struct bundle_report *report, struct err *e) {
    uint64_t bytes[SERVE_SPENT_KINDS];
    char bundle[KEYS_DIGEST_HEX] = "";
    if (!report->has_bytes)
        return 0;
    struct serve_engine_rollout *rollout = rollout_of(fleet, device, report);
    if (report->has_bundle)
        (void)keys_digest_hex(&report->bundle, bundle);
    bool same = is_same(device->spent, report, bundle);
    list_bytes(&report->bytes, bytes);
    for (size_t i = 0; i < SERVE_SPENT_KINDS; i++) {
        uint64_t before = same ? noted(device->spent, i) : 0;
        if (bytes[i] < before)
            bytes[i] = before;
        if (rollout == NULL || bytes[i] == before)
            continue;
        if (store_traffic_add(fleet->db, device->id, report->rollout, serve_spent_kinds[i],
                              bytes[i] - before, e) < 0)
            return -1;
        rollout->bytes[i] += bytes[i] - before;
        if (rollout->bytes[i] > SUM_MAX)
            rollout->bytes[i] = SUM_MAX;
    }
    return note(fleet, device, report, bundle, bytes, e);
}

static int load_sum(void *context, const char *kind, uint64_t bytes, struct err *e) {
    struct serve_engine_rollout *rollout = context;
    (void)e;
    for (size_t i = 0; i < SERVE_SPENT_KINDS; i++)
        if (strcmp(serve_spent_kinds[i], kind) == 0)
            rollout->bytes[i] = bytes;
    return 0;
}

int serve_spent_load(struct store_db *db, struct serve_engine_rollout *rollout, struct err *e) {
    return store_traffic_list(db, rollout->row.policy.name, load_sum, rollout, e);
}
