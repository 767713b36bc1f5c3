// SPDX-License-Identifier: Apache-2.0
//
// `edgectl token`: for devices that enrol, and for people and CI.
#include <stdio.h>

#include "base/num.h"
#include "base/own.h"
#include "ctl/cmd/nouns.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/remote.h"

#define EXPIRES_MAX_S (10ULL * 366 * 86400)
#define USES_MAX      100000000ULL

static const struct opt create_options[] = {
    {.name = "enroll", .help = "A token with which devices enrol"},
    {.name = "role",
     .value = "ROLE",
     .help = "A token for a person or CI: viewer, publisher, deployer, operator, admin"},
    {.name = "name",
     .value = "NAME",
     .help = "Whose it is, in lists and in the audit log (default: the role)"},
    {.name = "selector", .value = "PREDICATE", .help = "With --role: only these devices"},
    {.name = "uses", .value = "N", .help = "With --enroll: how many devices"},
    {.name = "label",
     .repeat = true,
     .value = "KEY=VALUE",
     .help = "With --enroll: a label for each device"},
    {.name = "serial",
     .repeat = true,
     .value = "ID",
     .help = "With --enroll: only a device with this id"},
    {.name = "expires", .value = "TIME", .help = "How long it is valid: 90, 15m, 2h, 30d"},
    CMD_REMOTE_OPTIONS,
    CMD_OPTION_JSON,
    CMD_OPTION_END};
static const struct opt other_options[] = {CMD_REMOTE_OPTIONS, CMD_OPTION_JSON, CMD_OPTION_END};

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "token: no memory");
}

static int add_text(json_t *body, const char *key, const char *text, struct err *e) {
    if (text && json_object_set_new(body, key, json_string(text)) < 0)
        return err_set(e, &err_usage, "--%s: not UTF-8", key);
    return 0;
}

static int add_labels(json_t *body, const struct opt_args *args, struct err *e) {
    size_t n = opt_count(args, "label");
    json_t *labels = json_object();
    if (n == 0) {
        json_decref(labels);
        return 0;
    }
    if (json_object_set_new(body, "labels", labels) < 0)
        return no_memory(e);
    for (size_t i = 0; i < n; i++)
        if (cmd_remote_label("--label", opt_get_at(args, "label", i), labels, e) < 0)
            return -1;
    return 0;
}

static int add_serials(json_t *body, const struct opt_args *args, struct err *e) {
    size_t n = opt_count(args, "serial");
    json_t *serials = n > 0 ? json_array() : NULL;
    if (n == 0)
        return 0;
    if (json_object_set_new(body, "serials", serials) < 0)
        return no_memory(e);
    for (size_t i = 0; i < n; i++)
        if (json_array_append_new(serials, json_string(opt_get_at(args, "serial", i))) < 0)
            return err_set(e, &err_usage, "--serial: not UTF-8");
    return 0;
}

static int add_number(json_t *body, const char *key, uint64_t value, struct err *e) {
    if (json_object_set_new(body, key, json_integer((json_int_t)value)) < 0)
        return no_memory(e);
    return 0;
}

// An option of the other kind of token must not be passed over in silence.
static int check_kind(const struct opt_args *args, struct err *e) {
    static const char *const enroll_only[] = {"uses", "label", "serial"};
    bool enroll = opt_given(args, "enroll");
    if (enroll == opt_given(args, "role"))
        return err_set(e, &err_usage,
                       "token create: for whom? Give --enroll for devices, or --role "
                       "ROLE for a person or CI");
    for (size_t i = 0; !enroll && i < sizeof enroll_only / sizeof enroll_only[0]; i++)
        if (opt_given(args, enroll_only[i]))
            return err_set(e, &err_usage, "--%s goes with --enroll", enroll_only[i]);
    if (enroll && opt_given(args, "selector"))
        return err_set(e, &err_usage, "--selector goes with --role");
    return 0;
}

static int make_body(const struct opt_args *args, json_t *body, struct err *e) {
    const char *uses = opt_get(args, "uses");
    const char *expires = opt_get(args, "expires");
    const char *role = opt_get(args, "role");
    // The audit log needs a name for who acted; a token for one purpose can go by its role.
    const char *name = opt_given(args, "name") ? opt_get(args, "name") : role;
    uint64_t value = 0;
    if (check_kind(args, e) < 0 ||
        add_text(body, "kind", opt_given(args, "enroll") ? "enroll" : "operator", e) < 0 ||
        add_text(body, "role", role, e) < 0 || add_text(body, "name", name, e) < 0 ||
        add_text(body, "selector", opt_get(args, "selector"), e) < 0 ||
        add_labels(body, args, e) < 0 || add_serials(body, args, e) < 0)
        return -1;
    if (uses && (num_parse_u64(uses, "--uses", 1, USES_MAX, &value, e) < 0 ||
                 add_number(body, "max_uses", value, e) < 0))
        return -1;
    if (expires && (num_parse_seconds(expires, "--expires", EXPIRES_MAX_S, &value, e) < 0 ||
                    add_number(body, "expires_in_s", value, e) < 0))
        return -1;
    return 0;
}

