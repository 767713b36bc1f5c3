// SPDX-License-Identifier: Apache-2.0
//
// One pass over the bytes of a document. Where it stands inside objects and arrays is one bit per
// level.

#include "base/doc_scan.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

struct scan {
    const uint8_t *start, *at, *end;
    const char *what;
    const struct doc_limits *limits;
    struct err *e;
    uint64_t objects; // bit n: level n is an object, otherwise an array
    unsigned depth;
    size_t values;
};

// What may come next.
enum expect {
    EXPECT_VALUE,
    EXPECT_VALUE_OR_END, // after '['
    EXPECT_KEY,
    EXPECT_KEY_OR_END, // after '{'
    EXPECT_COLON,
    EXPECT_COMMA_OR_END,
};

// Refuses at s->at: "agent.json: line 3, column 7: …". Columns count characters.
__attribute__((format(printf, 3, 4))) static int refuse(struct scan *s, const struct err_kind *kind,
                                                        const char *format, ...) {
    size_t line = 1;
    size_t column = 1;
    for (const uint8_t *p = s->start; p < s->at; p++) {
        if (*p == '\n') {
            line++;
            column = 1;
        } else if ((*p & 0xC0) != 0x80) {
            column++;
        }
    }
    char text[ERR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return err_set(s->e, kind, "%s: line %zu, column %zu: %s", s->what, line, column, text);
}

// Refuses what stands at s->at where something else was expected.
static int unexpected(struct scan *s, const char *expected) {
    if (s->at == s->end)
        return refuse(s, &err_syntax, "expected %s, found the end", expected);
    char one[5] = "";
    size_t len = 1;
    while (len < 4 && s->at + len < s->end && (s->at[len] & 0xC0) == 0x80)
        len++;
    memcpy(one, s->at, len);
    char shown[32];
    text_safe(*one ? one : "NUL", shown, sizeof shown);
    return refuse(s, &err_syntax, "expected %s, found '%s'", expected, shown);
}

static void skip_blanks(struct scan *s) {
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
        s->at++;
}

static bool is_digit_at(const struct scan *s) {
    return s->at < s->end && *s->at >= '0' && *s->at <= '9';
}

// Four hex digits at `at`; -1 when they are not.
static int32_t hex4(const struct scan *s, const uint8_t *at) {
    if (s->end - at < 4)
        return -1;
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t c = at[i];
        int digit;
        if (c >= '0' && c <= '9')
            digit = c - '0';
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            digit = (c | 0x20) - 'a' + 10;
        else
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

// \u and four digits, or two of them for a character beyond U+FFFF; s->at is on the backslash.
static int scan_unicode_escape(struct scan *s) {
    int32_t value = hex4(s, s->at + 2);
    if (value < 0)
        return refuse(s, &err_syntax, "\\u needs four hex digits");
    if (value == 0)
        return refuse(s, &err_syntax, "a string must not contain NUL");
    if (value >= 0xDC00 && value <= 0xDFFF)
        return refuse(s, &err_syntax, "half a surrogate pair");
    if (value >= 0xD800 && value <= 0xDBFF) {
        const uint8_t *second = s->at + 6;
        int32_t low = s->end - second >= 6 && second[0] == '\\' && second[1] == 'u'
                          ? hex4(s, second + 2)
                          : -1;
        if (low < 0xDC00 || low > 0xDFFF)
            return refuse(s, &err_syntax, "half a surrogate pair");
        s->at += 6;
    }
    s->at += 6;
    return 0;
}

static int scan_escape(struct scan *s) {
    if (s->end - s->at < 2)
        return refuse(s, &err_syntax, "a string does not end");
    if (s->at[1] == 'u')
        return scan_unicode_escape(s);
    if (s->at[1] == '\0' || !strchr("\"\\/bfnrt", s->at[1]))
        return refuse(s, &err_syntax, "an escape that JSON does not know");
    s->at += 2;
    return 0;
}

static bool is_plain(uint8_t c) {
    return c >= 0x20 && c != '"' && c != '\\';
}

// s->at is on the opening quote, afterwards behind the closing one.
static int scan_string(struct scan *s) {
    s->at++;
    for (;;) {
        const uint8_t *run = s->at;
        while (run < s->end && is_plain(*run))
            run++;
        size_t len = (size_t)(run - s->at);
        size_t good = text_utf8_prefix((const char *)s->at, len);
        s->at += good;
        if (good < len)
            return refuse(s, &err_syntax, "a string is not UTF-8");
        if (s->at == s->end)
            return refuse(s, &err_syntax, "a string does not end");
        if (*s->at == '"') {
            s->at++;
            return 0;
        }
        if (*s->at != '\\')
            return refuse(s, &err_syntax, "a control character in a string must be escaped");
        if (scan_escape(s) < 0)
            return -1;
    }
}

static int skip_digits(struct scan *s) {
    if (!is_digit_at(s))
        return unexpected(s, "a digit");
    while (is_digit_at(s))
        s->at++;
    return 0;
}

// The part of a number behind its whole part, if there is one.
static int scan_fraction(struct scan *s, const uint8_t *number) {
    if (s->at == s->end || (*s->at != '.' && *s->at != 'e' && *s->at != 'E'))
        return 0;
    if (!s->limits->floats) {
        s->at = number;
        return refuse(s, &err_syntax, "real numbers are not allowed here");
    }
    if (*s->at == '.') {
        s->at++;
        if (skip_digits(s) < 0)
            return -1;
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
            s->at++;
        if (skip_digits(s) < 0)
            return -1;
    }
    return 1;
}

static int scan_number(struct scan *s) {
    const uint8_t *number = s->at;
    bool negative = *s->at == '-';
    if (negative)
        s->at++;
    if (!is_digit_at(s))
        return unexpected(s, "a digit");
    int64_t value = 0;
    bool fits = true;
    if (*s->at == '0') {
        s->at++;
        if (is_digit_at(s)) {
            s->at = number;
            return refuse(s, &err_syntax, "a number must not begin with zeros");
        }
    }
    for (; is_digit_at(s); s->at++) {
        int digit = *s->at - '0';
        fits = fits && !__builtin_mul_overflow(value, 10, &value) &&
               !__builtin_add_overflow(value, negative ? -digit : digit, &value);
    }
    int real = scan_fraction(s, number);
    if (real < 0)
        return -1;
    if (!real && !fits) {
        s->at = number;
        return refuse(s, &err_limit, "an integer does not fit into 64 bits");
    }
    return 0;
}

static int scan_literal(struct scan *s) {
    static const char *const literals[] = {"true", "false", "null"};
    for (size_t i = 0; i < sizeof literals / sizeof literals[0]; i++) {
        size_t len = strlen(literals[i]);
        if ((size_t)(s->end - s->at) >= len && memcmp(s->at, literals[i], len) == 0) {
            s->at += len;
            return 0;
        }
    }
    return unexpected(s, "a value");
}

static bool in_object(const struct scan *s) {
    return s->depth > 0 && (s->objects >> (s->depth - 1) & 1);
}

// '{' or '['.
static int enter(struct scan *s) {
    if (s->depth == s->limits->depth)
        return refuse(s, &err_limit, "nested more than %u deep", s->limits->depth);
    uint64_t bit = UINT64_C(1) << s->depth;
    s->objects = *s->at == '{' ? s->objects | bit : s->objects & ~bit;
    s->depth++;
    s->at++;
    return 0;
}

// Leaves *next at what may come behind the value, or behind its opening bracket.
static int scan_value(struct scan *s, enum expect *next) {
    if (s->at == s->end)
        return unexpected(s, "a value");
    if (s->values == s->limits->values)
        return refuse(s, &err_limit, "more than %zu values", s->limits->values);
    s->values++;
    *next = EXPECT_COMMA_OR_END;
    switch (*s->at) {
    case '{':
        *next = EXPECT_KEY_OR_END;
        return enter(s);
    case '[':
        *next = EXPECT_VALUE_OR_END;
        return enter(s);
    case '"':
        return scan_string(s);
    default:
        return *s->at == '-' || is_digit_at(s) ? scan_number(s) : scan_literal(s);
    }
}

static int scan_key(struct scan *s, enum expect *next) {
    if (s->at == s->end || *s->at != '"')
        return unexpected(s, "a key in quotes");
    *next = EXPECT_COLON;
    return scan_string(s);
}

static int scan_comma_or_end(struct scan *s, enum expect *next) {
    bool object = in_object(s);
    if (s->at < s->end && *s->at == ',') {
        s->at++;
        *next = object ? EXPECT_KEY : EXPECT_VALUE;
        return 0;
    }
    if (s->at == s->end || *s->at != (object ? '}' : ']'))
        return unexpected(s, object ? "',' or '}'" : "',' or ']'");
    s->at++;
    s->depth--;
    return 0;
}

static int scan_colon(struct scan *s, enum expect *next) {
    if (s->at == s->end || *s->at != ':')
        return unexpected(s, "':'");
    s->at++;
    *next = EXPECT_VALUE;
    return 0;
}

// One step of the grammar.
static int scan_next(struct scan *s, enum expect *next) {
    switch (*next) {
    case EXPECT_VALUE_OR_END:
        if (s->at < s->end && *s->at == ']') {
            *next = EXPECT_COMMA_OR_END;
            return scan_comma_or_end(s, next);
        }
        return scan_value(s, next);
    case EXPECT_VALUE:
        return scan_value(s, next);
    case EXPECT_KEY_OR_END:
        if (s->at < s->end && *s->at == '}') {
            *next = EXPECT_COMMA_OR_END;
            return scan_comma_or_end(s, next);
        }
        return scan_key(s, next);
    case EXPECT_KEY:
        return scan_key(s, next);
    case EXPECT_COLON:
        return scan_colon(s, next);
    case EXPECT_COMMA_OR_END:
        return scan_comma_or_end(s, next);
    }
    return unexpected(s, "a value");
}

int doc_scan(struct slice text, const char *what, const struct doc_limits *limits, struct err *e) {
    assert(limits->depth <= DOC_DEPTH_MAX);
    if (text.len > limits->bytes)
        return err_set(e, &err_limit, "%s: more than %zu bytes", what, limits->bytes);
    if (text.len == 0)
        return err_set(e, &err_syntax, "%s: it is empty", what);
    struct scan s = {
        .start = text.data,
        .at = text.data,
        .end = text.data + text.len,
        .what = what,
        .limits = limits,
        .e = e,
    };
    skip_blanks(&s);
    if (s.at == s.end || (*s.at != '{' && *s.at != '['))
        return unexpected(&s, "'{' or '['");
    enum expect next = EXPECT_VALUE;
    do {
        if (scan_next(&s, &next) < 0)
            return -1;
        skip_blanks(&s);
    } while (s.depth > 0);
    return s.at == s.end ? 0 : unexpected(&s, "the end");
}
