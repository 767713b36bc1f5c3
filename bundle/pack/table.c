// SPDX-License-Identifier: Apache-2.0
//
// Chunks in stream order, deduplicated, and their frames.
#include "bundle/pack/table.h"

#include <stdlib.h>
#include <string.h>

#include "bundle/kind.h"
#include "bundle/pack/reference.h"

#define SLOTS_MIN 1024

void pack_table_init(struct pack_table *t, uint64_t frame_max,
                     const struct pack_reference *reference) {
    memset(t, 0, sizeof *t);
    t->reference = reference;
    for (size_t i = 0; i < 2; i++)
        t->groups[i].border = true;
    t->frame_max = frame_max;
    t->groups[BUNDLE_INDEX_KNOWN].frame_max =
        frame_max < PACK_TABLE_TREE_FRAME_BYTES ? frame_max : PACK_TABLE_TREE_FRAME_BYTES;
    t->groups[BUNDLE_INDEX_FRESH].frame_max =
        frame_max < BUNDLE_FRAME_FRESH_BYTES ? frame_max : BUNDLE_FRAME_FRESH_BYTES;
}

void pack_table_clear(struct pack_table *t) {
    free(t->contents);
    free(t->chunks);
    free(t->slots);
    for (size_t i = 0; i < 2; i++)
        free(t->groups[i].frames);
    free(t->frames);
    memset(t, 0, sizeof *t);
}

// Makes room for one more of an array of elements.
static int grow(void **array, size_t n, size_t *max, size_t element, struct err *e) {
    if (n < *max)
        return 0;
    size_t more = *max ? 2 * *max : 256, bytes;
    void *moved = __builtin_mul_overflow(more, element, &bytes) ? NULL : realloc(*array, bytes);
    if (!moved)
        return err_set(e, &err_memory, "a table of %zu rows", n);
    *array = moved;
    *max = more;
    return 0;
}

// The slot of a digest: the one that holds it, or the empty one where it belongs. Digests are as
// good as random, so their first bytes are the hash.
static size_t find_slot(const struct pack_table *t, const uint8_t *digest, uint32_t bytes) {
    uint64_t hash;
    memcpy(&hash, digest, sizeof hash);
    size_t at = (size_t)hash & (t->n_slots - 1);
    while (t->slots[at]) {
        const struct pack_table_chunk *c = &t->chunks[t->slots[at] - 1];
        if (c->bytes == bytes && memcmp(c->digest, digest, sizeof c->digest) == 0)
            return at;
        at = (at + 1) & (t->n_slots - 1);
    }
    return at;
}

// At most half of the slots are taken.
static int make_slots(struct pack_table *t, struct err *e) {
    if (t->n_slots >= 2 * (t->n_chunks + 1))
        return 0;
    size_t n = t->n_slots ? 2 * t->n_slots : SLOTS_MIN;
    uint32_t *slots = calloc(n, sizeof *slots), *old = t->slots;
    size_t n_old = t->n_slots;
    if (!slots)
        return err_set(e, &err_memory, "a table of %zu chunks", t->n_chunks);
    t->slots = slots;
    t->n_slots = n;
    for (size_t i = 0; i < n_old; i++)
        if (old[i]) {
            const struct pack_table_chunk *c = &t->chunks[old[i] - 1];
            slots[find_slot(t, c->digest, c->bytes)] = old[i];
        }
    free(old);
    return 0;
}

// Gives a chunk seen first its place: in the last frame of its group, or in a new one when that is
// full.
static int place(struct pack_table *t, struct pack_table_chunk *c, struct err *e) {
    struct pack_table_group *g = &t->groups[c->what];
    struct pack_table_frame *last = g->n_frames ? &g->frames[g->n_frames - 1] : NULL;
    if (g->border || !last || last->row.raw_bytes + c->bytes > g->frame_max) {
        void *array = g->frames;
        if (grow(&array, g->n_frames, &g->max_frames, sizeof *g->frames, e) < 0)
            return -1;
        g->frames = array;
        last = &g->frames[g->n_frames++];
        *last = (struct pack_table_frame){.row = {.raw = g->raw_bytes},
                                          .chunk = t->n_chunks,
                                          .content = t->n_contents,
                                          .offset = t->stream_bytes - t->content_start};
        g->border = false;
    }
    c->raw = g->raw_bytes;
    last->row.raw_bytes += c->bytes;
    g->raw_bytes += c->bytes;
    return 0;
}

