// SPDX-License-Identifier: Apache-2.0
//
// A public key as TUF writes it. Exactly the three members are allowed, so that one key has one id:
// whoever counts different ids counts different keys.
#include "keys/pub.h"

#include <assert.h>
#include <string.h>

#include <sodium.h>

#include "base/own.h"
#include "base/text.h"
#include "keys/canon.h"
#include "keys/kind.h"

#define PUBLIC_HEX   (2 * KEYS_ED25519_PUBLIC_BYTES + 1)
#define OBJECT_BYTES 256 // of a key object in canonical JSON; ours has 136

static_assert(KEYS_ID_BYTES == crypto_hash_sha256_BYTES, "a key id is a SHA-256");

int keys_pub_format(const struct keys_pub *key, json_t **ret, struct err *e) {
    char hex[PUBLIC_HEX];
    text_hex(key->ed25519, sizeof key->ed25519, hex);
    json_t *object = json_pack("{s:s,s:{s:s},s:s}", "keytype", "ed25519", "keyval", "public", hex,
                               "scheme", "ed25519");
    if (!object)
        return err_set(e, &err_memory, "writing a public key: out of memory");
    *ret = object;
    return 0;
}

static int compute_id(struct keys_pub *key, struct err *e) {
    OWN(json) json_t *object = NULL;
    OWN(buf) struct buf text;
    buf_init(&text, OBJECT_BYTES);
    if (keys_pub_format(key, &object, e) < 0 || keys_canon_format(object, &text, e) < 0)
        return -1;
    uint8_t id[KEYS_ID_BYTES];
    (void)crypto_hash_sha256(id, text.data, text.len);
    text_hex(id, sizeof id, key->id);
    return 0;
}

int keys_pub_from_bytes(const uint8_t ed25519[static KEYS_ED25519_PUBLIC_BYTES],
                        struct keys_pub *ret, struct err *e) {
    // Not a point, or one of the few under which forging is easy: found here, not at the first
    // signature.
    if (!crypto_core_ed25519_is_valid_point(ed25519))
        return err_set(e, &err_bad_key, "these 32 bytes are not an Ed25519 public key");
    struct keys_pub key;
    memcpy(key.ed25519, ed25519, sizeof key.ed25519);
    if (compute_id(&key, e) < 0)
        return -1;
    *ret = key;
    return 0;
}

static int check_word(const struct doc_at *at, const char *member, struct err *e) {
    const char *word = NULL;
    if (doc_string(at, member, 64, &word, e) < 0)
        return -1;
    if (strcmp(word, "ed25519") != 0) {
        char shown[80];
        return err_set(e, &err_bad_key, "%s.%s: \"%s\" is not known here; keys are \"ed25519\"",
                       at->path, member, text_safe(word, shown, sizeof shown));
    }
    return 0;
}

static int refuse_unknown(const struct doc_at *at, const char *const *known, struct err *e) {
    const char *unknown = NULL;
    if (doc_find_unknown(at, known, &unknown) == 0)
        return 0;
    char shown[80];
    return err_set(e, &err_bad_key, "%s: a key has no member \"%s\"", at->path,
                   text_safe(unknown, shown, sizeof shown));
}

int keys_pub_parse(const struct doc_at *at, struct keys_pub *ret, struct err *e) {
    static const char *const members[] = {"keytype", "keyval", "scheme", NULL};
    static const char *const values[] = {"public", NULL};
    struct doc_at keyval;
    const char *hex = NULL;
    if (check_word(at, "keytype", e) < 0 || check_word(at, "scheme", e) < 0 ||
        doc_object(at, "keyval", &keyval, e) < 0 ||
        doc_string(&keyval, "public", OBJECT_BYTES, &hex, e) < 0 ||
        refuse_unknown(at, members, e) < 0 || refuse_unknown(&keyval, values, e) < 0)
        return -1;
    uint8_t bytes[KEYS_ED25519_PUBLIC_BYTES];
    struct err why = ERR_NONE;
    if (text_unhex(hex, bytes, sizeof bytes, "public", &why) < 0)
        return err_set(e, &err_bad_key, "%s: %s", keyval.path, why.text);
    if (keys_pub_from_bytes(bytes, ret, e) < 0)
        return err_prefix(e, "%s", keyval.path);
    return 0;
}

bool keys_pub_verify(const struct keys_pub *key, struct slice message,
                     const uint8_t signature[static KEYS_ED25519_SIGNATURE_BYTES]) {
    return crypto_sign_verify_detached(signature, message.data, message.len, key->ed25519) == 0;
}
