// SPDX-License-Identifier: Apache-2.0
//
// Looking at a repository as a client of it; see source.h.
#include "ctl/cmd/source.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "ctl/cmd/pending.h"
#include "ctl/cmd/remote.h"
#include "ctl/cmd/source_private.h"
#include "ctl/cmd/workspace.h"
#include "ctl/kind.h"
#include "keys/kind.h"
#include "keys/tuf/client.h"

#define NAME_BYTES 320

static const struct doc_limits limits = {
    .bytes = CMD_DOCUMENT_MAX_BYTES, .depth = 16, .values = 400000, .floats = false};

void cmd_source_free(struct cmd_source *source) {
    if (!source)
        return;
    own_drop_fd(&source->seen);
    own_drop_fd(&source->home);
    own_drop_fd(&source->folder);
    net_client_free(source->client);
    cmd_passphrase_clear(&source->passphrase);
    free(source);
}

const char *cmd_source_name(const struct cmd_source *source) {
    return source->name;
}

bool cmd_source_is_folder(const struct cmd_source *source) {
    return source->client == NULL;
}

struct cmd_passphrase *cmd_source_passphrase(struct cmd_source *source) {
    return &source->passphrase;
}

// ── Which one ────────────────────────────────────────────────────────────────────────────────────

static const char *controller_of(const struct opt_args *args) {
    const char *url = opt_get(args, "controller");
    if (!url)
        url = getenv(CMD_REMOTE_CONTROLLER);
    return url && *url ? url : NULL;
}

static int open_folder(struct cmd_source *s, const char *path, struct err *e) {
    struct err why = ERR_NONE;
    (void)snprintf(s->name, sizeof s->name, "%s", path);
    if (fs_open_dir(AT_FDCWD, path, &s->folder, &why) == 0)
        return 0;
    return err_set(e, why.kind, "opening the repository: %s%s", why.text,
                   err_is(&why, &err_not_found)
                       ? "; give the folder that holds its metadata/ and targets/, or make an "
                         "empty one (mkdir) to begin a repository in"
                       : "");
}

static int open_place(struct cmd_source *s, enum cmd_source_need need, struct err *e) {
    char path[FS_PATH_BYTES];
    const char *given = opt_get(s->args, "repository");
    const char *url = controller_of(s->args);
    struct stat st;
    if (given && opt_get(s->args, "controller"))
        return err_set(e, &err_usage, "--repository and --controller exclude each other");
    if (given)
        return open_folder(s, given, e);
    if (url) {
        (void)snprintf(s->name, sizeof s->name, "%s", url);
        return cmd_remote_open(s->args, &s->client, e);
    }
    int found = fs_stat(s->home, CMD_SOURCE_FOLDER, &st, e);
    if (found < 0)
        return -1;
    (void)snprintf(path, sizeof path, "%s/" CMD_SOURCE_FOLDER, s->workspace);
    if (found == 0)
        return open_folder(s, path, e);
    if (need == CMD_SOURCE_OPTIONAL)
        return CMD_SOURCE_NONE;
    return err_set(e, &err_usage,
                   "which repository? Give --controller URL (or set " CMD_REMOTE_CONTROLLER
                   "), or --repository DIR; there is no %s",
                   path);
}

int cmd_source_open(const struct cmd_context *context, const struct opt_args *args,
                    const char *workspace, enum cmd_source_need need, struct cmd_source **ret,
                    struct err *e) {
    OWN(source) struct cmd_source *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, &err_memory, "opening a repository: no memory");
    *s = (struct cmd_source){.context = context, .args = args, .workspace = workspace};
    s->seen = s->home = s->folder = -1;
    cmd_passphrase_init(&s->passphrase, args);
    if (fs_open_dir(AT_FDCWD, workspace, &s->home, e) < 0)
        return err_prefix(e, "opening the workspace");
    int r = open_place(s, need, e);
    if (r != 0)
        return r;
    if (fs_make_dir(s->home, CMD_WORKSPACE_SEEN, CMD_WORKSPACE_DIR_MODE, e) < 0 ||
        fs_open_dir(s->home, CMD_WORKSPACE_SEEN, &s->seen, e) < 0)
        return err_prefix(e, "opening the workspace");
    *ret = own_take(&s);
    return 0;
}

