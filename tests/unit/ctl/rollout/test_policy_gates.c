// SPDX-License-Identifier: Apache-2.0
//
// Gates of evidence, batches, windows and the rest of what a policy may say about its pace.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "ctl/rollout/policy.h"

#define POLICY(rest) "{\"name\":\"r\",\"release\":\"app 1.0\"," rest "}"
#define INSTALL      "{\"name\":\"i\",\"kind\":\"install\"}"
#define LOST         "{\"name\":\"l\",\"kind\":\"lost\"}"

static int parse(const char *text, struct rollout_policy *ret, struct err *e) {
    OWN(json) json_t *document = json_loads(text, 0, NULL);
    cr_assert_not_null(document, "%s", text);
    return rollout_policy_parse(document, "policy.json", ret, e);
}

static void must_parse(const char *text, struct rollout_policy *ret) {
    struct err e = ERR_NONE;
    cr_assert_eq(parse(text, ret, &e), 0, "%s: %s", text, e.text);
}

Test(rollout_policy_gates, without_gates_nothing_is_asked_and_all_is_as_before) {
    struct rollout_policy p;
    must_parse(POLICY("\"gates\":[]"), &p);
    cr_assert_eq(p.gates.n, 0);
    cr_assert_eq(p.gates.alpha_ppm, 0);
    cr_assert_eq(p.batch.start, 0);
    cr_assert_eq(p.retries.max, 0);
    cr_assert_eq(p.timeouts.offered_s, 0);
    cr_assert_eq(p.windows.install.n, 0);
    cr_assert_eq(p.offer_rate, 0);
    cr_assert_eq(p.revert_scope, ROLLOUT_REVERT_ALL);
    cr_assert_eq(p.revert_rate, ROLLOUT_POLICY_REVERT_RATE_DEFAULT);
}

Test(rollout_policy_gates, a_gate_alone_means_the_defaults) {
    struct rollout_policy p;
    must_parse(POLICY("\"gates\":[" INSTALL "," LOST ",{\"name\":\"t\",\"kind\":\"metric\","
                      "\"metric\":\"temp\",\"intolerable\":5}]"),
               &p);
    const struct rollout_gates *g = &p.gates;
    cr_assert_eq(g->n, 3);
    cr_assert_eq(g->gate[0].weight_ppm + g->gate[1].weight_ppm + g->gate[2].weight_ppm,
                 ROLLOUT_PPM);
    cr_assert_eq(g->gate[0].baseline_ppm, 20000);
    cr_assert_eq(g->gate[0].intolerable_ppm, 100000);
    cr_assert_eq(g->gate[1].ratio_ok_ppm, 1000000);
    cr_assert_eq(g->gate[1].ratio_bad_ppm, 2000000);
    cr_assert_eq(g->gate[2].baseline_ppm, 20000);
    cr_assert_eq(g->gate[2].tolerable.nano, 0);
    cr_assert_eq(g->gate[2].intolerable.nano, 5 * NUM_DECIMAL_SCALE);
    cr_assert(!g->gate[2].lower_worse && !g->gate[2].has_guard);
    cr_assert_eq(g->alpha_ppm, 25000);
    cr_assert_eq(g->alpha_pass_ppm, 50000);
    cr_assert_eq(g->compared, 4);
    cr_assert_eq(g->horizon_s, 86400);
    cr_assert_eq(g->window_s, 21600);
    cr_assert_eq(g->grace_s, 3600);
    cr_assert_eq(g->settle_s, 900);
    cr_assert_eq(g->newcomer_s, 7 * 86400);
    cr_assert_eq(g->rhythm_s, 1800);
    cr_assert_eq(g->drift_ppm, 200000);
    cr_assert_eq(g->min_fragility, 2);
    cr_assert_eq(g->reach_ppm, 800000);
    cr_assert_eq(g->holdback_ppm, 0);
    cr_assert_eq(g->max_soak_s, 7 * 86400);
    cr_assert(!g->advance_on_max_soak);
    cr_assert_str_eq(g->site, "label.site");
    cr_assert_eq(p.batch.start, 10);
    cr_assert_eq(p.batch.factor_ppm, 2000000);
    cr_assert_eq(p.batch.max, 0);
    cr_assert(!p.stages[0].has_gate, "thresholds judge only where the policy gives them");
}

