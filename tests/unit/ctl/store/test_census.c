// SPDX-License-Identifier: Apache-2.0
//
// The walk over the fleet: accepted devices, their texts as they are stored.
#include "ctl/store/census.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "ctl/store/device.h"
#include "tests/support/tmp.h"

static void add(struct store_db *db, const struct store_device *device) {
    struct err e = ERR_NONE;
    cr_assert_eq(store_db_begin(db, &e), 0);
    cr_assert_eq(store_device_add(db, device, &e), 0, "%s", e.text);
    cr_assert_eq(store_db_commit(db, &e), 0);
}

struct seen {
    unsigned n;
    bool full, empty;
};

static int visit(void *context, const struct store_census_row *row, struct err *e) {
    struct seen *seen = context;
    (void)e;
    seen->n++;
    if (strcmp(row->id, "full") == 0) {
        static const char facts[] = "{\"arch\":\"arm64\"}", labels[] = "{\"site\":\"b\"}";
        seen->full = row->created_s == 7 && row->seen_s == 9 && row->held && row->pinned &&
                     row->cloned && row->facts.len == strlen(facts) &&
                     memcmp(row->facts.data, facts, strlen(facts)) == 0 &&
                     row->labels.len == strlen(labels) &&
                     memcmp(row->labels.data, labels, strlen(labels)) == 0 &&
                     row->said.len == strlen("{\"state\":\"idle\"}");
    } else {
        cr_assert_str_eq(row->id, "empty");
        seen->empty = row->facts.len == 0 && row->labels.len == 0 && row->said.len == 0 &&
                      row->seen_s == 0 && !row->held && !row->pinned && !row->cloned;
    }
    return 0;
}

static int fail(void *context, const struct store_census_row *row, struct err *e) {
    unsigned *visits = context;
    (*visits)++;
    return err_set(e, &err_config, "not %s", row->id);
}

Test(store_census, visits_accepted_devices_with_their_texts_as_stored) {
    struct tmp_dir dir = tmp_dir_make();
    char path[TMP_PATH_BYTES + 16];
    struct store_db *db = NULL;
    struct err e = ERR_NONE;
    struct seen seen = {0};
    unsigned visits = 0;
    (void)snprintf(path, sizeof path, "%s/store.db", dir.path);
    cr_assert_eq(store_db_open(path, &db, &e), 0, "%s", e.text);
    struct store_device full = {.id = "full",
                                .state = STORE_DEVICE_ACCEPTED,
                                .created_s = 7,
                                .seen_s = 9,
                                .clone_s = 5,
                                .held = true,
                                .pin_name = "app",
                                .facts = json_pack("{s:s}", "arch", "arm64"),
                                .labels = json_pack("{s:s}", "site", "b"),
                                .said = json_pack("{s:s}", "state", "idle")};
    add(db, &full);
    store_device_clear(&full);
    add(db, &(struct store_device){.id = "empty", .state = STORE_DEVICE_ACCEPTED});
    add(db, &(struct store_device){.id = "waits", .state = STORE_DEVICE_PENDING});
    add(db, &(struct store_device){.id = "gone", .state = STORE_DEVICE_RETIRED});
    cr_assert_eq(store_census_walk(db, visit, &seen, &e), 0, "%s", e.text);
    cr_assert(seen.n == 2 && seen.full && seen.empty, "%u %d %d", seen.n, seen.full, seen.empty);
    cr_assert_lt(store_census_walk(db, fail, &visits, &e), 0);
    cr_assert(visits == 1 && err_is(&e, &err_config), "the first that fails ends it");
    seen = (struct seen){0};
    err_clear(&e);
    cr_assert_eq(store_census_walk(db, visit, &seen, &e), 0, "and it may be walked again");
    cr_assert_eq(seen.n, 2);
    store_db_close(db);
    tmp_dir_remove(&dir);
}
