// SPDX-License-Identifier: Apache-2.0
//
// What dry probes say of a release before anybody has it: of a sample of the fleet, on how many
// devices its own `after` probes would not pass today (bundle/FORMAT.md 13.3). Pure: devices are
// counted one by one, then there is a document:
//
//   {"sample":N, "asked":N, "answered":N,                answered: ran them, or found that none can be
//    "declined":[{"code","text","devices":N}],           said why not
//    "judged":N, "would_fail":N,                         of those that answered
//    "would_fail_pct":TEXT|null, "lower_pct":TEXT|null, "upper_pct":TEXT|null, "confidence_pct":"95",
//    "probes":[{"name","passed":N,"failed":N,"not_runnable":N,"codes":{CODE:N}}],
//    "strata":[{"key","answered":N,"judged":N,"would_fail":N,"lower_pct","upper_pct"}],
//    "text":TEXT}
//
// A device would fail when one probe did; it is judged when one passed or failed. A probe that needs
// files of the release says nothing, so that of a device of which no other is known is not judged. The
// bounds are evidence/binomial.h's, of the share among devices like those that answered: who is silent
// may be another kind of device.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"

#define ROLLOUT_DRY_ALPHA_PPM 50000
// Names and codes are devices' words: what is beyond is not listed by itself.
#define ROLLOUT_DRY_PROBES_MAX   64
#define ROLLOUT_DRY_CODES_MAX    8
#define ROLLOUT_DRY_DECLINED_MAX 16

// One device of the sample. Borrowed.
struct rollout_dry_device {
    const char *stratum; // devices of one come one after the other
    bool asked, answered;
    const char *code;     // answered: why it ran none; "" it did
    const char *text;     // and in words
    const json_t *probes; // array of {"code","name"}: "" passed; NULL none
};

struct rollout_dry {
    uint64_t sample, asked, answered, judged, would_fail;
    json_t *probes, *strata, *declined; // arrays; owned
};

// Kind memory.
int rollout_dry_init(struct rollout_dry *ret, struct err *e) __attribute__((nonnull));
void rollout_dry_clear(struct rollout_dry *dry) __attribute__((nonnull));
#define own_drop_rollout_dry rollout_dry_clear
int rollout_dry_count(struct rollout_dry *io, const struct rollout_dry_device *device,
                      struct err *e) __attribute__((nonnull));
// The document; *ret is the caller's.
int rollout_dry_format(const struct rollout_dry *dry, json_t **ret, struct err *e)
    __attribute__((nonnull));
