// SPDX-License-Identifier: Apache-2.0
//
// Counting what the fleet runs: in slices, for running rollouts, when there is a reason to.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "ctl/serve/delta_parts.h"
#include "tests/support/fake_clock.h"
#include "tests/support/tmp.h"

#define DEVICES (2 * SERVE_DELTA_SLICE + 10)

#define must(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            cr_assert_fail("%s: %s", #call, e.text);                                               \
    } while (0)

static struct tmp_dir dir;
static struct store_db *db;
static struct fake_clock now;
static struct serve_engine *engine;
static struct serve_server server;
static struct serve_deltas deltas;
static struct err e;

// Bundles by a digit: "new" 2.0, and 1.0 and 0.9 of the same name.
static void publish(char digit, const char *version, const char *requires) {
    struct store_bundle b = {.size = 1000, .components = json_pack("{s:{}}", "app")};
    memset(b.id, digit, sizeof b.id - 1);
    (void)snprintf(b.name, sizeof b.name, "app");
    (void)snprintf(b.version, sizeof b.version, "%s", version);
    (void)snprintf(b.variant, sizeof b.variant, "%c", digit);
    (void)snprintf(b.requires, sizeof b.requires, "%s", requires);
    must(store_release_add(db, &b, &e));
    store_release_clear(&b);
}

static void add_device(unsigned number, char runs, enum store_device_state state) {
    struct store_device d = {.state = state};
    char id[KEYS_DIGEST_HEX] = "";
    memset(id, runs, sizeof id - 1);
    (void)snprintf(d.id, sizeof d.id, "dev-%05u", number);
    d.labels = json_pack("{s:s}", "site", number % 2 == 0 ? "even" : "odd");
    d.said = json_pack("{s:{s:{s:s}}}", "components", "app", "manifest", id);
    d.facts = json_object();
    must(store_device_add(db, &d, &e));
    must(store_device_put_facts(db, &d, &e));
    must(store_device_put(db, &d, &e));
    store_device_clear(&d);
}

static void add_rollout(const char *name, const char *selector, enum rollout_state state) {
    static struct store_rollout row;
    row = (struct store_rollout){.created_s = 1};
    (void)snprintf(row.policy.name, sizeof row.policy.name, "%s", name);
    (void)snprintf(row.policy.release_name, sizeof row.policy.release_name, "app");
    (void)snprintf(row.policy.release_version, sizeof row.policy.release_version, "2.0");
    (void)snprintf(row.policy.selector, sizeof row.policy.selector, "%s", selector);
    (void)snprintf(row.policy.stages[0].name, sizeof row.policy.stages[0].name, "half");
    (void)snprintf(row.policy.stages[1].name, sizeof row.policy.stages[1].name, "all");
    row.policy.n_stages = 2;
    row.policy.stages[0].gate = row.policy.stages[1].gate =
        (struct rollout_gate_bounds){.success_ppm = 900000, .failure_ppm = 100000, .min_sample = 1};
    row.policy.stages[0].ppm = ROLLOUT_PPM / 2;
    row.policy.stages[1].ppm = ROLLOUT_PPM;
    row.policy.timeout_s = 3600;
    row.progress.state = state;
    row.progress.attempt = 1;
    must(store_rollout_add(db, &row, &e));
}

static void set_up(void) {
    char path[TMP_PATH_BYTES + 16];
    e = (struct err)ERR_NONE;
    tmp_dir_in_memory();
    dir = tmp_dir_make();
    (void)snprintf(path, sizeof path, "%s/store.db", dir.path);
    must(store_db_open(path, &db, &e));
    must(store_db_begin(db, &e));
    must(serve_engine_open(&engine, &e));
    fake_clock_init(&now, 1800000000000, 5000000);
    server = (struct serve_server){.engine = engine, .clock = &now.chrono};
    deltas = (struct serve_deltas){.server = &server, .stop_fd = -1};
    publish('0', "0.9", "");
    publish('1', "1.0", "");
    publish('2', "2.0", "");
}

static void tear_down(void) {
    serve_delta_count_clear(&deltas.last);
    serve_delta_count_clear(&deltas.walk);
    serve_engine_close(engine);
    store_db_close(db);
    tmp_dir_remove(&dir);
}

TestSuite(serve_delta_count, .init = set_up, .fini = tear_down, .timeout = 1200);

static int step(void) {
    must(serve_engine_load(engine, db, &e));
    int done = serve_delta_count_step(&deltas, db, chrono_wall_ms(&now.chrono), &e);
    must(done);
    return done;
}

// All slices of one count; how many, 0 when none is due.
static unsigned count(void) {
    unsigned slices = 0;
    int64_t before_s = deltas.counted_s, before_ms = deltas.counted_ms;
    while (step() == SERVE_DELTA_COUNTING)
        slices++;
    return before_s == deltas.counted_s && before_ms == deltas.counted_ms ? 0 : slices + 1;
}

