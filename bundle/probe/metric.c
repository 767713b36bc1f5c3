// SPDX-License-Identifier: Apache-2.0
//
// Prometheus text, version 0.0.4: lines of NAME{label="value",…} VALUE [TIMESTAMP], comments,
// blanks. Only a line with the name that is looked for is read past its name, so that odd lines of
// other metrics do no harm. Numbers are read in the C locale whatever the process has.
#include "bundle/probe/metric.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "bundle/kind.h"

#define VALUE_BYTES_MAX 64 // of a number as written

// What is left of a text.
struct rest {
    const char *at;
    const char *end;
};

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static void skip_blanks(struct rest *r) {
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t'))
        r->at++;
}

static bool skip_char(struct rest *r, char c) {
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

// A name of a metric or, without colons, of a label; empty when there is none.
static struct slice take_name(struct rest *r, bool colons) {
    const char *from = r->at;
    while (r->at < r->end &&
           (is_letter(*r->at) || (colons && *r->at == ':') || (r->at > from && is_digit(*r->at))))
        r->at++;
    return (struct slice){(const uint8_t *)from, (size_t)(r->at - from)};
}

// What stands between two quotes, escapes and all.
static bool take_quoted(struct rest *r, struct slice *ret) {
    if (!skip_char(r, '"'))
        return false;
    const char *from = r->at;
    while (r->at < r->end && *r->at != '"')
        r->at += *r->at == '\\' && r->end - r->at > 1 ? 2 : 1;
    *ret = (struct slice){(const uint8_t *)from, (size_t)(r->at - from)};
    return skip_char(r, '"');
}

// The next label of a list whose '{' was taken. 0, 1 at the end of the list, -1 malformed.
static int take_label(struct rest *r, struct probe_metric_label *ret) {
    skip_blanks(r);
    if (skip_char(r, '}'))
        return 1;
    ret->name = take_name(r, false);
    skip_blanks(r);
    if (ret->name.len == 0 || !skip_char(r, '='))
        return -1;
    skip_blanks(r);
    if (!take_quoted(r, &ret->value))
        return -1;
    skip_blanks(r);
    // A comma may also follow the last label.
    return skip_char(r, ',') || (r->at < r->end && *r->at == '}') ? 0 : -1;
}

static bool same_slice(struct slice a, struct slice b) {
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

// The next character of an escaped value, which has one.
static uint8_t unescaped(const uint8_t **at, const uint8_t *end) {
    uint8_t c = *(*at)++;
    if (c != '\\' || *at == end)
        return c;
    switch (**at) {
    case 'n':
        ++*at;
        return '\n';
    case '"':
    case '\\':
        return *(*at)++;
    default:
        return c;
    }
}

static bool same_value(struct slice a, struct slice b) {
    const uint8_t *left = a.data, *left_end = a.data + a.len;
    const uint8_t *right = b.data, *right_end = b.data + b.len;
    while (left < left_end && right < right_end)
        if (unescaped(&left, left_end) != unescaped(&right, right_end))
            return false;
    return left == left_end && right == right_end;
}

static int bad_metric(const char *text, const char *why, struct err *e) {
    char shown[128];
    return err_set(e, &err_bad_manifest, "metric %s: %s", text_safe(text, shown, sizeof shown),
                   why);
}

int probe_metric_parse(const char *text, struct probe_metric *ret, struct err *e) {
    struct probe_metric metric = {.n_labels = 0};
    struct rest r = {text, text + strlen(text)};
    metric.name = take_name(&r, true);
    if (metric.name.len == 0)
        return bad_metric(text, "expected NAME or NAME{label=\"value\",…}", e);
    bool more = skip_char(&r, '{');
    while (more) {
        struct probe_metric_label label;
        int taken = take_label(&r, &label);
        if (taken < 0)
            return bad_metric(text, "expected label=\"value\", a comma or }", e);
        if (taken > 0)
            break;
        if (metric.n_labels == BUNDLE_PROBE_METRIC_LABELS_MAX)
            return bad_metric(text, "more than 16 labels", e);
        for (size_t i = 0; i < metric.n_labels; i++)
            if (same_slice(metric.labels[i].name, label.name))
                return bad_metric(text, "a label stands in it twice", e);
        metric.labels[metric.n_labels++] = label;
    }
    if (r.at != r.end)
        return bad_metric(text, "something follows its end", e);
    *ret = metric;
    return 0;
}

// Whether the labels of a line have all those of the metric; -1 when they are malformed.
static int labels_match(struct rest *r, const struct probe_metric *metric) {
    uint32_t found = 0;
    if (!skip_char(r, '{'))
        return metric->n_labels == 0;
    for (;;) {
        struct probe_metric_label label;
        int taken = take_label(r, &label);
        if (taken < 0)
            return -1;
        if (taken > 0)
            return found == (1U << metric->n_labels) - 1;
        for (size_t i = 0; i < metric->n_labels; i++)
            if (same_slice(metric->labels[i].name, label.name) &&
                same_value(metric->labels[i].value, label.value))
                found |= 1U << i;
    }
}

// A decimal number with an optional exponent; strtod alone would also take hexadecimal.
static bool is_decimal(const char *text) {
    text += *text == '+' || *text == '-';
    size_t whole = strspn(text, "0123456789");
    text += whole;
    size_t part = 0;
    if (*text == '.') {
        part = strspn(++text, "0123456789");
        text += part;
    }
    if (whole + part == 0)
        return false;
    if (*text == 'e' || *text == 'E') {
        text++;
        text += *text == '+' || *text == '-';
        size_t digits = strspn(text, "0123456789");
        if (digits == 0)
            return false;
        text += digits;
    }
    return !*text;
}

static bool read_special(const char *text, double *ret) {
    static const struct {
        const char *text;
        double value;
    } specials[] = {{"nan", NAN},
                    {"inf", INFINITY},
                    {"+inf", INFINITY},
                    {"-inf", -INFINITY},
                    {"infinity", INFINITY},
                    {"+infinity", INFINITY},
                    {"-infinity", -INFINITY}};
    for (size_t i = 0; i < sizeof specials / sizeof specials[0]; i++) {
        if (strcasecmp(text, specials[i].text) == 0) {
            *ret = specials[i].value;
            return true;
        }
    }
    return false;
}

static bool read_value(struct rest *r, double *ret) {
    char text[VALUE_BYTES_MAX + 1];
    skip_blanks(r);
    size_t len = 0;
    for (; r->at < r->end && *r->at != ' ' && *r->at != '\t' && *r->at != '\r'; r->at++) {
        if (len == VALUE_BYTES_MAX)
            return false;
        text[len++] = *r->at;
    }
    text[len] = '\0';
    if (strlen(text) != len)
        return false;
    if (read_special(text, ret))
        return true;
    if (!is_decimal(text))
        return false;
    locale_t c_locale = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    if (c_locale == (locale_t)0)
        return false;
    locale_t before = uselocale(c_locale);
    *ret = strtod(text, NULL);
    (void)uselocale(before);
    freelocale(c_locale);
    return true;
}

int bundle_probe_find_sample(struct slice text, const char *metric, double *ret, struct err *e) {
    struct probe_metric wanted;
    if (probe_metric_parse(metric, &wanted, e) < 0)
        return -1;
    if (text.len == 0)
        return BUNDLE_PROBE_NO_SAMPLE;
    const char *at = (const char *)text.data, *end = at + text.len;
    for (size_t number = 1; at < end; number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        struct rest line = {at, newline ? newline : end};
        at = newline ? newline + 1 : end;
        skip_blanks(&line);
        if (!same_slice(take_name(&line, true), wanted.name))
            continue;
        skip_blanks(&line);
        int match = labels_match(&line, &wanted);
        if (match == 0)
            continue;
        double value = 0;
        if (match < 0 || !read_value(&line, &value))
            return err_set(e, &err_bad_message,
                           "metrics, line %zu: expected NAME{label=\"value\",…} VALUE", number);
        *ret = value;
        return 0;
    }
    return BUNDLE_PROBE_NO_SAMPLE;
}
