// SPDX-License-Identifier: Apache-2.0
//
// Random fleets under random policies with random faults, in virtual time:
//
//     mix_fleets [SEEDS [FIRST]]      200 seeds from 1 on, if nothing else is said
//
// Of each seed a fleet file and a policy are drawn, with and without gates of evidence, of devices or of
// whole sites: kinds of
// devices that call seldom or lose messages, outages of sites and of the fleet, power cuts, newcomers,
// liars, installs that fail, releases that harm, restarts of the controller, people who resume. The
// rollout is run twice, with restarts of the controller and without. Held for each seed:
//
//   * the rules of ctl/sim/run.h: bounds and limits, nothing while halted, nothing activated outside of
//     the windows where the device is, every device ends, the
//     rollout ends, the counts equal a recount, a score read from its lines is the same;
//   * both runs make the same decisions, whatever instants the controller was restarted at.
//
// A seed that fails is printed with the command that runs it alone. Over 100 seeds and more all kinds
// of ends have to occur, so that the mix stays a mix.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "ctl/sim/run.h"
#include "tests/support/dice.h"

#define SEEDS_DEFAULT 200
#define SEEDS_ENOUGH  100 // for all kinds of ends to occur

static void must(bool held, const char *what, const struct err *e) {
    if (held)
        return;
    (void)fprintf(stderr, "mix_fleets: %s: %s\n", what, e == NULL ? "" : e->text);
    exit(1);
}

static bool one_in(struct dice *dice, uint64_t n) {
    return dice_below(dice, n) == 0;
}

static int pick(struct dice *dice, int from, int to) {
    return from + (int)dice_below(dice, (uint64_t)(to - from + 1));
}

// ── A fleet ──

static json_t *random_kinds(struct dice *dice) {
    json_t *kinds = json_array();
    int n = pick(dice, 1, 3);
    for (int i = 0; i < n; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "kind%d", i);
        json_t *kind = json_pack("{s:s, s:i, s:i}", "name", name, "weight", pick(dice, 1, 4),
                                 "poll_s", 60 * pick(dice, 10, i == 0 ? 30 : 180));
        if (one_in(dice, 3))
            (void)json_object_set_new(kind, "loss_pct", json_integer(pick(dice, 1, 20)));
        if (one_in(dice, 4))
            (void)json_object_set_new(kind, "off", json_string("20:00-06:00"));
        if (one_in(dice, 2))
            (void)json_object_set_new(kind, "facts", json_pack("{s:i}", "hw.kind", i));
        (void)json_array_append_new(kinds, kind);
    }
    return kinds;
}

static json_t *random_fault(struct dice *dice) {
    static const char *const kinds[] = {"install_failure", "boot_loop",    "probe_failure",
                                        "silent_death",    "metric_shift", "slow_poison",
                                        "event_rate",      "hang",         "liar"};
    const char *kind = kinds[dice_below(dice, sizeof kinds / sizeof kinds[0])];
    json_t *fault =
        json_pack("{s:s, s:i}", "kind", kind, "percent", one_in(dice, 2) ? 100 : pick(dice, 1, 60));
    if (strcmp(kind, "liar") == 0)
        (void)json_object_set_new(fault, "say", json_string(one_in(dice, 2) ? "good" : "bad"));
    else if (one_in(dice, 2))
        (void)json_object_set_new(fault, "after", json_integer(60 * pick(dice, 0, 600)));
    if (strcmp(kind, "metric_shift") == 0 || strcmp(kind, "slow_poison") == 0) {
        (void)json_object_set_new(fault, "metric", json_string("load"));
        (void)json_object_set_new(fault, "by", json_integer(pick(dice, -10, 30)));
    }
    if (strcmp(kind, "event_rate") == 0) {
        (void)json_object_set_new(fault, "metric", json_string("oom"));
        (void)json_object_set_new(fault, "times", json_integer(pick(dice, 2, 20)));
    }
    if (one_in(dice, 3))
        (void)json_object_set_new(fault, "where", json_string("hw.line == \"B\""));
    if (one_in(dice, 4))
        (void)json_object_set_new(fault, "sites_pct", json_integer(pick(dice, 5, 80)));
    return fault;
}

