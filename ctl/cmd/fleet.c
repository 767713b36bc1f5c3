// SPDX-License-Identifier: Apache-2.0
//
// `edgectl fleet`: the whole of it on one screen, and which devices a predicate selects.
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "base/text.h"
#include "bundle/limits.h"
#include "ctl/cmd/expiry.h"
#include "ctl/cmd/nouns.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/remote.h"
#include "ctl/repo/targets.h"

static const struct opt options[] = {CMD_REMOTE_OPTIONS, CMD_OPTION_JSON, CMD_OPTION_END};

// "12 accepted, 1 pending"; nothing of what is zero.
static void print_counts(const char *title, const json_t *counts) {
    const char *name;
    json_t *count;
    bool first = true;
    json_object_foreach ((json_t *)counts, name, count) {
        if (json_integer_value(count) == 0)
            continue;
        if (first)
            (void)printf("%-13s ", title);
        (void)printf("%s%lld ", first ? "" : ", ", (long long)json_integer_value(count));
        cmd_print_text(*name ? name : "unknown");
        first = false;
    }
    if (!first)
        (void)putchar('\n');
}

static void print_releases(const json_t *releases) {
    const char *name;
    json_t *counts;
    json_object_foreach ((json_t *)releases, name, counts) {
        char title[BUNDLE_NAME_MAX + 8], shown[BUNDLE_NAME_MAX + 1];
        (void)snprintf(title, sizeof title, "  %s:", text_safe(name, shown, sizeof shown));
        print_counts(title, counts);
    }
}

static void print_number(const json_t *summary, const char *key, const char *what) {
    json_int_t n = cmd_print_integer(summary, key);
    if (n > 0)
        (void)printf("%-14s%lld %s\n", "", (long long)n, what);
}

static void print_rollouts(const json_t *rollouts) {
    size_t i;
    json_t *rollout;
    json_array_foreach (rollouts, i, rollout) {
        const json_t *why = json_object_get(rollout, "why");
        (void)fputs(i == 0 ? "rollouts:     " : "              ", stdout);
        cmd_print_text(cmd_print_string(rollout, "name"));
        (void)putchar(' ');
        cmd_print_text(cmd_print_string(rollout, "state"));
        if (*cmd_print_string(why, "text")) {
            (void)fputs(": ", stdout);
            cmd_print_text(cmd_print_string(why, "text"));
        }
        (void)putchar('\n');
    }
}

// ── What expires ─────────────────────────────────────────────────────────────────────────────────

static bool read_header(const json_t *role, struct keys_header *ret) {
    struct err ignored = ERR_NONE;
    ret->version = (uint64_t)cmd_print_integer(role, "version");
    return chrono_parse(cmd_print_string(role, "issued"), "issued", &ret->issued_s, &ignored) ==
               0 &&
           chrono_parse(cmd_print_string(role, "expires"), "expires", &ret->expires_s, &ignored) ==
               0;
}

// The roles of the repository that somebody has to do something about, as the controller tells
// them.
static int find_expiring(const struct opt_args *args, int64_t now_s, json_t **ret, struct err *e) {
    OWN(json) json_t *answer = NULL;
    OWN(json) json_t *found = json_array();
    struct err why = ERR_NONE;
    size_t i;
    json_t *role;
    // A controller without a repository has nothing that expires.
    if (cmd_remote_get(args, "/api/v1/repository", &answer, &why) < 0 &&
        !err_is(&why, &err_not_found) && !err_is(&why, &err_permission))
        return err_set(e, why.kind, "%s", why.text);
    json_array_foreach (json_object_get(answer, "roles"), i, role) {
        struct keys_header header;
        bool valid = json_is_true(json_object_get(role, "valid"));
        bool soon =
            read_header(role, &header) && cmd_expiry_is_soon(cmd_print_string(role, "name"),
                                                             &header, now_s, CMD_EXPIRY_WARN_DAYS);
        // Delegated to the controller, which names deltas when it has made some.
        if (cmd_print_integer(role, "version") == 0 &&
            strcmp(cmd_print_string(role, "name"), REPO_TARGETS_DELTAS_ROLE) == 0)
            continue;
        if ((soon || !valid) && json_array_append(found, role) < 0)
            return err_set(e, &err_memory, "printing: no memory");
    }
    *ret = own_take(&found);
    return 0;
}

