// SPDX-License-Identifier: Apache-2.0
//
// Whether what was measured is good enough.
#include "bundle/probe.h"

#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define NUMBER_TEXT 32

// "%.9g" with a point, whatever the locale of the process.
static char *format_number(double value, char ret[static NUMBER_TEXT]) {
    locale_t c_locale = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    locale_t before = c_locale ? uselocale(c_locale) : (locale_t)0;
    (void)snprintf(ret, NUMBER_TEXT, "%.9g", value);
    if (c_locale) {
        (void)uselocale(before);
        freelocale(c_locale);
    }
    return ret;
}

// A decimal has at most 18 digits, a double 15 to 17: the nearest double is meant.
static double of_decimal(struct decimal decimal) {
    return (double)decimal.nano / (double)NUM_DECIMAL_SCALE;
}

__attribute__((format(printf, 3, 4))) static int outside(char *ret_why, size_t why_bytes,
                                                         const char *format, ...) {
    va_list args;
    char sentence[512];
    va_start(args, format);
    (void)vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    (void)text_safe(sentence, ret_why, why_bytes);
    return BUNDLE_PROBE_OUTSIDE;
}

static const char *metric_name(const struct bundle_probe *probe) {
    return probe->metric ? probe->metric : "the value";
}

int bundle_probe_judge_value(const struct bundle_probe *probe, double value, char *ret_why,
                             size_t why_bytes) {
    char is[NUMBER_TEXT], bound[NUM_DECIMAL_TEXT];
    if (isnan(value))
        return outside(ret_why, why_bytes, "%s is not a number", metric_name(probe));
    if (probe->has_min && value < of_decimal(probe->min))
        return outside(ret_why, why_bytes, "%s is %s, at least %s is wanted", metric_name(probe),
                       format_number(value, is), num_format_decimal(probe->min, bound));
    if (probe->has_max && value > of_decimal(probe->max))
        return outside(ret_why, why_bytes, "%s is %s, at most %s is allowed", metric_name(probe),
                       format_number(value, is), num_format_decimal(probe->max, bound));
    *ret_why = '\0';
    return 0;
}

static size_t element_bytes(enum bundle_probe_element element) {
    static const size_t bytes[BUNDLE_PROBE_ELEMENTS] = {
        [BUNDLE_PROBE_F32] = 4, [BUNDLE_PROBE_F64] = 8, [BUNDLE_PROBE_I8] = 1,
        [BUNDLE_PROBE_U8] = 1,  [BUNDLE_PROBE_I32] = 4, [BUNDLE_PROBE_TEXT] = 1};
    return bytes[element];
}

// The element at data, which need not be aligned; little-endian on every machine.
static double element_at(enum bundle_probe_element element, const uint8_t *data) {
    uint64_t bits = 0;
    for (size_t i = element_bytes(element); i > 0; i--)
        bits = bits << 8 | data[i - 1];
    uint32_t low = (uint32_t)bits;
    float f32;
    double f64;
    switch (element) {
    case BUNDLE_PROBE_F32:
        memcpy(&f32, &low, sizeof f32);
        return (double)f32;
    case BUNDLE_PROBE_F64:
        memcpy(&f64, &bits, sizeof f64);
        return f64;
    case BUNDLE_PROBE_I8:
        return (double)(int8_t)(uint8_t)bits;
    case BUNDLE_PROBE_I32:
        return (double)(int32_t)low;
    default:
        return (double)low;
    }
}

static bool agrees(double expected, double got, double absolute, double relative) {
    if (isnan(expected) || isnan(got))
        return false;
    // An infinite tolerance must not make everything agree with an expected infinity.
    if (isinf(expected) || isinf(got))
        return isinf(expected) && isinf(got) && signbit(expected) == signbit(got);
    return fabs(got - expected) <= absolute + relative * fabs(expected);
}

static int judge_text(struct slice expected, struct slice got, char *ret_why, size_t why_bytes) {
    size_t shorter = expected.len < got.len ? expected.len : got.len;
    for (size_t i = 0; i < shorter; i++)
        if (expected.data[i] != got.data[i])
            return outside(ret_why, why_bytes, "the output differs from byte %zu on", i + 1);
    if (expected.len != got.len)
        return outside(ret_why, why_bytes, "the output has %zu bytes, expected %zu", got.len,
                       expected.len);
    *ret_why = '\0';
    return 0;
}

int bundle_probe_judge_output(const struct bundle_probe *probe, struct slice expected,
                              struct slice got, char *ret_why, size_t why_bytes) {
    if (probe->element == BUNDLE_PROBE_TEXT)
        return judge_text(expected, got, ret_why, why_bytes);
    size_t size = element_bytes(probe->element);
    if (expected.len == 0 || expected.len % size)
        return outside(ret_why, why_bytes,
                       "the expected output has %zu bytes, no multiple of the element's %zu",
                       expected.len, size);
    if (got.len != expected.len)
        return outside(ret_why, why_bytes, "the output has %zu bytes, expected %zu", got.len,
                       expected.len);
    double absolute = of_decimal(probe->tolerance);
    double relative = of_decimal(probe->tolerance_relative);
    for (size_t at = 0; at < expected.len; at += size) {
        double want = element_at(probe->element, expected.data + at);
        double have = element_at(probe->element, got.data + at);
        if (agrees(want, have, absolute, relative))
            continue;
        char is[NUMBER_TEXT], wanted[NUMBER_TEXT], tolerance[NUMBER_TEXT];
        return outside(ret_why, why_bytes, "element %zu of %zu is %s, expected %s within %s",
                       at / size + 1, expected.len / size, format_number(have, is),
                       format_number(want, wanted),
                       format_number(absolute + relative * fabs(want), tolerance));
    }
    *ret_why = '\0';
    return 0;
}

static int compare_samples(const void *a, const void *b) {
    const uint64_t *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

uint64_t bundle_probe_p95(uint64_t *samples, size_t n) {
    if (n == 0)
        return 0;
    qsort(samples, n, sizeof *samples, compare_samples);
    // The smallest rank that covers 95 of 100: n less the whole twentieths, without overflow.
    return samples[n - n / 20 - 1];
}
