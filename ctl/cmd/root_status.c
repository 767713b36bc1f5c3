// SPDX-License-Identifier: Apache-2.0
//
// `edgectl root status`: keys and thresholds of the root in force, what waits for whose signature,
// and until when everything holds. With --expiring DAYS it is CI's question: exit status 0, or that
// of the kind expiring.
#include "ctl/cmd/root.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/num.h"
#include "base/own.h"
#include "ctl/cmd/expiry.h"
#include "ctl/cmd/pending.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/remote.h"
#include "ctl/cmd/root_edit.h"
#include "ctl/cmd/source.h"
#include "ctl/cmd/workspace.h"
#include "ctl/kind.h"
#include "ctl/repo/targets.h"
#include "keys/kind.h"

#define PENDING_MAX  64
#define EXPIRING_MAX 36500

const struct opt cmd_root_status_options[] = {
    CMD_SOURCE_OPTIONS,
    {.name = "expiring",
     .value = "DAYS",
     .help = "Fail (kind expiring) when something expires within so many days"},
    {.name = "local", .help = "Look at the workspace alone, at no repository"},
    CMD_OPTION_JSON,
    CMD_OPTION_END};

struct status {
    const struct cmd_context *context;
    const struct opt_args *args;
    const char *workspace;
    int64_t now_s;
    uint64_t within_days;
    struct cmd_pending_root root;
    struct cmd_keyring ring;
    struct cmd_source *source; // NULL: none to look at
    json_t *roles, *pending, *metadata;
    char soonest[128]; // what expires within the days, or ""
};

static void clear(struct status *s) {
    cmd_pending_root_clear(&s->root);
    cmd_keyring_clear(&s->ring);
    cmd_source_free(s->source);
    json_decref(s->roles);
    json_decref(s->pending);
    json_decref(s->metadata);
}

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "printing: no memory");
}

// ── Roles of the root ────────────────────────────────────────────────────────────────────────────

static int add_role(struct status *s, const char *name, const struct keys_role *role,
                    struct err *e) {
    OWN(json) json_t *keys = json_array();
    for (size_t i = 0; i < role->n_keys; i++) {
        const struct cmd_keyring_key *known = cmd_keyring_find(&s->ring, role->keys[i].id);
        if (json_array_append_new(keys, json_pack("{s:s,s:s,s:b}", "keyid", role->keys[i].id,
                                                  "name", known ? known->name : "", "here",
                                                  known && known->secret)) < 0)
            return no_memory(e);
    }
    return json_array_append_new(s->roles, json_pack("{s:s,s:I,s:O}", "role", name, "threshold",
                                                     (json_int_t)role->threshold, "keys", keys)) < 0
               ? no_memory(e)
               : 0;
}

static int collect_roles(struct status *s, struct err *e) {
    const struct keys_root_content *content = keys_root_content(s->root.trusted);
    char name[KEYS_ROOT_NAME_MAX + 16];
    for (int i = 0; i < KEYS_ROOT_ROLES; i++)
        if (add_role(s, keys_root_role_names[i], &content->roles[i], e) < 0)
            return -1;
    for (size_t i = 0; i < content->n_bundle_roles; i++) {
        (void)snprintf(name, sizeof name, "bundle/%s", content->bundle_roles[i].name);
        if (add_role(s, name, &content->bundle_roles[i].role, e) < 0)
            return -1;
    }
    return 0;
}

// ── What waits ───────────────────────────────────────────────────────────────────────────────────

static int find_quorum(struct status *s, const char *name, const struct cmd_document *document,
                       struct cmd_quorum *ret, struct err *e) {
    OWN(document) struct cmd_document targets = CMD_DOCUMENT_NONE;
    struct keys_role role = *keys_root_role(s->root.trusted, KEYS_ROOT_ROLE_TARGETS);
    char path[FS_PATH_BYTES], bare[REPO_TARGETS_NAME_MAX + 1];
    if (strcmp(document->type, "root") == 0)
        return cmd_quorum_of_root(document, name, s->root.trusted, ret, e);
    (void)snprintf(bare, sizeof bare, "%.*s", (int)(strlen(name) - strlen(".json")), name);
    if (strcmp(bare, "targets") != 0) {
        (void)snprintf(path, sizeof path, "%s/" CMD_WORKSPACE_SEEN "/targets.json", s->workspace);
        int r = cmd_document_read(AT_FDCWD, path, &targets, e);
        if (r < 0 || (r == 0 && cmd_pending_role(targets.content, bare, &role, e) < 0))
            return -1;
        if (r == FS_ABSENT)
            return err_set(e, &err_not_found, "the targets that delegate to %s were not seen yet",
                           bare);
    }
    return cmd_quorum_of_role(document, name, "the role", &role, ret, e);
}