static int add_piece(struct pack_table *t, const struct pack_content *content,
                     const struct pack_piece *piece, struct err *e) {
    void *array = t->chunks;
    if (t->n_chunks == BUNDLE_INDEX_CHUNKS_MAX)
        return err_set(e, &err_limit, "more than %lld chunks", BUNDLE_INDEX_CHUNKS_MAX);
    if (grow(&array, t->n_chunks, &t->max_chunks, sizeof *t->chunks, e) < 0)
        return -1;
    t->chunks = array;
    if (make_slots(t, e) < 0)
        return -1;
    struct pack_table_chunk *c = &t->chunks[t->n_chunks];
    *c = (struct pack_table_chunk){
        .raw = UINT64_MAX, .bytes = piece->bytes, .what = BUNDLE_INDEX_KNOWN};
    memcpy(c->digest, piece->digest, sizeof c->digest);
    size_t slot = find_slot(t, piece->digest, piece->bytes);
    if (t->slots[slot]) {
        c->what = BUNDLE_INDEX_REPEATS + (t->slots[slot] - 1);
    } else {
        if (t->reference && !content->memory && !pack_reference_has(t->reference, content, piece))
            c->what = BUNDLE_INDEX_FRESH;
        if (place(t, c, e) < 0)
            return -1;
        t->slots[slot] = (uint32_t)t->n_chunks + 1;
    }
    t->n_chunks++;
    t->stream_bytes += piece->bytes;
    return 0;
}

int pack_table_add(struct pack_table *t, struct pack_content *content, struct err *e) {
    void *array = t->contents;
    if (grow(&array, t->n_contents, &t->max_contents, sizeof *t->contents, e) < 0)
        return -1;
    t->contents = array;
    t->contents[t->n_contents] = content; // counted when its chunks are in: frames name it before
    t->content_start = t->stream_bytes;
    content->first_chunk = t->n_chunks;
    content->n_chunks = content->n_pieces;
    for (size_t i = 0; i < content->n_pieces; i++)
        if (add_piece(t, content, &content->pieces[i], e) < 0)
            return -1;
    t->n_contents++;
    free(content->pieces);
    content->pieces = NULL;
    content->n_pieces = content->max_pieces = 0;
    if (t->stream_bytes > BUNDLE_STREAM_MAX_BYTES)
        return err_set(e, &err_limit, "contents of more than %lld bytes", BUNDLE_STREAM_MAX_BYTES);
    return 0;
}

void pack_table_border(struct pack_table *t) {
    t->groups[BUNDLE_INDEX_KNOWN].border = true;
    t->groups[BUNDLE_INDEX_KNOWN].frame_max = t->frame_max;
    t->trees_end = t->groups[BUNDLE_INDEX_KNOWN].raw_bytes;
}

int pack_table_finish(struct pack_table *t, struct err *e) {
    const struct pack_table_group *known = &t->groups[BUNDLE_INDEX_KNOWN];
    const struct pack_table_group *fresh = &t->groups[BUNDLE_INDEX_FRESH];
    size_t n = known->n_frames + fresh->n_frames;
    t->frames = calloc(n ? n : 1, sizeof *t->frames);
    if (!t->frames)
        return err_set(e, &err_memory, "a table of %zu frames", n);
    for (size_t i = 0; i < known->n_frames; i++)
        t->frames[i] = known->frames[i];
    for (size_t i = 0; i < fresh->n_frames; i++) {
        t->frames[known->n_frames + i] = fresh->frames[i];
        t->frames[known->n_frames + i].row.raw += known->raw_bytes;
    }
    for (size_t i = 0; i < t->n_chunks; i++)
        if (t->chunks[i].what == BUNDLE_INDEX_FRESH)
            t->chunks[i].raw += known->raw_bytes;
    t->n_frames = n;
    t->fresh_start = known->raw_bytes;
    t->raw_bytes = known->raw_bytes + fresh->raw_bytes;
    return 0;
}
