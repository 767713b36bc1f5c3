// SPDX-License-Identifier: Apache-2.0
//
// The plan of a rollout: bounds, numbers, what gates can see, and what apply takes of it.
#include "ctl/rollout/batch.h"
#include "ctl/rollout/plan.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "tests/unit/ctl/rollout/plan_text.h"

// n devices in strata by turns; all of them can be counted.
struct fleet {
    struct rollout_policy policy;
    struct rollout_plan plan;
    struct rollout_plan_census census;
    uint64_t counted[BUNDLE_STRATA_MAX];
    struct rollout_plan_variant variant;
    struct rollout_plan_nothing nothing;
};

static struct fleet *make(const char *policy, size_t n, size_t n_strata) {
    static const char *const keys[] = {"{\"a\":1}", "{\"a\":2}", "{\"a\":3}"};
    struct fleet *f = calloc(1, sizeof *f);
    cr_assert_not_null(f);
    read_policy(policy, &f->policy);
    f->census = (struct rollout_plan_census){.accepted = n + 1,
                                             .n_strata = n_strata,
                                             .keys = keys,
                                             .counted = f->counted,
                                             .n_members = n,
                                             .n_variants = 1,
                                             .variants = &f->variant,
                                             .n_nothings = 1,
                                             .nothings = &f->nothing};
    f->census.members = calloc(n + 1, sizeof *f->census.members);
    for (size_t i = 0; i < n; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "device-%zu", i);
        f->census.members[i] = (struct rollout_member){.stratum = (uint32_t)(i % n_strata),
                                                       .rank = bundle_rank(id, seed)};
        f->counted[i % n_strata]++;
        rollout_plan_age_add(&f->census.ages, i * 1800 / n);
    }
    f->variant = (struct rollout_plan_variant){.bytes = 1000, .devices = n, .had = n / 10};
    f->nothing = (struct rollout_plan_nothing){
        .code = "up_to_date", .text = "it runs the release", .devices = n / 10};
    memcpy(f->plan.seed, seed, sizeof seed);
    f->plan.made_s = 1800000000;
    rollout_plan_make(&f->policy, &f->census, &f->plan);
    return f;
}

static void drop(struct fleet *f) {
    free(f->census.members);
    free(f);
}

static json_t *format(const struct fleet *f) {
    return format_plan(&f->policy, &f->census, &f->plan);
}

static const json_t *row(const json_t *document, const char *key, size_t i) {
    const json_t *found = json_array_get(json_object_get(document, key), i);
    cr_assert_not_null(found, "%s[%zu]", key, i);
    return found;
}

static const char *text(const json_t *object, const char *key) {
    const char *found = json_string_value(json_object_get(object, key));
    cr_assert_not_null(found, "%s", key);
    return found;
}

#define STAGES                                                                                     \
    "\"stages\":[{\"name\":\"few\",\"percent\":1,\"soak_s\":600},{\"name\":\"half\",\"percent\":"  \
    "50},{\"name\":\"all\",\"percent\":100}]"
#define HEAD "{\"name\":\"r\",\"release\":\"app 1.0\","

// ── Ages ──

Test(rollout_plan, ages_are_kept_to_a_twentieth) {
    static const uint64_t ages[] = {0,  1,   5,    15,   16,    17,     31,      32,
                                    33, 100, 1799, 1800, 86400, 999999, 20000000};
    for (size_t i = 0; i < sizeof ages / sizeof *ages; i++) {
        struct rollout_plan_ages one = {0};
        rollout_plan_age_add(&one, ages[i]);
        uint64_t at = rollout_plan_age_at(&one, 500000);
        cr_expect(at >= ages[i] && at <= ages[i] + ages[i] / 16, "%llu: %llu",
                  (unsigned long long)ages[i], (unsigned long long)at);
    }
}

Test(rollout_plan, a_share_of_the_ages_is_not_exceeded) {
    struct rollout_plan_ages ages = {0};
    cr_assert_eq(rollout_plan_age_at(&ages, 500000), 0, "of none");
    for (uint64_t i = 1; i <= 1000; i++)
        rollout_plan_age_add(&ages, i);
    uint64_t half = rollout_plan_age_at(&ages, 500000), most = rollout_plan_age_at(&ages, 950000);
    cr_assert(half >= 500 && half <= 535, "%llu", (unsigned long long)half);
    cr_assert(most >= 950 && most <= 1010, "%llu", (unsigned long long)most);
    rollout_plan_age_add(&ages, UINT64_MAX);
    cr_assert_gt(rollout_plan_age_at(&ages, ROLLOUT_PPM), 1000000,
                 "the last bucket takes the rest");
}

