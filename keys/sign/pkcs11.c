// SPDX-License-Identifier: Apache-2.0
//
// One key of one token: modules, then slots, then objects are walked until the URI's words match.
// Everything a token says is of its own making, so counts and lengths are bounded here, and what it
// signs is checked by the signer above.
#include "keys/sign/pkcs11.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>

#include "base/own.h"
#include "base/text.h"
#include "keys/kind.h"

#define SCHEME         "pkcs11:"
#define ID_MAX         128 // bytes of CKA_ID
#define ATTRIBUTES_MAX 16
#define POINT_BYTES    (2 + KEYS_ED25519_PUBLIC_BYTES) // OCTET STRING around the key

struct sign_pkcs11 {
    P11KitUri *uri;
    CK_FUNCTION_LIST **modules; // NULL-terminated, of p11-kit's configuration; or NULL:
    CK_FUNCTION_LIST *loaded;   // the one of module-path
    CK_FUNCTION_LIST *module;   // the one with the token; borrowed from the above
    CK_SLOT_ID slot;
    bool needs_login;
    char token[33]; // its label
    bool has_session;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
};

bool sign_pkcs11_is_uri(const char *text) {
    return strncmp(text, SCHEME, strlen(SCHEME)) == 0;
}

static int token_says(const struct sign_pkcs11 *p, const char *doing, CK_RV rv, struct err *e) {
    return err_set(e, &err_signer_failed, "token %s: %s: %s", p->token, doing,
                   p11_kit_strerror(rv));
}

void sign_pkcs11_close(struct sign_pkcs11 *p) {
    if (!p)
        return;
    if (p->has_session)
        (void)p->module->C_CloseSession(p->session);
    if (p->loaded) {
        (void)p11_kit_module_finalize(p->loaded);
        p11_kit_module_release(p->loaded);
    }
    if (p->modules)
        p11_kit_modules_finalize_and_release(p->modules);
    p11_kit_uri_free(p->uri);
    free(p);
}

// ── The token ────────────────────────────────────────────────────────────────────────────────────

static int parse(struct sign_pkcs11 *p, const char *uri, struct err *e) {
    if (strlen(uri) > SIGN_PKCS11_URI_MAX)
        return err_set(e, &err_limit, "the key's URI is longer than %d bytes", SIGN_PKCS11_URI_MAX);
    p->uri = p11_kit_uri_new();
    if (!p->uri)
        return err_set(e, &err_memory, "reading a key's URI: out of memory");
    int r = p11_kit_uri_parse(uri, P11_KIT_URI_FOR_ANY, p->uri);
    if (r != P11_KIT_URI_OK)
        return err_set(e, &err_usage, "the key's URI: %s; one looks like %stoken=NAME;object=NAME",
                       p11_kit_uri_message(r), SCHEME);
    if (p11_kit_uri_any_unrecognized(p->uri))
        return err_set(e, &err_usage,
                       "the key's URI has a part that is not known here; one looks like "
                       "%stoken=NAME;object=NAME",
                       SCHEME);
    return 0;
}

static int load_modules(struct sign_pkcs11 *p, struct err *e) {
    const char *path = p11_kit_uri_get_module_path(p->uri);
    if (!path) {
        p->modules = p11_kit_modules_load_and_initialize(0);
        return p->modules ? 0
                          : err_set(e, &err_signer_failed, "loading PKCS #11 modules: %s",
                                    p11_kit_message());
    }
    CK_FUNCTION_LIST *module = p11_kit_module_load(path, 0);
    if (!module)
        return err_set(e, &err_not_found, "loading the PKCS #11 module %s: %s", path,
                       p11_kit_message());
    CK_RV rv = p11_kit_module_initialize(module);
    if (rv != CKR_OK) {
        p11_kit_module_release(module);
        return err_set(e, &err_signer_failed, "starting the PKCS #11 module %s: %s", path,
                       p11_kit_strerror(rv));
    }
    p->loaded = module;
    return 0;
}

// The text of a label: padded with blanks, not terminated.
static void read_label(const CK_UTF8CHAR *label, size_t len, char *ret, size_t ret_bytes) {
    char text[33] = "";
    while (len > 0 && label[len - 1] == ' ')
        len--;
    memcpy(text, label, len);
    (void)text_safe(text, ret, ret_bytes);
}

