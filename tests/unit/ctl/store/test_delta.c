// SPDX-License-Identifier: Apache-2.0
//
// Deltas and sums of bytes in the store, and a store that knew neither.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "ctl/store/delta.h"
#include "ctl/store/device.h"
#include "ctl/store/sql.h"
#include "ctl/store/traffic.h"
#include "tests/support/tmp.h"
#include "tests/unit/ctl/store/older.h"

static struct tmp_dir dir;
static char path[TMP_PATH_BYTES + 16];
static struct store_db *db;
static struct err e;

static void set_up(void) {
    dir = tmp_dir_make();
    (void)snprintf(path, sizeof path, "%s/store.db", dir.path);
    e = (struct err)ERR_NONE;
    must(store_db_open(path, &db, &e));
}

static void tear_down(void) {
    store_db_close(db);
    tmp_dir_remove(&dir);
}

TestSuite(store_delta, .init = set_up, .fini = tear_down, .timeout = 1200);

static struct store_delta delta_of(char head, char bundle, char base, int64_t created_s) {
    struct store_delta d = {
        .head_bytes = 700, .size = 1ULL << 40, .created_s = created_s, .actor = "ann"};
    memset(d.head, head, sizeof d.head - 1);
    memset(d.bundle, bundle, sizeof d.bundle - 1);
    memset(d.base, base, sizeof d.base - 1);
    return d;
}

static int note(void *context, const struct store_delta *delta, struct err *why) {
    char *text = context;
    (void)why;
    (void)snprintf(text + strlen(text), 4, "%c%c%c", delta->head[0], delta->bundle[0],
                   delta->base[0]);
    return 0;
}

static const char *listed(const char *bundle) {
    static char text[64];
    text[0] = '\0';
    must(store_delta_list(db, bundle, note, text, &e));
    return text;
}

Test(store_delta, comes_back_as_it_was_put_and_is_kept_once) {
    struct store_delta d = delta_of('1', 'b', 'a', 5), got;
    cr_assert_eq(store_delta_add(db, &d, &e), 0, "%s", e.text);
    d.actor[0] = 'x';
    cr_assert_eq(store_delta_add(db, &d, &e), STORE_DELTA_KNOWN);
    cr_assert_eq(store_delta_get(db, d.head, &got, &e), 0, "%s", e.text);
    cr_expect_str_eq(got.head, d.head);
    cr_expect_str_eq(got.bundle, d.bundle);
    cr_expect_str_eq(got.base, d.base);
    cr_expect_str_eq(got.actor, "ann", "who sent it first");
    cr_expect(got.head_bytes == 700 && got.size == 1ULL << 40 && got.created_s == 5);
    d = delta_of('2', 'b', 'a', 5);
    cr_expect_eq(store_delta_get(db, d.head, &got, &e), STORE_ABSENT);
}

Test(store_delta, sent_again_it_has_the_size_of_the_file_that_came_last) {
    struct store_delta d = delta_of('1', 'b', 'a', 5), other = delta_of('2', 'b', 'a', 5), got;
    must(store_delta_add(db, &d, &e));
    must(store_delta_add(db, &other, &e));
    d.size += 512; // a signature more
    cr_assert_eq(store_delta_add(db, &d, &e), STORE_DELTA_KNOWN);
    cr_assert_eq(store_delta_get(db, d.head, &got, &e), 0, "%s", e.text);
    cr_expect_eq(got.size, d.size);
    cr_assert_eq(store_delta_get(db, other.head, &got, &e), 0, "%s", e.text);
    cr_expect_eq(got.size, other.size, "and no other one");
}

Test(store_delta, several_of_one_pair_stand_newest_first) {
    const struct store_delta all[] = {delta_of('1', 'b', 'a', 5), delta_of('2', 'b', 'a', 6),
                                      delta_of('3', 'c', 'b', 1), delta_of('4', 'b', '9', 1)};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        must(store_delta_add(db, &all[i], &e));
    cr_expect_str_eq(listed(NULL), "4b92ba1ba3cb");
    cr_expect_str_eq(listed(all[0].bundle), "4b92ba1ba");
    cr_expect_str_eq(listed(all[0].base), "");
    must(store_delta_drop(db, all[1].head, &e));
    must(store_delta_drop(db, all[1].head, &e));
    cr_expect_str_eq(listed(all[0].bundle), "4b91ba");
}

