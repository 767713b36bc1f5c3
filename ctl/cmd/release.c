// SPDX-License-Identifier: Apache-2.0
//
// `edgectl release`: bundles at the controller.
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/num.h"
#include "base/own.h"
#include "ctl/cmd/bundle.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/remote.h"
#include "ctl/term.h"

static const struct opt publish_options[] = {CMD_REMOTE_OPTIONS, CMD_OPTION_JSON, CMD_OPTION_END};
static const struct opt list_options[] = {
    {.name = "name", .value = "NAME", .help = "Only releases of this name"},
    CMD_REMOTE_OPTIONS,
    CMD_OPTION_JSON,
    CMD_OPTION_END};

static void on_progress(void *context, uint64_t done, uint64_t total) {
    ctl_term_progress_update(context, "uploading", done, total);
}

static int publish_one(const struct cmd_context *c, struct net_client *client, const char *path,
                       json_t **ret, struct err *e) {
    OWN(bundle_file) struct cmd_bundle_file file = CMD_BUNDLE_FILE_NONE;
    OWN(unpack_candidate) struct unpack_candidate *candidate = NULL;
    struct ctl_term_progress progress;
    // Whatever is no bundle need not be sent to learn so.
    if (cmd_bundle_open(path, &file, e) < 0 || unpack_open(&file.source, &candidate, e) < 0)
        return err_prefix(e, "publishing %s", path);
    struct net_client_upload upload = {
        .fd = file.fd, .size = file.state.size, .progress = on_progress, .context = &progress};
    ctl_term_progress_init(&progress, c->clock);
    int r = net_client_upload(client, "/api/v1/releases", &upload, ret, e);
    ctl_term_progress_end(&progress);
    return r < 0 ? err_prefix(e, "publishing %s", path) : r;
}

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

static int run_publish(void *context, const struct opt_args *args, struct err *e) {
    OWN(net_client) struct net_client *client = NULL;
    if (cmd_remote_open(args, &client, e) < 0)
        return -1;
    for (size_t i = 0; i < opt_operands(args); i++) {
        OWN(json) json_t *bundle = NULL;
        int r = publish_one(context, client, opt_operand(args, i), &bundle, e);
        if (r < 0)
            return -1;
        if (opt_given(args, "json"))
            cmd_print_json(bundle);
        else
            print_published(bundle, r == NET_CLIENT_CREATED);
    }
    return 0;
}

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
     .operands = "FILE…",
     .operands_min = 1,
     .operands_max = OPT_OPERANDS_MAX,
     .help = "Upload bundles to the controller; what is there already is left alone",
     .options = publish_options,
     .run = run_publish},
    {.name = "release list",
     .operands = "",
     .help = "List what was published",
     .options = list_options,
     .run = run_list},
    {.name = NULL}};
