// SPDX-License-Identifier: Apache-2.0
//
// What the gates of evidence do over many simulated rollouts:
//
//     bench_rollouts [RUNS [CASE…]]     1,000 runs of each case, all cases, if nothing else is said
//
// Prints metric<TAB>value<TAB>unit:
//
//     sim_false_stop_share_CASE   share of healthy rollouts that the gates stopped (a pause in doubt
//                                 counts as a stop): 10 gates, 5 stages, alpha 0.025; looked at at every
//                                 check-in
//     sim_false_stop_share        the largest of them
//     sim_power_sd1_n40           share of rollouts stopped when a metric of 40 treated devices is one
//                                 standard deviation of a device's change worse, 160 to compare with
//     sim_power_sd1_n40_of_ten    the same when it is one of ten gates
//     sim_exposure_vs_fixed_rule_ratio
//                                 devices exposed until the stop of a release that fails on 20 %
//                                 (baseline 2 %), medians: by evidence, to "pause when more than 5 % of
//                                 a stage of 1,000 devices failed"; at most 10 in flight for both
//     sim_week_10k_devices_s      a week of 10,000 devices with five gates
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/fsm/pace.h"
#include "base/own.h"
#include "ctl/sim/sum.h"

#define RUNS_DEFAULT 1000
#define RUNS_MAX     100000

static void must(bool held, const char *what, const char *why) {
    if (held)
        return;
    (void)fprintf(stderr, "bench_rollouts: %s: %s\n", what, why);
    exit(1);
}

