// SPDX-License-Identifier: Apache-2.0
//
// A fleet that is simulated: how many devices of which kinds, how often they are heard of, what their
// metrics are like, what goes wrong at any time, and what the release does to them. A document in
// JSON or YAML; edgectl-fleet(5) describes it for users:
//
//   {"name": "plant", "devices": 1000, "sites": 20, "poll_s": 1800, "duration": "14d",
//    "facts": {"arch": "arm64", "hw.line": {"A": 60, "B": 40}},
//    "kinds": [{"name": "wired", "weight": 3}, {"name": "far", "weight": 1, "poll_s": "2h",
//               "off": "20:00-06:00", "loss_pct": 5, "facts": {…}}],
//    "newcomers_pct": 2, "zones": {"+00:00": 60, "+05:30": 40},
//    "metrics": {"latency_ms": {"mean": 12, "sd": 2, "device_sd": 1, "site_sd": 1, "day": 3,
//                               "heavy": true, "step": "0.5"},
//                "oom": {"per_day": "0.2"}},
//    "installs": {"refused_pct": 1, "reverted_pct": 1, "lost_pct": 0, "fetch": "2m",
//                 "probation": "10m"},
//    "outages": {"site_per_week": 1, "fleet_per_week": 0, "last": "3h",
//                "restarts_per_week": 1, "controller_per_week": 0, "controller_last": 0},
//    "people": {"approve_after": "1h", "resume": 0},
//    "release": [{"kind": "metric_shift", "metric": "latency_ms", "by": 4, "percent": 100,
//                 "where": "hw.line == \"B\"", "sites_pct": 100, "after": "1h"}]}
//
// Only name and devices are needed. The struct holds everything by value. Pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"
#include "base/num.h"
#include "bundle/limits.h"

#define SIM_FLEET_MAX_BYTES    (64 * 1024)
#define SIM_FLEET_DEVICES_MAX  1000000
#define SIM_FLEET_SITES_MAX    100000
#define SIM_FLEET_KINDS_MAX    16
#define SIM_FLEET_FACTS_MAX    16 // of the fleet or of a kind
#define SIM_FLEET_VALUES_MAX   16 // of a fact
#define SIM_FLEET_VALUE_MAX    64 // bytes
#define SIM_FLEET_ZONES_MAX    16
#define SIM_FLEET_ZONE_MAX_MIN (14 * 60)
#define SIM_FLEET_METRICS_MAX  BUNDLE_METRICS_MAX
#define SIM_FLEET_FAULTS_MAX   16
#define SIM_FLEET_TIME_MAX_S   (366ULL * 86400)
#define SIM_FLEET_WEEKLY_MAX   10000 // of what happens so often a week
#define SIM_FLEET_RESUMES_MAX  16
// Changes of a metric in one of its units; what is computed with it stays within 64 bits.
#define SIM_FLEET_VALUE_LIMIT 1000000

#define SIM_FLEET_POLL_DEFAULT_S      1800
#define SIM_FLEET_DURATION_DEFAULT_S  (14ULL * 86400)
#define SIM_FLEET_FETCH_DEFAULT_S     120
#define SIM_FLEET_PROBATION_DEFAULT_S 600
#define SIM_FLEET_OUTAGE_DEFAULT_S    10800
#define SIM_FLEET_APPROVE_DEFAULT_S   3600
#define SIM_FLEET_SITE_FACT           "label.site"

enum sim_fleet_value_type { SIM_FLEET_TEXT, SIM_FLEET_INTEGER, SIM_FLEET_BOOLEAN };

struct sim_fleet_value {
    enum sim_fleet_value_type type;
    char text[SIM_FLEET_VALUE_MAX + 1];
    int64_t number;  // or 0 and 1
    uint32_t weight; // 1 or more
};

struct sim_fleet_fact {
    char name[BUNDLE_FACT_NAME_MAX + 1];
    size_t n; // 1 or more
    uint32_t weights;
    struct sim_fleet_value values[SIM_FLEET_VALUES_MAX];
};