// The metric's share without a value is that of failing installs, unless it is given.
Test(rollout_policy_gates, a_metric_takes_the_baseline_of_the_install_gate) {
    struct rollout_policy p;
    must_parse(POLICY("\"gates\":[{\"name\":\"a\",\"kind\":\"metric\",\"metric\":\"m\","
                      "\"intolerable\":1},{\"name\":\"i\",\"kind\":\"install\","
                      "\"baseline_pct\":\"0.5\"},{\"name\":\"b\",\"kind\":\"metric\","
                      "\"metric\":\"m\",\"intolerable\":1,\"baseline_pct\":0}]"),
               &p);
    cr_assert_eq(p.gates.gate[0].baseline_ppm, 5000);
    cr_assert_eq(p.gates.gate[1].baseline_ppm, 5000);
    cr_assert_eq(p.gates.gate[2].baseline_ppm, 0);
}

Test(rollout_policy_gates, weights_are_relative_and_become_millionths_of_the_whole) {
    struct rollout_policy p;
    must_parse(POLICY("\"gates\":[{\"name\":\"i\",\"kind\":\"install\",\"weight\":3},"
                      "{\"name\":\"m\",\"kind\":\"metric\",\"metric\":\"x\",\"worse\":\"both\","
                      "\"tolerable\":\"0.5\",\"intolerable\":2}," LOST
                      ",{\"name\":\"c\",\"kind\":\"counter\",\"metric\":\"crashes\","
                      "\"weight\":2}]"),
               &p);
    cr_assert_eq(p.gates.n, 5);
    static const uint32_t weights[] = {428572, 71429, 71429, 142857, 285713};
    uint64_t sum = 0;
    for (size_t i = 0; i < 5; i++) {
        cr_expect_leq(abs((int)p.gates.gate[i].weight_ppm - (int)weights[i]), 1, "%zu: %u", i,
                      p.gates.gate[i].weight_ppm);
        sum += p.gates.gate[i].weight_ppm;
    }
    cr_assert_eq(sum, ROLLOUT_PPM);
    cr_assert_str_eq(p.gates.gate[1].name, "m.up");
    cr_assert_str_eq(p.gates.gate[2].name, "m.down");
    cr_assert(!p.gates.gate[1].lower_worse && p.gates.gate[2].lower_worse);
    cr_assert_eq(p.gates.gate[2].tolerable.nano, NUM_DECIMAL_SCALE / 2);
}

static const char everything[] =
    "{\"name\":\"r\",\"release\":\"app 1.0\",\"stages\":[{\"name\":\"bench\",\"devices\":[\"d-1\","
    "\"d-2\"]},{\"name\":\"small\",\"percent\":1,\"gate\":{\"failure_pct\":3}},{\"name\":\"all\","
    "\"percent\":100,\"approve\":true}],\"gates\":[{\"name\":\"i\",\"kind\":\"install\","
    "\"baseline_pct\":\"1.5\",\"intolerable_pct\":20,\"weight\":2},{\"name\":\"l\",\"kind\":"
    "\"lost\"},{\"name\":\"c\",\"kind\":\"counter\",\"metric\":\"restarts\",\"tolerable_ratio\":"
    "\"1.25\",\"intolerable_ratio\":3},{\"name\":\"t\",\"kind\":\"metric\",\"metric\":\"temp\","
    "\"worse\":\"lower\",\"tolerable\":\"0.25\",\"intolerable\":\"2.5\",\"guard\":\"-40\"},{"
    "\"name\":\"p\",\"kind\":\"metric\",\"metric\":\"power\",\"worse\":\"both\",\"intolerable\":7}"
    "],\"evidence\":{\"alpha\":\"0.01\",\"alpha_pass\":0.1,\"compared\":5,\"horizon\":\"2d\","
    "\"window\":\"3h\",\"grace\":\"10m\",\"settle\":0,\"newcomer\":\"1d\",\"rhythm\":\"5m\","
    "\"drift_pct\":15,\"min_fragility\":3,\"reach_pct\":90,\"holdback_pct\":5,"
    "\"holdback_release\":\"12h\",\"max_soak\":\"3d\",\"on_max_soak\":\"advance\",\"unit\":"
    "\"device\",\"site\":\"plant\"},\"batch\":{\"start\":4,\"factor\":\"1.5\",\"max\":100,"
    "\"on\":\"notified\"},\"windows\":{\"download\":[\"22:00-06:00\"],\"install\":[\"01:30-02:00\","
    "{\"start\":\"00:00\",\"end\":\"00:00\",\"days\":[\"sat\",\"sun\"]}]},\"retries\":{\"max\":3,"
    "\"delay\":\"10m\",\"backoff\":1.5,\"codes\":["
    "\"unreachable\",\"no_space\"]},\"timeouts\":{\"offered\":\"6h\",\"activated_s\":60},"
    "\"priority\":-5,\"stepping_stones\":[\"app 0.9\",\"boot 2\"],\"revert_scope\":\"activated\","
    "\"revert_rate\":0,\"offer_rate\":90}";

