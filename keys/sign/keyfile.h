// SPDX-License-Identifier: Apache-2.0
//
// A secret key at rest: a JSON file, mode 0600, holding the public key in clear and the seed sealed
// with a passphrase (Argon2id, libsodium's crypto_pwhash, then XChaCha20-Poly1305 with the public
// part as associated data):
//
//     {"_type":"edgectl-key","format":1,"name":"…","keyid":"…","public":"<64 hex>",
//      "kdf":{"name":"argon2id","ops":N,"mem_bytes":N,"salt":"<32 hex>"},"sealed":{"nonce":"<48
//      hex>","box":"<96 hex>"}}
//
// The seal is bound to all other members in canonical form: whoever changes one of them breaks it.
//
// No passphrase is allowed only when asked for: `"kdf":{"name":"none"}`, and `"seed":"<64 hex>"` in
// place of "sealed". That is the server's own online key, whose file the operating system protects.
// Beside NAME.key stands NAME.pub, the TUF key object alone, which may be given away.
#pragma once

#include "keys/pub.h"
#include "keys/secret.h"

#define SIGN_KEYFILE_MAX_BYTES    4096
#define SIGN_KEYFILE_NAME_BYTES   64
#define SIGN_PASSPHRASE_MAX_BYTES 1024

struct sign_keyfile_info {
    char name[SIGN_KEYFILE_NAME_BYTES];
    struct keys_pub pub;
    bool sealed; // false: no passphrase needed
};

// Cost of the key derivation: passes, and memory. The default is the second recommended option of
// RFC 9106 §4, Argon2id with 3 passes over 64 MiB, but with one lane where that has four, because
// libsodium's crypto_pwhash knows no other number: every command that signs pays for it. A key file
// says what it was sealed with, so older ones open as before. A test may take the minimum.
struct sign_kdf {
    uint64_t ops;
    uint64_t mem_bytes;
};
extern const struct sign_kdf sign_keyfile_kdf_default;
extern const struct sign_kdf sign_keyfile_kdf_least;

// Writes NAME.key and NAME.pub into dir, each whole and durable, for a new random key. passphrase
// NULL: unsealed, and kdf is not used. Kinds: exists when either file is there, usage (not a name),
// limit (kdf, passphrase), memory, those of err_errno.
int sign_keyfile_create(int dir, const char *name, const struct keys_secret *passphrase,
                        const struct sign_kdf *kdf, struct keys_pub *ret, struct err *e)
    __attribute__((nonnull(2, 4, 5, 6)));
// Reads what needs no passphrase. Kinds: permission (others may use the file), wrong_type (no key
// file), newer_format, syntax, bad_key, limit (a derivation that asks for too much).
int sign_keyfile_info(int dir, const char *path, struct sign_keyfile_info *ret, struct err *e)
    __attribute__((nonnull));
// Opens the seed. passphrase may be NULL for an unsealed file. Kinds: bad_passphrase (wrong,
// absent, or the file was changed), bad_key (public and secret disagree), those of
// sign_keyfile_info.
int sign_keyfile_open(int dir, const char *path, const struct keys_secret *passphrase,
                      struct keys_secret **ret_seed, struct keys_pub *ret_pub, struct err *e)
    __attribute__((nonnull(2, 4, 5, 6)));
// Writes NAME.pub into dir, whole and durable. Kinds: exists when the file is there, usage (not a
// name).
int sign_keyfile_write_pub(int dir, const char *name, const struct keys_pub *pub, struct err *e)
    __attribute__((nonnull));
// Reads a NAME.pub file.
int sign_keyfile_read_pub(int dir, const char *path, struct keys_pub *ret, struct err *e)
    __attribute__((nonnull));