// Devices of a rollout that run the bundle by this digit; ' ' none.
static uint64_t running(const char *rollout, char digit) {
    const struct serve_delta_count *c = serve_delta_count_find(&deltas, rollout);
    cr_assert_not_null(c, "%s was not counted", rollout);
    for (size_t i = 0; i < c->bases.n; i++) {
        char hex[KEYS_DIGEST_HEX];
        (void)keys_digest_hex(&c->bases.pairs[i].base, hex);
        if (hex[0] == (digit == ' ' ? '0' : digit) && (hex[1] == hex[0]) &&
            (digit == ' ') == (strspn(hex, "0") == strlen(hex)))
            return c->bases.pairs[i].devices;
    }
    return 0;
}

Test(serve_delta_count, of_all_running_rollouts_in_one_pass_slice_by_slice) {
    for (unsigned i = 0; i < DEVICES; i++)
        add_device(i, i < 100 ? '1' : '9', STORE_DEVICE_ACCEPTED);
    add_device(DEVICES, '1', STORE_DEVICE_PENDING);
    add_rollout("all", "", ROLLOUT_STATE_RUNNING);
    add_rollout("even", "label.site == \"even\"", ROLLOUT_STATE_RUNNING);
    add_rollout("paused", "", ROLLOUT_STATE_PAUSED);
    add_rollout("over", "", ROLLOUT_STATE_FINISHED);
    cr_assert_eq(step(), SERVE_DELTA_COUNTING);
    cr_assert_null(serve_delta_count_find(&deltas, "all"), "half a count says nothing");
    cr_assert_eq(step(), SERVE_DELTA_COUNTING);
    cr_assert_eq(step(), 0);
    cr_expect_eq(running("all", '1'), 100);
    cr_expect_eq(running("all", ' '), DEVICES - 100, "published elsewhere is no base");
    cr_expect_eq(running("even", '1'), 50);
    cr_expect_null(serve_delta_count_find(&deltas, "paused"));
    cr_expect_null(serve_delta_count_find(&deltas, "over"));
    cr_expect(deltas.stale, "what is worth it is to be chosen anew");
}

Test(serve_delta_count, who_has_the_release_and_whom_it_does_not_fit) {
    publish('3', "2.0", "false"); // a variant for nobody
    add_device(0, '2', STORE_DEVICE_ACCEPTED);
    add_device(1, '3', STORE_DEVICE_ACCEPTED);
    add_device(2, '1', STORE_DEVICE_ACCEPTED);
    add_rollout("all", "", ROLLOUT_STATE_RUNNING);
    cr_assert_eq(count(), 1);
    cr_expect_eq(running("all", '2'), 2, "by whichever variant");
    cr_expect_eq(running("all", '1'), 1);
}

Test(serve_delta_count, when_a_rollout_begins_or_moves_and_every_few_minutes) {
    add_device(0, '1', STORE_DEVICE_ACCEPTED);
    cr_assert_eq(count(), 0, "no rollout");
    add_rollout("one", "", ROLLOUT_STATE_RUNNING);
    serve_engine_doubt(engine);
    cr_assert_eq(count(), 1, "a rollout begins");
    cr_assert_eq(count(), 0, "nothing is new");
    engine->rollouts[0]->row.progress.stage = 1;
    cr_assert_eq(count(), 0, "another stage, but not that soon");
    fake_clock_advance(&now, SERVE_DELTA_COUNT_PAUSE_S * 1000);
    cr_assert_eq(count(), 1, "another stage");
    fake_clock_advance(&now, SERVE_DELTA_COUNT_S * 1000 - 1);
    cr_assert_eq(count(), 0, "not for long enough");
    fake_clock_advance(&now, 1);
    cr_assert_eq(count(), 1, "every few minutes");
    engine->rollouts[0]->row.progress.state = ROLLOUT_STATE_FINISHED;
    fake_clock_advance(&now, SERVE_DELTA_COUNT_S * 1000);
    cr_assert_eq(count(), 0, "it is over");
}

Test(serve_delta_count, a_rollout_that_ends_meanwhile_does_no_harm) {
    for (unsigned i = 0; i < DEVICES; i++)
        add_device(i, '1', STORE_DEVICE_ACCEPTED);
    add_rollout("one", "", ROLLOUT_STATE_RUNNING);
    cr_assert_eq(step(), SERVE_DELTA_COUNTING);
    engine->rollouts[0]->row.progress.state = ROLLOUT_STATE_ABORTED;
    cr_assert_eq(step(), SERVE_DELTA_COUNTING);
    cr_assert_eq(step(), 0);
    cr_expect_eq(running("one", '1'), SERVE_DELTA_SLICE);
}
