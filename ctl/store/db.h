// SPDX-License-Identifier: Apache-2.0
//
// The fleet store: one file, used by one process at a time. Everything the controller may not
// forget is in it; what is acknowledged was committed first (WAL, synchronous=FULL: a commit is one
// fsync).
//
// A struct store_db is used by one thread, that of the writer (ctl/store/writer.h); all functions
// of this folder that take one run there, inside a transaction that the writer began.
//
// The schema keeps to what sharded SQL engines do well, so that another engine can take its place:
// bucket = hash(device id) leads the key of everything a check-in touches, no sequence is drawn
// there, and a check-in's transaction stays within its bucket (tallies are kept per bucket and
// summed).
//
// Kinds: busy (another process has it), newer_format (schema of a newer program), bad_store
// (damaged, or not one of ours), no_space, read_only, io, memory.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define STORE_DB_SCHEMA  6
#define STORE_DB_BUCKETS 256

struct store_db;

// Opens or creates the file. The caller's.
int store_db_open(const char *path, struct store_db **ret, struct err *e) __attribute__((nonnull));
void store_db_close(struct store_db *db);

// One transaction, and marks inside it to go back to. After a failed commit nothing of it holds.
int store_db_begin(struct store_db *db, struct err *e) __attribute__((nonnull));
int store_db_commit(struct store_db *db, struct err *e) __attribute__((nonnull));
void store_db_rollback(struct store_db *db) __attribute__((nonnull));
int store_db_mark(struct store_db *db, struct err *e) __attribute__((nonnull));
int store_db_keep(struct store_db *db, struct err *e) __attribute__((nonnull));
int store_db_undo(struct store_db *db, struct err *e) __attribute__((nonnull));

// The bucket of a device.
unsigned store_db_bucket(const char *device) __attribute__((nonnull));

// Small facts of the controller itself (its token key). STORE_ABSENT when there is none; len is
// exact.
enum { STORE_ABSENT = 1 };
int store_db_get_meta(struct store_db *db, const char *key, void *ret, size_t len, struct err *e)
    __attribute__((nonnull));
int store_db_put_meta(struct store_db *db, const char *key, const void *value, size_t len,
                      struct err *e) __attribute__((nonnull));
