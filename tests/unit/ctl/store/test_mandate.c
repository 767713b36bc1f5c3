// SPDX-License-Identifier: Apache-2.0
//
// Mandates in the store: the newest of a rollout, of a pinned device, of a release.
#include "ctl/store/mandate.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/tmp.h"

static struct tmp_dir dir;
static struct store_db *db;

static void open_store(void) {
    char path[TMP_PATH_BYTES + 16];
    struct err e = ERR_NONE;
    dir = tmp_dir_make();
    (void)snprintf(path, sizeof path, "%s/store.db", dir.path);
    cr_assert_eq(store_db_open(path, &db, &e), 0, "%s", e.text);
}

static void close_store(void) {
    store_db_close(db);
    tmp_dir_remove(&dir);
}

TestSuite(store_mandate, .init = open_store, .fini = close_store);

static struct store_mandate made(char id, const char *rollout, const char *device,
                                 uint64_t version) {
    struct store_mandate m = {.version = version,
                              .signed_stages = 2,
                              .baseline = true,
                              .size = 1234,
                              .expires_s = 5000,
                              .created_s = 1000 + (int64_t)version};
    memset(m.id, id, sizeof m.id - 1);
    (void)snprintf(m.rollout, sizeof m.rollout, "%s", rollout);
    (void)snprintf(m.device, sizeof m.device, "%s", device);
    (void)snprintf(m.name, sizeof m.name, "app");
    (void)snprintf(m.release, sizeof m.release, "2.0");
    (void)snprintf(m.actor, sizeof m.actor, "ada");
    return m;
}

static void add(struct store_mandate m) {
    struct err e = ERR_NONE;
    cr_assert_eq(store_mandate_add(db, &m, &e), 0, "%s", e.text);
}

Test(store_mandate, the_newest_of_a_rollout_counts) {
    struct store_mandate found;
    struct err e = ERR_NONE;
    cr_assert_eq(store_mandate_of_rollout(db, "spring", &found, &e), STORE_ABSENT);
    add(made('b', "spring", "", 7));
    add(made('a', "spring", "", 6));
    add(made('c', "autumn", "", 9));
    add(made('b', "spring", "", 7)); // again
    cr_assert_eq(store_mandate_of_rollout(db, "spring", &found, &e), 0, "%s", e.text);
    cr_expect_eq(found.id[0], 'b');
    cr_expect_eq(found.version, 7);
    cr_expect_eq(found.signed_stages, 2);
    cr_expect_eq(found.size, 1234);
    cr_expect_eq(found.expires_s, 5000);
    cr_expect_str_eq(found.actor, "ada");
}

Test(store_mandate, a_pin_is_of_one_device_and_release) {
    struct store_mandate found;
    struct err e = ERR_NONE;
    add(made('a', "", "d-1", 5));
    add(made('b', "", "d-1", 6));
    add(made('b', "", "d-2", 6)); // one mandate may name several
    cr_assert_eq(store_mandate_of_pin(db, "d-1", "app", "2.0", &found, &e), 0, "%s", e.text);
    cr_expect_eq(found.id[0], 'b');
    cr_assert_eq(store_mandate_of_pin(db, "d-2", "app", "2.0", &found, &e), 0, "%s", e.text);
    cr_expect_eq(store_mandate_of_pin(db, "d-3", "app", "2.0", &found, &e), STORE_ABSENT);
    cr_expect_eq(store_mandate_of_pin(db, "d-1", "app", "2.1", &found, &e), STORE_ABSENT);
    cr_expect_eq(store_mandate_of_rollout(db, "", &found, &e), STORE_ABSENT);
}

Test(store_mandate, a_baseline_is_what_the_last_mandate_of_its_release_allows) {
    struct store_mandate found, narrow = made('c', "autumn", "", 9);
    struct err e = ERR_NONE;
    narrow.baseline = false;
    add(made('a', "spring", "", 6));
    add(narrow);
    cr_assert_eq(store_mandate_of_baseline(db, "app", "2.0", &found, &e), 0, "%s", e.text);
    cr_expect_eq(found.id[0], 'a');
    cr_expect_eq(store_mandate_of_baseline(db, "app", "3.0", &found, &e), STORE_ABSENT);
}