// ── Numbers ──

Test(rollout_plan, says_whom_each_stage_admits_and_when_at_the_earliest) {
    struct fleet *f = make(HEAD STAGES "}", 1000, 2);
    OWN(json) json_t *document = format(f);
    cr_assert_eq(number(document, "devices"), 1000);
    cr_assert_eq(number(document, "accepted"), 1001);
    static const json_int_t adds[] = {10, 490, 500}, totals[] = {10, 500, 1000};
    for (size_t i = 0; i < 3; i++) {
        const json_t *stage = row(document, "stages", i);
        cr_assert_eq(number(stage, "adds"), adds[i]);
        cr_assert_eq(number(stage, "total"), totals[i]);
        cr_assert_eq(number(stage, "bytes"), adds[i] * 900, "what one in ten has is not fetched");
    }
    cr_assert_str_eq(text(row(document, "stages", 0), "not_before"), "2027-01-15T08:00:00Z");
    cr_assert_eq(json_array_size(json_object_get(row(document, "stages", 0), "steps")), 0);
    cr_assert_str_eq(text(row(document, "stages", 1), "not_before"), "2027-01-15T08:10:00Z");
    cr_assert_eq(json_array_size(json_object_get(document, "strata")), 2);
    const json_t *stratum = row(document, "strata", 0);
    cr_assert_eq(number(stratum, "devices"), 500);
    cr_assert_eq(strlen(text(stratum, "bounds")), 48);
    cr_assert_str_eq(text(stratum, "bounds") + 32, "ffffffffffffffff");
    cr_assert_eq(json_array_size(json_object_get(document, "pooled")), 0);
    cr_assert_str_eq(text(row(document, "nothing", 0), "code"), "up_to_date");
    drop(f);
}

Test(rollout_plan, a_stage_begins_when_those_before_it_took_what_they_take_at_least) {
    struct fleet *f = make(HEAD "\"batch\":{\"start\":10}," STAGES "}", 1000, 1);
    // Batches of 10; 20 40 80 160 190; 500, half an hour each, and ten minutes of soak.
    static const int64_t after[] = {1800 + 600, 6 * 1800 + 600, 7 * 1800 + 600};
    cr_assert_eq(f->plan.not_before_s[0], f->plan.made_s);
    for (size_t i = 0; i < 3; i++)
        cr_expect_eq(f->plan.not_before_s[i + 1], f->plan.made_s + after[i], "stage %zu: %lld", i,
                     (long long)(f->plan.not_before_s[i + 1] - f->plan.made_s));
    drop(f);
    f = make(HEAD "\"gates\":[{\"name\":\"m\",\"kind\":\"metric\",\"metric\":\"t\","
                  "\"intolerable\":5}],\"evidence\":{\"rhythm_s\":60,\"horizon_s\":\"2h\","
                  "\"window_s\":\"1h\",\"grace_s\":60}," STAGES "}",
             1000, 1);
    cr_assert_eq(f->plan.not_before_s[1], f->plan.made_s + 60 + 600 + 7200 + 60);
    cr_assert_eq(f->plan.not_before_s[2], f->plan.not_before_s[1] + 5 * 60 + 7200 + 60);
    drop(f);
    f = make(HEAD "\"stages\":[{\"name\":\"few\",\"count\":2},{\"name\":\"all\",\"percent\":100}]}",
             10, 1);
    cr_assert_eq(f->plan.not_before_s[1], f->plan.made_s, "nothing is to be waited for");
    drop(f);
}

