// SPDX-License-Identifier: Apache-2.0
//
// Public keys in TUF's form, {"keytype":"ed25519","keyval":{"public":"<64
// hex>"},"scheme":"ed25519"}, and their ids: the hex SHA-256 of that object in canonical JSON. The
// object has exactly these members, so that a key has one id and different ids are different keys.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/doc.h"
#include "keys/secret.h"

#define KEYS_ID_BYTES 32
#define KEYS_ID_HEX   65

struct keys_pub {
    char id[KEYS_ID_HEX];
    uint8_t ed25519[KEYS_ED25519_PUBLIC_BYTES];
};

// Kinds: bad_key (unknown type, unknown member, not 64 hex digits, not a point of the curve),
// syntax (a member is absent or no string).
int keys_pub_parse(const struct doc_at *at, struct keys_pub *ret, struct err *e)
    __attribute__((nonnull));
// Kinds: bad_key, memory.
int keys_pub_from_bytes(const uint8_t ed25519[static KEYS_ED25519_PUBLIC_BYTES],
                        struct keys_pub *ret, struct err *e) __attribute__((nonnull));
// A new TUF key object; the caller's.
int keys_pub_format(const struct keys_pub *key, json_t **ret, struct err *e)
    __attribute__((nonnull));
// True when the signature over the message is this key's (RFC 8032; S below the order, no
// small-order points).
bool keys_pub_verify(const struct keys_pub *key, struct slice message,
                     const uint8_t signature[static KEYS_ED25519_SIGNATURE_BYTES])
    __attribute__((nonnull));