// Returns how many tokens of this module the URI names; the first is kept.
static size_t look_into(struct sign_pkcs11 *p, CK_FUNCTION_LIST *module) {
    CK_SLOT_ID slots[SIGN_PKCS11_SLOTS_MAX];
    CK_ULONG n = SIGN_PKCS11_SLOTS_MAX;
    CK_INFO about;
    size_t found = 0;
    if (module->C_GetInfo(&about) != CKR_OK || !p11_kit_uri_match_module_info(p->uri, &about) ||
        module->C_GetSlotList(CK_TRUE, slots, &n) != CKR_OK)
        return 0;
    for (CK_ULONG i = 0; i < n && i < SIGN_PKCS11_SLOTS_MAX; i++) {
        CK_TOKEN_INFO token;
        CK_SLOT_ID wanted = p11_kit_uri_get_slot_id(p->uri);
        if ((wanted != (CK_SLOT_ID)-1 && wanted != slots[i]) ||
            module->C_GetTokenInfo(slots[i], &token) != CKR_OK ||
            !(token.flags & CKF_TOKEN_INITIALIZED) || !p11_kit_uri_match_token_info(p->uri, &token))
            continue;
        if (found++ > 0)
            continue;
        p->module = module;
        p->slot = slots[i];
        p->needs_login = token.flags & CKF_LOGIN_REQUIRED;
        read_label(token.label, sizeof token.label, p->token, sizeof p->token);
    }
    return found;
}

static int find_token(struct sign_pkcs11 *p, struct err *e) {
    size_t found = 0;
    if (p->loaded)
        found = look_into(p, p->loaded);
    for (CK_FUNCTION_LIST **at = p->modules; at && *at; at++)
        found += look_into(p, *at);
    if (found == 0)
        return err_set(
            e, &err_not_found,
            "no token matches the key's URI; is it plugged in, and its module installed?");
    if (found > 1)
        return err_set(e, &err_usage,
                       "%zu tokens match the key's URI; name one, by token= or serial=", found);
    return 0;
}

// ── Logging in ───────────────────────────────────────────────────────────────────────────────────

static int get_pin(struct sign_pkcs11 *p, const struct sign_pkcs11_pin *pin,
                   struct keys_secret **own, const struct keys_secret **ret, struct err *e) {
    const char *value = p11_kit_uri_get_pin_value(p->uri);
    const char *source = p11_kit_uri_get_pin_source(p->uri);
    char copy[SIGN_PKCS11_PIN_MAX + 1] = "";
    if (value && strlen(value) > SIGN_PKCS11_PIN_MAX)
        return err_set(e, &err_limit, "a PIN has at most %d bytes", SIGN_PKCS11_PIN_MAX);
    if (value) {
        memcpy(copy, value, strlen(value));
        if (keys_secret_take(copy, strlen(value), own, e) < 0)
            return -1;
    } else if (source) {
        const char *path = strncmp(source, "file:", 5) == 0 ? source + 5 : source;
        if (keys_secret_read(AT_FDCWD, path, SIGN_PKCS11_PIN_MAX, 1, own, e) < 0)
            return err_prefix(e, "the PIN of token %s", p->token);
    } else if (pin) {
        return pin->ask(pin->context, p->token, ret, e);
    } else {
        return err_set(e, &err_usage, "token %s wants a PIN: add ?pin-source=FILE to the key's URI",
                       p->token);
    }
    *ret = *own;
    return 0;
}

static int log_in(struct sign_pkcs11 *p, const struct sign_pkcs11_pin *pin, struct err *e) {
    OWN(secret) struct keys_secret *own = NULL;
    const struct keys_secret *secret = NULL;
    CK_RV rv = p->module->C_OpenSession(p->slot, CKF_SERIAL_SESSION, NULL, NULL, &p->session);
    if (rv != CKR_OK)
        return token_says(p, "opening a session", rv, e);
    p->has_session = true;
    if (!p->needs_login)
        return 0;
    if (get_pin(p, pin, &own, &secret, e) < 0)
        return -1;
    // The interface takes the PIN as not const, and does not write to it.
    rv = p->module->C_Login(p->session, CKU_USER, (CK_UTF8CHAR *)keys_secret_data(secret),
                            keys_secret_len(secret));
    switch (rv) {
    case CKR_OK:
    case CKR_USER_ALREADY_LOGGED_IN:
        return 0;
    case CKR_PIN_INCORRECT:
    case CKR_PIN_INVALID:
    case CKR_PIN_LEN_RANGE:
        return err_set(e, &err_bad_passphrase, "token %s: this is not its PIN", p->token);
    case CKR_PIN_LOCKED:
        return err_set(e, &err_bad_passphrase,
                       "token %s: its PIN is locked after too many wrong ones; unlock it with the "
                       "token's own tools",
                       p->token);
    default:
        return token_says(p, "logging in", rv, e);
    }
}

// ── The key ──────────────────────────────────────────────────────────────────────────────────────

// Finds objects by these attributes: the first through *ret, how many (at most 2 are looked for)
// through *ret_n.
static int find(struct sign_pkcs11 *p, CK_ATTRIBUTE *wanted, CK_ULONG n_wanted,
                CK_OBJECT_HANDLE *ret, CK_ULONG *ret_n, struct err *e) {
    CK_OBJECT_HANDLE found[2] = {0};
    CK_RV rv = p->module->C_FindObjectsInit(p->session, wanted, n_wanted);
    if (rv != CKR_OK)
        return token_says(p, "looking for the key", rv, e);
    rv = p->module->C_FindObjects(p->session, found, 2, ret_n);
    (void)p->module->C_FindObjectsFinal(p->session);
    if (rv != CKR_OK)
        return token_says(p, "looking for the key", rv, e);
    *ret = found[0];
    return 0;
}

