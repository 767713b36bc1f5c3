// SPDX-License-Identifier: Apache-2.0
//
// Looking at devices: list, show, why.
#include "ctl/cmd/device.h"

#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/remote.h"

#define PAGE    "500"
#define REPORTS 10 // shown of a device; --json has all

const struct opt cmd_device_list_options[] = {
    {.name = "selector", .value = "PREDICATE", .help = "Only devices whose facts and labels fit"},
    {.name = "state",
     .value = "STATE",
     .help = "Only in this state: pending, accepted, rejected, retired, replacing"},
    CMD_REMOTE_OPTIONS,
    CMD_OPTION_JSON,
    CMD_OPTION_END};
const struct opt cmd_device_show_options[] = {CMD_REMOTE_OPTIONS, CMD_OPTION_JSON, CMD_OPTION_END};

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "device: no memory");
}

// "detector 1.1, firmware 1.0", by the components' own names.
static int add_components(struct cmd_print_table *table, const json_t *device, struct err *e) {
    OWN(buf) struct buf text;
    const char *name;
    json_t *component;
    buf_init(&text, 1024);
    json_object_foreach (json_object_get(device, "components"), name, component)
        if (buf_add_format(&text, e, "%s%s %s", text.len ? ", " : "", name,
                           cmd_print_string(component, "version")) < 0)
            return -1;
    return cmd_print_cell(table, buf_text(&text), e);
}

static int add_row(struct cmd_print_table *table, const json_t *device, struct err *e) {
    const json_t *why = json_object_get(device, "why");
    bool clone = json_is_string(json_object_get(device, "clone"));
    if (cmd_print_cell(table, cmd_print_string(device, "id"), e) < 0 ||
        cmd_print_cell(table, clone ? "CLONED" : cmd_print_string(device, "state"), e) < 0 ||
        cmd_print_cell(table, cmd_print_string(device, "agent_state"), e) < 0 ||
        add_components(table, device, e) < 0 ||
        cmd_print_cell(table, cmd_print_string(device, "seen"), e) < 0)
        return -1;
    return cmd_print_cell(table, cmd_print_string(why, "code"), e);
}

static int get_page(struct net_client *client, const struct opt_args *args, const char *after,
                    json_t **ret, struct err *e) {
    OWN(buf) struct buf path;
    const char *selector = opt_get(args, "selector");
    const char *state = opt_get(args, "state");
    buf_init(&path, CMD_REMOTE_PATH_MAX);
    if (cmd_remote_path(&path, e, "devices") < 0 ||
        net_client_add_query(&path, "limit", PAGE, e) < 0 ||
        (after && net_client_add_query(&path, "after", after, e) < 0) ||
        (selector && net_client_add_query(&path, "selector", selector, e) < 0) ||
        (state && net_client_add_query(&path, "state", state, e) < 0))
        return -1;
    return net_client_get(client, buf_text(&path), ret, e);
}

static int print_page(const json_t *devices, struct err *e) {
    static const char *const titles[] = {"DEVICE", "STATE", "AGENT", "COMPONENTS", "SEEN", "WHY"};
    OWN(print_table) struct cmd_print_table table = CMD_PRINT_TABLE_NONE;
    size_t i;
    json_t *device;
    if (cmd_print_begin(&table, 6, titles, e) < 0)
        return -1;
    json_array_foreach (devices, i, device)
        if (add_row(&table, device, e) < 0)
            return -1;
    cmd_print_end(&table);
    return 0;
}

// One document however many pages there are.
static int print_json(const json_t *devices, struct err *e) {
    OWN(json) json_t *said = json_pack("{s:O}", "devices", devices);
    if (!said)
        return no_memory(e);
    cmd_print_json(said);
    return 0;
}

int cmd_device_list(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    OWN(net_client) struct net_client *client = NULL;
    OWN(json) json_t *all = json_array();
    OWN(json) json_t *page = NULL;
    const char *next = NULL;
    if (!all)
        return no_memory(e);
    if (cmd_remote_open(args, &client, e) < 0)
        return -1;
    do {
        json_t *answer = NULL;
        if (get_page(client, args, next, &answer, e) < 0)
            return -1;
        json_decref(page);
        page = answer;
        const json_t *devices = json_object_get(page, "devices");
        next = json_string_value(json_object_get(page, "next"));
        if (json_array_extend(all, (json_t *)devices) < 0)
            return err_set(e, &err_memory, "listing devices: no memory, or no list in the answer");
        // A page that names a successor and is empty would go on for ever.
        if (json_array_size(devices) == 0)
            next = NULL;
    } while (next);
    return opt_given(args, "json") ? print_json(all, e) : print_page(all, e);
}

static int get_device(const struct opt_args *args, const char *pattern, json_t **ret,
                      struct err *e) {
    OWN(buf) struct buf path;
    const char *id = opt_operand(args, 0);
    buf_init(&path, CMD_REMOTE_PATH_MAX);
    if (cmd_remote_path(&path, e, pattern, id) < 0 ||
        cmd_remote_get(args, buf_text(&path), ret, e) < 0)
        return err_prefix(e, "device %.80s", id);
    return 0;
}

static void print_value(const char *indent, const char *name, const json_t *value) {
    (void)fputs(indent, stdout);
    cmd_print_text(name);
    (void)fputs(" = ", stdout);
    OWN(mem)
    char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    cmd_print_text(text ? text : json_string_value(value) ? json_string_value(value) : "");
    (void)putchar('\n');
}

