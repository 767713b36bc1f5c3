// SPDX-License-Identifier: Apache-2.0
//
// Each ceiling of gates, evidence and pace: at it, below it, above it.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "ctl/rollout/policy.h"

// What is tried: a text with one number in it, or one that is as long as the number says.
enum form { NUMBER, PPM, RATIO, NAME, LIST };

struct row {
    const char *says; // the place
    const char *around;
    enum form form;
    uint64_t least, most;
    const char *element; // LIST: one of them, with its number in it
};

#define GATE(rest)  "\"gates\":[{\"name\":\"g\"," rest "}]"
#define ASKED(rest) "\"gates\":[{\"name\":\"g\",\"kind\":\"lost\"}],\"evidence\":{" rest "}"

static void element(char *ret, size_t bytes, const struct row *row, uint64_t i) {
    const char *mark = strchr(row->element, '#');
    (void)snprintf(ret, bytes, "%s%.*s%llu%s", i == 0 ? "" : ",", (int)(mark - row->element),
                   row->element, (unsigned long long)i, mark + 1);
}

static void fill(char *ret, size_t bytes, const struct row *row, uint64_t n) {
    char value[16384] = "", one[128];
    const char *mark = strchr(row->around, '#');
    unsigned long long number = n;
    switch (row->form) {
    case NUMBER:
        (void)snprintf(value, sizeof value, "%llu", number);
        break;
    case PPM:
        (void)snprintf(value, sizeof value, "\"%llu.%04llu\"", number / 10000, number % 10000);
        break;
    case RATIO:
        (void)snprintf(value, sizeof value, "\"%llu.%06llu\"", number / 1000000, number % 1000000);
        break;
    case NAME:
        memset(value, 'x', n);
        break;
    case LIST:
        for (uint64_t i = 0; i < n; i++) {
            element(one, sizeof one, row, i);
            cr_assert_lt(strlen(value) + strlen(one), sizeof value);
            memcpy(value + strlen(value), one, strlen(one) + 1);
        }
        break;
    }
    int len = snprintf(ret, bytes, "{\"name\":\"r\",\"release\":\"app 1.0\",%.*s%s%s}",
                       (int)(mark - row->around), row->around, value, mark + 1);
    cr_assert_lt((size_t)len, bytes);
}

static int parse(const struct row *row, uint64_t n, struct err *e) {
    static char text[20000];
    struct rollout_policy p;
    fill(text, sizeof text, row, n);
    OWN(json) json_t *document = json_loads(text, 0, NULL);
    cr_assert_not_null(document, "%s", text);
    err_clear(e);
    if (rollout_policy_parse(document, "policy.json", &p, e) < 0)
        return -1;
    OWN(json) json_t *form = NULL; // what is taken has a normal form, which is taken too
    cr_assert_eq(rollout_policy_format(&p, &form, e), 0);
    cr_assert_eq(rollout_policy_parse(form, "form", &p, e), 0, "%s: %s", text, e->text);
    return 0;
}