int cmd_source_fetch(struct cmd_source *source, const char *name, struct buf *ret, struct err *e) {
    char path[NAME_BYTES + 32];
    struct stat st;
    (void)snprintf(path, sizeof path, "%smetadata/%s", source->client ? "/repository/" : "", name);
    if (source->client) {
        int r = net_client_fetch(source->client, path, ret, e);
        return r == NET_CLIENT_ABSENT ? FS_ABSENT : r;
    }
    int found = fs_stat(source->folder, path, &st, e);
    return found != 0 ? found : fs_read_file(source->folder, path, ret->ceiling, ret, e);
}

// ── The root ─────────────────────────────────────────────────────────────────────────────────────

int cmd_source_update_root(struct cmd_source *source, uint64_t *ret_version, struct err *e) {
    OWN(root) struct keys_root *root = NULL;
    if (cmd_workspace_root(source->workspace, &root, e) < 0)
        return -1;
    for (int i = 0; i < TUF_ROOTS_PER_REFRESH_MAX; i++) {
        OWN(buf) struct buf raw;
        OWN(root) struct keys_root *next = NULL;
        char name[48];
        buf_init(&raw, KEYS_ROOT_MAX_BYTES);
        (void)snprintf(name, sizeof name, "%llu.root.json",
                       (unsigned long long)keys_root_header(root)->version + 1);
        int r = cmd_source_fetch(source, name, &raw, e);
        if (r == FS_ABSENT)
            break;
        if (r < 0 || keys_root_advance(root, buf_slice(&raw), &next, e) < 0 ||
            fs_replace(source->home, CMD_WORKSPACE_ROOT, raw.data, raw.len, CMD_WORKSPACE_FILE_MODE,
                       e) < 0)
            return err_prefix(e, "%s: %s", source->name, name);
        keys_root_free(root);
        root = own_take(&next);
    }
    *ret_version = keys_root_header(root)->version;
    return 0;
}

// ── The client's four operations ─────────────────────────────────────────────────────────────────

static int dir_of(const struct cmd_source *s, const char *name) {
    return strcmp(name, "root.json") == 0 ? s->home : s->seen;
}

static int on_load(void *context, const char *name, size_t max_bytes, struct buf *ret,
                   struct err *e) {
    const struct cmd_source *s = context;
    struct stat st;
    int found = fs_stat(dir_of(s, name), name, &st, e);
    if (found != 0)
        return found < 0 ? -1 : TUF_ABSENT;
    return fs_read_file(dir_of(s, name), name, max_bytes, ret, e);
}

static int on_fetch(void *context, const char *name, size_t max_bytes, struct buf *ret,
                    struct err *e) {
    OWN(buf) struct buf raw;
    buf_init(&raw, max_bytes);
    int r = cmd_source_fetch(context, name, &raw, e);
    if (r != 0)
        return r < 0 ? -1 : TUF_ABSENT;
    return buf_add(ret, raw.data, raw.len, e);
}

static int on_store(void *context, const char *name, struct slice bytes, struct err *e) {
    const struct cmd_source *s = context;
    return fs_replace(dir_of(s, name), name, bytes.data, bytes.len, CMD_WORKSPACE_FILE_MODE, e);
}

static int on_forget(void *context, const char *name, struct err *e) {
    const struct cmd_source *s = context;
    return fs_remove(dir_of(s, name), name, e);
}

static const struct tuf_client_ops ops = {on_load, on_fetch, on_store, on_forget};

// ── What was seen ────────────────────────────────────────────────────────────────────────────────

// The signed part of a stored file. FS_ABSENT when there is none.
static int read_seen(const struct cmd_source *s, const char *name, json_t **ret, struct err *e) {
    char path[NAME_BYTES];
    OWN(buf) struct buf raw;
    OWN(json) json_t *document = NULL;
    struct stat st;
    (void)snprintf(path, sizeof path, "%s.json", name);
    int found = fs_stat(s->seen, path, &st, e);
    if (found != 0)
        return found;
    buf_init(&raw, CMD_DOCUMENT_MAX_BYTES);
    if (fs_read_file(s->seen, path, CMD_DOCUMENT_MAX_BYTES, &raw, e) < 0 ||
        doc_parse(buf_slice(&raw), path, &limits, &document, e) < 0)
        return err_prefix(e, "%s/" CMD_WORKSPACE_SEEN, s->workspace);
    json_t *content = json_object_get(document, "signed");
    if (!content)
        return err_set(e, &err_syntax, "%s: it has no signed part", path);
    *ret = json_incref(content);
    return 0;
}

int cmd_source_seen(const struct cmd_source *source, const char *name, struct keys_header *ret,
                    struct err *e) {
    OWN(json) json_t *content = NULL;
    struct doc_at top;
    bool top_level = strcmp(name, "timestamp") == 0 || strcmp(name, "snapshot") == 0;
    int r = read_seen(source, name, &content, e);
    if (r != 0)
        return r;
    if (doc_root(content, name, &top, e) < 0)
        return -1;
    return keys_envelope_header(&top, top_level ? name : "targets", ret, e);
}

