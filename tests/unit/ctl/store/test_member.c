// SPDX-License-Identifier: Apache-2.0
//
// Devices of sites in the store: what each search finds, and what it leaves out.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "ctl/store/member.h"
#include "tests/support/tmp.h"

#define must(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            cr_assert_fail("%s: %s", #call, e.text);                                               \
    } while (0)

static struct tmp_dir dir;
static struct rollout_gates gates;
static struct store_cohort of;
static struct err e;

static void set_up(void) {
    char path[TMP_PATH_BYTES + 16];
    e = (struct err)ERR_NONE;
    dir = tmp_dir_make();
    (void)snprintf(path, sizeof path, "%s/store.db", dir.path);
    gates = (struct rollout_gates){.n = 2,
                                   .unit = ROLLOUT_UNIT_SITE,
                                   .gate[0] = {.kind = ROLLOUT_GATE_LOST},
                                   .gate[1] = {.kind = ROLLOUT_GATE_COUNTER}};
    of = (struct store_cohort){.rollout = "r", .gates = &gates};
    must(store_db_open(path, &of.db, &e));
}

static void tear_down(void) {
    store_db_close(of.db);
    tmp_dir_remove(&dir);
}

TestSuite(store_member, .init = set_up, .fini = tear_down, .timeout = 1200);

static void put(const char *device, const char *unit, uint32_t run, bool waits, int64_t heard_s) {
    struct rollout_score_member row = {.run = run, .waits = waits, .heard_s = heard_s};
    row.reading[1].last_nano = heard_s;
    must(store_member_put(&of, device, unit, &row, &e));
}

struct list {
    size_t n;
    char text[256];
};

static int note(void *context, const char *device, const char *unit,
                const struct rollout_score_member *row, struct err *error) {
    struct list *list = context;
    size_t len = strlen(list->text);
    (void)error;
    (void)snprintf(list->text + len, sizeof list->text - len, "%s=%s@%lld ", device, unit,
                   (long long)row->heard_s);
    list->n++;
    return 0;
}

Test(store_member, what_was_written_last_comes_back_under_its_unit) {
    struct rollout_score_member row;
    char unit[ROLLOUT_UNIT_ID_MAX + 1], site[ROLLOUT_UNIT_ID_MAX + 1];
    memset(site, 's', ROLLOUT_UNIT_ID_MAX);
    site[ROLLOUT_UNIT_ID_MAX] = '\0';
    cr_expect_eq(store_member_get(&of, "d", unit, &row, &e), STORE_ABSENT);
    put("d", site, 1, true, 10);
    put("d", site, 1, true, 20);
    must(store_member_get(&of, "d", unit, &row, &e));
    cr_expect_str_eq(unit, site);
    cr_expect_eq(row.heard_s, 20);
    cr_expect_eq(row.reading[1].last_nano, 20);
    cr_expect(row.waits);
}

Test(store_member, a_unit_s_devices_are_those_of_this_rollout) {
    struct list list = {.n = 0};
    put("b", "site:x", 1, false, 2);
    put("a", "site:x", 1, true, 1);
    put("c", "site:y", 1, true, 3);
    of.rollout = "other";
    put("d", "site:x", 1, true, 4);
    of.rollout = "r";
    must(store_member_of(&of, "site:x", note, &list, &e));
    cr_expect_str_eq(list.text, "a=site:x@1 b=site:x@2 ");
}

Test(store_member, silent_are_those_that_wait_in_this_run_longest_first) {
    struct list list = {.n = 0};
    uint64_t n = 0;
    put("new", "site:x", 2, true, 100);
    put("late", "site:x", 2, true, 50);
    put("later", "site:y", 2, true, 20);
    put("spent", "site:y", 2, false, 10);
    put("before", "site:y", 1, true, 10);
    must(store_member_count_silent(&of, 2, 100, 9, &n, &e));
    cr_expect_eq(n, 2);
    must(store_member_count_silent(&of, 2, 100, 1, &n, &e));
    cr_expect_eq(n, 1);
    must(store_member_silent(&of, 2, 100, 9, note, &list, &e));
    cr_expect_str_eq(list.text, "later=site:y@20 late=site:x@50 ");
}

Test(store_member, after_the_clock_was_set_back_who_was_heard_ahead_of_it_is_found_in_time) {
    uint64_t n = 0;
    put("before", "site:x", 1, true, 100);
    put("ahead", "site:x", 1, true, 100000);
    of.rollout = "other";
    put("of another", "site:x", 1, true, 100000);
    must(store_member_set_back(&of, 200, &e));
    of.rollout = "r";
    must(store_member_set_back(&of, 150, &e));
    must(store_member_count_silent(&of, 1, 150, 9, &n, &e));
    cr_expect_eq(n, 1, "not before its time");
    must(store_member_count_silent(&of, 1, 151, 9, &n, &e));
    cr_expect_eq(n, 2);
}

Test(store_member, a_rollout_s_rows_are_forgotten_in_slices) {
    struct list list = {.n = 0};
    uint64_t n = 0;
    for (int i = 0; i < 5; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "d%d", i);
        put(id, "site:x", 1, true, 1);
    }
    must(store_member_forget(of.db, "r", 3, &n, &e));
    cr_expect_eq(n, 3);
    must(store_member_forget(of.db, "r", 3, &n, &e));
    cr_expect_eq(n, 2);
    must(store_member_of(&of, "site:x", note, &list, &e));
    cr_expect_eq(list.n, 0);
}
