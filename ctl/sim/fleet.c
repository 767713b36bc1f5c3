// SPDX-License-Identifier: Apache-2.0
//
// Reading a fleet file; its parts are in fleet_read.c and fleet_release.c.
#include "ctl/sim/fleet.h"

#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "base/text.h"
#include "ctl/sim/fleet_read.h"

static int read_sites(const struct doc_at *at, struct sim_fleet *io, struct err *e) {
    const char *fact = SIM_FLEET_SITE_FACT;
    io->sites = 1;
    if (doc_u64_opt(at, "sites", 1, SIM_FLEET_SITES_MAX, &io->sites, e) < 0 ||
        doc_string_opt(at, "site_fact", BUNDLE_FACT_NAME_MAX, &fact, e) < 0)
        return sim_fleet_as_config(e);
    if (!text_is_name(fact, BUNDLE_FACT_NAME_MAX))
        return sim_fleet_wrong(at, "site_fact", "the name of a fact, like label.site", e);
    (void)snprintf(io->site_fact, sizeof io->site_fact, "%s", fact);
    return 0;
}

static int read_installs(const struct doc_at *at, struct sim_fleet *io, struct err *e) {
    static const char *const known[] = {"refused_pct", "reverted_pct", "lost_pct",
                                        "fetch",       "probation",    NULL};
    struct doc_at installs;
    io->fetch_s = SIM_FLEET_FETCH_DEFAULT_S;
    io->probation_s = SIM_FLEET_PROBATION_DEFAULT_S;
    int found = doc_object_opt(at, "installs", &installs, e);
    if (found != 0)
        return found < 0 ? sim_fleet_as_config(e) : 0;
    if (sim_fleet_known(&installs, known, e) < 0 ||
        sim_fleet_percent(&installs, "refused_pct", &io->refused_ppm, e) < 0 ||
        sim_fleet_percent(&installs, "reverted_pct", &io->reverted_ppm, e) < 0 ||
        sim_fleet_percent(&installs, "lost_pct", &io->lost_ppm, e) < 0 ||
        sim_fleet_seconds(&installs, "fetch", 1, &io->fetch_s, e) < 0 ||
        sim_fleet_seconds(&installs, "probation", 1, &io->probation_s, e) < 0)
        return -1;
    if (io->refused_ppm + io->reverted_ppm + io->lost_ppm > 1000000)
        return sim_fleet_wrong(
            at, "installs", "refused_pct, reverted_pct and lost_pct that add up to at most 100", e);
    return 0;
}

static int read_outages(const struct doc_at *at, struct sim_fleet *io, struct err *e) {
    static const char *const known[] = {
        "site_per_week",       "fleet_per_week",  "last", "restarts_per_week",
        "controller_per_week", "controller_last", NULL};
    struct doc_at outages;
    io->outage_s = SIM_FLEET_OUTAGE_DEFAULT_S;
    int found = doc_object_opt(at, "outages", &outages, e);
    if (found != 0)
        return found < 0 ? sim_fleet_as_config(e) : 0;
    if (sim_fleet_known(&outages, known, e) < 0 ||
        sim_fleet_rate(&outages, "site_per_week", SIM_FLEET_WEEKLY_MAX, &io->site_outages_ppm, e) <
            0 ||
        sim_fleet_rate(&outages, "fleet_per_week", SIM_FLEET_WEEKLY_MAX, &io->fleet_outages_ppm,
                       e) < 0 ||
        sim_fleet_seconds(&outages, "last", 1, &io->outage_s, e) < 0 ||
        sim_fleet_rate(&outages, "restarts_per_week", SIM_FLEET_WEEKLY_MAX, &io->restarts_ppm, e) <
            0 ||
        sim_fleet_seconds(&outages, "controller_last", 0, &io->controller_down_s, e) < 0)
        return -1;
    return sim_fleet_rate(&outages, "controller_per_week", SIM_FLEET_WEEKLY_MAX,
                          &io->controller_restarts_ppm, e);
}

static int read_people(const struct doc_at *at, struct sim_fleet *io, struct err *e) {
    static const char *const known[] = {"approve_after", "resume", NULL};
    struct doc_at people;
    io->approve_s = SIM_FLEET_APPROVE_DEFAULT_S;
    int found = doc_object_opt(at, "people", &people, e);
    if (found != 0)
        return found < 0 ? sim_fleet_as_config(e) : 0;
    if (sim_fleet_known(&people, known, e) < 0 ||
        sim_fleet_seconds(&people, "approve_after", 0, &io->approve_s, e) < 0)
        return -1;
    if (doc_u64_opt(&people, "resume", 0, SIM_FLEET_RESUMES_MAX, &io->resumes, e) < 0)
        return sim_fleet_as_config(e);
    return 0;
}

static int read_all(const struct doc_at *at, struct sim_fleet *io, struct err *e) {
    uint64_t poll_s = SIM_FLEET_POLL_DEFAULT_S;
    io->duration_s = SIM_FLEET_DURATION_DEFAULT_S;
    if (sim_fleet_name(at, "name", BUNDLE_NAME_MAX, io->name, e) < 0)
        return -1;
    if (doc_u64(at, "devices", 1, SIM_FLEET_DEVICES_MAX, &io->devices, e) < 0)
        return sim_fleet_as_config(e);
    if (read_sites(at, io, e) < 0 || sim_fleet_seconds(at, "poll_s", 1, &poll_s, e) < 0 ||
        sim_fleet_seconds(at, "duration", 1, &io->duration_s, e) < 0 ||
        sim_fleet_percent(at, "newcomers_pct", &io->newcomers_ppm, e) < 0 ||
        sim_fleet_facts_read(at, &io->facts, e) < 0 || sim_fleet_zones_read(at, io, e) < 0 ||
        sim_fleet_kinds_read(at, poll_s, io, e) < 0 || sim_fleet_metrics_read(at, io, e) < 0 ||
        read_installs(at, io, e) < 0 || read_outages(at, io, e) < 0 || read_people(at, io, e) < 0)
        return -1;
    return sim_fleet_release_read(at, io, e);
}

int sim_fleet_parse(json_t *document, const char *what, struct sim_fleet *ret, struct err *e) {
    static const char *const known[] = {
        "name",    "devices",       "sites",  "site_fact", "poll_s",  "duration", "facts", "kinds",
        "metrics", "newcomers_pct", "people", "installs",  "outages", "release",  "zones", NULL};
    struct doc_at root;
    OWN(mem) struct sim_fleet *fleet = calloc(1, sizeof *fleet);
    if (fleet == NULL)
        return err_set(e, &err_memory, "%s: out of memory", what);
    if (doc_root(document, what, &root, e) < 0)
        return sim_fleet_as_config(e);
    if (sim_fleet_known(&root, known, e) < 0 || read_all(&root, fleet, e) < 0)
        return -1;
    *ret = *fleet;
    return 0;
}
