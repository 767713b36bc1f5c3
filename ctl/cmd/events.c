// SPDX-License-Identifier: Apache-2.0
//
// `edgectl events` and `edgectl audit`: what happened, and who changed what. With --json one value
// a line, so that a stream can be read as it comes.
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/own.h"
#include "ctl/cmd/nouns.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/remote.h"
#include "ctl/kind.h"
#include "ctl/term.h"

#define PAGE              1000
#define WAIT_S            25   // of a long poll; the API allows 30
#define AUDIT_PAUSE_MS    2000 // the audit log has no long poll
#define PATIENCE_TRIES    60   // failures in a row that may pass, with a pause between
#define PATIENCE_PAUSE_MS 2000

static const struct opt events_options[] = {
    {.name = "follow", .help = "Go on with what comes, until interrupted"},
    {.name = "after", .value = "ID", .help = "Begin after this event (default: the beginning)"},
    CMD_REMOTE_OPTIONS,
    {.name = "json", .help = "Print JSON, one event a line"},
    CMD_OPTION_END};
static const struct opt audit_options[] = {
    {.name = "follow", .help = "Go on with what comes, until interrupted"},
    {.name = "after", .value = "NUMBER", .help = "Begin after this row (default: the beginning)"},
    {.name = "verify", .help = "Have the controller walk the whole chain of rows"},
    CMD_REMOTE_OPTIONS,
    {.name = "json", .help = "Print JSON, one row a line"},
    CMD_OPTION_END};

// "2026-11-22T15:54:33Z  stage_running  vibration-1.1 canary  why"
static void print_event(const json_t *event) {
    const char *rollout = cmd_print_string(event, "rollout");
    const char *subject = cmd_print_string(event, "subject");
    const char *text = cmd_print_string(event, "text");
    cmd_print_text(cmd_print_string(event, "at"));
    (void)fputs("  ", stdout);
    cmd_print_text(cmd_print_string(event, "kind"));
    (void)fputs("  ", stdout);
    if (*rollout && strcmp(rollout, subject) != 0) {
        cmd_print_text(rollout);
        (void)putchar(' ');
    }
    cmd_print_text(subject);
    if (*text) {
        (void)fputs("  ", stdout);
        cmd_print_text(text);
    }
    (void)putchar('\n');
}

static void print_row(const json_t *row) {
    (void)printf("%lld  ", (long long)cmd_print_integer(row, "number"));
    const char *const keys[] = {"at", "actor", "action", "subject"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        cmd_print_text(cmd_print_string(row, keys[i]));
        (void)fputs("  ", stdout);
    }
    OWN(mem) char *data = json_dumps(json_object_get(row, "data"), JSON_COMPACT);
    cmd_print_text(data ? data : "");
    (void)putchar('\n');
}

// One of the two streams.
struct stream {
    const char *path;
    const char *list; // the member with the rows
    bool polls;       // the API waits for news itself
    void (*print)(const json_t *row);
};
static const struct stream events = {"events", "events", true, print_event};
static const struct stream audit = {"audit", "rows", false, print_row};

static int get_page(struct net_client *client, const struct stream *stream, uint64_t after,
                    unsigned wait_s, json_t **ret, struct err *e) {
    char number[32];
    OWN(buf) struct buf path;
    buf_init(&path, CMD_REMOTE_PATH_MAX);
    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)after);
    if (cmd_remote_path(&path, e, stream->path) < 0 ||
        net_client_add_query(&path, "after", number, e) < 0)
        return -1;
    (void)snprintf(number, sizeof number, "%d", PAGE);
    if (net_client_add_query(&path, "limit", number, e) < 0)
        return -1;
    (void)snprintf(number, sizeof number, "%u", wait_s);
    if (wait_s > 0 && net_client_add_query(&path, "wait_s", number, e) < 0)
        return -1;
    return net_client_get(client, buf_text(&path), ret, e);
}

// Prints a page and moves *io_after. Returns how many rows it had.
static size_t print_page(const struct stream *stream, const json_t *answer, bool json,
                         uint64_t *io_after) {
    const json_t *rows = json_object_get(answer, stream->list);
    size_t i;
    json_t *row;
    json_array_foreach (rows, i, row) {
        if (json)
            cmd_print_json_line(row);
        else
            stream->print(row);
    }
    (void)fflush(stdout);
    json_int_t next = cmd_print_integer(answer, "next");
    if (next > 0 && (uint64_t)next > *io_after)
        *io_after = (uint64_t)next;
    return json_array_size(rows);
}

static int run_stream(const struct opt_args *args, const struct stream *stream, struct err *e) {
    OWN(net_client) struct net_client *client = NULL;
    bool follow = opt_given(args, "follow"), json = opt_given(args, "json");
    const char *given = opt_get(args, "after");
    uint64_t after = 0;
    unsigned failures = 0, wait_s = 0;
    if (given && num_parse_u64(given, "--after", 0, INT64_MAX, &after, e) < 0)
        return -1;
    if (cmd_remote_open(args, &client, e) < 0)
        return -1;
    for (;;) {
        OWN(json) json_t *answer = NULL;
        struct err why = ERR_NONE;
        if (get_page(client, stream, after, wait_s, &answer, &why) < 0) {
            if (!follow || !why.kind->retry || ++failures > PATIENCE_TRIES)
                return err_set(e, why.kind, "%s", why.text);
            ctl_term_pause(PATIENCE_PAUSE_MS);
            continue;
        }
        failures = 0;
        size_t n = print_page(stream, answer, json, &after);
        // A reader that went away (head, a closed pager) ends it.
        if (ferror(stdout) || (n < PAGE && !follow))
            return 0;
        if (n < PAGE && !stream->polls)
            ctl_term_pause(AUDIT_PAUSE_MS);
        wait_s = n < PAGE && stream->polls ? WAIT_S : 0;
    }
}

static int run_events(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    return run_stream(args, &events, e);
}

static int run_verify(const struct opt_args *args, struct err *e) {
    OWN(json) json_t *answer = NULL;
    if (cmd_remote_get(args, "/api/v1/audit/verify", &answer, e) < 0)
        return -1;
    if (opt_given(args, "json"))
        cmd_print_json_line(answer);
    if (!json_is_true(json_object_get(answer, "holds")))
        return err_set(e, &err_audit_broken, "the audit log was changed: %.300s",
                       cmd_print_string(answer, "text"));
    if (!opt_given(args, "json"))
        (void)printf("%lld rows, and their chain holds\n",
                     (long long)cmd_print_integer(answer, "rows"));
    return 0;
}

static int run_audit(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    return opt_given(args, "verify") ? run_verify(args, e) : run_stream(args, &audit, e);
}

const struct opt_command cmd_events[] = {{.name = "events",
                                          .operands = "",
                                          .help = "Print what happened in the fleet",
                                          .options = events_options,
                                          .run = run_events},
                                         {.name = "audit",
                                          .operands = "",
                                          .help = "Print who changed what",
                                          .options = audit_options,
                                          .run = run_audit},
                                         {.name = NULL}};
