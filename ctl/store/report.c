// SPDX-License-Identifier: Apache-2.0
//
// Reports in the store.
#include "ctl/store/report.h"

#include "base/chrono.h"
#include "base/own.h"
#include "ctl/store/sql.h"

static bool is_failure(const struct bundle_report *report) {
    return report->event == BUNDLE_EVENT_REFUSED || report->event == BUNDLE_EVENT_REVERTED ||
           report->event == BUNDLE_EVENT_FAILED;
}

int store_report_add(struct store_db *db, const char *device, const struct bundle_report *report,
                     int64_t received_s, struct err *e) {
    int64_t bucket = store_db_bucket(device), added = 0;
    OWN(json) json_t *body = bundle_report_format(report);
    if (body == NULL)
        return err_set(e, &err_memory, "keeping a report of %s: out of memory", device);
    if (store_sql_run(db, &added, e, "INSERT OR IGNORE INTO report VALUES(?,?,?,?,?,?)", "itiiij",
                      bucket, device, (int64_t)report->id, received_s, (int64_t)is_failure(report),
                      body) < 0)
        return -1;
    if (added == 0)
        return STORE_REPORT_KNOWN;
    if (report->id <= STORE_REPORT_PER_DEVICE)
        return 0;
    // The last failure stays however old it is: it is what `device why` is asked for.
    return store_sql_run(
        db, NULL, e,
        "DELETE FROM report WHERE bucket=?1 AND device=?2 AND id<=?3 AND (failure=0"
        " OR id<(SELECT max(id) FROM report WHERE bucket=?1 AND device=?2 AND"
        " failure=1))",
        "iti", bucket, device, (int64_t)(report->id - STORE_REPORT_PER_DEVICE));
}

static int read_row(void *context, sqlite3_stmt *row, struct err *e) {
    json_t **ret = context;
    char text[CHRONO_TEXT_BYTES];
    json_t *body = NULL;
    if (store_sql_json(row, 0, &body, e) < 0)
        return -1;
    (void)json_object_del(body, "boot_ms");
    if (json_object_set_new(body, "received",
                            json_string(chrono_format(store_sql_int(row, 1), text))) < 0) {
        json_decref(body);
        return err_set(e, &err_memory, "reading reports: out of memory");
    }
    *ret = body;
    return 0;
}

static int add_row(void *context, sqlite3_stmt *row, struct err *e) {
    json_t *body = NULL;
    if (read_row(&body, row, e) < 0)
        return -1;
    return json_array_append_new(context, body) == 0
               ? 0
               : err_set(e, &err_memory, "reading reports: out of memory");
}

int store_report_list(struct store_db *db, const char *device, uint64_t max, json_t **ret,
                      struct err *e) {
    sqlite3_stmt *row = NULL;
    OWN(json) json_t *list = json_array();
    if (store_sql_query(db, &row, e,
                        "SELECT body,received_s FROM report WHERE bucket=? AND device=?"
                        " ORDER BY id DESC LIMIT ?",
                        "iti", (int64_t)store_db_bucket(device), device, (int64_t)max) < 0)
        return -1;
    if (store_sql_each(db, row, add_row, list, e) < 0)
        return -1;
    *ret = own_take(&list);
    return 0;
}

int store_report_failure(struct store_db *db, const char *device, json_t **ret, struct err *e) {
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e,
                        "SELECT body,received_s FROM report WHERE bucket=? AND device=? AND"
                        " failure=1 ORDER BY id DESC LIMIT 1",
                        "it", (int64_t)store_db_bucket(device), device) < 0)
        return -1;
    return store_sql_one(db, row, read_row, ret, e);
}

int store_report_forget(struct store_db *db, const char *device, struct err *e) {
    return store_sql_run(db, NULL, e, "DELETE FROM report WHERE bucket=? AND device=?", "it",
                         (int64_t)store_db_bucket(device), device);
}
