// SPDX-License-Identifier: Apache-2.0
//
// Trees: one way to write an entry, and every hostile path refused.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/tree.h"

#define HEX       "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define DIR(path) "{\"path\":\"" path "\",\"type\":\"dir\"}\n"
#define FILE_(path)                                                                                \
    "{\"digest\":\"" HEX "\",\"exec\":false,\"path\":\"" path "\",\"size\":1,\"type\":\"file\"}\n"
#define LINK(path, target) "{\"path\":\"" path "\",\"target\":\"" target "\",\"type\":\"link\"}\n"

// Reads a tree to its end and writes it again. 0, or -1 and the first error.
static int read_all(const char *text, size_t len, struct buf *written, struct err *e) {
    struct bundle_tree_reader *reader = NULL;
    OWN(fd) int fd = memfd_create("tree", MFD_CLOEXEC);
    cr_assert_eq(write(fd, text, len), (ssize_t)len);
    int r = bundle_tree_open(fd, 0, len, &reader, e);
    while (r == 0) {
        struct bundle_tree_entry entry;
        r = bundle_tree_next(reader, &entry, e);
        if (r == 0)
            cr_assert_eq(bundle_tree_format(&entry, written, e), 0);
    }
    bundle_tree_close(reader);
    return r == BUNDLE_TREE_END ? 0 : -1;
}

static void expect_good(const char *text) {
    struct err e = ERR_NONE;
    struct buf written;
    buf_init(&written, 1 << 20);
    cr_expect_eq(read_all(text, strlen(text), &written, &e), 0, "%s", e.text);
    cr_expect_str_eq(buf_text(&written), text, "written again it is the same");
    buf_clear(&written);
}

static void expect_bad(const char *text, const struct err_kind *kind) {
    struct err e = ERR_NONE;
    struct buf written;
    buf_init(&written, 1 << 20);
    cr_expect_lt(read_all(text, strlen(text), &written, &e), 0, "accepted: %.200s", text);
    cr_expect(err_is(&e, kind), "%.120s: %s", text, e.text);
    buf_clear(&written);
}

Test(tree, what_is_allowed_is_read_and_written_the_same) {
    expect_good("");
    expect_good(DIR("a") FILE_("a/b") DIR("a/c") FILE_("a/c/d") FILE_("a-") LINK("b", "../a"));
    expect_good(FILE_("a") FILE_("a.b") FILE_("ab"));
    expect_good(FILE_("a\\\"b\\\\c"));
    expect_good(LINK("l", "/absolute/../is stored"));
    expect_good(FILE_("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"));
    expect_good(FILE_("...") FILE_("..a"));
    expect_good("{\"digest\":\"" HEX
                "\",\"exec\":true,\"path\":\"x\",\"size\":4398046511104,\"type\":\"file\"}\n");
}

static struct bundle_tree_reader *reader_of(const char *text) {
    struct err e = ERR_NONE;
    struct bundle_tree_reader *reader = NULL;
    int fd = memfd_create("tree", MFD_CLOEXEC); // until the test's process ends
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(bundle_tree_open(fd, 0, strlen(text), &reader, &e), 0, "%s", e.text);
    return reader;
}

Test(tree, files_are_found_among_directories_and_links_and_all_are_counted) {
    static const char *const files[] = {"a/b", "a/c/d", "z"};
    struct bundle_tree_entry entry;
    struct err e = ERR_NONE;
    struct bundle_tree_reader *reader = reader_of(DIR("a") FILE_("a/b") DIR("a/c") FILE_("a/c/d")
                                                      LINK("b", "x") FILE_("z") DIR("zz"));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        cr_assert_eq(bundle_tree_next_file(reader, &entry, &e), 0, "%s", e.text);
        cr_expect_str_eq(entry.path, files[i]);
    }
    cr_expect_eq(bundle_tree_entries(reader), 6, "as far as it was read");
    cr_expect_eq(bundle_tree_next_file(reader, &entry, &e), BUNDLE_TREE_END);
    cr_expect_eq(bundle_tree_entries(reader), 7);
    bundle_tree_close(reader);
}

Test(tree, what_is_passed_over_is_checked) {
    struct bundle_tree_entry entry;
    struct err e = ERR_NONE;
    struct bundle_tree_reader *reader = reader_of(DIR("a") LINK("a/../b", "x") FILE_("z"));
    cr_assert_lt(bundle_tree_next_file(reader, &entry, &e), 0);
    cr_expect(err_is(&e, &err_bad_path), "%s", e.text);
    bundle_tree_close(reader);
}

