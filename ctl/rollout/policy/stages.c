// SPDX-License-Identifier: Apache-2.0
//
// Stages: by percent, by count, or by name; each with its thresholds.
#include "ctl/rollout/policy/stages.h"

#include <string.h>

#include "base/text.h"
#include "ctl/rollout/policy/read.h"

const char *const policy_stages_members[] = {"name", "percent", "count", "devices", "soak_s",
                                             "soak", "approve", "gate",  NULL};
const char *const policy_stages_gate_members[] = {"success_pct", "failure_pct", "min_sample", NULL};

static const struct policy_read_range any_percent = {0, ROLLOUT_PPM, "a percentage from 0 to 100"};
static const struct policy_read_range some_percent = {
    1, ROLLOUT_PPM, "a percentage of 0.0001 at least and 100 at most"};

// DOC_ABSENT when the policy gives none here.
static int read_gate(const struct doc_at *at, struct rollout_gate_bounds *io, struct err *e) {
    struct doc_at gate;
    int found = doc_object_opt(at, "gate", &gate, e);
    if (found != 0)
        return found < 0 ? policy_read_config(e) : DOC_ABSENT;
    if (doc_no_unknown(&gate, policy_stages_gate_members, e) < 0)
        return policy_read_config(e);
    if (policy_read_percent(&gate, "success_pct", &any_percent, &io->success_ppm, e) < 0 ||
        policy_read_percent(&gate, "failure_pct", &any_percent, &io->failure_ppm, e) < 0)
        return -1;
    if (doc_u64_opt(&gate, "min_sample", 1, ROLLOUT_POLICY_COUNT_MAX, &io->min_sample, e) < 0)
        return policy_read_config(e);
    return 0;
}

static bool is_named(const struct rollout_policy *policy, const char *device) {
    for (size_t i = 0; i < policy->n_devices; i++)
        if (strcmp(policy->devices[i], device) == 0)
            return true;
    return false;
}

static int read_devices(const struct doc_at *at, struct rollout_policy *policy,
                        struct rollout_stage_policy *ret, struct err *e) {
    struct doc_at devices;
    if (doc_array(at, "devices", ROLLOUT_POLICY_STAGE_DEVICES_MAX, &devices, e) < 0)
        return policy_read_config(e);
    ret->by_device = true;
    ret->first_device = policy->n_devices;
    ret->n_devices = json_array_size(devices.value);
    if (ret->n_devices == 0)
        return policy_read_wrong(at, "devices", "at least one device", e);
    if (policy->n_devices + ret->n_devices > ROLLOUT_POLICY_DEVICES_MAX)
        return err_set(e, &err_config, "%s.devices: all stages together name at most %d", at->path,
                       ROLLOUT_POLICY_DEVICES_MAX);
    for (size_t i = 0; i < ret->n_devices; i++) {
        const char *id = NULL;
        if (doc_element_string(&devices, i, BUNDLE_DEVICE_ID_MAX, &id, e) < 0)
            return policy_read_config(e);
        if (!text_is_name(id, BUNDLE_DEVICE_ID_MAX) || is_named(policy, id))
            return policy_read_wrong(at, "devices", "ids of devices, each named once", e);
        policy_read_copy(policy->devices[policy->n_devices++], sizeof *policy->devices, id);
    }
    return 0;
}

static int read_share(const struct doc_at *at, struct rollout_policy *policy,
                      struct rollout_stage_policy *ret, struct err *e) {
    bool percent = json_object_get(at->value, "percent") != NULL;
    bool count = json_object_get(at->value, "count") != NULL;
    bool devices = json_object_get(at->value, "devices") != NULL;
    if (percent + count + devices != 1)
        return err_set(e, &err_config, "%s: give either percent or count or devices", at->path);
    ret->by_count = count;
    if (devices)
        return read_devices(at, policy, ret, e);
    if (percent) {
        int found = policy_read_percent(at, "percent", &some_percent, &ret->ppm, e);
        return found > 0 ? policy_read_wrong(at, "percent", some_percent.expected, e) : found;
    }
    if (doc_u64(at, "count", 1, ROLLOUT_POLICY_COUNT_MAX, &ret->count, e) < 0)
        return policy_read_config(e);
    return 0;
}

static int read_stage(const struct doc_at *at, struct rollout_policy *policy,
                      struct rollout_stage_policy *ret, struct err *e) {
    if (doc_no_unknown(at, policy_stages_members, e) < 0)
        return policy_read_config(e);
    if (policy_read_name(at, "name", BUNDLE_NAME_MAX, ret->name, e) < 0 ||
        read_share(at, policy, ret, e) < 0 ||
        policy_read_duration(at, "soak_s", 0, &ret->soak_s, e) < 0)
        return -1;
    if (doc_bool_opt(at, "approve", &ret->approve, e) < 0)
        return policy_read_config(e);
    int found = read_gate(at, &ret->gate, e);
    ret->has_gate = ret->has_gate || found == 0;
    return found < 0 ? -1 : 0;
}

