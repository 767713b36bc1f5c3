// SPDX-License-Identifier: Apache-2.0
//
// Whether devices find a target, and take it: asked of the client that they run (keys/tuf), with
// the folder as its repository and nothing that was trusted before but the root. So what it
// refuses, ceilings included, is refused here for the same reason.
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/delta.h"
#include "ctl/repo/folder_parts.h"
#include "keys/canon.h"
#include "keys/kind.h"
#include "keys/tuf/client.h"

// ── The client's four operations ─────────────────────────────────────────────────────────────────

struct store {
    const struct repo_folder *folder;
};

static int on_load(void *context, const char *name, size_t max_bytes, struct buf *ret,
                   struct err *e) {
    const struct store *s = context;
    const struct buf *root = &s->folder->root_raw;
    (void)max_bytes;
    return strcmp(name, "root.json") == 0 ? buf_add(ret, root->data, root->len, e) : TUF_ABSENT;
}

static int on_fetch(void *context, const char *name, size_t max_bytes, struct buf *ret,
                    struct err *e) {
    const struct store *s = context;
    struct stat st;
    int found = fs_stat(s->folder->metadata, name, &st, e);
    if (found != 0)
        return found < 0 ? -1 : TUF_ABSENT;
    return fs_read_file(s->folder->metadata, name, max_bytes, ret, e);
}

static int on_store(void *context, const char *name, struct slice bytes, struct err *e) {
    (void)context;
    (void)name;
    (void)bytes;
    (void)e;
    return 0;
}

static int on_forget(void *context, const char *name, struct err *e) {
    (void)context;
    (void)name;
    (void)e;
    return 0;
}

static const struct tuf_client_ops ops = {on_load, on_fetch, on_store, on_forget};

// ── What the delegations on the way allow ────────────────────────────────────────────────────────

static int judge_one(const struct tuf_delegation *delegation, const char *component,
                     bool executable, struct err *e) {
    if (!tuf_delegation_allows_component(delegation, component))
        return err_set(e, &err_delegation, "the role %s is not trusted with the component %s",
                       delegation->name, component);
    if (executable && !tuf_delegation_allows_executable(delegation))
        return err_set(e, &err_delegation,
                       "the role %s is not trusted with anything executable, as %s is",
                       delegation->name, component);
    return 0;
}

// Components as the manifest has them (bundle/manifest.h).
static int judge(const struct tuf_target *target, const json_t *components, struct err *e) {
    size_t i = 0;
    json_t *one = NULL;
    json_array_foreach (components, i, one) {
        const char *name = json_string_value(json_object_get(one, "name"));
        const char *type = json_string_value(json_object_get(one, "type"));
        bool executable = json_is_true(json_object_get(one, "executable")) ||
                          (type && strcmp(type, "image") == 0);
        for (size_t d = 0; name && d < target->n_delegations; d++)
            if (judge_one(&target->delegations[d], name, executable, e) < 0)
                return -1;
    }
    return 0;
}

static int judge_file(const struct repo_folder *folder, const struct bundle_target *bundle,
                      const struct tuf_target *target, struct err *e) {
    static const struct doc_limits limits = {
        .bytes = BUNDLE_MANIFEST_MAX_BYTES, .depth = 16, .values = 20000, .floats = true};
    char file[REPO_TARGET_FILE_BYTES];
    OWN(json) json_t *manifest = NULL;
    OWN(buf) struct buf raw;
    buf_init(&raw, BUNDLE_MANIFEST_MAX_BYTES);
    if (fs_read_file(folder->targets, repo_target_file(bundle, bundle->id, file),
                     BUNDLE_MANIFEST_MAX_BYTES, &raw, e) < 0 ||
        tuf_target_check(target, buf_slice(&raw), file, e) < 0 ||
        keys_canon_parse(buf_slice(&raw), "the target", &limits, &manifest, e) < 0)
        return -1;
    return judge(target, json_object_get(manifest, "components"), e);
}

// Of a delta nothing is judged but that its head lies there: it chooses no contents.
static int judge_delta(const struct repo_folder *folder, const struct bundle_target *delta,
                       const struct tuf_target *target, struct err *e) {
    char file[REPO_TARGET_FILE_BYTES];
    struct repo_target named = {.bundle = *delta};
    OWN(buf) struct buf raw;
    buf_init(&raw, BUNDLE_DELTA_HEAD_MAX_BYTES);
    if (repo_folder_names(folder, &named) != 0)
        return REPO_FOLDER_ABSENT;
    if (fs_read_file(folder->targets, repo_target_file(delta, named.digest, file),
                     BUNDLE_DELTA_HEAD_MAX_BYTES, &raw, e) < 0)
        return -1;
    return tuf_target_check(target, buf_slice(&raw), file, e);
}

int repo_folder_admits(const struct repo_folder *folder, const struct bundle_target *bundle,
                       struct err *e) {
    struct store store = {.folder = folder};
    const struct tuf_client_options options = {.ops = &ops, .context = &store, .now_s = 0};
    char path[BUNDLE_TARGET_PATH_BYTES];
    OWN(tuf_client) struct tuf_client *client = NULL;
    struct tuf_target target;
    if (tuf_client_open(&options, &client, e) < 0 || tuf_client_refresh(client, e) < 0)
        return -1;
    int found = tuf_client_find(client, bundle_target_path(bundle, path), &target, e);
    if (found != 0)
        return found < 0 ? -1 : REPO_FOLDER_ABSENT;
    return bundle_target_is_delta(bundle) ? judge_delta(folder, bundle, &target, e)
                                          : judge_file(folder, bundle, &target, e);
}
