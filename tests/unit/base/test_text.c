// SPDX-License-Identifier: Apache-2.0
//
// UTF-8, names, hex, what a terminal may be shown, and the order of versions.

#include <criterion/criterion.h>
#include <string.h>

#include "base/own.h"
#include "base/text.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

Test(text, utf8_is_checked_strictly) {
    const struct {
        const char *bytes;
        bool good;
    } rows[] = {
        {"", true},
        {"plain", true},
        {"grün €𝄞", true},
        {"\xF4\x8F\xBF\xBF", true},  // U+10FFFF
        {"\xF4\x90\x80\x80", false}, // above it
        {"\xC0\x80", false},         // overlong
        {"\xC1\xBF", false},
        {"\xE0\x9F\xBF", false},
        {"\xE0\xA0\x80", true},
        {"\xF0\x8F\xBF\xBF", false},
        {"\xF0\x90\x80\x80", true},
        {"\xED\x9F\xBF", true},
        {"\xED\xA0\x80", false}, // surrogates
        {"\xED\xBF\xBF", false},
        {"\xEE\x80\x80", true},
        {"\x80", false},
        {"\xC3", false},
        {"\xE2\x82", false},
        {"\xF0\x9D\x84", false},
        {"\xC3(", false},
        {"\xF8\x88\x80\x80\x80", false},
        {"\xFF", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        cr_assert_eq(text_is_utf8(rows[i].bytes, strlen(rows[i].bytes)), rows[i].good, "row %zu",
                     i);
    cr_assert_not(text_is_utf8("a\0b", 3));
    cr_assert_not(text_is_utf8("€", 2), "the length ends the text, not the terminator");
}

Test(text, names_are_letters_digits_and_four_signs) {
    const char *good[] = {"a", "A9", "detector", "root_fs-2.1+b", "_x", "+x"};
    for (size_t i = 0; i < COUNT(good); i++)
        cr_assert(text_is_name(good[i], 64), "%s", good[i]);
    const char *bad[] = {"",    ".",   "..", ".a",  "-a",   "a/b",
                         "a b", "a\n", "ä",  "a:b", "a\\b", "a\x7f"};
    for (size_t i = 0; i < COUNT(bad); i++)
        cr_assert_not(text_is_name(bad[i], 64), "%s", bad[i]);
    cr_assert(text_is_name("abcd", 4));
    cr_assert_not(text_is_name("abcde", 4));
}

Test(text, hex_goes_there_and_back) {
    uint8_t all[256];
    char hex[513];
    uint8_t back[256];
    for (size_t i = 0; i < 256; i++)
        all[i] = (uint8_t)i;
    text_hex(all, 256, hex);
    cr_assert_eq(strlen(hex), 512);
    struct err e = ERR_NONE;
    cr_assert_eq(text_unhex(hex, back, 256, "digest", &e), 0);
    cr_assert_arr_eq(all, back, 256);
}

Test(text, hex_that_is_not_exact_is_refused_and_nothing_is_written) {
    const char *bad[] = {"",     "00",   "000",  "00000", "000000",
                         "00gg", "AB00", "0x00", " 000",  "00 0"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        uint8_t back[2] = {7, 7};
        struct err e = ERR_NONE;
        cr_assert_eq(text_unhex(bad[i], back, 2, "digest", &e), -1, "%s", bad[i]);
        cr_assert(err_is(&e, &err_syntax));
        cr_assert(strstr(e.text, "digest: expected 4 lower-case hex digits"));
        cr_assert_eq(back[0] + back[1], 14);
    }
}

Test(text, what_could_move_the_cursor_or_hide_is_made_visible) {
    const struct {
        const char *text, *shown;
    } rows[] = {
        {"plain grün 𝄞", "plain grün 𝄞"},
        {"a\nb\tc\rd", "a\\nb\\tc\\x0Dd"},
        {"\x1b[31mred", "\\x1B[31mred"},
        {"\x7f", "\\x7F"},
        {"back\\slash", "back\\\\slash"},
        {"\xC2\x9B"
         "31m",
         "\\u{9B}31m"}, // C1 control sequence introducer
        {"\xE2\x80\xAE"
         "gpj",
         "\\u{202E}gpj"}, // right-to-left override
        {"\xE2\x81\xA6", "\\u{2066}"},
        {"a\xE2\x80\x8B"
         "b",
         "a\\u{200B}b"}, // zero width space
        {"\xEF\xBB\xBF", "\\u{FEFF}"},
        {"\xF3\xA0\x81\x81", "\\u{E0041}"}, // tag letter
        {"\xFF\xC3", "\\xFF\\xC3"},
        {"\xED\xA0\x80", "\\xED\\xA0\\x80"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        OWN(buf) struct buf b;
        buf_init(&b, 1000);
        struct err e = ERR_NONE;
        cr_assert_eq(text_escape(&b, rows[i].text, strlen(rows[i].text), &e), 0);
        cr_assert_str_eq(buf_text(&b), rows[i].shown);
        char fixed[64];
        cr_assert_str_eq(text_safe(rows[i].text, fixed, sizeof fixed), rows[i].shown);
    }
    OWN(buf) struct buf b;
    buf_init(&b, 1000);
    struct err e = ERR_NONE;
    cr_assert_eq(text_escape(&b, "a\0b", 3, &e), 0);
    cr_assert_str_eq(buf_text(&b), "a\\x00b");
}

Test(text, an_escape_that_does_not_fit_adds_nothing) {
    OWN(buf) struct buf b;
    buf_init(&b, 6);
    struct err e = ERR_NONE;
    cr_assert_eq(text_escape(&b, "ab", 2, &e), 0);
    cr_assert_eq(text_escape(&b, "c\n\n", 3, &e), -1);
    cr_assert(err_is(&e, &err_limit));
    cr_assert_str_eq(buf_text(&b), "ab");
}

Test(text, a_fixed_array_is_cut_between_units) {
    const char *text = "aä\n\xE2\x80\xAE"
                       "end of it";
    char whole[64];
    size_t whole_len = strlen(text_safe(text, whole, sizeof whole));
    for (size_t size = 1; size < sizeof whole; size++) {
        char shown[64];
        memset(shown, '#', sizeof shown);
        cr_assert_eq(text_safe(text, shown, size), shown);
        size_t len = strlen(shown);
        cr_assert_lt(len, size);
        cr_assert(text_is_utf8(shown, len));
        if (size > whole_len) {
            cr_assert_str_eq(shown, whole);
            continue;
        }
        if (size > 3) {
            cr_assert_str_eq(shown + len - 3, "…", "size %zu gives %s", size, shown);
            len -= 3;
        }
        cr_assert_eq(strncmp(shown, whole, len), 0);
    }
}

Test(text, versions_sort_as_debians_do) {
    // Ascending, as dpkg --compare-versions has it for upstream versions; those on one line are
    // equal.
    const char *rows[][3] = {
        {"~~", NULL},
        {"~~a", NULL},
        {"~", NULL},
        {"", "0", "00"},
        {"1.0~rc1", NULL},
        {"1.0", "1.00"},
        {"1.0a", NULL},
        {"1.0+b", NULL},
        {"1.0-1", NULL},
        {"1.0.1", NULL},
        {"1.9", NULL},
        {"1.10", NULL},
        {"1.10.1", NULL},
        {"1.010.2", NULL},
        {"2.0~beta", NULL},
        {"2.0~rc1", NULL},
        {"2.0", NULL},
        {"10", NULL},
        {"99999999999999999999999", NULL},
        {"100000000000000000000000", NULL},
        {"a", NULL},
        {"b", NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t j = 0; j < COUNT(rows); j++) {
            for (size_t k = 0; k < 3 && rows[i][k]; k++) {
                for (size_t l = 0; l < 3 && rows[j][l]; l++) {
                    int order = text_compare_version(rows[i][k], rows[j][l]);
                    cr_assert_eq((order > 0) - (order < 0), (i > j) - (i < j), "%s, %s: %d",
                                 rows[i][k], rows[j][l], order);
                }
            }
        }
    }
}

Test(text, an_ending_needs_a_stem) {
    cr_assert(text_ends_with("a.key", ".key"));
    cr_assert(text_ends_with(".key.key", ".key"));
    cr_assert_not(text_ends_with(".key", ".key"));
    cr_assert_not(text_ends_with("a.keys", ".key"));
    cr_assert_not(text_ends_with("y", ".key"));
    cr_assert_not(text_ends_with("", ".key"));
    cr_assert(text_ends_with("a", ""));
    cr_assert_not(text_ends_with("", ""));
}

Test(text, a_misspelt_word_finds_the_one_that_was_meant) {
    const char *const known[] = {"poll_s", "state_dir", "root", "controller", NULL};
    cr_assert_str_eq(text_find_near("pol_s", known), "poll_s");
    cr_assert_str_eq(text_find_near("sttae_dir", known), "state_dir");
    cr_assert_str_eq(text_find_near("controler", known), "controller");
    cr_assert_str_eq(text_find_near("rooot", known), "root");
    cr_assert_null(text_find_near("colour", known));
    cr_assert_null(text_find_near("", known));
    cr_assert_null(text_find_near("x", known), "one edit of one letter is another word");
    char longest[200];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    cr_assert_null(text_find_near(longest, known));
    size_t edits = 9;
    cr_assert(text_is_near("root", "root", &edits));
    cr_assert_eq(edits, 0);
}
