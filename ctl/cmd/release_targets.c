// SPDX-License-Identifier: Apache-2.0
//
// `edgectl release floor`, `withdraw`, `delegate`, `undelegate`, `renew`: changes to targets that
// need no bundle.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/chrono.h"
#include "base/num.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/limits.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/release.h"
#include "ctl/cmd/release_floors.h"
#include "ctl/cmd/workspace.h"
#include "ctl/repo/targets.h"
#include "keys/kind.h"

const struct opt cmd_release_top_options[] = {CMD_RELEASE_EDIT_OPTIONS, CMD_OPTION_JSON,
                                              CMD_OPTION_END};
const struct opt cmd_release_floor_options[] = {
    CMD_RELEASE_EDIT_OPTIONS,
    {.name = "rollout",
     .value = "NAME",
     .help = "Those that the release of this rollout declares; it has to have finished"},
    CMD_OPTION_JSON,
    CMD_OPTION_END};
const struct opt cmd_release_edit_options[] = {CMD_RELEASE_EDIT_OPTIONS, CMD_RELEASE_ROLE_OPTION,
                                               CMD_OPTION_JSON, CMD_OPTION_END};
const struct opt cmd_release_renew_options[] = {
    CMD_RELEASE_EDIT_OPTIONS,
    CMD_RELEASE_ROLE_OPTION,
    {.name = "restore",
     .help = "The repository was put back from a backup: publish again what was seen here last"},
    CMD_OPTION_JSON,
    CMD_OPTION_END};
const struct opt cmd_release_delegate_options[] = {
    CMD_SOURCE_OPTIONS,
    {.name = "sign-key", .repeat = true, .value = "FILE", .help = CMD_SIGNERS_KEY_HELP},
    CMD_SIGNERS_COMMAND_OPTIONS,
    CMD_PASSPHRASE_OPTION,
    {.name = "issued", .value = "TIME", .help = "Time of issue (else SOURCE_DATE_EPOCH, else now)"},
    {.name = "expires",
     .value = "TIME",
     .help = "When the targets expire: a time, or a duration (default 365d)"},
    {.name = "key",
     .repeat = true,
     .value = "FILE.pub",
     .help = "A key that may sign for the role"},
    {.name = "threshold", .value = "N", .help = "How many of them must (default 1)"},
    {.name = "path",
     .repeat = true,
     .value = "PATTERN",
     .help = "Targets it may name, NAME/VERSION/ID.json: \"camera/*/*\""},
    {.name = "deltas-only",
     .help = "It may name no bundle, only deltas; of all bundles where no --path says which"},
    {.name = "component",
     .repeat = true,
     .value = "NAME",
     .help = "Only bundles of these components (default: any)"},
    {.name = "no-executable", .help = "Only bundles that hold nothing executable"},
    {.name = "terminating", .help = "What it does not name, no later delegation may"},
    CMD_OPTION_JSON,
    CMD_OPTION_END};

// ── floor ────────────────────────────────────────────────────────────────────────────────────────

static int raise_floor(struct cmd_release_edit *edit, const char *text, struct err *e) {
    char component[BUNDLE_NAME_MAX + 1];
    size_t len = strcspn(text, "=");
    uint64_t floor = 0;
    if (!text[len] || len == 0 || len > BUNDLE_NAME_MAX)
        return err_set(e, &err_usage, "expected COMPONENT=N, found \"%.80s\"", text);
    (void)snprintf(component, sizeof component, "%.*s", (int)len, text);
    if (!text_is_name(component, BUNDLE_NAME_MAX))
        return err_set(e, &err_usage, "\"%s\" is no name of a component", component);
    if (num_parse_u64(text + len + 1, component, 0, KEYS_VERSION_MAX, &floor, e) < 0)
        return -1;
    int r = repo_targets_floor(edit->content, component, floor, e);
    edit->changed = edit->changed || r == 0;
    return r < 0 ? -1 : 0;
}

static int raise_floors(struct cmd_release_edit *edit, struct err *e) {
    int r = cmd_release_begin(edit, e);
    while (r == CMD_RELEASE_CHANGE) {
        for (size_t i = 0; i < opt_operands(edit->args); i++)
            if (raise_floor(edit, opt_operand(edit->args, i), e) < 0)
                return -1;
        r = cmd_release_put(edit, e);
    }
    return r;
}

int cmd_release_floor(void *context, const struct opt_args *args, struct err *e) {
    OWN(release_edit) struct cmd_release_edit edit = {.said = NULL};
    const char *rollout = opt_get(args, "rollout");
    if (rollout ? opt_operands(args) > 0 : opt_operands(args) == 0)
        return err_set(e, &err_usage,
                       "release floor: which? Give COMPONENT=N, or --rollout NAME alone");
    if (rollout)
        return cmd_release_floors_of_rollout(context, args, rollout, e) < 0
                   ? err_prefix(e, "raising the floors of rollout %.80s", rollout)
                   : 0;
    if (cmd_release_open(&edit, context, args, e) < 0 || raise_floors(&edit, e) < 0)
        return err_prefix(e, "raising floors");
    return 0;
}

