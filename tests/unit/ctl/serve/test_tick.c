// SPDX-License-Identifier: Apache-2.0
//
// What time does to rollouts, in one batch of the store with a call: what a tick that fails did is
// gone, in memory as in the store, before the call is run.
#include "ctl/serve/tick.h"

#include "ctl/serve/listen.h"
#include "ctl/serve/repository.h"
#include "ctl/serve/workspace.h"
#include "ctl/store/sql.h"
#include "tests/unit/ctl/serve/batch.h"
#include "tests/unit/ctl/serve/controller.h"

#define NOW_S FORGE_ISSUED_S
// The thread of time looks at the clock when it starts and a few times at each tick: after so many
// looks, one tick has handed in its job.
#define LOOKS 6

// A clock that stands still and tells who waits that somebody looked.
struct watched_clock {
    struct chrono chrono;
    sem_t looks;
};

static int64_t wall_ms(void *context) {
    (void)context;
    return NOW_S * 1000LL;
}

static int64_t boot_ms(void *context) {
    struct watched_clock *clock = context;
    (void)sem_post(&clock->looks);
    return 1000000;
}

static void say(void *context, enum serve_say what, const char *line) {
    (void)context;
    (void)what;
    (void)line;
}

static int look(struct store_db *db, struct serve_call *call, struct err *e) {
    (void)db;
    return serve_call_answer(
        call, 200,
        json_pack("{s:I}", "started", (json_int_t)batch_progress(call->server)->started_s[0]), e);
}

// The parts of a running controller (ctl/serve/run.c) that a tick needs.
struct running {
    struct controller c;
    struct serve_options options;
    struct watched_clock clock;
    struct serve_server server;
    struct serve_http *http;
    struct serve_tick *tick;
};

// With `refuse` the store takes no events, of which the beginning of a stage is one.
static void start(struct running *r, bool refuse) {
    struct err e = ERR_NONE;
    struct store_db *db = NULL;
    struct serve_listen listener = {.fd = -1};
    char path[400];
    controller_make(&r->c);
    r->options = (struct serve_options){.workspace = r->c.workspace, .say = say};
    r->clock = (struct watched_clock){.chrono = {wall_ms, boot_ms, &r->clock}};
    (void)sem_init(&r->clock.looks, 0, 0);
    r->server = (struct serve_server){
        .options = &r->options, .clock = &r->clock.chrono, .workspace = -1, .bundles = -1};
    (void)snprintf(path, sizeof path, "%s/" SERVE_WORKSPACE_STORE, r->c.workspace);
    must(serve_workspace_open(&r->server, &e));
    must(serve_engine_open(&r->server.engine, &e));
    must(serve_work_open_waiting(&r->server.waiting, &e));
    must(store_db_open(path, &db, &e));
    batch_add_rollout(db);
    if (refuse)
        must(store_sql_script(db,
                              "CREATE TEMP TRIGGER refuse BEFORE INSERT ON main.event "
                              "BEGIN SELECT RAISE(ABORT, 'refused on purpose'); END",
                              &e));
    must(store_writer_start(&db, &r->server.writer, &e));
    must(serve_repository_open(&r->server, &e));
    must(serve_listen_open("127.0.0.1:0", SERVE_LISTEN_LOOPBACK, &listener, &e));
    must(serve_http_start(&r->server, listener.fd, NULL, NULL, &r->http, &e));
}

static void stop(struct running *r) {
    serve_tick_stop(r->tick);
    store_writer_stop(r->server.writer);
    serve_http_stop(r->http);
    free(r->tick);
    store_writer_free(r->server.writer);
    serve_work_close_waiting(r->server.waiting);
    serve_engine_close(r->server.engine);
    serve_repository_close(r->server.repository);
    serve_workspace_close(&r->server);
    controller_free(&r->c);
}

// When the stage began, as a call sees it that is run behind the first tick, in its batch.
static json_int_t seen_behind_a_tick(bool refuse) {
    struct running r;
    struct batch_hold hold;
    struct batch_call call;
    struct err e = ERR_NONE;
    sem_t done;
    start(&r, refuse);
    (void)sem_init(&done, 0, 0);
    batch_begin(&hold, r.server.writer);
    must(serve_tick_start(&r.server, r.http, &r.tick, &e));
    for (int i = 0; i < LOOKS; i++)
        batch_wait(&r.clock.looks);
    batch_submit(&call, &r.server, look, &done);
    batch_release(&hold);
    batch_wait(&done);
    cr_assert_not(call.work.refused);
    json_int_t seen = json_integer_value(json_object_get(call.call.answer, "started"));
    serve_call_clear(&call.call);
    stop(&r);
    return seen;
}

Test(serve_tick, what_a_failed_tick_did_is_not_seen_by_the_next_of_its_batch, .timeout = 240) {
    cr_expect_eq(seen_behind_a_tick(false), NOW_S, "what is done is seen");
    cr_expect_eq(seen_behind_a_tick(true), 0);
}
