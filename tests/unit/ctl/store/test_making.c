// SPDX-License-Identifier: Apache-2.0
//
// Attempts at deltas, one row for each pair of bundles.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "ctl/store/making.h"
#include "tests/support/tmp.h"

#define must(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            cr_assert_fail("%s: %s", #call, e.text);                                               \
    } while (0)

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

TestSuite(store_making, .init = set_up, .fini = tear_down, .timeout = 1200);

// By letters; head ' ' for none.
static struct store_making making_of(char bundle, char base, char head, int64_t at_s) {
    struct store_making m = {.at_s = at_s};
    memset(m.bundle, bundle, sizeof m.bundle - 1);
    memset(m.base, base, sizeof m.base - 1);
    if (head != ' ')
        memset(m.head, head, sizeof m.head - 1);
    (void)snprintf(m.code, sizeof m.code, "%s", head == ' ' ? "memory" : "");
    return m;
}

static int note(void *context, const struct store_making *m, struct err *why) {
    char *text = context;
    (void)why;
    (void)snprintf(text + strlen(text), 8, "%c%c%.1s ", m->bundle[0], m->base[0],
                   *m->head ? m->head : "-");
    return 0;
}

static const char *listed(const char *bundle) {
    static char text[200];
    text[0] = '\0';
    must(store_making_list(db, bundle, note, text, &e));
    return text;
}

Test(store_making, the_last_attempt_at_a_pair_counts) {
    struct store_making first = making_of('N', 'a', ' ', 5), got;
    struct store_making second = making_of('N', 'a', 'h', 9);
    cr_assert_eq(store_making_get(db, first.bundle, first.base, &got, &e), STORE_ABSENT);
    (void)snprintf(first.text, sizeof first.text, "out of memory");
    must(store_making_put(db, &first, &e));
    must(store_making_get(db, first.bundle, first.base, &got, &e));
    cr_expect(got.at_s == 5 && *got.head == '\0');
    cr_expect_str_eq(got.code, "memory");
    cr_expect_str_eq(got.text, "out of memory");
    must(store_making_put(db, &second, &e));
    must(store_making_get(db, first.bundle, first.base, &got, &e));
    cr_expect(got.at_s == 9 && *got.code == '\0' && *got.text == '\0');
    cr_expect_str_eq(got.head, second.head);
    cr_expect_str_eq(listed(NULL), "Nah ");
}

Test(store_making, the_oldest_comes_first_and_what_is_dropped_is_gone) {
    const struct store_making rows[] = {making_of('N', 'b', 'x', 7), making_of('M', 'a', 'y', 3),
                                        making_of('N', 'a', ' ', 5)};
    for (size_t i = 0; i < 3; i++)
        must(store_making_put(db, &rows[i], &e));
    cr_expect_str_eq(listed(NULL), "May Na- Nbx ");
    cr_expect_str_eq(listed(rows[0].bundle), "Na- Nbx ");
    store_db_close(db);
    db = NULL;
    must(store_db_open(path, &db, &e));
    must(store_making_drop(db, rows[2].bundle, rows[2].base, &e));
    must(store_making_drop(db, rows[2].bundle, rows[2].base, &e));
    cr_expect_str_eq(listed(NULL), "May Nbx ");
}
