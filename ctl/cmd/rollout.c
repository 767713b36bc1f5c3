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
#include "ctl/cmd/release_floors.h"
#include "ctl/cmd/remote.h"
#include "ctl/kind.h"
#include "ctl/rollout/policy.h"
#include "ctl/schema.h"
#include "ctl/term.h"
#include "ctl/yaml.h"

static const struct opt apply_options[] = {
    {.name = "file", .letter = 'f', .value = "POLICY", .help = "JSON or YAML; - is standard input"},
    {.name = "wait", .help = "Follow it to its end; the exit status says how it ended"},
    {.name = "timeout", .value = "TIME", .help = "With --wait: for how long (90, 15m, 2h)"},
    {.name = "check", .help = "Only say whether the policy is right; asks no controller"},
    {.name = "raise-floors",
     .help = "With --wait: when it has finished, raise the floors that its release declares"},
    CMD_SIGNERS_OPTIONS,
    CMD_PASSPHRASE_OPTION,
    CMD_RELEASE_DATES_OPTIONS,
    CMD_REMOTE_OPTIONS,
    CMD_OPTION_JSON,
    CMD_OPTION_END};
// Those that say how floors are raised.
static const char *const floor_options[] = {"raise-floors",    "key",    "signer", "signer-key",
                                            "passphrase-file", "issued", "expires"};
static const struct opt plain_options[] = {CMD_REMOTE_OPTIONS, CMD_OPTION_JSON, CMD_OPTION_END};
static const struct opt no_options[] = {CMD_OPTION_END};
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
    if (opt_given(args, "json")) {
        cmd_print_json(rollout);
        return;
    }
    (void)cmd_rollout_show(stdout, rollout,
                           isatty(STDOUT_FILENO) ? ctl_term_width(STDOUT_FILENO) : 4096);
    cmd_rollout_show_deltas(stdout, rollout);
}

// One application, with what was checked before it.
struct application {
    const struct opt_args *args;
    const struct rollout_policy *policy;
    const json_t *document;
    struct cmd_rollout_follow follow;
};

// The rollout has finished, whatever becomes of this, and whoever branches on the exit status is to
// know that. What is left to do can be done later.
static int raise_floors(const struct application *a, struct cmd_release_floors *floors,
                        json_t *last, struct err *e) {
    const struct rollout_policy *policy = a->policy;
    struct err why = ERR_NONE;
    OWN(json) json_t *said = NULL;
    if (a->follow.json)
        floors->edit.answer = &said;
    int r = cmd_release_floors_raise(floors, policy->name, policy->release_name,
                                     policy->release_version, &why);
    if (said && json_object_set(last, "raise_floors", said) < 0)
        return no_memory(e);
    if (r < 0 && err_is(&why, &err_pending))
        return err_set(e, why.kind, "the rollout %s finished; of its floors: %s", policy->name,
                       why.text);
    if (r < 0)
        return err_set(e, &err_floors_not_raised,
                       "the rollout %s finished, but %s; edgectl release floor --rollout %s %s: %s",
                       policy->name,
                       floors->edit.sent ? "whether its floors are raised is not known"
                                         : "its floors are not raised",
                       policy->name, floors->edit.sent ? "says so, or raises them" : "does that",
                       why.text);
    return 0;
}

static int follow(const struct application *a, struct cmd_release_floors *floors, struct err *e) {
    OWN(json) json_t *last = NULL;
    int r = cmd_rollout_follow(&a->follow, &last, e);
    if (r == 0 && opt_given(a->args, "raise-floors"))
        r = raise_floors(a, floors, last, e);
    if (a->follow.json && last)
        cmd_print_json(last);
    return r;
}

static int apply(struct application *a, struct err *e) {
    const struct rollout_policy *policy = a->policy;
    OWN(net_client) struct net_client *client = NULL;
    OWN(release_floors) struct cmd_release_floors floors = CMD_RELEASE_FLOORS_NONE;
    OWN(json) json_t *answer = NULL;
    if (cmd_remote_open(a->args, &client, e) < 0)
        return -1;
    // Nobody is to learn at the end of a long rollout that a key was missing.
    if (opt_given(a->args, "raise-floors") &&
        (cmd_release_floors_open(&floors, a->follow.context, a->args, e) < 0 ||
         cmd_release_floors_check(&floors, policy->release_name, policy->release_version, e) < 0))
        return err_prefix(e, "the rollout %s is not started: its floors could not be raised",
                          policy->name);
    if (net_client_post(client, "/api/v1/rollouts", a->document, &answer, e) < 0)
        return err_prefix(e, "starting the rollout %s", policy->name);
    if (!opt_given(a->args, "wait")) {
        print_one(a->args, answer);
        return 0;
    }
    a->follow.client = client;
    return follow(a, &floors, e);
}

static int check_options(const struct opt_args *args, struct err *e) {
    if (!opt_get(args, "file"))
        return err_set(e, &err_usage, "rollout apply: what? Give -f POLICY");
    if (opt_given(args, "timeout") && !opt_given(args, "wait"))
        return err_set(e, &err_usage, "--timeout goes with --wait");
    for (size_t i = 0; i < sizeof floor_options / sizeof floor_options[0]; i++)
        if (opt_given(args, floor_options[i]) &&
            !(opt_given(args, "wait") && opt_given(args, "raise-floors")))
            return err_set(e, &err_usage, "--%s goes with --wait%s", floor_options[i],
                           i == 0 ? "" : " --raise-floors");
    return 0;
}

static int run_apply(void *context, const struct opt_args *args, struct err *e) {
    const char *path = opt_get(args, "file");
    OWN(json) json_t *document = NULL;
    OWN(mem) struct rollout_policy *policy = calloc(1, sizeof *policy);
    if (!policy)
        return no_memory(e);
    struct application a = {.args = args,
                            .policy = policy,
                            .follow = {.context = context, .json = opt_given(args, "json")}};
    if (check_options(args, e) < 0 || read_timeout(args, &a.follow.timeout_s, e) < 0 ||
        read_policy(path, policy, &document, e) < 0)
        return -1;
    a.follow.name = policy->name;
    a.document = document;
    if (!opt_given(args, "check"))
        return apply(&a, e);
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

static int run_schema(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    (void)args;
    return printf("%s", ctl_schema_policy) < 0 ? err_set(e, &err_io, "writing the schema") : 0;
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
    ROW("rollout schema", "", 0, "Print the JSON Schema of policies", no_options, run_schema),
    {.name = NULL}};
