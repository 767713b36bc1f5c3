// SPDX-License-Identifier: Apache-2.0
//
// Contents on their way into files.
#include "bundle/unpack/content.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/tree.h"

int unpack_content_init(struct unpack_content *c, int places_fd, struct err *e) {
    unpack_scratch_init(&c->places, places_fd);
    c->again_fd = -1;
    c->run_bytes = 0;
    c->chunk = malloc(BUNDLE_CHUNK_MAX_BYTES);
    return c->chunk ? 0 : err_set(e, &err_memory, "staging");
}

void unpack_content_clear(struct unpack_content *c) {
    free(c->chunk);
    c->chunk = NULL;
    own_drop_fd(&c->again_fd);
    c->again_fd = -1;
}

// What is settled is said in steps of this.
#define SETTLE_BYTES (1024ULL * 1024)

static int put(const struct unpack_content *c, int fd, const void *data, size_t len,
               uint64_t offset, struct err *e) {
    return c->slot ? bundle_image_write(c->slot, data, len, offset, e)
                   : fs_pwrite(fd, data, len, offset, e);
}

static int remember(struct unpack_content *c, const struct unpack_content_place *place,
                    uint64_t size, struct err *e) {
    if (size == 0 || c->pass == UNPACK_CONTENT_SECOND || !unpack_stream_repeats(c->stream))
        return 0;
    const struct unpack_scratch_row row = {
        .key = unpack_stream_position(c->stream), .a = place->tree_offset, .b = place->component};
    return unpack_scratch_add(&c->places, &row, e);
}

static int open_component_file(int dir, const char *component, const char *path, int *ret,
                               struct err *e) {
    OWN(fd) int parent = -1;
    if (fs_open_dir(dir, component, &parent, e) < 0)
        return -1;
    return fs_open_read(parent, path, ret, e);
}

// Opens the file of a place: as staged, or the previous generation's when it was left out.
static int open_place(struct unpack_content *c, const struct unpack_scratch_row *place, int *ret,
                      struct err *e) {
    const char *component = c->view->components[place->b].name;
    struct bundle_tree_entry entry;
    if (bundle_tree_at(c->trees[place->b], place->a, &entry, e) < 0)
        return -1;
    int r = open_component_file(c->target_dir, component, entry.path, ret, e);
    if (r < 0 && c->previous_dir >= 0 && err_is(e, &err_not_found)) {
        err_clear(e);
        r = open_component_file(c->previous_dir, component, entry.path, ret, e);
    }
    return r;
}

// Of an image: its slot as staged, or the previous generation's when it was left out, once these bytes
// can be read there.
static int take_image(const struct unpack_content *c, uint64_t component, uint64_t offset,
                      uint64_t len, int *ret, struct err *e) {
    const char *name = c->view->components[component].name;
    const struct bundle_image_place *place = bundle_image_find(c->images, name);
    if (!place)
        place = bundle_image_find(c->old_images, name);
    *ret = place ? place->fd : -1;
    return place ? bundle_image_await(place, offset, len, e) : 0;
}

// Reads a chunk that repeats into c->chunk. `fd` is the file being written, whose content begins at
// `start`.
static int read_repeat(struct unpack_content *c, const struct unpack_piece *piece, int fd,
                       uint64_t start, struct err *e) {
    struct unpack_scratch_row place = {.key = 0};
    uint64_t first = 0;
    size_t got = 0;
    int from = fd;
    // What repeats mostly repeats the same: zeros.
    if (c->chunk_row == piece->repeats + 1)
        return 0;
    c->chunk_row = 0;
    if (unpack_stream_first(c->stream, piece, &first, e) < 0)
        return -1;
    int r = unpack_scratch_find(&c->places, first, &place, e);
    if (r != 0)
        return r < 0 ? -1 : err_set(e, &err_internal, "a chunk repeats nothing that was placed");
    if (place.key != start) {
        if (place.a == UNPACK_CONTENT_TREE) {
            from = c->trees[place.b];
        } else if (place.a == UNPACK_CONTENT_IMAGE) {
            if (take_image(c, place.b, first - place.key, piece->bytes, &from, e) < 0)
                return -1;
        } else if (c->again_fd < 0 || c->again_start != place.key) {
            own_drop_fd(&c->again_fd);
            c->again_fd = -1;
            if (open_place(c, &place, &c->again_fd, e) < 0)
                return err_prefix(e, "taking a chunk that repeats");
            c->again_start = place.key;
            from = c->again_fd;
        } else {
            from = c->again_fd;
        }
    }
    if (place.key == start && c->slot &&
        bundle_image_await(c->slot, first - start, piece->bytes, e) < 0)
        return -1;
    if (fs_pread(from, c->chunk, piece->bytes, first - place.key, &got, e) < 0)
        return err_prefix(e, "taking a chunk that repeats");
    if (got < piece->bytes)
        return err_set(e, &err_bad_content, "a file that a chunk repeats was cut short");
    c->chunk_row = piece->repeats + 1;
    return 0;
}

// Chunks that lie one after another in a frame and in the file are written together.
static int flush(struct unpack_content *c, int fd, struct err *e) {
    size_t n = c->run_bytes;
    c->run_bytes = 0;
    return n ? put(c, fd, c->run, n, c->run_offset, e) : 0;
}

