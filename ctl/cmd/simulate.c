// SPDX-License-Identifier: Apache-2.0
//
// `edgectl simulate`: what a policy would do with a release over a fleet, in virtual time.
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/doc.h"
#include "base/fs.h"
#include "base/num.h"
#include "base/own.h"
#include "ctl/cmd/nouns.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/simulate_store.h"
#include "ctl/sim/draw.h"
#include "ctl/sim/sum.h"
#include "ctl/term.h"
#include "ctl/yaml.h"

#define RUNS_DEFAULT 100
#define COLUMNS_MAX  120

static const struct opt options[] = {
    {.name = "fleet", .value = "FILE", .help = "The fleet, JSON or YAML: see edgectl-fleet(5)"},
    {.name = "store",
     .value = "FILE",
     .help = "Take the devices from a controller's store that nobody uses, or a copy of one"},
    {.name = "policy", .value = "FILE", .help = "The rollout's policy: see edgectl-policy(5)"},
    {.name = "runs", .value = "N", .help = "How often; 100 if not given"},
    {.name = "seed",
     .value = "N",
     .help = "Of the first run, the next one has the next; default 1"},
    {.name = "svg", .value = "FILE", .help = "Draw the first run"},
    CMD_OPTION_JSON,
    CMD_OPTION_END};

struct simulation {
    struct sim_fleet fleet;
    struct rollout_policy policy;
    uint64_t runs, seed;
    struct cmd_simulate_store store;
};

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "simulate: no memory");
}

static bool is_yaml(const char *path, const char *text) {
    size_t len = strlen(path);
    return (len > 5 && strcmp(path + len - 5, ".yaml") == 0) ||
           (len > 4 && strcmp(path + len - 4, ".yml") == 0) || text[strspn(text, " \t\r\n")] != '{';
}

static int read_document(const struct opt_args *args, const char *option, json_t **ret,
                         struct err *e) {
    const struct doc_limits limits = {
        .bytes = SIM_FLEET_MAX_BYTES, .depth = 16, .values = 8192, .floats = true};
    const char *path = opt_get(args, option);
    OWN(buf) struct buf text;
    buf_init(&text, SIM_FLEET_MAX_BYTES);
    if (path == NULL)
        return err_set(e, &err_usage, "simulate: give --fleet FILE and --policy FILE");
    if (fs_read_file(AT_FDCWD, path, SIM_FLEET_MAX_BYTES, &text, e) < 0)
        return -1;
    if (is_yaml(path, buf_text(&text)))
        return ctl_yaml_parse(buf_slice(&text), path, ret, e);
    return doc_parse(buf_slice(&text), path, &limits, ret, e);
}

static int read_number(const struct opt_args *args, const char *option, uint64_t min, uint64_t max,
                       uint64_t *ret, struct err *e) {
    char what[32];
    const char *text = opt_get(args, option);
    (void)snprintf(what, sizeof what, "--%s", option);
    return text == NULL ? 0 : num_parse_u64(text, what, min, max, ret, e);
}

static int read_all(const struct opt_args *args, struct simulation *s, struct err *e) {
    OWN(json) json_t *fleet = NULL;
    OWN(json) json_t *policy = NULL;
    s->runs = RUNS_DEFAULT;
    s->seed = 1;
    if (read_document(args, "fleet", &fleet, e) < 0 ||
        read_document(args, "policy", &policy, e) < 0 ||
        sim_fleet_parse(fleet, opt_get(args, "fleet"), &s->fleet, e) < 0 ||
        rollout_policy_parse(policy, opt_get(args, "policy"), &s->policy, e) < 0 ||
        read_number(args, "runs", 1, SIM_SUM_RUNS_MAX, &s->runs, e) < 0)
        return -1;
    if (read_number(args, "seed", 0, INT64_MAX - SIM_SUM_RUNS_MAX, &s->seed, e) < 0)
        return -1;
    return opt_given(args, "store")
               ? cmd_simulate_store_read(opt_get(args, "store"), &s->fleet, &s->store, e)
               : 0;
}

// ── What is shown ──

static void print_range(const char *title, const json_t *range, const char *unit) {
    (void)printf("%-18s median %" JSON_INTEGER_FORMAT
                 "%s, in 95 of 100 at most %" JSON_INTEGER_FORMAT "%s, most %" JSON_INTEGER_FORMAT
                 "%s\n",
                 title, cmd_print_integer(range, "median"), unit, cmd_print_integer(range, "p95"),
                 unit, cmd_print_integer(range, "max"), unit);
}

static void print_count(const json_t *sum, const char *key, const char *what) {
    json_int_t n = cmd_print_integer(sum, key), runs = cmd_print_integer(sum, "runs");
    if (n > 0)
        (void)printf("  %6" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT "  %s\n", n, runs,
                     what);
}

