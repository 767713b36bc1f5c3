// SPDX-License-Identifier: Apache-2.0
//
// See install.h. A running agent does the work and is asked for its state until it is decided;
// otherwise this process takes the agent's lock and is the agent for as long as it takes.
#include "agent/cmd/install.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/cmd/context.h"
#include "agent/cmd/verify.h"
#include "agent/daemon.h"
#include "agent/kind.h"
#include "agent/log.h"
#include "agent/state.h"
#include "agent/status.h"
#include "agent/talk.h"
#include "base/fs.h"
#include "base/own.h"

#define ASK_EVERY_MS 300

enum { CHOSE_NONE = 1 }; // the worker has said why

static bool quiet;

// Each word once; and probation, which takes minutes, with what a person can do meanwhile.
static void say(const char *line) {
    static char last[64];
    if (quiet || strcmp(line, last) == 0)
        return;
    (void)snprintf(last, sizeof last, "%s", line);
    (void)printf("%s%s\n", line,
                 strcmp(line, "probation") == 0
                     ? ": checks go on for as long as the bundle says; `edge-agent commit` ends it "
                       "now, `edge-agent rollback` goes back"
                     : "");
    (void)fflush(stdout);
}

static void wait_a_moment(void) {
    struct timespec pause = {.tv_nsec = ASK_EVERY_MS * 1000000L};
    (void)nanosleep(&pause, NULL);
}

