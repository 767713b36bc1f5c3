// SPDX-License-Identifier: Apache-2.0
//
// Naming the deltas that the controller made.
#include "ctl/serve/repository_deltas.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/unpack/delta.h"
#include "ctl/kind.h"
#include "ctl/serve/engine.h"
#include "ctl/serve/repository_parts.h"
#include "ctl/store/audit.h"
#include "ctl/store/delta.h"
#include "keys/kind.h"
#include "keys/sign/signer.h"

#define ROLE REPO_TARGETS_DELTAS_ROLE

void serve_repository_deltas_clear(struct serve_repository_deltas *io) {
    sign_signer_free(io->signer);
    *io = (struct serve_repository_deltas){.signer = NULL};
}

// ── Delegation and key ───────────────────────────────────────────────────────────────────────────

static int cannot(struct serve_repository_deltas *io, const char *code, const char *text) {
    (void)snprintf(io->why.code, sizeof io->why.code, "%s", code);
    (void)snprintf(io->why.text, sizeof io->why.text, "%s", text);
    return 0;
}

static int find_signer(const struct serve_server *server, const json_t *targets,
                       struct serve_repository_deltas *io, struct err *e) {
    struct keys_role role;
    int found = repo_targets_role(targets, ROLE, &role, e);
    if (found < 0)
        return -1;
    if (found == REPO_TARGETS_ABSENT)
        return cannot(io, "no_delegation",
                      "the targets do not delegate to the role " ROLE
                      ": edgectl release delegate " ROLE " --deltas-only --key " ROLE
                      ".pub lets a controller with " ROLE ".key in keys/ name what it makes");
    if (role.threshold > 1)
        return cannot(io, "below_threshold",
                      "the role " ROLE " asks for several signatures, and online there is one");
    found = serve_keys_open_role(server, &role, &io->signer, e);
    if (found == SERVE_KEYS_ABSENT)
        return cannot(io, "no_key",
                      "keys/ holds no key of the role " ROLE
                      " that the targets delegate to: put the file " ROLE
                      ".key there and start again, or delegate to another key");
    return found;
}

static int look(const struct serve_server *server, struct serve_repository_deltas *io,
                struct err *e) {
    const struct repo_folder *folder = server->repository->folder;
    const json_t *targets = repo_folder_targets(folder, "targets");
    uint64_t versions = repo_folder_find(folder, "targets")->header.version * 8192 +
                        repo_folder_find(folder, "root")->header.version;
    if (io->looked && io->keys_of == versions)
        return 0;
    sign_signer_free(io->signer);
    io->signer = NULL;
    io->why = (struct serve_repository_deltas_why){.code = ""};
    io->keys_of = versions;
    io->looked = io->changed = true;
    if (!serve_repository_is_meant(server->repository))
        return cannot(io, "no_repository",
                      "the root names no keys for a repository, which is where deltas are named");
    if (targets == NULL)
        return cannot(io, "not_published",
                      "there are no targets that hold, so nothing can be named beside them");
    return find_signer(server, targets, io, e);
}

bool serve_repository_deltas_may(const struct serve_server *server,
                                 const struct store_bundle *bundle) {
    const json_t *targets = repo_folder_targets(server->repository->folder, "targets");
    const json_t *roles = json_object_get(json_object_get(targets, "delegations"), "roles");
    struct bundle_target target;
    struct keys_digest id;
    struct err ignored = ERR_NONE;
    char path[BUNDLE_TARGET_PATH_BYTES];
    size_t i = 0;
    json_t *one = NULL;
    if (keys_digest_parse(bundle->id, "a bundle's id", &id, &ignored) < 0)
        return false;
    (void)bundle_target_path(
        bundle_target_set_delta(&target, bundle->name, bundle->version, &id, &id), path);
    json_array_foreach (roles, i, one) {
        const char *name = json_string_value(json_object_get(one, "name"));
        if (name != NULL && strcmp(name, ROLE) == 0)
            return repo_targets_matches(one, path);
    }
    return false;
}

// ── What it should say ───────────────────────────────────────────────────────────────────────────