Test(rollout_policy_gates, the_normal_form_of_everything_reads_back_as_itself) {
    struct rollout_policy a, b;
    struct err e = ERR_NONE;
    OWN(json) json_t *form = NULL;
    OWN(json) json_t *again = NULL;
    must_parse(everything, &a);
    cr_assert_eq(rollout_policy_format(&a, &form, &e), 0, "%s", e.text);
    cr_assert_eq(rollout_policy_parse(form, "form", &b, &e), 0, "%s", e.text);
    cr_assert_eq(rollout_policy_format(&b, &again, &e), 0);
    cr_assert(json_equal(form, again));
    cr_assert_eq(b.n_devices, 2);
    cr_assert(b.stages[0].by_device && !b.stages[0].has_gate && b.stages[1].has_gate);
    cr_assert_eq(b.stages[1].gate.failure_ppm, 30000);
    cr_assert_eq(b.gates.n, 6);
    cr_assert_eq(b.gates.gate[3].guard.nano, -40 * NUM_DECIMAL_SCALE);
    cr_assert(b.gates.gate[3].has_guard && b.gates.gate[3].lower_worse);
    cr_assert_eq(b.gates.alpha_ppm, 10000);
    cr_assert_eq(b.gates.alpha_pass_ppm, 100000);
    cr_assert_eq(b.gates.settle_s, 0);
    cr_assert_eq(b.gates.holdback_release_s, 43200);
    cr_assert_str_eq(b.gates.site, "plant");
    cr_assert(b.gates.advance_on_max_soak && b.batch.on_notified);
    cr_assert_eq(b.batch.factor_ppm, 1500000);
    cr_assert_eq(b.windows.install.n, 2);
    cr_assert_eq(b.windows.download.list[0].start_min, 22 * 60);
    cr_assert_eq(b.windows.install.list[0].start_min, 90);
    cr_assert_eq(b.windows.install.list[0].end_min, 120);
    cr_assert_eq(b.windows.install.list[0].days, BUNDLE_WINDOW_EVERY_DAY);
    cr_assert_eq(b.windows.install.list[1].days, 1U << 6 | 1U);
    cr_assert_eq(b.offer_rate, 90);
    cr_assert_eq(b.retries.delay_s, 600);
    cr_assert_eq(b.retries.n_codes, 2);
    cr_assert_str_eq(b.retries.codes[1], "no_space");
    cr_assert_eq(b.timeouts.offered_s, 21600);
    cr_assert_eq(b.timeouts.staged_s, 0);
    cr_assert_eq(b.priority, -5);
    cr_assert_str_eq(b.stones[1].name, "boot");
    cr_assert_str_eq(b.stones[1].version, "2");
    cr_assert_eq(b.revert_scope, ROLLOUT_REVERT_ACTIVATED);
    cr_assert_eq(b.revert_rate, 0);
}

// What stores hold of versions that knew none of this.
Test(rollout_policy_gates, a_normal_form_of_before_is_what_it_was) {
    struct rollout_policy p;
    must_parse("{\"name\":\"r\",\"release\":{\"name\":\"app\",\"version\":\"1.0\"},\"selector\":"
               "\"\",\"stratify\":[],\"stages\":[{\"name\":\"a\",\"count\":2,\"soak_s\":0,"
               "\"approve\":false,\"gate\":{\"failure_pct\":\"10\",\"success_pct\":\"90\","
               "\"min_sample\":1}},{\"name\":\"b\",\"percent\":\"100\",\"soak_s\":60,\"approve\":"
               "true,\"gate\":{\"failure_pct\":\"2.5\",\"success_pct\":\"90\",\"min_sample\":1}}],"
               "\"timeout_s\":86400,\"max_unresolved\":0,\"on_failure\":\"revert\","
               "\"not_before\":null,\"until\":null,\"baseline\":true,\"byte_budget\":null}",
               &p);
    cr_assert_eq(p.gates.n, 0);
    cr_assert_eq(p.batch.start, 0);
    cr_assert_eq(p.stages[1].gate.failure_ppm, 25000);
    cr_assert(p.baseline && p.stages[1].approve);
}