Test(tree, hostile_paths_are_refused_as_bad_path) {
    static const char *const bad[] = {
        FILE_(""),
        FILE_("/a"),
        FILE_("//"),
        FILE_("a/"),
        DIR("a") FILE_("a//b"),
        FILE_("."),
        FILE_(".."),
        DIR("a") FILE_("a/.."),
        DIR("a") FILE_("a/../../b"),
        FILE_("./a"),
        FILE_("../a"),
        FILE_("a\x01"),
        FILE_("a\rb"),
        FILE_("a\x1b[31m"),
        FILE_("a\x7f"),
        FILE_("\xc2\x85"),
        FILE_("\xff"),
        FILE_("\xc0\xaf"),
        FILE_("\xed\xa0\x80"),
        FILE_("\xf4\x90\x80\x80"),
        FILE_("\xe2\x82"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_bad(bad[i], &err_bad_path);
}

Test(tree, order_repetition_and_parents_are_checked) {
    static const char *const bad[] = {
        FILE_("b") FILE_("a"),
        FILE_("a") FILE_("a"),
        DIR("a") FILE_("a"),
        DIR("a") DIR("a"),
        FILE_("a-") DIR("a") FILE_("a/b"),
        DIR("a") FILE_("a-") FILE_("a/b"),
        FILE_("a/b"),
        DIR("a") FILE_("a/b/c"),
        FILE_("a") FILE_("a/b"),
        LINK("a", "b") FILE_("a/b"),
        DIR("a") LINK("a/l", "/etc") FILE_("a/l/passwd"),
        DIR("a") FILE_("ab/c"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_bad(bad[i], &err_bad_path);
}

Test(tree, there_is_one_way_to_write_a_line) {
    static const char *const bad[] = {
        "\n",
        " " DIR("a"),
        "{\"path\":\"a\",\"type\":\"dir\"}",
        "{\"path\":\"a\",\"type\":\"dir\"}\r\n",
        "{\"path\":\"a\",\"type\":\"dir\",\"x\":1}\n",
        "{\"path\":\"a\", \"type\":\"dir\"}\n",
        "{\"type\":\"dir\",\"path\":\"a\"}\n",
        "{\"path\":\"a\",\"type\":\"fifo\"}\n",
        "{\"path\":\"\\u0061\",\"type\":\"dir\"}\n",
        "{\"path\":\"\\/\",\"type\":\"dir\"}\n",
        "{\"path\":\"a\",\"path\":\"a\",\"type\":\"dir\"}\n",
        "{\"path\":\"a\",\"target\":\"\",\"type\":\"link\"}\n",
        LINK("a", "x\x01"),
        LINK("a", "\xff"),
        "{\"digest\":\"" HEX "\",\"exec\":false,\"path\":\"a\",\"size\":01,\"type\":\"file\"}\n",
        "{\"digest\":\"" HEX "\",\"exec\":false,\"path\":\"a\",\"size\":-1,\"type\":\"file\"}\n",
        "{\"digest\":\"" HEX "\",\"exec\":false,\"path\":\"a\",\"size\":1.0,\"type\":\"file\"}\n",
        "{\"digest\":\"" HEX "\",\"exec\":false,\"path\":\"a\",\"size\":,\"type\":\"file\"}\n",
        "{\"digest\":\"" HEX
        "\",\"exec\":false,\"path\":\"a\",\"size\":4398046511105,\"type\":\"file\"}\n",
        "{\"digest\":\"" HEX
        "\",\"exec\":false,\"path\":\"a\",\"size\":99999999999999999999,\"type\":\"file\"}\n",
        "{\"digest\":\"" HEX "\",\"exec\":1,\"path\":\"a\",\"size\":1,\"type\":\"file\"}\n",
        "{\"digest\":\"\",\"exec\":false,\"path\":\"a\",\"size\":1,\"type\":\"file\"}\n",
        "{\"digest\":\"AA112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\","
        "\"exec\":false,\"path\":\"a\",\"size\":1,\"type\":\"file\"}\n",
        "{\"digest\":\"" HEX "0\",\"exec\":false,\"path\":\"a\",\"size\":1,\"type\":\"file\"}\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_bad(bad[i], &err_bad_tree);
}

// A line with a path of segments of 'a', `len` bytes in all, the directories above it listed first.
static void deep(size_t len, size_t segment, struct buf *ret) {
    struct err e = ERR_NONE;
    char path[2 * BUNDLE_PATH_MAX];
    for (size_t i = 0; i < len; i++)
        path[i] = i % (segment + 1) == segment ? '/' : 'a';
    for (size_t i = 0; i <= len; i++)
        if (i == len || path[i] == '/')
            cr_assert_eq(
                buf_add_format(ret, &e, "{\"path\":\"%.*s\",\"type\":\"dir\"}\n", (int)i, path), 0);
}

static int read_deep(size_t len, size_t segment, struct err *e) {
    struct buf text, written;
    buf_init(&text, 1 << 20);
    buf_init(&written, 1 << 20);
    deep(len, segment, &text);
    int r = read_all(buf_text(&text), text.len, &written, e);
    buf_clear(&text);
    buf_clear(&written);
    return r;
}

Test(tree, lengths_and_depths_at_below_and_above_their_ceilings) {
    static const struct {
        size_t len, segment;
        bool good;
    } cases[] = {
        {BUNDLE_SEGMENT_MAX, BUNDLE_SEGMENT_MAX, true},
        {BUNDLE_SEGMENT_MAX + 1, BUNDLE_SEGMENT_MAX + 1, false},
        {BUNDLE_PATH_MAX - 1, 100, true},
        {BUNDLE_PATH_MAX, 100, true},
        {BUNDLE_PATH_MAX + 1, 100, false},
        {2 * BUNDLE_DEPTH_MAX - 1, 1, true},
        {2 * BUNDLE_DEPTH_MAX + 1, 1, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = ERR_NONE;
        cr_expect_eq(read_deep(cases[i].len, cases[i].segment, &e), cases[i].good ? 0 : -1,
                     "%zu: %s", i, e.text);
        if (!cases[i].good)
            cr_expect(err_is(&e, &err_bad_path));
    }
}

Test(tree, a_link_target_at_and_above_its_ceiling) {
    for (size_t len = BUNDLE_LINK_MAX - 1; len <= BUNDLE_LINK_MAX + 1; len++) {
        struct err e = ERR_NONE;
        struct buf text, written;
        char target[BUNDLE_LINK_MAX + 2];
        buf_init(&text, 1 << 16);
        buf_init(&written, 1 << 16);
        memset(target, 'x', len);
        target[len] = '\0';
        cr_assert_eq(buf_add_format(&text, &e,
                                    "{\"path\":\"l\",\"target\":\"%s\",\"type\":\"link\"}\n",
                                    target),
                     0);
        cr_expect_eq(read_all(buf_text(&text), text.len, &written, &e),
                     len <= BUNDLE_LINK_MAX ? 0 : -1);
        buf_clear(&text);
        buf_clear(&written);
    }
}

Test(tree, truncated_anywhere_but_between_lines_it_is_refused) {
    static const char text[] = DIR("a") FILE_("a/b") LINK("l", "t");
    struct buf written;
    buf_init(&written, 1 << 16);
    for (size_t len = 1; len < sizeof text - 1; len++) {
        struct err e = ERR_NONE;
        int r = read_all(text, len, &written, &e);
        cr_expect_eq(r, text[len - 1] == '\n' ? 0 : -1, "%zu bytes", len);
    }
    buf_clear(&written);
}

Test(tree, a_line_longer_than_the_ceiling_is_refused) {
    struct err e = ERR_NONE;
    struct buf written;
    buf_init(&written, 1 << 16);
    char *text = malloc(2 * BUNDLE_TREE_LINE_MAX);
    memset(text, 'x', 2 * BUNDLE_TREE_LINE_MAX);
    text[2 * BUNDLE_TREE_LINE_MAX - 1] = '\n';
    cr_expect_lt(read_all(text, 2 * BUNDLE_TREE_LINE_MAX, &written, &e), 0);
    cr_expect(err_is(&e, &err_bad_tree), "%s", e.text);
    free(text);
    buf_clear(&written);
}

Test(tree, a_file_shorter_than_its_tree_is_truncated) {
    struct err e = ERR_NONE;
    struct bundle_tree_reader *reader = NULL;
    struct bundle_tree_entry entry;
    OWN(fd) int fd = memfd_create("tree", MFD_CLOEXEC);
    cr_assert_eq(write(fd, DIR("a"), strlen(DIR("a"))), (ssize_t)strlen(DIR("a")));
    cr_assert_eq(bundle_tree_open(fd, 0, 100, &reader, &e), 0);
    cr_expect_lt(bundle_tree_next(reader, &entry, &e), 0);
    cr_expect(err_is(&e, &err_truncated));
    bundle_tree_close(reader);
    err_clear(&e);
    cr_expect_lt(bundle_tree_open(fd, 0, BUNDLE_TREE_MAX_BYTES + 1, &reader, &e), 0);
    cr_expect(err_is(&e, &err_bad_tree));
    err_clear(&e);
    cr_assert_eq(bundle_tree_open(fd, 0, BUNDLE_TREE_MAX_BYTES, &reader, &e), 0, "%s", e.text);
    bundle_tree_close(reader);
}

Test(tree, paths_compare_with_slash_lowest) {
    cr_expect_lt(bundle_tree_compare("a", "a/b"), 0);
    cr_expect_lt(bundle_tree_compare("a/b", "a-"), 0);
    cr_expect_lt(bundle_tree_compare("a/b", "a b"), 0);
    cr_expect_gt(bundle_tree_compare("b", "a/z"), 0);
    cr_expect_gt(bundle_tree_compare("a\xc3\xa9", "az"), 0);
    cr_expect_eq(bundle_tree_compare("a/b", "a/b"), 0);
}

Test(tree, an_error_shows_a_hostile_path_harmlessly) {
    struct err e = ERR_NONE;
    cr_expect_lt(bundle_tree_check_path("\x1b[31mred", 8, &e), 0);
    cr_expect_null(strchr(e.text, '\x1b'));
}
