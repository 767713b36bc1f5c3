// SPDX-License-Identifier: Apache-2.0
//
// How much may wait for the store's thread: what is above is refused, what was taken is done.
#include <criterion/criterion.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ctl/store/writer.h"
#include "tests/support/tmp.h"

#define must(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            cr_assert_fail("%s: %s", #call, e.text);                                               \
    } while (0)

// The store's thread waits in this job until it is let go.
struct gate {
    struct store_job job;
    sem_t entered, open;
};

static int hold(struct store_db *db, void *context, struct err *e) {
    struct gate *gate = context;
    (void)db;
    (void)e;
    (void)sem_post(&gate->entered);
    while (sem_wait(&gate->open) < 0)
        ;
    return 0;
}

static int nothing(struct store_db *db, void *context, struct err *e) {
    (void)db;
    (void)context;
    (void)e;
    return 0;
}

static void ignore(void *context, int result, const struct err *e) {
    (void)context;
    (void)result;
    (void)e;
}

static void count(void *context, int result, const struct err *e) {
    (void)e;
    atomic_fetch_add((atomic_size_t *)context, result == 0);
}

Test(store_limits, jobs_that_wait, .timeout = 1200) {
    struct tmp_dir dir = tmp_dir_make();
    char path[TMP_PATH_BYTES + 16];
    struct store_db *db = NULL;
    struct store_writer *writer = NULL;
    struct err e = ERR_NONE;
    struct gate gate = {.job = {.run = hold, .done = ignore, .context = &gate}};
    struct store_job *jobs = calloc(STORE_WRITER_JOBS_MAX + 1, sizeof *jobs);
    atomic_size_t done = 0;
    cr_assert_not_null(jobs);
    (void)sem_init(&gate.entered, 0, 0);
    (void)sem_init(&gate.open, 0, 0);
    (void)snprintf(path, sizeof path, "%s/store.db", dir.path);
    must(store_db_open(path, &db, &e));
    must(store_writer_start(&db, &writer, &e));
    must(store_writer_submit(writer, &gate.job, &e));
    while (sem_wait(&gate.entered) < 0)
        ;
    for (size_t i = 0; i <= STORE_WRITER_JOBS_MAX; i++)
        jobs[i] = (struct store_job){.run = nothing, .done = count, .context = &done};
    for (size_t i = 0; i < STORE_WRITER_JOBS_MAX; i++)
        must(store_writer_submit(writer, &jobs[i], &e));
    struct store_job *surplus = &jobs[STORE_WRITER_JOBS_MAX];
    cr_expect_lt(store_writer_submit(writer, surplus, &e), 0, "one too many");
    cr_expect_str_eq(e.kind->name, "overloaded");
    err_clear(&e);
    (void)sem_post(&gate.open);
    // There is room again as soon as the first batch is taken.
    for (int i = 0; i < 100000 && store_writer_submit(writer, surplus, &e) < 0; i++) {
        err_clear(&e);
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    store_writer_stop(writer);
    cr_expect_eq(atomic_load(&done), (size_t)STORE_WRITER_JOBS_MAX + 1, "each is told, once");
    store_writer_free(writer);
    free(jobs);
    tmp_dir_remove(&dir);
}
