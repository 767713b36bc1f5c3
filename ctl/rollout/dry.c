// SPDX-License-Identifier: Apache-2.0
//
// Counting what dry probes came to.
#include "ctl/rollout/dry.h"

#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "bundle/checkin.h"
#include "ctl/rollout/evidence/binomial.h"
#include "ctl/rollout/policy/read.h"

#define TEXT_BYTES 400

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "counting what probes came to: out of memory");
}

int rollout_dry_init(struct rollout_dry *ret, struct err *e) {
    *ret = (struct rollout_dry){
        .probes = json_array(), .strata = json_array(), .declined = json_array()};
    if (ret->probes != NULL && ret->strata != NULL && ret->declined != NULL)
        return 0;
    rollout_dry_clear(ret);
    return no_memory(e);
}

void rollout_dry_clear(struct rollout_dry *dry) {
    json_decref(dry->probes);
    json_decref(dry->strata);
    json_decref(dry->declined);
    *dry = (struct rollout_dry){.probes = NULL};
}

// ── Counting ──

static int add_one(json_t *object, const char *key, struct err *e) {
    json_int_t n = json_integer_value(json_object_get(object, key));
    return json_object_set_new(object, key, json_integer(n + 1)) < 0 ? no_memory(e) : 0;
}

// The row whose member is this text; NULL.
static json_t *find(json_t *rows, const char *member, const char *text) {
    size_t i;
    json_t *row;
    json_array_foreach (rows, i, row)
        if (strcmp(json_string_value(json_object_get(row, member)), text) == 0)
            return row;
    return NULL;
}

// Adds a row, borrowed; its members are taken over.
static json_t *append(json_t *rows, json_t *row) {
    return json_array_append_new(rows, row) < 0 ? NULL : row;
}

static int count_probe(struct rollout_dry *io, const char *name, const char *code, struct err *e) {
    json_t *row = find(io->probes, "name", name);
    if (row == NULL && json_array_size(io->probes) == ROLLOUT_DRY_PROBES_MAX)
        return 0;
    if (row == NULL)
        row = append(io->probes, json_pack("{s:s, s:i, s:i, s:i, s:{}}", "name", name, "passed", 0,
                                           "failed", 0, "not_runnable", 0, "codes"));
    if (row == NULL)
        return no_memory(e);
    if (code[0] == '\0')
        return add_one(row, "passed", e);
    if (strcmp(code, BUNDLE_CHECKIN_NOT_RUNNABLE) == 0)
        return add_one(row, "not_runnable", e);
    json_t *codes = json_object_get(row, "codes");
    bool listed =
        json_object_get(codes, code) != NULL || json_object_size(codes) < ROLLOUT_DRY_CODES_MAX;
    if (listed && add_one(codes, code, e) < 0)
        return -1;
    return add_one(row, "failed", e);
}

static int count_declined(struct rollout_dry *io, const struct rollout_dry_device *device,
                          struct err *e) {
    json_t *row = find(io->declined, "code", device->code);
    if (row == NULL && json_array_size(io->declined) == ROLLOUT_DRY_DECLINED_MAX)
        return 0;
    if (row == NULL)
        row = append(io->declined, json_pack("{s:s, s:s, s:i}", "code", device->code, "text",
                                             device->text, "devices", 0));
    return row == NULL ? no_memory(e) : add_one(row, "devices", e);
}

static json_t *stratum_of(struct rollout_dry *io, const char *key) {
    size_t n = json_array_size(io->strata);
    json_t *last = n == 0 ? NULL : json_array_get(io->strata, n - 1);
    if (last != NULL && strcmp(json_string_value(json_object_get(last, "key")), key) == 0)
        return last;
    return append(io->strata, json_pack("{s:s, s:i, s:i, s:i}", "key", key, "answered", 0, "judged",
                                        0, "would_fail", 0));
}

static int count_answer(struct rollout_dry *io, const struct rollout_dry_device *device,
                        json_t *stratum, struct err *e) {
    size_t i;
    json_t *probe;
    bool judged = false, fails = false;
    json_array_foreach (device->probes, i, probe) {
        const char *name = json_string_value(json_object_get(probe, "name"));
        const char *code = json_string_value(json_object_get(probe, "code"));
        if (name == NULL || code == NULL)
            return err_set(e, &err_syntax, "counting what probes came to: they are damaged");
        bool said = strcmp(code, BUNDLE_CHECKIN_NOT_RUNNABLE) != 0;
        judged = judged || said;
        fails = fails || (said && code[0] != '\0');
        if (count_probe(io, name, code, e) < 0)
            return -1;
    }
    io->answered++;
    io->judged += judged;
    io->would_fail += fails;
    if (add_one(stratum, "answered", e) < 0 || (judged && add_one(stratum, "judged", e) < 0))
        return -1;
    return fails ? add_one(stratum, "would_fail", e) : 0;
}

