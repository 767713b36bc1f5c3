// SPDX-License-Identifier: Apache-2.0
//
// What a signed part says, read and checked by the rules of FORMAT.md §3. Whether anybody signed it is not known here: the types of
// bundle/manifest.h keep that.
#pragma once

#include "bundle/manifest.h"

// A signed part with everything its view borrows from.
struct manifest_parse {
    json_t *document;
    struct bundle_manifest_view view;
    struct bundle_component components[BUNDLE_COMPONENTS_MAX];
    size_t n_probes; // of probes[] that need clearing
    struct bundle_probe probes[BUNDLE_PROBES_MAX];
    struct keys_digest id;
};

// Reads into *ret, which is zeroed before; also on failure manifest_parse_clear is due. Kinds: bad_manifest, bad_predicate, not_canonical,
// wrong_type, limit, memory.
int manifest_parse_signed(struct slice signed_part, struct manifest_parse *ret, struct err *e) __attribute__((nonnull));
void manifest_parse_clear(struct manifest_parse *p) __attribute__((nonnull));
