// SPDX-License-Identifier: Apache-2.0
//
// Digits read by hand: strtoull would skip blanks, accept a sign and look at the locale.

#include "base/num.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define SHOWN_BYTES 48

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

enum scan { SCAN_DONE, SCAN_NOT_A_NUMBER, SCAN_TOO_BIG };

// Reads a run of digits without a leading zero. *end is set behind it in any case.
static enum scan scan_digits(const char *text, const char **end, uint64_t *ret) {
    const char *at = text;
    uint64_t value = 0;
    bool fits = true;
    for (; is_digit(*at); at++) {
        fits = fits && num_mul_u64(value, 10, &value);
        fits = fits && num_add_u64(value, (uint64_t)(*at - '0'), &value);
    }
    *end = at;
    if (at == text || (text[0] == '0' && at - text > 1))
        return SCAN_NOT_A_NUMBER;
    if (!fits)
        return SCAN_TOO_BIG;
    *ret = value;
    return SCAN_DONE;
}

int num_parse_u64(const char *text, const char *what, uint64_t min, uint64_t max, uint64_t *ret,
                  struct err *e) {
    const char *end;
    uint64_t value = 0;
    enum scan scan = scan_digits(text, &end, &value);
    if (scan == SCAN_DONE && *end == '\0' && value >= min && value <= max) {
        *ret = value;
        return 0;
    }
    bool is_number = scan != SCAN_NOT_A_NUMBER && *end == '\0';
    char shown[SHOWN_BYTES];
    return err_set(e, is_number ? &err_limit : &err_syntax,
                   "%s: expected a number from %llu to %llu, found \"%s\"", what,
                   (unsigned long long)min, (unsigned long long)max,
                   text_safe(text, shown, sizeof shown));
}

struct unit {
    char letter;
    uint64_t factor;
};

// Digits and at most one letter of the table; the product must be at most max.
static int parse_with_unit(const char *text, const char *what, const char *expected,
                           const struct unit *units, uint64_t max, uint64_t *ret, struct err *e) {
    const char *end;
    uint64_t value = 0;
    uint64_t factor = 1;
    enum scan scan = scan_digits(text, &end, &value);
    if (scan != SCAN_NOT_A_NUMBER && *end) {
        while (units->letter && units->letter != *end)
            units++;
        if (!units->letter || end[1])
            scan = SCAN_NOT_A_NUMBER;
        factor = units->factor;
    }
    if (scan == SCAN_DONE && num_mul_u64(value, factor, &value) && value <= max) {
        *ret = value;
        return 0;
    }
    char shown[SHOWN_BYTES];
    return err_set(e, scan == SCAN_NOT_A_NUMBER ? &err_syntax : &err_limit,
                   "%s: expected %s, at most %llu, found \"%s\"", what, expected,
                   (unsigned long long)max, text_safe(text, shown, sizeof shown));
}

int num_parse_bytes(const char *text, const char *what, uint64_t max, uint64_t *ret,
                    struct err *e) {
    static const struct unit units[] = {
        {'K', UINT64_C(1) << 10},
        {'M', UINT64_C(1) << 20},
        {'G', UINT64_C(1) << 30},
        {'T', UINT64_C(1) << 40},
        {0, 0},
    };
    return parse_with_unit(text, what, "a number of bytes such as 500, 64K, 20M or 2G", units, max,
                           ret, e);
}

int num_parse_seconds(const char *text, const char *what, uint64_t max_s, uint64_t *ret,
                      struct err *e) {
    static const struct unit units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {0, 0}};
    return parse_with_unit(text, what, "a time in seconds such as 90, 90s, 15m, 2h or 30d", units,
                           max_s, ret, e);
}

#define DECIMAL_FRACTION_DIGITS 9

// Reads ".DIGITS", right-padded to nine digits.
static enum scan scan_fraction(const char *text, const char **end, uint64_t *ret) {
    const char *at = text + 1;
    uint64_t value = 0;
    size_t digits = 0;
    for (; is_digit(*at); at++, digits++) {
        if (digits < DECIMAL_FRACTION_DIGITS)
            value = value * 10 + (uint64_t)(*at - '0');
    }
    *end = at;
    if (digits == 0)
        return SCAN_NOT_A_NUMBER;
    if (digits > DECIMAL_FRACTION_DIGITS)
        return SCAN_TOO_BIG;
    for (; digits < DECIMAL_FRACTION_DIGITS; digits++)
        value *= 10;
    *ret = value;
    return SCAN_DONE;
}