// A file that is no document, or was tampered with, is shown as that; it stops nobody.
static int add_pending(struct status *s, const char *name, struct err *e) {
    OWN(document) struct cmd_document document = CMD_DOCUMENT_NONE;
    struct cmd_quorum quorum;
    struct err why = ERR_NONE;
    json_t *said = NULL;
    if (cmd_pending_load(s->workspace, name, &document, &why) != 0 ||
        find_quorum(s, name, &document, &quorum, &why) < 0)
        said = json_pack("{s:s,s:s,s:s}", "file", name, "code", why.kind ? why.kind->name : "",
                         "text", why.text);
    else
        said = json_pack("{s:s,s:s,s:I,s:b,s:o}", "file", name, "type", document.type, "version",
                         (json_int_t)document.header.version, "complete", cmd_quorum_holds(&quorum),
                         "signatures", cmd_quorum_json(&quorum, &s->ring));
    return json_array_append_new(s->pending, said) < 0 ? no_memory(e) : 0;
}

struct names {
    size_t n;
    char list[PENDING_MAX][CMD_PENDING_NAME_BYTES];
};

static int visit(void *context, const char *name, mode_t type, struct err *e) {
    struct names *names = context;
    size_t len = strlen(name);
    if (!S_ISREG(type) || fs_is_temporary(name) || len < 6 || len >= CMD_PENDING_NAME_BYTES ||
        strcmp(name + len - 5, ".json") != 0)
        return 0;
    if (names->n == PENDING_MAX)
        return err_set(e, &err_limit, "more than %d pending files", PENDING_MAX);
    memcpy(names->list[names->n++], name, len + 1);
    return 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp(a, b);
}

static int collect_pending(struct status *s, struct err *e) {
    OWN(fd) int dir = -1;
    struct stat st;
    if (fs_open_dir(AT_FDCWD, s->workspace, &dir, e) < 0)
        return -1;
    int found = fs_stat(dir, CMD_PENDING_DIR, &st, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    OWN(mem) struct names *names = calloc(1, sizeof *names);
    if (!names)
        return no_memory(e);
    if (fs_list(dir, CMD_PENDING_DIR, visit, names, e) < 0)
        return -1;
    qsort(names->list, names->n, sizeof names->list[0], by_name);
    for (size_t i = 0; i < names->n; i++)
        if (add_pending(s, names->list[i], e) < 0)
            return -1;
    return 0;
}

// ── What expires ─────────────────────────────────────────────────────────────────────────────────

static int add_metadata(struct status *s, const char *name, const struct keys_header *header,
                        struct err *e) {
    char issued[CHRONO_TEXT_BYTES], expires[CHRONO_TEXT_BYTES];
    bool soon = cmd_expiry_is_soon(name, header, s->now_s, s->within_days);
    if (soon && !*s->soonest)
        (void)snprintf(s->soonest, sizeof s->soonest, "%s, version %llu, expires %s", name,
                       (unsigned long long)header->version,
                       chrono_format(header->expires_s, expires));
    return json_array_append_new(s->metadata,
                                 json_pack("{s:s,s:I,s:s,s:s,s:b,s:b}", "name", name, "version",
                                           (json_int_t)header->version, "issued",
                                           chrono_format(header->issued_s, issued), "expires",
                                           chrono_format(header->expires_s, expires), "expiring",
                                           soon, "expired", header->expires_s <= s->now_s)) < 0
               ? no_memory(e)
               : 0;
}

static int add_delegated(struct status *s, struct err *e) {
    OWN(document) struct cmd_document targets = CMD_DOCUMENT_NONE;
    int r = cmd_source_current(s->source, "targets", &targets, e);
    if (r != 0)
        return r < 0 ? -1 : 0;
    for (size_t i = 0; i < repo_targets_n_delegations(targets.content); i++) {
        OWN(document) struct cmd_document role = CMD_DOCUMENT_NONE;
        const char *name = repo_targets_delegation_name(targets.content, i);
        r = cmd_source_current(s->source, name, &role, e);
        if (r < 0 || (r == 0 && add_metadata(s, name, &role.header, e) < 0))
            return -1;
    }
    return 0;
}

static int collect_metadata(struct status *s, struct err *e) {
    static const char *const names[] = {"timestamp", "snapshot", "targets"};
    if (add_metadata(s, "root", &s->root.current.header, e) < 0)
        return -1;
    if (!s->source)
        return 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct keys_header header;
        int r = cmd_source_seen(s->source, names[i], &header, e);
        if (r < 0 || (r == 0 && add_metadata(s, names[i], &header, e) < 0))
            return -1;
    }
    return add_delegated(s, e);
}

