// SPDX-License-Identifier: Apache-2.0
//
// Time.
#include "ctl/serve/tick.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "ctl/serve/delta.h"
#include "ctl/serve/fleet.h"
#include "ctl/serve/notify.h"
#include "ctl/serve/repository.h"
#include "ctl/serve/work.h"

#define TRIM_EVERY 1200 // ticks: ten minutes
#define JUMP_MS    5000 // the clock was set by so much at once; less is the distance of two readings

struct serve_tick {
    struct serve_server *server;
    struct serve_http *http;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping, busy; // busy: the job is with the store
    bool started;        // that the process did is in the store
    int64_t ahead_ms;    // of the wall clock, to the one that nobody sets
    uint64_t n;
    struct store_job job;
};

// What the controller was down, or its clock was set by, is no silence of the devices.
static int follow_clock(struct serve_tick *tick, const struct serve_fleet *fleet, struct err *e) {
    int64_t ahead_ms = fleet->now_ms - chrono_boot_ms(tick->server->clock);
    int64_t jump_ms = ahead_ms - tick->ahead_ms;
    tick->ahead_ms = ahead_ms;
    if (!tick->started)
        return serve_fleet_start(fleet, e);
    return jump_ms > JUMP_MS || jump_ms < -JUMP_MS ? serve_fleet_jump(fleet, jump_ms / 1000, e) : 0;
}

static int run(struct store_db *db, void *context, struct err *e) {
    struct serve_tick *tick = context;
    struct serve_engine *engine = tick->server->engine;
    struct serve_fleet fleet = {
        .engine = engine, .db = db, .now_ms = chrono_wall_ms(tick->server->clock)};
    if (tick->n++ % TRIM_EVERY == 0 && store_event_trim(db, e) < 0)
        return -1;
    serve_repository_tick(tick->server, db, fleet.now_ms);
    int result = serve_engine_load(engine, db, e);
    if (result == 0)
        result = follow_clock(tick, &fleet, e);
    if (result == 0)
        result = serve_fleet_tick(&fleet, e);
    if (result == 0 && tick->server->deltas != NULL)
        serve_delta_tick(tick->server->deltas, db, fleet.now_ms);
    if (result < 0) // the next one of its batch must not see what it changed
        serve_engine_doubt(engine);
    return result;
}

static void done(void *context, int result, const struct err *e) {
    struct serve_tick *tick = context;
    const struct serve_options *options = tick->server->options;
    if (result < 0) {
        serve_engine_doubt(tick->server->engine);
        options->say(options->context, SERVE_SAY_ERROR, e->text);
    } else
        tick->started = true;
    (void)pthread_mutex_lock(&tick->lock);
    tick->busy = false;
    (void)pthread_mutex_unlock(&tick->lock);
}

// Waits until the next tick; false when it is over.
static bool sleep_on(struct serve_tick *tick) {
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += SERVE_TICK_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    (void)pthread_mutex_lock(&tick->lock);
    while (!tick->stopping)
        if (pthread_cond_timedwait(&tick->wake, &tick->lock, &until) == ETIMEDOUT)
            break;
    bool stopping = tick->stopping;
    (void)pthread_mutex_unlock(&tick->lock);
    return !stopping;
}

static void submit(struct serve_tick *tick) {
    struct err ignored = ERR_NONE;
    (void)pthread_mutex_lock(&tick->lock);
    bool free = !tick->busy;
    tick->busy = true;
    (void)pthread_mutex_unlock(&tick->lock);
    if (!free)
        return;
    tick->job = (struct store_job){.run = run, .done = done, .context = tick};
    if (store_writer_submit(tick->server->writer, &tick->job, &ignored) < 0) {
        (void)pthread_mutex_lock(&tick->lock);
        tick->busy = false;
        (void)pthread_mutex_unlock(&tick->lock);
    }
}

static void *loop(void *context) {
    struct serve_tick *tick = context;
    while (sleep_on(tick)) {
        serve_http_sweep(tick->http);
        serve_work_wake(tick->server->waiting, chrono_boot_ms(tick->server->clock), false);
        submit(tick);
        serve_notify("WATCHDOG=1");
    }
    return NULL;
}

int serve_tick_start(struct serve_server *server, struct serve_http *http, struct serve_tick **ret,
                     struct err *e) {
    struct serve_tick *tick = calloc(1, sizeof *tick);
    pthread_condattr_t monotonic;
    if (tick == NULL)
        return err_set(e, &err_memory, "starting: out of memory");
    tick->server = server;
    tick->http = http;
    tick->ahead_ms = chrono_wall_ms(server->clock) - chrono_boot_ms(server->clock);
    (void)pthread_mutex_init(&tick->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&tick->wake, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    int failed = pthread_create(&tick->thread, NULL, loop, tick);
    if (failed != 0) {
        free(tick);
        return err_errno(e, failed, "starting the thread of time");
    }
    *ret = tick;
    return 0;
}

// The job may still be with the store: free what it uses after the store's thread has ended.
void serve_tick_stop(struct serve_tick *tick) {
    (void)pthread_mutex_lock(&tick->lock);
    tick->stopping = true;
    (void)pthread_cond_signal(&tick->wake);
    (void)pthread_mutex_unlock(&tick->lock);
    (void)pthread_join(tick->thread, NULL);
}
