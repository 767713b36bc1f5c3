// SPDX-License-Identifier: Apache-2.0
//
// `edgectl device`: verbs that change what the controller thinks of devices. Each can be repeated.
#include "ctl/cmd/device.h"

#include <stdio.h>

#include "base/num.h"
#include "base/own.h"
#include "ctl/cmd/mandate.h"
#include "ctl/cmd/passphrase.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/remote.h"
#include "ctl/cmd/signers.h"

#define EXPIRES_MAX_S (366ULL * 86400)

static const struct opt plain_options[] = {CMD_REMOTE_OPTIONS, CMD_OPTION_JSON, CMD_OPTION_END};
static const struct opt hold_options[] = {{.name = "off", .help = "Let it take updates again"},
                                          CMD_REMOTE_OPTIONS,
                                          CMD_OPTION_JSON,
                                          CMD_OPTION_END};
static const struct opt pin_options[] = {
    {.name = "off", .help = "Unpin it"},
    CMD_SIGNERS_OPTIONS,
    CMD_PASSPHRASE_OPTION,
    {.name = "expires",
     .value = "TIME",
     .help = "Until when what is signed for it holds: a time, or a duration (default 365d)"},
    CMD_REMOTE_OPTIONS,
    CMD_OPTION_JSON,
    CMD_OPTION_END};
static const struct opt label_options[] = {
    {.name = "remove", .repeat = true, .value = "KEY", .help = "Take this label away"},
    CMD_REMOTE_OPTIONS,
    CMD_OPTION_JSON,
    CMD_OPTION_END};
static const struct opt replace_options[] = {
    {.name = "expires", .value = "TIME", .help = "How long the token is valid: 90, 15m, 2h, 7d"},
    CMD_REMOTE_OPTIONS,
    CMD_OPTION_JSON,
    CMD_OPTION_END};

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "device: no memory");
}

static void print_device(const struct opt_args *args, const json_t *device, const char *done) {
    if (opt_given(args, "json")) {
        cmd_print_json(device);
        return;
    }
    cmd_print_text(cmd_print_string(device, "id"));
    (void)printf(": %s\n", done);
}

// One request for one device; *ret is what it answered.
static int post(struct net_client *client, const char *pattern, const char *id, const json_t *body,
                json_t **ret, struct err *e) {
    OWN(buf) struct buf path;
    buf_init(&path, CMD_REMOTE_PATH_MAX);
    if (cmd_remote_path(&path, e, pattern, id) < 0 ||
        net_client_post(client, buf_text(&path), body, ret, e) < 0)
        return err_prefix(e, "device %.80s", id);
    return 0;
}

// The same request for each operand. Consumes the body.
static int post_each(const struct opt_args *args, const char *pattern, json_t *consumed,
                     const char *done, struct err *e) {
    OWN(json) json_t *body = consumed;
    OWN(net_client) struct net_client *client = NULL;
    if (!body)
        return no_memory(e);
    if (cmd_remote_open(args, &client, e) < 0)
        return -1;
    for (size_t i = 0; i < opt_operands(args); i++) {
        OWN(json) json_t *answer = NULL;
        if (post(client, pattern, opt_operand(args, i), body, &answer, e) < 0)
            return -1;
        print_device(args, answer, done);
    }
    return 0;
}

static int run_accept(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    return post_each(args, "devices/%/accept", json_object(), "accepted", e);
}

static int run_reject(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    return post_each(args, "devices/%/reject", json_object(), "rejected; its tokens ended", e);
}

static int run_retire(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    return post_each(args, "devices/%/retire", json_object(), "retired; its tokens ended", e);
}

static int run_hold(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    bool off = opt_given(args, "off");
    return post_each(args, "devices/%/hold", json_pack("{s:b}", "held", !off),
                     off ? "takes updates again" : "held: it is offered nothing", e);
}

// What all verbs with one device and operands behind it do.
static int post_one(const struct opt_args *args, const char *pattern, const json_t *body,
                    json_t **ret, struct err *e) {
    OWN(net_client) struct net_client *client = NULL;
    if (cmd_remote_open(args, &client, e) < 0)
        return -1;
    return post(client, pattern, opt_operand(args, 0), body, ret, e);
}

// Where devices install nothing that people did not sign for, the pin is signed for.
static int add_mandate(void *context, const struct opt_args *args, json_t *body, struct err *e) {
    json_t *mandate = NULL;
    const struct cmd_mandate_pin pin = {.context = context,
                                        .args = args,
                                        .device = opt_operand(args, 0),
                                        .name = opt_operand(args, 1),
                                        .version = opt_operand(args, 2)};
    if (cmd_mandate_pin(&pin, &mandate, e) < 0)
        return err_prefix(e, "pinning %s", pin.device);
    return mandate && json_object_set_new(body, "mandate", mandate) < 0 ? no_memory(e) : 0;
}

