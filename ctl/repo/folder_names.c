// SPDX-License-Identifier: Apache-2.0
//
// What the current metadata say of a target, found as devices do (keys/tuf/client.h): the top
// level, then delegations in their order, each before the next; none behind a terminating one.
#include <string.h>

#include "ctl/repo/folder_parts.h"
#include "keys/tuf/client.h"

struct walk {
    const struct repo_folder *folder;
    const char *path;
    size_t visits;
    size_t n; // of levels
    struct {
        size_t role; // in roles[]
        size_t next; // delegation to look at
    } level[TUF_DELEGATION_DEPTH_MAX + 1];
};

static const struct folder_role *here(const struct walk *w) {
    return &w->folder->roles[w->level[w->n - 1].role];
}

// The next delegation here that is for the path, or NULL.
static const json_t *find_next(struct walk *w) {
    const json_t *content = here(w)->content;
    const json_t *roles = json_object_get(json_object_get(content, "delegations"), "roles");
    for (size_t *next = &w->level[w->n - 1].next; *next < json_array_size(roles);) {
        const json_t *delegation = json_array_get(roles, (*next)++);
        if (repo_targets_matches(delegation, w->path))
            return delegation;
    }
    return NULL;
}

static int descend(struct walk *w, const json_t *delegation) {
    const char *name = json_string_value(json_object_get(delegation, "name"));
    struct folder_role *role = name ? repo_folder_at(w->folder, name) : NULL;
    size_t delegator = w->level[w->n - 1].role;
    // Another delegator may mean other keys by the same name: what was read is by those of the
    // first.
    if (!role || !role->state.valid || role->delegator != delegator ||
        w->n > TUF_DELEGATION_DEPTH_MAX || w->visits++ == TUF_ROLES_PER_SEARCH_MAX)
        return REPO_FOLDER_ABSENT;
    if (json_is_true(json_object_get(delegation, "terminating")))
        for (size_t i = 0; i < w->n; i++)
            w->level[i].next = SIZE_MAX;
    w->level[w->n].role = (size_t)(role - w->folder->roles);
    w->level[w->n++].next = 0;
    return 0;
}

// One step onward. 0, or REPO_FOLDER_ABSENT at the end of all ways.
static int step(struct walk *w) {
    const json_t *delegation = NULL;
    while (!(delegation = find_next(w)))
        if (--w->n == 0)
            return REPO_FOLDER_ABSENT;
    return descend(w, delegation);
}

int repo_folder_names(const struct repo_folder *folder, struct repo_target *io) {
    char path[BUNDLE_TARGET_PATH_BYTES];
    struct walk w = {.folder = folder, .path = bundle_target_path(&io->bundle, path), .n = 1};
    struct err ignored = ERR_NONE;
    const json_t *entry = NULL;
    w.level[0].role = FOLDER_TARGETS;
    if (!folder->roles[FOLDER_TARGETS].state.valid)
        return REPO_FOLDER_ABSENT;
    while (!(entry = json_object_get(json_object_get(here(&w)->content, "targets"), path)))
        if (step(&w) != 0)
            return REPO_FOLDER_ABSENT;
    return repo_target_read(path, entry, io, &ignored) < 0 ? REPO_FOLDER_ABSENT : 0;
}
