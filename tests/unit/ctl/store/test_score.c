// SPDX-License-Identifier: Apache-2.0
//
// What rollouts are judged by, in the store: lines, units, verdicts, and what a device went back
// from.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "ctl/store/device.h"
#include "ctl/store/ran.h"
#include "ctl/store/score.h"
#include "ctl/store/sql.h"
#include "ctl/store/undone.h"
#include "ctl/store/unit.h"
#include "ctl/store/verdict.h"
#include "tests/support/tmp.h"
#include "tests/unit/ctl/store/older.h"

static struct tmp_dir dir;
static char path[TMP_PATH_BYTES + 16];
static struct store_db *db;
static struct err e = ERR_NONE;

static void set_up(void) {
    dir = tmp_dir_make();
    (void)snprintf(path, sizeof path, "%s/store.db", dir.path);
    must(store_db_open(path, &db, &e));
}

static void tear_down(void) {
    store_db_close(db);
    tmp_dir_remove(&dir);
}

TestSuite(store_score, .init = set_up, .fini = tear_down, .timeout = 1200);

static void tamper(const char *sql) {
    sqlite3 *raw = NULL;
    cr_assert_eq(sqlite3_open(path, &raw), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(raw, sql, NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(raw));
    (void)sqlite3_close(raw);
}

static int add_line(void *context, int gate, const char *state, struct err *error) {
    char *text = context;
    (void)error;
    (void)snprintf(text + strlen(text), 32, "%d=%s;", gate, state);
    return 0;
}

static const char *lines(const char *rollout, uint64_t run) {
    static char text[256];
    text[0] = '\0';
    must(store_score_list(db, rollout, run, add_line, text, &e));
    return text;
}

Test(store_score, a_line_of_a_gate_is_the_one_written_last_and_of_its_run) {
    uint64_t run = 7;
    must(store_score_run(db, "r", &run, &e));
    cr_expect_eq(run, 0);
    must(store_score_put(db, "r", 1, 1, "b", &e));
    must(store_score_put(db, "r", 1, 0, "a", &e));
    must(store_score_put(db, "r", 1, STORE_SCORE_SHARED, "s", &e));
    must(store_score_put(db, "r", 1, 0, "c", &e));
    must(store_score_put(db, "r", 2, 0, "d", &e));
    must(store_score_put(db, "q", 9, 0, "x", &e));
    cr_expect_str_eq(lines("r", 1), "-1=s;0=c;1=b;");
    cr_expect_str_eq(lines("r", 2), "0=d;");
    must(store_score_run(db, "r", &run, &e));
    cr_expect_eq(run, 2);
}

static int add_unit(void *context, const struct store_unit *u, struct err *error) {
    char *text = context;
    (void)error;
    (void)snprintf(text + strlen(text), 160, "%d/%d:%.60s %d %d %d", (int)u->unit, (int)u->tie,
                   u->device, (int)u->a, (int)u->b, (int)u->c);
    for (size_t i = 0; i < u->n_values; i++)
        (void)snprintf(text + strlen(text), 32, u->values[i].worst ? " w" : " %lld",
                       (long long)u->values[i].change_nano);
    (void)strcat(text, ";");
    return 0;
}

static const char *units(int gate) {
    static char text[1024];
    text[0] = '\0';
    must(store_unit_list(db, "r", 1, gate, add_unit, text, &e));
    return text;
}

Test(store_score, units_come_back_in_order_with_their_values) {
    struct store_unit event = {.device = "d-2", .a = 9, .b = 4, .c = 1};
    struct store_unit set = {.device = "d-9",
                             .a = 4,
                             .b = 3,
                             .c = 1,
                             .n_values = 5,
                             .values = {{.worst = true},
                                        {.change_nano = -EVIDENCE_RANK_CHANGE_MAX},
                                        {.change_nano = EVIDENCE_RANK_CHANGE_MAX},
                                        {.change_nano = 0},
                                        {.worst = true}}};
    uint64_t n = 0;
    must(store_unit_add(db, "r", 1, 0, &event, &e));
    cr_expect(event.unit == 1 && event.tie == 1, "the first one ties with itself");
    event.c = 0;
    must(store_unit_add(db, "r", 1, 0, &event, &e));
    cr_expect(event.unit == 2 && event.tie == 1, "what ties stays so");
    must(store_unit_add(db, "r", 1, 3, &set, &e));
    cr_expect_str_eq(units(0), "1/1:d-2 9 4 1;2/1:d-2 9 4 0;");
    char expected[160];
    (void)snprintf(expected, sizeof expected, "1/1:d-9 4 3 1 w %lld %lld 0 w;",
                   (long long)-EVIDENCE_RANK_CHANGE_MAX, (long long)EVIDENCE_RANK_CHANGE_MAX);
    cr_expect_str_eq(units(3), expected);
    must(store_unit_forget(db, "r", 2, &n, &e));
    cr_expect_eq(n, 2);
    must(store_unit_forget(db, "r", 2, &n, &e));
    cr_expect_eq(n, 1);
    cr_expect_str_eq(units(3), "");
}

Test(store_score, values_that_this_program_never_writes_are_a_damaged_store) {
    static const char *const lists[] = {"x",  "1 ", "1  2", " 1",
                                        "ww", "w1", "1,2",  "99999999999999999999"};
    struct store_unit set = {.device = "d"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        char sql[256], ignored[64] = "";
        set.tie = 0;
        must(store_unit_add(db, "r", i + 1, 0, &set, &e));
        store_db_close(db);
        (void)snprintf(sql, sizeof sql, "UPDATE unit SET list='%s' WHERE run=%zu", lists[i], i + 1);
        tamper(sql);
        must(store_db_open(path, &db, &e));
        cr_expect_lt(store_unit_list(db, "r", i + 1, 0, add_unit, ignored, &e), 0, "%s", lists[i]);
        cr_expect_str_eq(e.kind == NULL ? "" : e.kind->name, "bad_store", "%s", lists[i]);
        err_clear(&e);
    }
}

Test(store_score, verdicts_stay_in_their_order) {
    OWN(json) json_t *first = json_pack("{s:s}", "why", "fragile");
    OWN(json) json_t *second = json_pack("{s:s}", "why", "rollout_failed");
    OWN(json) json_t *all = NULL;
    must(store_verdict_list(db, "r", &all, &e));
    cr_expect_eq(json_array_size(all), 0);
    json_decref(all);
    must(store_verdict_add(db, "r", 2, 50, second, &e));
    must(store_verdict_add(db, "r", 1, 70, first, &e));
    must(store_verdict_add(db, "r", 1, 70, first, &e));
    must(store_verdict_list(db, "r", &all, &e));
    OWN(json)
    json_t *expected = json_pack("[{s:s, s:i, s:i}, {s:s, s:i, s:i}]", "why", "fragile", "run", 1,
                                 "at_s", 70, "why", "rollout_failed", "run", 2, "at_s", 50);
    cr_expect(json_equal(all, expected));
}

Test(store_score, a_device_goes_back_from_a_release_once_and_takes_that_with_it) {
    struct store_device device = {.id = "d", .state = STORE_DEVICE_ACCEPTED};
    struct store_undone once = {.rollout = "r", .at_s = 5}, later = {.rollout = "q", .at_s = 9},
                        got;
    must(store_device_add(db, &device, &e));
    cr_expect_eq(store_undone_get(db, "d", "app", "1.0", &got, &e), STORE_ABSENT);
    must(store_undone_add(db, "d", "app", "1.0", &once, &e));
    must(store_undone_add(db, "d", "app", "1.0", &later, &e));
    must(store_undone_get(db, "d", "app", "1.0", &got, &e));
    cr_expect(got.at_s == 5 && strcmp(got.rollout, "r") == 0);
    cr_expect_eq(store_undone_get(db, "d", "app", "1.1", &got, &e), STORE_ABSENT);
    cr_expect_eq(store_undone_get(db, "c", "app", "1.0", &got, &e), STORE_ABSENT);
    must(store_device_remove(db, "d", &e));
    cr_expect_eq(store_undone_get(db, "d", "app", "1.0", &got, &e), STORE_ABSENT);
}

Test(store_score, a_device_that_ran_a_release_ran_it) {
    struct store_device device = {.id = "d", .state = STORE_DEVICE_ACCEPTED};
    must(store_device_add(db, &device, &e));
    must(store_ran_add(db, "d", "app", "1.0", &e));
    must(store_ran_add(db, "d", "app", "1.0", &e));
    cr_expect_eq(store_ran_find(db, "d", "app", "1.0", &e), 0);
    cr_expect_eq(store_ran_find(db, "d", "app", "1.1", &e), STORE_ABSENT);
    must(store_device_remove(db, "d", &e));
    cr_expect_eq(store_ran_find(db, "d", "app", "1.0", &e), STORE_ABSENT);
}

Test(store_score, a_store_of_any_program_before_is_taken_over) {
    static const char *const older[] = {OLDER_4, OLDER_3, OLDER_2, OLDER_1};
    struct store_device device = {.id = "d", .state = STORE_DEVICE_ACCEPTED, .sequence = 7}, got;
    must(store_device_add(db, &device, &e));
    for (size_t i = 0; i < sizeof older / sizeof *older; i++) {
        store_db_close(db);
        tamper(older[i]);
        must(store_db_open(path, &db, &e));
        must(store_device_get(db, "d", &got, &e));
        cr_expect(got.sequence == 7 && got.token[0] == '\0');
        must(store_score_put(db, "r", 1, 0, "a", &e));
        cr_expect_str_eq(lines("r", 1), "0=a;");
        store_db_close(db); // once is enough
        must(store_db_open(path, &db, &e));
        cr_expect_str_eq(lines("r", 1), "0=a;");
    }
}