Test(rollout_plan, a_stage_opens_no_faster_than_a_batch_in_each_rhythm) {
    struct fleet *f = make(HEAD "\"batch\":{\"start\":10}," STAGES "}", 1000, 1);
    const struct rollout_plan *plan = &f->plan;
    // Batches of 10; 20 40 80 160 190; 320 180: half an hour each.
    static const uint64_t open[] = {20, 60, 140, 300};
    cr_expect_eq(plan->ramp[0].n, 0, "one batch");
    cr_assert_eq(plan->ramp[1].n, 4);
    for (size_t k = 0; k < 4; k++) {
        cr_expect_eq(plan->ramp[1].steps[k].after_s, k * 1800);
        cr_expect_eq(plan->ramp[1].steps[k].share, ROLLOUT_BATCH_WHOLE * open[k] / 490);
        // Ranks are spread evenly, and no more evenly than that.
        cr_expect_gt(plan->ramp[1].steps[k].reach, 10 + open[k] / 2);
        cr_expect_lt(plan->ramp[1].steps[k].reach, 10 + open[k] * 3 / 2 + 10);
    }
    cr_expect_eq(plan->ramp[1].whole_s, 4 * 1800);
    cr_expect_eq(plan->reach[1], 500);
    OWN(json) json_t *document = format(f);
    const json_t *steps = json_object_get(row(document, "stages", 1), "steps");
    cr_assert_eq(json_array_size(steps), 5);
    cr_expect_str_eq(text(json_array_get(steps, 1), "at"), "2027-01-15T09:10:00Z");
    drop(f);
}

// Whatever the batches: what the engine's own could have open at a time is open.
Test(rollout_plan, of_many_batches_no_step_opens_less_than_they_do) {
    static const char *const batches[] = {"{\"start\":1,\"factor\":1}", "{\"start\":3,\"max\":7}",
                                          "{\"start\":1,\"factor\":1.3}", "{\"start\":10}"};
    for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
        char policy[400];
        (void)snprintf(policy, sizeof policy, HEAD "\"batch\":%s," STAGES "}", batches[b]);
        struct fleet *f = make(policy, 1000, 1);
        struct rollout_batch at = {.number = 0};
        for (size_t i = 0; i < 3; i++) {
            const struct rollout_plan_ramp *ramp = &f->plan.ramp[i];
            struct rollout_batch_ramp held = {.n = ramp->n, .whole_s = (int64_t)ramp->whole_s};
            int64_t next_s = 0;
            cr_assert_leq(ramp->n, ROLLOUT_PLAN_STEPS_MAX);
            for (size_t k = 0; k < ramp->n; k++)
                held.steps[k] = (struct rollout_batch_ramp_step){(int64_t)ramp->steps[k].after_s,
                                                                 ramp->steps[k].share};
            // Each batch is full and clean when it has been open for a rhythm.
            struct rollout_tally tally = {.planned = f->plan.adds[i]};
            rollout_batch_begin(&f->policy, &tally, tally.planned, 0, &at);
            for (int64_t now_s = 0;; now_s += 1800) {
                cr_assert_leq(at.share, rollout_batch_ramp_share(&held, now_s, &next_s), "%s",
                              batches[b]);
                if (at.share == ROLLOUT_BATCH_WHOLE)
                    break;
                tally.now[ROLLOUT_TASK_COMMITTED] += at.expected;
                (void)rollout_batch_step(&f->policy, &tally, tally.planned, now_s + 1800, &at);
            }
            rollout_batch_end(&f->policy, &tally, &at);
        }
        drop(f);
    }
}

Test(rollout_plan, strata_that_devices_cannot_tell_apart_have_one_bound) {
    static const char *const keys[] = {"{\"arch\":\"arm64\",\"label.site\":\"a\"}",
                                       "{\"arch\":\"arm64\",\"label.site\":\"b\"}",
                                       "{\"arch\":\"mips\",\"label.site\":\"a\"}"};
    struct fleet *f = make(HEAD STAGES "}", 300, 3);
    const struct rollout_plan *plan = &f->plan;
    struct err e = ERR_NONE;
    uint32_t groups[3];
    for (size_t i = 0; i < 3; i++) {
        uint64_t total = plan->adds[0];
        for (size_t k = 1; k <= i; k++)
            total += plan->adds[k];
        cr_expect_eq(plan->reach[i], total, "whom the stages admit, and no others");
    }
    cr_assert_neq(plan->strata[0].bound[0], plan->strata[1].bound[0]);
    f->census.keys = keys;
    cr_assert_eq(rollout_strata_group(keys, 3, groups, &f->census.n_groups, &e), 0);
    cr_assert_eq(f->census.n_groups, 2);
    f->census.groups = groups;
    rollout_plan_make(&f->policy, &f->census, &f->plan);
    cr_expect_eq(plan->strata[0].bound[0], plan->strata[1].bound[0]);
    cr_expect_neq(plan->strata[0].bound[0], plan->strata[2].bound[0]);
    // The same share of the two together as of each before: 2 of 200, 1 of 100.
    uint64_t together = plan->strata[0].planned[0] + plan->strata[1].planned[0];
    cr_expect_eq(together, 2);
    cr_expect_eq(plan->strata[2].planned[0], 1);
    for (size_t i = 0; i < 3; i++)
        cr_expect_eq(plan->reach[i], i == 0 ? 3 : i == 1 ? 150 : 300);
    for (size_t i = 0; i < f->census.n_members; i++)
        cr_expect_lt(f->census.members[i].stratum, 3);
    OWN(json) json_t *document = format(f);
    cr_expect(json_is_true(json_object_get(document, "by_known_facts")));
    drop(f);
}

