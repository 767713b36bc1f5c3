// SPDX-License-Identifier: Apache-2.0
//
// The search for a target (specification §5.6.7): pre-order through the delegations, in their
// order, without recursion. The metadata on the way stays open, since each level answers for the
// keys of the next one; what was left is read again from the store when the way leads there once
// more, and is verified with the keys of that way.
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "keys/digest.h"
#include "keys/kind.h"
#include "keys/tuf/client_file.h"

struct search {
    struct tuf_client *client;
    const char *path;
    size_t next[TUF_DELEGATION_DEPTH_MAX + 1]; // the delegation that is looked at next, by level
    struct tuf_delegation way[TUF_DELEGATION_DEPTH_MAX];
    size_t n_visited;
    struct keys_digest visited[TUF_ROLES_PER_SEARCH_MAX];
};

int tuf_client_quote(const char *role, struct buf *ret, struct err *e) {
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~";
    for (const char *at = role; *at != '\0'; at++) {
        int added = strchr(plain, *at) ? buf_add(ret, at, 1, e)
                                       : buf_add_format(ret, e, "%%%02X", (unsigned char)*at);
        if (added < 0)
            return -1;
    }
    return 0;
}

// Where the search stands.
static const struct tuf_metadata *here(const struct search *s) {
    size_t level = s->client->n_chain;
    return level > 0 ? s->client->chain[level - 1] : s->client->trusted[TUF_TARGETS];
}

// A role is visited once for each delegator: another one may mean other keys by the same name. 0,
// or TUF_ABSENT when it was.
static int visit(struct search *s, const struct tuf_delegation *d, struct err *e) {
    size_t level = s->client->n_chain;
    const char *delegator = level > 0 ? s->way[level - 1].name : tuf_type_names[TUF_TARGETS];
    struct keys_digest_state state;
    struct keys_digest digest;
    keys_digest_init(&state);
    keys_digest_add(&state, delegator, strlen(delegator) + 1);
    keys_digest_add(&state, d->name, strlen(d->name));
    keys_digest_final(&state, &digest);
    for (size_t i = 0; i < s->n_visited; i++)
        if (keys_digest_equal(&s->visited[i], &digest))
            return TUF_ABSENT;
    if (s->n_visited == TUF_ROLES_PER_SEARCH_MAX)
        return err_set(e, &err_limit, "more than %d delegated roles were searched",
                       TUF_ROLES_PER_SEARCH_MAX);
    if (level == TUF_DELEGATION_DEPTH_MAX)
        return err_set(e, &err_limit, "more than %d delegations after one another",
                       TUF_DELEGATION_DEPTH_MAX);
    s->visited[s->n_visited++] = digest;
    return 0;
}

// Opens a delegated file and stands there.
static int descend(struct search *s, const struct tuf_delegation *d, struct err *e) {
    struct tuf_client *client = s->client;
    size_t level = client->n_chain;
    OWN(buf) struct buf name;
    char listed[TUF_NAME_MAX + sizeof ".json"];
    struct tuf_meta meta;
    (void)snprintf(listed, sizeof listed, "%s.json", d->name);
    buf_init(&name, TUF_CLIENT_FILE_NAME_MAX);
    if (tuf_client_quote(d->name, &name, e) < 0 || buf_add_text(&name, ".json", e) < 0)
        return err_prefix(e, "the name of a delegated role");
    if (!tuf_metadata_meta(client->trusted[TUF_SNAPSHOT], listed, &meta))
        return err_set(e, &err_not_found, "%s: the snapshot does not list it", buf_text(&name));
    const struct tuf_client_file file = {
        .type = TUF_TARGETS, .name = buf_text(&name), .role = &d->role, .meta = &meta};
    if (tuf_client_file_get(client, &file, &client->chain[level], e) < 0)
        return -1;
    s->way[level] = *d;
    s->next[level + 1] = 0;
    client->n_chain = level + 1;
    return 0;
}

// The next delegation here that is trusted for the path; false when there is none left.
static bool find_next(struct search *s, struct tuf_delegation *ret) {
    size_t *next = &s->next[s->client->n_chain];
    while (*next < tuf_delegation_count(here(s))) {
        tuf_delegation_get(here(s), (*next)++, ret);
        if (tuf_delegation_matches(ret, s->path))
            return true;
    }
    return false;
}

// Nothing beside or above is searched behind a terminating delegation.
static void terminate(struct search *s) {
    for (size_t i = 0; i <= s->client->n_chain; i++)
        s->next[i] = SIZE_MAX;
}

// One step onward. 0, or TUF_ABSENT at the end of all ways.
static int step(struct search *s, struct err *e) {
    struct tuf_client *client = s->client;
    struct tuf_delegation d;
    while (!find_next(s, &d)) {
        if (client->n_chain == 0)
            return TUF_ABSENT;
        own_drop_tuf_metadata(&client->chain[--client->n_chain]);
    }
    if (d.terminating)
        terminate(s);
    int known = visit(s, &d, e);
    if (known != 0)
        return known < 0 ? -1 : 0;
    return descend(s, &d, e);
}

int tuf_client_find(struct tuf_client *client, const char *path, struct tuf_target *ret,
                    struct err *e) {
    struct search s = {.client = client, .path = path};
    struct tuf_json_at object;
    struct tuf_json_at at;
    while (client->n_chain > 0)
        own_drop_tuf_metadata(&client->chain[--client->n_chain]);
    if (!client->trusted[TUF_TARGETS])
        return err_set(e, &err_internal,
                       "a target was looked for without a refresh that succeeded");
    while (!tuf_metadata_target(here(&s), path, &object)) {
        int done = step(&s, e);
        if (done != 0)
            return done;
    }
    *ret = (struct tuf_target){.object = object, .n_delegations = client->n_chain};
    (void)tuf_json_find(object, "length", &at);
    ret->length = (uint64_t)tuf_json_integer(at);
    (void)tuf_json_find(object, "hashes", &ret->hashes);
    memcpy(ret->delegations, s.way, client->n_chain * sizeof *s.way);
    return 0;
}
