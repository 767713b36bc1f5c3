// SPDX-License-Identifier: Apache-2.0
//
// What is to become of each content of NEW, worked out before any of them is touched. The trees and
// the map are decoded; then trees, map and old contents are walked side by side, what the map says
// is compared with digests, and a row for each content goes into a table on disk. A map that lies
// is refused here (bad_delta), a tree that breaks a rule too (bad_tree, bad_path).
//
// Whoever applies the plan (staging, checking) says through an ops table where trees go, makes
// directories and links, and tells which contents need nothing.
#pragma once

#include "bundle/tree.h"
#include "bundle/unpack/delta/base.h"
#include "bundle/unpack/delta/stream.h"
#include "bundle/unpack/scratch.h"

enum delta_plan_way {
    DELTA_PLAN_CODED, // its bytes are in the new stream
    DELTA_PLAN_BASE,  // old content number `other` is the same
    DELTA_PLAN_REPEAT // new content number `other`, an earlier one, is the same
};

// What there is to do about it, by the word of the ops.
enum delta_plan_need {
    DELTA_PLAN_MAKE,  // make it
    DELTA_PLAN_KEEP,  // it is in its place, whole
    DELTA_PLAN_LEAVE, // the previous generation has it at the same path
    DELTA_PLAN_GO_ON  // coded; the first bytes of it are in their place
};

struct delta_plan_content {
    uint64_t number;
    uint32_t component;
    enum delta_plan_way way;
    enum delta_plan_need need;
    uint64_t other;
    uint64_t position; // in the coded contents: of its bytes, or of those that would come next
    struct bundle_tree_entry entry; // of an image only size and digest; the path is ""
};

struct delta_plan_ops {
    // A file for a tree, empty or (*ret_kept) whole already; it stays the ops' own, which keep it
    // open.
    int (*tree)(void *context, uint32_t component, int *ret_fd, bool *ret_kept, struct err *e);
    // A component begins; then its entries come in order.
    int (*component)(void *context, uint32_t component, struct err *e);
    int (*entry)(void *context, const struct bundle_tree_entry *entry, struct err *e); // no file
    // Decides about a content. *ret_have: with GO_ON, how many bytes are there.
    int (*content)(void *context, const struct delta_plan_content *content,
                   enum delta_plan_need *ret, uint64_t *ret_have, struct err *e);
};

struct delta_plan {
    struct delta_stream *stream;
    struct unpack_delta_base *base;
    const struct delta_plan_ops *ops;
    void *context;
    const struct bundle_manifest_view *view;
    int map_fd; // an empty file, the caller's
    int trees[BUNDLE_COMPONENTS_MAX];
    struct unpack_scratch rows;
    uint64_t coded_bytes;
    uint8_t needed[BUNDLE_DELTA_FRAMES_MAX / 8]; // frames of coded contents, a bit each
};

// Fills in the rest from what is set above. table_fd: an empty file, the caller's. Kinds:
// bad_delta, bad_tree, bad_path, those of stream, base and ops.
int delta_plan_make(struct delta_plan *plan, int table_fd, struct err *e) __attribute__((nonnull));
// Content `number` as planned.
int delta_plan_content(struct delta_plan *plan, uint64_t number, struct delta_plan_content *ret,
                       struct err *e) __attribute__((nonnull));
bool delta_plan_needs(const struct delta_plan *plan, uint64_t frame) __attribute__((nonnull));
// Where the first frame of coded contents begins in the new stream.
uint64_t delta_plan_border(const struct delta_plan *plan) __attribute__((nonnull));