static json_t *random_fleet(struct dice *dice) {
    json_t *faults = json_array();
    for (int i = pick(dice, 0, 3); i > 0; i--)
        (void)json_array_append_new(faults, random_fault(dice));
    json_t *zones = json_object();
    if (one_in(dice, 3))
        (void)json_object_update_new(
            zones, json_pack("{s:i, s:i}", "-08:00", pick(dice, 1, 3), "+05:30", pick(dice, 1, 3)));
    return json_pack(
        "{s:o, s:s, s:i, s:i, s:s, s:i, s:{s:s, s:{s:i, s:i}}, s:o, s:{s:{s:i, s:i, s:i, s:b}, "
        "s:{s:s}},"
        " s:{s:i, s:i, s:i, s:i}, s:{s:i, s:s, s:i, s:i, s:i}, s:{s:i, s:i}, s:o}",
        "zones", zones, "name", "mixed", "devices", pick(dice, 1, 220), "sites", pick(dice, 1, 12),
        "duration", "20d", "newcomers_pct", one_in(dice, 2) ? 0 : pick(dice, 1, 20), "facts",
        "arch", "arm64", "hw.line", "A", pick(dice, 1, 5), "B", pick(dice, 1, 5), "kinds",
        random_kinds(dice), "metrics", "load", "mean", 100, "sd", pick(dice, 0, 20), "day",
        pick(dice, 0, 10), "heavy", one_in(dice, 4), "oom", "per_day", "0.5", "installs",
        "refused_pct", one_in(dice, 2) ? 0 : pick(dice, 0, 10), "reverted_pct",
        one_in(dice, 2) ? 0 : 2, "lost_pct", one_in(dice, 3) ? 2 : 0, "fetch", pick(dice, 10, 3000),
        "outages", "site_per_week", pick(dice, 0, 3), "last", "5h", "fleet_per_week",
        one_in(dice, 4) ? 1 : 0, "restarts_per_week", pick(dice, 0, 6), "controller_per_week",
        pick(dice, 5, 60), "people", "approve_after", 60 * pick(dice, 0, 300), "resume",
        pick(dice, 0, 2), "release", faults);
}

// ── A policy ──

static json_t *random_stages(struct dice *dice, bool *ret_whole) {
    json_t *stages = json_array();
    int n = pick(dice, 1, 4), at = 0;
    *ret_whole = false;
    for (int i = 0; i < n && at < 100; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "stage%d", i);
        at = i + 1 == n && one_in(dice, 2) ? 100 : pick(dice, at + 1, at + (100 - at + 2) / 3);
        json_t *stage =
            json_pack("{s:s, s:i, s:i, s:b}", "name", name, "percent", at > 100 ? 100 : at,
                      "soak_s", 60 * pick(dice, 0, 240), "approve", one_in(dice, 6));
        (void)json_array_append_new(stages, stage);
        *ret_whole = at >= 100;
    }
    return stages;
}

static json_t *random_gates(struct dice *dice) {
    json_t *gates = json_array();
    (void)json_array_append_new(gates, json_pack("{s:s, s:s, s:i, s:i}", "name", "install", "kind",
                                                 "install", "baseline_pct", pick(dice, 1, 5),
                                                 "intolerable_pct", 20));
    if (one_in(dice, 2))
        (void)json_array_append_new(gates, json_pack("{s:s, s:s}", "name", "lost", "kind", "lost"));
    if (one_in(dice, 2))
        (void)json_array_append_new(
            gates, json_pack("{s:s, s:s, s:s}", "name", "oom", "kind", "counter", "metric", "oom"));
    if (!one_in(dice, 3)) {
        bool both = one_in(dice, 2);
        json_t *gate =
            json_pack("{s:s, s:s, s:s, s:s, s:i, s:i}", "name", "load", "kind", "metric", "metric",
                      "load", "worse", both ? "both" : "higher", "tolerable", 0, "intolerable", 15);
        if (!both && one_in(dice, 3))
            (void)json_object_set_new(gate, "guard", json_integer(130));
        (void)json_array_append_new(gates, gate);
    }
    return gates;
}

static json_t *random_evidence(struct dice *dice, bool whole) {
    int hours = pick(dice, 1, 6);
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:i}", "horizon_s",
                     3600 * pick(dice, hours, 24), "window_s", 3600 * hours, "grace_s",
                     600 * pick(dice, 0, 12), "rhythm_s", 1800, "holdback_pct",
                     whole && one_in(dice, 2) ? pick(dice, 5, 30) : 0, "max_soak_s",
                     3600 * pick(dice, 6, 72), "on_max_soak", one_in(dice, 2) ? "advance" : "pause",
                     "min_fragility", pick(dice, 1, 3));
}

