// SPDX-License-Identifier: Apache-2.0
//
// Lies in the index, under a good signature.
#include <criterion/criterion.h>
#include <string.h>

#include "bundle/kind.h"
#include "tests/support/hostile.h"

// What a lie made for itself, freed behind it.
static struct buf made_tree;

static void clean(void) {
    buf_clear(&made_tree);
}

#define REFUSE(lies) hostile_refuse(lies, sizeof(lies) / sizeof *(lies), clean)

// Rows of the index.

static void raw_shift(struct forge_rows *r) {
    r->pages[0].at[BUNDLE_INDEX_AT_RAW]++;
}
static void offset_shift(struct forge_rows *r) {
    r->pages[0].at[BUNDLE_INDEX_AT_OFFSET]++;
}
static void frames_third(struct forge_rows *r) {
    r->pages[0].at[2]++;
}
static void stream_shift(struct forge_rows *r) {
    r->pages[1].at[BUNDLE_INDEX_AT_STREAM]++;
}
static void known_shift(struct forge_rows *r) {
    r->pages[1].at[BUNDLE_INDEX_AT_KNOWN]++;
}
static void fresh_shift(struct forge_rows *r) {
    r->pages[1].at[BUNDLE_INDEX_AT_FRESH]--;
}
static void frame_zero(struct forge_rows *r) {
    r->frames[1].raw_bytes = 0;
}
static void stored_zero(struct forge_rows *r) {
    r->frames[1].stored_bytes = 0;
}
static void stored_more(struct forge_rows *r) {
    r->frames[1].stored_bytes++;
}
static void raw_huge(struct forge_rows *r) {
    r->frames[1].raw_bytes = UINT32_MAX;
}
static void frame_missing(struct forge_rows *r) {
    r->n_frames = 1;
}
static void chunk_itself(struct forge_rows *r) {
    r->chunks[1].what = BUNDLE_INDEX_REPEATS + 1;
}
static void chunk_behind(struct forge_rows *r) {
    r->chunks[1].what = BUNDLE_INDEX_REPEATS + 1000;
}
static void chunk_fresh(struct forge_rows *r) {
    r->chunks[2].what = BUNDLE_INDEX_FRESH;
}
static void chunk_known(struct forge_rows *r) {
    r->chunks[r->n_chunks - 1].what = BUNDLE_INDEX_KNOWN;
}
static void tree_fresh(struct forge_rows *r) {
    r->chunks[0].what = BUNDLE_INDEX_FRESH;
}
// The borders, with all sums right.
static void trees_end(struct forge_rows *r) {
    r->header.trees_end--;
}
static void trees_end_late(struct forge_rows *r) {
    r->header.trees_end += r->chunks[1].bytes;
}
static void trees_none(struct forge_rows *r) {
    r->header.trees_end = 0;
}
static void fresh_early(struct forge_rows *r) {
    uint32_t bytes = r->chunks[2].bytes;
    r->chunks[2].what = BUNDLE_INDEX_FRESH;
    r->header.fresh_start -= bytes;
    r->pages[1].at[BUNDLE_INDEX_AT_FRESH] -= bytes;
}
static void fresh_before_trees(struct forge_rows *r) {
    r->header.fresh_start = r->header.trees_end - 1;
}
static void fresh_behind_all(struct forge_rows *r) {
    r->header.fresh_start = r->header.raw_bytes + 1;
}
static void chunk_large(struct forge_rows *r) {
    r->chunks[2].bytes = BUNDLE_CHUNK_MAX_BYTES + 1;
}
static void chunk_missing(struct forge_rows *r) {
    r->n_chunks--;
}
static void count_frames(struct forge_rows *r) {
    r->header.n_frames++;
}
static void count_chunks(struct forge_rows *r) {
    r->header.n_chunks--;
}
static void count_raw(struct forge_rows *r) {
    r->header.raw_bytes--;
}
static void count_stream(struct forge_rows *r) {
    r->header.stream_bytes++;
}
static void count_data(struct forge_rows *r) {
    r->header.data_bytes--;
}
static void huge_counts(struct forge_rows *r) {
    r->header.n_frames = r->header.n_chunks = UINT64_MAX;
}
// One chunk over two contents, all sums right.
static void chunk_crosses(struct forge_rows *r) {
    r->chunks[1].bytes += 3;
    r->chunks[2].bytes -= 3;
}
// One chunk over two frames, all sums right.
static void chunk_in_two_frames(struct forge_rows *r) {
    r->frames[1].raw_bytes = r->frames[1].stored_bytes = r->chunks[1].bytes - 1;
    r->frames[2] = r->frames[1];
    r->frames[2].raw_bytes = r->frames[2].stored_bytes =
        (uint32_t)(r->header.raw_bytes - r->header.trees_end) - r->frames[1].raw_bytes;
    r->n_frames = r->header.n_frames = 3;
}

