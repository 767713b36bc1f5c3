// SPDX-License-Identifier: Apache-2.0
//
// What updates cost: counted once for each device, rollout and attempt, and only where the device
// has a part.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "ctl/serve/spent.h"
#include "tests/support/tmp.h"

#define must(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            cr_assert_fail("%s: %s", #call, e.text);                                               \
    } while (0)

static struct tmp_dir dir;
static struct serve_fleet fleet;
static struct store_device device;
static struct err e;

static void set_up(void) {
    char path[TMP_PATH_BYTES + 16];
    struct serve_engine_rollout *made = NULL;
    OWN(mem) struct store_rollout *row = calloc(1, sizeof *row);
    OWN(json) json_t *policy = json_pack("{s:s, s:s}", "name", "r", "release", "app 1.0");
    dir = tmp_dir_make();
    (void)snprintf(path, sizeof path, "%s/store.db", dir.path);
    e = (struct err)ERR_NONE;
    fleet.now_ms = 1800000000000;
    must(store_db_open(path, &fleet.db, &e));
    must(serve_engine_open(&fleet.engine, &e));
    must(serve_engine_load(fleet.engine, fleet.db, &e));
    must(rollout_policy_parse(policy, "policy", &row->policy, &e));
    must(store_rollout_add(fleet.db, row, &e));
    must(serve_engine_add(fleet.engine, row, &made, &e));
    device = (struct store_device){
        .id = "d", .task = {.rollout = "r", .attempt = 1, .state = ROLLOUT_TASK_OFFERED}};
}

static void tear_down(void) {
    store_device_clear(&device);
    serve_engine_close(fleet.engine);
    store_db_close(fleet.db);
    tmp_dir_remove(&dir);
}

TestSuite(serve_spent, .init = set_up, .fini = tear_down, .timeout = 1200);

static void report(const char *rollout, uint64_t attempt, struct bundle_report_bytes bytes) {
    struct bundle_report r = {.id = 1,
                              .event = BUNDLE_EVENT_STAGED,
                              .attempt = attempt,
                              .has_bundle = true,
                              .has_bytes = true,
                              .bytes = bytes};
    (void)snprintf(r.rollout, sizeof r.rollout, "%s", rollout);
    must(serve_spent_take(&fleet, &device, &r, &e));
}

// The sums of the rollout, which memory and store have to agree about.
static const char *sums(void) {
    static char text[128];
    const struct serve_engine_rollout *r = serve_engine_find(fleet.engine, "r");
    const uint64_t *b = r->bytes;
    (void)snprintf(text, sizeof text, "%llu %llu %llu %llu %llu %llu", (unsigned long long)b[0],
                   (unsigned long long)b[1], (unsigned long long)b[2], (unsigned long long)b[3],
                   (unsigned long long)b[4], (unsigned long long)b[5]);
    uint64_t before[SERVE_SPENT_KINDS];
    memcpy(before, b, sizeof before);
    serve_engine_doubt(fleet.engine);
    must(serve_engine_load(fleet.engine, fleet.db, &e));
    cr_assert_eq(memcmp(serve_engine_find(fleet.engine, "r")->bytes, before, sizeof before), 0);
    return text;
}

static json_int_t last(const char *kind) {
    return json_integer_value(json_object_get(json_object_get(device.spent, "bytes"), kind));
}

Test(serve_spent, each_kind_has_its_sum) {
    report("r", 1, (struct bundle_report_bytes){1, 2, 3, 4, 5, 6});
    cr_expect_str_eq(sums(), "1 2 3 4 5 6");
    static const char *const kinds[] = {"delta", "range", "full", "index", "cache", "reused"};
    for (size_t i = 0; i < 6; i++)
        cr_expect_eq(last(kinds[i]), (json_int_t)i + 1, "%s", kinds[i]);
    cr_expect_str_eq(json_string_value(json_object_get(device.spent, "rollout")), "r");
    cr_expect_str_eq(json_string_value(json_object_get(device.spent, "received")),
                     "2027-01-15T08:00:00Z");
}

// A report says what the update cost so far: staged, and then perhaps refused.
Test(serve_spent, a_later_report_of_the_same_update_counts_with_what_it_says_more) {
    report("r", 1, (struct bundle_report_bytes){.delta = 100, .index = 10});
    report("r", 1, (struct bundle_report_bytes){.delta = 100, .index = 10});
    cr_expect_str_eq(sums(), "100 0 0 10 0 0");
    report("r", 1, (struct bundle_report_bytes){.delta = 130, .full = 7, .index = 5});
    cr_expect_str_eq(sums(), "130 0 7 10 0 0");
    cr_expect(last("delta") == 130 && last("index") == 10 && last("full") == 7);
}

Test(serve_spent, another_attempt_and_another_device_are_added) {
    report("r", 1, (struct bundle_report_bytes){.full = 100});
    device.task.attempt = 2;
    report("r", 2, (struct bundle_report_bytes){.full = 60});
    cr_expect_str_eq(sums(), "0 0 160 0 0 0");
    cr_expect_eq(last("full"), 60, "the last update alone");
    store_device_clear(&device);
    (void)snprintf(device.id, sizeof device.id, "other");
    report("r", 2, (struct bundle_report_bytes){.full = 1});
    cr_expect_str_eq(sums(), "0 0 161 0 0 0");
}

Test(serve_spent, who_has_no_part_in_a_rollout_is_not_counted_there) {
    report("s", 1, (struct bundle_report_bytes){.full = 100}); // a rollout that nobody knows
    cr_expect_eq(last("full"), 100, "it is kept with the device all the same");
    report("", 1, (struct bundle_report_bytes){.full = 101}); // a baseline
    cr_expect_eq(last("full"), 101);
    report("r", 9, (struct bundle_report_bytes){.full = 102}); // an attempt it was not offered
    device.task.state = ROLLOUT_TASK_NONE;
    report("r", 1, (struct bundle_report_bytes){.full = 103});
    cr_expect_str_eq(sums(), "0 0 0 0 0 0");
    cr_expect_eq(last("full"), 103);
}

Test(serve_spent, a_report_without_bytes_leaves_what_is_known) {
    struct bundle_report r = {.id = 2, .event = BUNDLE_EVENT_COMMITTED, .attempt = 1};
    report("r", 1, (struct bundle_report_bytes){.full = 100});
    (void)snprintf(r.rollout, sizeof r.rollout, "r");
    must(serve_spent_take(&fleet, &device, &r, &e));
    cr_expect_str_eq(sums(), "0 0 100 0 0 0");
    cr_expect_eq(last("full"), 100);
}

// Whatever devices claim, sums stay numbers that can be shown.
Test(serve_spent, false_reports_overflow_nothing) {
    for (uint64_t attempt = 1; attempt < 40; attempt++) {
        device.task.attempt = attempt;
        report("r", attempt, (struct bundle_report_bytes){.full = KEYS_VERSION_MAX});
    }
    const struct serve_engine_rollout *r = serve_engine_find(fleet.engine, "r");
    OWN(json) json_t *shown = serve_spent_show(r->bytes);
    cr_expect_gt(json_integer_value(json_object_get(shown, "full")), (json_int_t)KEYS_VERSION_MAX);
}
