// SPDX-License-Identifier: Apache-2.0
//
// BLAKE2b-256 through libsodium. The calls beneath can fail only when given sizes they do not know,
// which are constants here, so their results are asserted.
#include "keys/digest.h"

#include <assert.h>
#include <string.h>

#include <sodium.h>

#include "base/fs.h"
#include "base/text.h"

static_assert(sizeof(crypto_generichash_state) <= sizeof(struct keys_digest_state),
              "libsodium's running digest has outgrown the space for it in the header");
static_assert(_Alignof(crypto_generichash_state) <= _Alignof(struct keys_digest_state),
              "libsodium's running digest needs a larger alignment than the header gives");

static crypto_generichash_state *inner(struct keys_digest_state *state) {
    return (crypto_generichash_state *)(void *)state->opaque;
}

void keys_digest_init(struct keys_digest_state *state) {
    int failed = crypto_generichash_init(inner(state), NULL, 0, KEYS_DIGEST_BYTES);
    assert(!failed);
    (void)failed;
}

void keys_digest_add(struct keys_digest_state *state, const void *data, size_t len) {
    if (len == 0)
        return; // data may be NULL
    int failed = crypto_generichash_update(inner(state), data, len);
    assert(!failed);
    (void)failed;
}

void keys_digest_final(struct keys_digest_state *state, struct keys_digest *ret) {
    int failed = crypto_generichash_final(inner(state), ret->bytes, sizeof ret->bytes);
    assert(!failed);
    (void)failed;
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