static void print_sum(const struct simulation *s, const json_t *sum) {
    const char *code = NULL;
    json_t *n = NULL;
    (void)printf("%s: %" PRIu64 " devices; %s: %s %s in %zu stage%s\n", s->fleet.name,
                 s->fleet.devices, s->policy.name, s->policy.release_name,
                 s->policy.release_version, s->policy.n_stages, s->policy.n_stages == 1 ? "" : "s");
    print_count(sum, "finished", "finished");
    print_count(sum, "paused", "stopped, and devices kept what they had");
    print_count(sum, "reverted", "stopped, and devices went back");
    print_count(sum, "inconclusive", "paused for a person");
    print_count(sum, "unended", "not over when the fleet file's duration was");
    if (json_is_integer(json_object_get(sum, "false_stops")))
        (void)printf("%-18s %" JSON_INTEGER_FORMAT ": the fleet file says of no harm\n",
                     "false stops:", cmd_print_integer(sum, "false_stops"));
    print_range("exposed devices:", json_object_get(sum, "exposed"), "");
    print_range("of them ran it:", json_object_get(sum, "activated"), "");
    print_range("time to verdict:", json_object_get(sum, "time_to_verdict_s"), " s");
    (void)puts("why:");
    json_object_foreach (json_object_get(sum, "why"), code, n)
        (void)printf("  %6" JSON_INTEGER_FORMAT "  %s\n", json_integer_value(n), code);
}

static int draw_first(const struct opt_args *args, const struct sim_world *world,
                      const struct sim_run_result *result, struct err *e) {
    OWN(buf) struct buf svg;
    OWN(buf) struct buf text;
    unsigned columns = isatty(STDOUT_FILENO) ? ctl_term_width(STDOUT_FILENO) : 80;
    buf_init(&svg, SIM_DRAW_SVG_MAX_BYTES);
    buf_init(&text, SIM_DRAW_SVG_MAX_BYTES);
    if (opt_given(args, "svg") &&
        (sim_draw_svg(world, result, &svg, e) < 0 ||
         fs_replace(AT_FDCWD, opt_get(args, "svg"), svg.data, svg.len, 0644, e) < 0))
        return -1;
    if (opt_given(args, "json"))
        return 0;
    if (sim_draw_text(world, result, columns > COLUMNS_MAX ? COLUMNS_MAX : columns, &text, e) < 0)
        return -1;
    (void)fputs(buf_text(&text), stdout);
    cmd_print_field("first run", result->why_text);
    return 0;
}

// ── Running ──

static int run_each(const struct opt_args *args, const struct simulation *s,
                    const struct sim_world *world, struct sim_sum *sum, struct err *e) {
    for (uint64_t i = 0; i < s->runs; i++) {
        struct sim_run_result result = {.n_samples = 0};
        const struct sim_run_options how = {.seed = s->seed + i, .keep_samples = i == 0};
        if (sim_run(world, &how, &result, e) < 0)
            return err_prefix(e, "run with seed %" PRIu64, how.seed);
        int done = sim_sum_add(sum, how.seed, &result, e);
        if (done == 0 && i == 0)
            done = draw_first(args, world, &result, e);
        sim_run_clear(&result);
        if (done < 0)
            return -1;
    }
    return 0;
}

// A rule that did not hold is a bug of this program, and its run can be had again.
static int complain(const struct opt_args *args, const struct sim_sum *sum, struct err *e) {
    if (sum->n_broken == 0)
        return 0;
    return err_set(e, &err_internal,
                   "%zu of %zu runs broke a rule; the first: %.200s: edgectl simulate --fleet %s "
                   "--policy %s --runs 1 --seed %" PRIu64,
                   sum->n_broken, sum->runs, sum->list[0].text, opt_get(args, "fleet"),
                   opt_get(args, "policy"), sum->list[0].seed);
}

static int make_world(const struct opt_args *args, const struct simulation *s,
                      struct sim_world *ret, struct err *e) {
    const struct sim_world_given given = {.facts = s->store.facts, .sites = s->store.sites};
    int done = opt_given(args, "store") ? sim_world_take(&s->fleet, &s->policy, &given, ret, e)
                                        : sim_world_make(&s->fleet, &s->policy, 0, ret, e);
    return done < 0
               ? err_prefix(e, "%s", opt_get(args, opt_given(args, "store") ? "store" : "fleet"))
               : 0;
}

static int simulate(const struct opt_args *args, const struct simulation *s, struct err *e) {
    OWN(world) struct sim_world world = {.n = 0};
    OWN(sum) struct sim_sum sum = {.runs = 0};
    OWN(json) json_t *object = NULL;
    if (make_world(args, s, &world, e) < 0)
        return -1;
    if (run_each(args, s, &world, &sum, e) < 0 || sim_sum_json(&sum, &object, e) < 0)
        return -1;
    // What is stopped although nothing is wrong with it.
    json_t *false_stops =
        s->fleet.n_faults == 0 ? json_integer((json_int_t)sum.stopped) : json_null();
    if (json_object_set_new(object, "false_stops", false_stops) < 0)
        return no_memory(e);
    if (opt_given(args, "json"))
        cmd_print_json(object);
    else
        print_sum(s, object);
    return complain(args, &sum, e);
}

static int run_simulate(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    OWN(mem) struct simulation *s = calloc(1, sizeof *s);
    if (s == NULL)
        return no_memory(e);
    int done = read_all(args, s, e) < 0 ? -1 : simulate(args, s, e);
    cmd_simulate_store_clear(&s->store);
    return done;
}

const struct opt_command cmd_simulate[] = {
    {.name = "simulate",
     .operands = "",
     .help = "Run a policy's rollout over a fleet in virtual time, many times",
     .options = options,
     .run = run_simulate},
    {.name = NULL}};
