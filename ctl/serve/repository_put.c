// SPDX-License-Identifier: Apache-2.0
//
// What people signed, taken in: targets and delegated roles by publishers, roots by administrators.
// It was verified whole before anything is written, so a token alone changes nothing that a device
// believes.
#include <stdio.h>
#include <string.h>

#include "base/chrono.h"
#include "base/own.h"
#include "ctl/kind.h"
#include "ctl/serve/admin.h"
#include "ctl/serve/repository_parts.h"
#include "keys/sign/signer.h"

// ── Showing ──────────────────────────────────────────────────────────────────────────────────────

static json_t *show_role(const struct repo_folder_state *state) {
    char issued[CHRONO_TEXT_BYTES];
    char expires[CHRONO_TEXT_BYTES];
    const struct keys_header *h = &state->header;
    bool there = h->version > 0;
    OWN(json)
    json_t *why = state->valid ? json_null()
                               : json_pack("{s:s, s:s}", "code",
                                           state->why.kind ? state->why.kind->name : "not_found",
                                           "text", state->why.text);
    return json_pack(
        "{s:s, s:I, s:s?, s:s?, s:b, s:O}", "name", state->name, "version", (json_int_t)h->version,
        "issued", there ? chrono_format(h->issued_s, issued) : NULL, "expires",
        there ? chrono_format(h->expires_s, expires) : NULL, "valid", state->valid, "why", why);
}

static int show(struct serve_call *call, unsigned status, struct err *e) {
    const struct repo_folder *folder = call->server->repository->folder;
    const json_t *targets = repo_folder_targets(folder, "targets");
    const json_t *floors = json_object_get(targets, "floors");
    OWN(json) json_t *roles = json_array();
    for (size_t i = 0; i < repo_folder_n_states(folder); i++)
        if (json_array_append_new(roles, show_role(repo_folder_state(folder, i))) < 0)
            return err_set(e, &err_memory, "answering: out of memory");
    return serve_call_answer(
        call, status,
        json_pack("{s:O, s:I, s:o}", "roles", roles, "targets",
                  (json_int_t)json_object_size(json_object_get(targets, "targets")), "floors",
                  floors ? json_deep_copy(floors) : json_object()),
        e);
}

int serve_repository_show(struct store_db *db, struct serve_call *call, struct err *e) {
    (void)db;
    return show(call, 200, e);
}

// ── Roots ────────────────────────────────────────────────────────────────────────────────────────

// The keys that sign here from the next root on. What keys/ holds may have been added since the
// start.
struct keyset {
    struct sign_signer *snapshot, *timestamp, *director;
};

static void drop_keyset(struct keyset *set) {
    sign_signer_free(set->snapshot);
    sign_signer_free(set->timestamp);
    sign_signer_free(set->director);
}

static int open_keyset(const struct serve_server *server, const struct keys_root *root,
                       struct keyset *ret, struct err *e) {
    const struct {
        enum keys_root_role role;
        struct sign_signer **signer;
    } wanted[] = {{KEYS_ROOT_ROLE_SNAPSHOT, &ret->snapshot},
                  {KEYS_ROOT_ROLE_TIMESTAMP, &ret->timestamp},
                  {KEYS_ROOT_ROLE_DIRECTOR, &ret->director}};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        int found = serve_keys_open(server, root, wanted[i].role, wanted[i].signer, e);
        if (found == SERVE_KEYS_ABSENT)
            return err_set(e, &err_bad_request,
                           "the controller has no key of the role %s as version %llu of the root "
                           "wants it: put the new key file into its keys/ first",
                           keys_root_role_names[wanted[i].role],
                           (unsigned long long)keys_root_header(root)->version);
        if (found < 0)
            return -1;
    }
    return 0;
}

