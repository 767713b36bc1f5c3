// SPDX-License-Identifier: Apache-2.0
//
// One UTF-8 decoder, and what is built on it: checking, escaping, and the order of versions.

#include "base/text.h"

#include <stdio.h>
#include <string.h>

// Decodes the character at text[0..len), len > 0. Returns its length in bytes, or 0 when the bytes
// are not strict UTF-8.
static size_t decode(const uint8_t *text, size_t len, uint32_t *ret) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first = text[0];
    size_t want;
    uint32_t value;
    if (first < 0x80) {
        *ret = first;
        return 1;
    }
    if ((first & 0xE0) == 0xC0) {
        want = 2;
        value = first & 0x1FU;
    } else if ((first & 0xF0) == 0xE0) {
        want = 3;
        value = first & 0x0FU;
    } else if ((first & 0xF8) == 0xF0) {
        want = 4;
        value = first & 0x07U;
    } else {
        return 0;
    }
    if (len < want)
        return 0;
    for (size_t i = 1; i < want; i++) {
        if ((text[i] & 0xC0) != 0x80)
            return 0;
        value = value << 6 | (text[i] & 0x3FU);
    }
    if (value < least[want] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
        return 0;
    *ret = value;
    return want;
}

size_t text_utf8_prefix(const char *text, size_t len) {
    const uint8_t *bytes = (const uint8_t *)text;
    size_t at = 0;
    while (at < len) {
        uint32_t value;
        size_t took = decode(bytes + at, len - at, &value);
        if (took == 0 || value == 0)
            break;
        at += took;
    }
    return at;
}

bool text_is_utf8(const char *text, size_t len) {
    return text_utf8_prefix(text, len) == len;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool text_is_name(const char *text, size_t max) {
    if (text[0] == '.' || text[0] == '-')
        return false;
    size_t len = 0;
    for (; text[len]; len++) {
        char c = text[len];
        if (len == max || !(is_letter(c) || is_digit(c) || strchr("._-+", c)))
            return false;
    }
    return len > 0;
}

bool text_ends_with(const char *text, const char *ending) {
    size_t len = strlen(text), end_len = strlen(ending);
    return len > end_len && strcmp(text + len - end_len, ending) == 0;
}

void text_hex(const uint8_t *data, size_t len, char *ret) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        ret[2 * i] = digits[data[i] >> 4];
        ret[2 * i + 1] = digits[data[i] & 0xF];
    }
    ret[2 * len] = '\0';
}

