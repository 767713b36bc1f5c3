// SPDX-License-Identifier: Apache-2.0
//
// Ceilings, the NUL behind the content, and what is left after a refusal.

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/own.h"
#include "tests/support/alloc_fault.h"

Test(buf, an_empty_one_is_an_empty_string) {
    OWN(buf) struct buf b;
    buf_init(&b, 10);
    cr_assert_str_eq(buf_text(&b), "");
    cr_assert_eq(buf_slice(&b).len, 0);
    struct err e = ERR_NONE;
    cr_assert_eq(buf_add(&b, NULL, 0, &e), 0);
    cr_assert_null(b.data, "nothing is allocated for nothing");
}

Test(buf, what_is_added_is_followed_by_a_nul) {
    OWN(buf) struct buf b;
    buf_init(&b, 1 << 20);
    struct err e = ERR_NONE;
    for (int i = 0; i < 5000; i++) {
        cr_assert_eq(buf_add_format(&b, &e, "%d,", i % 10), 0);
        cr_assert_eq(b.data[b.len], '\0');
    }
    cr_assert_eq(b.len, 10000);
    for (size_t i = 0; i < 5000; i++)
        cr_assert_eq(b.data[2 * i], '0' + i % 10);
}

Test(buf, it_may_hold_exactly_its_ceiling) {
    for (size_t ceiling = 0; ceiling < 300; ceiling++) {
        OWN(buf) struct buf b;
        buf_init(&b, ceiling);
        struct err e = ERR_NONE;
        for (size_t i = 0; i < ceiling; i++)
            cr_assert_eq(buf_add(&b, "x", 1, &e), 0);
        cr_assert_eq(b.len, ceiling);
        cr_assert_leq(b.capacity, ceiling);
        cr_assert_eq(buf_add(&b, "y", 1, &e), -1);
        cr_assert(err_is(&e, &err_limit));
        cr_assert_eq(b.len, ceiling);
        cr_assert_eq(strlen(buf_text(&b)), ceiling);
    }
}

Test(buf, a_refused_addition_leaves_it_as_it_was) {
    OWN(buf) struct buf b;
    buf_init(&b, 8);
    struct err e = ERR_NONE;
    cr_assert_eq(buf_add_text(&b, "hello", &e), 0);
    cr_assert_eq(buf_add_format(&b, &e, "%s", "four"), -1);
    cr_assert(err_is(&e, &err_limit));
    cr_assert_str_eq(buf_text(&b), "hello");
    cr_assert_eq(buf_add_text(&b, "thr", &e), 0);
    cr_assert_str_eq(buf_text(&b), "hellothr");
}

Test(buf, a_size_that_wraps_is_refused) {
    OWN(buf) struct buf b;
    buf_init(&b, SIZE_MAX);
    struct err e = ERR_NONE;
    cr_assert_eq(buf_add_text(&b, "x", &e), 0);
    uint8_t *to = NULL;
    cr_assert_eq(buf_reserve(&b, SIZE_MAX, &to, &e), -1);
    cr_assert(err_is(&e, &err_limit));
    err_clear(&e);
    cr_assert_eq(buf_reserve(&b, SIZE_MAX - 1, &to, &e), -1);
    cr_assert(err_is(&e, &err_memory));
    cr_assert_null(to);
    cr_assert_str_eq(buf_text(&b), "x");
}

Test(buf, reserved_room_counts_only_when_committed) {
    OWN(buf) struct buf b;
    buf_init(&b, 100);
    struct err e = ERR_NONE;
    uint8_t *to;
    cr_assert_eq(buf_reserve(&b, 50, &to, &e), 0);
    memset(to, 'a', 50);
    cr_assert_eq(b.len, 0);
    buf_commit(&b, 3);
    cr_assert_str_eq(buf_text(&b), "aaa");
    cr_assert_eq(buf_reserve(&b, 0, &to, &e), 0);
    cr_assert_eq(to, b.data + 3);
}

Test(buf, consuming_moves_the_rest_down) {
    OWN(buf) struct buf b;
    buf_init(&b, 100);
    struct err e = ERR_NONE;
    buf_consume(&b, 0);
    cr_assert_eq(buf_add_text(&b, "one two", &e), 0);
    buf_consume(&b, 4);
    cr_assert_str_eq(buf_text(&b), "two");
    buf_consume(&b, 3);
    cr_assert_str_eq(buf_text(&b), "");
    cr_assert_eq(b.len, 0);
}

Test(buf, clearing_keeps_the_ceiling) {
    struct buf b;
    buf_init(&b, 4);
    struct err e = ERR_NONE;
    cr_assert_eq(buf_add_text(&b, "four", &e), 0);
    buf_clear(&b);
    cr_assert_null(b.data);
    cr_assert_eq(b.ceiling, 4);
    cr_assert_eq(buf_add_text(&b, "fives", &e), -1);
    buf_clear(&b);
}

Test(buf, without_memory_it_stays_as_it_was) {
    bool hit = true;
    size_t n = 0;
    for (; hit; n++) {
        OWN(buf) struct buf b;
        buf_init(&b, 10000);
        struct err e = ERR_NONE;
        int done = 0;
        size_t added = 0;
        alloc_fault_begin(n, false);
        for (; done == 0 && added < 1000; added += done == 0 ? 5 : 0)
            done = buf_add_text(&b, "12345", &e);
        hit = alloc_fault_end();
        cr_assert_eq(done, hit ? -1 : 0);
        cr_assert(!hit || err_is(&e, &err_memory));
        cr_assert_eq(b.len, added);
        cr_assert_eq(strlen(buf_text(&b)), added);
        err_clear(&e);
        cr_assert_eq(buf_add_text(&b, "again", &e), 0);
    }
    cr_assert_gt(n, 3);
}