// ── withdraw ─────────────────────────────────────────────────────────────────────────────────────

// What is not there was withdrawn before, as far as one can tell: the command can be repeated.
static int unless_gone(int r, const struct err *why, struct cmd_release_edit *edit, struct err *e) {
    if (r < 0 && !err_is(why, &err_not_found))
        return err_set(e, why->kind, "%s", why->text);
    edit->changed = r >= 0;
    return 0;
}

static int withdraw(struct cmd_release_edit *edit, struct err *e) {
    int r = cmd_release_begin(edit, e);
    while (r == CMD_RELEASE_CHANGE) {
        size_t n = 0;
        struct err why = ERR_NONE;
        int gone = repo_targets_withdraw(edit->content, opt_operand(edit->args, 0),
                                         opt_operand(edit->args, 1), &n, &why);
        if (unless_gone(gone, &why, edit, e) < 0)
            return -1;
        r = cmd_release_put(edit, e);
    }
    return r;
}

int cmd_release_withdraw(void *context, const struct opt_args *args, struct err *e) {
    OWN(release_edit) struct cmd_release_edit edit = {.said = NULL};
    if (cmd_release_open(&edit, context, args, e) < 0 || withdraw(&edit, e) < 0)
        return err_prefix(e, "withdrawing %s %s", opt_operand(args, 0), opt_operand(args, 1));
    return 0;
}

// ── delegate and undelegate ──────────────────────────────────────────────────────────────────────

struct delegation {
    struct keys_role role;
    struct repo_targets_delegation to;
    const char *paths[REPO_TARGETS_PATTERNS_MAX];
    const char *components[BUNDLE_COMPONENTS_MAX];
};

static int read_list(const struct opt_args *args, const char *option, size_t max, const char **list,
                     size_t *ret_n, struct err *e) {
    size_t n = opt_count(args, option);
    if (n > max)
        return err_set(e, &err_limit, "--%s: more than %zu", option, max);
    for (size_t i = 0; i < n; i++)
        list[i] = opt_get_at(args, option, i);
    *ret_n = n;
    return 0;
}

static int read_delegation(const struct opt_args *args, struct delegation *d, struct err *e) {
    const char *threshold = opt_get(args, "threshold");
    uint64_t n = 1;
    if (threshold && num_parse_u64(threshold, "--threshold", 1, KEYS_ROLE_KEYS_MAX, &n, e) < 0)
        return -1;
    bool deltas = opt_given(args, "deltas-only");
    if (deltas && (opt_count(args, "component") > 0 || opt_given(args, "no-executable")))
        return err_set(e, &err_usage,
                       "--deltas-only means no component at all: leave --component and "
                       "--no-executable out");
    if (opt_count(args, "key") == 0 || (opt_count(args, "path") == 0 && !deltas))
        return err_set(e, &err_usage,
                       "whom, and with what? Give --key FILE.pub and --path "
                       "PATTERN (for example \"camera/*/*\")");
    for (size_t i = 0; i < opt_count(args, "key"); i++) {
        struct keys_pub pub;
        if (sign_keyfile_read_pub(AT_FDCWD, opt_get_at(args, "key", i), &pub, e) < 0)
            return -1;
        if (keys_role_has(&d->role, pub.id))
            continue;
        if (d->role.n_keys == KEYS_ROLE_KEYS_MAX)
            return err_set(e, &err_limit, "--key: more than %d keys", KEYS_ROLE_KEYS_MAX);
        d->role.keys[d->role.n_keys++] = pub;
    }
    d->role.threshold = (size_t)n;
    if (d->role.threshold > d->role.n_keys)
        return err_set(e, &err_usage, "--threshold %zu: %zu different keys are given",
                       d->role.threshold, d->role.n_keys);
    d->to = (struct repo_targets_delegation){
        .name = opt_operand(args, 0),
        .role = &d->role,
        .paths = d->paths,
        .components = d->components,
        .any_component = !deltas && opt_count(args, "component") == 0,
        .executable = !deltas && !opt_given(args, "no-executable"),
        .terminating = opt_given(args, "terminating")};
    if (read_list(args, "path", REPO_TARGETS_PATTERNS_MAX, d->paths, &d->to.n_paths, e) < 0)
        return -1;
    if (d->to.n_paths == 0)
        d->paths[d->to.n_paths++] = REPO_TARGETS_DELTAS_PATHS;
    return read_list(args, "component", BUNDLE_COMPONENTS_MAX, d->components, &d->to.n_components,
                     e);
}

