// SPDX-License-Identifier: Apache-2.0
//
// PEM, DER, a look at what kind of key it is, and libcrypto's verification; each call parses its
// key again and keeps nothing.
#include "keys/foreign/ops.h"

#include <string.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/own.h"

#define PEM_NAME       "PUBLIC KEY"
#define PEM_HEAD       "-----BEGIN " PEM_NAME "-----"
#define CURVE          "prime256v1" // as libcrypto calls P-256
#define RSA_BITS_MIN   2048
#define RSA_BITS_MAX   8192
#define RSA_E_BITS_MAX 32
#define CURVE_NAME_MAX 64

static void own_drop_bio(BIO **bio) {
    (void)BIO_free(*bio);
}

static void own_drop_crypto_mem(void *pointer) {
    void **slot = pointer;
    OPENSSL_free(*slot);
}

static void own_drop_pkey(EVP_PKEY **key) {
    EVP_PKEY_free(*key);
}

static void own_drop_pkey_context(EVP_PKEY_CTX **context) {
    EVP_PKEY_CTX_free(*context);
}

static void own_drop_digest(EVP_MD_CTX **digest) {
    EVP_MD_CTX_free(*digest);
}

static void own_drop_number(BIGNUM **number) {
    BN_free(*number);
}

// The one key of a PEM text; NULL when it is anything else. The caller's.
static EVP_PKEY *read_pem(const char *pem) {
    size_t len = strnlen(pem, TUF_KEY_PUBLIC_MAX + 1);
    if (len > TUF_KEY_PUBLIC_MAX || strncmp(pem, PEM_HEAD, strlen(PEM_HEAD)) != 0)
        return NULL;
    OWN(bio) BIO *bio = BIO_new_mem_buf(pem, (int)len);
    OWN(crypto_mem) char *name = NULL;
    OWN(crypto_mem) char *header = NULL;
    OWN(crypto_mem) unsigned char *der = NULL;
    long der_len = 0;
    // Takes the text apart and decrypts nothing, so that there is nothing to ask.
    if (!bio || PEM_read_bio(bio, &name, &header, &der, &der_len) != 1 ||
        strcmp(name, PEM_NAME) != 0 || *header)
        return NULL;
    const char *rest = pem + len - BIO_pending(bio);
    if (rest[strspn(rest, " \t\r\n")])
        return NULL;
    const unsigned char *at = der;
    OWN(pkey) EVP_PKEY *key = d2i_PUBKEY(NULL, &at, der_len);
    if (!key || at != der + der_len)
        return NULL;
    return own_take(&key);
}

// On P-256 by its name: not by parameters of the key's own making, and not the point at infinity,
// under which anyone can sign.
static bool is_p256(EVP_PKEY *key) {
    char curve[CURVE_NAME_MAX] = "";
    int explicit_parameters = 1;
    if (!EVP_PKEY_is_a(key, "EC") || EVP_PKEY_get_group_name(key, curve, sizeof curve, NULL) != 1 ||
        strcmp(curve, CURVE) != 0 ||
        EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS,
                               &explicit_parameters) != 1 ||
        explicit_parameters)
        return false;
    OWN(pkey_context) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    return context && EVP_PKEY_public_check(context) == 1;
}

static bool is_sound_rsa(EVP_PKEY *key) {
    OWN(number) BIGNUM *e = NULL;
    if (!EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_get_bits(key) < RSA_BITS_MIN ||
        EVP_PKEY_get_bits(key) > RSA_BITS_MAX ||
        EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) != 1)
        return false;
    return BN_is_odd(e) && !BN_is_one(e) && BN_num_bits(e) <= RSA_E_BITS_MAX;
}

enum scheme { ECDSA_P256, RSA_PSS };

static bool verify(EVP_PKEY *key, enum scheme scheme, struct slice message,
                   struct slice signature) {
    OWN(digest) EVP_MD_CTX *digest = EVP_MD_CTX_new();
    EVP_PKEY_CTX *context = NULL; // the digest's
    if (!digest || EVP_DigestVerifyInit(digest, &context, EVP_sha256(), NULL, key) != 1)
        return false;
    if (scheme == RSA_PSS && (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) != 1 ||
                              EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()) != 1 ||
                              EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_AUTO) != 1))
        return false;
    return EVP_DigestVerify(digest, signature.data, signature.len, message.data, message.len) == 1;
}

static bool check_signature(const char *pem, enum scheme scheme, struct slice message,
                            struct slice signature) {
    OWN(pkey) EVP_PKEY *key = read_pem(pem);
    bool sound = key && (scheme == RSA_PSS ? is_sound_rsa(key) : is_p256(key));
    return sound && verify(key, scheme, message, signature);
}

// The mark keeps what other code of this thread left in the error queue, and drops what is ours.
static bool ops_ecdsa_p256(const char *pem, struct slice message, struct slice signature) {
    (void)ERR_set_mark();
    bool valid = check_signature(pem, ECDSA_P256, message, signature);
    (void)ERR_pop_to_mark();
    return valid;
}

static bool ops_rsa_pss(const char *pem, struct slice message, struct slice signature) {
    (void)ERR_set_mark();
    bool valid = check_signature(pem, RSA_PSS, message, signature);
    (void)ERR_pop_to_mark();
    return valid;
}

static bool is_same(const char *pem_a, const char *pem_b) {
    OWN(pkey) EVP_PKEY *a = read_pem(pem_a);
    OWN(pkey) EVP_PKEY *b = read_pem(pem_b);
    return a && b && EVP_PKEY_eq(a, b) == 1;
}

static bool ops_same(const char *pem_a, const char *pem_b) {
    (void)ERR_set_mark();
    bool same = is_same(pem_a, pem_b);
    (void)ERR_pop_to_mark();
    return same;
}

const struct tuf_key_ops foreign_ops = {
    .ecdsa_p256 = ops_ecdsa_p256,
    .rsa_pss = ops_rsa_pss,
    .same = ops_same,
};
