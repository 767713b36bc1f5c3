// SPDX-License-Identifier: Apache-2.0
//
// Jobs that share a batch of the store: its thread is held up in one job, and all that come
// meanwhile are run one behind the other before anything is committed.
#pragma once

#include <criterion/criterion.h>
#include <semaphore.h>
#include <stdlib.h>

#include "base/own.h"
#include "ctl/serve/call.h"
#include "ctl/serve/engine.h"
#include "ctl/serve/route.h"
#include "ctl/serve/server.h"
#include "ctl/serve/work.h"

struct batch_hold {
    struct store_job job;
    sem_t begun, go;
};

static inline void batch_wait(sem_t *sem) {
    while (sem_wait(sem) < 0)
        ;
}

static inline int batch_hold_run(struct store_db *db, void *context, struct err *e) {
    struct batch_hold *hold = context;
    (void)db;
    (void)e;
    (void)sem_post(&hold->begun);
    batch_wait(&hold->go);
    return 0;
}

static inline void batch_hold_done(void *context, int result, const struct err *e) {
    (void)context;
    (void)result;
    (void)e;
}

// The store's thread waits from here on, until batch_release.
static inline void batch_begin(struct batch_hold *hold, struct store_writer *writer) {
    struct err e = ERR_NONE;
    hold->job = (struct store_job){.run = batch_hold_run, .done = batch_hold_done, .context = hold};
    (void)sem_init(&hold->begun, 0, 0);
    (void)sem_init(&hold->go, 0, 0);
    cr_assert_eq(store_writer_submit(writer, &hold->job, &e), 0, "%s", e.text);
    batch_wait(&hold->begun);
}

static inline void batch_release(struct batch_hold *hold) {
    (void)sem_post(&hold->go);
}

// ── Calls ──

struct batch_call {
    struct serve_route route;
    struct serve_call call;
    struct serve_work work;
};

static inline void batch_ready(void *context) {
    (void)sem_post(context);
}

// Hands in a call that runs this; `done` is posted when it is answered.
static inline void batch_submit(struct batch_call *c, struct serve_server *server,
                                int (*run)(struct store_db *, struct serve_call *, struct err *),
                                sem_t *done) {
    c->route = (struct serve_route){.access = SERVE_ACCESS_PUBLIC, .run = run};
    serve_call_init(&c->call, server);
    c->call.route = &c->route;
    c->work = (struct serve_work){.call = &c->call, .ready = batch_ready, .context = done};
    serve_work_submit(&c->work);
}

// ── A rollout, "r", of one stage that waits for its time ──

static inline void batch_add_rollout(struct store_db *db) {
    struct err e = ERR_NONE;
    OWN(json) json_t *policy = json_pack("{s:s, s:s}", "name", "r", "release", "app 1.0");
    struct store_rollout *row = calloc(1, sizeof *row);
    cr_assert_not_null(row);
    cr_assert_eq(rollout_policy_parse(policy, "policy", &row->policy, &e), 0, "%s", e.text);
    row->progress.attempt = 1;
    row->progress.failed_stage = row->policy.n_stages;
    cr_assert_eq(store_rollout_add(db, row, &e), 0, "%s", e.text);
    free(row);
}

// Its progress as the engine has it in memory.
static inline const struct rollout_progress *batch_progress(const struct serve_server *server) {
    return &serve_engine_find(server->engine, "r")->row.progress;
}
