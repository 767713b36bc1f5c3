// SPDX-License-Identifier: Apache-2.0
//
// One metadata file of the client: the stored one where it still holds, else the repository's.
// Internal to keys/tuf. All roles, delegated ones too, go through the same checks here
// (CVE-2026-6967 was a delegated role that did not), in the order of the specification:
//
//     length and hashes → signatures → form → version → succession → expiry → stored
#pragma once

#include "keys/tuf/client.h"

// Of a stored file, so that a version before it and fs_replace's decoration still fit into a name.
#define TUF_CLIENT_FILE_NAME_MAX 232

struct tuf_client {
    struct tuf_client_options options;
    struct tuf_metadata *trusted[TUF_TYPES];
    struct tuf_metadata *chain[TUF_DELEGATION_DEPTH_MAX]; // of the last search, outermost first
    size_t n_chain;
    bool has_stored; // in this refresh
};

struct tuf_client_file {
    enum tuf_type type;
    const char *name;            // as stored: "snapshot.json"
    const struct tuf_role *role; // in the delegator's words
    const struct tuf_meta *meta; // what its delegator says of it; NULL for what nobody does
    // Whether a new one may follow the stored one; NULL: its version in `meta` says enough.
    int (*succeed)(const struct tuf_metadata *stored, const struct tuf_metadata *new,
                   const char *name, struct err *e);
};

// The stored file, with its bytes, when its signatures and form hold; nothing else is looked at.
// TUF_ABSENT when there is none that does. An error that may pass by itself (memory, io) tells
// nothing about the file and is a failure: taken for absence it would switch off the check against
// going back.
int tuf_client_file_load(struct tuf_client *client, const struct tuf_client_file *file,
                         struct buf *ret_raw, struct tuf_metadata **ret, struct err *e)
    __attribute__((nonnull));
// The stored file when it is the one that `meta` means and has not expired, else TUF_ABSENT.
int tuf_client_file_stored(struct tuf_client *client, const struct tuf_client_file *file,
                           struct tuf_metadata **ret, struct err *e) __attribute__((nonnull));
// The repository's, up to its version, before it is compared with the stored one and its expiry is
// checked. Kinds: not_found, digest_mismatch, rollback, those of the metadata and of fetch.
int tuf_client_file_fetch(struct tuf_client *client, const struct tuf_client_file *file,
                          struct buf *ret_raw, struct tuf_metadata **ret, struct err *e)
    __attribute__((nonnull));
int tuf_client_file_check_expiry(const struct tuf_client *client, const struct tuf_metadata *m,
                                 const char *name, struct err *e) __attribute__((nonnull));
int tuf_client_file_store(struct tuf_client *client, const char *name, const struct buf *raw,
                          struct err *e) __attribute__((nonnull));
// The whole: tuf_client_file_stored, or fetched, checked and stored.
int tuf_client_file_get(struct tuf_client *client, const struct tuf_client_file *file,
                        struct tuf_metadata **ret, struct err *e) __attribute__((nonnull));
