// SPDX-License-Identifier: Apache-2.0
//
// Planning a staging: where chunks come from, and which frames that leaves.
#include "bundle/unpack/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "bundle/kind.h"
#include "bundle/unpack/plan/chunks.h"
#include "bundle/unpack/plan/pages.h"
#include "bundle/unpack/plan/walk.h"

int unpack_plan_open(struct unpack_plan *p, const int fds[static UNPACK_PLAN_FILES],
                     struct err *e) {
    uint64_t n_pages = bundle_index_pages(unpack_stream_index(p->stream));
    unpack_held_init(&p->held, fds[UNPACK_PLAN_HELD_FILE], 0, 0);
    unpack_scratch_init(&p->chunks, fds[UNPACK_PLAN_CHUNKS_FILE]);
    unpack_scratch_init(&p->runs[BUNDLE_INDEX_KNOWN], fds[UNPACK_PLAN_KNOWN_FILE]);
    unpack_scratch_init(&p->runs[BUNDLE_INDEX_FRESH], fds[UNPACK_PLAN_FRESH_FILE]);
    p->chunk = malloc(BUNDLE_CHUNK_MAX_BYTES);
    p->pages = calloc(n_pages / 8 + 1, 1);
    if (!p->chunk || !p->pages)
        return err_set(e, &err_memory, "planning an installation");
    // From a source that is near nothing is copied.
    unpack_old_open(&p->old, p->view, p->how->previous_dir, p->is_far ? p->how->older_dir : -1,
                    p->how->old_images);
    return 0;
}

void unpack_plan_clear(struct unpack_plan *p) {
    unpack_old_clear(&p->old);
    unpack_held_clear(&p->held);
    free(p->chunk);
    free(p->pages);
    p->chunk = p->pages = NULL;
}

static bool is_files(const struct unpack_plan *p, size_t number) {
    return p->view->components[number].type == BUNDLE_COMPONENT_FILES;
}

static int cut_trees(struct unpack_plan *p, struct err *e) {
    uint64_t bytes = 0;
    if (!p->is_far)
        return 0;
    for (size_t i = 0; i < UNPACK_OLD_COMPONENTS; i++)
        bytes += p->old.components[i].tree >= 0 ? p->old.components[i].bytes : 0;
    unpack_held_init(&p->held, p->held.fd, bytes, 2 * p->view->n_components);
    for (size_t i = 0; i < UNPACK_OLD_COMPONENTS; i++) {
        const struct unpack_old_component *old = &p->old.components[i];
        const struct unpack_held_place place = {(uint32_t)i, UNPACK_HELD_WHOLE, 0};
        if (old->tree >= 0 && unpack_held_cut(&p->held, old->tree, old->bytes, &place, e) < 0)
            return -1;
    }
    return 0;
}

int unpack_plan_trees(struct unpack_plan *p, const int *trees, struct err *e) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < p->view->n_components; i++)
        bytes += is_files(p, i) ? p->view->components[i].size : 0;
    if (plan_pages_mark_content(p, 0, bytes, e) < 0 || plan_pages_fetch(p, e) < 0 ||
        cut_trees(p, e) < 0)
        return -1;
    for (size_t i = 0; i < p->view->n_components; i++)
        if (is_files(p, i) && plan_chunks_take(p, p->view->components[i].size, trees[i], e) < 0)
            return err_prefix(e, "the tree of %s", p->view->components[i].name);
    unpack_stream_return(p->stream, 0);
    return plan_chunks_end(p, e) < 0 ? -1 : plan_pages_fetch(p, e);
}

int unpack_plan_contents(struct unpack_plan *p, const int *trees, struct err *e) {
    uint64_t start = unpack_stream_position(p->stream);
    for (size_t i = 0; i < 2; i++)
        unpack_scratch_init(&p->runs[i], p->runs[i].fd);
    if (plan_walk(p, PLAN_WALK_MARK, trees, e) < 0 || plan_pages_fetch(p, e) < 0)
        return -1;
    // The rows of the trees' chunks have served.
    unpack_held_clear(&p->held);
    if (fs_truncate(p->held.fd, 0, e) < 0)
        return -1;
    unpack_held_init(&p->held, p->held.fd, p->old_bytes, p->old_contents);
    p->fetch_bytes = p->reused_bytes = p->kept_bytes = 0;
    if ((p->is_far && plan_walk(p, PLAN_WALK_CUT, trees, e) < 0) ||
        plan_walk(p, PLAN_WALK_PLAN, trees, e) < 0 || plan_chunks_end(p, e) < 0 ||
        plan_pages_fetch(p, e) < 0)
        return -1;
    unpack_stream_return(p->stream, start);
    return 0;
}

size_t unpack_plan_group(const struct unpack_plan *p, const struct unpack_piece *piece) {
    return piece->raw < bundle_index_head(unpack_stream_index(p->stream))->fresh_start
               ? BUNDLE_INDEX_KNOWN
               : BUNDLE_INDEX_FRESH;
}

bool unpack_plan_has_two_passes(const struct unpack_plan *p) {
    return p->runs[BUNDLE_INDEX_KNOWN].n > 0 && p->runs[BUNDLE_INDEX_FRESH].n > 0;
}

void unpack_plan_rewind(struct unpack_plan *p) {
    p->next_chunk = 0;
}

int unpack_plan_look(struct unpack_plan *p, uint64_t stream, struct unpack_plan_chunk *ret,
                     struct err *e) {
    struct unpack_scratch_row row = {.key = 0};
    *ret = (struct unpack_plan_chunk){.way = UNPACK_PLAN_MAKE};
    for (; p->next_chunk < p->chunks.n; p->next_chunk++) {
        if (unpack_scratch_get(&p->chunks, p->next_chunk, &row, e) < 0)
            return -1;
        if (row.key >= stream)
            break;
    }
    if (p->next_chunk == p->chunks.n || row.key != stream)
        return 0;
    ret->way = row.b == UNPACK_PLAN_KEPT ? UNPACK_PLAN_KEEP : UNPACK_PLAN_COPY;
    ret->place = (struct unpack_held_place){(uint32_t)(row.b >> UNPACK_PLAN_POSITION_BITS), row.a,
                                            row.b & ((1ULL << UNPACK_PLAN_POSITION_BITS) - 1)};
    return 0;
}

int unpack_plan_expect(struct unpack_plan *p, const struct unpack_piece *piece, struct err *e) {
    struct unpack_scratch_row run = {.key = 0};
    struct bundle_index_frame row;
    if (!p->source->expect)
        return 0;
    if (bundle_index_frame(unpack_stream_index(p->stream), piece->frame, &row, e) < 0)
        return -1;
    uint64_t end = row.offset + row.stored_bytes;
    int r = unpack_scratch_find(&p->runs[unpack_plan_group(p, piece)], piece->frame, &run, e);
    if (r < 0)
        return -1;
    if (r == 0 && piece->frame < run.b)
        end = run.a;
    unpack_source_expect(p->source, p->data_offset + row.offset, end - row.offset);
    return 0;
}