Test(store_delta, has_a_file_named_after_its_head) {
    struct store_delta d = delta_of('f', 'b', 'a', 5);
    char file[STORE_DELTA_FILE_BYTES];
    cr_assert_eq(strlen(store_delta_file(d.head, file)), 64 + strlen(".delta"));
    cr_expect_eq(strncmp(file, d.head, 64), 0);
    cr_expect_str_eq(file + 64, ".delta");
}

static int note_bytes(void *context, const char *kind, uint64_t bytes, struct err *why) {
    char *text = context;
    (void)why;
    (void)snprintf(text + strlen(text), 40, "%s %llu,", kind, (unsigned long long)bytes);
    return 0;
}

static const char *summed(const char *rollout) {
    static char text[256];
    text[0] = '\0';
    must(store_traffic_list(db, rollout, note_bytes, text, &e));
    return text;
}

// Devices of other buckets, rollouts and kinds stay apart or are added, as they should.
Test(store_delta, bytes_are_summed_over_the_buckets) {
    cr_assert_neq(store_db_bucket("d-1"), store_db_bucket("d-2"));
    must(store_traffic_add(db, "d-1", "r", "delta", 5, &e));
    must(store_traffic_add(db, "d-1", "r", "delta", 6, &e));
    must(store_traffic_add(db, "d-2", "r", "delta", 100, &e));
    must(store_traffic_add(db, "d-2", "r", "full", 1000, &e));
    must(store_traffic_add(db, "d-2", "r", "range", 0, &e));
    must(store_traffic_add(db, "d-2", "other", "full", 7, &e));
    cr_expect_str_eq(summed("r"), "delta 111,full 1000,");
    cr_expect_str_eq(summed("other"), "full 7,");
    cr_expect_str_eq(summed(""), "");
}

// Whatever devices claim, a sum stays one that can be asked for.
Test(store_delta, a_sum_has_a_ceiling_instead_of_an_overflow) {
    static char name[32];
    for (int i = 0; i < 600; i++) {
        (void)snprintf(name, sizeof name, "d-%d", i);
        must(store_traffic_add(db, name, "r", "full", INT64_MAX, &e));
        must(store_traffic_add(db, name, "r", "full", INT64_MAX, &e));
    }
    const char *text = summed("r");
    cr_assert_eq(strncmp(text, "full ", 5), 0, "%s", text);
    cr_expect_gt(strtoull(text + 5, NULL, 10), (unsigned long long)INT64_MAX / 4);
}

// Behind the program's back.
static void tamper(const char *sql) {
    sqlite3 *raw = NULL;
    cr_assert_eq(sqlite3_open(path, &raw), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(raw, sql, NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(raw));
    (void)sqlite3_close(raw);
}

Test(store_delta, a_store_of_the_program_before_is_taken_over) {
    struct store_device d = {.id = "old", .state = STORE_DEVICE_ACCEPTED, .sequence = 7}, got;
    struct store_delta delta = delta_of('1', 'b', 'a', 5);
    must(store_device_add(db, &d, &e));
    store_db_close(db);
    db = NULL;
    tamper(OLDER_3);
    must(store_db_open(path, &db, &e));
    must(store_device_get(db, "old", &got, &e));
    cr_expect(got.sequence == 7 && got.spent == NULL);
    cr_expect_eq(store_delta_add(db, &delta, &e), 0);
    must(store_traffic_add(db, "old", "r", "full", 7, &e));
    cr_expect_str_eq(summed("r"), "full 7,");
    store_db_close(db);
    db = NULL;
    must(store_db_open(path, &db, &e)); // once is enough
    cr_expect_str_eq(listed(NULL), "1ba");
}