static json_t *random_hours(struct dice *dice) {
    json_t *list = json_array();
    for (int n = pick(dice, 1, 3); n > 0; n--) {
        int from = pick(dice, 0, 23), to = (from + pick(dice, 1, 12)) % 24;
        (void)json_array_append_new(
            list, one_in(dice, 3)
                      ? json_pack("{s:o, s:o, s:[s, s]}", "start", json_sprintf("%02d:30", from),
                                  "end", json_sprintf("%02d:00", to), "days", "tue", "sat")
                      : json_sprintf("%02d:00-%02d:30", from, to));
    }
    return list;
}

static json_t *random_windows(struct dice *dice) {
    json_t *windows = json_object();
    if (one_in(dice, 2))
        (void)json_object_set_new(windows, "download", random_hours(dice));
    (void)json_object_set_new(windows, "install", random_hours(dice));
    return windows;
}

static json_t *random_policy(struct dice *dice) {
    bool whole = false;
    json_t *stages = random_stages(dice, &whole);
    json_t *policy =
        json_pack("{s:s, s:s, s:o, s:i, s:i, s:s, s:b}", "name", "mixed", "release", "app 2",
                  "stages", stages, "timeout_s", 3600 * pick(dice, 2, 30), "max_unresolved",
                  one_in(dice, 2) ? 0 : pick(dice, 1, 60), "on_failure",
                  one_in(dice, 2) ? "revert" : "pause", "baseline", whole && one_in(dice, 2));
    if (one_in(dice, 2))
        (void)json_object_set_new(policy, "stratify", json_pack("[s]", "hw.line"));
    if (one_in(dice, 5))
        (void)json_object_set_new(policy, "selector", json_string("hw.line == \"A\""));
    if (one_in(dice, 4))
        (void)json_object_set_new(
            policy, "retries",
            json_pack("{s:i, s:i}", "max", pick(dice, 1, 3), "delay_s", 600 * pick(dice, 1, 20)));
    if (one_in(dice, 8))
        (void)json_object_set_new(policy, "until",
                                  json_sprintf("2026-01-%02dT06:00:00Z", pick(dice, 5, 20)));
    if (one_in(dice, 3))
        (void)json_object_set_new(policy, "timeouts",
                                  json_pack("{s:i}", "stuck_s", 3600 * pick(dice, 30, 100)));
    if (one_in(dice, 4))
        (void)json_object_set_new(policy, "batch",
                                  json_pack("{s:i, s:i, s:s}", "start", pick(dice, 1, 20), "factor",
                                            pick(dice, 1, 3), "on",
                                            one_in(dice, 2) ? "notified" : "succeeded"));
    if (!one_in(dice, 3)) {
        json_t *gates = random_gates(dice), *evidence = random_evidence(dice, whole);
        if (one_in(dice, 3)) {
            (void)json_array_append_new(
                gates, json_pack("{s:s, s:s}", "name", "reverts", "kind", "revert"));
            (void)json_object_set_new(evidence, "sham", json_true());
        }
        (void)json_object_set_new(policy, "gates", gates);
        (void)json_object_set_new(policy, "evidence", evidence);
    } else
        (void)json_object_set_new(policy, "gate",
                                  json_pack("{s:i, s:i, s:i}", "success_pct", pick(dice, 50, 100),
                                            "failure_pct", pick(dice, 0, 40), "min_sample",
                                            pick(dice, 1, 10)));
    if (one_in(dice, 4))
        (void)json_object_set_new(policy, "windows", random_windows(dice));
    if (one_in(dice, 6))
        (void)json_object_set_new(policy, "offer_rate", json_integer(pick(dice, 1, 30)));
    return policy;
}

// Whole sites are drawn: of one stratum, and so many of them that there is something to compare. Its dice
// are its own, so that the other seeds stay what they are.
static void draw_sites(uint64_t seed, json_t *fleet, json_t *policy) {
    struct dice dice = {.state = sim_dice_make(seed, 1, 0).state};
    json_t *evidence = json_object_get(policy, "evidence");
    int devices = (int)json_integer_value(json_object_get(fleet, "devices"));
    if (evidence == NULL || json_object_get(evidence, "sham") != NULL || !one_in(&dice, 3))
        return;
    (void)json_object_set_new(evidence, "unit", json_string("site"));
    (void)json_object_set_new(fleet, "sites", json_integer(pick(&dice, 10, 80)));
    (void)json_object_set_new(fleet, "devices", json_integer(devices < 40 ? 40 : devices));
    (void)json_object_del(policy, "stratify");
}

