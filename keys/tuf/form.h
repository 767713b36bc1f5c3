// SPDX-License-Identifier: Apache-2.0
//
// The form of metadata: what is there, of which type, within which ceilings. Internal to keys/tuf;
// metadata.h is what others see. Run once, on a signed part whose signatures held, so that all
// readers behind it need not fail.
#pragma once

#include "keys/tuf/metadata.h"

#define TUF_FORM_HASHES_MAX 16 // algorithms beside one another in one `hashes`

// A member that must be there and of this type. Kind syntax.
int tuf_form_member(struct tuf_json_at object, const char *name, enum tuf_json_type type,
                    const char *what, struct tuf_json_at *ret, struct err *e)
    __attribute__((nonnull));
// The same for an integer of at least min.
int tuf_form_integer(struct tuf_json_at object, const char *name, int64_t min, const char *what,
                     uint64_t *ret, struct err *e) __attribute__((nonnull));
// A member that is true or false.
int tuf_form_bool(struct tuf_json_at object, const char *name, const char *what, bool *ret,
                  struct err *e) __attribute__((nonnull));
// Every member of an object is of this type, under a name of 1 to max_name bytes; at most max of
// them. Kinds: syntax, limit.
int tuf_form_members(struct tuf_json_at object, enum tuf_json_type type, size_t max,
                     size_t max_name, const char *what, struct err *e) __attribute__((nonnull));
// A `keys` object. Keys of unknown types and schemes are well-formed. Kinds: syntax, limit.
int tuf_form_keys(struct tuf_json_at keys, const char *what, struct err *e)
    __attribute__((nonnull));

// What was found in a signed part.
struct tuf_form {
    uint64_t version;
    int64_t expires_s;
    int64_t issued_s;                 // 0 when it does not say
    bool is_consistent;               // root
    struct tuf_role roles[TUF_TYPES]; // root
    struct tuf_json_at meta;          // timestamp, snapshot
    struct tuf_json_at targets;       // targets
};
// Reads a whole signed part. Kinds: wrong_type, newer_format, syntax, limit.
int tuf_form_read(struct tuf_json_at signed_part, enum tuf_type type, const char *what,
                  struct tuf_form *ret, struct err *e) __attribute__((nonnull));
// What an entry of `meta` says, once its form was checked.
void tuf_form_meta(struct tuf_json_at entry, struct tuf_meta *ret) __attribute__((nonnull));
