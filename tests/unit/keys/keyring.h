// SPDX-License-Identifier: Apache-2.0
//
// Keys for tests, always the same: key n has the seed of 32 bytes n, as in tests/data/keys/make.py.
// And the few steps that every test of signed things takes, each ending the process when it fails.
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/own.h"
#include "keys/canon.h"
#include "keys/envelope.h"
#include "keys/root.h"
#include "keys/secret.h"

#define KEYRING_MAX 40

static inline void keyring_must(int failed, const struct err *e) {
    if (failed < 0) {
        (void)fprintf(stderr, "test set-up failed: %s\n", e->text);
        abort();
    }
}

static inline struct keys_secret *keyring_seed(unsigned n) {
    struct err e = ERR_NONE;
    uint8_t bytes[KEYS_ED25519_SEED_BYTES];
    struct keys_secret *seed = NULL;
    memset(bytes, (int)n, sizeof bytes);
    keyring_must(keys_secret_init(&e), &e);
    keyring_must(keys_secret_take(bytes, sizeof bytes, &seed, &e), &e);
    return seed;
}

static inline struct keys_pub keyring_pub(unsigned n) {
    struct err e = ERR_NONE;
    uint8_t public[KEYS_ED25519_PUBLIC_BYTES];
    struct keys_pub pub;
    OWN(secret) struct keys_secret *seed = keyring_seed(n);
    keyring_must(keys_secret_public(seed, public, &e), &e);
    keyring_must(keys_pub_from_bytes(public, &pub, &e), &e);
    return pub;
}

static inline void keyring_sign(unsigned n, struct slice message,
                                struct keys_envelope_signature *ret) {
    struct err e = ERR_NONE;
    OWN(secret) struct keys_secret *seed = keyring_seed(n);
    struct keys_pub pub = keyring_pub(n);
    memcpy(ret->keyid, pub.id, sizeof ret->keyid);
    keyring_must(keys_secret_sign(seed, message, ret->sig, &e), &e);
}

// The role of keys 1 to n.
static inline struct keys_role keyring_role(size_t threshold, unsigned n) {
    struct keys_role role = {.threshold = threshold, .n_keys = n};
    for (unsigned i = 0; i < n; i++)
        role.keys[i] = keyring_pub(i + 1);
    return role;
}

// Appends the envelope of signed_part with the signatures of the keys whose bits are set (bit 0 is
// key 1).
static inline void keyring_envelope(struct slice signed_part, uint64_t keys, struct buf *ret) {
    struct err e = ERR_NONE;
    struct keys_envelope_signature signatures[KEYS_ENVELOPE_SIGNATURES_MAX];
    size_t n = 0;
    for (unsigned i = 0; i < 64; i++)
        if (keys >> i & 1)
            keyring_sign(i + 1, signed_part, &signatures[n++]);
    keyring_must(keys_envelope_format(signed_part, signatures, n, ret, &e), &e);
}

static inline struct slice keyring_slice(const char *text) {
    return (struct slice){(const uint8_t *)text, strlen(text)};
}

// The canonical signed part of a root: role root is `threshold` of keys 1 to n, bundle key 1 and
// director key 2.
static inline void keyring_root(size_t threshold, unsigned n, uint64_t version, struct buf *ret) {
    struct err e = ERR_NONE;
    static struct keys_role roles[KEYS_ROOT_ROLES];
    roles[KEYS_ROOT_ROLE_ROOT] = keyring_role(threshold, n);
    roles[KEYS_ROOT_ROLE_BUNDLE] = keyring_role(1, 1);
    roles[KEYS_ROOT_ROLE_DIRECTOR] = (struct keys_role){1, 1, {keyring_pub(2)}};
    struct keys_header header = {.version = version,
                                 .issued_s = 1767225600,
                                 .expires_s = 1767225600 + KEYS_ROOT_EXPIRES_DEFAULT_S};
    keyring_must(keys_root_format(roles, &header, ret, &e), &e);
}
