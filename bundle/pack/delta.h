// SPDX-License-Identifier: Apache-2.0
//
// Making a delta (bundle/delta.h) from two bundles: same bundles, same bytes, on any number of
// cores (and with the same compression libraries). Both are read whole into temporary files and
// verified; contents are paired (delta/pair.h), matched (delta/match.h), cut into
// frames (delta/cut.h). What comes
// out was decoded by the device's code and compared before it appears under its name, complete or
// not at all. It is not fsynced: it can be made again.
#pragma once

#include "bundle/unpack/open.h"
#include "bundle/unpack/source.h"
#include "keys/sign/signer.h"

#define PACK_DELTA_FRAME_BYTES      (1024 * 1024) // default ceiling of a stored frame
#define PACK_DELTA_FRAME_MIN_BYTES  (128 * 1024)  // and the least that may be asked for
#define PACK_DELTA_DECODE_MIN_BYTES (3 * 1024 * 1024)
#define PACK_DELTA_DECODE_BYTES     (8 * 1024 * 1024) // default ceiling of the memory to decode one

struct pack_delta_from {
    const struct unpack_bundle *bundle;
    const struct unpack_source *source;
};

struct pack_delta_build {
    struct pack_delta_from old_bundle, new_bundle;
    const struct keys_root *root; // that both were verified by
    const char *dir;              // for temporary files: as much room as all contents of both
    uint64_t frame_bytes;         // 0: PACK_DELTA_FRAME_BYTES
    uint64_t decode_bytes;        // 0: PACK_DELTA_DECODE_BYTES
    unsigned threads;             // 0: as many as there are cores
    size_t n_signers;             // of the head; may be none
    struct sign_signer *const *signers;
    void (*progress)(void *context, const char *step); // may be NULL
    void *context;
};

struct pack_delta_result {
    struct keys_digest head; // of the head's canonical signed part
    uint64_t head_bytes;     // of that
    uint64_t file_bytes, tree_bytes, map_bytes,
        content_bytes;    // the file; stored frames of each kind
    uint64_t full_bytes;  // of NEW as a bundle
    uint64_t same, coded; // contents that the old bundle has, or that repeat; that are coded
    uint64_t coded_bytes; // of the latter, when they are made
    uint64_t frames, decode_bytes;
};

// Writes the delta to path (temporary beside it, then rename), or nothing: PACK_DELTA_NOT_WORTH_IT
// when it would not be smaller than the new bundle. Kinds: usage (the same bundle twice, no
// component in common), internal (it does not decode to what went in), limit, memory, no_space, io,
// those of reading bundles.
enum { PACK_DELTA_NOT_WORTH_IT = 1 };
int pack_delta_build(const struct pack_delta_build *how, const char *path,
                     struct pack_delta_result *ret, struct err *e) __attribute__((nonnull));
