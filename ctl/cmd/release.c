// SPDX-License-Identifier: Apache-2.0
//
// `edgectl release`: bundles at the controller, and the targets that name them.
#include "ctl/cmd/release.h"

#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/num.h"
#include "base/own.h"
#include "ctl/cmd/bundle.h"
#include "ctl/cmd/pending.h"
#include "ctl/cmd/print.h"
#include "ctl/repo/targets.h"
#include "keys/kind.h"

static const struct opt publish_options[] = {
    CMD_RELEASE_EDIT_OPTIONS,
    CMD_RELEASE_ROLE_OPTION,
    {.name = "metadata",
     .value = "FILE",
     .help = "Publish this targets file, which others have signed; no bundles"},
    {.name = "upload-only", .help = "Upload, and leave the targets as they are"},
    CMD_OPTION_JSON,
    CMD_OPTION_END};
static const struct opt list_options[] = {
    {.name = "name", .value = "NAME", .help = "Only releases of this name"},
    CMD_REMOTE_OPTIONS,
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

// ── Without targets ──────────────────────────────────────────────────────────────────────────────

static int upload_one(const struct cmd_context *c, struct net_client *client, const char *path,
                      json_t **ret, bool *ret_created, struct err *e) {
    OWN(bundle_file) struct cmd_bundle_file file = CMD_BUNDLE_FILE_NONE;
    OWN(unpack_candidate) struct unpack_candidate *candidate = NULL;
    // Whatever is no bundle need not be sent to learn so.
    if (cmd_bundle_open(path, &file, e) < 0 || unpack_open(&file.source, &candidate, e) < 0 ||
        cmd_source_send(client, c, &file, ret, ret_created, e) < 0)
        return err_prefix(e, "publishing %s", path);
    return 0;
}

static int upload_only(const struct cmd_context *context, const struct opt_args *args,
                       struct err *e) {
    OWN(net_client) struct net_client *client = NULL;
    if (cmd_remote_open(args, &client, e) < 0)
        return -1;
    for (size_t i = 0; i < opt_operands(args); i++) {
        OWN(json) json_t *bundle = NULL;
        bool created = false;
        if (upload_one(context, client, opt_operand(args, i), &bundle, &created, e) < 0)
            return -1;
        if (opt_given(args, "json"))
            cmd_print_json(bundle);
        else
            print_published(bundle, created);
    }
    return 0;
}

// ── With targets ─────────────────────────────────────────────────────────────────────────────────

struct batch {
    struct cmd_release_edit edit;
    size_t n;
    struct repo_target targets[OPT_OPERANDS_MAX];
};

// What devices would refuse is not published: the limits of a delegation.
static int judge(const json_t *delegation, const struct bundle_manifest_view *view,
                 const struct repo_target *target, const char *role, struct err *e) {
    char path[BUNDLE_TARGET_PATH_BYTES];
    if (!repo_targets_matches(delegation, bundle_target_path(&target->bundle, path)))
        return err_set(e, &err_delegation, "the role %s is not trusted for %s", role, path);
    for (size_t i = 0; i < view->n_components; i++) {
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

static int publish_one(struct batch *b, const char *path, struct err *e) {
    OWN(bundle_file) struct cmd_bundle_file file = CMD_BUNDLE_FILE_NONE;
    OWN(unpack_candidate) struct unpack_candidate *candidate = NULL;
    OWN(root) struct keys_root *root = NULL;
    OWN(manifest) struct bundle_manifest *manifest = NULL;
    OWN(json) json_t *bundle = NULL;
    struct repo_target *target = &b->targets[b->n];
    struct slice part;
    bool created = false;
    if (cmd_workspace_root(b->edit.workspace, &root, e) < 0 ||
        cmd_bundle_open(path, &file, e) < 0 || unpack_open(&file.source, &candidate, e) < 0)
        return -1;
    struct slice raw = unpack_candidate_manifest(candidate);
    if (bundle_manifest_verify_root(raw, root, &manifest, e) < 0)
        return -1;
    const struct bundle_manifest_view *view = bundle_manifest_view(manifest);
    if (repo_target_of(raw, view, target, &part, e) < 0 || judge_role(b, view, target, e) < 0 ||
        cmd_source_upload(b->edit.source, &file, target, part, &bundle, &created, e) < 0)
        return -1;
    b->n++;
    if (!opt_given(b->edit.args, "json"))
        print_published(bundle, created);
    else if (json_array_append(json_object_get(b->edit.said, "bundles"), bundle) < 0)
        return err_set(e, &err_memory, "publishing: no memory");
    return 0;
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
    b->edit.said = json_pack("{s:[]}", "bundles");
    if (cmd_source_refresh(b->edit.source, e) < 0)
        return -1;
    for (size_t i = 0; i < opt_operands(b->edit.args); i++)
        if (publish_one(b, opt_operand(b->edit.args, i), e) < 0)
            return err_prefix(e, "publishing %s", opt_operand(b->edit.args, i));
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
    if (metadata ? opt_operands(args) > 0 : opt_operands(args) == 0)
        return err_set(e, &err_usage, "publish what? Give bundles, or --metadata FILE alone");
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

static int run_publish(void *context, const struct opt_args *args, struct err *e) {
    struct batch *b = calloc(1, sizeof *b);
    if (!b)
        return err_set(e, &err_memory, "publishing: no memory");
    int r = publish(b, context, args, e);
    cmd_release_close(&b->edit);
    free(b);
    return r;
}

// ── What is there ────────────────────────────────────────────────────────────────────────────────

static int print_bundles(struct cmd_print_table *table, const json_t *release, struct err *e) {
    size_t i;
    json_t *bundle;
    char size[NUM_SIZE_TEXT];
    json_array_foreach (json_object_get(release, "bundles"), i, bundle) {
        num_format_size((uint64_t)cmd_print_integer(bundle, "size"), size);
        if (cmd_print_cell(table, cmd_print_string(release, "name"), e) < 0 ||
            cmd_print_cell(table, cmd_print_string(release, "version"), e) < 0 ||
            cmd_print_cell(table, cmd_print_string(bundle, "variant"), e) < 0 ||
            cmd_print_cell(table, size, e) < 0 ||
            cmd_print_cell(table, cmd_print_string(bundle, "published"), e) < 0 ||
            cmd_print_cell(table, cmd_print_string(bundle, "by"), e) < 0 ||
            cmd_print_cell_format(table, e, "%.16s", cmd_print_string(bundle, "id")) < 0)
            return -1;
    }
    return 0;
}

static int run_list(void *context, const struct opt_args *args, struct err *e) {
    static const char *const titles[] = {"NAME",      "VERSION", "VARIANT",  "SIZE",
                                         "PUBLISHED", "BY",      "BUNDLE ID"};
    (void)context;
    OWN(print_table) struct cmd_print_table table = CMD_PRINT_TABLE_NONE;
    OWN(json) json_t *answer = NULL;
    OWN(buf) struct buf path;
    size_t i;
    json_t *release;
    buf_init(&path, CMD_REMOTE_PATH_MAX);
    if (cmd_remote_path(&path, e, "releases") < 0 ||
        (opt_given(args, "name") &&
         net_client_add_query(&path, "name", opt_get(args, "name"), e) < 0) ||
        cmd_remote_get(args, buf_text(&path), &answer, e) < 0)
        return -1;
    if (opt_given(args, "json")) {
        cmd_print_json(answer);
        return 0;
    }
    if (cmd_print_begin(&table, 7, titles, e) < 0)
        return -1;
    json_array_foreach (json_object_get(answer, "releases"), i, release)
        if (print_bundles(&table, release, e) < 0)
            return -1;
    cmd_print_end(&table);
    return 0;
}

const struct opt_command cmd_release[] = {
    {.name = "release publish",
     .operands = "[FILE…]",
     .operands_max = OPT_OPERANDS_MAX,
     .help = "Upload bundles, and name them in the targets; what is there already is left alone",
     .options = publish_options,
     .run = run_publish},
    {.name = "release list",
     .operands = "",
     .help = "List what was published",
     .options = list_options,
     .run = run_list},
    {.name = "release floor",
     .operands = "[COMPONENT=N…]",
     .operands_max = OPT_OPERANDS_MAX,
     .help = "Raise security versions below which no device installs or goes back",
     .options = cmd_release_floor_options,
     .run = cmd_release_floor},
    {.name = "release withdraw",
     .operands = "NAME VERSION",
     .operands_min = 2,
     .operands_max = 2,
     .help = "Take a release out of the targets: no device installs it any more",
     .options = cmd_release_edit_options,
     .run = cmd_release_withdraw},
    {.name = "release delegate",
     .operands = "NAME",
     .operands_min = 1,
     .operands_max = 1,
     .help = "Let other keys publish some targets, within limits",
     .options = cmd_release_delegate_options,
     .run = cmd_release_delegate},
    {.name = "release undelegate",
     .operands = "NAME",
     .operands_min = 1,
     .operands_max = 1,
     .help = "End a delegation",
     .options = cmd_release_top_options,
     .run = cmd_release_undelegate},
    {.name = "release renew",
     .operands = "",
     .help = "Sign the current targets anew: a later expiry, other keys, or after a backup",
     .options = cmd_release_renew_options,
     .run = cmd_release_renew},
    {.name = NULL}};
