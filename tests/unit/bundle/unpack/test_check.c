// SPDX-License-Identifier: Apache-2.0
//
// Lies under a good signature: whatever a signed bundle says wrongly, checking and staging refuse
// it by the same kind.
#include <criterion/criterion.h>
#include <string.h>

#include "bundle/kind.h"
#include "tests/support/hostile.h"

struct lie {
    const char *name;
    void (*edit)(struct forge *f);
    const struct err_kind *kind;
    const struct err_kind *stage_kind; // NULL: the same
};

// What a lie made for itself, freed behind it.
static struct buf made_tree;
static json_t *component;

static void clean(void) {
    buf_clear(&made_tree);
    json_decref(component);
    component = NULL;
}

static void refuse(const struct lie *lies, size_t n) {
    for (size_t i = 0; i < n; i++) {
        struct err e = ERR_NONE, late = ERR_NONE;
        struct unpack_stage_result result;
        struct buf bytes;
        hostile_bundle(lies[i].edit, &bytes);
        cr_expect_lt(hostile_check(buf_slice(&bytes), &e), 0, "%s: checked", lies[i].name);
        cr_expect(err_is(&e, lies[i].kind), "%s: %s", lies[i].name, e.text);
        const struct err_kind *kind = lies[i].stage_kind ? lies[i].stage_kind : lies[i].kind;
        cr_expect_lt(hostile_stage(buf_slice(&bytes), &result, &late), 0, "%s: staged",
                     lies[i].name);
        cr_expect(err_is(&late, kind), "%s: %s", lies[i].name, late.text);
        buf_clear(&bytes);
        clean();
    }
}
#define REFUSE(lies) refuse(lies, sizeof(lies) / sizeof *(lies))

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
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    struct buf bytes;
    hostile_bundle(edit_fresh, &bytes);
    cr_expect_eq(hostile_check(buf_slice(&bytes), &e), 0, "%s", e.text);
    cr_expect_eq(hostile_stage(buf_slice(&bytes), &result, &e), 0, "%s", e.text);
    buf_clear(&bytes);
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
    static const struct lie lies[] = {
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

static void take(void (*edit)(struct forge *f)) {
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    struct buf bytes;
    hostile_bundle(edit, &bytes);
    cr_expect_eq(hostile_check(buf_slice(&bytes), &e), 0, "%s", e.text);
    cr_expect_eq(hostile_stage(buf_slice(&bytes), &result, &e), 0, "%s", e.text);
    buf_clear(&bytes);
    clean();
}

Test(check, chunks_that_repeat_are_taken) {
    take(edit_repeat_same);
    take(edit_repeat_first);
}

Test(check, a_repeat_of_what_it_is_not_is_a_bad_index) {
    static const struct lie lies[] = {
        {"a repeat of another chunk", edit_repeat_other, &err_bad_index, NULL},
        {"a repeat of a chunk with another digest", edit_repeat_digest, &err_bad_index, NULL},
        {"a repeat of a repeat", edit_repeat_repeat, &err_bad_index, NULL}};
    REFUSE(lies);
}

// Frames. What is stored is signed, so these are the signer's own lies.

static uint8_t packed[4096];

// Appends a zstd frame of `size` zero bytes by hand (RFC 8878): magic, descriptor, content size,
// runs. `descriptor` is exclusive-or'ed on the one-byte form's.
static void zstd_zeros(struct forge *f, size_t size, unsigned descriptor) {
    uint8_t *at = packed + f->stored[1].len;
    static const uint8_t magic[] = {0x28, 0xb5, 0x2f, 0xfd};
    memcpy(at, magic, sizeof magic);
    at += sizeof magic;
    bool small = size < 256;
    *at++ = (uint8_t)((small ? 0x20 : 0xa0) ^ descriptor);
    for (size_t i = 0; i < (small ? 1 : 4); i++)
        *at++ = (uint8_t)(size >> (8 * i));
    while (size > 0) {
        size_t run = size < 1 << 17 ? size : 1 << 17;
        size -= run;
        size_t header = (size == 0) | 1 << 1 | run << 3; // last, a run, its length
        for (size_t i = 0; i < 3; i++)
            *at++ = (uint8_t)(header >> (8 * i));
        *at++ = 0;
    }
    f->stored[1] = (struct slice){packed, (size_t)(at - packed)};
}

static const uint8_t zeros[200];
static const struct slice compressible[HOSTILE_FILES] = {{zeros, 17}, {zeros, 27}, {zeros, 100}};

static void make_compressible(struct forge *f, struct buf *tree) {
    struct err e = ERR_NONE;
    buf_init(tree, 65536);
    cr_assert_eq(buf_add_text(tree, "{\"path\":\"d\",\"type\":\"dir\"}\n", &e), 0);
    forge_file_line("d/one", compressible[0], false, tree);
    forge_file_line("run", compressible[1], true, tree);
    forge_file_line("two", compressible[2], false, tree);
    f->tree = buf_text(tree);
    f->contents = compressible;
}

#define ALL_ZEROS 144 // of the three contents

static void edit_good(struct forge *f) {
    make_compressible(f, &made_tree);
    zstd_zeros(f, ALL_ZEROS, 0);
}
// Bit 4 of the descriptor is unused: decoders do not look at it.
static void edit_unused_bit(struct forge *f) {
    make_compressible(f, &made_tree);
    zstd_zeros(f, ALL_ZEROS, 0x10);
}
static void edit_no_size(struct forge *f) {
    make_compressible(f, &made_tree);
    zstd_zeros(f, ALL_ZEROS, 0x20);
    packed[5] = 0; // what was the size is the window now
}
static void edit_garbage_behind(struct forge *f) {
    edit_good(f);
    packed[f->stored[1].len++] = 0;
}
static void edit_two_frames(struct forge *f) {
    make_compressible(f, &made_tree);
    zstd_zeros(f, 100, 0);
    zstd_zeros(f, 44, 0);
}
static void edit_other_size(struct forge *f) {
    make_compressible(f, &made_tree);
    zstd_zeros(f, ALL_ZEROS + 1, 0);
}
static void edit_bomb(struct forge *f) {
    make_compressible(f, &made_tree);
    zstd_zeros(f, 1 << 20, 0);
}
static void edit_not_zstd(struct forge *f) {
    make_compressible(f, &made_tree);
    memset(packed, 'x', 50);
    f->stored[1] = (struct slice){packed, 50};
}
static void edit_skippable(struct forge *f) {
    static const uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4};
    make_compressible(f, &made_tree);
    f->stored[1] = (struct slice){skippable, sizeof skippable};
}
static void edit_damaged_block(struct forge *f) {
    edit_good(f);
    packed[6] |= 6; // a block of no known type
}

