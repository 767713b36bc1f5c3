// SPDX-License-Identifier: Apache-2.0
//
// The TUF client: the specification's client workflow (1.0.x §5), in order, over three operations
// that the program brings. It reads no clock, opens no socket and no file.
//
//   refresh   root chain → timestamp → snapshot → top-level targets
//   find      a target by its path: pre-order, through delegations, verified as they are met
//
// What was verified is handed to `store` at once and only then; what was refused never is, so a
// file under a trusted name is always one that held. The start time is fixed once (§5.1). Any
// failure leaves the stored files such that the next refresh against an honest repository succeeds:
// what is loaded is verified again with the keys that are trusted now, and what no longer holds is
// as good as absent.
//
// A cached delegated file is verified against the delegator along the path that is being searched,
// not once by name: two delegators may name the same role with different keys.
#pragma once

#include "keys/tuf/delegation.h"

#define TUF_ROOTS_PER_REFRESH_MAX 256 // rotations followed in one refresh
#define TUF_ROLES_PER_SEARCH_MAX  32  // targets files visited by one search
#define TUF_DELEGATION_DEPTH_MAX  16  // delegations on the way to a target

// What the program does for the client. Each returns 0, TUF_ABSENT, or < 0 with *e. Names:
// "root.json", "timestamp.json", …, a role's name percent-quoted + ".json"; for fetch with versions
// where they are served so ("4.root.json").
enum { TUF_ABSENT = 1 };
struct tuf_client_ops {
    // The stored file, of at most max_bytes, into an empty buffer of that ceiling. An error that
    // does not pass by itself (see err.h: retry) counts as absence, so that the repository's file
    // takes its place; for root.json, which nothing could replace, every error is a failure.
    int (*load)(void *context, const char *name, size_t max_bytes, struct buf *ret, struct err *e);
    // From the repository, into an empty buffer of that ceiling; must stop at max_bytes + 1 (kind
    // limit). TUF_ABSENT for 404 and 403.
    int (*fetch)(void *context, const char *name, size_t max_bytes, struct buf *ret, struct err *e);
    // Replaces the stored file durably.
    int (*store)(void *context, const char *name, struct slice bytes, struct err *e);
    // Removes it where it is there (fast-forward recovery), durably: before the next store.
    int (*forget)(void *context, const char *name, struct err *e);
};

struct tuf_client_options {
    const struct tuf_client_ops *ops;
    void *context;
    const struct tuf_key_ops *key_ops; // NULL: Ed25519 alone
    int64_t now_s; // the start time: files that expire at or before it are refused
    // Asks for the timestamp first and is done when it is byte for byte the trusted one, unexpired,
    // with all that it leads to at hand: one small request when nothing is new. A root published
    // later comes with a new timestamp, so it is noticed just the same.
    bool timestamp_first;
};

struct tuf_client;

// Opens with the stored root, which is trusted by place; it must be well-formed and signed by its
// own threshold. No fetch. Options are copied, ops and context borrowed until free. Kinds:
// not_found (no root), the metadata's.
int tuf_client_open(const struct tuf_client_options *options, struct tuf_client **ret,
                    struct err *e) __attribute__((nonnull));
void tuf_client_free(struct tuf_client *client);
static inline void own_drop_tuf_client(struct tuf_client **client) {
    tuf_client_free(*client);
    *client = NULL;
}

// The workflow up to the top-level targets. 0, or TUF_CLIENT_UNCHANGED (nothing new was found).
// Kinds: root_chain, rollback, expired, digest_mismatch, limit, not_found (a file that must be
// there), those of the metadata and of fetch and store.
enum { TUF_CLIENT_UNCHANGED = 1 };
int tuf_client_refresh(struct tuf_client *client, struct err *e) __attribute__((nonnull));

struct tuf_target {
    uint64_t length;
    struct tuf_json_at hashes; // borrowed from the client
    struct tuf_json_at object; // length, hashes, custom
    // The delegations on the way, outermost first; none for the top level. Borrowed from the
    // client.
    size_t n_delegations;
    struct tuf_delegation delegations[TUF_DELEGATION_DEPTH_MAX];
};
// After a refresh that succeeded (internal otherwise). 0, or TUF_ABSENT when no role that is
// trusted for the path lists it; a role on the way that cannot be had or does not hold ends the
// search with its error. Valid until the next call. Kinds: limit (too many roles, too deep, a
// role's name too long), not_found, those of refresh.
int tuf_client_find(struct tuf_client *client, const char *path, struct tuf_target *ret,
                    struct err *e) __attribute__((nonnull));
// Length and hashes of a whole target. Kind digest_mismatch.
int tuf_target_check(const struct tuf_target *target, struct slice bytes, const char *what,
                     struct err *e) __attribute__((nonnull));
// "dir/HASH.name" for consistent snapshots, else the path, as a relative URL reference without
// quoting. Kinds: limit, digest_mismatch (no supported hash).
int tuf_target_file(const struct tuf_client *client, const struct tuf_target *target,
                    const char *path, struct buf *ret, struct err *e) __attribute__((nonnull));

// Borrowed until the next refresh; NULL before the first.
const struct tuf_metadata *tuf_client_trusted(const struct tuf_client *client, enum tuf_type type)
    __attribute__((nonnull));
// Appends a role's name as a file name: everything but A–Z a–z 0–9 _ . - ~ percent-quoted,
// upper-case digits. Kind limit.
int tuf_client_quote(const char *role, struct buf *ret, struct err *e) __attribute__((nonnull));
