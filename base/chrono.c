// SPDX-License-Identifier: Apache-2.0
//
// The machine's clocks, and the one form in which a time is written.

#include "base/chrono.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/text.h"

static int64_t read_ms(clockid_t which) {
    struct timespec now;
    int failed = clock_gettime(which, &now);
    assert(!failed); // both clocks exist since Linux 2.6.39
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t system_wall_ms(void *context) {
    (void)context;
    return read_ms(CLOCK_REALTIME);
}

static int64_t system_boot_ms(void *context) {
    (void)context;
    return read_ms(CLOCK_BOOTTIME);
}

const struct chrono *chrono_system(void) {
    static const struct chrono clock = {.wall_ms = system_wall_ms, .boot_ms = system_boot_ms};
    return &clock;
}

int64_t chrono_wall_ms(const struct chrono *clock) {
    return clock->wall_ms(clock->context);
}

int64_t chrono_boot_ms(const struct chrono *clock) {
    return clock->boot_ms(clock->context);
}

static bool is_leap(int year) {
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_of_month(int year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap(year));
}

// Days from 1970-01-01 to the first of January of year, year >= 1970.
static int64_t days_before_year(int year) {
    int64_t y = year - 1;
    return (y - 1969) * 365 + (y / 4 - 1969 / 4) - (y / 100 - 1969 / 100) + (y / 400 - 1969 / 400);
}

static int two_digits(const char *text) {
    return (text[0] - '0') * 10 + (text[1] - '0');
}

static bool has_form(const char *text) {
    static const char form[] = "dddd-dd-ddTdd:dd:ddZ";
    for (size_t i = 0; i < sizeof form; i++) {
        bool digit = text[i] >= '0' && text[i] <= '9';
        if (form[i] == 'd' ? !digit : text[i] != form[i])
            return false;
    }
    return true;
}

int chrono_parse(const char *text, const char *what, int64_t *ret_s, struct err *e) {
    if (has_form(text)) {
        int year = two_digits(text) * 100 + two_digits(text + 2);
        int month = two_digits(text + 5), day = two_digits(text + 8);
        int hour = two_digits(text + 11), minute = two_digits(text + 14);
        int second = two_digits(text + 17);
        if (year >= 1970 && month >= 1 && month <= 12 && day >= 1 &&
            day <= days_of_month(year, month) && hour < 24 && minute < 60 && second < 60) {
            int64_t days = days_before_year(year) + day - 1;
            for (int m = 1; m < month; m++)
                days += days_of_month(year, m);
            *ret_s = ((days * 24 + hour) * 60 + minute) * 60 + second;
            return 0;
        }
    }
    char shown[48];
    return err_set(e, &err_syntax, "%s: expected a time such as 2026-11-22T14:34:41Z, found \"%s\"",
                   what, text_safe(text, shown, sizeof shown));
}

char *chrono_format(int64_t seconds, char ret[static CHRONO_TEXT_BYTES]) {
    if (seconds < 0)
        seconds = 0;
    if (seconds > CHRONO_MAX_S)
        seconds = CHRONO_MAX_S;
    int64_t days = seconds / 86400;
    int rest = (int)(seconds % 86400);
    int year = 1970 + (int)(days / 366); // never late; early by at most a few years
    while (days_before_year(year + 1) <= days)
        year++;
    int day = (int)(days - days_before_year(year));
    int month = 1;
    for (; day >= days_of_month(year, month); month++)
        day -= days_of_month(year, month);
    // The remainders tell the compiler what the clamp above already guarantees.
    (void)snprintf(ret, CHRONO_TEXT_BYTES, "%04u-%02u-%02uT%02u:%02u:%02uZ",
                   (unsigned)year % 10000U, (unsigned)month % 100U, (unsigned)(day + 1) % 100U,
                   (unsigned)(rest / 3600) % 100U, (unsigned)(rest / 60 % 60),
                   (unsigned)(rest % 60));
    return ret;
}
