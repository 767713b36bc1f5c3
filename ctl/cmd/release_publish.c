// SPDX-License-Identifier: Apache-2.0
//
// `edgectl release publish`: bundles and deltas go to the controller, and the targets name them.
// Whoever signs the targets lets devices decode a delta; what it makes is the bundle's manifest's to
// say.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/num.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/unpack/delta.h"
#include "ctl/cmd/bundle.h"
#include "ctl/cmd/pending.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/release.h"
#include "ctl/repo/targets.h"
#include "keys/kind.h"

const struct opt cmd_release_publish_options[] = {
    CMD_RELEASE_EDIT_OPTIONS,
    CMD_RELEASE_ROLE_OPTION,
    {.name = "delta",
     .repeat = true,
     .value = "FILE",
     .help = "A delta to one of these bundles, or to one that was published before"},
    {.name = "metadata",
     .value = "FILE",
     .help = "Publish this targets file, which others have signed; no bundles"},
    {.name = "upload-only", .help = "Upload, and leave the targets as they are"},
    CMD_OPTION_JSON,
    CMD_OPTION_END};
static void print_published(const json_t *bundle, bool created) {
    char size[NUM_SIZE_TEXT];
    const char *variant = cmd_print_string(bundle, "variant");
    (void)fputs(created ? "published " : "was published before: ", stdout);
    cmd_print_text(cmd_print_string(bundle, "name"));
    (void)putchar(' ');
    cmd_print_text(cmd_print_string(bundle, "version"));
    if (*variant) {
        (void)putchar(' ');
        cmd_print_text(variant);
    }
    (void)printf(", %s, id ", num_format_size((uint64_t)cmd_print_integer(bundle, "size"), size));
    cmd_print_text(cmd_print_string(bundle, "id"));
    (void)putchar('\n');
}

static void print_delta(const json_t *delta, bool created) {
    char size[NUM_SIZE_TEXT];
    const json_t *from = json_object_get(delta, "base_release");
    (void)fputs(created ? "published delta from " : "was published before: delta from ", stdout);
    cmd_print_text(cmd_print_string(from, "name"));
    (void)fputs(from ? " " : "", stdout);
    cmd_print_text(cmd_print_string(from, "version"));
    (void)printf(" (%.16s) to %.16s, %s, head ", cmd_print_string(delta, "base"),
                 cmd_print_string(delta, "bundle"),
                 num_format_size((uint64_t)cmd_print_integer(delta, "size"), size));
    cmd_print_text(cmd_print_string(delta, "head"));
    (void)putchar('\n');
}

static void print_one(const json_t *shown, bool delta, bool created) {
    if (delta)
        print_delta(shown, created);
    else
        print_published(shown, created);
}

// What is given: operands are bundles, then come deltas.
static size_t n_files(const struct opt_args *args) {
    return opt_operands(args) + opt_count(args, "delta");
}

static const char *file_at(const struct opt_args *args, size_t n, bool *ret_delta) {
    *ret_delta = n >= opt_operands(args);
    return *ret_delta ? opt_get_at(args, "delta", n - opt_operands(args)) : opt_operand(args, n);
}

static int open_delta(const struct cmd_bundle_file *file, struct unpack_delta_candidate **ret,
                      struct err *e) {
    int opened = unpack_delta_open(&file->source, ret, e);
    if (opened == UNPACK_DELTA_OPEN_NONE)
        return err_set(e, &err_bad_delta, "it is no delta; bundles are given without --delta");
    return opened;
}

// ── Without targets ──────────────────────────────────────────────────────────────────────────────

// Whatever is nothing of ours need not be sent to learn so.
static int look_at(const struct cmd_bundle_file *file, bool delta, struct err *e) {
    OWN(unpack_candidate) struct unpack_candidate *candidate = NULL;
    OWN(delta_candidate) struct unpack_delta_candidate *other = NULL;
    return delta ? open_delta(file, &other, e) : unpack_open(&file->source, &candidate, e);
}

static int upload_one(const struct cmd_context *c, struct net_client *client, const char *path,
                      bool delta, json_t **ret, bool *ret_created, struct err *e) {
    OWN(bundle_file) struct cmd_bundle_file file = CMD_BUNDLE_FILE_NONE;
    const struct cmd_source_file sent = {.file = &file, .delta = delta};
    if (cmd_bundle_open(path, &file, e) < 0 || look_at(&file, delta, e) < 0 ||
        cmd_source_send(client, c, &sent, ret, ret_created, e) < 0)
        return err_prefix(e, "publishing %s", path);
    return 0;
}