static int run_pin(void *context, const struct opt_args *args, struct err *e) {
    bool off = opt_given(args, "off");
    OWN(json) json_t *answer = NULL;
    if (opt_operands(args) != (off ? 1 : 3))
        return err_set(e, &err_usage, "device pin: expected DEVICE NAME VERSION, or DEVICE --off");
    OWN(json)
    json_t *body = off ? json_pack("{s:n}", "release")
                       : json_pack("{s:{s:s,s:s}}", "release", "name", opt_operand(args, 1),
                                   "version", opt_operand(args, 2));
    if (!body)
        return no_memory(e);
    if ((!off && add_mandate(context, args, body, e) < 0) ||
        post_one(args, "devices/%/pin", body, &answer, e) < 0)
        return -1;
    print_device(args, answer, off ? "unpinned" : "pinned");
    return 0;
}

static int read_labels(const struct opt_args *args, json_t *labels, struct err *e) {
    for (size_t i = 1; i < opt_operands(args); i++)
        if (cmd_remote_label("device label", opt_operand(args, i), labels, e) < 0)
            return -1;
    for (size_t i = 0; i < opt_count(args, "remove"); i++)
        if (json_object_set_new(labels, opt_get_at(args, "remove", i), json_null()) < 0)
            return err_set(e, &err_usage, "device label: not UTF-8");
    if (json_object_size(labels) == 0)
        return err_set(e, &err_usage, "device label: give KEY=VALUE or --remove KEY");
    return 0;
}

static int run_label(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    OWN(json) json_t *labels = json_object();
    OWN(json) json_t *body = labels ? json_pack("{s:O}", "labels", labels) : NULL;
    OWN(json) json_t *answer = NULL;
    if (!body)
        return no_memory(e);
    if (read_labels(args, labels, e) < 0 || post_one(args, "devices/%/label", body, &answer, e) < 0)
        return -1;
    print_device(args, answer, "labelled");
    return 0;
}

static int run_replace(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    const char *expires = opt_get(args, "expires");
    uint64_t seconds = 0;
    OWN(json) json_t *body = json_object();
    OWN(json) json_t *answer = NULL;
    if (!body)
        return no_memory(e);
    if (expires && num_parse_seconds(expires, "--expires", EXPIRES_MAX_S, &seconds, e) < 0)
        return -1;
    if (expires && json_object_set_new(body, "expires_in_s", json_integer((json_int_t)seconds)) < 0)
        return no_memory(e);
    if (post_one(args, "devices/%/replace", body, &answer, e) < 0)
        return -1;
    if (opt_given(args, "json"))
        cmd_print_json(answer);
    else // alone, so that a script can capture it
        (void)printf("%s\n", cmd_print_string(answer, "enroll_token"));
    return 0;
}

static int run_remove(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    OWN(net_client) struct net_client *client = NULL;
    if (cmd_remote_open(args, &client, e) < 0)
        return -1;
    for (size_t i = 0; i < opt_operands(args); i++) {
        OWN(json) json_t *answer = NULL;
        OWN(buf) struct buf path;
        buf_init(&path, CMD_REMOTE_PATH_MAX);
        if (cmd_remote_path(&path, e, "devices/%", opt_operand(args, i)) < 0 ||
            net_client_delete(client, buf_text(&path), &answer, e) < 0)
            return err_prefix(e, "device %.80s", opt_operand(args, i));
        if (opt_given(args, "json"))
            cmd_print_json(answer);
        else
            (void)printf("removed %s\n", opt_operand(args, i));
    }
    return 0;
}

#define ROW(name_, operands_, min_, max_, help_, options_, run_)                                   \
    {                                                                                              \
        .name = (name_), .operands = (operands_), .operands_min = (min_), .operands_max = (max_),  \
        .help = (help_), .options = (options_), .run = (run_)                                      \
    }

const struct opt_command cmd_device[] = {
    ROW("device list", "", 0, 0, "List devices, what they run, and why", cmd_device_list_options,
        cmd_device_list),
    ROW("device show", "DEVICE", 1, 1, "Show all that is known of a device",
        cmd_device_show_options, cmd_device_show),
    ROW("device why", "DEVICE", 1, 1, "Say why a device has, or has not, what it should",
        cmd_device_show_options, cmd_device_why),
    ROW("device accept", "DEVICE…", 1, OPT_OPERANDS_MAX,
        "Let pending, rejected or retired devices in", plain_options, run_accept),
    ROW("device reject", "DEVICE…", 1, OPT_OPERANDS_MAX, "Refuse devices; their tokens end at once",
        plain_options, run_reject),
    ROW("device label", "DEVICE KEY=VALUE…", 1, OPT_OPERANDS_MAX, "Set or take away labels",
        label_options, run_label),
    ROW("device pin", "DEVICE NAME VERSION", 1, 3, "Keep a device at a release, outside rollouts",
        pin_options, run_pin),
    ROW("device hold", "DEVICE…", 1, OPT_OPERANDS_MAX, "Offer devices nothing while they are held",
        hold_options, run_hold),
    ROW("device replace", "DEVICE", 1, 1, "Print a token by which new hardware takes over its id",
        replace_options, run_replace),
    ROW("device retire", "DEVICE…", 1, OPT_OPERANDS_MAX,
        "Take devices out of service; their tokens end at once", plain_options, run_retire),
    ROW("device remove", "DEVICE…", 1, OPT_OPERANDS_MAX,
        "Forget devices that were rejected or retired", plain_options, run_remove),
    {.name = NULL}};
