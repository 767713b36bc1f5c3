// SPDX-License-Identifier: Apache-2.0
//
// Gates of evidence: reading and writing them.
#include "ctl/rollout/policy/gates.h"

#include <stdio.h>
#include <string.h>

#include "ctl/rollout/evidence/events.h"
#include "ctl/rollout/policy.h"
#include "ctl/rollout/policy/evidence.h"
#include "ctl/rollout/policy/read.h"

const char *const policy_gates_members[] = {
    "name",      "kind",        "metric", "worse",  "baseline_pct",    "intolerable_pct",
    "tolerable", "intolerable", "guard",  "weight", "tolerable_ratio", "intolerable_ratio",
    NULL};

enum worse { HIGHER, LOWER, BOTH };
static const char *const worse_names[] = {"higher", "lower", "both"};
static const char *const kind_names[ROLLOUT_GATE_KINDS] = {"install", "lost", "revert", "counter",
                                                           "metric"};

// Which members a gate of a kind may have beside name, kind and weight.
static const char *const kind_members[ROLLOUT_GATE_KINDS][8] = {
    [ROLLOUT_GATE_INSTALL] = {"baseline_pct", "intolerable_pct"},
    [ROLLOUT_GATE_LOST] = {"tolerable_ratio", "intolerable_ratio"},
    [ROLLOUT_GATE_REVERT] = {"tolerable_ratio", "intolerable_ratio"},
    [ROLLOUT_GATE_COUNTER] = {"metric", "tolerable_ratio", "intolerable_ratio"},
    [ROLLOUT_GATE_METRIC] = {"metric", "worse", "baseline_pct", "tolerable", "intolerable",
                             "guard"},
};

// A gate as the document has it.
struct read {
    struct rollout_gate_policy gate;
    uint64_t weight; // relative
    bool has_baseline;
    enum worse worse;
};

static int check_members(const struct doc_at *at, enum rollout_gate_kind kind, struct err *e) {
    for (size_t i = 0; policy_gates_members[i] != NULL; i++) {
        const char *name = policy_gates_members[i];
        const json_t *value = json_object_get(at->value, name);
        bool allowed = strcmp(name, "name") == 0 || strcmp(name, "kind") == 0 ||
                       strcmp(name, "weight") == 0 || value == NULL || json_is_null(value);
        for (size_t k = 0; !allowed && kind_members[kind][k] != NULL; k++)
            allowed = strcmp(name, kind_members[kind][k]) == 0;
        if (!allowed)
            return err_set(e, &err_config, "%s.%s: a gate of kind %s does not have it", at->path,
                           name, kind_names[kind]);
    }
    return 0;
}

static int read_install(const struct doc_at *at, struct rollout_gate_policy *ret, struct err *e) {
    static const struct policy_read_range share = {
        1, ROLLOUT_PPM - 1, "a percentage of 0.0001 at least, and less than 100"};
    ret->baseline_ppm = ROLLOUT_GATES_BASELINE_DEFAULT_PPM;
    ret->intolerable_ppm = ROLLOUT_GATES_INTOLERABLE_DEFAULT_PPM;
    if (policy_read_percent(at, "baseline_pct", &share, &ret->baseline_ppm, e) < 0 ||
        policy_read_percent(at, "intolerable_pct", &share, &ret->intolerable_ppm, e) < 0)
        return -1;
    if (ret->intolerable_ppm <= ret->baseline_ppm)
        return policy_read_wrong(at, "intolerable_pct", "more than baseline_pct", e);
    return 0;
}

static int read_ratios(const struct doc_at *at, struct rollout_gate_policy *ret, struct err *e) {
    static const struct policy_read_range ratio = {
        ROLLOUT_GATES_RATIO_MIN_PPM, ROLLOUT_GATES_RATIO_MAX_PPM, "a ratio from 0.125 to 128"};
    ret->ratio_ok_ppm = ROLLOUT_GATES_RATIO_OK_DEFAULT_PPM;
    ret->ratio_bad_ppm = ROLLOUT_GATES_RATIO_BAD_DEFAULT_PPM;
    if (policy_read_ratio(at, "tolerable_ratio", &ratio, &ret->ratio_ok_ppm, e) < 0 ||
        policy_read_ratio(at, "intolerable_ratio", &ratio, &ret->ratio_bad_ppm, e) < 0)
        return -1;
    if (evidence_events_intolerable(ret->ratio_bad_ppm) <=
        evidence_events_tolerable(ret->ratio_ok_ppm))
        return policy_read_wrong(at, "intolerable_ratio",
                                 "more than tolerable_ratio, by a fifth of it at least", e);
    return 0;
}

