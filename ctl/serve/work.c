// SPDX-License-Identifier: Apache-2.0
//
// Calls on the store's thread, and those that wait.
#include "ctl/serve/work.h"

#include <pthread.h>
#include <stdlib.h>

#include "ctl/kind.h"
#include "ctl/serve/auth.h"
#include "ctl/serve/engine.h"
#include "ctl/serve/route.h"
#include "ctl/serve/server.h"

struct serve_waiting {
    pthread_mutex_t lock;
    struct serve_work *first;
    size_t n;
    bool stopping;
    uint64_t news; // that the last wake knew of; the store's thread only
};

int serve_work_open_waiting(struct serve_waiting **ret, struct err *e) {
    struct serve_waiting *w = calloc(1, sizeof *w);
    if (w == NULL)
        return err_set(e, &err_memory, "starting: out of memory");
    (void)pthread_mutex_init(&w->lock, NULL);
    *ret = w;
    return 0;
}

void serve_work_close_waiting(struct serve_waiting *w) {
    if (w == NULL)
        return;
    (void)pthread_mutex_destroy(&w->lock);
    free(w);
}

// Takes those out that are to be woken.
static struct serve_work *take(struct serve_waiting *w, bool all, int64_t boot_ms) {
    struct serve_work *taken = NULL, **at = &w->first;
    (void)pthread_mutex_lock(&w->lock);
    while (*at != NULL) {
        struct serve_work *work = *at;
        bool over = w->stopping || boot_ms >= work->call->wait_until_ms;
        if (!all && !over) {
            at = &work->next;
            continue;
        }
        *at = work->next;
        w->n--;
        work->call->waited = work->call->waited || over;
        work->next = taken;
        taken = work;
    }
    (void)pthread_mutex_unlock(&w->lock);
    return taken;
}

static void resubmit(struct serve_work *list) {
    for (struct serve_work *next; list != NULL; list = next) {
        next = list->next;
        serve_work_submit(list);
    }
}

void serve_work_wake(struct serve_waiting *w, int64_t boot_ms, bool stop) {
    if (stop) {
        (void)pthread_mutex_lock(&w->lock);
        w->stopping = true;
        (void)pthread_mutex_unlock(&w->lock);
    }
    resubmit(take(w, false, boot_ms));
}

static bool park(struct serve_waiting *w, struct serve_work *work) {
    (void)pthread_mutex_lock(&w->lock);
    bool room = !w->stopping && w->n < SERVE_WORK_WAITING_MAX;
    if (room) {
        work->next = w->first;
        w->first = work;
        w->n++;
    }
    (void)pthread_mutex_unlock(&w->lock);
    return room;
}

static int carry_out(struct store_db *db, const struct serve_work *work, struct err *e) {
    struct serve_call *call = work->call;
    struct serve_server *server = call->server;
    call->now_ms = chrono_wall_ms(server->clock);
    if (serve_engine_load(server->engine, db, e) < 0)
        return -1;
    if (call->route->access == SERVE_ACCESS_OPERATOR && serve_auth_operator(db, call, e) < 0)
        return -1;
    if (work->only_authorise || call->route->run == NULL)
        return 0;
    return call->route->run(db, call, e);
}

// What a call that fails has changed in memory is forgotten before the next one of its batch reads
// it.
static int run(struct store_db *db, void *context, struct err *e) {
    struct serve_work *work = context;
    int result = carry_out(db, work, e);
    if (result < 0)
        serve_engine_doubt(work->call->server->engine);
    return result;
}

static void done(void *context, int result, const struct err *e) {
    struct serve_work *work = context;
    struct serve_server *server = work->call->server;
    struct serve_waiting *waiting = server->waiting;
    if (result < 0) {
        serve_engine_doubt(server->engine);
        serve_call_fail(work->call, e);
        work->refused = true;
    }
    bool parked = result == SERVE_ROUTE_WAIT && park(waiting, work);
    if (result == SERVE_ROUTE_WAIT && !parked) {
        struct err full = ERR_NONE;
        (void)err_set(&full, &err_overloaded, "too many wait for news: ask again later");
        serve_call_fail(work->call, &full);
        work->refused = true;
    }
    if (!parked)
        work->ready(work->context);
    if (waiting->news != server->engine->news) {
        waiting->news = server->engine->news;
        resubmit(take(waiting, true, chrono_boot_ms(server->clock)));
    }
}

void serve_work_submit(struct serve_work *work) {
    struct err e = ERR_NONE;
    work->job = (struct store_job){.run = run, .done = done, .context = work};
    if (store_writer_submit(work->call->server->writer, &work->job, &e) == 0)
        return;
    serve_call_fail(work->call, &e);
    work->refused = true;
    work->ready(work->context);
}
