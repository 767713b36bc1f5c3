// SPDX-License-Identifier: Apache-2.0
//
// What became of the deltas that the controller makes by itself: at most one row for each pair of
// bundles, of the last attempt. What was made is a delta like any other (ctl/store/delta.h); here
// stands that it is the controller's to name, whoever else sent the same one.
#pragma once

#include "bundle/limits.h"
#include "ctl/store/db.h"
#include "keys/digest.h"

struct store_making {
    char bundle[KEYS_DIGEST_HEX]; // id of the bundle that it leads to
    char base[KEYS_DIGEST_HEX];   // id of the bundle that it starts from
    char head[KEYS_DIGEST_HEX];   // of the delta; "": there is none, and code and text say why
    int64_t at_s;                 // when the attempt ended
    char code[ERR_NAME_BYTES];    // name of a kind of error; no_gain: the bundle is smaller
    char text[BUNDLE_REPORT_TEXT_MAX + 1];
};

// Adds it, or takes the place of the row of this pair.
int store_making_put(struct store_db *db, const struct store_making *making, struct err *e)
    __attribute__((nonnull));
// STORE_ABSENT when this pair was not tried.
int store_making_get(struct store_db *db, const char *bundle, const char *base,
                     struct store_making *ret, struct err *e) __attribute__((nonnull));
typedef int (*store_making_visit)(void *context, const struct store_making *making, struct err *e);
// Those for a bundle (NULL: all), the oldest attempt first; visit < 0 fails, > 0 ends early.
int store_making_list(struct store_db *db, const char *bundle, store_making_visit visit,
                      void *context, struct err *e) __attribute__((nonnull(1, 3, 5)));
// Forgets it.
int store_making_drop(struct store_db *db, const char *bundle, const char *base, struct err *e)
    __attribute__((nonnull));
