// SPDX-License-Identifier: Apache-2.0
//
// `edgectl rollout`: its verbs. Each can be repeated: the same policy again is the same rollout,
// and pausing what is paused changes nothing.
#include "ctl/cmd/rollout.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/doc.h"
#include "base/fs.h"
#include "base/num.h"
#include "base/own.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/remote.h"
#include "ctl/rollout/policy.h"
#include "ctl/term.h"
#include "ctl/yaml.h"

static const struct opt apply_options[] = {
    {.name = "file", .letter = 'f', .value = "POLICY", .help = "JSON or YAML; - is standard input"},
    {.name = "wait", .help = "Follow it to its end; the exit status says how it ended"},
    {.name = "timeout", .value = "TIME", .help = "With --wait: for how long (90, 15m, 2h)"},
    {.name = "check", .help = "Only say whether the policy is right; asks no controller"},
    CMD_REMOTE_OPTIONS,
    CMD_OPTION_JSON,
    CMD_OPTION_END};
static const struct opt plain_options[] = {CMD_REMOTE_OPTIONS, CMD_OPTION_JSON, CMD_OPTION_END};
static const struct opt approve_options[] = {
    {.name = "stage", .value = "NAME", .help = "Only if this stage is the one that waits"},
    CMD_REMOTE_OPTIONS,
    CMD_OPTION_JSON,
    CMD_OPTION_END};
static const struct opt abort_options[] = {
    {.name = "revert", .help = "Devices that took the release go back"},
    CMD_REMOTE_OPTIONS,
    CMD_OPTION_JSON,
    CMD_OPTION_END};

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "rollout: no memory");
}

// ── apply ───────────────────────────────────────────────────────────────────────────────────────

static int read_text(const char *path, struct buf *ret, struct err *e) {
    if (strcmp(path, "-") != 0)
        return fs_read_file(AT_FDCWD, path, ROLLOUT_POLICY_MAX_BYTES, ret, e);
    uint8_t *room = NULL;
    size_t got = 0;
    if (buf_reserve(ret, ROLLOUT_POLICY_MAX_BYTES, &room, e) < 0 ||
        fs_read(STDIN_FILENO, room, ROLLOUT_POLICY_MAX_BYTES, &got, e) < 0)
        return err_prefix(e, "reading the policy from standard input");
    if (got == ROLLOUT_POLICY_MAX_BYTES)
        return err_set(e, &err_limit, "a policy has fewer than %d bytes", ROLLOUT_POLICY_MAX_BYTES);
    buf_commit(ret, got);
    return 0;
}

// JSON begins with a brace; YAML with almost anything else, and its flow style is close to JSON.
static int read_document(const char *path, json_t **ret, struct err *e) {
    const struct doc_limits limits = {
        .bytes = ROLLOUT_POLICY_MAX_BYTES, .depth = 16, .values = 4096, .floats = true};
    const char *what = strcmp(path, "-") == 0 ? "standard input" : path;
    size_t len = strlen(path);
    bool yaml_name = (len > 5 && strcmp(path + len - 5, ".yaml") == 0) ||
                     (len > 4 && strcmp(path + len - 4, ".yml") == 0);
    OWN(buf) struct buf text;
    buf_init(&text, ROLLOUT_POLICY_MAX_BYTES);
    if (read_text(path, &text, e) < 0)
        return -1;
    const char *first = buf_text(&text) + strspn(buf_text(&text), " \t\r\n");
    if (*first == '{' && !yaml_name)
        return doc_parse(buf_slice(&text), what, &limits, ret, e);
    return ctl_yaml_parse(buf_slice(&text), what, ret, e);
}

// The policy in its normal form, checked here, where errors can name the file.
static int read_policy(const char *path, struct rollout_policy *policy, json_t **ret,
                       struct err *e) {
    OWN(json) json_t *document = NULL;
    if (read_document(path, &document, e) < 0 ||
        rollout_policy_parse(document, path, policy, e) < 0)
        return -1;
    return rollout_policy_format(policy, ret, e);
}

static int read_timeout(const struct opt_args *args, uint64_t *ret, struct err *e) {
    const char *timeout = opt_get(args, "timeout");
    if (!timeout)
        return 0;
    return num_parse_seconds(timeout, "--timeout", CMD_ROLLOUT_TIMEOUT_MAX_S, ret, e);
}

static void print_one(const struct opt_args *args, const json_t *rollout) {
    if (opt_given(args, "json"))
        cmd_print_json(rollout);
    else
        (void)cmd_rollout_show(stdout, rollout,
                               isatty(STDOUT_FILENO) ? ctl_term_width(STDOUT_FILENO) : 4096);
}

static int apply(const struct opt_args *args, const json_t *document, const char *name,
                 struct cmd_rollout_follow *follow, struct err *e) {
    OWN(net_client) struct net_client *client = NULL;
    OWN(json) json_t *answer = NULL;
    if (cmd_remote_open(args, &client, e) < 0)
        return -1;
    int r = net_client_post(client, "/api/v1/rollouts", document, &answer, e);
    if (r < 0)
        return err_prefix(e, "starting the rollout %s", name);
    if (!opt_given(args, "wait")) {
        print_one(args, answer);
        return 0;
    }
    follow->client = client;
    return cmd_rollout_follow(follow, e);
}