int rollout_dry_count(struct rollout_dry *io, const struct rollout_dry_device *device,
                      struct err *e) {
    json_t *stratum = stratum_of(io, device->stratum);
    if (stratum == NULL)
        return no_memory(e);
    io->sample++;
    io->asked += device->asked;
    if (!device->answered)
        return 0;
    return device->code[0] == '\0' ? count_answer(io, device, stratum, e)
                                   : count_declined(io, device, e);
}

// ── The document ──

// "would_fail_pct" (when share is wanted), "lower_pct" and "upper_pct": null of nobody.
static int add_bounds(json_t *row, uint64_t judged, uint64_t failing, bool share, struct err *e) {
    uint32_t lower = 0, upper = 0;
    json_t *none = json_null();
    if (judged > 0)
        evidence_binomial_bounds(judged, failing, ROLLOUT_DRY_ALPHA_PPM, &lower, &upper);
    uint32_t ppm = judged == 0 ? 0 : (uint32_t)(failing * 1000000 / judged);
    bool failed =
        (share && json_object_set_new(row, "would_fail_pct",
                                      judged == 0 ? none : policy_read_percent_json(ppm)) < 0) ||
        json_object_set_new(row, "lower_pct",
                            judged == 0 ? none : policy_read_percent_json(lower)) < 0 ||
        json_object_set_new(row, "upper_pct",
                            judged == 0 ? none : policy_read_percent_json(upper)) < 0;
    return failed ? no_memory(e) : 0;
}

static void describe(const struct rollout_dry *d, char ret[static TEXT_BYTES]) {
    uint32_t lower = 0, upper = 0;
    uint64_t silent = d->sample - d->answered;
    int at = 0;
    if (d->judged > 0) {
        evidence_binomial_bounds(d->judged, d->would_fail, ROLLOUT_DRY_ALPHA_PPM, &lower, &upper);
        at = snprintf(ret, TEXT_BYTES,
                      "%llu of %llu devices would fail the release's own probes as they are today: "
                      "%.1f %% to %.1f %% of such devices, with 95 %% confidence",
                      (unsigned long long)d->would_fail, (unsigned long long)d->judged, lower / 1e4,
                      upper / 1e4);
    } else if (d->answered > 0) {
        at = snprintf(ret, TEXT_BYTES,
                      "nothing is known of %llu devices that answered: the release has no probe "
                      "that can be run without its files",
                      (unsigned long long)d->answered);
    } else {
        at = snprintf(ret, TEXT_BYTES, "no device answered");
    }
    if (silent > 0 && at > 0 && at < TEXT_BYTES)
        (void)snprintf(ret + at, (size_t)(TEXT_BYTES - at),
                       "; %llu of %llu that were chosen did not%s", (unsigned long long)silent,
                       (unsigned long long)d->sample, d->answered > 0 ? " answer" : "");
}

int rollout_dry_format(const struct rollout_dry *dry, json_t **ret, struct err *e) {
    char text[TEXT_BYTES];
    OWN(json) json_t *strata = json_deep_copy(dry->strata);
    size_t i;
    json_t *row;
    json_array_foreach (strata, i, row)
        if (add_bounds(row, (uint64_t)json_integer_value(json_object_get(row, "judged")),
                       (uint64_t)json_integer_value(json_object_get(row, "would_fail")), false,
                       e) < 0)
            return -1;
    describe(dry, text);
    OWN(json)
    json_t *made =
        json_pack("{s:I, s:I, s:I, s:O, s:I, s:I, s:o, s:O, s:O, s:s}", "sample",
                  (json_int_t)dry->sample, "asked", (json_int_t)dry->asked, "answered",
                  (json_int_t)dry->answered, "declined", dry->declined, "judged",
                  (json_int_t)dry->judged, "would_fail", (json_int_t)dry->would_fail,
                  "confidence_pct", policy_read_percent_json(1000000 - ROLLOUT_DRY_ALPHA_PPM),
                  "probes", dry->probes, "strata", strata, "text", text);
    if (made == NULL)
        return no_memory(e);
    if (add_bounds(made, dry->judged, dry->would_fail, true, e) < 0)
        return -1;
    *ret = own_take(&made);
    return 0;
}
