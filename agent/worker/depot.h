// SPDX-License-Identifier: Apache-2.0
//
// Where the TUF client (keys/tuf/client.h) of a refresh and of its judgement keeps files: the
// trusted ones, which nobody here writes, below the ones that this run accepted.
//
// An accepted file lies in the incoming directory under the name by which it was served
// ("4.snapshot.json"), so that the same directory is the judge's repository. What was accepted, in
// order, is the list of steps that the verdict hands to the agent (agent/trust/verdict.h).
//
// A root is accepted only when the agent would advance to it as well (keys/root.h), which is
// stricter than TUF's specification: canonical, Ed25519 alone, smaller. So what the agent would
// refuse after all the work is refused before it, by its own reason.
#pragma once

#include <stdbool.h>

#include "agent/trust/verdict.h"
#include "base/buf.h"

struct worker_depot_step {
    char to[TRUST_VERDICT_FILE_MAX + 1];
    char from[TRUST_VERDICT_FILE_MAX + 1]; // "": forgotten
    uint64_t bytes;
    struct keys_digest digest;
};

struct worker_depot {
    int incoming;
    int trusted;
    bool writes; // puts accepted files into incoming; else they are there already
    size_t n_steps;
    struct worker_depot_step *steps; // owned
    size_t n_served;
    char (*served)[TRUST_VERDICT_FILE_MAX + 1]; // owned: every name that was fetched
    struct keys_root *root; // owned: the last one that was accepted; NULL: the trusted one
};

void worker_depot_clear(struct worker_depot *depot) __attribute__((nonnull));
#define own_drop_depot worker_depot_clear

// To be told of each file that was fetched, by its served name. Kind limit.
int worker_depot_served(struct worker_depot *depot, const char *name, struct err *e)
    __attribute__((nonnull));
// Whether the incoming directory has a file of that name: 0 or TUF_ABSENT.
int worker_depot_read(int dir, const char *name, size_t max_bytes, struct buf *ret, struct err *e)
    __attribute__((nonnull));

// The client's operations; context is the depot.
int worker_depot_load(void *depot, const char *name, size_t max_bytes, struct buf *ret,
                      struct err *e) __attribute__((nonnull));
int worker_depot_store(void *depot, const char *name, struct slice bytes, struct err *e)
    __attribute__((nonnull));
int worker_depot_forget(void *depot, const char *name, struct err *e) __attribute__((nonnull));
