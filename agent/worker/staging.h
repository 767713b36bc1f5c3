// SPDX-License-Identifier: Apache-2.0
//
// One update being staged by the job `fetch`, in whichever packing: opened, verified, shown to the
// agent, and streamed into <n>.partial. A job that goes from a delta to the bundle stages the same update twice: the
// agent's word holds for both, files that came out right are kept, and nothing else of the
// first is left.
#pragma once

#include "agent/worker/slots.h"
#include "agent/worker/spend.h"
#include "bundle/unpack/delta.h"
#include "bundle/unpack/stage.h"
#include "keys/root.h"

struct worker_staging {
    struct worker_voice *voice;
    const struct keys_root *root;
    struct worker_spend *spend;     // NULL: it is a file at hand
    const struct keys_digest *head; // of a delta, by the targets; NULL: its signatures say
    uint64_t head_bytes;
    bool proceeds;             // the agent's word was heard
    bool alone;                // what runs was found damaged: the bundle is taken whole
    struct worker_slots slots; // of images
    uint64_t total;            // bytes of contents
};

// Opens a bundle and verifies its manifest. keep (or NULL) gets the manifest member as it came.
int worker_staging_open(const struct unpack_source *source, const struct keys_root *root,
                        struct buf *keep, struct unpack_bundle **ret, struct err *e)
    __attribute__((nonnull(1, 2, 4, 5)));
// Begins: `voice` and `root` are borrowed.
void worker_staging_init(struct worker_staging *ret, struct worker_voice *voice,
                         const struct keys_root *root) __attribute__((nonnull));
// Stages a bundle. Kinds of unpack, worker_failed when the agent refuses, digest_mismatch when it is
// not the one that was offered.
int worker_staging_bundle(struct worker_staging *s, const struct unpack_source *source,
                          struct err *e) __attribute__((nonnull));
// Stages from a delta that was opened; consumes it. Also bad_generation: what it starts from is damaged.
int worker_staging_delta(struct worker_staging *s, const struct unpack_source *source,
                         struct unpack_delta_candidate **candidate, struct err *e)
    __attribute__((nonnull));
// Closes the slots.
void worker_staging_clear(struct worker_staging *s) __attribute__((nonnull));
#define own_drop_staging worker_staging_clear

static inline void own_drop_bundle(struct unpack_bundle **bundle) {
    unpack_bundle_free(*bundle);
}
