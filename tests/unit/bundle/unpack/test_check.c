// SPDX-License-Identifier: Apache-2.0
//
// Lies under a good signature: whatever a signed bundle says wrongly, checking and staging refuse
// it by the same kind.
#include <criterion/criterion.h>
#include <string.h>

#include "bundle/kind.h"
#include "tests/support/hostile.h"

// What a lie made for itself, freed behind it.
static struct buf made_tree;
static json_t *component;

static void clean(void) {
    buf_clear(&made_tree);
    json_decref(component);
    component = NULL;
}

#define REFUSE(lies) hostile_refuse(lies, sizeof(lies) / sizeof *(lies), clean)

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
    hostile_take(edit_good);
    clean();
}

Test(check, a_frame_that_is_not_one_zstd_frame_of_its_size_is_a_bad_frame) {
    static const struct hostile_lie lies[] = {
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
    static const struct hostile_lie lies[] = {
        {"the number of entries", edit_entries, &err_bad_tree, NULL},
        {"whether something is executable", edit_executable, &err_bad_tree, NULL},
        {"the bytes of its files", edit_stream, &err_bad_index, NULL},
        {"its digest", edit_tree_size, &err_bad_tree, NULL},
        {"a path that leads out", edit_no_path, &err_bad_path, NULL},
        {"a file's size", edit_file_size, &err_bad_index, &err_bad_tree},
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
