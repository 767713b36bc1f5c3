// SPDX-License-Identifier: Apache-2.0
//
// Changes to the content of a root; see root_edit.h.
#include "ctl/cmd/root_edit.h"

#include <stdio.h>
#include <string.h>

#include "base/doc.h"
#include "base/own.h"
#include "base/text.h"
#include "keys/kind.h"

#define DELEGATED "bundle/"

static const char *const ours[] = {"bundle", "director", "mandate", NULL};

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "changing a root: no memory");
}

static bool is_delegated(const char *role) {
    return strncmp(role, DELEGATED, strlen(DELEGATED)) == 0;
}

static bool is_ours(const char *role) {
    for (size_t i = 0; ours[i]; i++)
        if (strcmp(ours[i], role) == 0)
            return true;
    return is_delegated(role);
}

int cmd_root_edit_check_role(const char *role, struct err *e) {
    char shown[80];
    if (is_delegated(role) && text_is_name(role + strlen(DELEGATED), KEYS_ROOT_NAME_MAX))
        return 0;
    for (int i = 0; i < KEYS_ROOT_ROLES; i++)
        if (strcmp(keys_root_role_names[i], role) == 0)
            return 0;
    return err_set(
        e, &err_usage,
        "\"%s\" is no role of a root; there are root, targets, snapshot, timestamp, "
        "bundle, director, mandate and bundle/NAME (roles of targets: edgectl release delegate)",
        text_safe(role, shown, sizeof shown));
}

static json_t *section(json_t *root, const char *role) {
    return json_object_get(root, is_ours(role) ? "edge_roles" : "roles");
}

int cmd_root_edit_modernize(json_t *root, struct err *e) {
    json_t *roles = json_object_get(root, "roles");
    if (!json_object_get(root, "edge_roles") &&
        json_object_set_new(root, "edge_roles", json_object()) < 0)
        return no_memory(e);
    json_t *edge_roles = json_object_get(root, "edge_roles");
    for (size_t i = 0; ours[i]; i++) {
        json_t *old = json_object_get(roles, ours[i]);
        if (!old)
            continue;
        if (!json_object_get(edge_roles, ours[i]) && json_object_set(edge_roles, ours[i], old) < 0)
            return no_memory(e);
        (void)json_object_del(roles, ours[i]);
    }
    return 0;
}

int cmd_root_edit_role(json_t *root, const char *role, struct keys_role *ret, struct err *e) {
    struct doc_at top, keys, in, at, ids, one;
    uint64_t threshold = 0;
    *ret = (struct keys_role){.n_keys = 0};
    if (!json_object_get(section(root, role), role))
        return 0;
    if (doc_root(root, "root", &top, e) < 0 || doc_object(&top, "keys", &keys, e) < 0 ||
        doc_object(&top, is_ours(role) ? "edge_roles" : "roles", &in, e) < 0 ||
        doc_object(&in, role, &at, e) < 0 ||
        doc_array(&at, "keyids", KEYS_ROLE_KEYS_MAX, &ids, e) < 0 ||
        doc_u64(&at, "threshold", 1, KEYS_ROLE_KEYS_MAX, &threshold, e) < 0)
        return -1;
    struct keys_role found = {.threshold = (size_t)threshold};
    for (size_t i = 0; i < json_array_size(ids.value); i++) {
        const char *id = NULL;
        if (doc_element_string(&ids, i, KEYS_ID_HEX - 1, &id, e) < 0 ||
            doc_object(&keys, id, &one, e) < 0 ||
            keys_pub_parse(&one, &found.keys[found.n_keys], e) < 0)
            return -1;
        if (strcmp(found.keys[found.n_keys++].id, id) != 0)
            return err_set(e, &err_bad_key, "role %s: what stands under key id %.8s is another key",
                           role, id);
    }
    *ret = found;
    return 0;
}

int cmd_root_edit_check(json_t *root, struct err *e) {
    static const char *const places[] = {"roles", "edge_roles"};
    const char *name;
    json_t *value;
    for (size_t i = 0; i < 2; i++) {
        json_object_foreach (json_object_get(root, places[i]), name, value) {
            struct keys_role role;
            if (cmd_root_edit_check_role(name, e) < 0 ||
                cmd_root_edit_role(root, name, &role, e) < 0)
                return -1;
            if (role.n_keys < role.threshold)
                return err_set(e, &err_bad_key, "the role %s has %zu keys and needs %zu signatures",
                               name, role.n_keys, role.threshold);
        }
    }
    return 0;
}

static bool names(const json_t *section_of_roles, const char *keyid) {
    const char *name;
    json_t *role, *id;
    size_t i;
    json_object_foreach ((json_t *)section_of_roles, name, role)
        json_array_foreach (json_object_get(role, "keyids"), i, id)
            if (json_is_string(id) && strcmp(json_string_value(id), keyid) == 0)
                return true;
    return false;
}

