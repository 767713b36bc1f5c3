// SPDX-License-Identifier: Apache-2.0
//
// A forge of bundles: test keys that sign anything, and a builder of bundles from arbitrary parts,
// so that what a bundle by a trusted signer can say wrongly is tested too. Everything here aborts
// instead of failing: a test that cannot be set up is no test.
#pragma once

#include "bundle/index.h"
#include "bundle/manifest.h"
#include "bundle/unpack/source.h"
#include "keys/sign/signer.h"

#define FORGE_CHUNKS_MAX 1024
#define FORGE_ISSUED_S   1700000000
#define FORGE_EXPIRES_S  4000000000

// Key number n (0…), the same in every run. The caller's (keys_secret_free).
struct keys_secret *forge_key(unsigned n, struct keys_pub *ret);
// The same as a signer (sign_signer_free); in a file of its own, for tests that link keys/sign.
struct sign_signer *forge_signer(unsigned n);
// A role of keys 0 … n-1.
void forge_role(size_t n_keys, size_t threshold, struct keys_role *ret);

// The rows of an index, for a test to change before they are written and signed.
struct forge_rows {
    struct bundle_index_header header;
    size_t n_frames, n_chunks;
    struct bundle_index_frame frames[3]; // of the tree, of the contents, of the fresh ones
    struct bundle_index_chunk chunks[FORGE_CHUNKS_MAX];
    // Of the page of frames, then of those of chunks; all but the digests.
    struct bundle_index_page pages[1 + FORGE_CHUNKS_MAX / BUNDLE_INDEX_CHUNKS_PER_PAGE];
};

// A bundle of one component "c": its tree as text, and its files' contents in the tree's order, one
// chunk each, two or three frames stored as they are. Honest but for what the tests change.
struct forge {
    const char *tree;
    size_t n_contents;
    const struct slice *contents;
    size_t n_fresh;         // of the contents the last ones, which are fresh
    struct slice stored[3]; // stored bytes of a frame instead; none when data is NULL
    void (*edit)(struct forge_rows *rows); // NULL: nothing
    void (*edit_index)(struct buf *index); // the index's bytes, before they are signed
    const json_t *members;                 // replace those of the signed part; null removes
    const json_t *component;               // replace those of the component
};

// Writes the whole file. The buffer is the caller's.
void forge_bundle(const struct forge *f, struct buf *ret);
// The manifest member of a bundle's bytes.
struct slice forge_manifest_of(struct slice bundle);
// {"digest":…,"exec":…,"path":…,"size":…,"type":"file"} and a newline, appended. Nothing is checked
// or escaped.
void forge_file_line(const char *path, struct slice content, bool exec, struct buf *ret);
// Signs any signed part with key 0.
void forge_envelope(struct slice signed_part, struct buf *ret);

// Bytes as a source.
struct forge_memory {
    struct slice bytes;
    uint64_t reads;       // how often it was asked
    uint64_t break_after; // bytes given until it fails with kind io; 0 never
    uint64_t given;
};
void forge_source(struct forge_memory *memory, struct slice bytes, struct unpack_source *ret);