static int hex_value(char c) {
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

int text_unhex(const char *hex, uint8_t *ret, size_t len, const char *what, struct err *e) {
    size_t digits = 0;
    while (hex_value(hex[digits]) >= 0)
        digits++;
    if (hex[digits] || digits % 2 || digits / 2 != len) {
        char shown[80];
        return err_set(e, &err_syntax, "%s: expected %zu lower-case hex digits, found \"%s\"", what,
                       2 * len, text_safe(hex, shown, sizeof shown));
    }
    for (size_t i = 0; i < len; i++)
        ret[i] = (uint8_t)(hex_value(hex[2 * i]) << 4 | hex_value(hex[2 * i + 1]));
    return 0;
}

// Characters that change how a terminal shows other characters, or cannot be seen: controls,
// bidirectional marks and overrides, line and paragraph separators, zero-width and invisible
// operators, byte order mark, tags.
static bool is_hidden(uint32_t value) {
    return value < 0x20 || (value >= 0x7F && value <= 0x9F) || value == 0xAD || value == 0x61C ||
           value == 0x180E || (value >= 0x200B && value <= 0x200F) ||
           (value >= 0x2028 && value <= 0x202E) || (value >= 0x2060 && value <= 0x206F) ||
           value == 0xFEFF || (value >= 0xFFF9 && value <= 0xFFFB) ||
           (value >= 0xE0000 && value <= 0xE0FFF);
}

#define UNIT_BYTES 16

// Escapes the first character of text[0..len), len > 0, into ret (not NUL-terminated, *ret_len
// bytes). Returns how many bytes of text it took.
static size_t escape_one(const uint8_t *text, size_t len, char ret[static UNIT_BYTES],
                         size_t *ret_len) {
    uint32_t value = 0;
    size_t took = decode(text, len, &value);
    int wrote = 0;
    if (took == 0) {
        wrote = snprintf(ret, UNIT_BYTES, "\\x%02X", (unsigned)text[0]);
        took = 1;
    } else if (value == '\\') {
        wrote = snprintf(ret, UNIT_BYTES, "\\\\");
    } else if (value == '\n') {
        wrote = snprintf(ret, UNIT_BYTES, "\\n");
    } else if (value == '\t') {
        wrote = snprintf(ret, UNIT_BYTES, "\\t");
    } else if (value < 0x80 && is_hidden(value)) {
        wrote = snprintf(ret, UNIT_BYTES, "\\x%02X", (unsigned)value);
    } else if (is_hidden(value)) {
        wrote = snprintf(ret, UNIT_BYTES, "\\u{%X}", (unsigned)value);
    } else {
        memcpy(ret, text, took);
        wrote = (int)took;
    }
    *ret_len = (size_t)wrote;
    return took;
}

int text_escape(struct buf *b, const char *text, size_t len, struct err *e) {
    const uint8_t *at = (const uint8_t *)text;
    size_t before = b->len;
    while (len > 0) {
        char unit[UNIT_BYTES];
        size_t unit_len;
        size_t took = escape_one(at, len, unit, &unit_len);
        if (buf_add(b, unit, unit_len, e) < 0) {
            b->len = before;
            if (b->data)
                b->data[before] = '\0';
            return -1;
        }
        at += took;
        len -= took;
    }
    return 0;
}

char *text_safe(const char *text, char *ret, size_t ret_bytes) {
    static const char ellipsis[] = "…";
    const size_t ellipsis_len = sizeof ellipsis - 1;
    if (ret_bytes == 0)
        return ret;
    const uint8_t *at = (const uint8_t *)text;
    size_t len = strlen(text);
    size_t room = ret_bytes - 1;
    size_t used = 0;
    size_t cut = 0; // where the ellipsis goes if the next unit does not fit
    while (len > 0) {
        char unit[UNIT_BYTES];
        size_t unit_len;
        size_t took = escape_one(at, len, unit, &unit_len);
        if (unit_len > room - used) {
            used = cut;
            if (ellipsis_len <= room) {
                memcpy(ret + cut, ellipsis, ellipsis_len);
                used += ellipsis_len;
            }
            break;
        }
        memcpy(ret + used, unit, unit_len);
        used += unit_len;
        if (used + ellipsis_len <= room)
            cut = used;
        at += took;
        len -= took;
    }
    ret[used] = '\0';
    return ret;
}

// Where a byte sorts among the bytes that are not digits: '~' before the end of the text, then
// letters, then the rest.
static int version_rank(char c) {
    if (c == '~')
        return -1;
    if (c == '\0' || is_digit(c))
        return 0;
    return is_letter(c) ? c : (unsigned char)c + 256;
}

int text_compare_version(const char *a, const char *b) {
    while (*a || *b) {
        while ((*a && !is_digit(*a)) || (*b && !is_digit(*b))) {
            int order = version_rank(*a) - version_rank(*b);
            if (order != 0)
                return order;
            a++;
            b++;
        }
        while (*a == '0')
            a++;
        while (*b == '0')
            b++;
        int first = 0; // the first digit that differs decides between numbers of the same length
        for (; is_digit(*a) && is_digit(*b); a++, b++) {
            if (first == 0)
                first = *a - *b;
        }
        if (is_digit(*a))
            return 1;
        if (is_digit(*b))
            return -1;
        if (first != 0)
            return first;
    }
    return 0;
}

#define NEAR_BYTES 64 // longer words are not compared: no name that we look for is longer

static size_t least_of(size_t a, size_t b, size_t c) {
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

// Edit distance (insert, drop, replace, swap neighbours).
static size_t edits_between(const char *a, size_t a_len, const char *b, size_t b_len) {
    size_t rows[3][NEAR_BYTES + 1];
    size_t *two_up = rows[0], *up = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b_len; j++)
        up[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t replaced = up[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = least_of(up[j] + 1, row[j - 1] + 1, replaced);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                two_up[j - 2] + 1 < row[j])
                row[j] = two_up[j - 2] + 1;
        }
        size_t *spare = two_up;
        two_up = up;
        up = row;
        row = spare;
    }
    return up[b_len];
}

bool text_is_near(const char *word, const char *meant, size_t *ret_edits) {
    size_t word_len = strlen(word);
    size_t meant_len = strlen(meant);
    if (word_len == 0 || word_len > NEAR_BYTES || meant_len > NEAR_BYTES)
        return false;
    size_t edits = edits_between(word, word_len, meant, meant_len);
    size_t shorter = word_len < meant_len ? word_len : meant_len;
    if (edits > 2 || edits * 2 > shorter)
        return false;
    *ret_edits = edits;
    return true;
}

const char *text_find_near(const char *word, const char *const *candidates) {
    const char *best = NULL;
    size_t best_edits = 0;
    for (; *candidates; candidates++) {
        size_t edits;
        if (text_is_near(word, *candidates, &edits) && (!best || edits < best_edits)) {
            best = *candidates;
            best_edits = edits;
        }
    }
    return best;
}
