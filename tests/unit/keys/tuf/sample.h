// SPDX-License-Identifier: Apache-2.0
//
// What tests of keys and roles are made of: key objects, keys that are always the same, documents
// with a role and its signatures, and the schemes of libcrypto played by a few lines (the real ones
// are tested with keys/foreign).
#pragma once

#include <criterion/criterion.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <sodium.h>

#include "base/own.h"
#include "base/text.h"
#include "keys/kind.h"
#include "keys/tuf/key.h"

#define SAMPLE_BYTES   (1 << 20) // of a document, at most
#define SAMPLE_MESSAGE "the signed part"
#define SAMPLE_KEY(type, scheme, public)                                                           \
    "{\"keytype\":\"" type "\",\"scheme\":\"" scheme "\",\"keyval\":{\"public\":\"" public "\"}}"

// ── Documents ───────────────────────────────────────────────────────────────────────────────────

// {"keys":{…},"role":{"keyids":[…],"threshold":…},"signatures":[…]}
struct sample {
    struct tuf_json json;
    struct tuf_json_at keys, role, signatures;
};

static inline void own_drop_sample(struct sample *document) {
    tuf_json_clear(&document->json);
}

static inline void sample_parse(const char *text, struct tuf_json *ret) {
    struct err e = ERR_NONE;
    struct slice slice = {(const uint8_t *)text, strlen(text)};
    cr_assert_eq(tuf_json_parse(slice, SAMPLE_BYTES, "t", ret, &e), 0, "%s: %s", text, e.text);
}

static inline void sample_read(const char *text, struct sample *ret) {
    sample_parse(text, &ret->json);
    struct tuf_json_at root = tuf_json_root(&ret->json);
    cr_assert(tuf_json_find(root, "keys", &ret->keys), "%s", text);
    cr_assert(tuf_json_find(root, "role", &ret->role), "%s", text);
    cr_assert(tuf_json_find(root, "signatures", &ret->signatures), "%s", text);
}

__attribute__((format(printf, 2, 3))) static inline void sample_add(struct buf *text,
                                                                    const char *format, ...) {
    char piece[8192];
    struct err e = ERR_NONE;
    va_list args;
    va_start(args, format);
    cr_assert_lt(vsnprintf(piece, sizeof piece, format, args), (int)sizeof piece);
    va_end(args);
    cr_assert_eq(buf_add_text(text, piece, &e), 0);
}

// Key n has the seed of 32 bytes n.
static inline const char *sample_public(unsigned n) {
    static char hex[2 * crypto_sign_PUBLICKEYBYTES + 1];
    uint8_t seed[crypto_sign_SEEDBYTES];
    uint8_t public[crypto_sign_PUBLICKEYBYTES];
    uint8_t secret[crypto_sign_SECRETKEYBYTES];
    memset(seed, (int)n, sizeof seed);
    (void)crypto_sign_seed_keypair(public, secret, seed);
    text_hex(public, sizeof public, hex);
    return hex;
}

static inline const char *sample_signature(unsigned n, const char *message) {
    static char hex[2 * crypto_sign_BYTES + 1];
    uint8_t seed[crypto_sign_SEEDBYTES];
    uint8_t public[crypto_sign_PUBLICKEYBYTES];
    uint8_t secret[crypto_sign_SECRETKEYBYTES];
    uint8_t signature[crypto_sign_BYTES];
    memset(seed, (int)n, sizeof seed);
    (void)crypto_sign_seed_keypair(public, secret, seed);
    (void)crypto_sign_detached(signature, NULL, (const uint8_t *)message, strlen(message), secret);
    text_hex(signature, sizeof signature, hex);
    return hex;
}

// ── The schemes of libcrypto, played ────────────────────────────────────────────────────────────

// A "PEM" is "ec:NAME" or "rsa:NAME", in letters of either case; its signature is those bytes.
static inline bool sample_play(const char *scheme, const char *pem, struct slice message,
                               struct slice signature) {
    return strncasecmp(pem, scheme, strlen(scheme)) == 0 && message.len == strlen(SAMPLE_MESSAGE) &&
           memcmp(message.data, SAMPLE_MESSAGE, message.len) == 0 && signature.len == strlen(pem) &&
           memcmp(signature.data, pem, signature.len) == 0;
}

static inline bool sample_play_ecdsa(const char *pem, struct slice message,
                                     struct slice signature) {
    return sample_play("ec:", pem, message, signature);
}

static inline bool sample_play_rsa(const char *pem, struct slice message, struct slice signature) {
    return sample_play("rsa:", pem, message, signature);
}

static inline bool sample_play_same(const char *a, const char *b) {
    return strcasecmp(a, b) == 0;
}

static const struct tuf_key_ops sample_ops = {sample_play_ecdsa, sample_play_rsa, sample_play_same};

static inline struct slice sample_slice(const char *text) {
    return (struct slice){(const uint8_t *)text, strlen(text)};
}