// The version that the verified snapshot names for a role's file; FS_ABSENT when it names none.
static int version_in_snapshot(const struct cmd_source *s, const char *role, uint64_t *ret,
                               struct err *e) {
    char file[NAME_BYTES];
    OWN(json) json_t *content = NULL;
    int r = read_seen(s, "snapshot", &content, e);
    if (r != 0)
        return r;
    (void)snprintf(file, sizeof file, "%s.json", role);
    const json_t *meta = json_object_get(json_object_get(content, "meta"), file);
    if (!meta)
        return FS_ABSENT;
    *ret = (uint64_t)json_integer_value(json_object_get(meta, "version"));
    return 0;
}

static int load_seen(const struct cmd_source *s, const char *role, struct cmd_document *ret,
                     struct err *e) {
    char path[NAME_BYTES];
    (void)snprintf(path, sizeof path, "%s.json", role);
    int r = cmd_document_read(s->seen, path, ret, e);
    return r < 0 ? err_prefix(e, "%s/" CMD_WORKSPACE_SEEN, s->workspace) : r;
}

// ── Refresh ──────────────────────────────────────────────────────────────────────────────────────

static bool is_absent(struct cmd_source *s, const char *name) {
    OWN(buf) struct buf raw;
    struct err ignored = ERR_NONE;
    buf_init(&raw, TUF_TIMESTAMP_MAX_BYTES);
    return cmd_source_fetch(s, name, &raw, &ignored) == FS_ABSENT;
}

// A repository that was put back from a backup shows less than was seen here. Only who says so gets
// to publish on top of what was seen.
static bool is_restore(const struct cmd_source *s) {
    return opt_given(s->args, "restore");
}

static const char *hint_at(const struct err *why) {
    if (err_is(why, &err_below_threshold))
        return " (if a new root changed their keys: edgectl release renew, where the targets were "
               "seen before)";
    if (err_is(why, &err_rollback))
        return " (if it was put back from a backup: edgectl release renew --restore)";
    return "";
}

// The refresh broke at the targets: because their keys were changed, or for worse.
static int unsigned_or(const struct cmd_source *s, const struct err *why, struct err *e) {
    OWN(document) struct cmd_document seen = CMD_DOCUMENT_NONE;
    uint64_t version = 0;
    struct err ignored = ERR_NONE;
    if (err_is(why, &err_rollback) && is_restore(s))
        return CMD_SOURCE_UNSIGNED;
    if (!err_is(why, &err_below_threshold) || load_seen(s, "targets", &seen, &ignored) != 0 ||
        version_in_snapshot(s, "targets", &version, &ignored) != 0 ||
        version != seen.header.version)
        return err_set(e, why->kind, "%s: %s%s", s->name, why->text, hint_at(why));
    return CMD_SOURCE_UNSIGNED;
}

static int judge_timestamp(const struct cmd_source *s, struct err *e) {
    struct keys_header header;
    if (!s->client)
        return 0;
    int r = cmd_source_seen(s, "timestamp", &header, e);
    if (r != 0)
        return r < 0 ? -1 : 0;
    if (keys_envelope_check_expiry(&header, "its timestamp",
                                   chrono_wall_ms(s->context->clock) / 1000, e) < 0)
        return err_prefix(e,
                          "%s may be showing an old state (is its clock right, has it its online "
                          "keys?)",
                          s->name);
    return 0;
}

// A folder in which nobody began, though this workspace has published elsewhere: the root alone
// would make a repository there that no device can follow, without the roots before and the
// targets.
static int check_begun(const struct cmd_source *s, struct err *e) {
    struct stat st;
    struct err ignored = ERR_NONE;
    if (s->folder < 0 || fs_stat(s->folder, "metadata", &st, &ignored) != FS_ABSENT)
        return 0;
    return err_set(e, &err_usage,
                   "%s holds no repository, and this workspace knows one: for a second copy, copy "
                   "that whole folder (cp -r); for one that was lost, put its backup there; to "
                   "begin anew without what was published, remove %s/" CMD_WORKSPACE_SEEN,
                   s->name, s->workspace);
}