Test(rollout_plan, batches_double_and_go_on_over_stages) {
    struct fleet *f = make(HEAD "\"batch\":{\"start\":10}," STAGES "}", 1000, 1);
    OWN(json) json_t *document = format(f);
    // 10; 20 40 80 160 and 190 of 320; 500 of 640
    static const json_int_t batches[] = {1, 5, 1};
    for (size_t i = 0; i < 3; i++) {
        const json_t *stage = row(document, "stages", i);
        cr_expect_eq(number(stage, "batches"), batches[i], "stage %zu: %lld", i,
                     (long long)number(stage, "batches"));
        json_int_t calls = number(stage, "calls_s");
        // 95 % of the devices called within 95 % of half an hour
        cr_expect(calls >= batches[i] * 1710 && calls <= batches[i] * 1830, "%lld",
                  (long long)calls);
    }
    cr_assert_eq(number(row(document, "stages", 0), "waits_s"), 600);
    drop(f);
}

Test(rollout_plan, a_batch_that_does_not_grow_is_counted_at_once) {
    struct fleet *f = make(HEAD "\"batch\":{\"start\":1,\"factor\":1}," STAGES "}", 1000, 1);
    OWN(json) json_t *document = format(f);
    cr_assert_eq(number(row(document, "stages", 2), "batches"), 500);
    drop(f);
}

// ── Gates ──

#define GATES                                                                                      \
    "\"gates\":[{\"name\":\"i\",\"kind\":\"install\"},{\"name\":\"l\",\"kind\":\"lost\"},{"        \
    "\"name\":\"c\",\"kind\":\"counter\",\"metric\":\"n\"},{\"name\":\"m\",\"kind\":\"metric\","   \
    "\"metric\":\"t\",\"intolerable\":5}],"

Test(rollout_plan, a_stage_that_is_too_small_is_said_to_be) {
    struct fleet *f = make(HEAD GATES STAGES "}", 100, 1);
    OWN(json) json_t *document = format(f);
    const json_t *gates = json_object_get(row(document, "stages", 0), "gates");
    for (size_t i = 0; i < 4; i++) {
        const json_t *gate = json_array_get(gates, i);
        cr_expect(json_is_null(json_object_get(gate, "sees")), "%s", text(gate, "name"));
        cr_expect_str_eq(text(gate, "weight_pct"), "25");
        if (i != 2)
            cr_expect_not_null(strstr(text(gate, "text"), "too small to see anything"), "%s",
                               text(gate, "text"));
    }
    cr_assert_not_null(strstr(text(json_array_get(gates, 2), "text"), "not known"));
    drop(f);
}

Test(rollout_plan, a_larger_stage_sees_smaller_effects) {
    struct fleet *f = make(HEAD GATES STAGES "}", 10000, 1);
    OWN(json) json_t *document = format(f);
    const json_t *few = json_object_get(row(document, "stages", 0), "gates");
    const json_t *half = json_object_get(row(document, "stages", 1), "gates");
    cr_assert_eq(number(json_array_get(few, 0), "n"), 100);
    cr_assert_eq(number(json_array_get(half, 0), "n"), 5000);
    double at_few = atof(text(json_array_get(few, 0), "sees"));
    double at_half = atof(text(json_array_get(half, 0), "sees"));
    cr_assert(at_few > 8 && at_few < 20 && at_half > 2 && at_half < at_few, "%g, %g", at_few,
              at_half);
    // A set is a treated device and four others.
    cr_assert_eq(number(json_array_get(few, 3), "n"), 100);
    cr_assert_eq(number(json_array_get(half, 3), "n"), 2000);
    cr_assert(json_is_string(json_object_get(json_array_get(half, 3), "sees")));
    const json_t *gate = row(document, "gates", 3);
    cr_assert(json_is_integer(json_object_get(json_object_get(gate, "needs"), "n")), "%s",
              text(gate, "text"));
    cr_assert_str_eq(text(row(document, "gates", 0), "level"), "1 : 160");
    drop(f);
}

