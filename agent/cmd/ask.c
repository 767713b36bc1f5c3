// SPDX-License-Identifier: Apache-2.0
//
// See ask.h.
#include "agent/cmd/ask.h"

#include <stdio.h>

#include "agent/cmd/context.h"
#include "agent/daemon.h"
#include "agent/status.h"
#include "agent/talk.h"
#include "base/num.h"
#include "base/own.h"

#define INHIBIT_MAX_S 31536000

int cmd_ask_status(void *context, const struct opt_args *args, struct err *e) {
    struct agent_config config;
    OWN(json) json_t *status = NULL;
    (void)context;
    if (cmd_context_config(args, AGENT_CONFIG_LENIENT, &config, e) < 0)
        return -1;
    int done = cmd_context_ask(&config, "status", &status, e);
    if (done == AGENT_TALK_NOBODY)
        done = agent_status_read(&config, &status, e);
    agent_config_clear(&config);
    if (done < 0)
        return -1;
    if (!opt_given(args, "json")) {
        agent_status_print(status);
        return 0;
    }
    OWN(mem) char *text = json_dumps(status, JSON_INDENT(2) | JSON_SORT_KEYS);
    if (!text)
        return err_set(e, &err_memory, "out of memory");
    (void)puts(text);
    return 0;
}

int cmd_ask_enroll(void *context, const struct opt_args *args, struct err *e) {
    struct agent_config config;
    OWN(json) json_t *answer = NULL;
    (void)context;
    if (cmd_context_config(args, AGENT_CONFIG_LENIENT, &config, e) < 0)
        return -1;
    int done = cmd_context_ask(&config, "enroll", &answer, e);
    agent_config_clear(&config);
    if (done == AGENT_TALK_NOBODY)
        return err_set(e, &err_not_found,
                       "no agent is running; `edge-agent run` enrols by itself at its first start");
    return done;
}

int cmd_ask_inhibit(void *context, const struct opt_args *args, struct err *e) {
    struct agent_config config;
    uint64_t seconds;
    char path[256];
    OWN(json) json_t *answer = NULL;
    const char *reason = opt_get(args, "reason");
    (void)context;
    if (num_parse_seconds(opt_operand(args, 0), "DURATION", INHIBIT_MAX_S, &seconds, e) < 0) {
        e->kind = &err_usage;
        return err_prefix(e, "inhibit");
    }
    if (cmd_context_config(args, AGENT_CONFIG_LENIENT, &config, e) < 0)
        return -1;
    OWN(json)
    json_t *request = json_pack("{ss sI ss}", "cmd", "inhibit", "seconds", (json_int_t)seconds,
                                "reason", reason ? reason : "");
    int done = !request ? err_set(e, &err_memory, "out of memory, or the reason is not UTF-8")
                        : agent_talk_ask(agent_daemon_socket(&config, path, sizeof path), request,
                                         -1, &answer, e);
    agent_config_clear(&config);
    if (done == AGENT_TALK_NOBODY)
        return err_set(e, &err_not_found, "no agent is running: nothing could be activated either");
    return done;
}
