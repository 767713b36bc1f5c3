// SPDX-License-Identifier: Apache-2.0
//
// Units in the store.
#include "ctl/store/unit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/kind.h"
#include "ctl/store/sql.h"

#define VALUE_BYTES 24 // a number and a blank
#define LIST_BYTES  ((EVIDENCE_RANK_COMPARED_MAX + 1) * VALUE_BYTES)

// "12000000000 -3 w": w for a device that has none.
static void format_values(const struct store_unit *unit, char ret[static LIST_BYTES]) {
    size_t len = 0;
    ret[0] = '\0';
    for (size_t i = 0; i < unit->n_values; i++) {
        const char *blank = i == 0 ? "" : " ";
        int n = unit->values[i].worst ? snprintf(ret + len, LIST_BYTES - len, "%sw", blank)
                                      : snprintf(ret + len, LIST_BYTES - len, "%s%" PRId64, blank,
                                                 unit->values[i].change_nano);
        len += (size_t)n;
    }
}

static int damaged(struct err *e) {
    return err_set(e, &err_bad_store, "reading the store: the values of a set are damaged");
}

static int parse_value(const char **text, struct evidence_rank_value *ret) {
    char *end = NULL;
    if (**text == 'w') {
        *ret = (struct evidence_rank_value){.worst = true};
        ++*text;
        return 0;
    }
    if (**text != '-' && (**text < '0' || **text > '9'))
        return -1;
    errno = 0;
    *ret = (struct evidence_rank_value){.change_nano = strtoll(*text, &end, 10)};
    *text = end;
    return errno == 0 ? 0 : -1;
}

static int parse_values(const char *text, struct store_unit *ret, struct err *e) {
    if (*text == '\0')
        return 0;
    for (;;) {
        if (ret->n_values == sizeof ret->values / sizeof *ret->values ||
            parse_value(&text, &ret->values[ret->n_values]) < 0)
            return damaged(e);
        ret->n_values++;
        if (*text == '\0')
            return 0;
        if (*text++ != ' ')
            return damaged(e);
    }
}

int store_unit_add(struct store_db *db, const char *rollout, uint64_t run, int gate,
                   struct store_unit *io, struct err *e) {
    char list[LIST_BYTES];
    uint64_t last = 0;
    if (store_sql_count(db, &last, e,
                        "SELECT coalesce(max(unit),0) FROM unit WHERE rollout=? AND run=?"
                        " AND gate=?",
                        "tii", rollout, (int64_t)run, (int64_t)gate) < 0)
        return -1;
    io->unit = last + 1;
    io->tie = io->tie == 0 ? io->unit : io->tie;
    format_values(io, list);
    return store_sql_run(db, NULL, e, "INSERT INTO unit VALUES(?,?,?,?,?,?,?,?,?,?)", "tiiiitiiit",
                         rollout, (int64_t)run, (int64_t)gate, (int64_t)io->unit, (int64_t)io->tie,
                         io->device, (int64_t)io->a, (int64_t)io->b, (int64_t)io->c, list);
}

struct visit {
    int (*fn)(void *context, const struct store_unit *unit, struct err *e);
    void *context;
};

static int visit_row(void *context, sqlite3_stmt *row, struct err *e) {
    const struct visit *visit = context;
    char list[LIST_BYTES];
    struct store_unit unit = {.unit = (uint64_t)store_sql_int(row, 0),
                              .tie = (uint64_t)store_sql_int(row, 1),
                              .a = (uint64_t)store_sql_int(row, 3),
                              .b = (uint64_t)store_sql_int(row, 4),
                              .c = (uint64_t)store_sql_int(row, 5)};
    if (store_sql_text(row, 2, unit.device, sizeof unit.device, e) < 0 ||
        store_sql_text(row, 6, list, sizeof list, e) < 0 || parse_values(list, &unit, e) < 0)
        return -1;
    return visit->fn(visit->context, &unit, e);
}

int store_unit_list(struct store_db *db, const char *rollout, uint64_t run, int gate,
                    int (*visit)(void *context, const struct store_unit *unit, struct err *e),
                    void *context, struct err *e) {
    struct visit each = {visit, context};
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e,
                        "SELECT unit,tie,device,a,b,c,list FROM unit WHERE rollout=? AND run=?"
                        " AND gate=? ORDER BY unit",
                        "tii", rollout, (int64_t)run, (int64_t)gate) < 0)
        return -1;
    return store_sql_each(db, row, visit_row, &each, e);
}

int store_unit_forget(struct store_db *db, const char *rollout, uint64_t max, uint64_t *ret,
                      struct err *e) {
    int64_t n = 0;
    if (store_sql_run(db, &n, e,
                      "DELETE FROM unit WHERE rollout=?1 AND (run,gate,unit) IN"
                      " (SELECT run,gate,unit FROM unit WHERE rollout=?1 LIMIT ?2)",
                      "ti", rollout, (int64_t)max) < 0)
        return -1;
    *ret = (uint64_t)n;
    return 0;
}
