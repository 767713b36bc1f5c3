// SPDX-License-Identifier: Apache-2.0
//
// Numbers from outside: at, below and above every bound, and everything that only looks like a
// number.

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const char *const not_numbers[] = {
    "",    " 1",   "1 ", "+1",  "-1",  "01",    "00",  "0x10", "1e3",
    "1.0", "1\n2", "١",  "one", "1_0", "1,000", "--1", "1k",   "\t1",
};

Test(num, the_whole_string_is_a_number_or_it_is_refused) {
    for (size_t i = 0; i < COUNT(not_numbers); i++) {
        uint64_t value = 42;
        struct err e = ERR_NONE;
        cr_assert_eq(num_parse_u64(not_numbers[i], "n", 0, UINT64_MAX, &value, &e), -1, "%s",
                     not_numbers[i]);
        cr_assert(err_is(&e, &err_syntax), "%s", e.text);
        cr_assert_eq(value, 42);
    }
}

Test(num, bounds_are_included) {
    const struct {
        const char *text;
        uint64_t min, max, value;
        bool good;
    } rows[] = {
        {"0", 0, 0, 0, true},
        {"5", 5, 7, 5, true},
        {"7", 5, 7, 7, true},
        {"4", 5, 7, 0, false},
        {"8", 5, 7, 0, false},
        {"18446744073709551615", 0, UINT64_MAX, UINT64_MAX, true},
        {"18446744073709551616", 0, UINT64_MAX, 0, false},
        {"99999999999999999999999999", 0, UINT64_MAX, 0, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t value = 99;
        struct err e = ERR_NONE;
        int done = num_parse_u64(rows[i].text, "n", rows[i].min, rows[i].max, &value, &e);
        cr_assert_eq(done, rows[i].good ? 0 : -1, "%s", rows[i].text);
        cr_assert_eq(value, rows[i].good ? rows[i].value : 99);
        if (!rows[i].good)
            cr_assert(err_is(&e, &err_limit));
    }
}

Test(num, the_error_says_what_was_expected_and_found) {
    uint64_t value;
    struct err e = ERR_NONE;
    (void)num_parse_u64("ten\x1b", "agent.json: poll_s", 1, 86400, &value, &e);
    cr_assert_str_eq(e.text,
                     "agent.json: poll_s: expected a number from 1 to 86400, found \"ten\\x1B\"");
}

Test(num, byte_counts_have_powers_of_1024) {
    const struct {
        const char *text;
        uint64_t max, value;
        const struct err_kind *kind;
    } rows[] = {
        {"0", 10, 0, NULL},
        {"512", 512, 512, NULL},
        {"513", 512, 0, &err_limit},
        {"64K", UINT64_MAX, 65536, NULL},
        {"20M", UINT64_MAX, 20971520, NULL},
        {"2G", UINT64_MAX, 2147483648, NULL},
        {"3T", UINT64_MAX, 3298534883328, NULL},
        {"16777215T", UINT64_MAX, 18446742974197923840U, NULL},
        {"16777216T", UINT64_MAX, 0, &err_limit},
        {"18446744073709551616K", UINT64_MAX, 0, &err_limit},
        {"18446744073709551616X", UINT64_MAX, 0, &err_syntax},
        {"64k", UINT64_MAX, 0, &err_syntax},
        {"64KB", UINT64_MAX, 0, &err_syntax},
        {"64KK", UINT64_MAX, 0, &err_syntax},
        {"64 K", UINT64_MAX, 0, &err_syntax},
        {"K", UINT64_MAX, 0, &err_syntax},
        {"", UINT64_MAX, 0, &err_syntax},
        {"064K", UINT64_MAX, 0, &err_syntax},
        {"1.5G", UINT64_MAX, 0, &err_syntax},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t value = 99;
        struct err e = ERR_NONE;
        int done = num_parse_bytes(rows[i].text, "quota", rows[i].max, &value, &e);
        cr_assert_eq(done, rows[i].kind ? -1 : 0, "%s", rows[i].text);
        cr_assert_eq(e.kind, rows[i].kind, "%s", rows[i].text);
        cr_assert_eq(value, rows[i].kind ? 99 : rows[i].value);
    }
}

Test(num, durations_are_seconds_unless_a_unit_follows) {
    const struct {
        const char *text;
        uint64_t value;
        const struct err_kind *kind;
    } rows[] = {
        {"0", 0, NULL},          {"90", 90, NULL},       {"90s", 90, NULL},
        {"15m", 900, NULL},      {"2h", 7200, NULL},     {"30d", 2592000, NULL},
        {"31d", 0, &err_limit},  {"2w", 0, &err_syntax}, {"1h30m", 0, &err_syntax},
        {"-1s", 0, &err_syntax}, {"s", 0, &err_syntax},  {"213503982334602d", 0, &err_limit},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t value = 99;
        struct err e = ERR_NONE;
        int done = num_parse_seconds(rows[i].text, "probation", 2592000, &value, &e);
        cr_assert_eq(done, rows[i].kind ? -1 : 0, "%s", rows[i].text);
        cr_assert_eq(e.kind, rows[i].kind, "%s", rows[i].text);
        cr_assert_eq(value, rows[i].kind ? 99 : rows[i].value);
    }
}

Test(num, decimals_are_exact_to_nine_places) {
    const struct {
        const char *text;
        int64_t nano;
        const char *shortest;
    } rows[] = {
        {"0", 0, "0"},
        {"0.0", 0, "0"},
        {"0.25", 250000000, "0.25"},
        {"-3", -3000000000, "-3"},
        {"12.500", 12500000000, "12.5"},
        {"-0.000000001", -1, "-0.000000001"},
        {"100", 100000000000, "100"},
        {"999999999.999999999", 999999999999999999, "999999999.999999999"},
        {"-999999999.999999999", -999999999999999999, "-999999999.999999999"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct decimal value = {.nano = 99};
        struct err e = ERR_NONE;
        cr_assert_eq(num_parse_decimal(rows[i].text, "bound", &value, &e), 0, "%s", e.text);
        cr_assert_eq(value.nano, rows[i].nano);
        char text[NUM_DECIMAL_TEXT];
        cr_assert_str_eq(num_format_decimal(value, text), rows[i].shortest);
    }
}

Test(num, what_is_not_a_decimal_is_refused) {
    const char *const bad[] = {"",     "-",   ".5",   "5.",  "-.5", "1..2", "1.2.3",
                               "01.5", "-01", "+1",   "1e3", "1,5", " 1.5", "1.5 ",
                               "--1",  "-0",  "-0.0", "nan", "inf", "0x1",  "1.-2"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct decimal value = {.nano = 99};
        struct err e = ERR_NONE;
        cr_assert_eq(num_parse_decimal(bad[i], "bound", &value, &e), -1, "%s", bad[i]);
        cr_assert(err_is(&e, &err_syntax), "%s", bad[i]);
        cr_assert_eq(value.nano, 99);
    }
    const char *const big[] = {"1000000000", "0.0000000001", "1.0000000000", "-1000000000",
                               "99999999999999999999999.5"};
    for (size_t i = 0; i < COUNT(big); i++) {
        struct decimal value = {.nano = 99};
        struct err e = ERR_NONE;
        cr_assert_eq(num_parse_decimal(big[i], "bound", &value, &e), -1, "%s", big[i]);
        cr_assert(err_is(&e, &err_limit), "%s", big[i]);
        cr_assert_eq(value.nano, 99);
    }
}

Test(num, every_int64_can_be_formatted_as_a_decimal) {
    char text[NUM_DECIMAL_TEXT];
    cr_assert_str_eq(num_format_decimal((struct decimal){INT64_MIN}, text),
                     "-9223372036.854775808");
    cr_assert_str_eq(num_format_decimal((struct decimal){INT64_MAX}, text), "9223372036.854775807");
}

Test(num, whole_decimals_stay_in_range) {
    cr_assert_eq(num_decimal_of(-5).nano, -5000000000);
    cr_assert_eq(num_decimal_of(INT64_MAX).nano, num_decimal_of(NUM_DECIMAL_MAX).nano);
    cr_assert_eq(num_decimal_of(INT64_MIN).nano, num_decimal_of(-NUM_DECIMAL_MAX).nano);
    cr_assert_lt(num_compare_decimal(num_decimal_of(-1), num_decimal_of(1)), 0);
    cr_assert_gt(num_compare_decimal(num_decimal_of(2), num_decimal_of(1)), 0);
    cr_assert_eq(num_compare_decimal(num_decimal_of(2), num_decimal_of(2)), 0);
}

Test(num, arithmetic_that_does_not_fit_changes_nothing) {
    uint64_t value = 7;
    cr_assert(num_add_u64(UINT64_MAX - 1, 1, &value));
    cr_assert_eq(value, UINT64_MAX);
    value = 7;
    cr_assert_not(num_add_u64(UINT64_MAX, 1, &value));
    cr_assert_not(num_mul_u64(UINT64_C(1) << 32, UINT64_C(1) << 32, &value));
    cr_assert_eq(value, 7);
    cr_assert(num_mul_u64(UINT32_MAX, UINT32_MAX, &value));
    cr_assert_eq(value, 18446744065119617025U);
}

Test(num, sizes_for_people_round_and_change_unit) {
    const struct {
        uint64_t bytes;
        const char *text;
    } rows[] = {
        {0, "0 B"},
        {412, "412 B"},
        {1023, "1023 B"},
        {1024, "1 KiB"},
        {1536, "1.5 KiB"},
        {1048524, "1023.9 KiB"},
        {1048525, "1 MiB"},
        {1572864, "1.5 MiB"},
        {10485760, "10 MiB"},
        {UINT64_C(1) << 50, "1 PiB"},
        {UINT64_MAX, "16 EiB"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[NUM_SIZE_TEXT];
        cr_assert_str_eq(num_format_size(rows[i].bytes, text), rows[i].text);
    }
}
