// SPDX-License-Identifier: Apache-2.0
//
// Metrics of a fleet file, and what its release does to devices.
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "bundle/predicate.h"
#include "ctl/sim/fleet_read.h"

const char *const sim_fleet_fault_names[SIM_FLEET_FAULT_KINDS] = {
    [SIM_FLEET_INSTALL_FAILURE] = "install_failure",
    [SIM_FLEET_BOOT_LOOP] = "boot_loop",
    [SIM_FLEET_PROBE_FAILURE] = "probe_failure",
    [SIM_FLEET_SILENT_DEATH] = "silent_death",
    [SIM_FLEET_METRIC_SHIFT] = "metric_shift",
    [SIM_FLEET_SLOW_POISON] = "slow_poison",
    [SIM_FLEET_EVENT_RATE] = "event_rate",
    [SIM_FLEET_HANG] = "hang",
    [SIM_FLEET_LIAR] = "liar",
};

static int read_metric(const struct doc_at *at, struct sim_fleet_metric *ret, struct err *e) {
    static const char *const gauge[] = {"mean", "sd",   "device_sd", "site_sd",
                                        "day",  "step", "heavy",     NULL};
    static const char *const counter[] = {"per_day", NULL};
    ret->is_counter = json_object_get(at->value, "per_day") != NULL;
    if (sim_fleet_known(at, ret->is_counter ? counter : gauge, e) < 0)
        return -1;
    if (ret->is_counter)
        return sim_fleet_rate(at, "per_day", 10000, &ret->per_day_ppm, e);
    const struct {
        const char *key;
        struct decimal *ret;
        bool negative;
    } members[] = {{"mean", &ret->mean, true},
                   {"sd", &ret->sd, false},
                   {"device_sd", &ret->device_sd, false},
                   {"site_sd", &ret->site_sd, false},
                   {"day", &ret->day, false},
                   {"step", &ret->step, false}};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        if (sim_fleet_decimal(at, members[i].key, members[i].ret, e) < 0)
            return -1;
        if (!members[i].negative && members[i].ret->nano < 0)
            return sim_fleet_wrong(at, members[i].key, "a number that is not negative", e);
    }
    if (doc_bool_opt(at, "heavy", &ret->heavy, e) < 0)
        return sim_fleet_as_config(e);
    return 0;
}

static int by_name(const void *left, const void *right) {
    const struct sim_fleet_metric *a = left, *b = right;
    return strcmp(a->name, b->name);
}

int sim_fleet_metrics_read(const struct doc_at *at, struct sim_fleet *io, struct err *e) {
    struct doc_at metrics, metric;
    const char *name = NULL;
    json_t *ignored = NULL;
    int found = doc_object_opt(at, "metrics", &metrics, e);
    if (found != 0)
        return found < 0 ? sim_fleet_as_config(e) : 0;
    if (json_object_size(metrics.value) > SIM_FLEET_METRICS_MAX)
        return sim_fleet_wrong(at, "metrics", "at most 32 of them", e);
    json_object_foreach (metrics.value, name, ignored) {
        struct sim_fleet_metric *made = &io->metrics[io->n_metrics++];
        if (!text_is_name(name, BUNDLE_NAME_MAX))
            return sim_fleet_wrong(&metrics, "*", "names of letters, digits, '.', '_' and '-'", e);
        *made = (struct sim_fleet_metric){.is_counter = false};
        (void)snprintf(made->name, sizeof made->name, "%s", name);
        if (doc_object(&metrics, name, &metric, e) < 0)
            return sim_fleet_as_config(e);
        if (read_metric(&metric, made, e) < 0)
            return -1;
    }
    qsort(io->metrics, io->n_metrics, sizeof io->metrics[0], by_name);
    return 0;
}

// ── What the release does ──

static int read_kind(const struct doc_at *at, enum sim_fleet_fault_kind *ret, struct err *e) {
    const char *text = NULL;
    if (doc_string(at, "kind", 32, &text, e) < 0)
        return sim_fleet_as_config(e);
    for (int i = 0; i < SIM_FLEET_FAULT_KINDS; i++)
        if (strcmp(text, sim_fleet_fault_names[i]) == 0) {
            *ret = (enum sim_fleet_fault_kind)i;
            return 0;
        }
    return sim_fleet_wrong(at, "kind",
                           "install_failure, boot_loop, probe_failure, silent_death, "
                           "metric_shift, slow_poison, event_rate, hang or liar",
                           e);
}

static int read_where(const struct doc_at *at, char *ret, struct err *e) {
    const char *text = "";
    struct bundle_predicate *predicate = NULL;
    if (doc_string_opt(at, "where", BUNDLE_PREDICATE_MAX, &text, e) < 0)
        return sim_fleet_as_config(e);
    if (bundle_predicate_parse(text, &predicate, e) < 0)
        return err_prefix(e, "%s.where", at->path);
    bundle_predicate_free(predicate);
    (void)snprintf(ret, BUNDLE_PREDICATE_MAX + 1, "%s", text);
    return 0;
}

