// SPDX-License-Identifier: Apache-2.0
//
// Schemes are rows of a table: what a key must call itself, how its signatures are verified, and
// when two of it are the same. What is in no row, or malformed, is a key that verifies nothing.
#include "keys/tuf/key.h"

#include <string.h>

#include <sodium.h>

struct scheme {
    const char *name;
    const char *keytypes[2]; // the second is legacy, or the first again
    bool (*verify)(const char *public_part, const struct tuf_key_ops *ops, struct slice message,
                   struct slice signature);
    bool (*same)(const char *a, const char *b, const struct tuf_key_ops *ops);
};

// What is in a KEY object.
struct key {
    const struct scheme *scheme;
    const char *public_part;
};

// ── Schemes ─────────────────────────────────────────────────────────────────────────────────────

// Up to max bytes of hex digits, of either case; false when it is anything else.
static bool unhex(const char *hex, uint8_t *ret, size_t max, size_t *ret_len) {
    return sodium_hex2bin(ret, max, hex, strlen(hex), NULL, ret_len, NULL) == 0;
}

// A point that makes forging easy is no key (see keys/pub.c).
static bool ed25519_read(const char *hex, uint8_t ret[static crypto_sign_PUBLICKEYBYTES]) {
    size_t len;
    return unhex(hex, ret, crypto_sign_PUBLICKEYBYTES, &len) && len == crypto_sign_PUBLICKEYBYTES &&
           crypto_core_ed25519_is_valid_point(ret);
}

static bool ed25519_verify(const char *public_part, const struct tuf_key_ops *ops,
                           struct slice message, struct slice signature) {
    uint8_t bytes[crypto_sign_PUBLICKEYBYTES];
    (void)ops;
    return signature.len == crypto_sign_BYTES && ed25519_read(public_part, bytes) &&
           crypto_sign_verify_detached(signature.data, message.data, message.len, bytes) == 0;
}

static bool ed25519_same(const char *a, const char *b, const struct tuf_key_ops *ops) {
    uint8_t bytes_a[crypto_sign_PUBLICKEYBYTES];
    uint8_t bytes_b[crypto_sign_PUBLICKEYBYTES];
    (void)ops;
    return ed25519_read(a, bytes_a) && ed25519_read(b, bytes_b) &&
           memcmp(bytes_a, bytes_b, sizeof bytes_a) == 0;
}

static bool ecdsa_verify(const char *public_part, const struct tuf_key_ops *ops,
                         struct slice message, struct slice signature) {
    return ops && ops->ecdsa_p256(public_part, message, signature);
}

static bool rsa_verify(const char *public_part, const struct tuf_key_ops *ops, struct slice message,
                       struct slice signature) {
    return ops && ops->rsa_pss(public_part, message, signature);
}

static bool pem_same(const char *a, const char *b, const struct tuf_key_ops *ops) {
    return ops && ops->same(a, b);
}

static const struct scheme schemes[] = {
    {"ed25519", {"ed25519", "ed25519"}, ed25519_verify, ed25519_same},
    {"ecdsa-sha2-nistp256", {"ecdsa", "ecdsa-sha2-nistp256"}, ecdsa_verify, pem_same},
    {"rsassa-pss-sha256", {"rsa", "rsa"}, rsa_verify, pem_same},
};

// ── Keys ────────────────────────────────────────────────────────────────────────────────────────

// The string member of an object, "" when there is none.
static const char *word(struct tuf_json_at object, const char *member) {
    struct tuf_json_at at;
    return tuf_json_find_type(object, member, TUF_JSON_STRING, &at) ? tuf_json_string(at, NULL)
                                                                    : "";
}

static const struct scheme *find_scheme(const char *name, const char *keytype) {
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (strcmp(schemes[i].name, name) == 0 && (strcmp(schemes[i].keytypes[0], keytype) == 0 ||
                                                   strcmp(schemes[i].keytypes[1], keytype) == 0))
            return &schemes[i];
    return NULL;
}

// False when it has no public part of a size that a key can have. ret->scheme is NULL when it is
// unknown.
static bool read_key(struct tuf_json_at at, struct key *ret) {
    struct tuf_json_at keyval;
    if (!tuf_json_find(at, "keyval", &keyval))
        return false;
    *ret = (struct key){.scheme = find_scheme(word(at, "scheme"), word(at, "keytype")),
                        .public_part = word(keyval, "public")};
    size_t len = strlen(ret->public_part);
    return len > 0 && len <= TUF_KEY_PUBLIC_MAX;
}

bool tuf_key_verify(struct tuf_json_at key, const struct tuf_key_ops *ops, struct slice message,
                    struct slice signature) {
    struct key found;
    return read_key(key, &found) && found.scheme &&
           found.scheme->verify(found.public_part, ops, message, signature);
}

bool tuf_key_same(struct tuf_json_at a, struct tuf_json_at b, const struct tuf_key_ops *ops) {
    struct key found_a;
    struct key found_b;
    if (!read_key(a, &found_a) || !read_key(b, &found_b))
        return false;
    if (strcmp(found_a.public_part, found_b.public_part) == 0)
        return true;
    return found_a.scheme && found_a.scheme == found_b.scheme &&
           found_a.scheme->same(found_a.public_part, found_b.public_part, ops);
}
