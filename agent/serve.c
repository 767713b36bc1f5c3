// SPDX-License-Identifier: Apache-2.0
//
// One row for each command; see agent/talk.h for what they mean.
#include "agent/serve.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/kind.h"
#include "agent/status.h"
#include "base/doc.h"
#include "base/own.h"

static int done(json_t **ret, struct err *e) {
    *ret = json_pack("{sb}", "ok", 1);
    return *ret ? 0 : err_set(e, &err_memory, "answering: out of memory");
}

static int status(const struct agent_serve *s, struct agent_talk_request *request, json_t **ret,
                  struct err *e) {
    (void)request;
    if (agent_status_make(s->state, s->update, ret, e) < 0)
        return -1;
    return s->checkin ? agent_checkin_describe(s->checkin, *ret, e) : 0;
}

static int inhibit(const struct agent_serve *s, struct agent_talk_request *request, json_t **ret,
                   struct err *e) {
    struct doc_at at;
    uint64_t seconds;
    const char *reason = "";
    if (doc_root(request->message, "request", &at, e) < 0 ||
        doc_u64(&at, "seconds", 0, 31536000, &seconds, e) < 0 ||
        doc_string_opt(&at, "reason", 100, &reason, e) < 0)
        return -1;
    agent_update_inhibit(s->update, seconds, reason);
    return done(ret, e);
}

static int install(const struct agent_serve *s, struct agent_talk_request *request, json_t **ret,
                   struct err *e) {
    struct stat file;
    if (s->foreground)
        return err_set(e, &err_busy, "another install is under way");
    if (request->fd < 0 || fstat(request->fd, &file) < 0 || !S_ISREG(file.st_mode))
        return err_set(e, &err_usage, "no bundle came along with the request");
    struct fsm_update offer = {
        .local = true,
        .attempt = json_is_true(json_object_get(request->message, "again")) ? 0 : 1,
        .size = (uint64_t)file.st_size,
    };
    if (agent_update_offer(s->update, &offer, own_take_fd(&request->fd), e) < 0)
        return -1;
    return done(ret, e);
}

static int ask(const struct agent_serve *s, enum fsm_event event, const struct err_kind *kind,
               const char *text, json_t **ret, struct err *e) {
    struct err why = ERR_NONE;
    if (kind)
        err_set(&why, kind, "%s", text);
    if (agent_update_ask(s->update, event, &why, e) < 0)
        return -1;
    return done(ret, e);
}

static int commit(const struct agent_serve *s, struct agent_talk_request *request, json_t **ret,
                  struct err *e) {
    (void)request;
    return ask(s, FSM_ASK_COMMIT, NULL, "", ret, e);
}

static int rollback(const struct agent_serve *s, struct agent_talk_request *request, json_t **ret,
                    struct err *e) {
    (void)request;
    return ask(s, FSM_ASK_REVERT, &err_rolled_back, "an operator asked to go back", ret, e);
}

static int cancel(const struct agent_serve *s, struct agent_talk_request *request, json_t **ret,
                  struct err *e) {
    (void)request;
    return ask(s, FSM_ASK_CANCEL, &err_cancelled, "an operator gave the update up", ret, e);
}

static int enroll(const struct agent_serve *s, struct agent_talk_request *request, json_t **ret,
                  struct err *e) {
    (void)request;
    if (!s->checkin || s->state->config->controller[0] == '\0')
        return err_set(e, &err_config, "the configuration names no controller");
    agent_checkin_enroll(s->checkin);
    return done(ret, e);
}

static int check_in(const struct agent_serve *s, struct agent_talk_request *request, json_t **ret,
                    struct err *e) {
    (void)request;
    if (!s->checkin || s->state->config->controller[0] == '\0')
        return err_set(e, &err_config, "the configuration names no controller");
    agent_checkin_soon(s->checkin);
    return done(ret, e);
}

static const struct {
    const char *name;
    bool anyone; // not only uid 0 and our own user
    int (*run)(const struct agent_serve *s, struct agent_talk_request *request, json_t **ret,
               struct err *e);
} commands[] = {
    {"status", true, status},  {"inhibit", true, inhibit},    {"install", false, install},
    {"commit", false, commit}, {"rollback", false, rollback}, {"cancel", false, cancel},
    {"enroll", false, enroll}, {"checkin", false, check_in},
};

int agent_serve_answer(const struct agent_serve *serve, struct agent_talk_request *request,
                       json_t **ret, struct err *e) {
    const char *name = json_string_value(json_object_get(request->message, "cmd"));
    for (size_t i = 0; name && i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(name, commands[i].name) != 0)
            continue;
        if (!commands[i].anyone && !request->may_command)
            return err_set(e, &err_permission, "%s is for root and the agent's own user", name);
        return commands[i].run(serve, request, ret, e);
    }
    return err_set(e, &err_usage, "the request names no command that the agent knows");
}
