// SPDX-License-Identifier: Apache-2.0
//
// A request for dry probes, from its making to its last answer.
#include "ctl/cmd/rollout_dry.h"

#include <string.h>

#include "base/chrono.h"
#include "base/num.h"
#include "base/own.h"
#include "base/text.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/remote.h"
#include "ctl/kind.h"
#include "ctl/term.h"

// As the controller has them.
#define SAMPLE_MAX     1000
#define WAIT_DEFAULT_S 600
#define WAIT_MAX_S     86400

#define LOOK_MS    1000  // between two looks at what came
#define SAY_MS     10000 // between two lines of how it stands
#define TEXT_BYTES 600

static const char *safe(const json_t *object, const char *key, char ret[static TEXT_BYTES]) {
    return text_safe(cmd_print_string(object, key), ret, TEXT_BYTES);
}

static long long number(const json_t *object, const char *key) {
    return (long long)cmd_print_integer(object, key);
}

// ── Asking ──

int cmd_rollout_dry_check(const struct opt_args *args, struct err *e) {
    static const char *const with[] = {"sample", "wait"};
    for (size_t i = 0; i < sizeof with / sizeof *with; i++)
        if (opt_given(args, with[i]) && !opt_given(args, "dry-probes"))
            return err_set(e, &err_usage, "--%s goes with --dry-probes", with[i]);
    return 0;
}

static int make_request(const struct opt_args *args, const json_t *plan, json_t **ret,
                        uint64_t *ret_wait_s, struct err *e) {
    uint64_t sample = 0, wait_s = WAIT_DEFAULT_S;
    const char *n = opt_get(args, "sample"), *wait = opt_get(args, "wait");
    if ((n != NULL && num_parse_u64(n, "--sample", 1, SAMPLE_MAX, &sample, e) < 0) ||
        (wait != NULL && num_parse_seconds(wait, "--wait", WAIT_MAX_S, &wait_s, e) < 0))
        return -1;
    if (wait_s == 0)
        return err_set(e, &err_usage, "--wait: expected a second or more");
    OWN(json)
    json_t *made = json_pack("{s:O, s:I}", "policy", json_object_get(plan, "policy"), "wait_s",
                             (json_int_t)wait_s);
    if (made == NULL ||
        (sample > 0 && json_object_set_new(made, "sample", json_integer((json_int_t)sample)) < 0))
        return err_set(e, &err_memory, "asking devices: out of memory");
    *ret = own_take(&made);
    *ret_wait_s = wait_s;
    return 0;
}

// How many are to answer still.
static long long open_of(const json_t *dry) {
    long long left = number(dry, "sample") - number(dry, "answered");
    size_t i;
    json_t *row;
    json_array_foreach (json_object_get(dry, "declined"), i, row)
        left -= number(row, "devices");
    return left;
}

// Answers that could not be fetched are fetched with the next look; at the end it counts.
static int wait_for(const struct cmd_context *context, struct net_client *client, const char *path,
                    int64_t until_ms, json_t **io, struct err *e) {
    int64_t said_ms = 0;
    for (;;) {
        int64_t now_ms = chrono_boot_ms(context->clock);
        if (open_of(*io) == 0)
            return 0;
        if (said_ms == 0 || now_ms - said_ms >= SAY_MS) {
            (void)fprintf(stderr, "dry probes: %lld of %lld devices asked, %lld answered\n",
                          number(*io, "asked"), number(*io, "sample"), number(*io, "answered"));
            said_ms = now_ms;
        }
        int64_t left_ms = until_ms - now_ms;
        ctl_term_pause(left_ms > LOOK_MS ? LOOK_MS : left_ms > 0 ? (unsigned)left_ms : 0);
        json_t *answer = NULL;
        struct err why = ERR_NONE;
        if (net_client_get(client, path, &answer, &why) < 0) {
            if (left_ms > 0 && why.kind->retry)
                continue;
            *e = why;
            return -1;
        }
        json_decref(*io);
        *io = answer;
        if (left_ms <= 0)
            return 0;
    }
}

int cmd_rollout_dry_ask(const struct cmd_context *context, const struct opt_args *args,
                        struct net_client *client, json_t *io, struct err *e) {
    OWN(json) json_t *request = NULL;
    OWN(json) json_t *answer = NULL;
    OWN(buf) struct buf path;
    uint64_t wait_s = 0;
    buf_init(&path, CMD_REMOTE_PATH_MAX);
    if (!opt_given(args, "dry-probes"))
        return 0;
    if (make_request(args, io, &request, &wait_s, e) < 0 ||
        net_client_post(client, "/api/v1/rollouts/plan/probes", request, &answer, e) < 0)
        return -1;
    int64_t until_ms = chrono_boot_ms(context->clock) + (int64_t)wait_s * 1000;
    if (cmd_remote_path(&path, e, "rollouts/plan/probes/%", cmd_print_string(answer, "id")) < 0 ||
        wait_for(context, client, buf_text(&path), until_ms, &answer, e) < 0)
        return -1;
    return json_object_set(io, "dry_probes", json_object_get(answer, "id")) < 0
               ? err_set(e, &err_memory, "asking devices: out of memory")
               : 0;
}

// ── In words ──

static void show_probe(FILE *out, const json_t *probe) {
    char name[TEXT_BYTES], code[TEXT_BYTES];
    const char *key;
    json_t *n;
    (void)fprintf(out, "  probe %s: passed on %lld, failed on %lld", safe(probe, "name", name),
                  number(probe, "passed"), number(probe, "failed"));
    json_object_foreach (json_object_get(probe, "codes"), key, n)
        (void)fprintf(out, ", %s %lld", text_safe(key, code, sizeof code),
                      (long long)json_integer_value(n));
    if (number(probe, "not_runnable") > 0)
        (void)fprintf(out, "; cannot be run without the release on %lld",
                      number(probe, "not_runnable"));
    (void)fputc('\n', out);
}

void cmd_rollout_dry_show(FILE *out, const json_t *plan) {
    const json_t *dry = json_object_get(plan, "dry_probes");
    const json_t *strata = json_object_get(dry, "strata");
    char text[TEXT_BYTES], name[TEXT_BYTES];
    size_t i;
    json_t *row;
    if (!json_is_object(dry))
        return;
    (void)fprintf(out, "dry probes: %s\n", safe(dry, "text", text));
    (void)fprintf(out, "  %lld devices chosen, %lld asked, %lld answered\n", number(dry, "sample"),
                  number(dry, "asked"), number(dry, "answered"));
    json_array_foreach (json_object_get(dry, "probes"), i, row)
        show_probe(out, row);
    json_array_foreach (strata, i, row)
        if (json_array_size(strata) > 1)
            (void)fprintf(out, "  stratum %s: %lld of %lld would fail\n", safe(row, "key", name),
                          number(row, "would_fail"), number(row, "judged"));
    json_array_foreach (json_object_get(dry, "declined"), i, row)
        (void)fprintf(out, "  %lld devices ran none: %s (%s)\n", number(row, "devices"),
                      safe(row, "text", text), safe(row, "code", name));
}
