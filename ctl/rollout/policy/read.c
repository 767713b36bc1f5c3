// SPDX-License-Identifier: Apache-2.0
//
// Reading the values of a policy.
#include "ctl/rollout/policy/read.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/chrono.h"
#include "base/text.h"
#include "bundle/limits.h"
#include "ctl/rollout/policy.h"

#define PERCENT_NANO (NUM_DECIMAL_SCALE / 10000)       // of a percent, for a part in a million
#define RATIO_NANO   (NUM_DECIMAL_SCALE / ROLLOUT_PPM) // of one

int policy_read_wrong(const struct doc_at *at, const char *key, const char *expected,
                      struct err *e) {
    return err_set(e, &err_config, "%s.%s: expected %s", at->path, key, expected);
}

int policy_read_config(struct err *e) {
    if (err_is(e, &err_syntax) || err_is(e, &err_limit))
        e->kind = &err_config;
    return -1;
}

void policy_read_copy(char *ret, size_t ret_bytes, const char *text) {
    int n = snprintf(ret, ret_bytes, "%s", text);
    assert(n >= 0 && (size_t)n < ret_bytes);
}

int policy_read_name(const struct doc_at *at, const char *key, size_t max, char *ret,
                     struct err *e) {
    const char *text = NULL;
    if (doc_string(at, key, max, &text, e) < 0)
        return policy_read_config(e);
    if (!text_is_name(text, max))
        return policy_read_wrong(at, key, "a name of letters, digits, '.', '_', '-' and '+'", e);
    policy_read_copy(ret, max + 1, text);
    return 0;
}

int policy_read_choice(const struct doc_at *at, const char *key, const char *const *names, size_t n,
                       const char *expected, unsigned *ret, struct err *e) {
    const json_t *value = json_object_get(at->value, key);
    if (value == NULL || json_is_null(value))
        return DOC_ABSENT;
    for (size_t i = 0; json_is_string(value) && i < n; i++)
        if (strcmp(json_string_value(value), names[i]) == 0) {
            *ret = (unsigned)i;
            return 0;
        }
    return policy_read_wrong(at, key, expected, e);
}

int policy_read_release(const struct doc_at *at, const char *place, const char *text,
                        char ret_name[static BUNDLE_NAME_MAX + 1],
                        char ret_version[static BUNDLE_RELEASE_MAX + 1], struct err *e) {
    char name[BUNDLE_NAME_MAX + 1] = "";
    const char *blank = strchr(text, ' ');
    if (blank != NULL && (size_t)(blank - text) <= BUNDLE_NAME_MAX)
        memcpy(name, text, (size_t)(blank - text));
    if (!text_is_name(name, BUNDLE_NAME_MAX) || !text_is_name(blank + 1, BUNDLE_RELEASE_MAX))
        return policy_read_wrong(
            at, place, "\"NAME VERSION\", both of letters, digits, '.', '_', '-', '+'", e);
    policy_read_copy(ret_name, BUNDLE_NAME_MAX + 1, name);
    policy_read_copy(ret_version, BUNDLE_RELEASE_MAX + 1, blank + 1);
    return 0;
}

static int read_seconds(const struct doc_at *at, const char *key, uint64_t min_s, uint64_t *ret,
                        struct err *e) {
    const json_t *value = json_object_get(at->value, key);
    struct err detail = ERR_NONE;
    uint64_t found = 0;
    if (value == NULL || json_is_null(value))
        return DOC_ABSENT;
    if (json_is_integer(value)) {
        if (doc_u64(at, key, min_s, ROLLOUT_POLICY_TIME_MAX_S, ret, e) < 0)
            return policy_read_config(e);
        return 0;
    }
    if (!json_is_string(value) || num_parse_seconds(json_string_value(value), key,
                                                    ROLLOUT_POLICY_TIME_MAX_S, &found, &detail) < 0)
        return policy_read_wrong(
            at, key, "a duration like 90, \"15m\", \"2h\" or \"3d\", at most 366 days", e);
    if (found < min_s)
        return err_set(e, &err_config, "%s.%s: expected at least %llu s", at->path, key,
                       (unsigned long long)min_s);
    *ret = found;
    return 0;
}

