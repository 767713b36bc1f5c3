// SPDX-License-Identifier: Apache-2.0
//
// What an error keeps, and what it gives up when its sentence gets too long.

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"

Test(err, the_first_error_wins) {
    struct err e = ERR_NONE;
    cr_assert_eq(err_set(&e, &err_limit, "frame %d is too big", 7), -1);
    cr_assert_eq(err_set(&e, &err_io, "something later"), -1);
    cr_assert_eq(err_errno(&e, ENOSPC, "something later"), -1);
    cr_assert(err_is(&e, &err_limit));
    cr_assert_str_eq(e.text, "frame 7 is too big");
}

Test(err, context_is_prefixed_on_the_way_up) {
    struct err e = ERR_NONE;
    (void)err_set(&e, &err_syntax, "bad digest");
    cr_assert_eq(err_prefix(&e, "reading frame %d", 7), -1);
    cr_assert_eq(err_prefix(&e, "installing vibration 1.2"), -1);
    cr_assert_str_eq(e.text, "installing vibration 1.2: reading frame 7: bad digest");
    cr_assert(err_is(&e, &err_syntax));
}

Test(err, its_own_text_may_be_used_as_context) {
    struct err e = ERR_NONE;
    (void)err_set(&e, &err_syntax, "once");
    (void)err_prefix(&e, "%s", e.text);
    cr_assert_str_eq(e.text, "once: once");
}

Test(err, too_much_context_is_cut_at_the_outside_and_the_cause_stays) {
    for (size_t cause_len = 1; cause_len < ERR_TEXT_BYTES; cause_len++) {
        char cause[ERR_TEXT_BYTES];
        memset(cause, 'c', cause_len);
        cause[cause_len] = '\0';
        struct err e = ERR_NONE;
        (void)err_set(&e, &err_io, "%s", cause);
        for (int i = 0; i < 60; i++)
            (void)err_prefix(&e, "größte Ebene %d", i);
        size_t len = strlen(e.text);
        cr_assert_lt(len, ERR_TEXT_BYTES);
        cr_assert_str_eq(e.text + len - cause_len, cause);
        cr_assert(text_is_utf8(e.text, len), "split character in \"%s\"", e.text);
    }
}

Test(err, the_context_next_to_the_cause_survives) {
    struct err e = ERR_NONE;
    char cause[401];
    memset(cause, 'c', 400);
    cause[400] = '\0';
    (void)err_set(&e, &err_io, "%s", cause);
    char wide[201];
    memset(wide, 'o', 200);
    wide[200] = '\0';
    (void)err_prefix(&e, "%s|nearest", wide);
    cr_assert_str_eq(strstr(e.text, "|nearest: ") + 10, cause);
    cr_assert_eq(strncmp(e.text, "…ooo", 6), 0);
    cr_assert_eq(strlen(e.text), ERR_TEXT_BYTES - 1);
}

Test(err, a_cause_that_is_too_long_keeps_its_beginning_and_whole_characters) {
    for (size_t shift = 0; shift < 4; shift++) {
        char text[2 * ERR_TEXT_BYTES] = "";
        memset(text, 'x', shift);
        for (size_t at = shift; at + 2 < sizeof text; at += 2)
            memcpy(text + at, "ö", 3);
        struct err e = ERR_NONE;
        (void)err_set(&e, &err_io, "%s", text);
        size_t len = strlen(e.text);
        cr_assert_lt(len, ERR_TEXT_BYTES);
        cr_assert(text_is_utf8(e.text, len));
        cr_assert_str_eq(e.text + len - 3, "…");
    }
}

Test(err, a_text_that_just_fits_is_not_cut) {
    char text[ERR_TEXT_BYTES + 1];
    memset(text, 'x', ERR_TEXT_BYTES);
    text[ERR_TEXT_BYTES] = '\0';
    struct err e = ERR_NONE;
    (void)err_set(&e, &err_io, "%s", text + 1);
    cr_assert_str_eq(e.text, text + 1);
    struct err over = ERR_NONE;
    (void)err_set(&over, &err_io, "%s", text);
    cr_assert_str_eq(over.text + strlen(over.text) - 3, "…");
}

Test(err, the_kind_of_a_failed_call_follows_errno) {
    const struct {
        int number;
        const struct err_kind *kind;
    } rows[] = {
        {ENOSPC, &err_no_space},  {EDQUOT, &err_no_space},   {EROFS, &err_read_only},
        {ENOMEM, &err_memory},    {EACCES, &err_permission}, {EPERM, &err_permission},
        {ENOENT, &err_not_found}, {EEXIST, &err_exists},     {EBUSY, &err_busy},
        {EAGAIN, &err_busy},      {ETXTBSY, &err_busy},      {ETIMEDOUT, &err_timeout},
        {EIO, &err_io},           {ELOOP, &err_io},          {0, &err_io},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err e = ERR_NONE;
        cr_assert_eq(err_errno(&e, rows[i].number, "opening x"), -1);
        cr_assert(err_is(&e, rows[i].kind), "errno %d gives %s", rows[i].number, e.kind->name);
    }
    struct err e = ERR_NONE;
    (void)err_errno(&e, ENOSPC, "writing %s", "/a/b");
    cr_assert_str_eq(e.text, "writing /a/b: No space left on device");
}

Test(err, the_systems_text_is_never_cut) {
    char path[2000];
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    struct err e = ERR_NONE;
    (void)err_errno(&e, EROFS, "opening %s", path);
    const char *end = "…: Read-only file system";
    cr_assert_str_eq(e.text + strlen(e.text) - strlen(end), end);
    cr_assert_eq(strlen(e.text), ERR_TEXT_BYTES - 1);
}

Test(err, after_clear_there_is_no_error) {
    struct err e = ERR_NONE;
    (void)err_set(&e, &err_io, "x");
    err_clear(&e);
    cr_assert_null(e.kind);
    (void)err_set(&e, &err_busy, "y");
    cr_assert(err_is(&e, &err_busy));
}

Test(err, rows_are_found_by_name_and_are_unique) {
    cr_assert_eq(err_find(err_base_kinds, "no_space"), &err_no_space);
    cr_assert_null(err_find(err_base_kinds, "no_spac"));
    cr_assert_null(err_find(err_base_kinds, ""));
    for (size_t i = 0; err_base_kinds[i]; i++) {
        cr_assert_lt(strlen(err_base_kinds[i]->name), ERR_NAME_BYTES);
        cr_assert(err_base_kinds[i]->exit_status > 0 && err_base_kinds[i]->exit_status < 126);
        for (size_t j = 0; j < i; j++) {
            cr_assert_str_neq(err_base_kinds[i]->name, err_base_kinds[j]->name);
            cr_assert_neq(err_base_kinds[i]->exit_status, err_base_kinds[j]->exit_status);
        }
    }
}
