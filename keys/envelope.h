// SPDX-License-Identifier: Apache-2.0
//
// The one form of everything signed, the TUF metadata envelope:
//
//     {"signatures":[{"keyid":"<64 hex>","sig":"<128 hex>"},…],"signed":{…}}
//
// Our own envelopes must arrive in canonical form and are verified as raw bytes: the split below is
// a scanner for exactly this shape, and no byte inside `signed` is interpreted before enough
// signatures over it hold. Signatures stand in the order of their key ids, each key once, so that
// the same signatures are the same bytes. Spaces may follow the envelope (room for more
// signatures); anything else may not. What `signed` holds is the business of keys_canon_parse,
// which refuses all that is not one canonical value: the scanner takes everything up to the
// envelope's last brace.
//
// A signature by a key that the role does not have is passed over (another signer's, perhaps
// newer); a signature by one of the role's keys that does not match refuses the whole envelope, so
// that damage never hides behind a surplus; the same key twice refuses it.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "keys/role.h"

#define KEYS_ENVELOPE_SIGNATURES_MAX 32

struct keys_envelope_signature {
    char keyid[KEYS_ID_HEX];
    uint8_t sig[KEYS_ED25519_SIGNATURE_BYTES];
};

// An envelope that was only taken apart: nothing in it may be believed. Slices borrow from the raw
// bytes.
struct keys_envelope_candidate {
    struct slice signed_part;
    size_t n_signatures;
    struct keys_envelope_signature signatures[KEYS_ENVELOPE_SIGNATURES_MAX];
};

// The signed bytes of an envelope whose role was satisfied. Only keys_envelope_verify makes one.
struct keys_envelope {
    struct slice signed_part; // borrowed from the raw bytes
};

// Takes an envelope apart. Kinds: syntax (not an envelope, cut short, digits too many, too few or
// not hex), not_canonical (members, blanks or signatures in another order), limit (too many
// signatures).
int keys_envelope_split(struct slice raw, const char *what, struct keys_envelope_candidate *ret,
                        struct err *e) __attribute__((nonnull));
// Kinds: bad_signature, below_threshold (says how many of how many, and which keys; also for a role
// whose threshold its different keys can never meet, 0 among them).
int keys_envelope_verify(const struct keys_envelope_candidate *candidate, const char *what,
                         const struct keys_role *role, struct keys_envelope *ret, struct err *e)
    __attribute__((nonnull));

// What every signed part begins with.
struct keys_header {
    uint64_t version; // the serial, 1..2^53-1
    int64_t issued_s;
    int64_t expires_s; // > issued_s
};
#define KEYS_VERSION_MAX  9007199254740991ULL
#define KEYS_SPEC_VERSION "1.0"

// Reads and checks _type, spec_version ("1.x" or "1.x.y"), version, issued, expires of a parsed
// signed part. Kinds: wrong_type when _type differs, newer_format for a higher major version,
// syntax, limit.
int keys_envelope_header(const struct doc_at *signed_part, const char *type,
                         struct keys_header *ret, struct err *e) __attribute__((nonnull));
// The same of a document that takes another major version to be understood: the one that it must have.
int keys_envelope_header_of(const struct doc_at *signed_part, const char *type, unsigned major,
                            struct keys_header *ret, struct err *e) __attribute__((nonnull));
// Kind expired when now_s is at or past expires_s.
int keys_envelope_check_expiry(const struct keys_header *header, const char *what, int64_t now_s,
                               struct err *e) __attribute__((nonnull));

// Appends the envelope of a canonical signed part with these signatures, sorted by key id. Kinds:
// limit, not_canonical (one key twice, or signed_part is no object), memory.
int keys_envelope_format(struct slice signed_part, const struct keys_envelope_signature *signatures,
                         size_t n, struct buf *ret, struct err *e) __attribute__((nonnull));
