// SPDX-License-Identifier: Apache-2.0
//
// The manifest of a bundle that is being made.
#pragma once

#include "bundle/pack/build.h"

// Appends the canonical signed part. components[i] belongs to how->components[i]. Kinds: bad_manifest and what else reading it would say.
int pack_document_format(const struct pack_build *how, const struct bundle_component *components,
                         const struct bundle_packing *packing, struct buf *ret, struct err *e) __attribute__((nonnull));
// Appends the envelope with the signatures of how->signers, padded with spaces to member_bytes, or, when that is 0, to the least size
// that leaves the room every manifest has. Kind limit.
int pack_document_seal(const struct pack_build *how, struct slice signed_part, uint64_t member_bytes, struct buf *ret,
                       struct err *e) __attribute__((nonnull));
// Pads an envelope in *b (whole buffer) the same way.
int pack_document_pad(struct buf *b, uint64_t member_bytes, struct err *e) __attribute__((nonnull));