Test(check, a_compressed_frame_is_taken) {
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    struct buf bytes;
    hostile_bundle(edit_good, &bytes);
    cr_expect_eq(hostile_check(buf_slice(&bytes), &e), 0, "%s", e.text);
    cr_expect_eq(hostile_stage(buf_slice(&bytes), &result, &e), 0, "%s", e.text);
    buf_clear(&bytes);
    clean();
}

Test(check, a_frame_that_is_not_one_zstd_frame_of_its_size_is_a_bad_frame) {
    static const struct lie lies[] = {
        {"no content size", edit_no_size, &err_bad_frame, NULL},
        {"something behind it", edit_garbage_behind, &err_bad_frame, NULL},
        {"two frames", edit_two_frames, &err_bad_frame, NULL},
        {"another content size", edit_other_size, &err_bad_frame, NULL},
        {"a decompression bomb", edit_bomb, &err_bad_frame, NULL},
        {"not zstd", edit_not_zstd, &err_bad_frame, NULL},
        {"a skippable frame", edit_skippable, &err_bad_frame, NULL},
        {"a damaged block", edit_damaged_block, &err_bad_frame, NULL},
    };
    REFUSE(lies);
}

Test(check, a_frame_that_decodes_to_the_same_bytes_but_is_not_the_stored_one_is_refused) {
    struct err e = ERR_NONE;
    struct buf bytes;
    hostile_bundle(edit_unused_bit, &bytes);
    cr_expect_eq(hostile_check(buf_slice(&bytes), &e), 0, "it decodes: %s", e.text);
    buf_clear(&bytes);
    clean();
    hostile_bundle(edit_good, &bytes);
    uint8_t *frame = memmem(bytes.data, bytes.len, packed, 10);
    cr_assert_not_null(frame);
    frame[4] ^= 0x10;
    cr_expect_lt(hostile_check(buf_slice(&bytes), &e), 0);
    cr_expect(err_is(&e, &err_bad_frame), "%s", e.text);
    buf_clear(&bytes);
    clean();
}