Test(rollout_policy_gates, a_device_is_named_by_the_first_stage_that_names_it) {
    struct rollout_policy p;
    must_parse(everything, &p);
    cr_assert_eq(rollout_policy_named(&p, "d-2"), 0);
    cr_assert_eq(rollout_policy_named(&p, "d-3"), p.n_stages);
}

// ── What is refused ──

#define METRIC(rest) "\"gates\":[{\"name\":\"m\",\"kind\":\"metric\"" rest "}]"
#define EVIDENCE(rest)                                                                             \
    POLICY("\"gates\":[" INSTALL "],\"evidence\":{" rest "},\"stages\":[{\"name\":\"s\","          \
           "\"percent\":50}]")

static const struct {
    const char *text, *says;
} mistakes[] = {
    {POLICY("\"gates\":{}"), "gates"},
    {POLICY("\"gates\":[5]"), "gates[0]"},
    {POLICY("\"gates\":[{\"kind\":\"lost\"}]"), "gates[0].name"},
    {POLICY("\"gates\":[{\"name\":\"x\"}]"), "gates[0].kind"},
    {POLICY("\"gates\":[{\"name\":\"x\",\"kind\":\"speed\"}]"), "gates[0].kind"},
    {POLICY("\"gates\":[{\"name\":\"x\",\"kind\":\"revert\"}]"), "the install gate"},
    {POLICY("\"gates\":[{\"name\":\"x\",\"kind\":\"lost\"}],\"evidence\":{\"sham\":true}"),
     "restart for nothing"},
    {POLICY("\"gates\":[{\"name\":\"x\",\"kind\":\"lost\"}],\"evidence\":{\"sham\":1}"),
     "evidence.sham"},
    {POLICY("\"gates\":[{\"name\":\"x\",\"kind\":\"lost\",\"wieght\":1}]"), "weight"},
    {POLICY("\"gates\":[{\"name\":\"x\",\"kind\":\"lost\",\"metric\":\"y\"}]"),
     "gates[0].metric: a gate of kind lost does not have it"},
    {POLICY("\"gates\":[{\"name\":\"x\",\"kind\":\"install\",\"guard\":1}]"),
     "gates[0].guard: a gate of kind install does not have it"},
    {POLICY("\"gates\":[{\"name\":\"x\",\"kind\":\"counter\"}]"), "gates[0].metric"},
    {POLICY("\"gates\":[" INSTALL ",{\"name\":\"j\",\"kind\":\"install\"}]"),
     "at most one install gate"},
    {POLICY("\"gates\":[" LOST "," LOST "]"), "gates[1].name"},
    {POLICY("\"gates\":[{\"name\":\"i\",\"kind\":\"install\",\"baseline_pct\":10}]"),
     "gates[0].intolerable_pct: expected more than baseline_pct"},
    {POLICY("\"gates\":[{\"name\":\"l\",\"kind\":\"lost\",\"tolerable_ratio\":2}]"),
     "gates[0].intolerable_ratio"},
    {POLICY("\"gates\":[{\"name\":\"l\",\"kind\":\"lost\",\"intolerable_ratio\":\"1.1\"}]"),
     "gates[0].intolerable_ratio"},
    {POLICY(METRIC("")), "gates[0].metric"},
    {POLICY(METRIC(",\"metric\":\"t\"")), "gates[0].intolerable"},
    {POLICY(METRIC(",\"metric\":\"t\",\"intolerable\":\"five\"")), "gates[0].intolerable"},
    {POLICY(METRIC(",\"metric\":\"t\",\"intolerable\":1,\"tolerable\":1")), "more than tolerable"},
    {POLICY(METRIC(",\"metric\":\"t\",\"intolerable\":1,\"tolerable\":-1")), "0 or more"},
    {POLICY(METRIC(",\"metric\":\"t\",\"intolerable\":1,\"worse\":\"more\"")), "gates[0].worse"},
    {POLICY(METRIC(",\"metric\":\"t\",\"intolerable\":1,\"worse\":\"both\",\"guard\":1")),
     "give two gates"},
    {POLICY("\"gates\":[{\"name\":\"a\",\"kind\":\"lost\",\"weight\":1000000},{\"name\":\"b\","
            "\"kind\":\"counter\",\"metric\":\"m\",\"weight\":1000000},{\"name\":\"c\","
            "\"kind\":\"counter\",\"metric\":\"m\",\"weight\":1}]"),
     "the weight of c"},
    {POLICY("\"evidence\":{\"compared\":4}"), "evidence: expected gates"},
    {EVIDENCE("\"horizn\":5"), "horizon"},
    {EVIDENCE("\"horizon_s\":60,\"window_s\":61"), "evidence.window_s"},
    {EVIDENCE("\"horizon_s\":60,\"horizon\":60"), "the same"},
    {EVIDENCE("\"on_max_soak\":\"hope\""), "evidence.on_max_soak"},
    {EVIDENCE("\"unit\":\"room\""), "evidence.unit"},
    {EVIDENCE("\"unit\":\"site\",\"sham\":true"), "evidence.sham: expected no sham"},
    {POLICY("\"gates\":[{\"name\":\"x\",\"kind\":\"revert\"}],\"evidence\":{\"unit\":\"site\"}"),
     "whole sites would have to restart"},
    {EVIDENCE("\"site\":\"a b\""), "evidence.site"},
    {EVIDENCE("\"holdback_pct\":5"), "evidence.holdback_pct"},
    {POLICY("\"batch\":{\"start\":5,\"max\":4}"), "batch.max"},
    {POLICY("\"batch\":{\"factor\":\"0.5\"}"), "batch.factor"},
    {POLICY("\"batch\":{\"on\":\"luck\"}"), "batch.on"},
    {POLICY("\"windows\":{\"install\":[\"22:00\"]}"), "windows.install"},
    {POLICY("\"windows\":{\"install\":[\"24:00-06:00\"]}"), "windows.install"},
    {POLICY("\"windows\":{\"install\":[\"22:60-06:00\"]}"), "windows.install"},
    {POLICY("\"windows\":{\"download\":[\"22:00-22:00\"]}"), "windows.download"},
    {POLICY("\"windows\":{\"download\":[\"22.00-23:00\"]}"), "windows.download"},
    {POLICY("\"windows\":{\"download\":[5]}"), "windows.download"},
    {POLICY("\"windows\":{\"download\":[{\"start\":\"01:00\"}]}"), "download[0].end"},
    {POLICY("\"windows\":{\"download\":[{\"start\":\"01:00\",\"end\":\"01:00\"}]}"),
     "windows.download"},
    {POLICY("\"windows\":{\"download\":[{\"start\":\"01:00\",\"end\":\"02:00\",\"days\":[]}]}"),
     "windows.download"},
    {POLICY("\"windows\":{\"download\":[{\"start\":\"01:00\",\"end\":\"02:00\",\"timezone\":"
            "\"UTC\"}]}"),
     "timezone"},
    {POLICY("\"offer_rate\":-1"), "offer_rate"},
    {POLICY("\"windows\":{\"activate\":[]}"), "activate"},
    {POLICY("\"retries\":{}"), "retries.max"},
    {POLICY("\"retries\":{\"max\":1,\"backoff\":11}"), "retries.backoff"},
    {POLICY("\"retries\":{\"max\":1,\"codes\":[\"a b\"]}"), "retries.codes"},
    {POLICY("\"timeouts\":{\"staged_s\":0}"), "timeouts.staged_s"},
    {POLICY("\"priority\":\"high\""), "priority"},
    {POLICY("\"stepping_stones\":[\"app\"]"), "stepping_stones"},
    {POLICY("\"stepping_stones\":[\"app 1.0\"]"), "stepping_stones"},
    {POLICY("\"revert_scope\":\"none\""), "revert_scope"},
    {POLICY("\"stages\":[{\"name\":\"a\",\"devices\":[]}]"), "stages[0].devices"},
    {POLICY("\"stages\":[{\"name\":\"a\",\"devices\":[\"x\"],\"percent\":1}]"),
     "either percent or count or devices"},
    {POLICY("\"stages\":[{\"name\":\"a\",\"devices\":[\"x\"]},{\"name\":\"b\",\"devices\":["
            "\"x\"]}]"),
     "stages[1].devices"},
    {POLICY("\"stages\":[{\"name\":\"a\",\"devices\":[\"x\"]}],\"baseline\":true"), "baseline"},
};

Test(rollout_policy_gates, names_the_place_of_each_mistake) {
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        struct rollout_policy p;
        struct err e = ERR_NONE;
        cr_expect_lt(parse(mistakes[i].text, &p, &e), 0, "%s", mistakes[i].text);
        cr_assert(err_is(&e, &err_config), "%s: %s", mistakes[i].text, e.text);
        cr_expect_not_null(strstr(e.text, mistakes[i].says), "%s: %s", mistakes[i].text, e.text);
    }
}