struct sim_fleet_facts {
    size_t n;
    struct sim_fleet_fact list[SIM_FLEET_FACTS_MAX];
};

struct sim_fleet_kind {
    char name[BUNDLE_NAME_MAX + 1];
    uint32_t weight;
    uint64_t poll_s;
    bool has_off; // each day it is out of reach from one minute to the other; end <= start: past
                  // midnight
    unsigned off_start_min, off_end_min;
    uint32_t loss_ppm; // check-ins that do not arrive, and answers that do not
    struct sim_fleet_facts facts;
};

struct sim_fleet_zone {
    int16_t east_min; // of UTC
    uint32_t weight;
};

struct sim_fleet_metric {
    char name[BUNDLE_NAME_MAX + 1];
    bool is_counter;
    uint64_t per_day_ppm;                                   // counters: events of a device
    struct decimal mean, sd, device_sd, site_sd, day, step; // gauges; step 0: as it comes
    bool heavy;
};

enum sim_fleet_fault_kind {
    SIM_FLEET_INSTALL_FAILURE, // refused before the swap
    SIM_FLEET_BOOT_LOOP,       // restarts after the swap until it goes back
    SIM_FLEET_PROBE_FAILURE,   // goes back during probation
    SIM_FLEET_SILENT_DEATH,    // is not heard of any more, `after` the swap
    SIM_FLEET_METRIC_SHIFT,    // a gauge is higher (lower) by so much, from `after` on
    SIM_FLEET_SLOW_POISON,     // a gauge rises by so much a day, from `after` on
    SIM_FLEET_EVENT_RATE,      // a counter rises so many times as often, from `after` on
    SIM_FLEET_HANG,            // its download breaks, again and again, and it calls
    SIM_FLEET_LIAR,            // says `say` of the release, whatever it does
    SIM_FLEET_FAULT_KINDS
};
extern const char *const sim_fleet_fault_names[SIM_FLEET_FAULT_KINDS];

struct sim_fleet_fault {
    enum sim_fleet_fault_kind kind;
    uint32_t share_ppm; // of the devices below
    uint32_t sites_ppm; // of the sites
    char where[BUNDLE_PREDICATE_MAX + 1];
    uint64_t after_s;
    size_t metric;      // index into metrics
    struct decimal by;  // shift, poison
    uint64_t times_ppm; // rate
    bool says_bad;      // liar
};

struct sim_fleet {
    char name[BUNDLE_NAME_MAX + 1];
    uint64_t devices, sites;
    char site_fact[BUNDLE_FACT_NAME_MAX + 1];
    uint64_t duration_s; // how long a rollout is followed
    uint32_t newcomers_ppm;
    struct sim_fleet_facts facts; // of all; a kind's come first
    size_t n_zones;               // 0: all at UTC
    struct sim_fleet_zone zones[SIM_FLEET_ZONES_MAX];
    size_t n_kinds; // 1 or more
    struct sim_fleet_kind kinds[SIM_FLEET_KINDS_MAX];
    size_t n_metrics;
    struct sim_fleet_metric metrics[SIM_FLEET_METRICS_MAX];
    uint32_t refused_ppm, reverted_ppm, lost_ppm; // installs, of any release
    uint64_t fetch_s, probation_s;
    // Times a week, in millionths.
    uint64_t site_outages_ppm, fleet_outages_ppm, restarts_ppm, controller_restarts_ppm;
    uint64_t outage_s;
    uint64_t controller_down_s; // at each restart
    uint64_t approve_s;
    uint64_t resumes; // how often a person resumes what stopped or was paused
    size_t n_faults;
    struct sim_fleet_fault faults[SIM_FLEET_FAULTS_MAX];
};

// Reads a document; `what` (the file's name) leads the errors. *ret is a large struct, the caller's.
// Kinds: config (names the place and what was expected), bad_predicate, memory.
int sim_fleet_parse(json_t *document, const char *what, struct sim_fleet *ret, struct err *e)
    __attribute__((nonnull));