static void print_members(const char *title, const json_t *object) {
    const char *name;
    json_t *value;
    if (json_object_size(object) == 0)
        return;
    (void)printf("%s:\n", title);
    json_object_foreach ((json_t *)object, name, value)
        print_value("  ", name, value);
}

static void print_release(const char *title, const json_t *release) {
    char text[256];
    if (!json_is_object(release))
        return;
    (void)snprintf(text, sizeof text, "%s %s", cmd_print_string(release, "name"),
                   cmd_print_string(release, "version"));
    cmd_print_field(title, text);
}

static void print_why(const char *title, const json_t *why) {
    char text[1024];
    const char *code = cmd_print_string(why, "code");
    if (!*code)
        return;
    (void)snprintf(text, sizeof text, "%s (%s)", cmd_print_string(why, "text"), code);
    cmd_print_field(title, text);
}

static void print_components(const json_t *device) {
    const char *name;
    json_t *component;
    json_object_foreach (json_object_get(device, "components"), name, component) {
        (void)fputs("  ", stdout);
        cmd_print_text(name);
        (void)fputs(": ", stdout);
        cmd_print_text(cmd_print_string(component, "name"));
        (void)putchar(' ');
        cmd_print_text(cmd_print_string(component, "version"));
        (void)printf(" (security version %lld)\n",
                     (long long)cmd_print_integer(component, "security_version"));
    }
}

static void print_report(const json_t *report) {
    const char *detail = cmd_print_string(report, "detail");
    (void)fputs("  ", stdout);
    cmd_print_text(cmd_print_string(report, "received"));
    (void)putchar(' ');
    cmd_print_text(cmd_print_string(report, "event"));
    (void)putchar(' ');
    cmd_print_text(cmd_print_string(report, "text"));
    (void)putchar('\n');
    while (*detail) {
        size_t len = strcspn(detail, "\n");
        OWN(mem) char *line = strndup(detail, len);
        (void)fputs("      ", stdout);
        cmd_print_text(line ? line : "");
        (void)putchar('\n');
        detail += len + (detail[len] == '\n');
    }
}

static void print_device(const json_t *answer) {
    const json_t *device = json_object_get(answer, "device");
    const json_t *reports = json_object_get(answer, "reports");
    const json_t *update = json_object_get(answer, "last_update");
    char text[64], bytes[CMD_PRINT_BYTES_TEXT];
    cmd_print_field("device", cmd_print_string(device, "id"));
    cmd_print_field("state", cmd_print_string(device, "state"));
    cmd_print_field("agent", cmd_print_string(device, "agent"));
    cmd_print_field("agent state", cmd_print_string(device, "agent_state"));
    cmd_print_field("seen", cmd_print_string(device, "seen"));
    cmd_print_field("cloned", cmd_print_string(device, "clone"));
    cmd_print_field("key", cmd_print_string(answer, "key"));
    if (json_is_true(json_object_get(device, "held")))
        cmd_print_field("held", "yes: it is offered nothing");
    print_release("pinned to", json_object_get(device, "pin"));
    print_why("why", json_object_get(device, "why"));
    (void)snprintf(text, sizeof text, "%lld", (long long)cmd_print_integer(device, "generation"));
    cmd_print_field("generation", text);
    print_components(device);
    cmd_print_field("last update", cmd_print_bytes(json_object_get(update, "bytes"), bytes));
    print_members("labels", json_object_get(device, "labels"));
    print_members("facts", json_object_get(answer, "facts"));
    print_members("metrics", json_object_get(answer, "metrics"));
    size_t n = json_array_size(reports);
    if (n > 0)
        (void)puts("reports, the newest first:");
    for (size_t i = 0; i < n && i < REPORTS; i++)
        print_report(json_array_get(reports, i));
}

int cmd_device_show(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    OWN(json) json_t *answer = NULL;
    if (get_device(args, "devices/%", &answer, e) < 0)
        return -1;
    if (opt_given(args, "json"))
        cmd_print_json(answer);
    else
        print_device(answer);
    return 0;
}

// What each rollout that goes on means for the device, where there is more to say than above.
static void print_rollouts(const json_t *answer) {
    const json_t *controller = json_object_get(answer, "controller");
    size_t i = 0;
    json_t *row = NULL;
    json_array_foreach (json_object_get(answer, "rollouts"), i, row) {
        const json_t *why = json_object_get(row, "why");
        char title[128];
        if (strcmp(cmd_print_string(why, "text"), cmd_print_string(controller, "text")) == 0)
            continue;
        (void)snprintf(title, sizeof title, "rollout %.64s", cmd_print_string(row, "rollout"));
        print_why(title, why);
    }
}

// The answer first, then who says so: most people need the first line alone.
int cmd_device_why(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    OWN(json) json_t *answer = NULL;
    if (get_device(args, "devices/%/why", &answer, e) < 0)
        return -1;
    if (opt_given(args, "json")) {
        cmd_print_json(answer);
        return 0;
    }
    const json_t *failure = json_object_get(answer, "last_failure");
    cmd_print_text(cmd_print_string(answer, "summary")); // begins with the device's id
    (void)putchar('\n');
    const json_t *controller = json_object_get(answer, "controller");
    if (!strstr(cmd_print_string(answer, "summary"), cmd_print_string(controller, "text")))
        print_why("controller", controller); // it has more to say than the first line
    print_rollouts(answer);
    print_why("agent", json_object_get(answer, "agent"));
    cmd_print_field("agent state", cmd_print_string(answer, "agent_state"));
    if (json_is_object(failure)) {
        (void)puts("last failure:");
        print_report(failure);
    }
    return 0;
}
