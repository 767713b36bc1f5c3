// SPDX-License-Identifier: Apache-2.0
//
// The one thread that uses the store. Others hand it jobs; it runs all that have come in one
// transaction and commits once (group commit), so that a thousand check-ins cost one fsync. A job
// that fails is undone alone. A job is told that it is done only after the commit: what is
// acknowledged is durable.
#pragma once

#include <stddef.h>

#include "ctl/store/db.h"

#define STORE_WRITER_JOBS_MAX  16384 // waiting at the same time; more: overloaded
#define STORE_WRITER_BATCH_MAX 512   // jobs in one transaction

struct store_job {
    // Runs inside the transaction. Its effects outside of the store must wait for done.
    int (*run)(struct store_db *db, void *context, struct err *e);
    // Called after the commit with what run returned, or < 0 and why (run failed, or the commit
    // did). The job may be freed or submitted again here.
    void (*done)(void *context, int result, const struct err *e);
    void *context;
    // The writer's own.
    struct store_job *next;
    int result;
    struct err error;
};

struct store_writer;

// Starts the thread; consumes the store (NULL afterwards) and closes it in the end.
int store_writer_start(struct store_db **db, struct store_writer **ret, struct err *e)
    __attribute__((nonnull));
// From any thread, also from done. Kind overloaded; then done is not called.
int store_writer_submit(struct store_writer *writer, struct store_job *job, struct err *e)
    __attribute__((nonnull));
// Runs what is waiting, ends the thread, closes the store. Jobs submitted from now on are refused.
// Safe to repeat.
void store_writer_stop(struct store_writer *writer);
// Stops and frees.
void store_writer_free(struct store_writer *writer);
