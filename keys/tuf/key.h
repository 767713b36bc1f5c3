// SPDX-License-Identifier: Apache-2.0
//
// Keys of TUF metadata, and counting who signed. A key is what its metadata says: keytype, scheme
// and public part; its id is a label given by the metadata, so what is counted is different public
// keys, not different labels (CVE-2020-6174 and its relatives).
//
//   keytype / scheme                 public part                     signature (all in hex)
//   ed25519 / ed25519                64 hex digits                   64 bytes
//   ecdsa   / ecdsa-sha2-nistp256    PEM SubjectPublicKeyInfo        DER
//             (or that as keytype, as older repositories have it)
//   rsa     / rsassa-pss-sha256      PEM SubjectPublicKeyInfo        any salt length
//                                    of 2048 to 8192 bits
//
// Hex digits are of either case. A malformed key, or one of another scheme, is none whose signature
// counts; it does not refuse the file that lists it, which may be newer than this program.
//
// Ed25519 is libsodium's, known here. The two others need libcrypto, which a program brings by
// handing in an operations table (keys/foreign); without it such keys are of an unknown scheme:
// their signatures are passed over and count nothing.
#pragma once

#include <stdbool.h>

#include "keys/tuf/json.h"

#define TUF_KEY_ID_MAX     256  // bytes of a key id, an opaque label
#define TUF_KEY_PUBLIC_MAX 4096 // bytes of a public part
#define TUF_KEYS_MAX       1024 // in one `keys` object
#define TUF_ROLE_KEYS_MAX  256  // key ids of one role
#define TUF_SIGNATURES_MAX 256  // of one envelope
#define TUF_SIGNATURE_MAX  1024 // bytes of a signature (RSA of 8192 bits)

// Verification of others' schemes. True when `signature` over `message` is this key's. All of them
// are there; none fails otherwise than by false. pem is at most TUF_KEY_PUBLIC_MAX bytes of
// anything.
struct tuf_key_ops {
    bool (*ecdsa_p256)(const char *pem, struct slice message, struct slice signature);
    bool (*rsa_pss)(const char *pem, struct slice message, struct slice signature);
    // Whether two PEM texts are the same public key, however they are spelled.
    bool (*same)(const char *pem_a, const char *pem_b);
};

// True when key (a KEY object) is a well-formed key of a known scheme and the signature over the
// message is its. ops may be NULL.
bool tuf_key_verify(struct tuf_json_at key, const struct tuf_key_ops *ops, struct slice message,
                    struct slice signature);
// Whether two KEY objects hold the same public key: the same text, or two spellings of one key of a
// known scheme. False when one has no public part.
bool tuf_key_same(struct tuf_json_at a, struct tuf_json_at b, const struct tuf_key_ops *ops);

// A role as its delegator describes it: {keyids: […], threshold: N} and the delegator's `keys`.
struct tuf_role {
    struct tuf_json_at keys;
    struct tuf_json_at keyids;
    uint32_t threshold; // >= 1
};
// Reads {keyids, threshold}. keyids unique strings, threshold 1…2^31-1 (it may be above the number
// of keys: such a role is never satisfied). Kinds: syntax, limit.
int tuf_role_read(struct tuf_json_at keys, struct tuf_json_at role, const char *what,
                  struct tuf_role *ret, struct err *e) __attribute__((nonnull));
// Counts different public keys of the role with a valid signature in `signatures` (the envelope's
// array) over `message`, up to the threshold. Unknown key ids, unknown schemes, an empty `sig` or
// one that is not hex, and signatures that do not match are passed over. A key id that stands twice
// in `signatures` refuses the file. Kinds: below_threshold, bad_signature (a key id twice), syntax,
// limit.
int tuf_role_verify(const struct tuf_role *role, struct tuf_json_at signatures,
                    const struct tuf_key_ops *ops, struct slice message, const char *what,
                    struct err *e) __attribute__((nonnull(1, 5, 6)));
