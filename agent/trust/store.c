// SPDX-License-Identifier: Apache-2.0
//
// See store.h.
#include "agent/trust/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "agent/log.h"
#include "agent/pair.h"
#include "agent/store.h"
#include "base/chrono.h"
#include "base/doc.h"
#include "base/fs.h"
#include "base/own.h"
#include "keys/role.h"

#define KNOWN "trust"

const char *const trust_store_names[TRUST_STORE_ROLES] = {
    [TRUST_STORE_TIMESTAMP] = "timestamp",
    [TRUST_STORE_SNAPSHOT] = "snapshot",
    [TRUST_STORE_TARGETS] = "targets",
};

// ── The root

static int read_root(int dir, const char *path, struct buf *raw, struct keys_root **ret,
                     struct err *e) {
    return fs_read_file(dir, path, KEYS_ROOT_MAX_BYTES, raw, e) < 0
               ? -1
               : keys_root_open(buf_slice(raw), ret, e);
}

static bool same_bytes(const struct buf *a, const struct buf *b) {
    return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

// The stored root, or NULL when there is none that can be used.
static int read_stored(int dir, struct buf *raw, struct keys_root **ret, struct err *e) {
    struct stat status;
    struct err why = ERR_NONE;
    int found = fs_stat(dir, TRUST_STORE_ROOT, &status, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    if (read_root(dir, TRUST_STORE_ROOT, raw, ret, &why) < 0)
        agent_log_line(AGENT_LOG_WARNING,
                       "private/" TRUST_STORE_DIR "/" TRUST_STORE_ROOT
                       " cannot be used, the provisioned one takes its place: %s",
                       why.text);
    return 0;
}

static int choose_root(int dir, const char *provisioned, struct keys_root **ret,
                       struct fsm_trusted *trusted, struct buf *seed, struct err *e) {
    OWN(buf) struct buf raw;
    OWN(root) struct keys_root *given = NULL;
    OWN(root) struct keys_root *stored = NULL;
    buf_init(&raw, KEYS_ROOT_MAX_BYTES);
    if (read_root(AT_FDCWD, provisioned, seed, &given, e) < 0)
        return err_prefix(e, "root of trust %s", provisioned);
    if (read_stored(dir, &raw, &stored, e) < 0)
        return -1;
    uint64_t version = keys_root_header(given)->version;
    uint64_t has = stored ? keys_root_header(stored)->version : 0;
    if (has > version || (has == version && same_bytes(seed, &raw))) {
        *ret = own_take(&stored);
        return 0;
    }
    if (stored)
        (void)trust_store_forget(stored, given, trusted);
    *ret = own_take(&given);
    return TRUST_STORE_SEED;
}

static bool same_delegations(const struct keys_root *a, const struct keys_root *b) {
    const struct keys_root_content *x = keys_root_content(a);
    const struct keys_root_content *y = keys_root_content(b);
    bool same = x->n_bundle_roles == y->n_bundle_roles;
    for (size_t i = 0; same && i < x->n_bundle_roles; i++)
        same = strcmp(x->bundle_roles[i].name, y->bundle_roles[i].name) == 0 &&
               keys_role_same(&x->bundle_roles[i].role, &y->bundle_roles[i].role);
    return same;
}

bool trust_store_forget(const struct keys_root *before, const struct keys_root *after,
                        struct fsm_trusted *trusted) {
    static const struct {
        enum keys_root_role role;
        enum fsm_trusted_source source;
    } dates[] = {
        {KEYS_ROOT_ROLE_TARGETS, FSM_TRUSTED_TARGETS},
        {KEYS_ROOT_ROLE_BUNDLE, FSM_TRUSTED_BUNDLE},
        {KEYS_ROOT_ROLE_TIMESTAMP, FSM_TRUSTED_ONLINE},
        {KEYS_ROOT_ROLE_SNAPSHOT, FSM_TRUSTED_ONLINE},
        {KEYS_ROOT_ROLE_DIRECTOR, FSM_TRUSTED_ONLINE},
    };
    bool changed = keys_root_header(after)->issued_s < keys_root_header(before)->issued_s &&
                   fsm_trusted_forget(trusted, FSM_TRUSTED_ROOT);
    for (size_t i = 0; i < sizeof dates / sizeof dates[0]; i++) {
        bool same = keys_role_same(keys_root_role(before, dates[i].role),
                                   keys_root_role(after, dates[i].role));
        if (dates[i].role == KEYS_ROOT_ROLE_BUNDLE)
            same = same && same_delegations(before, after);
        if (!same && fsm_trusted_forget(trusted, dates[i].source))
            changed = true;
    }
    return changed;
}

struct fsm_trusted_bounds trust_store_bounds(const struct trust_store *store,
                                             const struct keys_root *root) {
    return (struct fsm_trusted_bounds){
        .root_s = keys_root_header(root)->expires_s,
        .targets_s = store->files[TRUST_STORE_TARGETS].expires_s,
        .snapshot_s = store->files[TRUST_STORE_SNAPSHOT].expires_s,
    };
}

struct trust_store_versions trust_store_versions(const struct trust_store *store,
                                                 const struct keys_root *root) {
    return (struct trust_store_versions){.root = keys_root_header(root)->version,
                                         .snapshot = store->files[TRUST_STORE_SNAPSHOT].version};
}

// ── What the judge said

static int read_file_of(const struct doc_at *at, const char *name, struct trust_store_file *ret,
                        struct err *e) {
    struct doc_at one;
    uint64_t expires = 0;
    int found = doc_object_opt(at, name, &one, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    if (doc_u64(&one, "version", 0, KEYS_VERSION_MAX, &ret->version, e) < 0 ||
        doc_u64(&one, "expires", 0, CHRONO_MAX_S, &expires, e) < 0)
        return -1;
    ret->expires_s = (int64_t)expires;
    return 0;
}

static int parse_known(struct slice text, struct trust_store *ret, struct err *e) {
    static const struct doc_limits limits = {.bytes = 8192, .depth = 3, .values = 64};
    OWN(json) json_t *document = NULL;
    struct doc_at at;
    const char *code = "", *why = "";
    if (doc_parse(text, KNOWN, &limits, &document, e) < 0 || doc_root(document, KNOWN, &at, e) < 0)
        return -1;
    for (size_t i = 0; i < TRUST_STORE_ROLES; i++)
        if (read_file_of(&at, trust_store_names[i], &ret->files[i], e) < 0)
            return -1;
    if (doc_string_opt(&at, "code", sizeof ret->why.code - 1, &code, e) < 0 ||
        doc_string_opt(&at, "text", sizeof ret->why.text - 1, &why, e) < 0)
        return -1;
    memcpy(ret->why.code, code, strlen(code) + 1);
    memcpy(ret->why.text, why, strlen(why) + 1);
    return 0;
}

int trust_store_look(int private_dir, struct trust_store *ret, struct err *e) {
    OWN(buf) struct buf text;
    struct trust_store store = {.dir = -1};
    buf_init(&text, AGENT_PAIR_MAX_BYTES);
    int found = agent_pair_read(private_dir, KNOWN, &text, &store.serial, e);
    if (found < 0 || (found == 0 && parse_known(buf_slice(&text), &store, e) < 0))
        return -1;
    *ret = store;
    return 0;
}

int trust_store_save(int private_dir, struct trust_store *store, struct err *e) {
    OWN(json)
    json_t *all = json_pack("{ss ss}", "code", store->why.code, "text", store->why.text);
    for (size_t i = 0; all && i < TRUST_STORE_ROLES; i++)
        if (json_object_set_new(all, trust_store_names[i],
                                json_pack("{sI sI}", "expires",
                                          (json_int_t)store->files[i].expires_s, "version",
                                          (json_int_t)store->files[i].version)) < 0)
            return err_set(e, &err_memory, "noting what is trusted: out of memory");
    if (agent_pair_write_json(private_dir, KNOWN, store->serial + 1, all, e) < 0)
        return -1;
    store->serial++;
    return 0;
}

// ── Opening

// Only files of ours are made here: a directory, link or pipe in the place of one would stop every
// refresh for good.
static int drop_strange(void *context, const char *name, mode_t type, struct err *e) {
    const int *dir = context;
    if (S_ISREG(type))
        return 0;
    agent_log_line(AGENT_LOG_WARNING, "private/" TRUST_STORE_DIR "/%s is no file: removed", name);
    return fs_remove_tree(*dir, name, e);
}

// A directory of ours; whatever else stands in its place goes.
static int open_own(int private_dir, int *ret, struct err *e) {
    struct stat status;
    int found = fs_stat(private_dir, TRUST_STORE_DIR, &status, e);
    if (found < 0 ||
        (found == 0 && !S_ISDIR(status.st_mode) && fs_remove(private_dir, TRUST_STORE_DIR, e) < 0))
        return -1;
    if (fs_make_dir(private_dir, TRUST_STORE_DIR, 0755, e) < 0 ||
        fs_open_dir(private_dir, TRUST_STORE_DIR, ret, e) < 0)
        return -1;
    return fs_list(*ret, ".", drop_strange, ret, e);
}

int trust_store_open(int private_dir, const char *provisioned, struct trust_store *ret,
                     struct keys_root **ret_root, struct fsm_trusted *trusted, struct buf *seed,
                     struct err *e) {
    struct trust_store store = {.dir = -1};
    struct err why = ERR_NONE;
    OWN(fd) int dir = -1;
    // Nothing is decided by these numbers: damaged, they are learned again.
    if (trust_store_look(private_dir, &store, &why) < 0)
        agent_log_line(AGENT_LOG_WARNING, "%s; it is learned again", why.text);
    if (open_own(private_dir, &dir, e) < 0 || agent_store_tidy(dir, e) < 0 ||
        trust_store_drop_incoming(private_dir, e) < 0)
        return -1;
    int chosen = choose_root(dir, provisioned, ret_root, trusted, seed, e);
    if (chosen < 0)
        return -1;
    store.dir = own_take_fd(&dir);
    *ret = store;
    return chosen;
}

int trust_store_seed(const struct trust_store *store, const struct buf *seed, struct err *e) {
    if (fs_replace(store->dir, TRUST_STORE_ROOT, seed->data, seed->len, 0644, e) < 0)
        return err_prefix(e, "taking over the provisioned root");
    return 0;
}

void trust_store_close(struct trust_store *store) {
    own_drop_fd(&store->dir);
    store->dir = -1;
}

int trust_store_open_incoming(int private_dir, uid_t uid, gid_t gid, int *ret, struct err *e) {
    OWN(fd) int dir = -1;
    if (trust_store_drop_incoming(private_dir, e) < 0 ||
        fs_mkdir(private_dir, TRUST_STORE_INCOMING, 0700, e) < 0 ||
        fs_open_dir(private_dir, TRUST_STORE_INCOMING, &dir, e) < 0 ||
        (uid != (uid_t)-1 && fs_chown(dir, uid, gid, e) < 0))
        return err_prefix(e, "making room for a refresh");
    *ret = own_take_fd(&dir);
    return 0;
}

int trust_store_drop_incoming(int private_dir, struct err *e) {
    return fs_remove_tree(private_dir, TRUST_STORE_INCOMING, e);
}