struct wanted {
    struct serve_server *server;
    struct store_db *db;
    struct serve_repository_deltas *io;
    const json_t *before; // targets of the file as it is; NULL: there is none
    json_t *content;      // owned
    size_t n, n_over;     // deltas; those above the ceiling, which go first
    size_t n_unnamed;     // deltas that are not wanted
    size_t n_drop;        // and of them those that are forgotten now
    struct store_making drop[SERVE_REPOSITORY_DELTAS_GONE];
};

// What stands in the file already was measured when it was added.
static bool was_named(const struct wanted *w, const struct bundle_target *path, const char *head,
                      struct repo_target *ret) {
    char text[BUNDLE_TARGET_PATH_BYTES];
    struct err ignored = ERR_NONE;
    const json_t *entry = json_object_get(w->before, bundle_target_path(path, text));
    return entry != NULL && repo_target_read(text, entry, ret, &ignored) == 0 &&
           strcmp(ret->digest, head) == 0;
}

// From its file, which is named after its head. 0, or REPO_FOLDER_ABSENT when it is not there, or
// is not that.
static int measure(const struct wanted *w, const char *head, struct repo_target *ret,
                   struct err *e) {
    char name[STORE_DELTA_FILE_BYTES];
    struct unpack_source_file file;
    struct unpack_source source;
    struct slice part;
    struct err ignored = ERR_NONE;
    OWN(delta_candidate) struct unpack_delta_candidate *candidate = NULL;
    OWN(fd) int fd = -1;
    if (fs_open_read(w->server->bundles, store_delta_file(head, name), &fd, &ignored) < 0 ||
        unpack_source_from_file(fd, &file, &source, &ignored) < 0 ||
        unpack_delta_open(&source, &candidate, &ignored) != 0 ||
        repo_target_peek_delta(unpack_delta_open_manifest(candidate),
                               unpack_delta_open_head(candidate), ret, &part, &ignored) < 0 ||
        strcmp(ret->digest, head) != 0)
        return REPO_FOLDER_ABSENT;
    return repo_folder_put_target(w->server->repository->folder, ret, part, e) < 0 ? -1 : 0;
}

// NULL when the current metadata do not name the bundle.
static const struct store_bundle *named_bundle(const struct wanted *w,
                                               const struct keys_digest *id) {
    const struct serve_engine_bundle *b = serve_engine_bundle(w->server->engine, id);
    struct repo_target named = {.length = 0};
    if (b == NULL)
        return NULL;
    (void)bundle_target_set(&named.bundle, b->row.name, b->row.version, id);
    return repo_folder_names(w->server->repository->folder, &named) == 0 ? &b->row : NULL;
}

// 0 and its target, or REPO_FOLDER_ABSENT: nobody names its bundle, or it is lost.
static int find_target(const struct wanted *w, const struct store_making *m,
                       struct repo_target *ret, struct err *e) {
    struct keys_digest bundle, base;
    struct bundle_target path;
    if (keys_digest_parse(m->bundle, "a bundle's id", &bundle, e) < 0 ||
        keys_digest_parse(m->base, "a bundle's id", &base, e) < 0)
        return -1;
    const struct store_bundle *b = named_bundle(w, &bundle);
    if (b == NULL)
        return REPO_FOLDER_ABSENT;
    (void)bundle_target_set_delta(&path, b->name, b->version, &bundle, &base);
    if (was_named(w, &path, m->head, ret))
        return 0;
    return measure(w, m->head, ret, e);
}

static int consider(void *context, const struct store_making *m, struct err *e) {
    struct wanted *w = context;
    struct repo_target target;
    if (*m->head == '\0')
        return 0;
    int found = REPO_FOLDER_ABSENT;
    if (w->n_over > 0)
        w->n_over--;
    else
        found = find_target(w, m, &target, e);
    if (found == 0) {
        w->n++;
        return repo_targets_add(w->content, &target, e) < 0 ? -1 : 0;
    }
    w->n_unnamed += found > 0;
    if (found > 0 && w->n_drop < SERVE_REPOSITORY_DELTAS_GONE - w->io->n_gone)
        w->drop[w->n_drop++] = *m;
    return found < 0 ? -1 : 0;
}