static int upload_only(const struct cmd_context *context, const struct opt_args *args,
                       struct err *e) {
    OWN(net_client) struct net_client *client = NULL;
    if (cmd_remote_open(args, &client, e) < 0)
        return -1;
    for (size_t i = 0; i < n_files(args); i++) {
        OWN(json) json_t *shown = NULL;
        bool created = false, delta = false;
        const char *path = file_at(args, i, &delta);
        if (upload_one(context, client, path, delta, &shown, &created, e) < 0)
            return -1;
        if (opt_given(args, "json"))
            cmd_print_json(shown);
        else
            print_one(shown, delta, created);
    }
    return 0;
}

// ── With targets ─────────────────────────────────────────────────────────────────────────────────

struct batch {
    struct cmd_release_edit edit;
    size_t n;
    struct repo_target targets[OPT_OPERANDS_MAX + OPT_REPEAT_MAX];
};

// What devices would refuse is not published: the limits of a delegation. Of a delta only its path
// counts.
static int judge(const json_t *delegation, const struct bundle_manifest_view *view,
                 const struct repo_target *target, const char *role, struct err *e) {
    bool delta = bundle_target_is_delta(&target->bundle);
    char path[BUNDLE_TARGET_PATH_BYTES];
    if (!repo_targets_matches(delegation, bundle_target_path(&target->bundle, path)))
        return err_set(e, &err_delegation, "the role %s is not trusted for %s", role, path);
    for (size_t i = 0; !delta && i < view->n_components; i++) {
        const struct bundle_component *component = &view->components[i];
        bool executable = component->executable || component->type == BUNDLE_COMPONENT_IMAGE;
        if (repo_targets_allows(delegation, component->name, executable, e) < 0)
            return -1;
    }
    return 0;
}

static int judge_role(const struct batch *b, const struct bundle_manifest_view *view,
                      const struct repo_target *target, struct err *e) {
    OWN(document) struct cmd_document targets = CMD_DOCUMENT_NONE;
    size_t i;
    json_t *role;
    if (strcmp(b->edit.role, "targets") == 0)
        return 0;
    struct keys_role ignored;
    if (cmd_source_current(b->edit.source, "targets", &targets, e) < 0 ||
        cmd_pending_role(targets.content, b->edit.role, &ignored, e) < 0)
        return -1;
    json_array_foreach (json_object_get(json_object_get(targets.content, "delegations"), "roles"),
                        i, role)
        if (strcmp(cmd_print_string(role, "name"), b->edit.role) == 0)
            return judge(role, view, target, b->edit.role, e);
    return 0;
}

// Uploads what was verified, and notes its target.
static int upload(struct batch *b, const struct cmd_source_file *file,
                  const struct bundle_manifest_view *view, struct slice part, struct err *e) {
    OWN(json) json_t *shown = NULL;
    struct repo_target *target = &b->targets[b->n];
    bool created = false;
    if (judge_role(b, view, target, e) < 0 ||
        cmd_source_upload(b->edit.source, file, target, part, &shown, &created, e) < 0)
        return -1;
    b->n++;
    if (!opt_given(b->edit.args, "json"))
        print_one(shown, file->delta, created);
    else if (json_array_append(json_object_get(b->edit.said, file->delta ? "deltas" : "bundles"),
                               shown) < 0)
        return err_set(e, &err_memory, "publishing: no memory");
    return 0;
}

static int publish_bundle(struct batch *b, const struct keys_root *root,
                          const struct cmd_bundle_file *file, struct err *e) {
    OWN(unpack_candidate) struct unpack_candidate *candidate = NULL;
    OWN(manifest) struct bundle_manifest *manifest = NULL;
    const struct cmd_source_file sent = {.file = file};
    struct slice part;
    if (unpack_open(&file->source, &candidate, e) < 0)
        return -1;
    struct slice raw = unpack_candidate_manifest(candidate);
    if (bundle_manifest_verify_root(raw, root, &manifest, e) < 0)
        return -1;
    const struct bundle_manifest_view *view = bundle_manifest_view(manifest);
    if (repo_target_of(raw, view, &b->targets[b->n], &part, e) < 0)
        return -1;
    return upload(b, &sent, view, part, e);
}

