// SPDX-License-Identifier: Apache-2.0
//
// The controller makes deltas by itself, in the background: from the bundles that the fleet runs to
// those that its running rollouts bring (ctl/rollout/bases.h says which are worth it). It counts
// what devices run when a rollout begins or comes to another stage, and every few minutes, a few
// hundred devices at a time so that nobody waits for it; then it makes what is wanted, one at a
// time, most devices first, in a child process that everybody else goes before
// (ctl/serve/delta_child.h); and names it in the repository with the key of the role deltas
// (ctl/serve/repository_deltas.h). Offers follow from that (ctl/serve/offer.h).
//
// What fails costs a line in the log and a row (ctl/store/making.h), never a check-in. It is tried
// again after SERVE_DELTA_RETRY_S, or after a restart; what would not be smaller than the bundle is
// not tried again. What is unfinished at an end is lost and begun anew.
//
// A thread of its own, which does the waiting; everything that is decided is decided on the store's
// thread.
#pragma once

#include <jansson.h>

#include "ctl/serve/engine.h"
#include "ctl/serve/server.h"

#define SERVE_DELTA_MEMORY_DEFAULT_BYTES (2ULL << 30)
#define SERVE_DELTA_MEMORY_MIN_BYTES     (64ULL << 20)
#define SERVE_DELTA_DISK_DEFAULT_BYTES   (64ULL << 30)
#define SERVE_DELTA_RESERVE_BYTES        (64ULL << 20) // of the disk that is left to others
#define SERVE_DELTA_TIME_DEFAULT_S       (6ULL * 3600)
#define SERVE_DELTA_RETRY_S              (6 * 3600)
#define SERVE_DELTA_COUNT_S              300 // a new count of the fleet at least so often
#define SERVE_DELTA_COUNT_PAUSE_S        15  // and at most
#define SERVE_DELTA_CHOOSE_S             30 // what is worth it is looked at again at least so often
#define SERVE_DELTA_SLICE                256  // devices at a time
#define SERVE_DELTA_SLICE_MS             50   // and a pause between
#define SERVE_DELTA_LOOK_MS              1000 // how often it is looked whether there is work

struct serve_deltas;

// Empties the folder of what was being made, and starts the thread. Kinds: memory, io.
int serve_delta_open(struct serve_server *server, struct serve_deltas **ret, struct err *e)
    __attribute__((nonnull));
// Kills the child and ends the thread; before the store's thread ends. Safe to repeat.
void serve_delta_stop(struct serve_deltas *deltas);
// Stops and frees; after the store's thread has ended.
void serve_delta_close(struct serve_deltas *deltas);

// Names in the repository what is to be named; a failure is said, and tried again later. The store's
// thread, as part of a tick.
void serve_delta_tick(struct serve_deltas *deltas, struct store_db *db, int64_t now_ms)
    __attribute__((nonnull));

// What a rollout has of deltas, as ctl/openapi.json has it: a new value. The store's thread. Kinds:
// memory, those of the store.
int serve_delta_show(const struct serve_deltas *deltas, struct store_db *db,
                     const struct serve_engine_rollout *rollout, json_t **ret, struct err *e)
    __attribute__((nonnull));
