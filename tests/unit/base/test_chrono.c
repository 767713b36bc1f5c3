// SPDX-License-Identifier: Apache-2.0
//
// The written form of a time, held against the C library's calendar, and the seam.

#include <criterion/criterion.h>
#include <string.h>
#include <time.h>

#include "base/chrono.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

Test(chrono, a_time_goes_there_and_back) {
    const struct {
        const char *text;
        int64_t seconds;
    } rows[] = {
        {"1970-01-01T00:00:00Z", 0},          {"1972-02-29T12:00:00Z", 68212800},
        {"2000-02-29T00:00:00Z", 951782400},  {"2001-09-09T01:46:40Z", 1000000000},
        {"2026-11-22T14:34:41Z", 1795358081}, {"2038-01-19T03:14:08Z", 2147483648},
        {"2100-03-01T00:00:00Z", 4107542400}, {"9999-12-31T23:59:59Z", CHRONO_MAX_S},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t seconds = -1;
        struct err e = ERR_NONE;
        cr_assert_eq(chrono_parse(rows[i].text, "expires", &seconds, &e), 0, "%s", e.text);
        cr_assert_eq(seconds, rows[i].seconds);
        char text[CHRONO_TEXT_BYTES];
        cr_assert_str_eq(chrono_format(seconds, text), rows[i].text);
    }
}

Test(chrono, every_day_agrees_with_the_c_library) {
    for (int64_t day = 0; day * 86400 <= CHRONO_MAX_S; day++) {
        int64_t seconds = day * 86400 + (day * 7919) % 86400;
        time_t as_time = (time_t)seconds;
        struct tm broken;
        gmtime_r(&as_time, &broken);
        char expected[32], text[CHRONO_TEXT_BYTES];
        strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%SZ", &broken);
        int64_t back = -1;
        struct err e = ERR_NONE;
        // A plain comparison: three million assertions would take longer than the calendar.
        if (strcmp(chrono_format(seconds, text), expected) != 0 ||
            chrono_parse(text, "t", &back, &e) != 0 || back != seconds)
            cr_assert_fail("day %lld: %s, not %s", (long long)day, text, expected);
    }
}

Test(chrono, what_is_not_exactly_a_time_is_refused) {
    const char *const bad[] = {
        "",
        "2026-11-22",
        "2026-11-22T14:34:41",
        "2026-11-22T14:34:41Z ",
        " 2026-11-22T14:34:41Z",
        "2026-11-22t14:34:41z",
        "2026-11-22 14:34:41Z",
        "2026-11-22T14:34:41.0Z",
        "2026-11-22T14:34:41+00:00",
        "2026-11-22T24:00:00Z",
        "2026-11-22T23:60:00Z",
        "2026-11-22T23:59:60Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "10000-01-01T00:00:00Z",
        "-026-11-22T14:34:41Z",
        "2026-1\n-22T14:34:41Z",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        int64_t seconds = 99;
        struct err e = ERR_NONE;
        cr_assert_eq(chrono_parse(bad[i], "expires", &seconds, &e), -1, "%s", bad[i]);
        cr_assert(err_is(&e, &err_syntax));
        cr_assert_eq(strncmp(e.text, "expires: ", 9), 0);
        cr_assert_eq(seconds, 99);
    }
}

Test(chrono, times_that_cannot_be_written_are_clamped) {
    char text[CHRONO_TEXT_BYTES];
    cr_assert_str_eq(chrono_format(INT64_MIN, text), "1970-01-01T00:00:00Z");
    cr_assert_str_eq(chrono_format(INT64_MAX, text), "9999-12-31T23:59:59Z");
}

static int64_t add_one(void *context) {
    return *(int64_t *)context + 1;
}

static int64_t add_two(void *context) {
    return *(int64_t *)context + 2;
}

Test(chrono, a_clock_is_what_it_was_made_from) {
    int64_t base = 40;
    const struct chrono clock = {.wall_ms = add_one, .boot_ms = add_two, .context = &base};
    cr_assert_eq(chrono_wall_ms(&clock), 41);
    cr_assert_eq(chrono_boot_ms(&clock), 42);
}

Test(chrono, the_machines_time_since_boot_does_not_run_backwards) {
    const struct chrono *clock = chrono_system();
    int64_t before = chrono_boot_ms(clock);
    cr_assert_geq(before, 0);
    cr_assert_geq(chrono_boot_ms(clock), before);
    cr_assert_gt(chrono_wall_ms(clock), 0);
}
