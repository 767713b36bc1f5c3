// SPDX-License-Identifier: Apache-2.0
//
// `edgectl release`: what was published, and the table of its verbs.
#include "ctl/cmd/release.h"

#include <stdio.h>

#include "base/num.h"
#include "base/own.h"
#include "ctl/cmd/print.h"

static const struct opt list_options[] = {
    {.name = "name", .value = "NAME", .help = "Only releases of this name"},
    CMD_REMOTE_OPTIONS,
    CMD_OPTION_JSON,
    CMD_OPTION_END};

// A delta stands below the bundle that it leads to.
static int print_deltas(struct cmd_print_table *table, const json_t *bundle, struct err *e) {
    size_t i;
    json_t *delta;
    char size[NUM_SIZE_TEXT];
    json_array_foreach (json_object_get(bundle, "deltas"), i, delta) {
        const json_t *from = json_object_get(delta, "base_release");
        num_format_size((uint64_t)cmd_print_integer(delta, "size"), size);
        if (cmd_print_cell(table, "", e) < 0 || cmd_print_cell(table, "", e) < 0 ||
            cmd_print_cell_format(
                table, e, "delta from %s %s%s", cmd_print_string(from, "name"),
                cmd_print_string(from, "version"),
                json_is_true(json_object_get(delta, "named")) ? "" : " (not in the targets)") < 0 ||
            cmd_print_cell(table, size, e) < 0 ||
            cmd_print_cell(table, cmd_print_string(delta, "published"), e) < 0 ||
            cmd_print_cell(table, cmd_print_string(delta, "by"), e) < 0 ||
            cmd_print_cell_format(table, e, "%.16s", cmd_print_string(delta, "base")) < 0)
            return -1;
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
            cmd_print_cell_format(table, e, "%.16s", cmd_print_string(bundle, "id")) < 0 ||
            print_deltas(table, bundle, e) < 0)
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
     .help = "Upload bundles and deltas, and name them in the targets; what is there is left alone",
     .options = cmd_release_publish_options,
     .run = cmd_release_publish},
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