static int read_margins(const struct doc_at *at, struct rollout_gate_policy *ret, struct err *e) {
    int tolerable = policy_read_decimal(at, "tolerable", &ret->tolerable, e);
    int intolerable =
        tolerable < 0 ? -1 : policy_read_decimal(at, "intolerable", &ret->intolerable, e);
    int guard = intolerable < 0 ? -1 : policy_read_decimal(at, "guard", &ret->guard, e);
    if (guard < 0)
        return -1;
    ret->has_guard = guard == 0;
    if (ret->tolerable.nano < 0)
        return policy_read_wrong(at, "tolerable", "by how much worse it may get: 0 or more", e);
    if (intolerable == DOC_ABSENT)
        return policy_read_wrong(at, "intolerable",
                                 "by how much worse must not pass, in the metric's unit", e);
    if (ret->intolerable.nano < ret->tolerable.nano + 4)
        return policy_read_wrong(at, "intolerable", "more than tolerable, by 0.000000004 at least",
                                 e);
    return 0;
}

static int read_metric(const struct doc_at *at, struct read *ret, struct err *e) {
    static const struct policy_read_range share = {0, ROLLOUT_PPM / 2, "a percentage from 0 to 50"};
    unsigned worse = HIGHER;
    if (policy_read_choice(at, "worse", worse_names, 3, "\"higher\", \"lower\" or \"both\"", &worse,
                           e) < 0)
        return -1;
    int found = policy_read_percent(at, "baseline_pct", &share, &ret->gate.baseline_ppm, e);
    if (found < 0 || read_margins(at, &ret->gate, e) < 0)
        return -1;
    ret->has_baseline = found == 0;
    ret->worse = (enum worse)worse;
    if (ret->worse != BOTH)
        return 0;
    if (strlen(ret->gate.name) > ROLLOUT_GATES_BOTH_NAME_MAX)
        return policy_read_wrong(at, "name", "at most 59 bytes: \".down\" is appended to it", e);
    if (ret->gate.has_guard)
        return policy_read_wrong(at, "guard",
                                 "none where both directions are worse: give two gates", e);
    return 0;
}

static int read_kind(const struct doc_at *at, struct read *ret, struct err *e) {
    unsigned kind = 0;
    int found = policy_read_choice(at, "kind", kind_names, ROLLOUT_GATE_KINDS,
                                   "\"install\", \"lost\", \"revert\", \"counter\" or \"metric\"",
                                   &kind, e);
    if (found != 0)
        return found < 0 ? -1
                         : policy_read_wrong(
                               at, "kind",
                               "\"install\", \"lost\", \"revert\", \"counter\" or \"metric\"", e);
    ret->gate.kind = (enum rollout_gate_kind)kind;
    return check_members(at, ret->gate.kind, e);
}

static int read_gate(const struct doc_at *at, struct read *ret, struct err *e) {
    *ret = (struct read){.weight = 1};
    if (doc_no_unknown(at, policy_gates_members, e) < 0)
        return policy_read_config(e);
    if (policy_read_name(at, "name", BUNDLE_NAME_MAX, ret->gate.name, e) < 0 ||
        read_kind(at, ret, e) < 0)
        return -1;
    if (doc_u64_opt(at, "weight", 1, ROLLOUT_GATES_WEIGHT_MAX, &ret->weight, e) < 0)
        return policy_read_config(e);
    bool named = ret->gate.kind == ROLLOUT_GATE_COUNTER || ret->gate.kind == ROLLOUT_GATE_METRIC;
    if (named && policy_read_name(at, "metric", BUNDLE_NAME_MAX, ret->gate.metric, e) < 0)
        return -1;
    if (ret->gate.kind == ROLLOUT_GATE_INSTALL)
        return read_install(at, &ret->gate, e);
    if (ret->gate.kind == ROLLOUT_GATE_METRIC)
        return read_metric(at, ret, e);
    return read_ratios(at, &ret->gate, e);
}

// ── All of them ──