int num_parse_decimal(const char *text, const char *what, struct decimal *ret, struct err *e) {
    bool negative = text[0] == '-';
    const char *end;
    uint64_t whole = 0;
    uint64_t fraction = 0;
    enum scan scan = scan_digits(text + negative, &end, &whole);
    if (scan == SCAN_DONE && whole > NUM_DECIMAL_MAX)
        scan = SCAN_TOO_BIG;
    if (scan != SCAN_NOT_A_NUMBER && *end == '.') {
        enum scan behind = scan_fraction(end, &end, &fraction);
        scan = behind == SCAN_DONE ? scan : behind;
    }
    // "-0" is refused: one value, one sign.
    bool is_number = scan != SCAN_NOT_A_NUMBER && *end == '\0' &&
                     !(negative && scan == SCAN_DONE && whole == 0 && fraction == 0);
    if (!is_number || scan != SCAN_DONE) {
        char shown[SHOWN_BYTES];
        return err_set(e, is_number ? &err_limit : &err_syntax,
                       "%s: expected a decimal such as 0.25, at most 9 digits before and after the "
                       "point, found \"%s\"",
                       what, text_safe(text, shown, sizeof shown));
    }
    int64_t nano = (int64_t)(whole * (uint64_t)NUM_DECIMAL_SCALE + fraction);
    ret->nano = negative ? -nano : nano;
    return 0;
}

char *num_format_decimal(struct decimal value, char ret[static NUM_DECIMAL_TEXT]) {
    uint64_t scale = (uint64_t)NUM_DECIMAL_SCALE;
    uint64_t size = value.nano < 0 ? 0 - (uint64_t)value.nano : (uint64_t)value.nano;
    const char *sign = value.nano < 0 ? "-" : "";
    int len;
    if (size % scale == 0) {
        (void)snprintf(ret, NUM_DECIMAL_TEXT, "%s%llu", sign, (unsigned long long)(size / scale));
        return ret;
    }
    len = snprintf(ret, NUM_DECIMAL_TEXT, "%s%llu.%09llu", sign, (unsigned long long)(size / scale),
                   (unsigned long long)(size % scale));
    while (ret[len - 1] == '0')
        ret[--len] = '\0';
    return ret;
}

struct decimal num_decimal_of(int64_t whole) {
    if (whole > NUM_DECIMAL_MAX)
        whole = NUM_DECIMAL_MAX;
    if (whole < -NUM_DECIMAL_MAX)
        whole = -NUM_DECIMAL_MAX;
    return (struct decimal){.nano = whole * NUM_DECIMAL_SCALE};
}

int num_compare_decimal(struct decimal a, struct decimal b) {
    return (a.nano > b.nano) - (a.nano < b.nano);
}

bool num_add_u64(uint64_t a, uint64_t b, uint64_t *ret) {
    uint64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *ret = sum;
    return true;
}

bool num_mul_u64(uint64_t a, uint64_t b, uint64_t *ret) {
    uint64_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *ret = product;
    return true;
}

char *num_format_size(uint64_t bytes, char ret[static NUM_SIZE_TEXT]) {
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) {
        (void)snprintf(ret, NUM_SIZE_TEXT, "%llu B", (unsigned long long)bytes);
        return ret;
    }
    size_t unit = 0;
    uint64_t tenths;
    for (;; unit++) {
        uint64_t size = UINT64_C(1) << (10 * (unit + 1));
        tenths = bytes / size * 10 + (bytes % size * 10 + size / 2) / size;
        // 1023.96 KiB rounds to 1024.0, which is the next unit's 1.
        if (tenths < 10240 || unit + 1 == sizeof units / sizeof units[0])
            break;
    }
    if (tenths % 10 == 0)
        (void)snprintf(ret, NUM_SIZE_TEXT, "%llu %s", (unsigned long long)(tenths / 10),
                       units[unit]);
    else
        (void)snprintf(ret, NUM_SIZE_TEXT, "%llu.%llu %s", (unsigned long long)(tenths / 10),
                       (unsigned long long)(tenths % 10), units[unit]);
    return ret;
}
