// SPDX-License-Identifier: Apache-2.0
//
// Numbers from outside: the whole string is a number within bounds, or it is refused (syntax,
// limit). No sign, no blank, no leading zero, no locale. Decimals are fixed-point (at most 18
// digits, 9 of them after the point) because signed documents carry no floats: "0.25", "-3",
// "12.500".
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define NUM_DECIMAL_SCALE 1000000000LL // a decimal is held in units of 1e-9
#define NUM_DECIMAL_MAX   999999999LL  // largest whole part
#define NUM_DECIMAL_TEXT  24           // bytes of a formatted decimal with its NUL

struct decimal {
    int64_t nano; // value * 1e9
};

// Parses an unsigned integer in [min, max]. `what` names it in the error.
int num_parse_u64(const char *text, const char *what, uint64_t min, uint64_t max, uint64_t *ret,
                  struct err *e) __attribute__((nonnull));
// Parses a byte count: digits with an optional K, M, G, T (powers of 1024, "64K", "2G").
int num_parse_bytes(const char *text, const char *what, uint64_t max, uint64_t *ret, struct err *e)
    __attribute__((nonnull));
// Parses a duration into seconds: digits with an optional s, m, h, d ("90", "15m", "2h", "30d").
int num_parse_seconds(const char *text, const char *what, uint64_t max_s, uint64_t *ret,
                      struct err *e) __attribute__((nonnull));

int num_parse_decimal(const char *text, const char *what, struct decimal *ret, struct err *e)
    __attribute__((nonnull));
// Shortest form: no trailing zeros, no trailing point. Returns ret.
char *num_format_decimal(struct decimal value, char ret[static NUM_DECIMAL_TEXT]);
// Clamped to ±NUM_DECIMAL_MAX.
struct decimal num_decimal_of(int64_t whole);
// Negative, zero, positive as a < b, a == b, a > b.
int num_compare_decimal(struct decimal a, struct decimal b);

// Checked arithmetic on sizes from outside: false when the result does not fit, *ret untouched.
bool num_add_u64(uint64_t a, uint64_t b, uint64_t *ret)
    __attribute__((nonnull, warn_unused_result));
bool num_mul_u64(uint64_t a, uint64_t b, uint64_t *ret)
    __attribute__((nonnull, warn_unused_result));

// "412 B", "1.5 MiB": for people. Returns ret.
#define NUM_SIZE_TEXT 24
char *num_format_size(uint64_t bytes, char ret[static NUM_SIZE_TEXT]);
