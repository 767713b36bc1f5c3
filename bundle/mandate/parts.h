// SPDX-License-Identifier: Apache-2.0
//
// What the files of a mandate share: how one that was read lies in memory.
#pragma once

#include "base/doc.h"
#include "bundle/mandate.h"

#define MANDATE_TYPE        "mandate"
#define MANDATE_BOUND_CHARS 16 // hex digits of a bound
#define MANDATE_BY_SITE     2  // major version of one by sites

struct bundle_mandate {
    json_t *document; // owned; content borrows from it
    const json_t *strata;
    struct bundle_mandate_content content;
};

// Reads a parsed signed part by every rule; io->document is set. Kinds: wrong_type, newer_format,
// bad_message, limit, memory.
int bundle_mandate_read(struct bundle_mandate *io, struct err *e) __attribute__((nonnull));
