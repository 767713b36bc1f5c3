// SPDX-License-Identifier: Apache-2.0
//
// Whether devices find a target: the search of the specification (§5.6.7), pre-order, in what is
// loaded. A role that is on the way and does not hold ends the search, as it does on a device.
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/own.h"
#include "ctl/repo/folder_parts.h"
#include "keys/tuf/delegation.h"

// Roles to visit, the next one on top; each role stands there at most once.
struct search {
    const struct repo_folder *folder;
    const char *path;
    char sha256[KEYS_DIGEST_HEX]; // of the path
    size_t n;
    const struct folder_role **stack;
    bool *seen;
};

static bool any_of(const json_t *list, const struct search *s,
                   bool (*fits)(const char *pattern, const struct search *s)) {
    size_t i = 0;
    json_t *pattern = NULL;
    json_array_foreach (list, i, pattern)
        if (json_is_string(pattern) && fits(json_string_value(pattern), s))
            return true;
    return false;
}

static bool by_glob(const char *pattern, const struct search *s) {
    return tuf_delegation_glob(pattern, s->path);
}

static bool by_prefix(const char *prefix, const struct search *s) {
    return strncasecmp(s->sha256, prefix, strlen(prefix)) == 0;
}

static bool matches(const json_t *delegation, const struct search *s) {
    return any_of(json_object_get(delegation, "paths"), s, by_glob) ||
           any_of(json_object_get(delegation, "path_hash_prefixes"), s, by_prefix);
}

// The delegations of one role that match, the first on top. A terminating one hides all that would
// come after it, here and further out.
static void descend(struct search *s, const struct folder_role *role) {
    const json_t *roles = json_object_get(json_object_get(role->content, "delegations"), "roles");
    size_t n = json_array_size(roles);
    size_t end = 0;
    bool terminates = false;
    for (; end < n && !terminates; end++) {
        const json_t *delegation = json_array_get(roles, end);
        terminates =
            matches(delegation, s) && json_is_true(json_object_get(delegation, "terminating"));
    }
    if (terminates)
        s->n = 0;
    while (end-- > 0) {
        const json_t *delegation = json_array_get(roles, end);
        const char *name = json_string_value(json_object_get(delegation, "name"));
        const struct folder_role *next = name ? repo_folder_at(s->folder, name) : NULL;
        if (next && !s->seen[next - s->folder->roles] && matches(delegation, s))
            s->stack[s->n++] = next;
    }
}

// Every role is looked at once, and puts at most all roles on the stack.
static bool find(struct search *s) {
    s->stack[s->n++] = &s->folder->roles[FOLDER_TARGETS];
    while (s->n > 0) {
        const struct folder_role *role = s->stack[--s->n];
        if (s->seen[role - s->folder->roles])
            continue;
        s->seen[role - s->folder->roles] = true;
        if (!role->state.valid)
            return false;
        const json_t *entry = json_object_get(json_object_get(role->content, "targets"), s->path);
        if (entry) {
            struct repo_target found;
            struct err ignored = ERR_NONE;
            return repo_target_read(s->path, entry, &found, &ignored) == 0;
        }
        descend(s, role);
    }
    return false;
}

bool repo_folder_names(const struct repo_folder *folder, const struct repo_target *target) {
    char path[REPO_TARGET_PATH_BYTES];
    struct search s = {.folder = folder, .path = repo_target_path(target, path)};
    (void)keys_digest_sha256(path, strlen(path), s.sha256);
    s.stack = calloc(folder->n_roles * folder->n_roles + 1, sizeof(void *));
    s.seen = calloc(folder->n_roles, sizeof *s.seen);
    bool named = s.stack && s.seen && find(&s);
    free(s.stack);
    free(s.seen);
    return named;
}