static int run_create(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    OWN(net_client) struct net_client *client = NULL;
    OWN(json) json_t *body = json_object();
    OWN(json) json_t *answer = NULL;
    if (!body)
        return no_memory(e);
    if (make_body(args, body, e) < 0 || cmd_remote_open(args, &client, e) < 0)
        return -1;
    if (net_client_post(client, "/api/v1/tokens", body, &answer, e) < 0)
        return err_prefix(e, "making a token");
    if (opt_given(args, "json"))
        cmd_print_json(answer);
    else // alone, so that a script can capture it
        (void)printf("%s\n", cmd_print_string(answer, "secret"));
    return 0;
}

static int print_row(struct cmd_print_table *table, const json_t *token, struct err *e) {
    const char *role = cmd_print_string(token, "role");
    bool revoked = json_is_string(json_object_get(token, "revoked"));
    json_int_t max = cmd_print_integer(token, "max_uses");
    if (cmd_print_cell(table, cmd_print_string(token, "id"), e) < 0 ||
        cmd_print_cell(table, cmd_print_string(token, "name"), e) < 0 ||
        cmd_print_cell(table, *role ? role : cmd_print_string(token, "kind"), e) < 0 ||
        cmd_print_cell(table, cmd_print_string(token, "selector"), e) < 0)
        return -1;
    int r =
        max > 0
            ? cmd_print_cell_format(table, e, "%lld of %lld",
                                    (long long)cmd_print_integer(token, "uses"), (long long)max)
            : cmd_print_cell_format(table, e, "%lld", (long long)cmd_print_integer(token, "uses"));
    if (r < 0)
        return -1;
    return cmd_print_cell(table, revoked ? "revoked" : cmd_print_string(token, "expires"), e);
}

static int run_list(void *context, const struct opt_args *args, struct err *e) {
    static const char *const titles[] = {"ID", "NAME", "FOR", "SELECTOR", "USED", "EXPIRES"};
    (void)context;
    OWN(print_table) struct cmd_print_table table = CMD_PRINT_TABLE_NONE;
    OWN(json) json_t *answer = NULL;
    size_t i;
    json_t *token;
    if (cmd_remote_get(args, "/api/v1/tokens", &answer, e) < 0)
        return -1;
    if (opt_given(args, "json")) {
        cmd_print_json(answer);
        return 0;
    }
    if (cmd_print_begin(&table, 6, titles, e) < 0)
        return -1;
    json_array_foreach (json_object_get(answer, "tokens"), i, token)
        if (print_row(&table, token, e) < 0)
            return -1;
    cmd_print_end(&table);
    return 0;
}

static int run_revoke(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    OWN(net_client) struct net_client *client = NULL;
    if (cmd_remote_open(args, &client, e) < 0)
        return -1;
    for (size_t i = 0; i < opt_operands(args); i++) {
        OWN(json) json_t *answer = NULL;
        OWN(buf) struct buf path;
        buf_init(&path, CMD_REMOTE_PATH_MAX);
        if (cmd_remote_path(&path, e, "tokens/%", opt_operand(args, i)) < 0 ||
            net_client_delete(client, buf_text(&path), &answer, e) < 0)
            return err_prefix(e, "revoking the token %.80s", opt_operand(args, i));
        if (opt_given(args, "json"))
            cmd_print_json(answer);
        else
            (void)printf("revoked %s\n", opt_operand(args, i));
    }
    return 0;
}

const struct opt_command cmd_token[] = {{.name = "token create",
                                         .operands = "",
                                         .help = "Make a token and print it, this once",
                                         .options = create_options,
                                         .run = run_create},
                                        {.name = "token list",
                                         .operands = "",
                                         .help = "List tokens, without their secrets",
                                         .options = other_options,
                                         .run = run_list},
                                        {.name = "token revoke",
                                         .operands = "ID…",
                                         .operands_min = 1,
                                         .operands_max = OPT_OPERANDS_MAX,
                                         .help = "End tokens at once",
                                         .options = other_options,
                                         .run = run_revoke},
                                        {.name = NULL}};