static const struct row rows[] = {
    {"gates", "\"gates\":[#]", LIST, 0, ROLLOUT_GATES_MAX, "{\"name\":\"g#\",\"kind\":\"lost\"}"},
    {"gates[0].name", "\"gates\":[{\"name\":\"#\",\"kind\":\"lost\"}]", NAME, 1, BUNDLE_NAME_MAX,
     NULL},
    {"gates[0].name",
     "\"gates\":[{\"name\":\"#\",\"kind\":\"metric\",\"metric\":\"m\",\"intolerable\":1,"
     "\"worse\":\"both\"}]",
     NAME, 1, ROLLOUT_GATES_BOTH_NAME_MAX, NULL},
    {"gates[0].metric", GATE("\"kind\":\"counter\",\"metric\":\"#\""), NAME, 1, BUNDLE_NAME_MAX,
     NULL},
    {"gates[0].weight", GATE("\"kind\":\"lost\",\"weight\":#"), NUMBER, 1, ROLLOUT_GATES_WEIGHT_MAX,
     NULL},
    {"gates[0]",
     GATE("\"kind\":\"install\",\"intolerable_pct\":\"99.9999\","
          "\"baseline_pct\":#"),
     PPM, 1, 999998, NULL},
    {"gates[0].intolerable_pct",
     GATE("\"kind\":\"install\",\"baseline_pct\":\"0.0001\","
          "\"intolerable_pct\":#"),
     PPM, 2, 999999, NULL},
    {"gates[0].baseline_pct",
     GATE("\"kind\":\"metric\",\"metric\":\"m\",\"intolerable\":1,"
          "\"baseline_pct\":#"),
     PPM, 0, 500000, NULL},
    {"gates[0]",
     GATE("\"kind\":\"lost\",\"intolerable_ratio\":128,"
          "\"tolerable_ratio\":#"),
     RATIO, ROLLOUT_GATES_RATIO_MIN_PPM, 107634741, NULL},
    {"gates[0].intolerable_ratio",
     GATE("\"kind\":\"lost\",\"tolerable_ratio\":\"0.125\","
          "\"intolerable_ratio\":#"),
     RATIO, 148651, ROLLOUT_GATES_RATIO_MAX_PPM, NULL},
    {"evidence.alpha", ASKED("\"alpha\":#"), RATIO, 1, ROLLOUT_GATES_ALPHA_MAX_PPM, NULL},
    {"evidence.alpha_pass", ASKED("\"alpha_pass\":#"), RATIO, 1, ROLLOUT_GATES_ALPHA_MAX_PPM, NULL},
    {"evidence.compared", ASKED("\"compared\":#"), NUMBER, 4, 32, NULL},
    {"evidence.horizon_s", ASKED("\"window_s\":1,\"horizon_s\":#"), NUMBER, 1,
     ROLLOUT_POLICY_TIME_MAX_S, NULL},
    {"evidence.window_s", ASKED("\"horizon_s\":100,\"window_s\":#"), NUMBER, 1, 100, NULL},
    {"evidence.grace_s", ASKED("\"grace_s\":#"), NUMBER, 0, ROLLOUT_POLICY_TIME_MAX_S, NULL},
    {"evidence.settle_s", ASKED("\"settle_s\":#"), NUMBER, 0, ROLLOUT_POLICY_TIME_MAX_S, NULL},
    {"evidence.newcomer_s", ASKED("\"newcomer_s\":#"), NUMBER, 0, ROLLOUT_POLICY_TIME_MAX_S, NULL},
    {"evidence.rhythm_s", ASKED("\"rhythm_s\":#"), NUMBER, 1, ROLLOUT_POLICY_TIME_MAX_S, NULL},
    {"evidence.max_soak_s", ASKED("\"max_soak_s\":#"), NUMBER, 1, ROLLOUT_POLICY_TIME_MAX_S, NULL},
    {"evidence.holdback_release_s", ASKED("\"holdback_release_s\":#"), NUMBER, 0,
     ROLLOUT_POLICY_TIME_MAX_S, NULL},
    {"evidence.min_fragility", ASKED("\"min_fragility\":#"), NUMBER, 0, ROLLOUT_GATES_FRAGILITY_MAX,
     NULL},
    {"evidence.drift_pct", ASKED("\"drift_pct\":#"), PPM, 1, 499999, NULL},
    {"evidence.reach_pct", ASKED("\"reach_pct\":#"), PPM, 1, ROLLOUT_PPM, NULL},
    {"evidence.holdback_pct", ASKED("\"holdback_pct\":#"), PPM, 0, ROLLOUT_GATES_HOLDBACK_MAX_PPM,
     NULL},
    {"evidence.site", ASKED("\"site\":\"#\""), NAME, 1, BUNDLE_FACT_NAME_MAX, NULL},
    {"batch.start", "\"batch\":{\"start\":#}", NUMBER, 1, ROLLOUT_POLICY_COUNT_MAX, NULL},
    {"batch.max", "\"batch\":{\"start\":1,\"max\":#}", NUMBER, 0, ROLLOUT_POLICY_COUNT_MAX, NULL},
    {"batch.factor", "\"batch\":{\"factor\":#}", RATIO, ROLLOUT_PPM, ROLLOUT_POLICY_FACTOR_MAX_PPM,
     NULL},
    {"windows.download", "\"windows\":{\"download\":[#]}", LIST, 0, BUNDLE_WINDOWS_MAX,
     "\"0#:00-23:59\""},
    {"windows.install", "\"windows\":{\"install\":[#]}", LIST, 0, BUNDLE_WINDOWS_MAX,
     "\"0#:00-23:59\""},
    {"retries.max", "\"retries\":{\"max\":#}", NUMBER, 1, ROLLOUT_POLICY_RETRIES_MAX, NULL},
    {"retries.delay_s", "\"retries\":{\"max\":1,\"delay_s\":#}", NUMBER, 0,
     ROLLOUT_POLICY_TIME_MAX_S, NULL},
    {"retries.backoff", "\"retries\":{\"max\":1,\"backoff\":#}", RATIO, ROLLOUT_PPM,
     ROLLOUT_POLICY_BACKOFF_MAX_PPM, NULL},
    {"retries.codes", "\"retries\":{\"max\":1,\"codes\":[#]}", LIST, 0, ROLLOUT_POLICY_CODES_MAX,
     "\"c#\""},
    {"retries.codes", "\"retries\":{\"max\":1,\"codes\":[\"#\"]}", NAME, 1, ERR_NAME_BYTES - 1,
     NULL},
    {"timeouts.offered_s", "\"timeouts\":{\"offered_s\":#}", NUMBER, 1, ROLLOUT_POLICY_TIME_MAX_S,
     NULL},
    {"timeouts.staged_s", "\"timeouts\":{\"staged_s\":#}", NUMBER, 1, ROLLOUT_POLICY_TIME_MAX_S,
     NULL},
    {"timeouts.activated_s", "\"timeouts\":{\"activated_s\":#}", NUMBER, 1,
     ROLLOUT_POLICY_TIME_MAX_S, NULL},
    {"timeouts.stuck_s", "\"timeout_s\":60,\"timeouts\":{\"stuck_s\":#}", NUMBER, 60,
     ROLLOUT_POLICY_TIME_MAX_S, NULL},
    {"priority", "\"priority\":#", NUMBER, 0, ROLLOUT_POLICY_PRIORITY_MAX, NULL},
    {"priority", "\"priority\":-#", NUMBER, 0, ROLLOUT_POLICY_PRIORITY_MAX, NULL},
    {"stepping_stones", "\"stepping_stones\":[#]", LIST, 0, ROLLOUT_POLICY_STONES_MAX, "\"a #\""},
    {"revert_rate", "\"revert_rate\":#", NUMBER, 0, ROLLOUT_POLICY_REVERT_RATE_MAX, NULL},
    {"offer_rate", "\"offer_rate\":#", NUMBER, 0, ROLLOUT_POLICY_OFFER_RATE_MAX, NULL},
    {"stages[0].devices", "\"stages\":[{\"name\":\"s\",\"devices\":[#]}]", LIST, 1,
     ROLLOUT_POLICY_STAGE_DEVICES_MAX, "\"d#\""},
    {"stages[0].devices", "\"stages\":[{\"name\":\"s\",\"devices\":[\"#\"]}]", NAME, 1,
     BUNDLE_DEVICE_ID_MAX, NULL},
};

