// SPDX-License-Identifier: Apache-2.0
//
// Taking in a bundle or a delta: it is streamed into a temporary, then read and verified whole by a
// thread of its own (signatures by the role bundle of our root, every digest; of a bundle every
// frame is decoded, of a delta none is, since the contents that it starts from are not at hand),
// then put in its place durably, and only then known to the store. What fails on the way leaves
// nothing behind.
//
// Whether devices may decode a delta is not decided here: the targets name it, or do not.
#pragma once

#include "ctl/serve/work.h"

#define SERVE_PUBLISH_UPLOADS_MAX 4 // at the same time; more: overloaded
#define SERVE_PUBLISH_DECODE_MAX  (8 * 1024 * 1024)

struct serve_publisher;

int serve_publish_open(struct serve_server *server, struct serve_publisher **ret, struct err *e)
    __attribute__((nonnull));
// Ends the thread; uploads that come to their end from now on are refused. Safe to repeat.
void serve_publish_stop(struct serve_publisher *publisher);
// Stops and frees, when no call is left.
void serve_publish_close(struct serve_publisher *publisher);

// Begins to take in `bytes`: the space is reserved first. Kinds: overloaded, no_space, io.
int serve_publish_begin(struct serve_call *call, uint64_t bytes, struct err *e)
    __attribute__((nonnull));
int serve_publish_write(struct serve_call *call, const void *data, size_t len, struct err *e)
    __attribute__((nonnull));
// All is here: verify (the route's `take`), place, then on to the store and ready.
void serve_publish_submit(struct serve_publisher *publisher, struct serve_work *work)
    __attribute__((nonnull));

// POST /api/v1/releases: the publisher's and the store's part.
int serve_publish_take(struct serve_call *call, struct err *e) __attribute__((nonnull));
int serve_publish_run(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
// POST /api/v1/deltas, likewise. Kinds: bad_delta, those of unpack_delta_verify_digest and
// unpack_delta_check_stored; not_found when one of both bundles was not published here.
int serve_publish_take_delta(struct serve_call *call, struct err *e) __attribute__((nonnull));
int serve_publish_run_delta(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
