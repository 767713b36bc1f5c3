// SPDX-License-Identifier: Apache-2.0
//
// Roles of keys/tuf/key.h. All of a list is looked at for form before the first signature is
// verified, so that what is refused does not depend on the order of the list.
#include "keys/tuf/key.h"

#include <inttypes.h>
#include <string.h>

#include <sodium.h>

#include "base/text.h"
#include "keys/kind.h"

#define SHOWN_ID_BYTES 80

static bool is_among(const char *label, const char *const *labels, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(labels[i], label) == 0)
            return true;
    return false;
}

// A key id, appended to the n that were read before; it must not be one of them. kind is what a
// second one is.
static int add_label(const char *id, const char **labels, size_t n, const struct err_kind *kind,
                     const char *what, struct err *e) {
    char shown[SHOWN_ID_BYTES];
    if (strlen(id) > TUF_KEY_ID_MAX)
        return err_set(e, &err_limit, "%s: a key id of more than %d bytes", what, TUF_KEY_ID_MAX);
    if (is_among(id, labels, n))
        return err_set(e, kind, "%s: key id \"%s\" stands twice", what,
                       text_safe(id, shown, sizeof shown));
    labels[n] = id;
    return 0;
}

static int check_keyids(struct tuf_json_at keyids, const char *what, struct err *e) {
    const char *labels[TUF_ROLE_KEYS_MAX];
    size_t n = 0;
    if (tuf_json_count(keyids) > TUF_ROLE_KEYS_MAX)
        return err_set(e, &err_limit, "%s: more than %d keys in one role", what, TUF_ROLE_KEYS_MAX);
    struct tuf_json_at at;
    bool is = tuf_json_first(keyids, &at, NULL);
    for (; is; is = tuf_json_next(keyids, &at, NULL)) {
        const char *id = tuf_json_string(at, NULL);
        if (!id)
            return err_set(e, &err_syntax, "%s: a key id that is no string", what);
        if (add_label(id, labels, n++, &err_syntax, what, e) < 0)
            return -1;
    }
    return 0;
}

int tuf_role_read(struct tuf_json_at keys, struct tuf_json_at role, const char *what,
                  struct tuf_role *ret, struct err *e) {
    struct tuf_json_at threshold;
    struct tuf_role read = {.keys = keys};
    if (tuf_json_type(keys) != TUF_JSON_OBJECT)
        return err_set(e, &err_syntax, "%s: keys is no object", what);
    if (tuf_json_count(keys) > TUF_KEYS_MAX)
        return err_set(e, &err_limit, "%s: more than %d keys", what, TUF_KEYS_MAX);
    if (!tuf_json_find_type(role, "keyids", TUF_JSON_ARRAY, &read.keyids))
        return err_set(e, &err_syntax, "%s: a role without a list keyids", what);
    if (!tuf_json_find_type(role, "threshold", TUF_JSON_INTEGER, &threshold))
        return err_set(e, &err_syntax, "%s: a role without an integer threshold", what);
    int64_t number = tuf_json_integer(threshold);
    if (number < 1 || number > INT32_MAX)
        return err_set(e, &err_syntax, "%s: a threshold of %" PRId64 "; it is at least 1", what,
                       number);
    if (check_keyids(read.keyids, what, e) < 0)
        return -1;
    read.threshold = (uint32_t)number;
    *ret = read;
    return 0;
}

// ── Signatures ──────────────────────────────────────────────────────────────────────────────────

// The key ids and signatures of an envelope, looked at for form alone.
struct list {
    size_t n;
    const char *keyids[TUF_SIGNATURES_MAX];
    const char *sigs[TUF_SIGNATURES_MAX];
};

static int read_list(struct tuf_json_at signatures, const char *what, struct list *ret,
                     struct err *e) {
    if (tuf_json_type(signatures) != TUF_JSON_ARRAY)
        return err_set(e, &err_syntax, "%s: signatures is no list", what);
    if (tuf_json_count(signatures) > TUF_SIGNATURES_MAX)
        return err_set(e, &err_limit, "%s: more than %d signatures", what, TUF_SIGNATURES_MAX);
    ret->n = 0;
    struct tuf_json_at at;
    bool is = tuf_json_first(signatures, &at, NULL);
    for (; is; is = tuf_json_next(signatures, &at, NULL)) {
        struct tuf_json_at keyid;
        struct tuf_json_at sig;
        if (!tuf_json_find_type(at, "keyid", TUF_JSON_STRING, &keyid) ||
            !tuf_json_find_type(at, "sig", TUF_JSON_STRING, &sig))
            return err_set(e, &err_syntax, "%s: a signature without the strings keyid and sig",
                           what);
        if (add_label(tuf_json_string(keyid, NULL), ret->keyids, ret->n, &err_bad_signature, what,
                      e) < 0)
            return -1;
        ret->sigs[ret->n++] = tuf_json_string(sig, NULL);
    }
    return 0;
}

// The key of a key id that the role lists and the delegator knows.
static bool find_key(const struct tuf_role *role, const char *keyid, struct tuf_json_at *ret) {
    struct tuf_json_at at;
    bool is = tuf_json_first(role->keyids, &at, NULL);
    for (; is; is = tuf_json_next(role->keyids, &at, NULL))
        if (strcmp(tuf_json_string(at, NULL), keyid) == 0)
            return tuf_json_find(role->keys, keyid, ret);
    return false;
}

static bool holds(struct tuf_json_at key, const struct tuf_key_ops *ops, struct slice message,
                  const char *sig) {
    uint8_t bytes[TUF_SIGNATURE_MAX];
    size_t len;
    return sodium_hex2bin(bytes, sizeof bytes, sig, strlen(sig), NULL, &len, NULL) == 0 &&
           tuf_key_verify(key, ops, message, (struct slice){.data = bytes, .len = len});
}

int tuf_role_verify(const struct tuf_role *role, struct tuf_json_at signatures,
                    const struct tuf_key_ops *ops, struct slice message, const char *what,
                    struct err *e) {
    struct list list;
    struct tuf_json_at counted[TUF_SIGNATURES_MAX];
    uint32_t n = 0;
    if (read_list(signatures, what, &list, e) < 0)
        return -1;
    for (size_t i = 0; i < list.n && n < role->threshold; i++) {
        struct tuf_json_at key;
        if (!find_key(role, list.keyids[i], &key) || !holds(key, ops, message, list.sigs[i]))
            continue;
        uint32_t same = 0;
        while (same < n && !tuf_key_same(counted[same], key, ops))
            same++;
        // Two labels of one key are one signer.
        if (same == n)
            counted[n++] = key;
    }
    // A threshold of 0 is never read; it would not be met either.
    if (n == 0 || n < role->threshold)
        return err_set(e, &err_below_threshold,
                       "%s: valid signatures by %" PRIu32 " different keys of its role, %" PRIu32
                       " are needed",
                       what, n, role->threshold);
    return 0;
}
