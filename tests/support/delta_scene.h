// SPDX-License-Identifier: Apache-2.0
//
// A small delta with all that a delta can have, by an encoder of its own: a content made by a copy
// with differences, one that moved, one that repeats, one that stays, a new one, an empty one.
// Tests change its parts before it is written. Aborts instead of failing.
#pragma once

#include "bundle/delta.h"
#include "bundle/unpack/delta.h"
#include "tests/support/forge.h"

#define DELTA_SCENE_FRAMES 8
#define DELTA_SCENE_DECODE (8ULL << 20)

// Contents of NEW's files in tree order: a (coded), away (moved, base), copy (repeats a), d/same
// (base), fresh (coded), z (empty, coded).
#define DELTA_SCENE_FILES 6
extern const char *const delta_scene_paths[DELTA_SCENE_FILES];
extern const char *const delta_scene_contents[DELTA_SCENE_FILES];

// Frames: trees, map, a, fresh.
enum { DELTA_SCENE_TREE, DELTA_SCENE_MAP, DELTA_SCENE_A, DELTA_SCENE_FRESH };

struct delta_scene {
    struct buf old_tree, new_tree;
    struct buf manifest; // NEW's, with padding
    struct keys_digest id;
    struct buf stored[DELTA_SCENE_FRAMES];
    uint64_t out[DELTA_SCENE_FRAMES];
    size_t n_frames, n_tree_frames, n_map_frames;
    struct bundle_delta_component base;
    uint64_t decode_bytes;
    void (*edit)(struct bundle_delta_head *head); // before it is signed; NULL: nothing
    void (*edit_rows)(uint8_t *rows);             // before their digest is taken
    bool unsigned_head;                           // no signatures
};

void delta_scene_make(struct delta_scene *s);
void delta_scene_clear(struct delta_scene *s);
static inline void own_drop_delta_scene(struct delta_scene *s) {
    delta_scene_clear(s);
}
// The whole file; *ret is the caller's.
void delta_scene_write(const struct delta_scene *s, struct buf *ret);
// The generation that it starts from, in an empty directory.
void delta_scene_generation(const struct delta_scene *s, int dir);
// A root that lets key 0 sign bundles (keys_root_free).
struct keys_root *delta_scene_root(void);

// Replaces a frame's stored bytes: codec, compressor none and the bytes.
void delta_scene_plain(struct delta_scene *s, size_t frame, struct slice bytes);
// The same for a copy frame from raw streams, none of them compressed.
void delta_scene_copy(struct delta_scene *s, size_t frame,
                      const struct slice streams[static BUNDLE_DELTA_STREAMS], uint64_t out);
// Opens and verifies by the root above.
int delta_scene_open(const struct unpack_source *source, struct unpack_delta **ret, struct err *e);
// Opens, verifies and checks against a generation.
int delta_scene_check(struct slice bytes, int generation, struct err *e);
// Opens, verifies and stages into `target`. `break_after`: of struct forge_memory.
struct unpack_stage_result;
int delta_scene_stage(struct slice bytes, int generation, int target, bool resume,
                      uint64_t break_after, struct unpack_stage_result *ret, struct err *e);