static int add(const struct doc_at *at, const struct rollout_gate_policy *gate, const char *suffix,
               struct rollout_gates *ret, struct err *e) {
    char name[BUNDLE_NAME_MAX + 8];
    (void)snprintf(name, sizeof name, "%s%s", gate->name, suffix);
    if (ret->n == ROLLOUT_GATES_MAX)
        return err_set(e, &err_config,
                       "%s: there are at most %d gates; a metric of which both directions are "
                       "worse is two",
                       at->path, ROLLOUT_GATES_MAX);
    for (size_t i = 0; i < ret->n; i++) {
        if (strcmp(ret->gate[i].name, name) == 0)
            return policy_read_wrong(at, "name", "a name that no gate before has", e);
        if (gate->kind == ROLLOUT_GATE_INSTALL && ret->gate[i].kind == ROLLOUT_GATE_INSTALL)
            return policy_read_wrong(at, "kind", "at most one install gate", e);
    }
    ret->gate[ret->n] = *gate;
    policy_read_copy(ret->gate[ret->n].name, sizeof gate->name, name);
    ret->n++;
    return 0;
}

static int add_read(const struct doc_at *at, const struct read *read, struct rollout_gates *ret,
                    struct err *e) {
    struct rollout_gate_policy gate = read->gate;
    gate.lower_worse = read->worse == LOWER;
    if (read->worse != BOTH)
        return add(at, &gate, "", ret, e);
    if (add(at, &gate, ".up", ret, e) < 0)
        return -1;
    gate.lower_worse = true;
    return add(at, &gate, ".down", ret, e);
}

// Shares of the whole in proportion, rounded down; what is left goes to the first ones.
static int weigh(const struct doc_at *root, const uint64_t *weights, struct rollout_gates *io,
                 struct err *e) {
    uint64_t sum = 0, left = ROLLOUT_PPM;
    for (size_t i = 0; i < io->n; i++)
        sum += weights[i];
    for (size_t i = 0; i < io->n; i++) {
        io->gate[i].weight_ppm = (uint32_t)(weights[i] * ROLLOUT_PPM / sum);
        left -= io->gate[i].weight_ppm;
    }
    for (size_t i = 0; left > 0; i = (i + 1) % io->n, left--)
        io->gate[i].weight_ppm++;
    for (size_t i = 0; i < io->n; i++)
        if (weights[i] * ROLLOUT_PPM / sum == 0)
            return err_set(e, &err_config,
                           "%s.gates: the weight of %s is less than a millionth of all: give it "
                           "more, or leave it out",
                           root->path, io->gate[i].name);
    return 0;
}

// A metric's share of devices that have no value is that of installs that fail, unless it is given.
static void fill_baselines(const bool *has_baseline, struct rollout_gates *io) {
    uint32_t baseline = ROLLOUT_GATES_BASELINE_DEFAULT_PPM;
    for (size_t i = 0; i < io->n; i++)
        if (io->gate[i].kind == ROLLOUT_GATE_INSTALL)
            baseline = io->gate[i].baseline_ppm;
    for (size_t i = 0; i < io->n; i++)
        if (io->gate[i].kind == ROLLOUT_GATE_METRIC && !has_baseline[i])
            io->gate[i].baseline_ppm = baseline;
}

static int read_gates(const struct doc_at *root, const struct doc_at *gates,
                      struct rollout_gates *ret, struct err *e) {
    uint64_t weights[ROLLOUT_GATES_MAX] = {0};
    bool has_baseline[ROLLOUT_GATES_MAX] = {false};
    struct doc_at at;
    struct read read;
    for (size_t i = 0; i < json_array_size(gates->value); i++) {
        size_t first = ret->n;
        if (doc_element(gates, i, &at, e) < 0)
            return policy_read_config(e);
        if (read_gate(&at, &read, e) < 0 || add_read(&at, &read, ret, e) < 0)
            return -1;
        for (size_t k = first; k < ret->n; k++) {
            weights[k] = read.worse == BOTH ? read.weight : 2 * read.weight; // halves are whole
            has_baseline[k] = read.has_baseline;
        }
    }
    fill_baselines(has_baseline, ret);
    return weigh(root, weights, ret, e);
}

