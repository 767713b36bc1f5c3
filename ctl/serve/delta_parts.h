// SPDX-License-Identifier: Apache-2.0
//
// Inside ctl/serve/delta*.c only: what the maker of deltas is made of.
#pragma once

#include <pthread.h>

#include "ctl/rollout/bases.h"
#include "ctl/serve/delta.h"
#include "ctl/serve/repository_deltas.h"
#include "ctl/store/delta.h"

// Two bundles, by their ids. Zeroed: none.
struct serve_delta_pair {
    char bundle[KEYS_DIGEST_HEX];
    char base[KEYS_DIGEST_HEX];
};

// What one rollout's devices run, and what follows from it.
struct serve_delta_count {
    char rollout[BUNDLE_NAME_MAX + 1];
    struct rollout_bases bases;
    struct rollout_bases_plan plan;
};

struct serve_delta_counts {
    size_t n;
    struct serve_delta_count *of;
};

// What the maker's thread is to do next.
enum serve_delta_next {
    SERVE_DELTA_WAIT,  // SERVE_DELTA_LOOK_MS
    SERVE_DELTA_GO_ON, // SERVE_DELTA_SLICE_MS
    SERVE_DELTA_MAKE,  // a delta
};

struct serve_deltas {
    struct serve_server *server;
    pthread_t thread;
    int stop_fd; // an eventfd: readable when it is to end
    bool stopped;

    // The store's thread only.
    struct serve_repository_deltas role;
    char why_said[ERR_NAME_BYTES];        // code of the reason that was logged last
    int64_t started_s;                    // wall clock: attempts since then are this process's own
    struct serve_delta_counts last, walk; // the last whole count, and the one under way
    char after[BUNDLE_DEVICE_ID_MAX + 1]; // of the one under way: the last device
    bool walking;
    int64_t counted_s;            // wall clock, when the last began; 0: there was none
    int64_t counted_ms;           // and on the boot clock
    uint64_t counted_for;         // the rollouts that it was for
    bool stale;                   // what is worth it may be something else than was chosen
    int64_t chosen_ms;            // on the boot clock, when that was
    uint64_t chosen_seen;         // by which metadata
    struct serve_delta_pair made; // the pair that is being made
    // Heads of deltas that were forgotten, durably once the next look is taken: their files go then.
    size_t n_leaving;
    char leaving[SERVE_REPOSITORY_DELTAS_GONE][KEYS_DIGEST_HEX];
};

// ── ctl/serve/delta_count.c: what the fleet runs ──

// Whether a count is due, begins it, and goes on with it by one slice: 1 while it is under way.
enum { SERVE_DELTA_COUNTING = 1 };
int serve_delta_count_step(struct serve_deltas *deltas, struct store_db *db, int64_t now_ms,
                           struct err *e) __attribute__((nonnull));
void serve_delta_count_clear(struct serve_delta_counts *counts) __attribute__((nonnull));
// NULL when the rollout was not counted.
const struct serve_delta_count *serve_delta_count_find(const struct serve_deltas *deltas,
                                                       const char *rollout)
    __attribute__((nonnull));

// ── ctl/serve/delta_plan.c: what is made of it ──

// What the maker's thread is told.
struct serve_delta_orders {
    enum serve_delta_next next;
    struct serve_delta_pair pair; // with SERVE_DELTA_MAKE
};

// One look at everything, in a transaction; the one before has held, or was undone. Removes files
// that the one before found to be nobody's: here, as rows are made here too, so that an upload of the
// same delta either has its row by now, and keeps its file, or finds that this is gone.
int serve_delta_plan_step(struct serve_deltas *deltas, struct store_db *db, int64_t now_ms,
                          struct serve_delta_orders *ret, struct err *e) __attribute__((nonnull));
// The attempt at deltas->made is over: `made` is what came out, or NULL and why. With neither it
// was broken off.
int serve_delta_plan_end(struct serve_deltas *deltas, struct store_db *db, int64_t now_ms,
                         const struct store_delta *made, const struct err *why, struct err *e)
    __attribute__((nonnull(1, 2, 6)));

// ── ctl/serve/delta_file.c: files ──

// How much of the disk making a delta may take: contents of both, and the delta. Kinds: those of
// unpack_open, io.
int serve_delta_file_need(const struct serve_server *server, const struct serve_delta_pair *pair,
                          uint64_t *ret_bytes, struct err *e) __attribute__((nonnull));
// Whether there is room for so many bytes. Kinds: limit (more than allowed), no_space, io.
int serve_delta_file_check(const struct serve_server *server, uint64_t bytes, struct err *e)
    __attribute__((nonnull));
// Verifies what was made, that it is for this pair, and puts it among the bundles, durably. Kinds:
// those of unpack_delta_verify_digest; internal when it is for another pair; io.
int serve_delta_file_take(const struct serve_server *server, const struct serve_delta_pair *pair,
                          struct store_delta *ret, struct err *e) __attribute__((nonnull));