int policy_read_duration(const struct doc_at *at, const char *key, uint64_t min_s, uint64_t *ret,
                         struct err *e) {
    char other[64];
    uint64_t first = 0, second = 0;
    size_t len = strlen(key) - strlen("_s");
    assert(len < sizeof other);
    memcpy(other, key, len);
    other[len] = '\0';
    int a = read_seconds(at, key, min_s, &first, e);
    int b = a < 0 ? -1 : read_seconds(at, other, min_s, &second, e);
    if (a < 0 || b < 0)
        return -1;
    if (a == 0 && b == 0)
        return err_set(e, &err_config, "%s: %s and %s mean the same: give one of them", at->path,
                       key, other);
    if (a != 0 && b != 0)
        return DOC_ABSENT;
    *ret = a == 0 ? first : second;
    return 0;
}

int policy_read_time(const struct doc_at *at, const char *key, int64_t *ret, struct err *e) {
    const char *text = NULL;
    struct err detail = ERR_NONE;
    int found = doc_string_opt(at, key, CHRONO_TEXT_BYTES, &text, e);
    if (found != 0)
        return found < 0 ? policy_read_config(e) : DOC_ABSENT;
    if (chrono_parse(text, key, ret, &detail) < 0)
        return policy_read_wrong(at, key, "a time in UTC like 2026-11-22T14:00:00Z", e);
    return 0;
}

// 1 (DOC_ABSENT), 0, or -1 for what is no number; no error is set.
static int find_decimal(const struct doc_at *at, const char *key, struct decimal *ret) {
    const json_t *value = json_object_get(at->value, key);
    struct err ignored = ERR_NONE;
    if (value == NULL || json_is_null(value))
        return DOC_ABSENT;
    if (json_is_string(value))
        return num_parse_decimal(json_string_value(value), key, ret, &ignored);
    if (json_is_integer(value)) {
        json_int_t whole = json_integer_value(value);
        if (whole < -NUM_DECIMAL_MAX || whole > NUM_DECIMAL_MAX)
            return -1;
        *ret = num_decimal_of(whole);
        return 0;
    }
    if (!json_is_real(value))
        return -1;
    double real = json_real_value(value);
    if (!(real >= -(double)NUM_DECIMAL_MAX && real <= (double)NUM_DECIMAL_MAX))
        return -1;
    ret->nano = (int64_t)(real * (double)NUM_DECIMAL_SCALE + (real < 0 ? -0.5 : 0.5));
    return 0;
}

int policy_read_decimal(const struct doc_at *at, const char *key, struct decimal *ret,
                        struct err *e) {
    int found = find_decimal(at, key, ret);
    return found < 0 ? policy_read_wrong(at, key, "a number like 5, \"0.25\" or \"-3\"", e) : found;
}

static int read_ppm(const struct doc_at *at, const char *key, const struct policy_read_range *range,
                    int64_t nano_per_ppm, uint64_t *ret, struct err *e) {
    struct decimal value = {0};
    int found = find_decimal(at, key, &value);
    if (found == DOC_ABSENT)
        return DOC_ABSENT;
    if (found < 0 || value.nano < 0 || value.nano > (int64_t)range->max_ppm * nano_per_ppm ||
        (uint64_t)(value.nano / nano_per_ppm) < range->min_ppm)
        return policy_read_wrong(at, key, range->expected, e);
    *ret = (uint64_t)(value.nano / nano_per_ppm);
    return 0;
}

int policy_read_percent(const struct doc_at *at, const char *key,
                        const struct policy_read_range *range, uint32_t *ret, struct err *e) {
    uint64_t ppm = 0;
    assert(range->max_ppm <= ROLLOUT_PPM);
    int found = read_ppm(at, key, range, PERCENT_NANO, &ppm, e);
    if (found == 0)
        *ret = (uint32_t)ppm;
    return found;
}

int policy_read_ratio(const struct doc_at *at, const char *key,
                      const struct policy_read_range *range, uint64_t *ret, struct err *e) {
    return read_ppm(at, key, range, RATIO_NANO, ret, e);
}

json_t *policy_read_decimal_json(struct decimal value) {
    char text[NUM_DECIMAL_TEXT];
    return json_string(num_format_decimal(value, text));
}

json_t *policy_read_percent_json(uint32_t ppm) {
    return policy_read_decimal_json((struct decimal){(int64_t)ppm * PERCENT_NANO});
}

json_t *policy_read_ratio_json(uint64_t ppm) {
    return policy_read_decimal_json((struct decimal){(int64_t)ppm * RATIO_NANO});
}
