// SPDX-License-Identifier: Apache-2.0
//
// Whether devices find a target, and take it: the search of the specification (§5.6.7), pre-order,
// in what is loaded. A role that is on the way and does not hold ends the search, as it does on a
// device.
#include <stdlib.h>
#include <string.h>

#include "base/doc.h"
#include "base/fs.h"
#include "base/own.h"
#include "ctl/repo/folder_parts.h"
#include "ctl/repo/targets.h"
#include "keys/canon.h"

// Roles to visit, the next one on top; each role stands there at most once.
struct search {
    const struct repo_folder *folder;
    const char *path;
    size_t n;
    const struct folder_role **stack;
    bool *seen;
};

// The delegations of one role that match, the first on top. A terminating one hides all that would
// come after it, here and further out.
static void descend(struct search *s, const struct folder_role *role) {
    const json_t *roles = json_object_get(json_object_get(role->content, "delegations"), "roles");
    size_t n = json_array_size(roles);
    size_t end = 0;
    bool terminates = false;
    for (; end < n && !terminates; end++) {
        const json_t *delegation = json_array_get(roles, end);
        terminates = repo_targets_matches(delegation, s->path) &&
                     json_is_true(json_object_get(delegation, "terminating"));
    }
    if (terminates)
        s->n = 0;
    while (end-- > 0) {
        const json_t *delegation = json_array_get(roles, end);
        const char *name = json_string_value(json_object_get(delegation, "name"));
        const struct folder_role *next = name ? repo_folder_at(s->folder, name) : NULL;
        if (next && !s->seen[next - s->folder->roles] && repo_targets_matches(delegation, s->path))
            s->stack[s->n++] = next;
    }
}

// The role that names the target, or NULL. Every role is looked at once, and puts at most all roles
// on the stack.
static const struct folder_role *find(struct search *s) {
    s->stack[s->n++] = &s->folder->roles[FOLDER_TARGETS];
    while (s->n > 0) {
        const struct folder_role *role = s->stack[--s->n];
        if (s->seen[role - s->folder->roles])
            continue;
        s->seen[role - s->folder->roles] = true;
        if (!role->state.valid)
            return NULL;
        const json_t *entry = json_object_get(json_object_get(role->content, "targets"), s->path);
        if (entry) {
            struct repo_target found;
            struct err ignored = ERR_NONE;
            return repo_target_read(s->path, entry, &found, &ignored) == 0 ? role : NULL;
        }
        descend(s, role);
    }
    return NULL;
}

static const struct folder_role *who_names(const struct repo_folder *folder,
                                           const struct repo_target *target) {
    char path[REPO_TARGET_PATH_BYTES];
    struct search s = {.folder = folder, .path = repo_target_path(target, path)};
    s.stack = calloc(folder->n_roles * folder->n_roles + 1, sizeof(void *));
    s.seen = calloc(folder->n_roles, sizeof *s.seen);
    const struct folder_role *role = s.stack && s.seen ? find(&s) : NULL;
    free(s.stack);
    free(s.seen);
    return role;
}

bool repo_folder_names(const struct repo_folder *folder, const struct repo_target *target) {
    return who_names(folder, target) != NULL;
}

// The delegation that made a role what it is; NULL for the top-level targets.
static const json_t *delegation_of(const struct repo_folder *folder,
                                   const struct folder_role *role) {
    const json_t *by = folder->roles[role->delegator].content;
    size_t i = 0;
    json_t *one = NULL;
    json_array_foreach (json_object_get(json_object_get(by, "delegations"), "roles"), i, one) {
        const char *name = json_string_value(json_object_get(one, "name"));
        if (name && strcmp(name, role->state.name) == 0)
            return one;
    }
    return NULL;
}

// Components as the manifest has them (bundle/manifest.h).
static int judge(const json_t *delegation, const json_t *components, struct err *e) {
    size_t i = 0;
    json_t *one = NULL;
    json_array_foreach (components, i, one) {
        const char *name = json_string_value(json_object_get(one, "name"));
        const char *type = json_string_value(json_object_get(one, "type"));
        bool executable = json_is_true(json_object_get(one, "executable")) ||
                          (type && strcmp(type, "image") == 0);
        if (name && repo_targets_allows(delegation, name, executable, e) < 0)
            return -1;
    }
    return 0;
}

int repo_folder_allows(const struct repo_folder *folder, const struct repo_target *target,
                       struct err *e) {
    static const struct doc_limits limits = {
        .bytes = BUNDLE_MANIFEST_MAX_BYTES, .depth = 16, .values = 20000, .floats = true};
    const struct folder_role *role = who_names(folder, target);
    char file[REPO_TARGET_FILE_BYTES];
    OWN(json) json_t *manifest = NULL;
    OWN(buf) struct buf raw;
    buf_init(&raw, BUNDLE_MANIFEST_MAX_BYTES);
    if (!role)
        return err_set(e, &err_not_found, "nobody names the target");
    if (fs_read_file(folder->targets, repo_target_file(target, target->id, file),
                     BUNDLE_MANIFEST_MAX_BYTES, &raw, e) < 0 ||
        keys_canon_parse(buf_slice(&raw), "the target", &limits, &manifest, e) < 0)
        return -1;
    for (; role > &folder->roles[FOLDER_TARGETS]; role = &folder->roles[role->delegator])
        if (judge(delegation_of(folder, role), json_object_get(manifest, "components"), e) < 0)
            return -1;
    return 0;
}
