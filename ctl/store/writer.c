// SPDX-License-Identifier: Apache-2.0
//
// Group commit.
#include "ctl/store/writer.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/kind.h"

struct store_writer {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct store_job *first, **last;
    size_t n_waiting;
    bool stopping;
    struct store_db *db;
};

// Takes up to a batch from the queue, waiting for the first. NULL: nothing more comes.
static struct store_job *take(struct store_writer *w) {
    (void)pthread_mutex_lock(&w->lock);
    while (w->first == NULL && !w->stopping)
        (void)pthread_cond_wait(&w->work, &w->lock);
    struct store_job *batch = w->first, **end = &w->first;
    for (size_t n = 0; *end != NULL && n < STORE_WRITER_BATCH_MAX; n++) {
        end = &(*end)->next;
        w->n_waiting--;
    }
    w->first = *end;
    if (batch != NULL)
        *end = NULL;
    if (w->first == NULL)
        w->last = &w->first;
    (void)pthread_mutex_unlock(&w->lock);
    return batch;
}

// A job alone; < 0 when the transaction itself can no longer be used.
static int run_one(struct store_db *db, struct store_job *job, struct err *e) {
    if (store_db_mark(db, e) < 0)
        return -1;
    job->result = job->run(db, job->context, &job->error);
    return job->result < 0 ? store_db_undo(db, e) : store_db_keep(db, e);
}

static int run_all(struct store_db *db, struct store_job *batch, struct err *e) {
    if (store_db_begin(db, e) < 0)
        return -1;
    for (struct store_job *job = batch; job != NULL; job = job->next)
        if (run_one(db, job, e) < 0)
            return -1;
    return store_db_commit(db, e);
}

static void run_batch(struct store_db *db, struct store_job *batch) {
    struct err e = ERR_NONE;
    bool failed = run_all(db, batch, &e) < 0;
    if (failed)
        store_db_rollback(db);
    for (struct store_job *job = batch, *next; job != NULL; job = next) {
        next = job->next;
        if (failed && job->result >= 0) {
            job->result = -1;
            job->error = e;
        }
        job->done(job->context, job->result, &job->error);
    }
}

static void *loop(void *context) {
    struct store_writer *w = context;
    for (struct store_job *batch = take(w); batch != NULL; batch = take(w))
        run_batch(w->db, batch);
    return NULL;
}

int store_writer_start(struct store_db **db, struct store_writer **ret, struct err *e) {
    struct store_writer *w = calloc(1, sizeof *w);
    if (w == NULL)
        return err_set(e, &err_memory, "starting the store's thread: out of memory");
    w->last = &w->first;
    w->db = *db;
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_cond_init(&w->work, NULL);
    int failed = pthread_create(&w->thread, NULL, loop, w);
    if (failed != 0) {
        free(w);
        return err_errno(e, failed, "starting the store's thread");
    }
    *db = NULL;
    *ret = w;
    return 0;
}

int store_writer_submit(struct store_writer *w, struct store_job *job, struct err *e) {
    int done = 0;
    job->next = NULL;
    job->result = 0;
    err_clear(&job->error);
    (void)pthread_mutex_lock(&w->lock);
    if (w->stopping)
        done = err_set(e, &err_overloaded, "the controller is stopping");
    else if (w->n_waiting >= STORE_WRITER_JOBS_MAX)
        done = err_set(e, &err_overloaded, "the controller has as much work as it can hold");
    else {
        *w->last = job;
        w->last = &job->next;
        w->n_waiting++;
        (void)pthread_cond_signal(&w->work);
    }
    (void)pthread_mutex_unlock(&w->lock);
    return done;
}

void store_writer_stop(struct store_writer *w) {
    if (w == NULL || w->db == NULL)
        return;
    (void)pthread_mutex_lock(&w->lock);
    w->stopping = true;
    (void)pthread_cond_signal(&w->work);
    (void)pthread_mutex_unlock(&w->lock);
    (void)pthread_join(w->thread, NULL);
    store_db_close(w->db);
    w->db = NULL;
}

void store_writer_free(struct store_writer *w) {
    if (w == NULL)
        return;
    store_writer_stop(w);
    (void)pthread_mutex_destroy(&w->lock);
    (void)pthread_cond_destroy(&w->work);
    free(w);
}