static int run_apply(void *context, const struct opt_args *args, struct err *e) {
    const char *path = opt_get(args, "file");
    struct cmd_rollout_follow follow = {.context = context, .json = opt_given(args, "json")};
    OWN(json) json_t *document = NULL;
    OWN(mem) struct rollout_policy *policy = calloc(1, sizeof *policy);
    if (!policy)
        return no_memory(e);
    if (!path)
        return err_set(e, &err_usage, "rollout apply: what? Give -f POLICY");
    if (opt_given(args, "timeout") && !opt_given(args, "wait"))
        return err_set(e, &err_usage, "--timeout goes with --wait");
    if (read_timeout(args, &follow.timeout_s, e) < 0 || read_policy(path, policy, &document, e) < 0)
        return -1;
    follow.name = policy->name;
    if (!opt_given(args, "check"))
        return apply(args, document, policy->name, &follow, e);
    if (opt_given(args, "json"))
        cmd_print_json(document);
    else
        (void)printf("%s: the policy is right\n", path);
    return 0;
}

// ── the others ──────────────────────────────────────────────────────────────────────────────────

static int print_list(const json_t *answer, struct err *e) {
    static const char *const titles[] = {"ROLLOUT", "RELEASE", "STATE", "STAGE", "CREATED", "WHY"};
    OWN(print_table) struct cmd_print_table table = CMD_PRINT_TABLE_NONE;
    size_t i;
    json_t *rollout;
    if (cmd_print_begin(&table, 6, titles, e) < 0)
        return -1;
    json_array_foreach (json_object_get(answer, "rollouts"), i, rollout) {
        const json_t *release = json_object_get(rollout, "release");
        const json_t *why = json_object_get(rollout, "why");
        if (cmd_print_cell(&table, cmd_print_string(rollout, "name"), e) < 0 ||
            cmd_print_cell_format(&table, e, "%s %s", cmd_print_string(release, "name"),
                                  cmd_print_string(release, "version")) < 0 ||
            cmd_print_cell(&table, cmd_print_string(rollout, "state"), e) < 0 ||
            cmd_print_cell(&table, cmd_print_string(rollout, "stage"), e) < 0 ||
            cmd_print_cell(&table, cmd_print_string(rollout, "created"), e) < 0 ||
            cmd_print_cell(&table, cmd_print_string(why, "text"), e) < 0)
            return -1;
    }
    cmd_print_end(&table);
    return 0;
}

static int run_list(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    OWN(json) json_t *answer = NULL;
    if (cmd_remote_get(args, "/api/v1/rollouts", &answer, e) < 0)
        return -1;
    if (!opt_given(args, "json"))
        return print_list(answer, e);
    cmd_print_json(answer);
    return 0;
}

static int run_status(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    OWN(json) json_t *answer = NULL;
    OWN(buf) struct buf path;
    buf_init(&path, CMD_REMOTE_PATH_MAX);
    if (cmd_remote_path(&path, e, "rollouts/%", opt_operand(args, 0)) < 0 ||
        cmd_remote_get(args, buf_text(&path), &answer, e) < 0)
        return err_prefix(e, "rollout %.80s", opt_operand(args, 0));
    print_one(args, answer);
    return 0;
}

// Consumes the body.
static int act(const struct opt_args *args, const char *pattern, json_t *consumed, struct err *e) {
    OWN(json) json_t *body = consumed;
    OWN(json) json_t *answer = NULL;
    OWN(net_client) struct net_client *client = NULL;
    OWN(buf) struct buf path;
    buf_init(&path, CMD_REMOTE_PATH_MAX);
    if (!body)
        return no_memory(e);
    if (cmd_remote_path(&path, e, pattern, opt_operand(args, 0)) < 0 ||
        cmd_remote_open(args, &client, e) < 0 ||
        net_client_post(client, buf_text(&path), body, &answer, e) < 0)
        return err_prefix(e, "rollout %.80s", opt_operand(args, 0));
    print_one(args, answer);
    return 0;
}

static int run_approve(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    const char *stage = opt_get(args, "stage");
    return act(args, "rollouts/%/approve",
               stage ? json_pack("{s:s}", "stage", stage) : json_object(), e);
}

static int run_pause(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    return act(args, "rollouts/%/pause", json_object(), e);
}

static int run_resume(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    return act(args, "rollouts/%/resume", json_object(), e);
}

static int run_abort(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    return act(args, "rollouts/%/abort",
               opt_given(args, "revert") ? json_pack("{s:b}", "revert", 1) : json_object(), e);
}

static int run_revert(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    return act(args, "rollouts/%/revert", json_object(), e);
}

#define ROW(name_, operands_, n_, help_, options_, run_)                                           \
    {                                                                                              \
        .name = (name_), .operands = (operands_), .operands_min = (n_), .operands_max = (n_),      \
        .help = (help_), .options = (options_), .run = (run_)                                      \
    }

const struct opt_command cmd_rollout[] = {
    ROW("rollout apply", "", 0, "Start a rollout; the same policy again is the same rollout",
        apply_options, run_apply),
    ROW("rollout list", "", 0, "List rollouts", plain_options, run_list),
    ROW("rollout status", "NAME", 1, "Show its stages, and why it does not move", plain_options,
        run_status),
    ROW("rollout watch", "NAME", 1, "Follow it to its end; the exit status says how it ended",
        cmd_rollout_watch_options, cmd_rollout_watch),
    ROW("rollout approve", "NAME", 1, "Let the stage that waits for approval start",
        approve_options, run_approve),
    ROW("rollout pause", "NAME", 1, "Offer nothing more, activate nothing", plain_options,
        run_pause),
    ROW("rollout resume", "NAME", 1, "Go on; after a failure, try again", plain_options,
        run_resume),
    ROW("rollout abort", "NAME", 1, "End it; what is not activated is cancelled", abort_options,
        run_abort),
    ROW("rollout revert", "NAME", 1, "Send devices that took it back, without a download",
        plain_options, run_revert),
    {.name = NULL}};
