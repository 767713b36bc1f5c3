// SPDX-License-Identifier: Apache-2.0
//
// Who makes a signature: a key file of ours, a key on a token (keys/sign/pkcs11.h), or an external
// program that holds the key (an HSM, a cloud KMS): it gets the exact bytes to sign on standard
// input and answers the raw 64-byte Ed25519 signature, or its 128 hex digits, on standard output.
// What comes back is verified against the public key before it is used.
#pragma once

#include "base/chrono.h"
#include "keys/envelope.h"
#include "keys/sign/pkcs11.h"

#define SIGN_SIGNER_TIMEOUT_MS 120000

struct sign_signer; // one key that can sign

// Consumes the seed (on success). Kind bad_key when it is not the secret of pub.
int sign_signer_from_seed(struct keys_secret **seed, const struct keys_pub *pub,
                          struct sign_signer **ret, struct err *e) __attribute__((nonnull));
// command is run without a shell: split at blanks, double quotes group. A program without a slash
// is looked for in PATH; it gets our environment. clock is borrowed until free; command and pub are
// copied. Kinds: usage, limit, signer_failed (no such program), memory.
int sign_signer_from_command(const char *command, const struct keys_pub *pub,
                             const struct chrono *clock, struct sign_signer **ret, struct err *e)
    __attribute__((nonnull));
// A key on a token, named by its URI. pin may be NULL. Kinds: those of sign_pkcs11_open.
int sign_signer_from_pkcs11(const char *uri, const struct sign_pkcs11_pin *pin,
                            struct sign_signer **ret, struct err *e)
    __attribute__((nonnull(1, 3, 4)));
void sign_signer_free(struct sign_signer *signer);

const struct keys_pub *sign_signer_pub(const struct sign_signer *signer) __attribute__((nonnull));
// Kinds: signer_failed (did not start, failed, took longer than SIGN_SIGNER_TIMEOUT_MS, answered
// something else), bad_signature.
int sign_signer_sign(const struct sign_signer *signer, struct slice message,
                     uint8_t ret[static KEYS_ED25519_SIGNATURE_BYTES], struct err *e)
    __attribute__((nonnull));

// Signs a canonical signed part with each signer and appends the envelope to *ret.
int sign_signer_envelope(struct slice signed_part, struct sign_signer *const *signers, size_t n,
                         struct buf *ret, struct err *e) __attribute__((nonnull));
// Adds this signer's signature to an envelope that has others; one by the same key is replaced.
int sign_signer_add(struct slice envelope, const struct sign_signer *signer, struct buf *ret,
                    struct err *e) __attribute__((nonnull));