// ── One seed ──

struct scene {
    struct sim_fleet fleet;
    struct rollout_policy policy;
};

static bool complain(uint64_t seed, const char *what, json_t *fleet, json_t *policy) {
    char *a = json_dumps(fleet, JSON_COMPACT | JSON_SORT_KEYS);
    char *b = json_dumps(policy, JSON_COMPACT | JSON_SORT_KEYS);
    (void)fprintf(stderr,
                  "mix_fleets: seed %" PRIu64 ": %s\n  fleet %s\n  policy %s\n"
                  "  again: mix_fleets 1 %" PRIu64 "\n",
                  seed, what, a, b, seed);
    free(a);
    free(b);
    return false;
}

static bool run_scene(uint64_t seed, const struct scene *scene, json_t *fleet, json_t *policy,
                      struct sim_run_result *ret) {
    OWN(world) struct sim_world world = {.n = 0};
    struct err e = ERR_NONE;
    struct sim_run_result quiet = {.n_samples = 0};
    const struct sim_run_options with = {.seed = seed};
    const struct sim_run_options without = {.seed = seed, .no_reloads = true};
    if (sim_world_make(&scene->fleet, &scene->policy, seed, &world, &e) < 0 ||
        sim_run(&world, &with, ret, &e) < 0 || sim_run(&world, &without, &quiet, &e) < 0)
        return complain(seed, e.text, fleet, policy);
    if (ret->broken.n > 0 || quiet.broken.n > 0)
        return complain(seed, ret->broken.n > 0 ? ret->broken.first : quiet.broken.first, fleet,
                        policy);
    if (ret->digest != quiet.digest)
        return complain(seed, "a restart of the controller changed a decision", fleet, policy);
    return true;
}

static bool run_seed(uint64_t seed, struct sim_run_result *ret) {
    // Neighbouring states would be one stream, a draw apart.
    struct dice dice = {.state = sim_dice_make(seed, 0, 0).state};
    OWN(json) json_t *fleet = random_fleet(&dice);
    OWN(json) json_t *policy = random_policy(&dice);
    OWN(mem) struct scene *scene = calloc(1, sizeof *scene);
    struct err e = ERR_NONE;
    must(fleet != NULL && policy != NULL && scene != NULL, "drawing", NULL);
    draw_sites(seed, fleet, policy);
    if (sim_fleet_parse(fleet, "fleet", &scene->fleet, &e) < 0 ||
        rollout_policy_parse(policy, "policy", &scene->policy, &e) < 0)
        return complain(seed, e.text, fleet, policy);
    return run_scene(seed, scene, fleet, policy, ret);
}

int main(int argc, char **argv) {
    uint64_t seeds = SEEDS_DEFAULT, first = 1, failed = 0, checkins = 0;
    uint64_t ends[SIM_RUN_ENDS] = {0};
    struct err e = ERR_NONE;
    must(argc < 2 || num_parse_u64(argv[1], "SEEDS", 1, 100000000, &seeds, &e) == 0, argv[0], &e);
    must(argc < 3 || num_parse_u64(argv[2], "FIRST", 0, INT64_MAX, &first, &e) == 0, argv[0], &e);
    for (uint64_t i = 0; i < seeds; i++) {
        struct sim_run_result result = {.n_samples = 0};
        if (!run_seed(first + i, &result))
            failed++;
        ends[result.end]++;
        checkins += result.checkins;
    }
    (void)printf("mix_fleets: %" PRIu64 " fleets, %" PRIu64 " check-ins, %" PRIu64 " failed;",
                 seeds, checkins, failed);
    for (int i = 0; i < SIM_RUN_ENDS; i++)
        (void)printf(" %" PRIu64 " %s", ends[i], sim_run_end_names[i]);
    (void)putchar('\n');
    for (int i = 0; i < SIM_RUN_UNENDED && seeds >= SEEDS_ENOUGH; i++)
        must(ends[i] > 0, "no fleet ended so", &(struct err){.text = "the mix is none any more"});
    return failed == 0 ? 0 : 1;
}
