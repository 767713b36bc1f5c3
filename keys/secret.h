// SPDX-License-Identifier: Apache-2.0
//
// Secret bytes: in memory of their own (sodium_malloc: guard pages, locked, never in a core dump),
// wiped on free, and never passed through buf, logs or errors. An Ed25519 secret key is one of
// them. Call keys_secret_init once per process before anything here.
//
// One secret costs two touched pages. Where the limit on locked memory (RLIMIT_MEMLOCK) is low,
// memory stays unlocked and all else holds.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define KEYS_ED25519_PUBLIC_BYTES    32
#define KEYS_ED25519_SEED_BYTES      32
#define KEYS_ED25519_SIGNATURE_BYTES 64
#define KEYS_SECRET_MAX_BYTES        4096

struct keys_secret; // the guarded bytes; opaque

// libsodium's own start; < 0 when it fails (internal). Idempotent.
int keys_secret_init(struct err *e) __attribute__((nonnull));

// Takes a copy of data and wipes the caller's, on failure too. Kinds: limit (above
// KEYS_SECRET_MAX_BYTES), memory.
int keys_secret_take(void *data, size_t len, struct keys_secret **ret, struct err *e)
    __attribute__((nonnull));
int keys_secret_random(size_t len, struct keys_secret **ret, struct err *e)
    __attribute__((nonnull));
// Reads at most max (<= KEYS_SECRET_MAX_BYTES) bytes of a file that group and others may not use
// (permission otherwise); trim drops one trailing newline, which does not count. Kinds: permission,
// limit (longer than max), memory, those of err_errno.
int keys_secret_read(int dir, const char *path, size_t max, int trim, struct keys_secret **ret,
                     struct err *e) __attribute__((nonnull));
void keys_secret_free(struct keys_secret *secret);
static inline void own_drop_secret(struct keys_secret **secret) {
    keys_secret_free(*secret);
    *secret = NULL;
}

// Borrowed until free.
const uint8_t *keys_secret_data(const struct keys_secret *secret) __attribute__((nonnull));
size_t keys_secret_len(const struct keys_secret *secret) __attribute__((nonnull));

// Ed25519: a secret is the 32-byte seed.
int keys_secret_sign(const struct keys_secret *seed, struct slice message,
                     uint8_t ret[static KEYS_ED25519_SIGNATURE_BYTES], struct err *e)
    __attribute__((nonnull));
int keys_secret_public(const struct keys_secret *seed,
                       uint8_t ret[static KEYS_ED25519_PUBLIC_BYTES], struct err *e)
    __attribute__((nonnull));