Test(rollout_plan, silence_of_the_past_week_is_what_is_to_be_expected) {
    struct fleet *f = make(HEAD GATES STAGES "}", 10000, 1);
    f->census.ages.lost_week = 1000;
    OWN(json) json_t *document = format(f);
    const json_t *stage = row(document, "stages", 1);
    const json_t *lost = json_array_get(json_object_get(stage, "gates"), 1);
    json_int_t open_s =
        number(stage, "calls_s") + ROLLOUT_GATES_HORIZON_DEFAULT_S + ROLLOUT_GATES_GRACE_DEFAULT_S;
    json_int_t expected = 1000 * open_s / (7 * 86400);
    cr_assert(llabs(number(lost, "n") - expected) <= 1, "%lld of %lld",
              (long long)number(lost, "n"), (long long)expected);
    cr_assert(json_is_string(json_object_get(lost, "sees")), "%s", text(lost, "text"));
    drop(f);
}

static bool passes(const json_t *document, size_t stage, size_t gate) {
    return json_is_true(json_object_get(
        json_array_get(json_object_get(row(document, "stages", stage), "gates"), gate), "passes"));
}

Test(rollout_plan, a_stage_whose_gates_cannot_pass_waits_for_as_long_as_it_may) {
    struct fleet *f =
        make(HEAD "\"gates\":[{\"name\":\"i\",\"kind\":\"install\"}],\"evidence\":{\"max_soak\":"
                  "\"2d\"}," STAGES "}",
             1000, 1);
    OWN(json) json_t *document = format(f);
    const json_t *few = row(document, "stages", 0), *half = row(document, "stages", 1);
    cr_assert(!passes(document, 0, 0), "ten devices do not show that fewer than a tenth fail");
    cr_assert(json_is_true(json_object_get(few, "inconclusive")));
    cr_assert_eq(number(few, "waits_s"), 2 * 86400);
    cr_assert(passes(document, 1, 0), "500 do");
    cr_assert(json_is_false(json_object_get(half, "inconclusive")));
    cr_assert_eq(number(half, "waits_s"), 0);
    cr_assert_eq(number(half, "expected_s"), number(half, "calls_s"));
    drop(f);
}

Test(rollout_plan, what_falls_silent_too_seldom_cannot_pass) {
    struct fleet *f = make(HEAD GATES STAGES "}", 100000, 1);
    OWN(json) json_t *none = format(f);
    cr_assert(!passes(none, 1, 1));
    f->census.ages.lost_week = 20000;
    OWN(json) json_t *many = format(f);
    cr_assert(passes(many, 1, 1));
    cr_assert(json_is_null(json_object_get(
        json_array_get(json_object_get(row(many, "stages", 1), "gates"), 2), "passes")));
    drop(f);
}

// ── Exposure ──

Test(rollout_plan, what_fails_more_reaches_fewer) {
    struct fleet *f = make(HEAD GATES STAGES "}", 10000, 1);
    OWN(json) json_t *document = format(f);
    const json_t *one = row(document, "exposure", 0), *twenty = row(document, "exposure", 2);
    cr_assert_str_eq(text(one, "failing_pct"), "1");
    cr_assert(json_is_false(json_object_get(one, "stopped")), "less than the stated 2 %%");
    cr_assert_eq(number(one, "median"), 10000);
    cr_assert(json_is_true(json_object_get(twenty, "stopped")));
    cr_assert(number(twenty, "median") == 30 && number(twenty, "p95") <= 150,
              "batches of 10 and 20 hold the median of 19: %lld, %lld",
              (long long)number(twenty, "median"), (long long)number(twenty, "p95"));
    drop(f);
}

Test(rollout_plan, without_gates_the_thresholds_are_what_stops) {
    struct fleet *f = make(HEAD "\"gate\":{\"failure_pct\":10}," STAGES "}", 10000, 1);
    OWN(json) json_t *document = format(f);
    cr_assert(json_is_false(json_object_get(row(document, "exposure", 1), "stopped")));
    cr_assert_eq(number(row(document, "exposure", 1), "median"), 10000);
    cr_assert(json_is_true(json_object_get(row(document, "exposure", 2), "stopped")));
    cr_assert_eq(number(row(document, "exposure", 2), "median"), 100);
    drop(f);
}