static double seconds(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

// ── Running ──

struct scene {
    struct sim_fleet fleet;
    struct rollout_policy policy;
};

static struct scene *read_scene(const char *fleet, const char *policy) {
    struct scene *scene = calloc(1, sizeof *scene);
    struct err e = ERR_NONE;
    json_error_t where;
    OWN(json) json_t *a = json_loads(fleet, 0, &where);
    must(a != NULL, fleet, where.text);
    OWN(json) json_t *b = json_loads(policy, 0, &where);
    must(b != NULL, policy, where.text);
    must(scene != NULL && sim_fleet_parse(a, "fleet", &scene->fleet, &e) == 0 &&
             rollout_policy_parse(b, "policy", &scene->policy, &e) == 0,
         "a scene", e.text);
    return scene;
}

static void run_scene(const char *fleet, const char *policy, uint64_t runs, bool whole,
                      struct sim_sum *ret) {
    OWN(mem) struct scene *scene = read_scene(fleet, policy);
    OWN(world) struct sim_world world = {.n = 0};
    struct err e = ERR_NONE;
    must(sim_world_make(&scene->fleet, &scene->policy, 0, &world, &e) == 0, "a fleet", e.text);
    for (uint64_t i = 0; i < runs; i++) {
        struct sim_run_result result = {.n_samples = 0};
        const struct sim_run_options how = {.seed = 1 + i, .whole = whole};
        must(sim_run(&world, &how, &result, &e) == 0 &&
                 sim_sum_add(ret, how.seed, &result, &e) == 0,
             "a run", e.text);
        must(result.broken.n == 0, "a rule was broken", result.broken.first);
        sim_run_clear(&result);
    }
}

static double share(uint64_t part, uint64_t whole) {
    return (double)part / (double)whole;
}

// ── Healthy releases ──

// What the fleets of the null cases have in common, and what differs.
#define NULL_FLEET(failures, rest, metric) FLEET_OF("200", "12", failures, rest, metric)
#define FLEET_OF(devices, sites, failures, rest, metric)                                           \
    "{\"name\": \"null\", \"devices\": " devices ", \"sites\": " sites ", \"duration\": \"20d\", " \
    "\"installs\": {" failures "}, " rest "\"metrics\": {"                                         \
    "\"m1\": {" metric "}, \"m2\": {" metric "}, \"m3\": {" metric "}, \"m4\": {" metric "}, "     \
    "\"m5\": {" metric "}, \"m6\": {" metric "}, \"c1\": {\"per_day\": \"0.3\"}, "                 \
    "\"c2\": {\"per_day\": 2}}}"
#define NORMAL "\"mean\": 100, \"sd\": 5, \"device_sd\": 10"

#define TEN_GATES(baseline)                                                                        \
    "\"gates\": [{\"name\": \"install\", \"kind\": \"install\", \"baseline_pct\": " baseline       \
    ", \"intolerable_pct\": 25}, {\"name\": \"lost\", \"kind\": \"lost\"}, "                       \
    "{\"name\": \"c1\", \"kind\": \"counter\", \"metric\": \"c1\"}, "                              \
    "{\"name\": \"c2\", \"kind\": \"counter\", \"metric\": \"c2\"}, " METRIC("m1") ", " METRIC(    \
        "m2") ", " METRIC("m3") ", " METRIC("m4") ", " METRIC("m5") ", " METRIC("m6") "]"
#define METRIC(name)                                                                               \
    "{\"name\": \"" name "\", \"kind\": \"metric\", \"metric\": \"" name                           \
    "\", \"worse\": \"higher\", \"tolerable\": 0, \"intolerable\": 10}"
// An outage is longer than timeout_s, so that the gate on silence sees both arms fall silent, and shorter
// than what an install may take: it would fail for a reason that the stated baseline knows nothing of.
#define NULL_POLICY(baseline) POLICY_OF(baseline, "")
#define POLICY_OF(baseline, evidence)                                                              \
    "{\"name\": \"null\", \"release\": \"app 2\", \"stages\": ["                                   \
    "{\"name\": \"a\", \"percent\": 3}, {\"name\": \"b\", \"percent\": 8}, "                       \
    "{\"name\": \"c\", \"percent\": 16}, {\"name\": \"d\", \"percent\": 40}, "                     \
    "{\"name\": \"e\", \"percent\": 100}], \"timeout_s\": \"3h\", \"timeouts\": {\"offered_s\": "  \
    "\"1d\", \"staged_s\": \"1d\", \"activated_s\": \"1d\"}, \"on_failure\": "                     \
    "\"revert\", " TEN_GATES(                                                                      \
        baseline) ", \"evidence\": {\"horizon_s\": \"4h\", \"window_s\": \"3h\", "                 \
                  "\"grace_s\": \"1h\", \"max_soak_s\": \"6h\", \"on_max_soak\": "                 \
                  "\"advance\"" evidence "}}"

static const struct null_case {
    const char *name, *fleet, *policy;
} null_cases[] = {
    {"baseline_0", NULL_FLEET("", "", NORMAL), NULL_POLICY("\"0.1\"")},
    {"baseline_2", NULL_FLEET("\"refused_pct\": 1, \"reverted_pct\": 1", "", NORMAL),
     NULL_POLICY("2")},
    {"baseline_5",
     NULL_FLEET("\"refused_pct\": 2, \"reverted_pct\": 2, \"lost_pct\": 1", "", NORMAL),
     NULL_POLICY("5")},
    {"site_clusters",
     NULL_FLEET("\"refused_pct\": 1, \"reverted_pct\": 1",
                "\"outages\": {\"site_per_week\": 7, \"last\": \"5h\"}, ",
                "\"mean\": 100, \"sd\": 5, \"site_sd\": 40"),
     NULL_POLICY("2")},
    {"outages",
     NULL_FLEET("\"refused_pct\": 1, \"reverted_pct\": 1",
                "\"outages\": {\"site_per_week\": 3, \"fleet_per_week\": 3, \"last\": \"5h\", "
                "\"restarts_per_week\": 3}, ",
                NORMAL),
     NULL_POLICY("2")},
    {"day_night",
     NULL_FLEET("\"refused_pct\": 1, \"reverted_pct\": 1", "",
                "\"mean\": 100, \"sd\": 5, \"device_sd\": 10, \"day\": 40"),
     NULL_POLICY("2")},
    {"heavy_tails",
     NULL_FLEET("\"refused_pct\": 1, \"reverted_pct\": 1", "",
                "\"mean\": 100, \"sd\": 5, \"heavy\": true"),
     NULL_POLICY("2")},
    {"ties",
     NULL_FLEET("\"refused_pct\": 1, \"reverted_pct\": 1", "",
                "\"mean\": 100, \"sd\": 1, \"step\": 20"),
     NULL_POLICY("2")},
    {"late_reports",
     NULL_FLEET("\"refused_pct\": 1, \"reverted_pct\": 1",
                "\"kinds\": [{\"name\": \"near\", \"weight\": 2, \"loss_pct\": 10}, {\"name\": "
                "\"far\", \"weight\": 1, \"poll_s\": \"55m\", \"loss_pct\": 40}, {\"name\": "
                "\"day\", \"weight\": 1, \"off\": \"20:00-06:00\"}], ",
                NORMAL),
     NULL_POLICY("2")},
    // Devices of a site go dark and drift together, and are counted as one.
    {"site_unit",
     FLEET_OF("240", "80", "\"refused_pct\": 1, \"reverted_pct\": 1",
              "\"outages\": {\"site_per_week\": 3, \"last\": \"5h\"}, ",
              "\"mean\": 100, \"sd\": 5, \"site_sd\": 40"),
     POLICY_OF("2", ", \"unit\": \"site\"")},
};

static double false_stops(const struct null_case *of, uint64_t runs) {
    OWN(sum) struct sim_sum sum = {.runs = 0};
    double begun = seconds();
    run_scene(of->fleet, of->policy, runs, false, &sum);
    double found = share(sum.stopped, sum.runs);
    (void)fprintf(stderr,
                  "%s: %" PRIu64 " finished, %" PRIu64 " reverted, %" PRIu64
                  " inconclusive, %" PRIu64 " unended; %" PRIu64 " check-ins in %.0f s\n",
                  of->name, sum.ends[SIM_RUN_FINISHED], sum.ends[SIM_RUN_REVERTED],
                  sum.ends[SIM_RUN_INCONCLUSIVE], sum.ends[SIM_RUN_UNENDED], sum.checkins,
                  seconds() - begun);
    (void)printf("sim_false_stop_share_%s\t%.4f\tshare\n", of->name, found);
    (void)fflush(stdout);
    return found;
}

// ── A metric that is worse ──

#define POWER_POLL_S   1800
#define POWER_WINDOW_S 10800
#define POWER_GRACE_S  3600
#define POWER_READING  20 // standard deviation of one
#define POWER_SLOTS    12 // of window and grace (ctl/rollout/score.h)
#define POWER_DEVICES  200000

// Mean of the readings between two instants of a device that checks in as agents do.
static bool mean_between(struct sim_dice *dice, int64_t from_s, int64_t to_s, double *ret) {
    int64_t at_s = from_s - 2 * POWER_POLL_S;
    double sum = 0;
    int n = 0;
    for (; at_s < to_s;
         at_s += fsm_pace_poll_ms(POWER_POLL_S, (uint32_t)sim_dice_bits(dice)) / 1000)
        if (at_s >= from_s) {
            sum += (double)sim_dice_normal(dice) / (double)SIM_DICE_WHOLE * POWER_READING;
            n++;
        }
    *ret = n == 0 ? 0 : sum / n;
    return n > 0;
}

// The variance of a device's change: of its mean over the window before, against that over the window
// at the horizon, with the grace.
static double variance_of_change(void) {
    struct sim_dice dice = sim_dice_make(1, 2, 3);
    double squares = 0, before = 0, after = 0;
    uint64_t n = 0;
    for (int i = 0; i < POWER_DEVICES; i++)
        if (mean_between(&dice, 0, POWER_WINDOW_S, &before) &&
            mean_between(&dice, 0, POWER_WINDOW_S + POWER_GRACE_S, &after)) {
            squares += (after - before) * (after - before);
            n++;
        }
    return squares / (double)n;
}

static double root(double x) {
    double y = x;
    for (int i = 0; i < 60; i++)
        y = (y + x / y) / 2;
    return y;
}

static double power(uint64_t runs, double shift, bool of_ten) {
    OWN(sum) struct sim_sum sum = {.runs = 0};
    char fleet[2048], policy[4096];
    (void)snprintf(
        fleet, sizeof fleet,
        "{\"name\": \"power\", \"devices\": 200, \"sites\": 10, \"poll_s\": %d, "
        "\"duration\": \"10d\", \"metrics\": {"
        "\"m1\": {\"mean\": 100, \"sd\": %d}, \"m2\": {\"mean\": 100, \"sd\": %d}, "
        "\"m3\": {\"mean\": 100, \"sd\": %d}, \"m4\": {\"mean\": 100, \"sd\": %d}, "
        "\"m5\": {\"mean\": 100, \"sd\": %d}, \"m6\": {\"mean\": 100, \"sd\": %d}, "
        "\"c1\": {\"per_day\": \"0.3\"}, \"c2\": {\"per_day\": 2}}, "
        "\"release\": [{\"kind\": \"metric_shift\", \"metric\": \"m1\", \"by\": \"%.6f\"}]}",
        POWER_POLL_S, POWER_READING, POWER_READING, POWER_READING, POWER_READING, POWER_READING,
        POWER_READING, shift);
    (void)snprintf(
        policy, sizeof policy,
        "{\"name\": \"power\", \"release\": \"app 2\", \"stages\": ["
        "{\"name\": \"a\", \"count\": 40}], \"baseline\": false, \"timeout_s\": \"3h\", "
        "\"not_before\": \"2026-01-05T08:00:00Z\", \"batch\": {\"start\": 40}, %s, \"evidence\": "
        "{\"horizon_s\": \"4h\", "
        "\"window_s\": %d, \"grace_s\": %d, \"max_soak_s\": \"12h\", \"min_fragility\": 1, "
        "\"on_max_soak\": \"advance\"}}",
        of_ten ? TEN_GATES("2") : "\"gates\": [" METRIC("m1") "]", POWER_WINDOW_S, POWER_GRACE_S);
    run_scene(fleet, policy, runs, false, &sum);
    return share(sum.stopped, sum.runs);
}

// ── A release that fails on a fifth ──

#define BAD_FLEET                                                                                  \
    "{\"name\": \"bad\", \"devices\": 4000, \"poll_s\": \"10m\", \"duration\": \"40d\", "          \
    "\"installs\": {\"refused_pct\": 1, \"reverted_pct\": 1}, \"release\": [{\"kind\": "           \
    "\"probe_failure\", \"percent\": \"18.37\"}]}"
#define BAD_STAGE                                                                                  \
    "\"name\": \"bad\", \"release\": \"app 2\", \"stages\": [{\"name\": \"a\", \"count\": "        \
    "1000}], "                                                                                     \
    "\"baseline\": false, \"max_unresolved\": 10, \"on_failure\": \"pause\""
#define BAD_EVIDENCE                                                                               \
    "{" BAD_STAGE ", \"batch\": {\"start\": 10, \"max\": 10}, \"gates\": [{\"name\": "             \
    "\"install\", \"kind\": \"install\", \"baseline_pct\": 2, \"intolerable_pct\": 10}], "         \
    "\"evidence\": {\"min_fragility\": 1, \"rhythm_s\": \"10m\"}}"
#define BAD_FIXED                                                                                  \
    "{" BAD_STAGE ", \"gate\": {\"success_pct\": 0, \"failure_pct\": 5, \"min_sample\": 1000}}"

static uint64_t exposed(const char *policy, uint64_t runs) {
    OWN(sum) struct sim_sum sum = {.runs = 0};
    run_scene(BAD_FLEET, policy, runs, false, &sum);
    uint64_t median = sim_sum_quantile(sum.exposed, sum.runs, 500000);
    (void)fprintf(stderr,
                  "exposed until the stop: median %" PRIu64 ", 95 %% %" PRIu64 "; %" PRIu64
                  " of %zu stopped\n",
                  median, sim_sum_quantile(sum.exposed, sum.runs, 950000), sum.stopped, sum.runs);
    return median;
}

// ── A week of a large fleet ──

#define WEEK_FLEET                                                                                 \
    "{\"name\": \"week\", \"devices\": 10000, \"sites\": 200, \"duration\": \"7d\", "              \
    "\"facts\": {\"hw.line\": {\"A\": 3, \"B\": 1}}, \"installs\": {\"refused_pct\": 1}, "         \
    "\"outages\": {\"site_per_week\": 1}, \"metrics\": {\"m1\": {\"mean\": 100, \"sd\": 5}, "      \
    "\"m2\": {\"mean\": 10, \"sd\": 1, \"day\": 2}, \"c1\": {\"per_day\": \"0.3\"}}}"
#define WEEK_POLICY                                                                                \
    "{\"name\": \"week\", \"release\": \"app 2\", \"stratify\": [\"hw.line\"], \"stages\": ["      \
    "{\"name\": \"a\", \"percent\": 1}, {\"name\": \"b\", \"percent\": 5}, "                       \
    "{\"name\": \"c\", \"percent\": 20}, {\"name\": \"d\", \"percent\": 100}], "                   \
    "\"gates\": [{\"name\": \"install\", \"kind\": \"install\", \"baseline_pct\": 2, "             \
    "\"intolerable_pct\": 10}, {\"name\": \"lost\", \"kind\": \"lost\"}, {\"name\": \"c1\", "      \
    "\"kind\": \"counter\", \"metric\": \"c1\"}, " METRIC("m1") ", " METRIC(                       \
        "m2") "], "                                                                                \
              "\"evidence\": {\"horizon_s\": \"12h\", \"max_soak_s\": \"1d\", \"on_max_soak\": "   \
              "\"advance\"}}"

static void week(void) {
    OWN(sum) struct sim_sum sum = {.runs = 0};
    double begun = seconds();
    run_scene(WEEK_FLEET, WEEK_POLICY, 1, true, &sum);
    (void)printf("sim_week_10k_devices_s\t%.2f\ts\n", seconds() - begun);
    (void)fprintf(stderr, "a week of 10,000 devices: %" PRIu64 " check-ins, %" PRIu64 " exposed\n",
                  sum.checkins, sum.exposed[0]);
}

// ── All ──

static bool wanted(int argc, char **argv, const char *name) {
    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc <= 2;
}

int main(int argc, char **argv) {
    uint64_t runs = RUNS_DEFAULT;
    struct err e = ERR_NONE;
    double most = -1;
    must(argc < 2 || num_parse_u64(argv[1], "RUNS", 1, RUNS_MAX, &runs, &e) == 0, argv[0], e.text);
    if (wanted(argc, argv, "week"))
        week();
    if (wanted(argc, argv, "exposure")) {
        uint64_t few = runs < 200 ? runs : 200;
        uint64_t fixed = exposed(BAD_FIXED, few);
        (void)printf("sim_exposure_vs_fixed_rule_ratio\t%.3f\tratio\n",
                     share(exposed(BAD_EVIDENCE, few), fixed));
    }
    if (wanted(argc, argv, "power")) {
        double shift = root(variance_of_change());
        (void)printf("sim_power_sd1_n40\t%.3f\tshare\n", power(runs, shift, false));
        (void)printf("sim_power_sd1_n40_of_ten\t%.3f\tshare\n", power(runs, shift, true));
    }
    (void)fflush(stdout);
    for (size_t i = 0; i < sizeof null_cases / sizeof null_cases[0]; i++)
        if (wanted(argc, argv, null_cases[i].name)) {
            double found = false_stops(&null_cases[i], runs);
            most = found > most ? found : most;
        }
    if (most >= 0)
        (void)printf("sim_false_stop_share\t%.4f\tshare\n", most);
    return 0;
}