// Whether a person sent the delta that stands in the file as it is, and it may stand there still.
static int was_sent(const struct wanted *w, const char *path, const json_t *entry,
                    struct repo_target *ret, struct err *e) {
    struct keys_digest bundle;
    struct store_delta row;
    struct err ignored = ERR_NONE;
    if (repo_target_read(path, entry, ret, &ignored) < 0 ||
        keys_digest_parse(ret->bundle.id, "a bundle's id", &bundle, &ignored) < 0 ||
        named_bundle(w, &bundle) == NULL)
        return REPO_FOLDER_ABSENT;
    int found = store_delta_get(w->db, ret->digest, &row, e);
    if (found != 0)
        return found < 0 ? -1 : REPO_FOLDER_ABSENT;
    return strcmp(row.actor, STORE_DELTA_MADE) == 0 ? REPO_FOLDER_ABSENT : 0;
}

static int keep_sent(struct wanted *w, struct err *e) {
    const json_t *named = json_object_get(w->content, "targets");
    const char *path = NULL;
    json_t *entry = NULL;
    json_object_foreach ((json_t *)(uintptr_t)w->before, path, entry) {
        struct repo_target target;
        if (w->n == SERVE_REPOSITORY_DELTAS_MAX || json_object_get(named, path) != NULL)
            continue;
        int found = was_sent(w, path, entry, &target, e);
        if (found < 0 || (found == 0 && repo_targets_add(w->content, &target, e) < 0))
            return -1;
        w->n += found == 0;
    }
    return 0;
}

static int count(void *context, const struct store_making *m, struct err *e) {
    struct wanted *w = context;
    (void)e;
    w->n += *m->head != '\0';
    return 0;
}

static int collect(struct wanted *w, struct err *e) {
    const struct repo_folder *folder = w->server->repository->folder;
    w->before = json_object_get(repo_folder_targets(folder, ROLE), "targets");
    if (repo_targets_new(&w->content, e) < 0 || store_making_list(w->db, NULL, count, w, e) < 0)
        return -1;
    w->n_over = w->n > SERVE_REPOSITORY_DELTAS_MAX ? w->n - SERVE_REPOSITORY_DELTAS_MAX : 0;
    w->n = 0;
    return store_making_list(w->db, NULL, consider, w, e) < 0 ? -1 : keep_sent(w, e);
}

// ── Signing ──────────────────────────────────────────────────────────────────────────────────────

static int64_t lifetime_s(const struct repo_folder_online *online) {
    return online->snapshot_s > 0 ? online->snapshot_s : REPO_FOLDER_SNAPSHOT_EXPIRES_DEFAULT_S;
}

static bool is_due(const struct repo_folder_state *state, int64_t life_s, int64_t now_s) {
    const struct keys_header *h = &state->header;
    return !state->valid || now_s >= h->issued_s + (h->expires_s - h->issued_s) / 2 ||
           h->expires_s > now_s + life_s;
}

static int sign(const struct wanted *w, const struct repo_folder_online *online, struct err *e) {
    struct repo_folder *folder = w->server->repository->folder;
    const struct keys_header header = {.version =
                                           repo_folder_next_version(folder, ROLE, online->now_s),
                                       .issued_s = online->now_s,
                                       .expires_s = online->now_s + lifetime_s(online)};
    uint64_t before = repo_folder_find(folder, ROLE)->header.version;
    OWN(buf) struct buf part;
    OWN(buf) struct buf raw;
    OWN(json)
    json_t *data =
        json_pack("{s:I, s:I}", "version", (json_int_t)header.version, "targets", (json_int_t)w->n);
    buf_init(&part, REPO_TARGETS_MAX_BYTES);
    buf_init(&raw, REPO_TARGETS_MAX_BYTES);
    if (data == NULL ||
        json_object_set_new(w->content, "previous", json_integer((json_int_t)before)) < 0)
        return err_set(e, &err_memory, "naming deltas: out of memory");
    if (repo_targets_format(w->content, &header, &part, e) < 0 ||
        sign_signer_envelope(buf_slice(&part), &w->io->signer, 1, &raw, e) < 0 ||
        repo_folder_accept(folder, ROLE, buf_slice(&raw), online, e) < 0)
        return -1;
    return store_audit_add(w->db, online->now_s, STORE_DELTA_MADE, "repository.put", ROLE, data, e);
}

