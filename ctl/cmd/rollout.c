// SPDX-License-Identifier: Apache-2.0
//
// `edgectl rollout`: its verbs. Each can be repeated: the same policy again is the same rollout,
// and pausing what is paused changes nothing.
#include "ctl/cmd/rollout.h"

#include <unistd.h>

#include "base/num.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/kind.h"
#include "ctl/cmd/mandate.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/release_floors.h"
#include "ctl/cmd/remote.h"
#include "ctl/cmd/rollout_behind.h"
#include "ctl/cmd/rollout_why.h"
#include "ctl/cmd/workspace.h"
#include "ctl/kind.h"
#include "ctl/rollout/policy.h"
#include "ctl/schema.h"
#include "ctl/term.h"

static const struct opt apply_options[] = {
    {.name = "file", .letter = 'f', .value = "POLICY", .help = "JSON or YAML; - is standard input"},
    {.name = "drift",
     .value = "PERCENT",
     .help = "With PLAN: how far the fleet may differ from the plan's (default 10)"},
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
static const char *const floor_options[] = {"raise-floors", "key",    "signer",
                                            "signer-key",   "issued", "expires"};
static const struct opt plain_options[] = {CMD_REMOTE_OPTIONS, CMD_OPTION_JSON, CMD_OPTION_END};
static const struct opt no_options[] = {CMD_OPTION_END};
static const struct opt approve_options[] = {
    {.name = "stage", .value = "NAME", .help = "Only if this stage is the one that waits"},
    {.name = "mandate",
     .value = "PLAN",
     .help = "With what people signed for the stages that follow (rollout sign --through)"},
    CMD_PASSPHRASE_OPTION,
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
    cmd_rollout_show_evidence(stdout, rollout);
    cmd_rollout_show_deltas(stdout, rollout);
}

// One application, with what was checked before it.
struct application {
    const struct opt_args *args;
    const struct rollout_policy *policy;
    const json_t *document; // what is sent
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

// A policy by itself, where devices ask for what people signed: planned and signed in one step, when
// the keys for it are at hand. Nothing changes where they are not: then *io_why stays as it is.
static int sign_and_start(const struct application *a, struct net_client *client, json_t **ret,
                          struct err *io_why) {
    const struct cmd_mandate_hand hand = {.context = a->follow.context,
                                          .args = a->args,
                                          .workspace = cmd_mandate_workspace(a->args),
                                          .keys_folder = CMD_WORKSPACE_KEYS};
    OWN(json) json_t *body = NULL;
    struct err e = ERR_NONE;
    if (!err_is(io_why, &err_no_mandate) || opt_operand(a->args, 0) || !hand.workspace)
        return -1;
    int planned = cmd_mandate_plan(&hand, client, a->policy, a->document, &body, &e);
    if (planned == CMD_MANDATE_NO_ROLE)
        return -1;
    if (planned == 0 && net_client_post(client, "/api/v1/rollouts", body, ret, &e) >= 0)
        return 0;
    // A workspace without offline keys: it was named for its token.
    if (!err_is(&e, &err_not_found))
        *io_why = e;
    return -1;
}

static int start(const struct application *a, struct net_client *client, json_t **ret,
                 struct err *e) {
    struct err why = ERR_NONE;
    if (net_client_post(client, "/api/v1/rollouts", a->document, ret, &why) >= 0 ||
        sign_and_start(a, client, ret, &why) == 0)
        return 0;
    *e = why;
    return err_prefix(e, "starting the rollout %s", a->policy->name);
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
    if (start(a, client, &answer, e) < 0)
        return -1;
    if (!opt_given(a->args, "wait")) {
        print_one(a->args, answer);
        return 0;
    }
    a->follow.client = client;
    return follow(a, &floors, e);
}

static int check_options(const struct opt_args *args, struct err *e) {
    bool plan = opt_operand(args, 0) != NULL;
    if (!opt_get(args, "file") && !plan)
        return err_set(e, &err_usage, "rollout apply: what? Give PLAN or -f POLICY");
    if (opt_get(args, "file") && plan)
        return err_set(e, &err_usage,
                       "rollout apply: a plan has its policy in it: give PLAN or -f");
    if (opt_given(args, "drift") && !plan)
        return err_set(e, &err_usage, "--drift goes with PLAN");
    if (opt_given(args, "timeout") && !opt_given(args, "wait"))
        return err_set(e, &err_usage, "--timeout goes with --wait");
    for (size_t i = 0; i < sizeof floor_options / sizeof floor_options[0]; i++)
        if (opt_given(args, floor_options[i]) &&
            !(opt_given(args, "wait") && opt_given(args, "raise-floors")))
            return err_set(e, &err_usage, "--%s goes with --wait%s", floor_options[i],
                           i == 0 ? "" : " --raise-floors");
    return 0;
}

// What is to be sent, and the policy in it.
static int read_application(const struct opt_args *args, struct rollout_policy *policy,
                            json_t **ret, struct err *e) {
    const char *plan = opt_operand(args, 0);
    OWN(json) json_t *file = NULL;
    if (plan == NULL)
        return cmd_rollout_file_policy(opt_get(args, "file"), policy, ret, e);
    if (cmd_rollout_file_plan(plan, policy, &file, e) < 0)
        return -1;
    return cmd_rollout_file_body(file, opt_get(args, "drift"), ret, e);
}

static int run_apply(void *context, const struct opt_args *args, struct err *e) {
    OWN(json) json_t *document = NULL;
    OWN(mem) struct rollout_policy *policy = calloc(1, sizeof *policy);
    if (!policy)
        return no_memory(e);
    struct application a = {.args = args,
                            .policy = policy,
                            .follow = {.context = context, .json = opt_given(args, "json")}};
    if (check_options(args, e) < 0 || read_timeout(args, &a.follow.timeout_s, e) < 0 ||
        read_application(args, policy, &document, e) < 0)
        return -1;
    a.follow.name = policy->name;
    a.document = document;
    if (!opt_given(args, "check"))
        return apply(&a, e);
    if (opt_given(args, "json"))
        cmd_print_json(document);
    else if (opt_operand(args, 0) != NULL)
        (void)printf("%s: the plan's policy is right\n", opt_operand(args, 0));
    else
        (void)printf("%s: the policy is right\n", opt_get(args, "file"));
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
    if (!opt_given(args, "json"))
        cmd_rollout_behind_note(args, cmd_print_string(answer, "state"));
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
    char note[600];
    if (!opt_given(args, "json") && *text_safe(cmd_print_string(answer, "note"), note, sizeof note))
        (void)printf("%s\n", note);
    return 0;
}

// Where the next stages want a further signature, and the keys for it are at hand: they give it.
static int approve_signed(const struct cmd_context *context, const struct opt_args *args,
                          json_t *body, struct err *io_why) {
    const struct cmd_mandate_hand hand = {.context = context,
                                          .args = args,
                                          .workspace = cmd_mandate_workspace(args),
                                          .keys_folder = CMD_WORKSPACE_KEYS};
    OWN(net_client) struct net_client *client = NULL;
    json_t *mandate = NULL;
    struct err e = ERR_NONE;
    if (!err_is(io_why, &err_no_mandate) || json_object_get(body, "mandate") || !hand.workspace)
        return -1;
    int signed_here = cmd_remote_open(args, &client, &e);
    if (signed_here == 0)
        signed_here = cmd_mandate_further(&hand, client, opt_operand(args, 0), &mandate, &e);
    if (signed_here < 0 && !err_is(&e, &err_not_found))
        *io_why = e;
    if (signed_here != 0 || json_object_set_new(body, "mandate", mandate) < 0)
        return -1;
    err_clear(io_why);
    return act(args, "rollouts/%/approve", json_incref(body), io_why);
}

static int run_approve(void *context, const struct opt_args *args, struct err *e) {
    const char *stage = opt_get(args, "stage"), *plan = opt_get(args, "mandate");
    struct err why = ERR_NONE;
    OWN(json) json_t *mandate = NULL;
    OWN(json) json_t *body = stage ? json_pack("{s:s}", "stage", stage) : json_object();
    if (plan && cmd_mandate_read(plan, &mandate, e) < 0)
        return -1;
    if (mandate && json_object_set(body, "mandate", mandate) < 0)
        return err_set(e, &err_memory, "approving: no memory");
    if (act(args, "rollouts/%/approve", json_incref(body), &why) == 0 ||
        approve_signed(context, args, body, &why) == 0)
        return 0;
    *e = why;
    return -1;
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
    ROW("rollout plan", "", 0, "Say what a policy would do; nothing changes",
        cmd_rollout_plan_options, cmd_rollout_plan),
    ROW("rollout sign", "PLAN", 1, "Sign how far a plan's rollout may go, after showing it",
        cmd_mandate_sign_options, cmd_mandate_sign),
    {.name = "rollout apply",
     .operands = "[PLAN]",
     .operands_max = 1,
     .help = "Start a rollout; the same plan or policy again is the same rollout",
     .options = apply_options,
     .run = run_apply},
    ROW("rollout list", "", 0, "List rollouts", plain_options, run_list),
    ROW("rollout status", "NAME", 1, "Show its stages, and why it does not move", plain_options,
        run_status),
    ROW("rollout why", "NAME", 1, "Everything that holds it, and what its gates concluded",
        plain_options, cmd_rollout_why),
    ROW("rollout failures", "NAME", 1, "Of one that went back: the devices that did not",
        cmd_rollout_behind_options, cmd_rollout_behind),
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
