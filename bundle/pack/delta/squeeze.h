// SPDX-License-Identifier: Apache-2.0
//
// Compressing a run of bytes by whichever of zstd, LZMA2, bzip2 or nothing makes it smallest. The
// same bytes give the same result with the same libraries. No run needs more than
// PACK_DELTA_SQUEEZE_DICTIONARY_BYTES of dictionary to be decoded.
#pragma once

#include "bundle/delta.h"

#define PACK_DELTA_SQUEEZE_DICTIONARY_BYTES (4U << 20)

// What a run is made of; it says which settings are worth trying.
enum pack_delta_squeeze_kind {
    PACK_DELTA_SQUEEZE_CONTENTS, // bytes of files
    PACK_DELTA_SQUEEZE_NUMBERS   // varints, differences
};

// Appends the compressed bytes; *ret_compressor is a bundle_delta_compressor. Kinds: memory, limit.
int pack_delta_squeeze(struct slice raw, enum pack_delta_squeeze_kind kind, struct buf *ret,
                       uint8_t *ret_compressor, struct err *e) __attribute__((nonnull));
// Appends raw as a zstd frame that may refer to the prefix as if it stood before. Kind memory.
int pack_delta_squeeze_prefix(struct slice prefix, struct slice raw, struct buf *ret, struct err *e)
    __attribute__((nonnull));