// ── Shown ────────────────────────────────────────────────────────────────────────────────────────

// "0123abcd (alice), 4567cdef".
static void print_keys(const json_t *keys) {
    size_t i;
    json_t *key;
    json_array_foreach ((json_t *)keys, i, key) {
        const char *name = cmd_print_string(key, "name");
        (void)printf("%s %.8s%s%s%s", i > 0 ? "," : "", cmd_print_string(key, "keyid"),
                     *name ? " (" : "", name, *name ? ")" : "");
    }
}

static void print_signatures(const json_t *parts) {
    size_t i;
    json_t *part;
    json_array_foreach ((json_t *)parts, i, part) {
        const json_t *has = json_object_get(part, "signed");
        json_int_t threshold = cmd_print_integer(part, "threshold");
        (void)printf("    %s: %zu of %lld signatures", cmd_print_string(part, "of"),
                     json_array_size(has), (long long)threshold);
        (void)fputs(json_array_size(has) > 0 ? "; signed by" : "", stdout);
        print_keys(has);
        if ((json_int_t)json_array_size(has) < threshold) {
            (void)fputs("; missing", stdout);
            print_keys(json_object_get(part, "missing"));
        }
        (void)putchar('\n');
    }
}

static int print_roles(const struct status *s, struct err *e) {
    static const char *const titles[] = {"ROLE", "NEEDS", "KEY ID", "NAME", "SECRET"};
    OWN(print_table) struct cmd_print_table table = CMD_PRINT_TABLE_NONE;
    size_t i, k;
    json_t *role, *key;
    if (cmd_print_begin(&table, 5, titles, e) < 0)
        return -1;
    json_array_foreach (s->roles, i, role) {
        const json_t *keys = json_object_get(role, "keys");
        json_array_foreach ((json_t *)keys, k, key)
            if (cmd_print_cell(&table, k == 0 ? cmd_print_string(role, "role") : " ", e) < 0 ||
                cmd_print_cell_format(&table, e, k == 0 ? "%lld of %zu" : " ",
                                      (long long)cmd_print_integer(role, "threshold"),
                                      json_array_size(keys)) < 0 ||
                cmd_print_cell(&table, cmd_print_string(key, "keyid"), e) < 0 ||
                cmd_print_cell(&table, cmd_print_string(key, "name"), e) < 0 ||
                cmd_print_cell(&table,
                               json_is_true(json_object_get(key, "here")) ? "here" : "elsewhere",
                               e) < 0)
                return -1;
    }
    cmd_print_end(&table);
    return 0;
}