static bool is_same(struct slice a, struct slice b) {
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static void swap(struct sign_signer **a, struct sign_signer **b) {
    struct sign_signer *kept = *a;
    *a = *b;
    *b = kept;
}

// Instructions are signed by other threads: the old signer stays until the end.
static void change_director(struct serve_server *server, struct serve_repository *r,
                            struct keyset *set) {
    if (strcmp(sign_signer_pub(server->director)->id, sign_signer_pub(set->director)->id) == 0)
        return;
    r->directors[r->n_directors++] = server->director;
    server->director = set->director;
    set->director = NULL;
}

// From now on these sign; what was in force stays with the server until its end.
static int take_root(struct serve_server *server, struct keyset *set, struct err *e) {
    struct serve_repository *r = server->repository;
    swap(&r->snapshot, &set->snapshot);
    swap(&r->timestamp, &set->timestamp);
    change_director(server, r, set);
    return serve_repository_keep_root(server, r, e);
}

static int put_root(struct serve_call *call, struct slice raw, int64_t now_s, struct err *e) {
    struct serve_server *server = call->server;
    struct serve_repository *r = server->repository;
    OWN(root) struct keys_root *next = NULL;
    __attribute__((cleanup(drop_keyset))) struct keyset set = {.snapshot = NULL};
    bool same = is_same(raw, repo_folder_root_raw(r->folder));
    if (r->n_directors == SERVE_REPOSITORY_ROOTS_MAX || r->n_retired == SERVE_REPOSITORY_ROOTS_MAX)
        return err_set(e, &err_limit, "%d roots since the start: start the controller again",
                       SERVE_REPOSITORY_ROOTS_MAX);
    if (same && !serve_repository_is_meant(r))
        return REPO_FOLDER_SAME;
    if (!same && keys_root_advance(repo_folder_root(r->folder), raw, &next, e) < 0)
        return -1;
    if (open_keyset(server, same ? repo_folder_root(r->folder) : next, &set, e) < 0)
        return -1;
    struct repo_folder_online online = serve_repository_online(server, now_s);
    online.snapshot = set.snapshot;
    online.timestamp = set.timestamp;
    int done = repo_folder_accept(r->folder, "root", raw, &online, e);
    // A root that came into force while its timestamp could not be written: its keys are those that
    // sign, and the same root again brings the timestamp.
    struct err ignored = ERR_NONE;
    if (done < 0 && is_same(raw, repo_folder_root_raw(r->folder)))
        (void)take_root(server, &set, &ignored);
    if (done < 0)
        return -1;
    return take_root(server, &set, e) < 0 ? -1 : done;
}

// ── All ──────────────────────────────────────────────────────────────────────────────────────────

static int put(struct serve_call *call, const char *role, struct err *e) {
    struct serve_repository *r = call->server->repository;
    const struct slice raw = buf_slice(&call->body);
    const int64_t now_s = serve_call_now_s(call);
    if (strcmp(role, "root") == 0)
        return put_root(call, raw, now_s, e);
    const struct repo_folder_online online = serve_repository_online(call->server, now_s);
    return repo_folder_accept(r->folder, role, raw, &online, e);
}

static bool is_in_force(const struct serve_call *call, const char *role) {
    const struct repo_folder *folder = call->server->repository->folder;
    const struct slice raw = buf_slice(&call->body);
    struct err ignored = ERR_NONE;
    OWN(buf) struct buf there;
    buf_init(&there, REPO_TARGETS_MAX_BYTES);
    if (strcmp(role, "root") == 0)
        return is_same(raw, repo_folder_root_raw(folder));
    return repo_folder_read(folder, role, &there, &ignored) == 0 && is_same(raw, buf_slice(&there));
}

static int note(struct store_db *db, const struct serve_call *call, const char *role,
                struct err *e) {
    const struct repo_folder_state *state =
        repo_folder_find(call->server->repository->folder, role);
    OWN(json) json_t *data = json_pack("{s:I}", "version", (json_int_t)state->header.version);
    return serve_admin_audit(db, call, "repository.put", role, data, e);
}

// A file may have come into force, and the call failed behind that, as on a full disk. Then it has
// its row like any other: the call answers with its failure, and what it wrote to the store holds.
static int end_failed(struct store_db *db, struct serve_call *call, const char *role,
                      bool was_in_force, struct err *e) {
    struct err ignored = ERR_NONE;
    (void)err_prefix(e, "taking in %.80s", role);
    if (was_in_force || !is_in_force(call, role) || note(db, call, role, &ignored) < 0)
        return -1;
    serve_call_fail(call, e);
    err_clear(e);
    return 0;
}

int serve_repository_put(struct store_db *db, struct serve_call *call, struct err *e) {
    const char *role = call->args[0];
    if (strcmp(role, "root") == 0 && call->who.role != STORE_ROLE_ADMIN)
        return err_set(e, &err_permission, "a new root needs a token of the role admin");
    bool was_in_force = is_in_force(call, role);
    int done = put(call, role, e);
    if (done < 0)
        return end_failed(db, call, role, was_in_force, e);
    // A row for the same again as well: the store may have been what failed the time before.
    if (note(db, call, role, e) < 0)
        return -1;
    return show(call, done == REPO_FOLDER_SAME ? 200 : 201, e);
}
