// SPDX-License-Identifier: Apache-2.0
//
// `edgectl rollout plan`: what a policy would do, in a file that is applied as it stands, and in
// words.
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/chrono.h"
#include "base/fs.h"
#include "base/num.h"
#include "base/own.h"
#include "base/text.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/remote.h"
#include "ctl/cmd/rollout.h"
#include "ctl/cmd/rollout_dry.h"
#include "ctl/rollout/policy.h"

#define EXPIRES_MAX_S (366ULL * 86400)
#define FILE_MODE     0644
#define TEXT_BYTES    600

const struct opt cmd_rollout_plan_options[] = {
    {.name = "file", .letter = 'f', .value = "POLICY", .help = "JSON or YAML; - is standard input"},
    {.name = "output", .letter = 'o', .value = "PLAN", .help = "Write the plan to this file"},
    {.name = "expires",
     .value = "TIME",
     .help = "When nobody may go by it any more: a time, or a duration (default 30d)"},
    CMD_ROLLOUT_DRY_OPTIONS,
    CMD_REMOTE_OPTIONS,
    CMD_OPTION_JSON,
    CMD_OPTION_END};

// ── In words ──

static const char *safe(const json_t *object, const char *key, char ret[static TEXT_BYTES]) {
    return text_safe(cmd_print_string(object, key), ret, TEXT_BYTES);
}

static long long number(const json_t *object, const char *key) {
    return (long long)cmd_print_integer(object, key);
}

// "45 s", "12 min", "3.5 h", "2.1 d".
static const char *duration(json_int_t seconds, char ret[static 32]) {
    double s = (double)seconds;
    if (seconds < 120)
        (void)snprintf(ret, 32, "%lld s", (long long)seconds);
    else if (seconds < 7200)
        (void)snprintf(ret, 32, "%.0f min", s / 60);
    else if (seconds < 172800)
        (void)snprintf(ret, 32, "%.1f h", s / 3600);
    else
        (void)snprintf(ret, 32, "%.1f d", s / 86400);
    return ret;
}

// Where sites are drawn it is they that count, and not their devices.
static void show_sites(FILE *out, const json_t *sites) {
    char text[TEXT_BYTES];
    if (sites == NULL)
        return;
    (void)fprintf(out, "  whole sites are drawn and counted: %lld, of at most %lld devices%s%s\n",
                  number(sites, "sites"), number(sites, "largest"),
                  cmd_print_string(sites, "text")[0] == '\0' ? "" : "; ",
                  safe(sites, "text", text));
}

static void show_head(FILE *out, const json_t *plan) {
    const json_t *release = json_object_get(plan, "release");
    const json_t *calls = json_object_get(plan, "calls");
    char name[TEXT_BYTES], release_name[TEXT_BYTES], version[TEXT_BYTES], half[32], most[32];
    (void)fprintf(out, "%s: %s %s to %lld of %lld devices\n", safe(plan, "rollout", name),
                  safe(release, "name", release_name), safe(release, "version", version),
                  number(plan, "devices"), number(plan, "accepted"));
    if (number(plan, "held_back") > 0)
        (void)fprintf(out, "  %lld of them are held back to the end\n", number(plan, "held_back"));
    show_sites(out, json_object_get(plan, "sites"));
    (void)fprintf(out, "  half of them call within %s, 95 %% within %s",
                  duration(cmd_print_integer(calls, "half_s"), half),
                  duration(cmd_print_integer(calls, "nearly_all_s"), most));
    (void)fprintf(out, " (by the history of %lld of %lld)\n", number(calls, "known"),
                  number(calls, "devices") + number(calls, "never"));
    const json_t *expected = json_object_get(plan, "expected");
    (void)fprintf(out, "  expected: half of them have it after %s, 90 %% after %s; %s\n",
                  duration(cmd_print_integer(expected, "half_s"), half),
                  duration(cmd_print_integer(expected, "p90_s"), most),
                  safe(expected, "text", name));
}

#define STEPS_SHOWN 3

// A device that dies is known to be dead when it has been silent for long enough.
static void show_losses(FILE *out, const json_t *stage) {
    const json_t *losses = json_object_get(stage, "losses");
    char after[32], by[32];
    if (!json_is_object(losses))
        return;
    duration(cmd_print_integer(losses, "seen_after_s"), after);
    duration(cmd_print_integer(losses, "by_s"), by);
    (void)fprintf(out,
                  "  it waits %s for devices that fall silent: those that do so within %s of the "
                  "last batch are seen in it\n",
                  after, by);
    if (cmd_print_integer(losses, "by_s") < cmd_print_integer(losses, "seen_after_s"))
        (void)fprintf(out,
                      "  WARNING: who dies later is seen in a later stage, after the last one not "
                      "at all: soak_s is shorter than the %s that silence takes to be seen\n",
                      after);
}

