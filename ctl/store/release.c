// SPDX-License-Identifier: Apache-2.0
//
// Releases in the store.
#include "ctl/store/release.h"

#include <string.h>

#include "ctl/store/sql.h"

#define COLUMNS                                                                                    \
    "id,name,version,variant,requires,size,serial,expires_s,published_s,actor,components"

void store_release_clear(struct store_bundle *bundle) {
    json_decref(bundle->components);
    bundle->components = NULL;
}

static int read_row(void *context, sqlite3_stmt *row, struct err *e) {
    struct store_bundle *ret = context;
    *ret = (struct store_bundle){.size = (uint64_t)store_sql_int(row, 5),
                                 .serial = (uint64_t)store_sql_int(row, 6),
                                 .expires_s = store_sql_int(row, 7),
                                 .published_s = store_sql_int(row, 8)};
    if (store_sql_text(row, 0, ret->id, sizeof ret->id, e) < 0 ||
        store_sql_text(row, 1, ret->name, sizeof ret->name, e) < 0 ||
        store_sql_text(row, 2, ret->version, sizeof ret->version, e) < 0 ||
        store_sql_text(row, 3, ret->variant, sizeof ret->variant, e) < 0 ||
        store_sql_text(row, 4, ret->requires, sizeof ret->requires, e) < 0 ||
        store_sql_text(row, 9, ret->actor, sizeof ret->actor, e) < 0)
        return -1;
    return store_sql_json(row, 10, &ret->components, e);
}

int store_release_get(struct store_db *db, const char *id, struct store_bundle *ret,
                      struct err *e) {
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e, "SELECT " COLUMNS " FROM bundle WHERE id=?", "t", id) < 0)
        return -1;
    return store_sql_one(db, row, read_row, ret, e);
}

static int refuse_same_variant(void *context, const struct store_bundle *there, struct err *e) {
    const struct store_bundle *bundle = context;
    if (strcmp(there->variant, bundle->variant) != 0)
        return 0;
    return err_set(
        e, &err_exists,
        "publishing %s %s: another bundle%s%s of this release was published before; give "
        "the new one another version",
        bundle->name, bundle->version, *bundle->variant == '\0' ? "" : " of variant ",
        bundle->variant);
}

int store_release_add(struct store_db *db, const struct store_bundle *b, struct err *e) {
    struct store_bundle there;
    int found = store_release_get(db, b->id, &there, e);
    if (found < 0)
        return -1;
    if (found == 0) {
        store_release_clear(&there);
        return store_sql_run(db, NULL, e, "UPDATE bundle SET size=? WHERE id=?", "it",
                             (int64_t)b->size, b->id) < 0
                   ? -1
                   : STORE_RELEASE_KNOWN;
    }
    struct store_bundle copy = *b;
    if (store_release_list(db, b->name, b->version, refuse_same_variant, &copy, e) < 0)
        return -1;
    return store_sql_run(db, NULL, e, "INSERT INTO bundle VALUES(?,?,?,?,?,?,?,?,?,?,?)",
                         "tttttiiiitj", b->id, b->name, b->version, b->variant, b->requires,
                         (int64_t)b->size, (int64_t)b->serial, b->expires_s, b->published_s,
                         b->actor, b->components);
}

struct visit {
    store_release_visit fn;
    void *context;
};

static int visit_row(void *context, sqlite3_stmt *row, struct err *e) {
    const struct visit *visit = context;
    struct store_bundle one;
    if (read_row(&one, row, e) < 0)
        return -1;
    int done = visit->fn(visit->context, &one, e);
    store_release_clear(&one);
    return done;
}

int store_release_list(struct store_db *db, const char *name, const char *version,
                       store_release_visit visit, void *context, struct err *e) {
    struct visit each = {visit, context};
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e,
                        "SELECT " COLUMNS " FROM bundle WHERE (?1='' OR name=?1) AND"
                        " (?2='' OR version=?2) ORDER BY name, published_s DESC, version, variant",
                        "tt", name == NULL ? "" : name, version == NULL ? "" : version) < 0)
        return -1;
    return store_sql_each(db, row, visit_row, &each, e);
}