// The tree and the manifest's words about it.

static void change(struct forge *f, const char *key, json_t *value) {
    component = json_object();
    cr_assert_eq(json_object_set_new(component, key, value), 0);
    f->component = component;
}
static void edit_entries(struct forge *f) {
    change(f, "entries", json_integer(4));
}
static void edit_executable(struct forge *f) {
    change(f, "executable", json_false());
}
static void edit_stream(struct forge *f) {
    change(f, "stream_bytes", json_integer(48));
}
static void edit_tree_size(struct forge *f) {
    change(f, "tree",
           json_pack("{s:s,s:i}", "digest",
                     "000000000000000000000000000000000000000000000000000000000000000"
                     "0",
                     "size", (int)strlen(f->tree)));
}
static void edit_no_path(struct forge *f) {
    static char tree[4096];
    const char *at = strstr(f->tree, "d/one");
    size_t before = (size_t)(at - f->tree);
    memcpy(tree, f->tree, strlen(f->tree) + 1);
    memcpy(tree + before, "../on", 5);
    f->tree = tree;
}
static void edit_file_size(struct forge *f) {
    static char tree[4096];
    memcpy(tree, f->tree, strlen(f->tree) + 1);
    char *at = strstr(tree, "\"size\":17");
    memcpy(at, "\"size\":16", 9);
    f->tree = tree;
}
static const struct slice other[HOSTILE_FILES] = {
    {(const uint8_t *)"the First content", 17},
    {(const uint8_t *)"another 28 bytes of content!", 28},
    {(const uint8_t *)"five!", 5}};
static void edit_contents(struct forge *f) {
    f->contents = other;
}

Test(check, a_tree_that_the_manifest_describes_otherwise_is_a_bad_tree) {
    static const struct lie lies[] = {
        {"the number of entries", edit_entries, &err_bad_tree, NULL},
        {"whether something is executable", edit_executable, &err_bad_tree, NULL},
        {"the bytes of its files", edit_stream, &err_bad_index, NULL},
        {"its digest", edit_tree_size, &err_bad_tree, NULL},
        {"a path that leads out", edit_no_path, &err_bad_path, NULL},
        {"a file's size", edit_file_size, &err_bad_index, NULL},
    };
    REFUSE(lies);
}

Test(check, contents_that_are_not_those_of_the_tree_are_found_by_checking) {
    struct err e = ERR_NONE;
    struct buf bytes;
    hostile_bundle(edit_contents, &bytes);
    cr_expect_lt(hostile_check(buf_slice(&bytes), &e), 0);
    cr_expect(err_is(&e, &err_bad_content), "%s", e.text);
    buf_clear(&bytes);
}

Test(check, frames_larger_than_the_device_decodes_are_refused_unread) {
    struct err e = ERR_NONE;
    struct buf bytes;
    struct forge_memory memory;
    struct unpack_source source;
    struct unpack_bundle *bundle = NULL;
    hostile_bundle(NULL, &bytes);
    forge_source(&memory, buf_slice(&bytes), &source);
    cr_assert_eq(hostile_open(&source, &bundle, &e), 0);
    uint64_t reads = memory.reads;
    cr_expect_lt(unpack_check(bundle, &source, BUNDLE_FRAME_DEFAULT_BYTES - 1, &e), 0);
    cr_expect(err_is(&e, &err_decode_memory), "%s", e.text);
    cr_expect_eq(memory.reads, reads);
    unpack_bundle_free(bundle);
    buf_clear(&bytes);
}