static int publish_delta(struct batch *b, const struct keys_root *root,
                         const struct cmd_bundle_file *file, struct err *e) {
    OWN(delta_candidate) struct unpack_delta_candidate *candidate = NULL;
    OWN(delta) struct unpack_delta *delta = NULL;
    OWN(manifest) struct bundle_manifest *manifest = NULL;
    OWN(buf) struct buf part;
    const struct cmd_source_file sent = {.file = file, .delta = true};
    struct repo_target *target = &b->targets[b->n];
    struct keys_digest head;
    struct slice borrowed;
    buf_init(&part, BUNDLE_DELTA_HEAD_MAX_BYTES);
    if (open_delta(file, &candidate, e) < 0 ||
        bundle_manifest_verify_root(unpack_delta_open_manifest(candidate), root, &manifest, e) < 0)
        return -1;
    const struct bundle_manifest_view *view = bundle_manifest_view(manifest);
    if (repo_target_of_delta(unpack_delta_open_head(candidate), view, target, &borrowed, e) < 0 ||
        buf_add(&part, borrowed.data, borrowed.len, e) < 0 ||
        keys_digest_parse(target->digest, "head", &head, e) < 0 ||
        unpack_delta_verify_digest(&candidate, root, &head, target->length, &delta, e) < 0)
        return -1;
    return upload(b, &sent, view, buf_slice(&part), e);
}

static int publish_one(struct batch *b, const char *path, bool delta, struct err *e) {
    OWN(bundle_file) struct cmd_bundle_file file = CMD_BUNDLE_FILE_NONE;
    OWN(root) struct keys_root *root = NULL;
    if (cmd_workspace_root(b->edit.workspace, &root, e) < 0 || cmd_bundle_open(path, &file, e) < 0)
        return -1;
    return delta ? publish_delta(b, root, &file, e) : publish_bundle(b, root, &file, e);
}

static int name_targets(struct batch *b, struct err *e) {
    int r = cmd_release_begin(&b->edit, e);
    while (r == CMD_RELEASE_CHANGE) {
        for (size_t i = 0; i < b->n; i++) {
            int added = repo_targets_add(b->edit.content, &b->targets[i], e);
            if (added < 0)
                return -1;
            b->edit.changed = b->edit.changed || added == 0;
        }
        r = cmd_release_put(&b->edit, e);
    }
    return r;
}

static int publish_all(struct batch *b, struct err *e) {
    b->edit.said = json_pack("{s:[], s:[]}", "bundles", "deltas");
    if (cmd_source_refresh(b->edit.source, e) < 0)
        return -1;
    for (size_t i = 0; i < n_files(b->edit.args); i++) {
        bool delta = false;
        const char *path = file_at(b->edit.args, i, &delta);
        if (publish_one(b, path, delta, e) < 0)
            return err_prefix(e, "publishing %s", path);
    }
    return name_targets(b, e);
}

// A workspace whose root knows no targets is from before there were any: its devices ask for none.
static int has_targets(const char *workspace, bool *ret, struct err *e) {
    OWN(root) struct keys_root *root = NULL;
    if (cmd_workspace_root(workspace, &root, e) < 0)
        return -1;
    *ret = keys_root_role(root, KEYS_ROOT_ROLE_TARGETS)->n_keys > 0;
    return 0;
}

static int publish(struct batch *b, const struct cmd_context *context, const struct opt_args *args,
                   struct err *e) {
    const char *workspace = opt_get(args, "workspace");
    const char *metadata = opt_get(args, "metadata");
    bool named = false;
    if (metadata ? n_files(args) > 0 : n_files(args) == 0)
        return err_set(e, &err_usage,
                       "publish what? Give bundles, --delta FILE, or --metadata FILE alone");
    if (!metadata && opt_given(args, "upload-only"))
        return upload_only(context, args, e);
    if (!metadata && workspace && has_targets(workspace, &named, e) < 0)
        return -1;
    if (!metadata && !named) {
        if (upload_only(context, args, e) < 0)
            return -1;
        (void)fprintf(stderr, "edgectl: the targets do not name these bundles: %s\n",
                      workspace ? "the root has no role targets"
                                : "no --workspace with a key for that was given");
        return 0;
    }
    if (cmd_release_open(&b->edit, context, args, e) < 0)
        return -1;
    return metadata ? cmd_release_finish(&b->edit, metadata, e) : publish_all(b, e);
}

int cmd_release_publish(void *context, const struct opt_args *args, struct err *e) {
    struct batch *b = calloc(1, sizeof *b);
    if (!b)
        return err_set(e, &err_memory, "publishing: no memory");
    int r = publish(b, context, args, e);
    cmd_release_close(&b->edit);
    free(b);
    return r;
}