static void prune(json_t *root) {
    const char *id;
    json_t *key;
    void *next;
    json_t *keys = json_object_get(root, "keys");
    json_object_foreach_safe (keys, next, id, key)
        if (!names(json_object_get(root, "roles"), id) &&
            !names(json_object_get(root, "edge_roles"), id))
            (void)json_object_del(keys, id);
}

static size_t find(const json_t *ids, const char *keyid) {
    size_t i;
    json_t *id;
    json_array_foreach (ids, i, id)
        if (json_is_string(id) && strcmp(json_string_value(id), keyid) == 0)
            return i;
    return SIZE_MAX;
}

static json_t *make_role(json_t *root, const char *role) {
    json_t *made = json_pack("{s:[],s:i}", "keyids", "threshold", 1);
    if (!made || json_object_set_new(section(root, role), role, made) < 0)
        return NULL;
    return made;
}

int cmd_root_edit_add(json_t *root, const char *role, const struct keys_pub *key, struct err *e) {
    json_t *at = json_object_get(section(root, role), role);
    json_t *object = NULL;
    if (!at && !(at = make_role(root, role)))
        return no_memory(e);
    json_t *ids = json_object_get(at, "keyids");
    if (find(ids, key->id) != SIZE_MAX)
        return CMD_ROOT_EDIT_SAME;
    if (json_array_size(ids) == KEYS_ROLE_KEYS_MAX)
        return err_set(e, &err_limit, "the role %s has %d keys already, as many as a role can have",
                       role, KEYS_ROLE_KEYS_MAX);
    if (keys_pub_format(key, &object, e) < 0)
        return -1;
    if (json_object_set_new(json_object_get(root, "keys"), key->id, object) < 0 ||
        json_array_append_new(ids, json_string(key->id)) < 0)
        return no_memory(e);
    return 0;
}

int cmd_root_edit_remove(json_t *root, const char *role, const char *keyid, struct err *e) {
    json_t *at = json_object_get(section(root, role), role);
    json_t *ids = json_object_get(at, "keyids");
    size_t index = find(ids, keyid);
    if (index == SIZE_MAX)
        return CMD_ROOT_EDIT_SAME;
    size_t left = json_array_size(ids) - 1;
    json_int_t threshold = json_integer_value(json_object_get(at, "threshold"));
    if (left == 0 && (is_delegated(role) || strcmp(role, "mandate") == 0)) {
        (void)json_object_del(section(root, role), role);
    } else if ((json_int_t)left < threshold) {
        return err_set(e, &err_permission,
                       "without key %.8s the role %s would have %zu key%s and needs %lld: add "
                       "another one first (edgectl key add %s FILE.pub), put a new one in its "
                       "place (edgectl key rotate %s), or lower --threshold",
                       keyid, role, left, left == 1 ? "" : "s", (long long)threshold, role, role);
    } else {
        (void)json_array_remove(ids, index);
    }
    prune(root);
    return 0;
}

int cmd_root_edit_threshold(json_t *root, const char *role, size_t threshold, struct err *e) {
    json_t *at = json_object_get(section(root, role), role);
    size_t keys = json_array_size(json_object_get(at, "keyids"));
    if (!at)
        return err_set(e, &err_not_found,
                       "the root has no role %s; edgectl key add %s FILE.pub "
                       "makes it",
                       role, role);
    if (threshold == 0 || threshold > keys)
        return err_set(e, &err_permission,
                       "a threshold of %zu: the role %s has %zu key%s; add more first "
                       "(edgectl key add %s FILE.pub)",
                       threshold, role, keys, keys == 1 ? "" : "s", role);
    if (json_integer_value(json_object_get(at, "threshold")) == (json_int_t)threshold)
        return CMD_ROOT_EDIT_SAME;
    return json_object_set_new(at, "threshold", json_integer((json_int_t)threshold)) < 0
               ? no_memory(e)
               : 0;
}

int cmd_root_edit_limits(json_t *root, const char *role, json_t *components, bool executable,
                         struct err *e) {
    OWN(json) json_t *taken = components;
    json_t *at = json_object_get(section(root, role), role);
    OWN(json) json_t *before = json_copy(at);
    if (!at)
        return err_set(e, &err_not_found,
                       "the root has no role %s; edgectl key add %s FILE.pub makes it", role, role);
    if (!before || json_object_set_new(at, "executable", json_boolean(executable)) < 0 ||
        (components && json_object_set(at, "components", taken) < 0))
        return no_memory(e);
    if (!components)
        (void)json_object_del(at, "components");
    return json_equal(before, at) ? CMD_ROOT_EDIT_SAME : 0;
}
