// SPDX-License-Identifier: Apache-2.0
//
// Numbers, times, versions and text from outside, each held against something that was written by
// others or against itself.

#include <errno.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/chrono.h"
#include "base/num.h"
#include "base/own.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)

// Digits without a leading zero at the start of text.
static size_t digits_of(const char *text) {
    size_t len = strspn(text, "0123456789");
    return len > 1 && text[0] == '0' ? 0 : len;
}

static void require_u64(const char *text) {
    uint64_t value = 7;
    struct err e = ERR_NONE;
    int done = num_parse_u64(text, "n", 0, UINT64_MAX, &value, &e);
    size_t digits = digits_of(text);
    bool is_number = digits > 0 && text[digits] == '\0';
    errno = 0;
    unsigned long long theirs = is_number ? strtoull(text, NULL, 10) : 0;
    REQUIRE((done == 0) == (is_number && errno == 0));
    REQUIRE(done < 0 ? value == 7 : value == theirs);
    REQUIRE(done == 0 || err_is(&e, is_number ? &err_limit : &err_syntax));
}

static void require_units(const char *text) {
    static const struct {
        char letter;
        uint64_t bytes, seconds;
    } units[] = {{'\0', 1, 1},      {'K', 1 << 10, 0},   {'M', 1 << 20, 0},
                 {'G', 1 << 30, 0}, {'T', 1LL << 40, 0}, {'s', 0, 1},
                 {'m', 0, 60},      {'h', 0, 3600},      {'d', 0, 86400}};
    uint64_t bytes = 7, seconds = 7;
    struct err e[2] = {ERR_NONE, ERR_NONE};
    int got_bytes = num_parse_bytes(text, "n", UINT64_MAX, &bytes, &e[0]);
    int got_seconds = num_parse_seconds(text, "n", UINT64_MAX, &seconds, &e[1]);
    size_t digits = digits_of(text);
    errno = 0;
    unsigned long long count = strtoull(text, NULL, 10);
    bool fits = digits > 0 && errno == 0 && (text[digits] == '\0' || text[digits + 1] == '\0');
    bool bytes_fit = false, seconds_fit = false;
    for (size_t i = 0; fits && i < sizeof units / sizeof units[0]; i++) {
        if (units[i].letter != text[digits])
            continue;
        unsigned long long product;
        bytes_fit = units[i].bytes && !__builtin_mul_overflow(count, units[i].bytes, &product);
        REQUIRE(!bytes_fit || bytes == product);
        seconds_fit =
            units[i].seconds && !__builtin_mul_overflow(count, units[i].seconds, &product);
        REQUIRE(!seconds_fit || seconds == product);
    }
    REQUIRE((got_bytes == 0) == bytes_fit);
    REQUIRE((got_seconds == 0) == seconds_fit);
}

static void require_decimal(const char *text) {
    struct decimal value = {.nano = 7};
    struct err e = ERR_NONE;
    if (num_parse_decimal(text, "n", &value, &e) < 0) {
        REQUIRE(value.nano == 7);
        return;
    }
    // 64 bits of mantissa are enough for 18 digits.
    long double theirs = strtold(text, NULL) * 1e9L;
    REQUIRE(value.nano == (long long)(theirs < 0 ? theirs - 0.5L : theirs + 0.5L));
    char shortest[NUM_DECIMAL_TEXT];
    struct decimal again = {.nano = 7};
    REQUIRE(strlen(num_format_decimal(value, shortest)) <= strlen(text));
    REQUIRE(num_parse_decimal(shortest, "n", &again, &e) == 0);
    REQUIRE(num_compare_decimal(value, again) == 0);
}

static void require_time(const char *text) {
    int64_t seconds = 7;
    struct err e = ERR_NONE;
    char again[CHRONO_TEXT_BYTES];
    if (chrono_parse(text, "t", &seconds, &e) == 0)
        REQUIRE(strcmp(chrono_format(seconds, again), text) == 0);
    else
        REQUIRE(seconds == 7);
}

static bool is_shown_safely(const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7F)
            return false;
    }
    return text_is_utf8(text, len) && !strstr(text, "\u202e") && !strstr(text, "\xC2\x9B");
}

static void require_text(const uint8_t *data, size_t len) {
    const char *text = (const char *)data;
    OWN(json) json_t *string = json_stringn(text, len);
    bool good = string && !memchr(text, '\0', len);
    REQUIRE(text_is_utf8(text, len) == good);
    size_t prefix = text_utf8_prefix(text, len);
    REQUIRE(text_is_utf8(text, prefix) && (prefix == len) == good);

    OWN(buf) struct buf shown;
    buf_init(&shown, 9 * len + 1);
    struct err e = ERR_NONE;
    REQUIRE(text_escape(&shown, text, len, &e) == 0);
    REQUIRE(is_shown_safely(buf_text(&shown), shown.len));

    OWN(mem) char *hex = malloc(2 * len + 1);
    OWN(mem) uint8_t *back = malloc(len + 1);
    REQUIRE(hex && back);
    text_hex(data, len, hex);
    REQUIRE(text_unhex(hex, back, len, "hex", &e) == 0 && memcmp(back, data, len) == 0);
}

static void require_safe(const char *text, size_t size) {
    char whole[8192], cut[64];
    if (strlen(text) > 900)
        return;
    size = size % sizeof cut + 1;
    text_safe(text, whole, sizeof whole);
    text_safe(text, cut, size);
    size_t len = strlen(cut);
    REQUIRE(len < size && is_shown_safely(cut, len));
    if (strlen(whole) < size)
        REQUIRE(strcmp(whole, cut) == 0);
    else
        REQUIRE(size < 4 || strcmp(cut + len - 3, "…") == 0);
}

static int sign(int order) {
    return (order > 0) - (order < 0);
}

// Three versions, cut from the text at its spaces: the order must be one.
static void require_order(char *text) {
    const char *part[3] = {text, "", ""};
    for (int i = 1; i < 3; i++) {
        text += strcspn(text, " ");
        if (*text)
            *text++ = '\0';
        part[i] = text;
    }
    int order[3][3];
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++)
            order[i][j] = sign(text_compare_version(part[i], part[j]));
    }
    for (int i = 0; i < 3; i++) {
        REQUIRE(order[i][i] == 0);
        for (int j = 0; j < 3; j++) {
            REQUIRE(order[i][j] == -order[j][i]);
            for (int k = 0; k < 3; k++) {
                if (order[i][j] <= 0 && order[j][k] <= 0)
                    REQUIRE(order[i][k] <= 0);
            }
        }
    }
    size_t edits[2] = {0, 0};
    REQUIRE(text_is_near(part[0], part[1], &edits[0]) == text_is_near(part[1], part[0], &edits[1]));
    REQUIRE(edits[0] == edits[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    OWN(mem) char *text = malloc(len + 1);
    REQUIRE(text);
    memcpy(text, data, len);
    text[len] = '\0';
    require_text(data, len);
    require_u64(text);
    require_units(text);
    require_decimal(text);
    require_time(text);
    require_safe(text, len);
    require_order(text);
    return 0;
}
