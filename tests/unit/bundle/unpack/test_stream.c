// SPDX-License-Identifier: Apache-2.0
//
// The stream, read both ways: what is passed over costs nothing, and by choice only what is needed is
// taken from the source.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/unpack/stream.h"
#include "tests/support/hostile.h"

#define FILES 700 // with the tree's chunks three pages; the last 100 are fresh
#define FRESH 100
#define PAGE  BUNDLE_INDEX_PAGE_BYTES

struct scene {
    char texts[FILES][16];
    struct slice contents[FILES];
    struct buf tree, bytes;
    struct forge_memory memory;
    struct unpack_source source;
    struct unpack_bundle *bundle;
    int index;
    struct unpack_stream *stream;
};

static struct scene *make(enum unpack_stream_way way) {
    struct err e = ERR_NONE;
    struct scene *s = calloc(1, sizeof *s);
    cr_assert_not_null(s);
    buf_init(&s->tree, 1 << 20);
    buf_init(&s->bytes, 1 << 22);
    for (size_t i = 0; i < FILES; i++) {
        char name[16];
        (void)snprintf(s->texts[i], sizeof s->texts[i], "content %03zu", i);
        (void)snprintf(name, sizeof name, "%03zu", i);
        s->contents[i] = (struct slice){(const uint8_t *)s->texts[i], 11};
        forge_file_line(name, s->contents[i], false, &s->tree);
    }
    const struct forge f = {
        .tree = buf_text(&s->tree), .n_contents = FILES, .contents = s->contents, .n_fresh = FRESH};
    forge_bundle(&f, &s->bytes);
    forge_source(&s->memory, buf_slice(&s->bytes), &s->source);
    cr_assert_eq(hostile_open(&s->source, &s->bundle, &e), 0, "%s", e.text);
    s->index = memfd_create("index", MFD_CLOEXEC);
    s->memory.given = s->memory.reads = 0;
    cr_assert_eq(unpack_stream_open(s->bundle, &s->source, way, s->index, HOSTILE_DECODE_MAX,
                                    &s->stream, &e),
                 0, "%s", e.text);
    return s;
}

static void end(struct scene *s) {
    unpack_stream_close(s->stream);
    unpack_bundle_free(s->bundle);
    own_drop_fd(&s->index);
    buf_clear(&s->tree);
    buf_clear(&s->bytes);
    free(s);
}

static uint64_t tree_bytes(const struct scene *s) {
    return s->tree.len;
}

static void take_file(struct scene *s, size_t number) {
    struct err e = ERR_NONE;
    struct unpack_piece piece;
    const uint8_t *bytes = NULL;
    cr_assert_eq(unpack_stream_next(s->stream, 11, &piece, &e), 0, "%s", e.text);
    cr_expect_eq(piece.stream, tree_bytes(s) + 11 * number);
    cr_expect_eq(piece.frame, number < FILES - FRESH ? 1 : 2);
    cr_assert_eq(unpack_stream_bytes(s->stream, &piece, &bytes, &e), 0, "%s", e.text);
    cr_expect_eq(memcmp(bytes, s->texts[number], 11), 0);
}

static void take_tree(struct scene *s) {
    struct err e = ERR_NONE;
    for (uint64_t done = 0; done < tree_bytes(s);) {
        struct unpack_piece piece;
        const uint8_t *bytes = NULL;
        cr_assert_eq(unpack_stream_next(s->stream, tree_bytes(s) - done, &piece, &e), 0, "%s",
                     e.text);
        cr_assert_eq(unpack_stream_bytes(s->stream, &piece, &bytes, &e), 0, "%s", e.text);
        cr_expect_eq(memcmp(bytes, s->tree.data + done, piece.bytes), 0);
        done += piece.bytes;
    }
    cr_expect_eq(unpack_stream_border(s->stream, &e), 0, "%s", e.text);
}

Test(stream, both_ways_give_the_same) {
    static const enum unpack_stream_way ways[] = {UNPACK_STREAM_FORWARD, UNPACK_STREAM_BY_CHOICE};
    for (size_t i = 0; i < 2; i++) {
        struct err e = ERR_NONE;
        struct scene *s = make(ways[i]);
        take_tree(s);
        for (size_t k = 0; k < FILES; k++)
            take_file(s, k);
        cr_expect_eq(unpack_stream_end(s->stream, &e), 0, "%s", e.text);
        cr_expect_eq(s->memory.given, unpack_stream_read_bytes(s->stream));
        end(s);
    }
}

Test(stream, what_is_passed_over_costs_no_page_and_no_frame) {
    struct err e = ERR_NONE;
    struct scene *s = make(UNPACK_STREAM_BY_CHOICE);
    uint64_t head =
        bundle_manifest_view(unpack_bundle_manifest(s->bundle))->packing.index_head_bytes;
    cr_expect_eq(s->memory.given, head);
    cr_expect_eq(unpack_stream_pass(s->stream, tree_bytes(s), &e), 0);
    for (size_t i = 0; i < FILES - 1; i++)
        cr_expect_eq(unpack_stream_pass(s->stream, 11, &e), 0);
    cr_expect_eq(s->memory.given, head, "nothing was looked at");
    take_file(s, FILES - 1);
    // One page of chunks, the page of frames, and the fresh frame.
    cr_expect_eq(s->memory.given, head + 2 * PAGE + 11 * FRESH);
    cr_expect_eq(unpack_stream_end(s->stream, &e), 0, "%s", e.text);
    cr_expect_lt(unpack_stream_pass(s->stream, 1, &e), 0);
    cr_expect(err_is(&e, &err_bad_index), "%s", e.text);
    end(s);
}

Test(stream, pages_are_fetched_in_runs_and_once) {
    struct err e = ERR_NONE;
    struct scene *s = make(UNPACK_STREAM_BY_CHOICE);
    uint64_t given = s->memory.given, reads = s->memory.reads, page = 0;
    struct bundle_index_reader *index = unpack_stream_index(s->stream);
    uint64_t n = bundle_index_pages(index);
    cr_assert_eq(n, 4);
    cr_expect_eq(bundle_index_page_of_stream(index, tree_bytes(s) + 11 * 400, &page, &e), 0);
    cr_expect_eq(page, 2);
    cr_expect_eq(unpack_stream_fetch(s->stream, page, 1, &e), 0);
    cr_expect(s->memory.given == given + PAGE && s->memory.reads == reads + 1);
    cr_expect_eq(unpack_stream_fetch(s->stream, 0, n, &e), 0);
    cr_expect_eq(s->memory.given, given + 4 * PAGE, "the one that is there is left out");
    cr_expect_eq(s->memory.reads, reads + 3, "in two runs");
    cr_expect_eq(unpack_stream_fetch(s->stream, 0, n, &e), 0);
    cr_expect_eq(s->memory.reads, reads + 3);
    end(s);
}

Test(stream, a_content_that_is_passed_over_must_end_where_a_chunk_begins) {
    static const enum unpack_stream_way ways[] = {UNPACK_STREAM_FORWARD, UNPACK_STREAM_BY_CHOICE};
    for (size_t i = 0; i < 2; i++) {
        struct err e = ERR_NONE;
        struct unpack_piece piece;
        struct scene *s = make(ways[i]);
        cr_expect_eq(unpack_stream_pass(s->stream, tree_bytes(s) + 5, &e), 0);
        cr_expect_lt(unpack_stream_next(s->stream, 6, &piece, &e), 0);
        cr_expect(err_is(&e, &err_bad_index), "%s", e.text);
        end(s);
    }
}