// What is signed of the plan, against a controller that was taken over.
static void show_reach(FILE *out, const json_t *plan, size_t i) {
    const json_t *stages = json_object_get(plan, "stages");
    const json_t *stage = json_array_get(stages, i), *next = json_array_get(stages, i + 1);
    const json_t *steps = json_object_get(stage, "steps");
    size_t n = json_array_size(steps);
    char name[TEXT_BYTES], at[TEXT_BYTES];
    const char *then =
        next != NULL ? safe(next, "not_before", at) : safe(plan, "held_back_from", at);
    if (next != NULL && strcmp(cmd_print_string(stage, "not_before"), then) == 0) {
        (void)fprintf(out,
                      "  WARNING: stage %s may begin at the same time: whoever steals the "
                      "controller need not wait (give stage %s a soak_s)\n",
                      safe(next, "name", at), safe(stage, "name", name));
        return;
    }
    if (n == 0 && *then == '\0')
        return;
    (void)fprintf(out, "  once signed: whoever steals the controller reaches at most ");
    for (size_t k = 0; k + 1 < n && k < STEPS_SHOWN; k++)
        (void)fprintf(out, "%lld devices before %s, ", number(json_array_get(steps, k), "reach"),
                      safe(json_array_get(steps, k + 1), "at", name));
    if (n > STEPS_SHOWN + 1)
        (void)fprintf(out, "… ");
    (void)fprintf(out, *then == '\0' ? "%lld after that\n" : "%lld devices before %s\n",
                  number(stage, "reach"), then);
}

static void show_stages(FILE *out, const json_t *plan, bool advances) {
    size_t i, k;
    json_t *stage, *gate;
    char name[TEXT_BYTES], text[TEXT_BYTES], took[32], size[NUM_SIZE_TEXT];
    json_array_foreach (json_object_get(plan, "stages"), i, stage) {
        uint64_t bytes = (uint64_t)number(stage, "bytes");
        (void)fprintf(out, "stage %s: %lld devices", safe(stage, "name", name),
                      number(stage, "adds"));
        if (json_object_get(stage, "units") != NULL)
            (void)fprintf(out, " of %lld site%s", number(stage, "units"),
                          number(stage, "units") == 1 ? "" : "s");
        (void)fprintf(out, ", %lld with those before%s\n", number(stage, "total"),
                      json_is_true(json_object_get(stage, "approve")) ? ", after approval" : "");
        (void)fprintf(out, "  at most %s over their links; about %s", num_format_size(bytes, size),
                      duration(cmd_print_integer(stage, "expected_s"), took));
        (void)fprintf(out, number(stage, "batches") == 1 ? " in one batch\n" : " in %lld batches\n",
                      number(stage, "batches"));
        if (cmd_print_integer(stage, "windows_s") > 0)
            (void)fprintf(out, "  of that %s for windows, at their worst\n",
                          duration(cmd_print_integer(stage, "windows_s"), took));
        if (json_is_true(json_object_get(stage, "inconclusive")))
            (void)fprintf(out, "  without a verdict: it waits for %s, and then %s\n",
                          duration(cmd_print_integer(stage, "waits_s"), took),
                          advances ? "goes on without evidence" : "pauses");
        show_losses(out, stage);
        show_reach(out, plan, i);
        json_array_foreach (json_object_get(stage, "gates"), k, gate)
            (void)fprintf(out, "  gate %s: %s\n", safe(gate, "name", name),
                          safe(gate, "text", text));
    }
}

static void show_strata(FILE *out, const json_t *plan) {
    size_t i, n = json_array_size(json_object_get(plan, "strata"));
    json_t *stratum;
    char text[TEXT_BYTES];
    if (n > 1)
        (void)fprintf(out, "%zu strata\n", n);
    if (json_is_true(json_object_get(plan, "by_known_facts")))
        (void)fprintf(out, "  devices do not know their labels: strata that differ in labels alone "
                           "have one bound, that of all their devices\n");
    json_array_foreach (json_object_get(plan, "pooled"), i, stratum)
        (void)fprintf(
            out, "  pooled, fewer than 5 devices: %s\n",
            text_safe(json_string_value(stratum) == NULL ? "" : json_string_value(stratum), text,
                      sizeof text));
}

static void show_variants(FILE *out, const json_t *plan) {
    size_t i;
    json_t *row;
    char name[TEXT_BYTES], text[TEXT_BYTES], size[NUM_SIZE_TEXT];
    json_array_foreach (json_object_get(plan, "variants"), i, row) {
        bool plain = cmd_print_string(row, "variant")[0] == '\0';
        (void)fprintf(out, "variant %s: %lld devices, %s each",
                      plain ? "(one)" : safe(row, "variant", name), number(row, "devices"),
                      num_format_size((uint64_t)number(row, "bytes"), size));
        if (number(row, "had") > 0)
            (void)fprintf(out, "; %lld of them run it", number(row, "had"));
        if (json_is_true(json_object_get(row, "over_budget")))
            (void)fprintf(out, "; more than the byte budget, so only a delta can bring it");
        (void)fprintf(out, "\n");
    }
    json_array_foreach (json_object_get(plan, "nothing"), i, row)
        (void)fprintf(out, "nothing for %lld devices: %s (%s)\n", number(row, "devices"),
                      safe(row, "text", text), safe(row, "code", name));
}