Test(rollout_policy_ceilings, every_ceiling_of_gates_and_pace) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = ERR_NONE;
        uint64_t good[] = {rows[i].least, rows[i].least + 1, rows[i].most - 1, rows[i].most};
        for (size_t k = 0; k < sizeof good / sizeof *good; k++)
            cr_expect_eq(parse(&rows[i], good[k], &e), 0, "%s: %llu: %s", rows[i].says,
                         (unsigned long long)good[k], e.text);
        cr_expect_lt(parse(&rows[i], rows[i].most + 1, &e), 0, "%s: above", rows[i].says);
        cr_assert(err_is(&e, &err_config), "%s: %s", rows[i].says, e.text);
        cr_expect_not_null(strstr(e.text, rows[i].says), "%s: %s", rows[i].says, e.text);
        if (rows[i].least > 0) {
            cr_expect_lt(parse(&rows[i], rows[i].least - 1, &e), 0, "%s: below", rows[i].says);
            cr_expect_not_null(strstr(e.text, rows[i].says), "%s: %s", rows[i].says, e.text);
        }
    }
}

// 256 by all stages together, 64 by each.
Test(rollout_policy_ceilings, stages_name_no_more_than_256_devices_together) {
    for (size_t more = 0; more <= 1; more++) {
        OWN(json) json_t *policy = json_pack("{s:s, s:s}", "name", "r", "release", "app 1.0");
        json_t *stages = json_array();
        for (size_t i = 0; i < 4 + more; i++) {
            json_t *ids = json_array();
            for (size_t k = 0; k < (i < 4 ? 64U : 1U); k++)
                (void)json_array_append_new(ids, json_sprintf("d-%zu-%zu", i, k));
            (void)json_array_append_new(
                stages, json_pack("{s:o, s:o}", "name", json_sprintf("s%zu", i), "devices", ids));
        }
        struct rollout_policy p;
        struct err e = ERR_NONE;
        cr_assert_eq(json_object_set_new(policy, "stages", stages), 0);
        int done = rollout_policy_parse(policy, "policy.json", &p, &e);
        cr_assert_eq(done, more == 0 ? 0 : -1, "%s", e.text);
        if (more == 0)
            cr_assert_eq(rollout_policy_named(&p, "d-3-63"), 3);
        else
            cr_assert_not_null(strstr(e.text, "stages[4].devices"), "%s", e.text);
    }
}