static int read_fault_metric(const struct doc_at *at, const struct sim_fleet *fleet, bool counter,
                             size_t *ret, struct err *e) {
    char name[BUNDLE_NAME_MAX + 1];
    if (sim_fleet_name(at, "metric", BUNDLE_NAME_MAX, name, e) < 0)
        return -1;
    for (size_t i = 0; i < fleet->n_metrics; i++)
        if (strcmp(fleet->metrics[i].name, name) == 0 && fleet->metrics[i].is_counter == counter) {
            *ret = i;
            return 0;
        }
    return sim_fleet_wrong(at, "metric",
                           counter ? "a metric of this file that has per_day"
                                   : "a metric of this file that has a mean",
                           e);
}

// The members that only some kinds have.
static int read_effect(const struct doc_at *at, const struct sim_fleet *fleet,
                       struct sim_fleet_fault *io, struct err *e) {
    const char *say = NULL;
    switch (io->kind) {
    case SIM_FLEET_METRIC_SHIFT:
    case SIM_FLEET_SLOW_POISON:
        if (json_object_get(at->value, "by") == NULL)
            return sim_fleet_wrong(at, "by", "by how much the metric changes", e);
        return sim_fleet_decimal(at, "by", &io->by, e) < 0
                   ? -1
                   : read_fault_metric(at, fleet, false, &io->metric, e);
    case SIM_FLEET_EVENT_RATE:
        io->times_ppm = 2000000;
        return sim_fleet_rate(at, "times", 10000, &io->times_ppm, e) < 0
                   ? -1
                   : read_fault_metric(at, fleet, true, &io->metric, e);
    case SIM_FLEET_LIAR:
        if (doc_string(at, "say", 8, &say, e) < 0)
            return sim_fleet_as_config(e);
        io->says_bad = strcmp(say, "bad") == 0;
        return io->says_bad || strcmp(say, "good") == 0
                   ? 0
                   : sim_fleet_wrong(at, "say", "\"good\" or \"bad\"", e);
    default:
        return 0;
    }
}

static int read_fault(const struct doc_at *at, const struct sim_fleet *fleet,
                      struct sim_fleet_fault *ret, struct err *e) {
    static const char *const common[] = {"kind", "percent", "where", "sites_pct", "after", NULL};
    static const char *const shift[] = {"kind",  "percent", "where", "sites_pct",
                                        "after", "metric",  "by",    NULL};
    static const char *const rate[] = {"kind",  "percent", "where", "sites_pct",
                                       "after", "metric",  "times", NULL};
    static const char *const liar[] = {"kind", "percent", "where", "sites_pct", "say", NULL};
    static const char *const *const known[SIM_FLEET_FAULT_KINDS] = {
        [SIM_FLEET_INSTALL_FAILURE] = common,
        [SIM_FLEET_BOOT_LOOP] = common,
        [SIM_FLEET_PROBE_FAILURE] = common,
        [SIM_FLEET_SILENT_DEATH] = common,
        [SIM_FLEET_METRIC_SHIFT] = shift,
        [SIM_FLEET_SLOW_POISON] = shift,
        [SIM_FLEET_EVENT_RATE] = rate,
        [SIM_FLEET_HANG] = common,
        [SIM_FLEET_LIAR] = liar};
    *ret = (struct sim_fleet_fault){.share_ppm = 1000000, .sites_ppm = 1000000};
    if (read_kind(at, &ret->kind, e) < 0 || sim_fleet_known(at, known[ret->kind], e) < 0 ||
        sim_fleet_percent(at, "percent", &ret->share_ppm, e) < 0 ||
        sim_fleet_percent(at, "sites_pct", &ret->sites_ppm, e) < 0 ||
        sim_fleet_seconds(at, "after", 0, &ret->after_s, e) < 0 ||
        read_where(at, ret->where, e) < 0)
        return -1;
    return read_effect(at, fleet, ret, e);
}

int sim_fleet_release_read(const struct doc_at *at, struct sim_fleet *io, struct err *e) {
    struct doc_at faults, fault;
    int found = doc_array_opt(at, "release", SIM_FLEET_FAULTS_MAX, &faults, e);
    if (found != 0)
        return found < 0 ? sim_fleet_as_config(e) : 0;
    io->n_faults = json_array_size(faults.value);
    for (size_t i = 0; i < io->n_faults; i++) {
        if (doc_element(&faults, i, &fault, e) < 0)
            return sim_fleet_as_config(e);
        if (read_fault(&fault, io, &io->faults[i], e) < 0)
            return -1;
    }
    return 0;
}
