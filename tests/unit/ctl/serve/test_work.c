// SPDX-License-Identifier: Apache-2.0
//
// Calls that share a batch of the store: one that fails takes what it did with it, in memory as in
// the store, before the next one is run.
#include <criterion/criterion.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/own.h"
#include "bundle/kind.h"
#include "ctl/serve/call.h"
#include "ctl/serve/engine.h"
#include "ctl/serve/route.h"
#include "ctl/serve/server.h"
#include "ctl/serve/work.h"
#include "tests/support/fake_clock.h"
#include "tests/support/tmp.h"

#define must(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            cr_assert_fail("%s: %s", #call, e.text);                                               \
    } while (0)

// The store's thread is held up, so that all who come meanwhile are one batch.
struct hold {
    struct store_job job;
    sem_t begun, go;
};

static int hold_run(struct store_db *db, void *context, struct err *e) {
    struct hold *hold = context;
    (void)db;
    (void)e;
    (void)sem_post(&hold->begun);
    while (sem_wait(&hold->go) < 0)
        ;
    return 0;
}

static void hold_done(void *context, int result, const struct err *e) {
    (void)context;
    (void)result;
    (void)e;
}

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
    uint64_t attempt = serve_engine_find(call->server->engine, "r")->row.progress.attempt;
    return serve_call_answer(call, 200, json_pack("{s:I}", "attempt", (json_int_t)attempt), e);
}

static void ready(void *context) {
    (void)sem_post(context);
}

static void add_rollout(struct store_db *db) {
    struct err e = ERR_NONE;
    OWN(json) json_t *policy = json_pack("{s:s, s:s}", "name", "r", "release", "app 1.0");
    struct store_rollout *row = calloc(1, sizeof *row);
    must(rollout_policy_parse(policy, "policy", &row->policy, &e));
    row->progress.attempt = 1;
    must(store_rollout_add(db, row, &e));
    free(row);
}

// The attempt that the second of two calls of one batch sees in memory.
static json_int_t seen_after(int (*first)(struct store_db *, struct serve_call *, struct err *)) {
    const struct serve_route routes[] = {{.access = SERVE_ACCESS_PUBLIC, .run = first},
                                         {.access = SERVE_ACCESS_PUBLIC, .run = look}};
    struct serve_call calls[2];
    struct serve_work work[2];
    struct serve_server server = {.workspace = -1, .bundles = -1};
    struct fake_clock clock;
    struct hold hold = {.job = {.run = hold_run, .done = hold_done, .context = &hold}};
    struct store_db *db = NULL;
    struct err e = ERR_NONE;
    char path[TMP_PATH_BYTES + 16];
    sem_t done;
    OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
    (void)snprintf(path, sizeof path, "%s/store.db", dir.path);
    fake_clock_init(&clock, 0, 1000000);
    server.clock = &clock.chrono;
    (void)sem_init(&hold.begun, 0, 0);
    (void)sem_init(&hold.go, 0, 0);
    (void)sem_init(&done, 0, 0);
    must(store_db_open(path, &db, &e));
    add_rollout(db);
    must(serve_engine_open(&server.engine, &e));
    must(serve_work_open_waiting(&server.waiting, &e));
    must(store_writer_start(&db, &server.writer, &e));
    must(store_writer_submit(server.writer, &hold.job, &e));
    while (sem_wait(&hold.begun) < 0)
        ;
    for (size_t i = 0; i < 2; i++) {
        serve_call_init(&calls[i], &server);
        calls[i].route = &routes[i];
        work[i] = (struct serve_work){.call = &calls[i], .ready = ready, .context = &done};
        serve_work_submit(&work[i]);
    }
    (void)sem_post(&hold.go);
    for (size_t i = 0; i < 2; i++)
        while (sem_wait(&done) < 0)
            ;
    store_writer_free(server.writer);
    cr_expect_eq(work[0].refused, first == change_and_fail);
    cr_assert_not(work[1].refused);
    json_int_t seen = json_integer_value(json_object_get(calls[1].answer, "attempt"));
    serve_call_clear(&calls[0]);
    serve_call_clear(&calls[1]);
    serve_work_close_waiting(server.waiting);
    serve_engine_close(server.engine);
    return seen;
}

Test(serve_work, what_a_failed_call_did_is_not_seen_by_the_next_of_its_batch, .timeout = 240) {
    cr_expect_eq(seen_after(change), 9, "what is done is seen");
    cr_expect_eq(seen_after(change_and_fail), 1);
}