// Names differ, and of two stages that count alike the later one is larger.
static int check_stage(const struct doc_at *at, const struct rollout_policy *policy, size_t index,
                       struct err *e) {
    const struct rollout_stage_policy *now = &policy->stages[index];
    for (size_t i = 0; i < index; i++) {
        const struct rollout_stage_policy *before = &policy->stages[i];
        if (strcmp(now->name, before->name) == 0)
            return policy_read_wrong(at, "name", "a name that no stage before has", e);
        if (now->by_device || before->by_device)
            continue;
        if (now->by_count && before->by_count && now->count <= before->count)
            return policy_read_wrong(
                at, "count",
                "more than the stage before: stages are cumulative, so 2, then 10 means "
                "2 devices and then 8 more",
                e);
        if (!now->by_count && !before->by_count && now->ppm <= before->ppm)
            return policy_read_wrong(
                at, "percent",
                "more than the stage before: stages are cumulative, so 10, then 100 "
                "means a tenth and then the rest",
                e);
    }
    return 0;
}

int policy_stages_parse(const struct doc_at *root, struct rollout_policy *ret, struct err *e) {
    struct rollout_stage_policy plain = {.ppm = ROLLOUT_PPM,
                                         .gate = {.success_ppm = ROLLOUT_POLICY_SUCCESS_DEFAULT_PPM,
                                                  .failure_ppm = ROLLOUT_POLICY_FAILURE_DEFAULT_PPM,
                                                  .min_sample = ROLLOUT_POLICY_SAMPLE_DEFAULT}};
    struct doc_at stages, stage;
    int found = read_gate(root, &plain.gate, e);
    plain.has_gate = found == 0;
    if (found >= 0) {
        found = doc_array_opt(root, "stages", ROLLOUT_POLICY_STAGES_MAX, &stages, e);
        if (found < 0)
            return policy_read_config(e);
    }
    if (found < 0)
        return -1;
    if (found == DOC_ABSENT) {
        ret->n_stages = 1;
        policy_read_copy(plain.name, sizeof plain.name, "all");
        ret->stages[0] = plain;
        return 0;
    }
    ret->n_stages = json_array_size(stages.value);
    if (ret->n_stages == 0)
        return policy_read_wrong(root, "stages", "at least one stage", e);
    plain.ppm = 0;
    for (size_t i = 0; i < ret->n_stages; i++) {
        if (doc_element(&stages, i, &stage, e) < 0)
            return policy_read_config(e);
        ret->stages[i] = plain;
        if (read_stage(&stage, ret, &ret->stages[i], e) < 0 || check_stage(&stage, ret, i, e) < 0)
            return -1;
    }
    return 0;
}

// ── The normal form ──

static json_t *gate_json(const struct rollout_gate_bounds *gate) {
    return json_pack("{s:o, s:o, s:I}", "failure_pct", policy_read_percent_json(gate->failure_ppm),
                     "success_pct", policy_read_percent_json(gate->success_ppm), "min_sample",
                     (json_int_t)gate->min_sample);
}

static json_t *devices_json(const struct rollout_policy *policy,
                            const struct rollout_stage_policy *stage) {
    json_t *devices = json_array();
    for (size_t i = 0; i < stage->n_devices; i++)
        if (json_array_append_new(devices, json_string(policy->devices[stage->first_device + i])) <
            0) {
            json_decref(devices);
            return NULL;
        }
    return devices;
}

// With evidence a stage has thresholds only when the policy gives them.
static json_t *stage_json(const struct rollout_policy *policy,
                          const struct rollout_stage_policy *stage) {
    const char *key = stage->by_device ? "devices" : stage->by_count ? "count" : "percent";
    json_t *share = stage->by_device  ? devices_json(policy, stage)
                    : stage->by_count ? json_integer((json_int_t)stage->count)
                                      : policy_read_percent_json(stage->ppm);
    bool has_gate = stage->has_gate || policy->gates.n == 0;
    return json_pack("{s:s, s:o, s:I, s:b, s:o}", "name", stage->name, key, share, "soak_s",
                     (json_int_t)stage->soak_s, "approve", (int)stage->approve, "gate",
                     has_gate ? gate_json(&stage->gate) : json_null());
}

json_t *policy_stages_format(const struct rollout_policy *policy) {
    json_t *stages = json_array();
    for (size_t i = 0; i < policy->n_stages; i++)
        if (json_array_append_new(stages, stage_json(policy, &policy->stages[i])) < 0) {
            json_decref(stages);
            return NULL;
        }
    return stages;
}