static int print_metadata(const struct status *s, struct err *e) {
    static const char *const titles[] = {"METADATA", "VERSION", "ISSUED", "EXPIRES", ""};
    OWN(print_table) struct cmd_print_table table = CMD_PRINT_TABLE_NONE;
    size_t i;
    json_t *one;
    if (cmd_print_begin(&table, 5, titles, e) < 0)
        return -1;
    json_array_foreach (s->metadata, i, one)
        if (cmd_print_cell(&table, cmd_print_string(one, "name"), e) < 0 ||
            cmd_print_cell_format(&table, e, "%lld", (long long)cmd_print_integer(one, "version")) <
                0 ||
            cmd_print_cell(&table, cmd_print_string(one, "issued"), e) < 0 ||
            cmd_print_cell(&table, cmd_print_string(one, "expires"), e) < 0 ||
            cmd_print_cell(&table,
                           json_is_true(json_object_get(one, "expired"))    ? "EXPIRED"
                           : json_is_true(json_object_get(one, "expiring")) ? "expires soon"
                                                                            : " ",
                           e) < 0)
            return -1;
    (void)putchar('\n');
    cmd_print_end(&table);
    return 0;
}

static int print_all(const struct status *s, struct err *e) {
    size_t i;
    json_t *one;
    if (print_roles(s, e) < 0 || print_metadata(s, e) < 0)
        return -1;
    if (json_array_size(s->pending) > 0)
        (void)printf("\nwaiting in %s/pending:\n", s->workspace);
    json_array_foreach (s->pending, i, one) {
        (void)fputs("  ", stdout);
        cmd_print_text(cmd_print_string(one, "file"));
        (void)printf(", version %lld%s\n", (long long)cmd_print_integer(one, "version"),
                     json_is_true(json_object_get(one, "complete"))
                         ? ": complete, ready to be published"
                         : "");
        print_signatures(json_object_get(one, "signatures"));
        if (*cmd_print_string(one, "text")) {
            (void)fputs("    cannot be used: ", stdout);
            cmd_print_text(cmd_print_string(one, "text"));
            (void)putchar('\n');
        }
    }
    return 0;
}

static int print_json(const struct status *s, struct err *e) {
    OWN(json)
    json_t *said =
        json_pack("{s:I,s:s,s:O,s:O,s:O}", "version", (json_int_t)s->root.current.header.version,
                  "repository", s->source ? cmd_source_name(s->source) : "", "roles", s->roles,
                  "metadata", s->metadata, "pending", s->pending);
    if (!said)
        return no_memory(e);
    cmd_print_json(said);
    return 0;
}

static int open_all(struct status *s, struct err *e) {
    const char *days = opt_get(s->args, "expiring");
    s->workspace = opt_get(s->args, "workspace");
    s->now_s = chrono_wall_ms(s->context->clock) / 1000;
    s->within_days = CMD_EXPIRY_WARN_DAYS;
    s->roles = json_array();
    s->pending = json_array();
    s->metadata = json_array();
    if (!s->roles || !s->pending || !s->metadata)
        return no_memory(e);
    if (!s->workspace)
        return err_set(e, &err_usage, "whose root? Give --workspace DIR");
    if (days && num_parse_u64(days, "--expiring", 0, EXPIRING_MAX, &s->within_days, e) < 0)
        return -1;
    if (!opt_given(s->args, "local")) {
        int r =
            cmd_source_open(s->context, s->args, s->workspace, CMD_SOURCE_OPTIONAL, &s->source, e);
        if (r < 0 || (r == 0 && cmd_source_refresh(s->source, e) < 0))
            return -1;
    }
    return cmd_pending_root_open(s->workspace, &s->root, e) < 0
               ? -1
               : cmd_keyring_open(s->workspace, &s->ring, e);
}

static int status(struct status *s, struct err *e) {
    if (open_all(s, e) < 0 || collect_roles(s, e) < 0 || collect_pending(s, e) < 0 ||
        collect_metadata(s, e) < 0 ||
        (opt_given(s->args, "json") ? print_json(s, e) : print_all(s, e)) < 0)
        return -1;
    if (opt_given(s->args, "expiring") && *s->soonest)
        return err_set(e, &err_expiring, "%s", s->soonest);
    return 0;
}

int cmd_root_status(void *context, const struct opt_args *args, struct err *e) {
    struct status s = {.context = context, .args = args};
    int r = status(&s, e);
    clear(&s);
    return r < 0 ? err_prefix(e, "root status") : 0;
}