static int find_private(struct sign_pkcs11 *p, struct err *e) {
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE wanted[ATTRIBUTES_MAX] = {{CKA_CLASS, &class, sizeof class}};
    CK_ULONG n = 1, n_uri = 0, found = 0;
    const CK_ATTRIBUTE *given = p11_kit_uri_get_attributes(p->uri, &n_uri);
    for (CK_ULONG i = 0; i < n_uri && n < ATTRIBUTES_MAX; i++)
        if (given[i].type != CKA_CLASS) // type=public names the same pair
            wanted[n++] = given[i];
    if (find(p, wanted, n, &p->key, &found, e) < 0)
        return -1;
    if (found == 0)
        return err_set(e, &err_not_found, "token %s: no private key matches the URI", p->token);
    if (found > 1)
        return err_set(
            e, &err_usage,
            "token %s: several private keys match the URI; name one, by object= or id=", p->token);
    return 0;
}

static int not_ed25519(const struct sign_pkcs11 *p, struct err *e) {
    return err_set(e, &err_bad_key,
                   "token %s: this key is not Ed25519 (EC_EDWARDS, edwards25519), as keys are here",
                   p->token);
}

// The public object with the private one's id. Its point is an OCTET STRING, or bare.
static int read_public(struct sign_pkcs11 *p, struct keys_pub *ret, struct err *e) {
    CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
    CK_KEY_TYPE type = 0;
    uint8_t id[ID_MAX], point[POINT_BYTES];
    CK_ATTRIBUTE about[] = {{CKA_ID, id, sizeof id}, {CKA_KEY_TYPE, &type, sizeof type}};
    CK_RV rv = p->module->C_GetAttributeValue(p->session, p->key, about, 2);
    if (rv != CKR_OK)
        return token_says(p, "reading about the key", rv, e);
    if (type != CKK_EC_EDWARDS)
        return not_ed25519(p, e);
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &class, sizeof class}, {CKA_ID, id, about[0].ulValueLen}};
    CK_OBJECT_HANDLE public;
    CK_ULONG found = 0;
    if (find(p, wanted, 2, &public, &found, e) < 0)
        return -1;
    if (found != 1)
        return err_set(e, &err_bad_key,
                       "token %s: %s public key with the private one's id; there must be one",
                       p->token, found == 0 ? "there is no" : "there is more than one");
    CK_ATTRIBUTE value = {CKA_EC_POINT, point, sizeof point};
    rv = p->module->C_GetAttributeValue(p->session, public, &value, 1);
    if (rv == CKR_BUFFER_TOO_SMALL)
        return not_ed25519(p, e);
    if (rv != CKR_OK)
        return token_says(p, "reading the public key", rv, e);
    const uint8_t *bare = point;
    if (value.ulValueLen == POINT_BYTES && point[0] == 4 && point[1] == KEYS_ED25519_PUBLIC_BYTES)
        bare = point + 2;
    else if (value.ulValueLen != KEYS_ED25519_PUBLIC_BYTES)
        return not_ed25519(p, e);
    return keys_pub_from_bytes(bare, ret, e);
}

int sign_pkcs11_open(const char *uri, const struct sign_pkcs11_pin *pin, struct sign_pkcs11 **ret,
                     struct keys_pub *ret_pub, struct err *e) {
    OWN(pkcs11) struct sign_pkcs11 *p = calloc(1, sizeof *p);
    struct keys_pub pub;
    if (!p)
        return err_set(e, &err_memory, "opening a key on a token: out of memory");
    if (parse(p, uri, e) < 0 || load_modules(p, e) < 0 || find_token(p, e) < 0 ||
        log_in(p, pin, e) < 0 || find_private(p, e) < 0 || read_public(p, &pub, e) < 0)
        return -1;
    *ret_pub = pub;
    *ret = own_take(&p);
    return 0;
}

int sign_pkcs11_sign(const struct sign_pkcs11 *p, struct slice message,
                     uint8_t ret[static KEYS_ED25519_SIGNATURE_BYTES], struct err *e) {
    CK_MECHANISM how = {CKM_EDDSA, NULL, 0};
    uint8_t signature[KEYS_ED25519_SIGNATURE_BYTES];
    CK_ULONG len = sizeof signature;
    CK_RV rv = p->module->C_SignInit(p->session, &how, p->key);
    if (rv == CKR_OK)
        // Not const in the interface either.
        rv = p->module->C_Sign(p->session, (CK_BYTE *)message.data, message.len, signature, &len);
    if (rv != CKR_OK)
        return token_says(p, "signing", rv, e);
    if (len != sizeof signature)
        return err_set(e, &err_signer_failed, "token %s: it answered a signature of %lu bytes",
                       p->token, len);
    memcpy(ret, signature, sizeof signature);
    return 0;
}