static int delegate(struct cmd_release_edit *edit, const struct repo_targets_delegation *to,
                    struct err *e) {
    int r = cmd_release_begin(edit, e);
    while (r == CMD_RELEASE_CHANGE) {
        int done = repo_targets_delegate(edit->content, to, e);
        if (done < 0)
            return -1;
        edit->changed = done == 0;
        r = cmd_release_put(edit, e);
    }
    return r;
}

int cmd_release_delegate(void *context, const struct opt_args *args, struct err *e) {
    // --key says whom to delegate to.
    OWN(release_edit) struct cmd_release_edit edit = {.key_option = "sign-key"};
    struct delegation d = {.to = {.name = NULL}};
    if (read_delegation(args, &d, e) < 0 || cmd_release_open(&edit, context, args, e) < 0 ||
        delegate(&edit, &d.to, e) < 0)
        return err_prefix(e, "delegating to %s", opt_operand(args, 0));
    return 0;
}

static int undelegate(struct cmd_release_edit *edit, struct err *e) {
    int r = cmd_release_begin(edit, e);
    while (r == CMD_RELEASE_CHANGE) {
        struct err why = ERR_NONE;
        int gone = repo_targets_undelegate(edit->content, opt_operand(edit->args, 0), &why);
        if (unless_gone(gone, &why, edit, e) < 0)
            return -1;
        r = cmd_release_put(edit, e);
    }
    return r;
}

int cmd_release_undelegate(void *context, const struct opt_args *args, struct err *e) {
    OWN(release_edit) struct cmd_release_edit edit = {.said = NULL};
    if (cmd_release_open(&edit, context, args, e) < 0 || undelegate(&edit, e) < 0)
        return err_prefix(e, "ending the delegation to %s", opt_operand(args, 0));
    return 0;
}

// ── renew ────────────────────────────────────────────────────────────────────────────────────────

// Version and dates change, which is what it is for.
static int renew(struct cmd_release_edit *edit, struct err *e) {
    int r = cmd_release_begin(edit, e);
    while (r == CMD_RELEASE_CHANGE) {
        edit->changed = true;
        r = cmd_release_put(edit, e);
    }
    return r;
}

// The controller's own role. In a folder nobody else signs it anew; its key lies where a controller
// would have it, and when it does not, that is said.
static int renew_deltas(const struct cmd_release_edit *of, json_t **ret_said, struct err *e) {
    OWN(release_edit)
    struct cmd_release_edit edit = {.answer = ret_said, .keys_folder = CMD_WORKSPACE_SERVER_KEYS};
    OWN(document) struct cmd_document current = CMD_DOCUMENT_NONE;
    struct err nobody = ERR_NONE;
    char until[CHRONO_TEXT_BYTES];
    if (cmd_release_open(&edit, of->context, of->args, e) < 0)
        return -1;
    edit.role = REPO_TARGETS_DELTAS_ROLE;
    int can = cmd_release_check(&edit, &nobody);
    int found = cmd_source_current(edit.source, edit.role, &current, e);
    if (found != 0) {
        if (found < 0 && !err_is(e, &err_not_found))
            return -1;
        err_clear(e); // there is no such role, or it says nothing that could grow old
        return 0;
    }
    if (can == 0)
        return renew(&edit, e);
    (void)fprintf(
        stderr,
        "edgectl: the deltas that the role %s names are good until %s, and its key is not "
        "in %s/" CMD_WORKSPACE_SERVER_KEYS
        ": edgectl release renew --role %s --key FILE, where that is\n",
        edit.role, chrono_format(current.header.expires_s, until), edit.workspace, edit.role);
    return 0;
}

static int renew_all(struct cmd_release_edit *edit, json_t **ret_deltas, struct err *e) {
    if (renew(edit, e) < 0)
        return -1;
    if (strcmp(edit->role, "targets") != 0 || !cmd_source_is_folder(edit->source))
        return 0;
    return renew_deltas(edit, ret_deltas, e) < 0
               ? err_prefix(e,
                            "the targets are renewed, the role " REPO_TARGETS_DELTAS_ROLE " is not")
               : 0;
}

int cmd_release_renew(void *context, const struct opt_args *args, struct err *e) {
    OWN(json) json_t *said = NULL;
    OWN(json) json_t *deltas = NULL;
    OWN(release_edit) struct cmd_release_edit edit = {.answer = &said};
    int r =
        cmd_release_open(&edit, context, args, e) < 0 || renew_all(&edit, &deltas, e) < 0 ? -1 : 0;
    if (said && deltas && json_object_set(said, "deltas", deltas) < 0)
        r = err_set(e, &err_memory, "printing: no memory");
    if (said)
        cmd_print_json(said);
    return r < 0 ? err_prefix(e, "renewing targets") : 0;
}
