// SPDX-License-Identifier: Apache-2.0
//
// Making a bundle: same input, same bytes, on any number of cores (and with the same zstd library). Two passes over the input: the first walks
// it, cuts chunks and takes all digests, and gives the trees; with that the number of rows is known, and so where the data begins. The
// second compresses frames in parallel and writes each to its place. Input that changes between the two fails (busy). The output is not
// fsynced: it can be made again. It appears under its name complete or not at all.
#pragma once

#include "bundle/manifest.h"
#include "bundle/pack/reference.h"
#include "keys/sign/signer.h"

// Where a component's contents come from.
enum pack_input_type {
    PACK_INPUT_PATH,    // a directory, or a single file (then the tree has that one file)
    PACK_INPUT_ARCHIVE, // anything libarchive reads: .tar, .tar.zst, .zip, .cpio
    PACK_INPUT_IMAGE    // a file taken as one image content
};

struct pack_component {
    const char *name;
    enum pack_input_type type;
    const char *path;
    uint64_t security_version;
    const json_t *model; // extra facts about the model; NULL none
    // Drop setuid, setgid and sticky bits, owners and extended attributes, leave out devices, fifos and sockets.
    bool strip_special;
};

struct pack_build {
    const char *name;
    const char *release;
    const char *variant;  // "" none
    const char *requires; // "" none
    uint64_t version;     // serial
    int64_t issued_s;
    int64_t expires_s;
    size_t n_components;
    const struct pack_component *components;
    const json_t *probes;    // array, or NULL
    const json_t *floors;    // object, or NULL
    const json_t *probation; // object, or NULL
    // Bundles that devices hold: what their holders have to fetch gets frames of its own.
    size_t n_references;
    const struct pack_reference_from *references;
    int level;            // zstd level 1..22
    uint64_t frame_bytes; // 0: BUNDLE_FRAME_DEFAULT_BYTES, 4 MiB from level 19 up
    unsigned threads;     // 0: as many as there are cores
    size_t n_signers;
    struct sign_signer *const *signers;
    // May be NULL. Calls do not overlap, but come from whichever thread has finished a part.
    void (*progress)(void *context, const char *step, uint64_t done_bytes, uint64_t total_bytes);
    void *context;
};

struct pack_build_result {
    struct keys_digest id;
    uint64_t stream_bytes, raw_bytes, data_bytes, file_bytes;
    uint64_t entries, chunks, frames;
    uint64_t fresh_raw_bytes, fresh_data_bytes; // what holders of the references have to fetch
    uint64_t stripped, skipped; // by strip_special: entries that lost something, entries left out
};

// Writes the bundle to path (temporary beside it, then rename). Kinds: unsupported_member, bad_path, limit, io, …
int pack_build(const struct pack_build *how, const char *path, struct pack_build_result *ret,
               struct err *e) __attribute__((nonnull));

// Reads a description file (JSON, FORMAT.md §10) into what pack_build takes; relative paths are relative to the file. *ret is the caller's.
// What the file does not say is left at 0 or NULL (level: 3): version, dates, signers are the caller's to fill in. Kind config.
struct pack_description;
int pack_build_describe(const char *path, struct pack_description **ret, struct err *e)
    __attribute__((nonnull));
struct pack_build *pack_build_described(struct pack_description *d) __attribute__((nonnull));
// Paths of the references that it names; *ret is borrowed. They are the caller's to open.
size_t pack_build_described_references(const struct pack_description *d, const char *const **ret)
    __attribute__((nonnull));
void pack_build_description_free(struct pack_description *d);

// Adds a signature to a finished bundle, without the other signers' keys: in place of padding, or by moving to a larger manifest member. The
// file is replaced atomically and durably.
int pack_build_add_signature(const char *path, const struct sign_signer *signer, struct err *e)
    __attribute__((nonnull));
