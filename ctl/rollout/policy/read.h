// SPDX-License-Identifier: Apache-2.0
//
// How values stand in a policy: names, choices, durations, percents and ratios; and in what comes
// beside one (plans, requests). Every mistake is of kind config and says the place and what was
// expected.
//
// A number with a fraction may be an integer, a decimal in text ("0.5") or, in JSON by hand, a real
// number; it is kept as an integer of parts per million, or as a decimal.
#pragma once

#include <stdint.h>

#include "base/doc.h"
#include "base/num.h"
#include "bundle/limits.h"

// Sets config: "PLACE.KEY: expected EXPECTED". Returns -1.
int policy_read_wrong(const struct doc_at *at, const char *key, const char *expected, struct err *e)
    __attribute__((nonnull));
// The getters of base/doc say syntax and limit; here that is config. Returns -1.
int policy_read_config(struct err *e) __attribute__((nonnull));

// Copies a text that was checked before into ret.
void policy_read_copy(char *ret, size_t ret_bytes, const char *text) __attribute__((nonnull));
// A name of at most max bytes, into ret[max + 1].
int policy_read_name(const struct doc_at *at, const char *key, size_t max, char *ret, struct err *e)
    __attribute__((nonnull));
// One of n names; DOC_ABSENT, and *ret untouched, when there is none. expected says them.
int policy_read_choice(const struct doc_at *at, const char *key, const char *const *names, size_t n,
                       const char *expected, unsigned *ret, struct err *e) __attribute__((nonnull));
// "NAME VERSION"; place is what an error calls it.
int policy_read_release(const struct doc_at *at, const char *place, const char *text,
                        char ret_name[static BUNDLE_NAME_MAX + 1],
                        char ret_version[static BUNDLE_RELEASE_MAX + 1], struct err *e)
    __attribute__((nonnull));

// Seconds, or text with a unit. "soak_s" and "soak" mean the same: key ends with "_s". DOC_ABSENT,
// and *ret untouched, when neither is there.
int policy_read_duration(const struct doc_at *at, const char *key, uint64_t min_s, uint64_t *ret,
                         struct err *e) __attribute__((nonnull));
// A time in UTC; DOC_ABSENT, and *ret untouched, when there is none.
int policy_read_time(const struct doc_at *at, const char *key, int64_t *ret, struct err *e)
    __attribute__((nonnull));

// DOC_ABSENT, and *ret untouched, when there is none.
int policy_read_decimal(const struct doc_at *at, const char *key, struct decimal *ret,
                        struct err *e) __attribute__((nonnull));
// Percents, and numbers by themselves (ratios, probabilities), in parts per million within bounds;
// digits beyond that are cut off. DOC_ABSENT, and *ret untouched, when there is none.
struct policy_read_range {
    uint64_t min_ppm, max_ppm;
    const char *expected;
};
int policy_read_percent(const struct doc_at *at, const char *key,
                        const struct policy_read_range *range, uint32_t *ret, struct err *e)
    __attribute__((nonnull));
int policy_read_ratio(const struct doc_at *at, const char *key,
                      const struct policy_read_range *range, uint64_t *ret, struct err *e)
    __attribute__((nonnull));

// How they are written.
json_t *policy_read_percent_json(uint32_t ppm);
json_t *policy_read_ratio_json(uint64_t ppm);
json_t *policy_read_decimal_json(struct decimal value);