// The rows of what the file does not name any more. One that somebody else sent as well stays.
static int forget(struct wanted *w, struct err *e) {
    for (size_t i = 0; i < w->n_drop; i++) {
        const struct store_making *m = &w->drop[i];
        struct store_delta delta;
        int found = store_delta_get(w->db, m->head, &delta, e);
        bool ours = found == 0 && strcmp(delta.actor, STORE_DELTA_MADE) == 0;
        if (found < 0 || store_making_drop(w->db, m->bundle, m->base, e) < 0 ||
            (ours && store_delta_drop(w->db, m->head, e) < 0))
            return -1;
        if (ours)
            (void)snprintf(w->io->gone[w->io->n_gone++], KEYS_DIGEST_HEX, "%s", m->head);
    }
    return 0;
}

static int bring_up(struct wanted *w, int64_t now_s, struct err *e) {
    const struct repo_folder_online online = serve_repository_online(w->server, now_s);
    const struct repo_folder_state *state = repo_folder_find(w->server->repository->folder, ROLE);
    if (collect(w, e) < 0)
        return -1;
    bool same = w->before != NULL && json_equal(w->before, json_object_get(w->content, "targets"));
    if ((!same || is_due(state, lifetime_s(&online), now_s)) && sign(w, &online, e) < 0)
        return -1;
    return forget(w, e);
}

// ── Asked every now and then ─────────────────────────────────────────────────────────────────────

// Of all that could take a bundle's name away.
static uint64_t metadata_seen(const struct repo_folder *folder) {
    uint64_t sum = repo_folder_n_states(folder);
    for (size_t i = 0; i < repo_folder_n_states(folder); i++) {
        const struct repo_folder_state *state = repo_folder_state(folder, i);
        bool online = strcmp(state->name, "timestamp") == 0 || strcmp(state->name, "snapshot") == 0;
        if (!online)
            sum = sum * 31 + state->header.version * 2 + state->valid;
    }
    return sum;
}

static bool is_needed(const struct serve_server *server, const struct serve_repository_deltas *io,
                      int64_t now_s) {
    const struct repo_folder *folder = server->repository->folder;
    const struct repo_folder_state *state = repo_folder_find(folder, ROLE);
    const struct repo_folder_online online = serve_repository_online(server, now_s);
    return io->signer != NULL && state != NULL &&
           (io->changed || io->seen != metadata_seen(folder) ||
            is_due(state, lifetime_s(&online), now_s));
}

int serve_repository_deltas_keep(struct serve_server *server, struct store_db *db, int64_t now_ms,
                                 struct serve_repository_deltas *io, struct err *e) {
    int64_t boot_ms = chrono_boot_ms(server->clock);
    int done = 0;
    if (boot_ms < io->retry_ms)
        return 0;
    if (look(server, io, e) < 0)
        done = -1;
    if (done == 0 && is_needed(server, io, now_ms / 1000)) {
        OWN(mem) struct wanted *w = calloc(1, sizeof *w);
        if (w == NULL)
            return err_set(e, &err_memory, "naming deltas: out of memory");
        *w = (struct wanted){.server = server, .db = db, .io = io};
        done = bring_up(w, now_ms / 1000, e);
        json_decref(w->content);
        // More to forget than fits at a time: again.
        io->changed = done < 0 || w->n_drop < w->n_unnamed;
    }
    if (done < 0) {
        io->looked = false;
        io->retry_ms = boot_ms + SERVE_REPOSITORY_RETRY_S * 1000LL;
        return err_prefix(e, "naming deltas (tried again in %d s)", SERVE_REPOSITORY_RETRY_S);
    }
    io->seen = metadata_seen(server->repository->folder);
    return 0;
}