Test(rollout_plan, the_baseline_that_is_proposed_is_what_past_installs_allow) {
    struct fleet *f = make(HEAD GATES STAGES "}", 100, 1);
    f->census.past = (struct rollout_plan_past){.rollouts = 3, .good = 9990, .bad = 10};
    OWN(json) json_t *document = format(f);
    const json_t *installs = json_object_get(document, "installs");
    double proposed = atof(text(installs, "proposed_pct"));
    cr_assert(proposed > 0.1 && proposed < 0.4, "%g", proposed);
    cr_assert_not_null(strstr(text(installs, "text"), "more than what failed"));
    f->census.past.bad = 2000;
    OWN(json) json_t *worse = format(f);
    cr_assert_not_null(strstr(text(json_object_get(worse, "installs"), "text"), "would stop"));
    drop(f);
}

// ── What apply takes ──

Test(rollout_plan, what_was_written_is_read_back) {
    struct fleet *f = make(HEAD GATES STAGES "}", 1000, 3);
    struct rollout_plan_read read;
    struct err e = ERR_NONE;
    OWN(json) json_t *document = format(f);
    cr_assert_eq(rollout_plan_read(&f->policy, document, &read, &e), 0, "%s", e.text);
    cr_assert_eq(read.devices, 1000);
    cr_assert_eq(read.n_strata, 3);
    cr_assert_arr_eq(read.seed, seed, sizeof seed);
    for (size_t s = 0; s < 3; s++) {
        struct rollout_stratum_plan plan;
        const char *key = NULL;
        struct rollout_plan_read_size size = {.devices = 0};
        bool pooled = true;
        cr_assert_eq(
            rollout_plan_read_stratum(&f->policy, &read, s, &key, &size, &pooled, &plan, &e), 0,
            "%s", e.text);
        cr_assert_str_eq(key, f->census.keys[s]);
        cr_assert_eq(size.devices, f->plan.sizes[s]);
        cr_assert(!pooled);
        for (size_t i = 0; i < 3; i++)
            cr_assert_eq(plan.bound[i], f->plan.strata[s].bound[i]);
    }
    drop(f);
}

Test(rollout_plan, another_format_is_newer_and_other_mistakes_name_their_place) {
    struct fleet *f = make(HEAD STAGES "}", 100, 1);
    static const struct {
        const char *key, *value, *kind, *says;
    } rows[] = {{"format", "2", "newer_format", "plan.format"},
                {"format", "0", "config", "format"},
                {"rollout", "\"other\"", "config", "plan.rollout"},
                {"seed", "\"00\"", "config", "plan.seed"},
                {"devices", "-1", "config", "devices"},
                {"strata", "{}", "config", "strata"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rollout_plan_read read;
        struct err e = ERR_NONE;
        OWN(json) json_t *document = format(f);
        json_t *value = json_loads(rows[i].value, JSON_DECODE_ANY, NULL);
        cr_assert_eq(json_object_set_new(document, rows[i].key, value), 0);
        cr_assert_lt(rollout_plan_read(&f->policy, document, &read, &e), 0, "%s", rows[i].key);
        cr_expect_str_eq(e.kind->name, rows[i].kind, "%s", e.text);
        cr_expect_not_null(strstr(e.text, rows[i].says), "%s", e.text);
    }
    drop(f);
}

Test(rollout_plan, bounds_have_sixteen_digits_a_stage_and_do_not_fall) {
    struct fleet *f = make(HEAD STAGES "}", 100, 1);
    static const char *const bounds[] = {"0000000000000001000000000000000200000000000000", "", "x",
                                         "00000000000000010000000000000002000000000000000g",
                                         "000000000000000200000000000000010000000000000003"};
    OWN(json) json_t *document = format(f);
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        struct rollout_plan_read read;
        struct rollout_stratum_plan plan;
        struct err e = ERR_NONE;
        const char *key = NULL;
        struct rollout_plan_read_size size = {.devices = 0};
        bool pooled = false;
        json_t *stratum = json_array_get(json_object_get(document, "strata"), 0);
        cr_assert_eq(json_object_set_new(stratum, "bounds", json_string(bounds[i])), 0);
        cr_assert_eq(rollout_plan_read(&f->policy, document, &read, &e), 0);
        cr_expect_lt(
            rollout_plan_read_stratum(&f->policy, &read, 0, &key, &size, &pooled, &plan, &e), 0,
            "%s", bounds[i]);
        cr_expect_not_null(strstr(e.text, "strata[0].bounds"), "%s", e.text);
    }
    drop(f);
}