int cmd_source_refresh(struct cmd_source *source, struct err *e) {
    OWN(tuf_client) struct tuf_client *client = NULL;
    struct stat st;
    struct err why = ERR_NONE;
    uint64_t version = 0;
    const struct tuf_client_options options = {.ops = &ops, .context = source, .now_s = 0};
    if (cmd_source_update_root(source, &version, e) < 0)
        return -1;
    int seen = fs_stat(source->seen, "timestamp.json", &st, e);
    if (seen < 0)
        return -1;
    // Once something was seen, nothing there is an attack or a loss, not a beginning.
    if (seen == 0 && check_begun(source, e) < 0)
        return -1;
    if (seen == FS_ABSENT && is_absent(source, "timestamp.json"))
        return CMD_SOURCE_EMPTY;
    if (tuf_client_open(&options, &client, e) < 0)
        return err_prefix(e, "%s", source->workspace);
    if (tuf_client_refresh(client, &why) < 0)
        return unsigned_or(source, &why, e);
    return judge_timestamp(source, e);
}

// ── Delegated roles ──────────────────────────────────────────────────────────────────────────────

static int fetch_delegated(struct cmd_source *s, const char *role, uint64_t version,
                           struct cmd_document *ret, struct err *e) {
    char name[NAME_BYTES];
    OWN(buf) struct buf raw;
    buf_init(&raw, CMD_DOCUMENT_MAX_BYTES);
    (void)snprintf(name, sizeof name, "%llu.%s.json", (unsigned long long)version, role);
    int r = cmd_source_fetch(s, name, &raw, e);
    if (r == FS_ABSENT)
        return err_set(e, &err_not_found, "%s: the snapshot names %s, and it is not there", s->name,
                       name);
    if (r < 0 || cmd_document_parse(buf_slice(&raw), name, ret, e) < 0)
        return -1;
    if (ret->header.version != version)
        return err_set(e, &err_digest_mismatch, "%s: %s holds version %llu", s->name, name,
                       (unsigned long long)ret->header.version);
    return 0;
}

static int current_delegated(struct cmd_source *s, const char *role, const struct keys_role *keys,
                             struct cmd_document *ret, struct err *e) {
    OWN(document) struct cmd_document there = CMD_DOCUMENT_NONE;
    OWN(document) struct cmd_document seen = CMD_DOCUMENT_NONE;
    struct cmd_document_tally tally;
    char path[NAME_BYTES];
    uint64_t version = 0;
    if (load_seen(s, role, &seen, e) < 0)
        return -1;
    int r = version_in_snapshot(s, role, &version, e);
    if (r == 0 && seen.content && is_restore(s)) {
        *ret = seen;
        seen = (struct cmd_document)CMD_DOCUMENT_NONE;
        return 0;
    }
    if (r != 0)
        return r;
    if (fetch_delegated(s, role, version, &there, e) < 0 ||
        cmd_document_tally(&there, role, keys, &tally, e) < 0)
        return -1;
    bool same = seen.content && seen.header.version == version;
    if (seen.content && seen.header.version > version)
        return err_set(e, &err_rollback,
                       "%s shows version %llu of %s; version %llu was seen before", s->name,
                       (unsigned long long)version, role, (unsigned long long)seen.header.version);
    // Its keys were changed since it was signed: what was verified then is to be signed anew.
    if (tally.valid < keys->threshold && !same)
        return err_set(e, &err_below_threshold,
                       "%s: %zu of the %zu signatures that the role %s needs", s->name, tally.valid,
                       keys->threshold, role);
    (void)snprintf(path, sizeof path, "%s.json", role);
    if (!same &&
        fs_replace(s->seen, path, there.raw.data, there.raw.len, CMD_WORKSPACE_FILE_MODE, e) < 0)
        return -1;
    struct cmd_document *taken = same ? &seen : &there;
    *ret = *taken;
    *taken = (struct cmd_document)CMD_DOCUMENT_NONE;
    return 0;
}

int cmd_source_current(struct cmd_source *source, const char *role, struct cmd_document *ret,
                       struct err *e) {
    OWN(document) struct cmd_document targets = CMD_DOCUMENT_NONE;
    struct keys_role keys;
    int r = load_seen(source, "targets", &targets, e);
    if (r < 0)
        return -1;
    if (strcmp(role, "targets") == 0) {
        *ret = targets;
        targets = (struct cmd_document)CMD_DOCUMENT_NONE;
        return r;
    }
    if (r == FS_ABSENT)
        return err_set(e, &err_not_found,
                       "%s holds no targets yet, so they delegate to nobody, not to \"%s\"",
                       source->name, role);
    if (cmd_pending_role(targets.content, role, &keys, e) < 0)
        return -1;
    return current_delegated(source, role, &keys, ret, e);
}
