// SPDX-License-Identifier: Apache-2.0
//
// BLAKE2b-256: plain through keys/blake, keyed through libsodium. Its call can fail only when given
// sizes it does not know, so the result is asserted.
#include "keys/digest.h"

#include <assert.h>
#include <string.h>

#include <sodium.h>

#include "base/fs.h"
#include "base/text.h"
#include "keys/blake.h"

static_assert(sizeof(struct keys_blake) <= sizeof(struct keys_digest_state),
              "no space for the state");

static struct keys_blake *inner(struct keys_digest_state *state) {
    return (struct keys_blake *)(void *)state->opaque;
}

void keys_digest_init(struct keys_digest_state *state) {
    keys_blake_init(inner(state));
}

void keys_digest_add(struct keys_digest_state *state, const void *data, size_t len) {
    if (len > 0) // else data may be NULL
        keys_blake_add(inner(state), data, len);
}

void keys_digest_final(struct keys_digest_state *state, struct keys_digest *ret) {
    keys_blake_final(inner(state), ret->bytes);
}

void keys_digest_of(const void *data, size_t len, struct keys_digest *ret) {
    struct keys_digest_state state;
    keys_digest_init(&state);
    keys_digest_add(&state, data, len);
    keys_digest_final(&state, ret);
}

void keys_digest_keyed(const void *key, size_t key_len, const void *data, size_t len,
                       struct keys_digest *ret) {
    assert(key_len >= crypto_generichash_KEYBYTES_MIN &&
           key_len <= crypto_generichash_KEYBYTES_MAX);
    int failed = crypto_generichash(ret->bytes, sizeof ret->bytes, data, len, key, key_len);
    assert(!failed);
    (void)failed;
}

int keys_digest_fd(int fd, void *buffer, size_t buffer_bytes, struct keys_digest *ret,
                   uint64_t *ret_bytes, struct err *e) {
    assert(buffer_bytes > 0);
    struct keys_digest_state state;
    keys_digest_init(&state);
    uint64_t offset = 0;
    for (;;) {
        size_t got = 0;
        if (fs_pread(fd, buffer, buffer_bytes, offset, &got, e) < 0)
            return err_prefix(e, "computing the digest of a file, at byte %llu",
                              (unsigned long long)offset);
        keys_digest_add(&state, buffer, got);
        offset += got;
        if (got < buffer_bytes)
            break; // fs_pread comes back short at the end of the file only
    }
    keys_digest_final(&state, ret);
    *ret_bytes = offset;
    return 0;
}

char *keys_digest_sha256(const void *data, size_t len, char ret[static KEYS_DIGEST_HEX]) {
    uint8_t digest[crypto_hash_sha256_BYTES];
    static_assert(KEYS_DIGEST_HEX == 2 * sizeof digest + 1, "both digests have 32 bytes");
    (void)crypto_hash_sha256(digest, data, len);
    text_hex(digest, sizeof digest, ret);
    return ret;
}

bool keys_digest_equal(const struct keys_digest *a, const struct keys_digest *b) {
    return sodium_memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

char *keys_digest_hex(const struct keys_digest *digest, char ret[static KEYS_DIGEST_HEX]) {
    text_hex(digest->bytes, sizeof digest->bytes, ret);
    return ret;
}

int keys_digest_parse(const char *hex, const char *what, struct keys_digest *ret, struct err *e) {
    struct keys_digest digest;
    if (text_unhex(hex, digest.bytes, sizeof digest.bytes, what, e) < 0)
        return -1;
    *ret = digest;
    return 0;
}
