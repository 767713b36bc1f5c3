// SPDX-License-Identifier: Apache-2.0
//
// The thread that makes deltas: asks the store's thread what to do, and does it.
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/own.h"
#include "ctl/serve/delta_child.h"
#include "ctl/serve/delta_parts.h"
#include "ctl/serve/repository.h"

static void say(const struct serve_deltas *d, const struct err *e) {
    const struct serve_options *options = d->server->options;
    options->say(options->context, SERVE_SAY_ERROR, e->text);
}

// For so long, or until it is to end, which is true.
static bool is_over(const struct serve_deltas *d, int wait_ms) {
    struct pollfd fd = {.fd = d->stop_fd, .events = POLLIN};
    return poll(&fd, 1, wait_ms) > 0;
}

// ── Asking the store's thread ────────────────────────────────────────────────────────────────────

// One question, and the answer when it is done: what it changed holds then.
struct question {
    struct serve_deltas *deltas;
    struct store_job job;
    pthread_mutex_t lock;
    pthread_cond_t answered;
    bool done;
    int result;
    struct err error;
    // To plan_step.
    struct serve_delta_orders orders;
    // To plan_end.
    bool ends;
    const struct store_delta *made;
    const struct err *why;
};

static int run(struct store_db *db, void *context, struct err *e) {
    struct question *q = context;
    struct serve_deltas *d = q->deltas;
    int64_t now_ms = chrono_wall_ms(d->server->clock);
    int result = q->ends ? serve_delta_plan_end(d, db, now_ms, q->made, q->why, e)
                         : serve_delta_plan_step(d, db, now_ms, &q->orders, e);
    if (result < 0) // the next one of its batch must not see what it changed
        serve_engine_doubt(d->server->engine);
    return result;
}

static void done(void *context, int result, const struct err *e) {
    struct question *q = context;
    if (result < 0)
        serve_engine_doubt(q->deltas->server->engine);
    (void)pthread_mutex_lock(&q->lock);
    q->result = result;
    if (result < 0)
        q->error = *e;
    q->done = true;
    (void)pthread_cond_signal(&q->answered);
    (void)pthread_mutex_unlock(&q->lock);
}

static int submit_and_wait(struct question *q, struct err *e) {
    if (store_writer_submit(q->deltas->server->writer, &q->job, e) < 0)
        return -1;
    (void)pthread_mutex_lock(&q->lock);
    while (!q->done)
        (void)pthread_cond_wait(&q->answered, &q->lock);
    (void)pthread_mutex_unlock(&q->lock);
    if (q->result < 0)
        *e = q->error;
    return q->result;
}

// The answer may come before submitting returns, so all that it touches is there before.
static int ask(struct question *q, struct err *e) {
    q->job = (struct store_job){.run = run, .done = done, .context = q};
    (void)pthread_mutex_init(&q->lock, NULL);
    (void)pthread_cond_init(&q->answered, NULL);
    int result = submit_and_wait(q, e);
    (void)pthread_cond_destroy(&q->answered);
    (void)pthread_mutex_destroy(&q->lock);
    return result;
}

// ── Making ───────────────────────────────────────────────────────────────────────────────────────

// 0, SERVE_DELTA_CHILD_STOPPED, or < 0 and why.
static int make(const struct serve_deltas *d, const struct serve_delta_pair *pair,
                struct store_delta *ret, struct err *e) {
    const struct serve_options *o = d->server->options;
    uint64_t bytes = 0;
    if (serve_delta_file_need(d->server, pair, &bytes, e) < 0 ||
        serve_delta_file_check(d->server, bytes, e) < 0)
        return -1;
    const struct serve_delta_child how = {
        .program = o->delta_program == NULL ? SERVE_DELTA_CHILD_SELF : o->delta_program,
        .workspace = d->server->workspace,
        .stop_fd = d->stop_fd,
        .base = pair->base,
        .bundle = pair->bundle,
        .memory_bytes =
            o->delta_memory_bytes ? o->delta_memory_bytes : SERVE_DELTA_MEMORY_DEFAULT_BYTES,
        .file_bytes = bytes + SERVE_DELTA_RESERVE_BYTES, // tables and the like besides
        .time_s = o->delta_time_s ? o->delta_time_s : SERVE_DELTA_TIME_DEFAULT_S,
        .clock = d->server->clock};
    int made = serve_delta_child_run(&how, e);
    if (made != 0)
        return made;
    return serve_delta_file_take(d->server, pair, ret, e);
}

static int make_and_note(struct serve_deltas *d, const struct serve_delta_pair *pair,
                         struct err *e) {
    struct store_delta made;
    struct err why = ERR_NONE, ignored = ERR_NONE;
    int result = make(d, pair, &made, &why);
    struct question q = {.deltas = d, .ends = true};
    q.made = result == 0 ? &made : NULL;
    q.why = result < 0 ? &why : NULL;
    (void)serve_delta_child_clean(d->server->workspace, &ignored);
    return ask(&q, e);
}

// Returns for how long to wait.
static int turn(struct serve_deltas *d, struct err *e) {
    struct question q = {.deltas = d};
    if (ask(&q, e) < 0)
        return -1;
    switch (q.orders.next) {
    case SERVE_DELTA_WAIT:
        return SERVE_DELTA_LOOK_MS;
    case SERVE_DELTA_GO_ON:
        return SERVE_DELTA_SLICE_MS;
    case SERVE_DELTA_MAKE:
        break;
    }
    return make_and_note(d, &q.orders.pair, e) < 0 ? -1 : 0;
}

static void *loop(void *context) {
    struct serve_deltas *d = context;
    int wait_ms = 0;
    while (!is_over(d, wait_ms)) {
        struct err e = ERR_NONE;
        wait_ms = turn(d, &e);
        if (wait_ms >= 0)
            continue;
        wait_ms = SERVE_REPOSITORY_RETRY_S * 1000;
        if (!is_over(d, 0))
            say(d, &e);
    }
    return NULL;
}

// ── Its life ─────────────────────────────────────────────────────────────────────────────────────

static void drop(struct serve_deltas *d) {
    own_drop_fd(&d->stop_fd);
    serve_repository_deltas_clear(&d->role);
    serve_delta_count_clear(&d->last);
    serve_delta_count_clear(&d->walk);
    free(d);
}

int serve_delta_open(struct serve_server *server, struct serve_deltas **ret, struct err *e) {
    if (serve_delta_child_clean(server->workspace, e) < 0)
        return -1;
    struct serve_deltas *d = calloc(1, sizeof *d);
    if (d == NULL)
        return err_set(e, &err_memory, "starting: out of memory");
    d->server = server;
    d->started_s = chrono_wall_ms(server->clock) / 1000;
    d->stop_fd = eventfd(0, EFD_CLOEXEC);
    (void)memset(d->why_said, '?', 1); // whatever it is, it is said
    if (d->stop_fd < 0) {
        (void)err_errno(e, errno, "starting the maker of deltas");
        drop(d);
        return -1;
    }
    int failed = pthread_create(&d->thread, NULL, loop, d);
    if (failed != 0) {
        drop(d);
        return err_errno(e, failed, "starting the thread that makes deltas");
    }
    *ret = d;
    return 0;
}

void serve_delta_stop(struct serve_deltas *d) {
    uint64_t one = 1;
    if (d == NULL || d->stopped)
        return;
    while (write(d->stop_fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
    (void)pthread_join(d->thread, NULL);
    d->stopped = true;
}

void serve_delta_close(struct serve_deltas *d) {
    if (d == NULL)
        return;
    serve_delta_stop(d);
    drop(d);
}
