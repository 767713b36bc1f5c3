// SPDX-License-Identifier: Apache-2.0
//
// One metadata file: taken apart, believed in nothing; then verified against a role, which is the
// only way to read what it says. Formats: The Update Framework specification 1.0.x §4.
//
//   bytes ─ tuf_metadata_parse ─▶ candidate ─ tuf_metadata_verify(role) ─▶ struct tuf_metadata
//
// A root vouches for its own keys: tuf_metadata_verify_root reads the role `root` of the candidate
// itself. Everything of `signed` is checked for form on verify (types, ranges, ceilings), so that
// readers need not fail. Unknown members are allowed everywhere and are part of what was signed.
#pragma once

#include "keys/tuf/key.h"

// Ceilings in bytes, checked before parsing; a snapshot or targets file is also held to the length
// that its delegator names.
#define TUF_ROOT_MAX_BYTES      512000
#define TUF_TIMESTAMP_MAX_BYTES 16384
#define TUF_SNAPSHOT_MAX_BYTES  2000000
#define TUF_TARGETS_MAX_BYTES   5000000
#define TUF_NAME_MAX            512  // bytes of a role's name
#define TUF_PATH_MAX            2048 // bytes of a target's path
#define TUF_META_FILES_MAX      8192 // listed by a snapshot: each is looked for in the next one

enum tuf_type { TUF_ROOT, TUF_TIMESTAMP, TUF_SNAPSHOT, TUF_TARGETS, TUF_TYPES };
extern const char *const tuf_type_names[TUF_TYPES]; // "root", …
size_t tuf_type_max_bytes(enum tuf_type type);

struct tuf_metadata_candidate; // parsed, unverified
struct tuf_metadata;           // verified; immutable

int tuf_metadata_parse(struct slice raw, enum tuf_type type, const char *what,
                       struct tuf_metadata_candidate **ret, struct err *e) __attribute__((nonnull));
void tuf_metadata_candidate_free(struct tuf_metadata_candidate *candidate);

// Consumes the candidate in every case (NULL afterwards). A root must hold by its own role `root`
// as well, so the role of the trusted root checks a next one as the chain demands. Kinds:
// below_threshold, bad_signature, wrong_type (_type is another), newer_format (spec_version's major
// is not 1), syntax, limit, memory.
int tuf_metadata_verify(struct tuf_metadata_candidate **candidate, const struct tuf_role *role,
                        const struct tuf_key_ops *ops, struct tuf_metadata **ret, struct err *e)
    __attribute__((nonnull(1, 2, 4, 5)));
// By the candidate's own role `root`. Kind wrong_type for a candidate of another type.
int tuf_metadata_verify_root(struct tuf_metadata_candidate **candidate,
                             const struct tuf_key_ops *ops, struct tuf_metadata **ret,
                             struct err *e) __attribute__((nonnull(1, 3, 4)));
void tuf_metadata_free(struct tuf_metadata *metadata);
static inline void own_drop_tuf_metadata(struct tuf_metadata **metadata) {
    tuf_metadata_free(*metadata);
    *metadata = NULL;
}

uint64_t tuf_metadata_version(const struct tuf_metadata *m) __attribute__((nonnull)); // 1…2^53-1
int64_t tuf_metadata_expires_s(const struct tuf_metadata *m) __attribute__((nonnull));
// The member `issued` where the signer wrote one, else 0.
int64_t tuf_metadata_issued_s(const struct tuf_metadata *m) __attribute__((nonnull));
// The signed part, for members that this file has no reader for. Borrowed.
struct tuf_json_at tuf_metadata_signed(const struct tuf_metadata *m) __attribute__((nonnull));

// Root: the role `type`, borrowed from the root. consistent_snapshot, false when absent.
struct tuf_role tuf_metadata_role(const struct tuf_metadata *root, enum tuf_type type)
    __attribute__((nonnull));
bool tuf_metadata_is_consistent(const struct tuf_metadata *root) __attribute__((nonnull));
// Whether two roots give `type` the same threshold of the same key ids and keys (fast-forward
// recovery, §5.3.11).
bool tuf_metadata_same_role(const struct tuf_metadata *a, const struct tuf_metadata *b,
                            enum tuf_type type) __attribute__((nonnull));

// What timestamp and snapshot say of a file.
struct tuf_meta {
    uint64_t version;
    bool has_length;
    uint64_t length;
    bool has_hashes;
    struct tuf_json_at hashes; // object; at least one supported algorithm when it was demanded
};
// file is "snapshot.json" (timestamp) or "targets.json", "ROLE.json" (snapshot). False when not
// listed.
bool tuf_metadata_meta(const struct tuf_metadata *m, const char *file, struct tuf_meta *ret)
    __attribute__((nonnull));
// Walks a snapshot's list: calls `each` for every file. Stops and returns what it returns when not
// 0.
int tuf_metadata_each_meta(const struct tuf_metadata *m,
                           int (*each)(void *context, const char *file,
                                       const struct tuf_meta *meta),
                           void *context) __attribute__((nonnull(1, 2)));

// Targets: the entry of a path, {length, hashes, custom}. False when it is not listed.
bool tuf_metadata_target(const struct tuf_metadata *m, const char *path, struct tuf_json_at *ret)
    __attribute__((nonnull));

// Hashes of bytes against what was signed: all supported algorithms listed (sha256, sha512,
// blake2b-256) must match, and at least one must be supported. Kinds: digest_mismatch.
int tuf_hashes_check(struct tuf_json_at hashes, struct slice bytes, const char *what, struct err *e)
    __attribute__((nonnull));
