// SPDX-License-Identifier: Apache-2.0
//
// Hashes by name: what was signed is compared as it is written, in lower-case hex digits, so a
// value that is too short, too long or not hex is one that does not match.
#include <string.h>

#include <sodium.h>

#include "base/text.h"
#include "keys/digest.h"
#include "keys/kind.h"
#include "keys/tuf/hashes.h"

static void sha256(struct slice bytes, uint8_t *ret) {
    (void)crypto_hash_sha256(ret, bytes.data, bytes.len);
}

static void sha512(struct slice bytes, uint8_t *ret) {
    (void)crypto_hash_sha512(ret, bytes.data, bytes.len);
}

static void blake2b_256(struct slice bytes, uint8_t *ret) {
    struct keys_digest digest;
    keys_digest_of(bytes.data, bytes.len, &digest);
    memcpy(ret, digest.bytes, sizeof digest.bytes);
}

static const struct {
    const char *name;
    size_t bytes;
    void (*of)(struct slice bytes, uint8_t *ret);
} algorithms[] = {
    {"sha256", crypto_hash_sha256_BYTES, sha256},
    {"sha512", crypto_hash_sha512_BYTES, sha512},
    {"blake2b-256", KEYS_DIGEST_BYTES, blake2b_256},
};

#define ALGORITHMS (sizeof algorithms / sizeof *algorithms)

int tuf_hashes_check(struct tuf_json_at hashes, struct slice bytes, const char *what,
                     struct err *e) {
    size_t supported = 0;
    for (size_t i = 0; i < ALGORITHMS; i++) {
        struct tuf_json_at at;
        uint8_t digest[crypto_hash_sha512_BYTES];
        char hex[2 * sizeof digest + 1];
        if (!tuf_json_find(hashes, algorithms[i].name, &at))
            continue;
        algorithms[i].of(bytes, digest);
        text_hex(digest, algorithms[i].bytes, hex);
        if (strcmp(hex, tuf_json_string(at, NULL)) != 0)
            return err_set(e, &err_digest_mismatch,
                           "%s: its %s is not the one that was signed; it was damaged or replaced",
                           what, algorithms[i].name);
        supported++;
    }
    if (supported == 0)
        return err_set(e, &err_digest_mismatch,
                       "%s: none of its hashes is of a kind known here (sha256, sha512, "
                       "blake2b-256)",
                       what);
    return 0;
}

const char *tuf_hashes_first(struct tuf_json_at hashes) {
    for (size_t i = 0; i < ALGORITHMS; i++) {
        struct tuf_json_at at;
        if (!tuf_json_find(hashes, algorithms[i].name, &at))
            continue;
        const char *hex = tuf_json_string(at, NULL);
        if (strlen(hex) == 2 * algorithms[i].bytes &&
            strspn(hex, "0123456789abcdef") == strlen(hex))
            return hex;
    }
    return NULL;
}