#define ROWS(function)                                                                             \
    static void edit_##function(struct forge *f) {                                                 \
        f->edit = function;                                                                        \
    }
ROWS(raw_shift)
ROWS(frames_third)
ROWS(stream_shift)
ROWS(known_shift)
ROWS(chunk_itself)
ROWS(chunk_behind)
ROWS(chunk_fresh)
ROWS(tree_fresh)
ROWS(trees_end)
ROWS(trees_end_late)
ROWS(trees_none)
ROWS(fresh_before_trees)
ROWS(fresh_behind_all)
ROWS(chunk_in_two_frames)
ROWS(offset_shift)
ROWS(frame_zero)
ROWS(stored_zero)
ROWS(stored_more)
ROWS(raw_huge)
ROWS(frame_missing)
ROWS(chunk_large)
ROWS(chunk_missing)
ROWS(count_frames)
ROWS(count_chunks)
ROWS(count_raw)
ROWS(count_stream)
ROWS(count_data)
ROWS(huge_counts)
ROWS(chunk_crosses)

#define FRESH_ROWS(function)                                                                       \
    static void edit_##function(struct forge *f) {                                                 \
        f->n_fresh = 1;                                                                            \
        f->edit = function;                                                                        \
    }
FRESH_ROWS(fresh_shift)
FRESH_ROWS(chunk_known)
FRESH_ROWS(fresh_early)

static void edit_fresh(struct forge *f) {
    f->n_fresh = 2;
}

Test(check, fresh_frames_are_taken) {
    hostile_take(edit_fresh);
}

static void index_padding(struct buf *index) {
    index->data[index->len - 1] = 1;
}
static void directory_padding(struct buf *index) {
    index->data[2 * 4096 - 1] = 1;
}
static void header_padding(struct buf *index) {
    index->data[4095] = 1;
}
static void index_magic(struct buf *index) {
    index->data[0] ^= 1;
}
static void index_page(struct buf *index) {
    index->data[2 * 4096] ^= 1;
}
static void edit_index_padding(struct forge *f) {
    f->edit_index = index_padding;
}
static void edit_directory_padding(struct forge *f) {
    f->edit_index = directory_padding;
}
static void edit_header_padding(struct forge *f) {
    f->edit_index = header_padding;
}
static void edit_index_magic(struct forge *f) {
    f->edit_index = index_magic;
}
static void edit_index_page(struct forge *f) {
    f->edit_index = index_page;
}

Test(check, an_index_that_disagrees_is_a_bad_index) {
    static const struct hostile_lie lies[] = {
        {"a raw position that does not follow", edit_raw_shift, &err_bad_index, NULL},
        {"an offset that does not follow", edit_offset_shift, &err_bad_index, NULL},
        {"a frame of no bytes", edit_frame_zero, &err_bad_index, NULL},
        {"a frame stored in no bytes", edit_stored_zero, &err_bad_index, NULL},
        {"a frame stored in more than it holds", edit_stored_more, &err_bad_index, NULL},
        {"a frame of 4 GiB", edit_raw_huge, &err_bad_index, NULL},
        {"a frame missing", edit_frame_missing, &err_bad_index, NULL},
        {"frames that have a third position", edit_frames_third, &err_bad_index, NULL},
        {"chunks that begin later in the stream", edit_stream_shift, &err_bad_index, NULL},
        {"chunks that begin later in known", edit_known_shift, &err_bad_index, NULL},
        {"chunks that begin earlier in fresh", edit_fresh_shift, &err_bad_index, NULL},
        {"a chunk that repeats itself", edit_chunk_itself, &err_bad_index, NULL},
        {"a chunk that repeats a later one", edit_chunk_behind, &err_bad_index, NULL},
        {"a known chunk called fresh", edit_chunk_fresh, &err_bad_index, NULL},
        {"a fresh chunk called known", edit_chunk_known, &err_bad_index, NULL},
        {"a tree that is fresh", edit_tree_fresh, &err_bad_index, NULL},
        {"trees that end inside a frame", edit_trees_end, &err_bad_index, NULL},
        {"trees that end at no frame", edit_trees_end_late, &err_bad_index, NULL},
        {"trees of no bytes", edit_trees_none, &err_bad_index, NULL},
        {"a frame half known, half fresh", edit_fresh_early, &err_bad_index, NULL},
        {"fresh before the trees end", edit_fresh_before_trees, &err_bad_index, NULL},
        {"fresh behind the last byte", edit_fresh_behind_all, &err_bad_index, NULL},
        {"a chunk in two frames", edit_chunk_in_two_frames, &err_bad_index, NULL},
        {"a chunk above the ceiling", edit_chunk_large, &err_bad_index, NULL},
        {"a chunk missing", edit_chunk_missing, &err_bad_index, NULL},
        {"one frame more counted", edit_count_frames, &err_bad_index, NULL},
        {"one chunk less counted", edit_count_chunks, &err_bad_index, NULL},
        {"raw bytes counted wrongly", edit_count_raw, &err_bad_index, NULL},
        {"stream bytes counted wrongly", edit_count_stream, &err_bad_index, NULL},
        {"data bytes counted wrongly", edit_count_data, &err_bad_index, NULL},
        {"counts without bounds", edit_huge_counts, &err_bad_index, NULL},
        {"a chunk across two contents", edit_chunk_crosses, &err_bad_index, NULL},
        {"padding of a page", edit_index_padding, &err_bad_index, NULL},
        {"padding of the directory", edit_directory_padding, &err_bad_index, NULL},
        {"padding of the header", edit_header_padding, &err_bad_index, NULL},
        {"another magic", edit_index_magic, &err_bad_index, NULL},
        {"a page that the head does not name", edit_index_page, &err_bad_index, NULL},
    };
    REFUSE(lies);
}

