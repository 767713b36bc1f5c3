// SPDX-License-Identifier: Apache-2.0
//
// Strata: devices that are alike in the facts that a rollout stratifies by. Each has bounds of its
// own on the rank (rank.h), one for each stage. A stratum's name is a function of the device's facts
// alone, so that the controller and the device find the same one.
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "bundle/facts.h"

#define BUNDLE_STRATA_MAX            256
#define BUNDLE_STRATUM_KEY_MAX_BYTES 2048

// Appends the stratum's name: a canonical JSON object of the facts named, null for one that is not
// known. Kinds: limit (the name is longer than ret takes), memory.
int bundle_stratum_key(const char (*names)[BUNDLE_FACT_NAME_MAX + 1], size_t n,
                       const struct bundle_facts *facts, struct buf *ret, struct err *e)
    __attribute__((nonnull(3, 4, 5)));
