// SPDX-License-Identifier: Apache-2.0
//
// Keys on a token: an HSM, a smart card, a software token, reached through PKCS #11 and named by a
// URI (RFC 7512):
//
//     pkcs11:token=Release%20keys;object=targets?pin-source=/run/pin
//     pkcs11:token=t;id=%01?module-path=/usr/lib/softhsm/libsofthsm2.so
//
// The URI must name exactly one private key, of type Ed25519 (CKK_EC_EDWARDS, signing with
// CKM_EDDSA), whose public half lies on the token too. Modules come from `module-path`, else from
// what p11-kit is configured with; only the one that has the token is used. The PIN comes from
// `pin-value`, from the file of `pin-source` (which group and others may not read), else from
// whoever asks for it here. A URI without a PIN that names a token without a login needs none.
//
// Not for several threads: a module is loaded for the process.
#pragma once

#include <stdbool.h>

#include "keys/pub.h"
#include "keys/secret.h"

#define SIGN_PKCS11_URI_MAX   2048
#define SIGN_PKCS11_SLOTS_MAX 256 // looked at in one module
#define SIGN_PKCS11_PIN_MAX   256

// Asks for a token's PIN; what it returns is borrowed until the next call.
struct sign_pkcs11_pin {
    int (*ask)(void *context, const char *token, const struct keys_secret **ret, struct err *e);
    void *context;
};

struct sign_pkcs11; // an open session with one private key

bool sign_pkcs11_is_uri(const char *text) __attribute__((nonnull));
// Logs in and finds the key; *ret_pub is its public half. pin may be NULL: then only the URI's.
// Kinds: usage (not such a URI, or it names several keys), limit, not_found (no such module, token
// or key), bad_passphrase (the PIN), permission (the PIN's file), bad_key (not Ed25519, no public
// half), signer_failed (the token says so), memory.
int sign_pkcs11_open(const char *uri, const struct sign_pkcs11_pin *pin, struct sign_pkcs11 **ret,
                     struct keys_pub *ret_pub, struct err *e) __attribute__((nonnull(1, 3, 4, 5)));
// Kind signer_failed.
int sign_pkcs11_sign(const struct sign_pkcs11 *key, struct slice message,
                     uint8_t ret[static KEYS_ED25519_SIGNATURE_BYTES], struct err *e)
    __attribute__((nonnull));
void sign_pkcs11_close(struct sign_pkcs11 *key);
static inline void own_drop_pkcs11(struct sign_pkcs11 **key) {
    sign_pkcs11_close(*key);
    *key = NULL;
}
