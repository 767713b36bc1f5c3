// SPDX-License-Identifier: Apache-2.0
//
// Calls that share a batch of the store: one that fails takes what it did with it, in memory as in
// the store, before the next one is run.
#include <stdio.h>

#include "bundle/kind.h"
#include "tests/support/fake_clock.h"
#include "tests/support/tmp.h"
#include "tests/unit/ctl/serve/batch.h"

#define must(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            cr_assert_fail("%s: %s", #call, e.text);                                               \
    } while (0)

static int change(struct store_db *db, struct serve_call *call, struct err *e) {
    struct serve_engine_rollout *r = serve_engine_find(call->server->engine, "r");
    r->row.progress.attempt = 9;
    return store_rollout_put(db, &r->row, e);
}

static int change_and_fail(struct store_db *db, struct serve_call *call, struct err *e) {
    return change(db, call, e) < 0 ? -1 : err_set(e, &err_bad_message, "failed on purpose");
}

static int look(struct store_db *db, struct serve_call *call, struct err *e) {
    (void)db;
    uint64_t attempt = batch_progress(call->server)->attempt;
    return serve_call_answer(call, 200, json_pack("{s:I}", "attempt", (json_int_t)attempt), e);
}

// The attempt that the second of two calls of one batch sees in memory.
static json_int_t seen_after(int (*first)(struct store_db *, struct serve_call *, struct err *)) {
    struct batch_call calls[2];
    struct batch_hold hold;
    struct serve_server server = {.workspace = -1, .bundles = -1};
    struct fake_clock clock;
    struct store_db *db = NULL;
    struct err e = ERR_NONE;
    char path[TMP_PATH_BYTES + 16];
    sem_t done;
    OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
    (void)snprintf(path, sizeof path, "%s/store.db", dir.path);
    fake_clock_init(&clock, 0, 1000000);
    server.clock = &clock.chrono;
    (void)sem_init(&done, 0, 0);
    must(store_db_open(path, &db, &e));
    batch_add_rollout(db);
    must(serve_engine_open(&server.engine, &e));
    must(serve_work_open_waiting(&server.waiting, &e));
    must(store_writer_start(&db, &server.writer, &e));
    batch_begin(&hold, server.writer);
    batch_submit(&calls[0], &server, first, &done);
    batch_submit(&calls[1], &server, look, &done);
    batch_release(&hold);
    batch_wait(&done);
    batch_wait(&done);
    store_writer_free(server.writer);
    cr_expect_eq(calls[0].work.refused, first == change_and_fail);
    cr_assert_not(calls[1].work.refused);
    json_int_t seen = json_integer_value(json_object_get(calls[1].call.answer, "attempt"));
    serve_call_clear(&calls[0].call);
    serve_call_clear(&calls[1].call);
    serve_work_close_waiting(server.waiting);
    serve_engine_close(server.engine);
    return seen;
}

Test(serve_work, what_a_failed_call_did_is_not_seen_by_the_next_of_its_batch, .timeout = 240) {
    cr_expect_eq(seen_after(change), 9, "what is done is seen");
    cr_expect_eq(seen_after(change_and_fail), 1);
}