static int write_first(struct unpack_content *c, const struct unpack_piece *piece, int fd,
                       uint64_t offset, struct err *e) {
    const uint8_t *bytes = NULL;
    if (c->run_frame != piece->frame) {
        if (flush(c, fd, e) < 0 || (c->progress && c->progress(c->context, e) < 0) ||
            unpack_plan_expect(c->plan, piece, e) < 0)
            return -1;
        c->run_frame = piece->frame;
    }
    if (unpack_stream_bytes(c->stream, piece, &bytes, e) < 0)
        return -1;
    if (c->run_bytes && c->run + c->run_bytes == bytes && c->run_offset + c->run_bytes == offset) {
        c->run_bytes += piece->bytes;
        return 0;
    }
    if (flush(c, fd, e) < 0)
        return -1;
    c->run = bytes;
    c->run_bytes = piece->bytes;
    c->run_offset = offset;
    return 0;
}

static int write_piece(struct unpack_content *c, const struct unpack_piece *piece, int fd,
                       uint64_t start, uint64_t offset, struct err *e) {
    if (!piece->repeat)
        return write_first(c, piece, fd, offset, e);
    if (flush(c, fd, e) < 0 || read_repeat(c, piece, fd, start, e) < 0)
        return -1;
    return put(c, fd, c->chunk, piece->bytes, offset, e);
}

// From what is held; when it is not there any more, or is something else, as if it had not been.
static int write_held(struct unpack_content *c, const struct unpack_piece *piece,
                      const struct unpack_held_place *place, int fd, uint64_t offset,
                      struct err *e) {
    struct keys_digest found;
    const uint8_t *bytes = c->chunk;
    c->chunk_row = 0;
    if (unpack_old_read(&c->plan->old, place, c->chunk, piece->bytes) == 0) {
        keys_digest_of(c->chunk, piece->bytes, &found);
        if (memcmp(found.bytes, piece->digest, sizeof piece->digest) == 0)
            return flush(c, fd, e) < 0 ? -1 : put(c, fd, bytes, piece->bytes, offset, e);
    }
    if (!piece->repeat)
        return write_first(c, piece, fd, offset, e);
    // What it repeats may come in the second pass only.
    if (flush(c, fd, e) < 0 || unpack_stream_again(c->stream, piece, &bytes, e) < 0)
        return -1;
    return put(c, fd, bytes, piece->bytes, offset, e);
}

// Whether this pass makes it. What a repeat repeats may come from either group.
static bool is_due(const struct unpack_content *c, const struct unpack_piece *piece,
                   enum unpack_plan_way way) {
    if (c->pass == UNPACK_CONTENT_ALL)
        return true;
    bool fresh = way == UNPACK_PLAN_MAKE && !piece->repeat &&
                 unpack_plan_group(c->plan, piece) == BUNDLE_INDEX_FRESH;
    bool late = c->fresh_last ? fresh || (way == UNPACK_PLAN_MAKE && piece->repeat) : !fresh;
    return late == (c->pass == UNPACK_CONTENT_SECOND);
}

// What is to be written later lies further on.
static int settle(struct unpack_content *c, uint64_t done, uint64_t size, struct err *e) {
    uint64_t settled = c->run_bytes ? c->run_offset : done;
    if (!c->slot || c->pass == UNPACK_CONTENT_FIRST ||
        (settled < size && settled - c->settled < SETTLE_BYTES))
        return 0;
    c->settled = settled;
    return bundle_image_settle(c->slot, settled, e);
}

static int write_pieces(struct unpack_content *c, int fd, uint64_t size, struct err *e) {
    uint64_t start = unpack_stream_position(c->stream);
    bool kept = true;
    int r = 0;
    c->run_bytes = 0;
    c->settled = 0;
    for (uint64_t done = 0; r == 0 && done < size;) {
        struct unpack_piece piece;
        struct unpack_plan_chunk chunk;
        if (unpack_stream_next(c->stream, size - done, &piece, e) < 0 ||
            unpack_plan_look(c->plan, piece.stream, &chunk, e) < 0)
            return -1;
        if (is_due(c, &piece, chunk.way)) {
            if (chunk.way == UNPACK_PLAN_COPY)
                r = write_held(c, &piece, &chunk.place, fd, done, e);
            else if (chunk.way == UNPACK_PLAN_MAKE)
                r = write_piece(c, &piece, fd, start, done, e);
            c->done_bytes += piece.bytes;
        }
        kept = kept && chunk.way == UNPACK_PLAN_KEEP;
        done += piece.bytes;
        if (r == 0 && done < size)
            r = settle(c, done, size, e);
    }
    if (r < 0 || flush(c, fd, e) < 0 || settle(c, size, size, e) < 0)
        return -1;
    return kept ? UNPACK_CONTENT_KEPT : 0;
}

int unpack_content_write(struct unpack_content *c, const struct unpack_content_place *place, int fd,
                         uint64_t size, uint64_t have, struct err *e) {
    if (remember(c, place, size, e) < 0)
        return -1;
    int r = write_pieces(c, fd, size, e);
    if (r >= 0 && have > size && fs_truncate(fd, size, e) < 0)
        return -1;
    return r;
}

int unpack_content_skip(struct unpack_content *c, const struct unpack_content_place *place,
                        uint64_t size, struct err *e) {
    if (remember(c, place, size, e) < 0)
        return -1;
    if (c->pass != UNPACK_CONTENT_SECOND)
        c->done_bytes += size;
    return unpack_stream_pass(c->stream, size, e);
}