static void print_expiring(const json_t *roles) {
    size_t i;
    json_t *role;
    json_array_foreach ((json_t *)roles, i, role) {
        const char *why = cmd_print_string(json_object_get(role, "why"), "text");
        (void)fputs(i == 0 ? "WARNING:      " : "              ", stdout);
        cmd_print_text(cmd_print_string(role, "name"));
        if (*why) {
            (void)fputs(" does not hold: ", stdout);
            cmd_print_text(why);
        } else {
            (void)fputs(" expires ", stdout);
            cmd_print_text(cmd_print_string(role, "expires"));
        }
        (void)putchar('\n');
    }
}

static int run_summary(void *context, const struct opt_args *args, struct err *e) {
    const struct cmd_context *c = context;
    OWN(json) json_t *answer = NULL;
    OWN(json) json_t *expiring = NULL;
    if (cmd_remote_get(args, "/api/v1/fleet/summary", &answer, e) < 0 ||
        find_expiring(args, chrono_wall_ms(c->clock) / 1000, &expiring, e) < 0)
        return -1;
    if (json_object_set(answer, "expiring", expiring) < 0)
        return err_set(e, &err_memory, "printing: no memory");
    if (opt_given(args, "json")) {
        cmd_print_json(answer);
        return 0;
    }
    (void)printf("%-14s%lld\n", "devices:", (long long)cmd_print_integer(answer, "devices"));
    print_counts("", json_object_get(answer, "states"));
    print_counts("agents:", json_object_get(answer, "agent_states"));
    print_number(answer, "silent", "accepted, and not heard of for a day");
    print_number(answer, "held", "held");
    print_number(answer, "pinned", "pinned");
    print_number(answer, "clones", "CLONED: two devices seem to share an identity");
    if (json_object_size(json_object_get(answer, "releases")) > 0)
        (void)puts("components:");
    print_releases(json_object_get(answer, "releases"));
    print_rollouts(json_object_get(answer, "rollouts"));
    print_expiring(expiring);
    return 0;
}

static void print_query(const json_t *answer) {
    size_t i;
    json_t *row;
    const json_t *sample = json_object_get(answer, "sample");
    const json_t *unmatched = json_object_get(answer, "unmatched");
    (void)printf("%lld of %lld devices match\n", (long long)cmd_print_integer(answer, "matching"),
                 (long long)cmd_print_integer(answer, "examined"));
    print_releases(json_object_get(answer, "releases"));
    if (json_array_size(sample) > 0)
        (void)puts("such as:");
    json_array_foreach (sample, i, row) {
        (void)fputs("  ", stdout);
        cmd_print_text(json_is_string(row) ? json_string_value(row) : "");
        (void)putchar('\n');
    }
    if (json_array_size(unmatched) > 0)
        (void)puts("not, for example:");
    json_array_foreach (unmatched, i, row) {
        (void)fputs("  ", stdout);
        cmd_print_text(cmd_print_string(row, "device"));
        (void)fputs(": ", stdout);
        cmd_print_text(cmd_print_string(row, "reason"));
        (void)putchar('\n');
    }
}

static int run_query(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    OWN(json) json_t *answer = NULL;
    OWN(buf) struct buf path;
    buf_init(&path, CMD_REMOTE_PATH_MAX);
    if (cmd_remote_path(&path, e, "fleet/query") < 0 ||
        net_client_add_query(&path, "selector", opt_operand(args, 0), e) < 0 ||
        cmd_remote_get(args, buf_text(&path), &answer, e) < 0)
        return -1;
    if (opt_given(args, "json"))
        cmd_print_json(answer);
    else
        print_query(answer);
    return 0;
}

const struct opt_command cmd_fleet[] = {
    {.name = "fleet summary",
     .operands = "",
     .help = "Count devices by state and release, list rollouts, warn of what expires",
     .options = options,
     .run = run_summary},
    {.name = "fleet query",
     .operands = "SELECTOR",
     .operands_min = 1,
     .operands_max = 1,
     .help = "Say which devices a predicate selects, and why others are not",
     .options = options,
     .run = run_query},
    {.name = NULL}};
