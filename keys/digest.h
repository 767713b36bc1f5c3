// SPDX-License-Identifier: Apache-2.0
//
// BLAKE2b-256, the digest of everything this project addresses by content (RFC 7693, unkeyed, 32
// bytes; keys/blake, the same as libsodium's crypto_generichash). In JSON a digest is 64 lower-case
// hex digits. SHA-256 appears where others have to follow: TUF key ids, and the hashes of metadata
// and targets in a repository.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define KEYS_DIGEST_BYTES 32
#define KEYS_DIGEST_HEX   65 // with its NUL

struct keys_digest {
    uint8_t bytes[KEYS_DIGEST_BYTES];
};

// A running digest. Opaque.
struct keys_digest_state {
    _Alignas(64) uint8_t opaque[384];
};

void keys_digest_init(struct keys_digest_state *state) __attribute__((nonnull));
void keys_digest_add(struct keys_digest_state *state, const void *data, size_t len)
    __attribute__((nonnull(1)));
void keys_digest_final(struct keys_digest_state *state, struct keys_digest *ret)
    __attribute__((nonnull));
void keys_digest_of(const void *data, size_t len, struct keys_digest *ret)
    __attribute__((nonnull(3)));
// Keyed (MAC); key of 16 to 64 bytes. For tickets and ranks.
void keys_digest_keyed(const void *key, size_t key_len, const void *data, size_t len,
                       struct keys_digest *ret) __attribute__((nonnull));
// Digest of an open file from offset 0 to its end, read in `chunk` sized pieces into the caller's
// buffer.
int keys_digest_fd(int fd, void *buffer, size_t buffer_bytes, struct keys_digest *ret,
                   uint64_t *ret_bytes, struct err *e) __attribute__((nonnull));

// SHA-256 as 64 lower-case hex digits; returns ret.
char *keys_digest_sha256(const void *data, size_t len, char ret[static KEYS_DIGEST_HEX]);

// In constant time.
bool keys_digest_equal(const struct keys_digest *a, const struct keys_digest *b)
    __attribute__((nonnull));
// Returns ret.
char *keys_digest_hex(const struct keys_digest *digest, char ret[static KEYS_DIGEST_HEX]);
int keys_digest_parse(const char *hex, const char *what, struct keys_digest *ret, struct err *e)
    __attribute__((nonnull));
