// SPDX-License-Identifier: Apache-2.0
//
// The fleet, row by row.
#include "ctl/store/census.h"

#include <string.h>

#include "ctl/store/device.h"
#include "ctl/store/sql.h"

struct walk {
    store_census_visit fn;
    void *context;
};

static struct slice text_of(sqlite3_stmt *row, int column) {
    const unsigned char *text = sqlite3_column_text(row, column);
    int bytes = sqlite3_column_bytes(row, column);
    return (struct slice){.data = text, .len = text == NULL || bytes < 0 ? 0 : (size_t)bytes};
}

static struct slice blob_of(sqlite3_stmt *row, int column) {
    const void *data = sqlite3_column_blob(row, column);
    int bytes = sqlite3_column_bytes(row, column);
    return (struct slice){.data = data, .len = data == NULL || bytes < 0 ? 0 : (size_t)bytes};
}

static int visit_row(void *context, sqlite3_stmt *row, struct err *e) {
    const struct walk *walk = context;
    struct slice id = text_of(row, 0), pin = text_of(row, 5);
    struct store_census_row device = {.id = (const char *)id.data,
                                      .created_s = store_sql_int(row, 1),
                                      .seen_s = store_sql_int(row, 2),
                                      .held = store_sql_int(row, 3) != 0,
                                      .cloned = store_sql_int(row, 4) != 0,
                                      .pinned = pin.len > 0,
                                      .facts = text_of(row, 6),
                                      .labels = text_of(row, 7),
                                      .said = text_of(row, 8)};
    struct slice gaps = blob_of(row, 9);
    if (gaps.len == sizeof device.gaps.count)
        memcpy(device.gaps.count, gaps.data, gaps.len);
    if (id.len == 0)
        return err_set(e, &err_memory, "counting the fleet: out of memory");
    return walk->fn(walk->context, &device, e);
}

int store_census_walk(struct store_db *db, store_census_visit visit, void *context, struct err *e) {
    struct walk walk = {visit, context};
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e,
                        "SELECT id,created_s,seen_s,held,clone_s,pin_name,facts,labels,said,gaps"
                        " FROM device WHERE state=?",
                        "i", (int64_t)STORE_DEVICE_ACCEPTED) < 0)
        return -1;
    return store_sql_each(db, row, visit_row, &walk, e);
}
