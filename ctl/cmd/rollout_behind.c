// SPDX-License-Identifier: Apache-2.0
//
// Page after page, up to what was asked for.
#include "ctl/cmd/rollout_behind.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/own.h"
#include "base/text.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/remote.h"

#define PAGE          1000 // as the controller has it
#define LIMIT_DEFAULT 100
#define LIMIT_MAX     1000000
#define SHOWN_BYTES   600

const struct opt cmd_rollout_behind_options[] = {
    {.name = "limit", .value = "N", .help = "At most so many devices (default 100)"},
    CMD_REMOTE_OPTIONS,
    CMD_OPTION_JSON,
    CMD_OPTION_END};

static int get_page(struct net_client *client, const char *name, const char *after, uint64_t n,
                    json_t **ret, struct err *e) {
    OWN(buf) struct buf path;
    char limit[32];
    buf_init(&path, CMD_REMOTE_PATH_MAX);
    (void)snprintf(limit, sizeof limit, "%llu", (unsigned long long)n);
    if (cmd_remote_path(&path, e, "rollouts/%/failures", name) < 0 ||
        net_client_add_query(&path, "limit", limit, e) < 0 ||
        (*after != '\0' && net_client_add_query(&path, "after", after, e) < 0))
        return -1;
    return net_client_get(client, buf_text(&path), ret, e);
}

// The first page with the devices of those behind it.
static int get_all(struct net_client *client, const char *name, uint64_t limit, json_t **ret,
                   struct err *e) {
    OWN(json) json_t *all = NULL;
    if (get_page(client, name, "", limit < PAGE ? limit : PAGE, &all, e) < 0)
        return -1;
    json_t *devices = json_object_get(all, "devices");
    for (;;) {
        size_t n = json_array_size(devices);
        OWN(json) json_t *more = NULL;
        const char *next = cmd_print_string(all, "next");
        if (*next == '\0' || n >= limit)
            break;
        uint64_t left = limit - n;
        if (get_page(client, name, next, left < PAGE ? left : PAGE, &more, e) < 0)
            return -1;
        json_t *rest = json_object_get(more, "devices");
        if (json_array_size(rest) == 0 || json_array_extend(devices, rest) < 0 ||
            json_object_set(all, "next", json_object_get(more, "next")) < 0)
            return err_set(e, &err_memory, "listing devices: out of memory, or an empty page");
    }
    *ret = own_take(&all);
    return 0;
}

struct counts {
    long long failed, told, unheard;
};

static struct counts counts_of(const json_t *answer) {
    const json_t *counts = json_object_get(answer, "counts");
    const struct counts n = {.failed = (long long)cmd_print_integer(counts, "failed"),
                             .told = (long long)cmd_print_integer(counts, "told"),
                             .unheard = (long long)cmd_print_integer(counts, "unheard")};
    return n;
}

static void say_counts(const struct counts *n) {
    (void)printf("%lld devices could not go back, %lld said nothing since they were told, "
                 "%lld have not called since",
                 n->failed, n->told, n->unheard);
}

static int show(const json_t *answer, struct err *e) {
    static const char *const titles[] = {"DEVICE", "STATE", "TOLD", "SEEN", "WHY"};
    OWN(print_table) struct cmd_print_table table = CMD_PRINT_TABLE_NONE;
    const json_t *devices = json_object_get(answer, "devices");
    const struct counts n = counts_of(answer);
    char name[SHOWN_BYTES], state[SHOWN_BYTES];
    size_t i;
    json_t *row;
    (void)printf("%s, %s: ", text_safe(cmd_print_string(answer, "rollout"), name, sizeof name),
                 text_safe(cmd_print_string(answer, "state"), state, sizeof state));
    say_counts(&n);
    (void)putchar('\n');
    if (json_array_size(devices) == 0)
        return 0;
    if (cmd_print_begin(&table, 5, titles, e) < 0)
        return -1;
    json_array_foreach (devices, i, row) {
        const json_t *why = json_object_get(row, "why");
        const char *code = cmd_print_string(why, "code");
        if (cmd_print_cell(&table, cmd_print_string(row, "device"), e) < 0 ||
            cmd_print_cell(&table, cmd_print_string(row, "state"), e) < 0 ||
            cmd_print_cell(&table, cmd_print_string(row, "told"), e) < 0 ||
            cmd_print_cell(&table, cmd_print_string(row, "seen"), e) < 0 ||
            cmd_print_cell_format(&table, e, "%s%s%s%s", cmd_print_string(why, "text"),
                                  *code ? " (" : "", code, *code ? ")" : "") < 0)
            return -1;
    }
    cmd_print_end(&table);
    long long more = n.failed + n.told + n.unheard - (long long)json_array_size(devices);
    if (more > 0)
        (void)printf("and %lld more (--limit)\n", more);
    return 0;
}

int cmd_rollout_behind(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    OWN(net_client) struct net_client *client = NULL;
    OWN(json) json_t *answer = NULL;
    uint64_t limit = LIMIT_DEFAULT;
    const char *wanted = opt_get(args, "limit");
    if ((wanted != NULL && num_parse_u64(wanted, "--limit", 1, LIMIT_MAX, &limit, e) < 0) ||
        cmd_remote_open(args, &client, e) < 0)
        return -1;
    if (get_all(client, opt_operand(args, 0), limit, &answer, e) < 0)
        return err_prefix(e, "rollout %.80s", opt_operand(args, 0));
    if (!opt_given(args, "json"))
        return show(answer, e);
    cmd_print_json(answer);
    return 0;
}

// While it goes back, many have still to be told: only who could not is a failure.
void cmd_rollout_behind_note(const struct opt_args *args, const char *state) {
    bool over = strcmp(state, "reverted") == 0;
    OWN(net_client) struct net_client *client = NULL;
    OWN(json) json_t *answer = NULL;
    char name[SHOWN_BYTES];
    struct err ignored = ERR_NONE;
    if ((!over && strcmp(state, "reverting") != 0) ||
        cmd_remote_open(args, &client, &ignored) < 0 ||
        get_page(client, opt_operand(args, 0), "", 1, &answer, &ignored) < 0)
        return;
    const struct counts n = counts_of(answer);
    if (n.failed == 0 && (!over || n.told + n.unheard == 0))
        return;
    (void)printf("  note: ");
    say_counts(&n);
    (void)printf(" (edgectl rollout failures %s)\n",
                 text_safe(opt_operand(args, 0), name, sizeof name));
}