static const char *text_of(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

// Whether it went as wanted; otherwise *e is the agent's reason.
static int conclude(const json_t *last, const char *wanted, struct err *e) {
    const struct err_kind *kind = agent_state_kind(text_of(last, "code"));
    if (strcmp(text_of(last, "event"), wanted) == 0)
        return 0;
    return err_set(e, kind ? kind : &err_internal, "%s", text_of(last, "text"));
}

// The agent that was asked runs no more. A commit or a revert was durable before it said yes, so
// that an idle state is the end of it; an `install` in the foreground is over by then.
static int conclude_without(const struct agent_config *config, enum fsm_event what, struct err *e) {
    OWN(json) json_t *status = NULL;
    if (agent_status_read(config, &status, e) < 0)
        return -1;
    if (what != FSM_OFFER && strcmp(text_of(status, "state"), "idle") == 0)
        return 0;
    return err_set(e, &err_busy, "the agent ended; it goes on when it runs again");
}

// Asks for the state until the agent is idle again.
static int follow(const struct agent_config *config, enum fsm_event what, const char *wanted,
                  struct err *e) {
    char told[64] = "";
    for (;;) {
        OWN(json) json_t *status = NULL;
        struct err closed = ERR_NONE;
        int asked = cmd_context_ask(config, "status", &status, &closed);
        if (asked == AGENT_TALK_NOBODY)
            return conclude_without(config, what, e);
        if (asked < 0 && err_is(&closed, &err_busy)) {
            wait_a_moment();
            continue;
        }
        if (asked < 0) {
            *e = closed;
            return -1;
        }
        const char *state = text_of(status, "state");
        const json_t *last = json_object_get(status, "last");
        if (strcmp(state, "idle") == 0 && json_is_object(last))
            return conclude(last, wanted, e);
        if (strcmp(state, "failed") == 0)
            return conclude(json_object_get(status, "last"), wanted, e);
        if (strcmp(state, told) != 0) {
            (void)snprintf(told, sizeof told, "%s", state);
            say(state);
        }
        wait_a_moment();
    }
}

// 0 asked, 1 nobody runs.
static int ask(const struct agent_config *config, const char *cmd, bool again, int file,
               struct err *e) {
    char path[256];
    OWN(json) json_t *answer = NULL;
    OWN(json) json_t *request = json_pack("{ss sb}", "cmd", cmd, "again", again);
    if (!request)
        return err_set(e, &err_memory, "out of memory");
    return agent_talk_ask(agent_daemon_socket(config, path, sizeof path), request, file, &answer,
                          e);
}

static int once(const struct agent_config *config, enum fsm_event what, bool again, int file,
                struct err *e) {
    struct agent_daemon_once job = {
        .ask = what, .file = file, .again = again, .progress = quiet ? NULL : say};
    // What happens is said on stdout, and why it did not go well in the last line on stderr.
    agent_log_limit(AGENT_LOG_ERROR);
    if (agent_daemon_once(config, &job, e) < 0)
        return -1;
    if (job.why.kind) {
        *e = job.why;
        return -1;
    }
    return 0;
}

static int run(const struct agent_config *config, const struct opt_args *args, const char *cmd,
               enum fsm_event what, int file, struct err *e) {
    OWN(fd) int held = file;
    const char *wanted = what == FSM_ASK_REVERT ? "reverted" : "committed";
    bool again = what == FSM_OFFER && opt_given(args, "again");
    bool wait = what != FSM_OFFER || !opt_given(args, "no-wait");
    int asked = ask(config, cmd, again, held, e);
    if (asked < 0)
        return -1;
    int done = 0;
    if (asked == AGENT_TALK_NOBODY)
        done = once(config, what, again, own_take_fd(&held), e);
    else if (wait)
        done = follow(config, what, wanted, e);
    if (done == 0 && (wait || asked == AGENT_TALK_NOBODY))
        say(wanted);
    return done;
}

// The bundle in the directory that is for this device, by the worker's word: it reads manifests of
// strangers.
static int choose(const struct agent_config *config, const char *path, int dir,
                  struct cmd_context *c, int *ret, struct err *e) {
    char name[NAME_MAX + 1] = "";
    size_t got;
    OWN(json) json_t *facts = NULL;
    OWN(fd) int said = memfd_create("choice", MFD_CLOEXEC);
    if (said < 0)
        return err_errno(e, errno, "room for a name");
    if (cmd_context_facts(config, &facts, e) < 0)
        return -1;
    OWN(mem) char *text = json_dumps(facts, JSON_COMPACT);
    const char *argv[] = {NULL, "--choose", path, text, config->root, config->state_dir, NULL};
    if (!text)
        return err_set(e, &err_memory, "out of memory");
    if (cmd_verify_run(config, argv, said, &c->exit_status, e) < 0)
        return -1;
    if (c->exit_status != 0)
        return CHOSE_NONE;
    if (fs_pread(said, name, NAME_MAX, 0, &got, e) < 0)
        return -1;
    say(name);
    return fs_open_read(dir, name, ret, e);
}

// Before anything is begun or written: only a file can be read at any place, as often as needed.
static int open_bundle(const struct agent_config *config, const char *path, struct cmd_context *c,
                       int *ret, struct err *e) {
    OWN(fd) int file = -1;
    OWN(fd) int dir = -1;
    struct err none = ERR_NONE;
    struct stat status;
    if (fs_open_dir(AT_FDCWD, path, &dir, &none) == 0)
        return choose(config, path, dir, c, ret, e);
    if (fs_open_read(AT_FDCWD, path, &file, e) < 0)
        return -1;
    if (fstat(file, &status) < 0)
        return err_errno(e, errno, "looking at it");
    if (!S_ISREG(status.st_mode))
        return err_set(e, &err_usage, "not a file: give the path of a bundle");
    *ret = own_take_fd(&file);
    return 0;
}

int cmd_install_bundle(void *context, const struct opt_args *args, struct err *e) {
    struct agent_config config;
    OWN(fd) int file = -1;
    const char *path = opt_operand(args, 0);
    if (strncmp(path, "file:", 5) == 0)
        path += strncmp(path + 5, "//", 2) == 0 ? 7 : 5;
    if (cmd_context_config(args, AGENT_CONFIG_LENIENT, &config, e) < 0)
        return -1;
    quiet = opt_given(args, "quiet");
    int done = open_bundle(&config, path, context, &file, e);
    if (done == 0)
        done = run(&config, args, "install", FSM_OFFER, own_take_fd(&file), e);
    agent_config_clear(&config);
    return done < 0 ? err_prefix(e, "installing %s", path) : 0;
}

static int simple(const struct opt_args *args, const char *cmd, enum fsm_event what,
                  struct err *e) {
    struct agent_config config;
    if (cmd_context_config(args, AGENT_CONFIG_LENIENT, &config, e) < 0)
        return -1;
    quiet = opt_given(args, "quiet");
    int done = run(&config, args, cmd, what, -1, e);
    agent_config_clear(&config);
    return done;
}

int cmd_install_commit(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    return simple(args, "commit", FSM_ASK_COMMIT, e);
}

int cmd_install_rollback(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    return simple(args, "rollback", FSM_ASK_REVERT, e);
}
