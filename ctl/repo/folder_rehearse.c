// SPDX-License-Identifier: Apache-2.0
//
// A file that people signed, verified once more by the code that devices run (keys/tuf): what they
// would refuse must not be published, however it came to pass our own reader.
#include <string.h>

#include "base/own.h"
#include "ctl/repo/folder_parts.h"
#include "keys/kind.h"
#include "keys/tuf/delegation.h"

static int verify(struct slice raw, const char *what, const struct tuf_role *role,
                  struct tuf_metadata **ret, struct err *e) {
    struct tuf_metadata_candidate *candidate = NULL;
    if (tuf_metadata_parse(raw, TUF_TARGETS, what, &candidate, e) < 0)
        return -1;
    return tuf_metadata_verify(&candidate, role, NULL, ret, e);
}

static int open_root(struct slice raw, struct tuf_metadata **ret, struct err *e) {
    struct tuf_metadata_candidate *candidate = NULL;
    if (tuf_metadata_parse(raw, TUF_ROOT, "root", &candidate, e) < 0)
        return -1;
    return tuf_metadata_verify_root(&candidate, NULL, ret, e);
}

static int find_delegation(const struct tuf_metadata *delegator, const char *name,
                           struct tuf_role *ret, struct err *e) {
    for (size_t i = 0; i < tuf_delegation_count(delegator); i++) {
        struct tuf_delegation delegation;
        tuf_delegation_get(delegator, i, &delegation);
        if (strcmp(delegation.name, name) != 0)
            continue;
        *ret = delegation.role;
        return 0;
    }
    return err_set(e, &err_not_found, "nothing delegates to %s", name);
}

// From the root down to the role's delegator: each verified by the one before, borrowed by the
// next.
struct way {
    size_t n;
    struct tuf_metadata *metadata[REPO_FOLDER_DEPTH_MAX + 1];
};

static void drop_way(struct way *way) {
    while (way->n > 0)
        tuf_metadata_free(way->metadata[--way->n]);
}

static int role_on(const struct way *way, const struct folder_role *role, struct tuf_role *ret,
                   struct err *e) {
    const struct tuf_metadata *last = way->metadata[way->n - 1];
    if (way->n > 1)
        return find_delegation(last, role->state.name, ret, e);
    *ret = tuf_metadata_role(last, TUF_TARGETS);
    return 0;
}

static int go_down(const struct repo_folder *folder, const struct folder_role *const *names,
                   size_t n, struct way *way, struct err *e) {
    while (n-- > 0) {
        struct tuf_role role;
        OWN(buf) struct buf raw;
        buf_init(&raw, REPO_TARGETS_MAX_BYTES);
        if (role_on(way, names[n], &role, e) < 0)
            return -1;
        int found = repo_folder_read(folder, names[n]->state.name, &raw, e);
        if (found == REPO_FOLDER_ABSENT)
            return err_set(e, &err_not_found, "there is no file of %s yet", names[n]->state.name);
        if (found < 0 ||
            verify(buf_slice(&raw), names[n]->state.name, &role, &way->metadata[way->n], e) < 0)
            return -1;
        way->n++;
    }
    return 0;
}

static int rehearse(const struct repo_folder *folder, const struct folder_role *role,
                    struct slice raw, struct err *e) {
    const struct folder_role *above[REPO_FOLDER_DEPTH_MAX];
    size_t n = 0;
    struct tuf_role signers;
    OWN(tuf_metadata) struct tuf_metadata *done = NULL;
    __attribute__((cleanup(drop_way))) struct way way = {.n = 0};
    for (size_t at = role->delegator; at >= FOLDER_TARGETS; at = folder->roles[at].delegator) {
        if (n == REPO_FOLDER_DEPTH_MAX)
            return err_set(e, &err_limit, "%s: more than %d delegations lead to it",
                           role->state.name, REPO_FOLDER_DEPTH_MAX);
        above[n++] = &folder->roles[at];
    }
    if (open_root(buf_slice(&folder->root_raw), &way.metadata[0], e) < 0)
        return -1;
    way.n = 1;
    if (go_down(folder, above, n, &way, e) < 0 || role_on(&way, role, &signers, e) < 0)
        return -1;
    return verify(raw, role->state.name, &signers, &done, e);
}

int repo_folder_rehearse(const struct repo_folder *folder, const struct folder_role *role,
                         struct slice raw, struct err *e) {
    OWN(tuf_metadata) struct tuf_metadata *root = NULL;
    int done = role == &folder->roles[FOLDER_ROOT] ? open_root(raw, &root, e)
                                                   : rehearse(folder, role, raw, e);
    return done < 0 ? err_prefix(e, "as devices read it") : 0;
}
