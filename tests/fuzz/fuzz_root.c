// SPDX-License-Identifier: Apache-2.0
//
// Roots: the input is a signed part, which this target signs itself, because no fuzzer can. What
// opens is written again from what was understood; that has to be the input without what a root may
// hold beyond it.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "keys/root.h"
#include "tests/unit/keys/keyring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void keep_only(json_t *object, const char *const *names, size_t n) {
    OWN(json) json_t *before = json_copy(object);
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach (before, name, value) {
        size_t i = 0;
        while (i < n && strcmp(names[i], name) != 0)
            i++;
        if (i == n && json_object_del(object, name) < 0)
            abort();
    }
}

static bool has(const struct keys_role *role, const char *id) {
    for (size_t i = 0; i < role->n_keys; i++)
        if (strcmp(role->keys[i].id, id) == 0)
            return true;
    return false;
}

static bool used(const struct keys_root *root, const char *id) {
    const struct keys_root_content *content = keys_root_content(root);
    for (int role = 0; role < KEYS_ROOT_ROLES; role++)
        if (has(&content->roles[role], id))
            return true;
    for (size_t i = 0; i < content->n_bundle_roles; i++)
        if (has(&content->bundle_roles[i].role, id))
            return true;
    return false;
}

// Into `edge_roles` what stands there or, in roots made before, in `roles`; and the delegations
// that are understood, with what they leave unsaid.
static void reduce_ours(json_t *top, const struct keys_root *root) {
    static const char *const ours[] = {"bundle", "director"};
    static const char *const members[] = {"components", "executable", "keyids", "threshold"};
    const struct keys_root_content *content = keys_root_content(root);
    struct err e = ERR_NONE;
    json_t *roles = json_object_get(top, "roles");
    json_t *given = json_object_get(top, "edge_roles");
    OWN(json) json_t *kept = json_object();
    for (size_t i = 0; i < 2; i++) {
        json_t *role = json_object_get(given, ours[i]);
        role = role ? role : json_object_get(roles, ours[i]);
        keep_only(role, members + 2, 2);
        keyring_must(json_object_set(kept, ours[i], role), &e);
        (void)json_object_del(roles, ours[i]);
    }
    // Which may be absent, and stands nowhere else.
    if (json_object_get(given, "mandate")) {
        keep_only(json_object_get(given, "mandate"), members + 2, 2);
        keyring_must(json_object_set(kept, "mandate", json_object_get(given, "mandate")), &e);
    }
    (void)json_object_del(roles, "mandate");
    for (size_t i = 0; i < content->n_bundle_roles; i++) {
        char name[KEYS_ROOT_NAME_MAX + 8];
        (void)snprintf(name, sizeof name, "bundle/%s", content->bundle_roles[i].name);
        json_t *role = json_object_get(given, name);
        keep_only(role, members, 4);
        if (!json_object_get(role, "executable"))
            keyring_must(json_object_set_new(role, "executable", json_true()), &e);
        keyring_must(json_object_set(kept, name, role), &e);
    }
    keyring_must(json_object_set(top, "edge_roles", kept), &e);
}

// The input without what this version does not know, in canonical form.
static void reduce(const uint8_t *data, size_t size, const struct keys_root *root,
                   struct buf *ret) {
    static const char *const members[] = {"_type", "edge_roles", "expires",      "issued",
                                          "keys",  "roles",      "spec_version", "version"};
    static const char *const role_members[] = {"keyids", "threshold"};
    static const struct doc_limits limits = {
        .bytes = KEYS_ROOT_MAX_BYTES, .depth = 16, .values = 8192};
    OWN(json) json_t *top = NULL;
    struct err e = ERR_NONE;
    keyring_must(keys_canon_parse((struct slice){data, size}, "input", &limits, &top, &e), &e);
    keep_only(top, members, sizeof members / sizeof *members);
    keyring_must(json_object_set_new(top, "consistent_snapshot", json_true()), &e);
    keyring_must(json_object_set_new(top, "spec_version", json_string(KEYS_SPEC_VERSION)), &e);
    json_t *roles = json_object_get(top, "roles");
    keep_only(roles, keys_root_role_names, KEYS_ROOT_ROLES);
    reduce_ours(top, root);
    for (int role = 0; role < KEYS_ROOT_ROLES; role++)
        if (json_object_get(roles, keys_root_role_names[role]))
            keep_only(json_object_get(roles, keys_root_role_names[role]), role_members, 2);
    json_t *keys = json_object_get(top, "keys");
    OWN(json) json_t *before = json_copy(keys);
    const char *id = NULL;
    json_t *value = NULL;
    json_object_foreach (before, id, value) {
        if (!used(root, id) && json_object_del(keys, id) < 0)
            abort();
    }
    keyring_must(keys_canon_format(top, ret, &e), &e);
}

static void check_same(const uint8_t *data, size_t size, const struct keys_root *root) {
    OWN(buf) struct buf expected;
    OWN(buf) struct buf written;
    struct err e = ERR_NONE;
    buf_init(&expected, 2 * KEYS_ROOT_MAX_BYTES);
    buf_init(&written, 2 * KEYS_ROOT_MAX_BYTES);
    keyring_must(keys_root_format_content(keys_root_content(root), &written, &e), &e);
    reduce(data, size, root, &expected);
    if (written.len != expected.len || memcmp(written.data, expected.data, written.len) != 0)
        abort();
}

// The envelope of the input, signed by the keys 1 to 4.
static int wrap(const uint8_t *data, size_t size, struct buf *ret) {
    static struct keys_secret *seeds[4];
    static struct keys_pub keys[4];
    struct keys_envelope_signature signatures[4];
    struct err e = ERR_NONE;
    for (unsigned i = 0; i < 4; i++) {
        if (!seeds[i]) {
            seeds[i] = keyring_seed(i + 1);
            keys[i] = keyring_pub(i + 1);
        }
        memcpy(signatures[i].keyid, keys[i].id, sizeof signatures[i].keyid);
        keyring_must(keys_secret_sign(seeds[i], (struct slice){data, size}, signatures[i].sig, &e),
                     &e);
    }
    return keys_envelope_format((struct slice){data, size}, signatures, 4, ret, &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    OWN(buf) struct buf raw;
    OWN(root) struct keys_root *root = NULL;
    struct err e = ERR_NONE;
    buf_init(&raw, 2 * KEYS_ROOT_MAX_BYTES);
    if (wrap(data, size, &raw) < 0)
        return 0;
    if (keys_root_open(buf_slice(&raw), &root, &e) < 0) {
        if (!e.kind || root)
            abort();
        return 0;
    }
    check_same(data, size, root);
    return 0;
}