// What reverts are compared with; and restarts that nothing asks for.
static int check_sham(const struct doc_at *root, const struct rollout_gates *gates, struct err *e) {
    bool reverts = false, sets = false;
    for (size_t i = 0; i < gates->n; i++) {
        reverts = reverts || gates->gate[i].kind == ROLLOUT_GATE_REVERT;
        sets = sets || gates->gate[i].kind == ROLLOUT_GATE_METRIC;
    }
    if (reverts && !gates->sham)
        return policy_read_wrong(root, "gates",
                                 "\"evidence\": {\"sham\": true} beside a gate of kind revert: "
                                 "devices without the release go back from nothing, unless they "
                                 "restart as well; without it the install gate counts devices that "
                                 "went back",
                                 e);
    if (gates->sham && !reverts && !sets)
        return policy_read_wrong(root, "evidence",
                                 "no sham without a gate of kind revert or metric: devices would "
                                 "restart for nothing",
                                 e);
    return 0;
}

// A sham would have to restart whole sites at once, and a gate on reverts needs one.
static int check_unit(const struct doc_at *root, const struct rollout_gates *gates, struct err *e) {
    bool shams = gates->sham;
    if (gates->unit == ROLLOUT_UNIT_DEVICE)
        return 0;
    for (size_t i = 0; i < gates->n; i++)
        shams = shams || gates->gate[i].kind == ROLLOUT_GATE_REVERT;
    if (shams)
        return policy_read_wrong(root, "evidence.sham",
                                 "no sham and no gate of kind revert beside \"unit\": \"site\": "
                                 "whole sites would have to restart; the install gate counts sites "
                                 "that went back",
                                 e);
    return 0;
}

int policy_gates_parse(const struct doc_at *root, struct rollout_gates *ret, struct err *e) {
    struct doc_at gates;
    int found = doc_array_opt(root, "gates", ROLLOUT_GATES_MAX, &gates, e);
    if (found < 0)
        return policy_read_config(e);
    bool some = found == 0 && json_array_size(gates.value) > 0;
    const json_t *evidence = json_object_get(root->value, "evidence");
    if (!some && evidence != NULL && !json_is_null(evidence))
        return policy_read_wrong(root, "evidence", "gates beside it: without one it says nothing",
                                 e);
    if (!some)
        return 0;
    if (read_gates(root, &gates, ret, e) < 0 || policy_evidence_parse(root, ret, e) < 0)
        return -1;
    return check_unit(root, ret, e) < 0 ? -1 : check_sham(root, ret, e);
}

// ── The normal form ──

static json_t *gate_json(const struct rollout_gate_policy *gate) {
    json_t *made = json_pack("{s:s, s:s, s:I}", "name", gate->name, "kind", kind_names[gate->kind],
                             "weight", (json_int_t)gate->weight_ppm);
    switch (gate->kind) {
    case ROLLOUT_GATE_INSTALL:
        (void)json_object_set_new(made, "baseline_pct",
                                  policy_read_percent_json(gate->baseline_ppm));
        (void)json_object_set_new(made, "intolerable_pct",
                                  policy_read_percent_json(gate->intolerable_ppm));
        return made;
    case ROLLOUT_GATE_METRIC:
        (void)json_object_set_new(made, "metric", json_string(gate->metric));
        (void)json_object_set_new(made, "worse",
                                  json_string(worse_names[gate->lower_worse ? LOWER : HIGHER]));
        (void)json_object_set_new(made, "baseline_pct",
                                  policy_read_percent_json(gate->baseline_ppm));
        (void)json_object_set_new(made, "tolerable", policy_read_decimal_json(gate->tolerable));
        (void)json_object_set_new(made, "intolerable", policy_read_decimal_json(gate->intolerable));
        (void)json_object_set_new(
            made, "guard", gate->has_guard ? policy_read_decimal_json(gate->guard) : json_null());
        return made;
    case ROLLOUT_GATE_COUNTER:
        (void)json_object_set_new(made, "metric", json_string(gate->metric));
        break;
    default:
        break;
    }
    (void)json_object_set_new(made, "tolerable_ratio", policy_read_ratio_json(gate->ratio_ok_ppm));
    (void)json_object_set_new(made, "intolerable_ratio",
                              policy_read_ratio_json(gate->ratio_bad_ppm));
    return made;
}

json_t *policy_gates_format(const struct rollout_gates *gates) {
    if (gates->n == 0)
        return json_null();
    json_t *all = json_array();
    for (size_t i = 0; i < gates->n; i++)
        if (json_array_append_new(all, gate_json(&gates->gate[i])) < 0) {
            json_decref(all);
            return NULL;
        }
    return all;
}
