// SPDX-License-Identifier: Apache-2.0
//
// `edgectl rollout why`: everything that holds a rollout, and the verdicts that its gates came to;
// and the lines of `rollout status` that say how far it is open and what its gates say.
#include "ctl/cmd/rollout_why.h"

#include "base/buf.h"
#include "base/own.h"
#include "base/text.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/remote.h"
#include "ctl/cmd/rollout_behind.h"

#define SHOWN_BYTES 600

static const char *shown(const json_t *object, const char *key, char ret[static SHOWN_BYTES]) {
    return text_safe(cmd_print_string(object, key), ret, SHOWN_BYTES);
}

// ── status ──────────────────────────────────────────────────────────────────────────────────────

static void show_batch(FILE *out, const json_t *batch) {
    char share[SHOWN_BYTES];
    if (!json_is_object(batch))
        return;
    (void)fprintf(out, "  batch %lld: %s %% of the stage is open",
                  (long long)cmd_print_integer(batch, "number"), shown(batch, "share_pct", share));
    if (cmd_print_integer(batch, "size") > 0)
        (void)fprintf(out, ", at most %lld devices without an outcome",
                      (long long)cmd_print_integer(batch, "size"));
    (void)fputc('\n', out);
}

static void show_bounds(FILE *out, const json_t *bounds) {
    const char *lower = json_string_value(json_object_get(bounds, "lower"));
    const char *upper = json_string_value(json_object_get(bounds, "upper"));
    char of[SHOWN_BYTES], low[SHOWN_BYTES], high[SHOWN_BYTES];
    if (lower == NULL && upper == NULL)
        return;
    (void)fprintf(out, "; %s", shown(bounds, "of", of));
    if (lower != NULL)
        (void)fprintf(out, " above %s", text_safe(lower, low, sizeof low));
    if (upper != NULL)
        (void)fprintf(out, "%s below %s", lower == NULL ? "" : " and",
                      text_safe(upper, high, sizeof high));
}

static void show_gate(FILE *out, const json_t *gate) {
    char name[SHOWN_BYTES], verdict[SHOWN_BYTES], evidence[SHOWN_BYTES], passing[SHOWN_BYTES];
    const json_t *risk = json_object_get(gate, "at_risk");
    (void)fprintf(out, "  gate %s: %s; evidence against it %s, for it %s (%lld scored",
                  shown(gate, "name", name), shown(gate, "verdict", verdict),
                  shown(gate, "evidence", evidence), shown(gate, "passing", passing),
                  (long long)cmd_print_integer(gate, "scored"));
    if (json_is_object(risk))
        (void)fprintf(out, "; at risk: %lld with it, %lld without",
                      (long long)cmd_print_integer(risk, "treated"),
                      (long long)cmd_print_integer(risk, "comparison"));
    (void)fputc(')', out);
    show_bounds(out, json_object_get(gate, "bounds"));
    (void)fputc('\n', out);
}

void cmd_rollout_show_evidence(FILE *out, const json_t *rollout) {
    const json_t *evidence = json_object_get(rollout, "evidence");
    const json_t *spend = json_object_get(evidence, "spend");
    const json_t *sets = json_object_get(evidence, "sets");
    const json_t *held = json_object_get(evidence, "hold_back");
    char alpha[SHOWN_BYTES], unreached[SHOWN_BYTES], stage[SHOWN_BYTES], unit[SHOWN_BYTES];
    size_t i = 0;
    json_t *row = NULL;
    show_batch(out, json_object_get(rollout, "batch"));
    if (!json_is_object(evidence))
        return;
    json_array_foreach (json_object_get(evidence, "gates"), i, row)
        show_gate(out, row);
    if (strcmp(shown(evidence, "unit", unit), "site") == 0)
        (void)fputs("  the gates count whole sites, not devices\n", out);
    (void)fprintf(
        out,
        "  exposed: %lld devices, %lld of them without an outcome; %s %% of the stage not "
        "reached\n",
        (long long)cmd_print_integer(evidence, "exposed"),
        (long long)cmd_print_integer(evidence, "unresolved"),
        shown(evidence, "unreached_pct", unreached));
    if (cmd_print_integer(sets, "begun") > 0)
        (void)fprintf(out, "  sets: %lld scored, %lld open, %lld void\n",
                      (long long)cmd_print_integer(sets, "scored"),
                      (long long)cmd_print_integer(sets, "open"),
                      (long long)cmd_print_integer(sets, "void"));
    if (cmd_print_integer(held, "devices") > 0)
        (void)fprintf(out, "  hold-back: %lld devices%s\n",
                      (long long)cmd_print_integer(held, "devices"),
                      json_is_true(json_object_get(held, "released")) ? ", released" : "");
    if (cmd_print_integer(spend, "runs") > 1)
        (void)fprintf(
            out,
            "  run %lld: the gates stop a harmless release with a probability of %s %% at "
            "most, over all runs\n",
            (long long)cmd_print_integer(spend, "runs"), shown(spend, "total_pct", alpha));
    json_array_foreach (json_object_get(evidence, "without"), i, row)
        (void)fprintf(out, "  stage %s: advanced without evidence\n",
                      text_safe(json_string_value(row), stage, sizeof stage));
}

// ── why ─────────────────────────────────────────────────────────────────────────────────────────

static void show_verdict(const json_t *verdict) {
    const json_t *why = json_object_get(verdict, "why");
    const json_t *cluster = json_object_get(verdict, "cluster");
    char at[SHOWN_BYTES], text[SHOWN_BYTES], code[SHOWN_BYTES], kind[SHOWN_BYTES],
        name[SHOWN_BYTES];
    (void)printf("  verdict of %s, run %lld: %s (%s)\n", shown(verdict, "at", at),
                 (long long)cmd_print_integer(verdict, "run"), shown(why, "text", text),
                 shown(why, "code", code));
    if (json_is_object(cluster))
        (void)printf("    %s %s alone carries it: %lld devices\n", shown(cluster, "kind", kind),
                     shown(cluster, "name", name),
                     (long long)cmd_print_integer(cluster, "devices"));
}

static void show(const json_t *answer) {
    char name[SHOWN_BYTES], state[SHOWN_BYTES], text[SHOWN_BYTES], code[SHOWN_BYTES];
    size_t i = 0;
    json_t *row = NULL;
    (void)printf("%s: %s\n", shown(answer, "rollout", name), shown(answer, "state", state));
    json_array_foreach (json_object_get(answer, "holds"), i, row)
        (void)printf("  %s (%s)\n", shown(row, "text", text), shown(row, "code", code));
    json_array_foreach (json_object_get(answer, "verdicts"), i, row)
        show_verdict(row);
}

int cmd_rollout_why(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    OWN(json) json_t *answer = NULL;
    OWN(buf) struct buf path;
    buf_init(&path, CMD_REMOTE_PATH_MAX);
    if (cmd_remote_path(&path, e, "rollouts/%/why", opt_operand(args, 0)) < 0 ||
        cmd_remote_get(args, buf_text(&path), &answer, e) < 0)
        return err_prefix(e, "rollout %.80s", opt_operand(args, 0));
    if (opt_given(args, "json")) {
        cmd_print_json(answer);
        return 0;
    }
    show(answer);
    cmd_rollout_behind_note(args, cmd_print_string(answer, "state"));
    return 0;
}