static void show_gates(FILE *out, const json_t *plan) {
    size_t i;
    json_t *row;
    char name[TEXT_BYTES], text[TEXT_BYTES], weight[TEXT_BYTES];
    json_array_foreach (json_object_get(plan, "gates"), i, row)
        (void)fprintf(out, "gate %s, weight %s %%: %s\n", safe(row, "name", name),
                      safe(row, "weight_pct", weight), safe(row, "text", text));
    json_array_foreach (json_object_get(plan, "exposure"), i, row)
        (void)fprintf(out, "a release that fails on %s %%: %s\n", safe(row, "failing_pct", name),
                      safe(row, "text", text));
    const json_t *installs = json_object_get(plan, "installs");
    (void)fprintf(out, "installs so far: %lld good, %lld bad in %lld finished rollouts; ",
                  number(installs, "good"), number(installs, "bad"), number(installs, "rollouts"));
    (void)fprintf(out, "proposed baseline_pct %s: %s\n", safe(installs, "proposed_pct", name),
                  safe(installs, "text", text));
}

void cmd_rollout_plan_show(FILE *out, const json_t *file) {
    const json_t *plan = json_object_get(file, "plan");
    const json_t *evidence = json_object_get(json_object_get(file, "policy"), "evidence");
    show_head(out, plan);
    show_stages(out, plan, strcmp(cmd_print_string(evidence, "on_max_soak"), "advance") == 0);
    show_strata(out, plan);
    show_variants(out, plan);
    show_gates(out, plan);
    cmd_rollout_dry_show(out, plan);
}

// ── The command ──

static int read_expires(const struct cmd_context *context, const char *text, json_t *io,
                        struct err *e) {
    char at[CHRONO_TEXT_BYTES];
    int64_t expires_s = 0;
    uint64_t for_s = 0;
    struct err ignored = ERR_NONE;
    if (text == NULL)
        return 0;
    if (num_parse_seconds(text, "--expires", EXPIRES_MAX_S, &for_s, &ignored) == 0)
        expires_s = chrono_wall_ms(context->clock) / 1000 + (int64_t)for_s;
    else if (chrono_parse(text, "--expires", &expires_s, e) < 0)
        return -1;
    return json_object_set_new(io, "expires", json_string(chrono_format(expires_s, at))) < 0
               ? err_set(e, &err_memory, "planning: out of memory")
               : 0;
}

static int write_plan(const char *path, const json_t *answer, struct err *e) {
    OWN(mem) char *text = json_dumps(answer, JSON_INDENT(1) | JSON_SORT_KEYS);
    if (text == NULL)
        return err_set(e, &err_memory, "writing the plan: out of memory");
    return fs_replace(AT_FDCWD, path, text, strlen(text), FILE_MODE, e);
}

int cmd_rollout_plan(void *context, const struct opt_args *args, struct err *e) {
    const char *path = opt_get(args, "file"), *output = opt_get(args, "output");
    OWN(net_client) struct net_client *client = NULL;
    OWN(mem) struct rollout_policy *policy = calloc(1, sizeof *policy);
    OWN(json) json_t *document = NULL;
    OWN(json) json_t *answer = NULL;
    if (policy == NULL)
        return err_set(e, &err_memory, "planning: out of memory");
    if (path == NULL)
        return err_set(e, &err_usage, "rollout plan: for what? Give -f POLICY");
    if (cmd_rollout_dry_check(args, e) < 0 ||
        cmd_rollout_file_policy(path, policy, &document, e) < 0)
        return -1;
    OWN(json) json_t *body = json_pack("{s:O}", "policy", document);
    if (read_expires(context, opt_get(args, "expires"), body, e) < 0 ||
        cmd_remote_open(args, &client, e) < 0)
        return -1;
    if (cmd_rollout_dry_ask(context, args, client, body, e) < 0 ||
        net_client_post(client, "/api/v1/rollouts/plan", body, &answer, e) < 0)
        return err_prefix(e, "planning the rollout %s", policy->name);
    if (output != NULL && write_plan(output, answer, e) < 0)
        return err_prefix(e, "writing the plan of %s", policy->name);
    if (opt_given(args, "json")) {
        cmd_print_json(answer);
        return 0;
    }
    cmd_rollout_plan_show(stdout, answer);
    const char *why = cmd_print_string(answer, "mandate_why");
    if (*why != '\0') {
        (void)printf("it cannot be signed: ");
        cmd_print_text(why);
        (void)printf("\n");
    }
    return 0;
}
