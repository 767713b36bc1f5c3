// SPDX-License-Identifier: Apache-2.0
//
// Guarded memory and the Ed25519 keys in it. One allocation holds the length and the bytes: with
// guard pages around it, and never written again once it is filled. Where the limit on locked
// memory is low, locking fails and libsodium goes on without it; the other guards stay.
#include "keys/secret.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <sodium.h>

#include "base/fs.h"
#include "base/own.h"

struct keys_secret {
    size_t len;
    uint8_t bytes[];
};

static_assert(KEYS_ED25519_PUBLIC_BYTES == crypto_sign_PUBLICKEYBYTES, "see keys/secret.h");
static_assert(KEYS_ED25519_SEED_BYTES == crypto_sign_SEEDBYTES, "see keys/secret.h");
static_assert(KEYS_ED25519_SIGNATURE_BYTES == crypto_sign_BYTES, "see keys/secret.h");

int keys_secret_init(struct err *e) {
    if (sodium_init() < 0)
        return err_set(e, &err_internal, "libsodium did not start");
    return 0;
}

// Room for len bytes, still writable.
static int reserve(size_t len, struct keys_secret **ret, struct err *e) {
    // sodium_malloc ends the allocation at a guard page, so its size decides its alignment.
    size_t bytes = (sizeof(struct keys_secret) + len + 15) / 16 * 16;
    struct keys_secret *secret = sodium_malloc(bytes);
    if (!secret)
        return err_set(e, &err_memory, "guarded memory for %zu secret bytes could not be had", len);
    secret->len = len;
    *ret = secret;
    return 0;
}

// From here on a stray write is a fault. It is one more guard: where the kernel refuses it, the
// secret serves all the same.
static void seal(struct keys_secret *secret) {
    (void)sodium_mprotect_readonly(secret);
}

int keys_secret_take(void *data, size_t len, struct keys_secret **ret, struct err *e) {
    int failed;
    struct keys_secret *secret = NULL;
    if (len > KEYS_SECRET_MAX_BYTES)
        failed = err_set(e, &err_limit, "a secret of %zu bytes; at most %d are taken", len,
                         KEYS_SECRET_MAX_BYTES);
    else
        failed = reserve(len, &secret, e);
    if (!failed) {
        memcpy(secret->bytes, data, len);
        seal(secret);
        *ret = secret;
    }
    sodium_memzero(data, len);
    return failed;
}

int keys_secret_random(size_t len, struct keys_secret **ret, struct err *e) {
    if (len > KEYS_SECRET_MAX_BYTES)
        return err_set(e, &err_limit, "a secret of %zu bytes; at most %d are made", len,
                       KEYS_SECRET_MAX_BYTES);
    struct keys_secret *secret = NULL;
    if (reserve(len, &secret, e) < 0)
        return -1;
    randombytes_buf(secret->bytes, len);
    seal(secret);
    *ret = secret;
    return 0;
}

static int check_private(int fd, const char *path, struct err *e) {
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_errno(e, errno, "looking at %s", path);
    if (S_ISDIR(st.st_mode))
        return err_set(e, &err_io, "%s is a directory, not a file with a secret", path);
    if (st.st_mode & (S_IRWXG | S_IRWXO))
        return err_set(
            e, &err_permission,
            "%s holds a secret, but its mode %04o lets others use it; run chmod 600 on it", path,
            (unsigned)(st.st_mode & 07777));
    return 0;
}

int keys_secret_read(int dir, const char *path, size_t max, int trim, struct keys_secret **ret,
                     struct err *e) {
    assert(max <= KEYS_SECRET_MAX_BYTES);
    OWN(fd) int fd = -1;
    if (fs_open_read(dir, path, &fd, e) < 0 || check_private(fd, path, e) < 0)
        return -1;
    OWN(secret) struct keys_secret *secret = NULL;
    // One byte for the newline that may go, one to see that there is more than allowed.
    if (reserve(max + 2, &secret, e) < 0)
        return -1;
    size_t got = 0;
    if (fs_read(fd, secret->bytes, max + 2, &got, e) < 0)
        return err_prefix(e, "reading %s", path);
    if (trim && got > 0 && secret->bytes[got - 1] == '\n')
        got--;
    if (got > max)
        return err_set(e, &err_limit, "%s is longer than the %zu bytes allowed for it", path, max);
    sodium_memzero(secret->bytes + got, max + 2 - got);
    secret->len = got;
    seal(secret);
    *ret = own_take(&secret);
    return 0;
}

void keys_secret_free(struct keys_secret *secret) {
    sodium_free(secret); // wipes; NULL is fine
}

const uint8_t *keys_secret_data(const struct keys_secret *secret) {
    return secret->bytes;
}

size_t keys_secret_len(const struct keys_secret *secret) {
    return secret->len;
}

// libsodium's long form of a key (seed and public key). It lives on the stack for the length of one
// call: guarded pages for each signature would cost more than the signature.
static int expand(const struct keys_secret *seed, uint8_t public[static KEYS_ED25519_PUBLIC_BYTES],
                  uint8_t secret[static crypto_sign_SECRETKEYBYTES], struct err *e) {
    if (seed->len != KEYS_ED25519_SEED_BYTES)
        return err_set(e, &err_internal, "an Ed25519 seed has %d bytes, this secret has %zu",
                       KEYS_ED25519_SEED_BYTES, seed->len);
    if (crypto_sign_seed_keypair(public, secret, seed->bytes) != 0)
        return err_set(e, &err_internal, "an Ed25519 key could not be derived from its seed");
    return 0;
}

int keys_secret_sign(const struct keys_secret *seed, struct slice message,
                     uint8_t ret[static KEYS_ED25519_SIGNATURE_BYTES], struct err *e) {
    uint8_t public[KEYS_ED25519_PUBLIC_BYTES];
    uint8_t secret[crypto_sign_SECRETKEYBYTES];
    int failed = expand(seed, public, secret, e);
    if (!failed && crypto_sign_detached(ret, NULL, message.data, message.len, secret) != 0)
        failed = err_set(e, &err_internal, "Ed25519 could not sign %zu bytes", message.len);
    sodium_memzero(secret, sizeof secret);
    return failed;
}

int keys_secret_public(const struct keys_secret *seed,
                       uint8_t ret[static KEYS_ED25519_PUBLIC_BYTES], struct err *e) {
    uint8_t public[KEYS_ED25519_PUBLIC_BYTES];
    uint8_t secret[crypto_sign_SECRETKEYBYTES];
    int failed = expand(seed, public, secret, e);
    if (!failed)
        memcpy(ret, public, sizeof public);
    sodium_memzero(secret, sizeof secret);
    return failed;
}