// Row `number` repeats row `of`, and is not stored again.
static void repeat(struct forge_rows *r, size_t number, size_t of) {
    struct bundle_index_chunk *c = &r->chunks[number];
    c->what = BUNDLE_INDEX_REPEATS + (uint32_t)of;
    r->header.raw_bytes -= c->bytes;
    r->header.fresh_start -= c->bytes;
    r->frames[1].raw_bytes -= c->bytes;
    r->pages[1].at[BUNDLE_INDEX_AT_FRESH] -= c->bytes;
}
static void repeat_same(struct forge_rows *r) {
    repeat(r, 3, 1);
}
static void repeat_other(struct forge_rows *r) {
    repeat(r, 3, 2);
}
static void repeat_digest(struct forge_rows *r) {
    r->chunks[1].digest[9] ^= 1;
    repeat(r, 3, 1);
}
static void repeat_first(struct forge_rows *r) {
    repeat(r, 2, 1);
    repeat(r, 3, 1);
}
static void repeat_repeat(struct forge_rows *r) {
    repeat(r, 2, 1);
    repeat(r, 3, 2);
}
// Contents that are all the same, or all but the one in the middle; each stored once.
static void set_repeat(struct forge *f, bool all, void (*edit)(struct forge_rows *r)) {
    static uint8_t bytes[256];
    static struct slice contents[HOSTILE_FILES];
    struct err e = ERR_NONE;
    size_t n = 0;
    contents[0] = contents[2] = f->contents[0];
    contents[1] = f->contents[all ? 0 : 1];
    for (size_t i = 0; i < (all ? 1 : 2); i++) {
        memcpy(bytes + n, contents[i].data, contents[i].len);
        n += contents[i].len;
    }
    buf_init(&made_tree, 65536);
    cr_assert_eq(buf_add_text(&made_tree, "{\"path\":\"d\",\"type\":\"dir\"}\n", &e), 0);
    forge_file_line("d/one", contents[0], false, &made_tree);
    forge_file_line("run", contents[1], true, &made_tree);
    forge_file_line("two", contents[2], false, &made_tree);
    f->tree = buf_text(&made_tree);
    f->contents = contents;
    f->stored[1] = (struct slice){bytes, n};
    f->edit = edit;
}
static void edit_repeat_same(struct forge *f) {
    set_repeat(f, false, repeat_same);
}
static void edit_repeat_first(struct forge *f) {
    set_repeat(f, true, repeat_first);
}
static void edit_repeat_other(struct forge *f) {
    set_repeat(f, false, repeat_other);
}
static void edit_repeat_digest(struct forge *f) {
    set_repeat(f, false, repeat_digest);
}
static void edit_repeat_repeat(struct forge *f) {
    set_repeat(f, true, repeat_repeat);
}

Test(check, chunks_that_repeat_are_taken) {
    hostile_take(edit_repeat_same);
    clean();
    hostile_take(edit_repeat_first);
    clean();
}

Test(check, a_repeat_of_what_it_is_not_is_a_bad_index) {
    static const struct hostile_lie lies[] = {
        {"a repeat of another chunk", edit_repeat_other, &err_bad_index, NULL},
        {"a repeat of a chunk with another digest", edit_repeat_digest, &err_bad_index, NULL},
        {"a repeat of a repeat", edit_repeat_repeat, &err_bad_index, NULL}};
    REFUSE(lies);
}
