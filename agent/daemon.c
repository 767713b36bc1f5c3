// SPDX-License-Identifier: Apache-2.0
//
// See daemon.h.
#include "agent/daemon.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>

#include "agent/checkin.h"
#include "agent/facts.h"
#include "agent/kind.h"
#include "agent/log.h"
#include "agent/loop.h"
#include "agent/notify.h"
#include "agent/serve.h"
#include "agent/state.h"
#include "agent/talk.h"
#include "agent/trust.h"
#include "agent/update.h"
#include "base/own.h"

#define PAUSE_MS     10000 // before beginning again after a failure of the disk
#define FACTS_MS     (24LL * 3600 * 1000)
#define WATCHDOG_MAX 30000

struct daemon {
    const struct agent_config *config;
    struct agent_daemon_once *once; // NULL for run
    struct agent_loop loop;
    struct agent_state state;
    json_t *facts;
    struct agent_trust *trust;
    struct agent_update *update;
    struct agent_checkin *checkin;
    struct agent_talk_server *server;
    int signals;
    struct agent_loop_timer watchdog;
    struct agent_loop_timer facts_again;
    int64_t watchdog_ms;
    int64_t pinged_ms;
    bool stopping;
    char told[64]; // state that was told last
};

char *agent_daemon_socket(const struct agent_config *config, char *ret, size_t ret_bytes) {
    if (config->socket[0] != '\0')
        (void)snprintf(ret, ret_bytes, "%s", config->socket);
    else
        (void)snprintf(ret, ret_bytes, "%s/agent.sock", config->state_dir);
    return ret;
}

static void ping(struct daemon *d) {
    int64_t now = chrono_boot_ms(d->loop.clock);
    if (d->watchdog_ms == 0 || now - d->pinged_ms < d->watchdog_ms / 2)
        return;
    d->pinged_ms = now;
    agent_notify_send("WATCHDOG=1");
}

static void on_watchdog(void *context) {
    struct daemon *d = context;
    ping(d);
    agent_loop_arm(&d->loop, &d->watchdog, d->watchdog_ms / 2);
}

static void read_facts(struct daemon *d) {
    json_t *facts = NULL;
    struct err e = ERR_NONE;
    if (agent_facts_collect(d->config, d->state.store.dir, &facts, &e) < 0) {
        agent_log_line(AGENT_LOG_ERROR, "%s", e.text);
        return;
    }
    if (d->update)
        agent_update_set_facts(d->update, facts);
    if (d->checkin)
        agent_checkin_set_facts(d->checkin, facts);
    json_decref(d->facts);
    d->facts = facts;
}

static void on_facts(void *context) {
    struct daemon *d = context;
    read_facts(d);
    agent_loop_arm(&d->loop, &d->facts_again, FACTS_MS);
}

static void on_signal(void *context, short revents) {
    struct daemon *d = context;
    struct signalfd_siginfo info;
    (void)revents;
    while (read(d->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGHUP) {
            read_facts(d);
            if (d->checkin)
                agent_checkin_soon(d->checkin);
        } else
            d->stopping = true;
    }
}

// Called during long hashing: the watchdog is fed, the status answered, a wish to end heard.
static int breathe(void *context, struct err *e) {
    struct daemon *d = context;
    ping(d);
    if (agent_loop_serve(&d->loop, e) < 0)
        return -1;
    return d->stopping ? err_set(e, &err_cancelled, "the agent is ending") : 0;
}

static void checkin_soon(void *context) {
    struct daemon *d = context;
    if (d->checkin)
        agent_checkin_soon(d->checkin);
}

static void fill_net(void *context, struct agent_job_net *ret) {
    struct daemon *d = context;
    agent_checkin_fill_net(&d->state, ret);
}

static const char *token(void *context) {
    struct daemon *d = context;
    return d->checkin ? agent_checkin_token(d->checkin) : "";
}

static int answer(void *context, struct agent_talk_request *request, json_t **ret, struct err *e) {
    struct daemon *d = context;
    struct agent_serve serve = {.state = &d->state,
                                .update = d->update,
                                .checkin = d->checkin,
                                .foreground = d->once != NULL};
    return agent_serve_answer(&serve, request, ret, e);
}

static int open_signals(struct daemon *d, struct err *e) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return err_errno(e, errno, "blocking signals");
    d->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (d->signals < 0)
        return err_errno(e, errno, "waiting for signals");
    if (agent_loop_watch(&d->loop, d->signals, POLLIN, on_signal, d, e) < 0)
        return -1;
    agent_loop_mark_safe(&d->loop, d->signals);
    return 0;
}

static int open_trust(struct daemon *d, struct err *e) {
    struct agent_trust_host host = {
        .loop = &d->loop, .state = &d->state, .fill_net = fill_net, .context = d};
    return agent_trust_open(&host, &d->trust, e);
}

static int open_update(struct daemon *d, struct err *e) {
    struct agent_update_host host = {
        .loop = &d->loop,
        .state = &d->state,
        .facts = d->facts,
        .checkin_soon = checkin_soon,
        .breathe = breathe,
        .trust = d->trust,
        .fill_net = fill_net,
        .token = token,
        .context = d,
    };
    return agent_update_open(&host, &d->update, e);
}

static int open_checkin(struct daemon *d, struct err *e) {
    struct agent_checkin_host host = {.loop = &d->loop,
                                      .state = &d->state,
                                      .update = d->update,
                                      .trust = d->trust,
                                      .facts = d->facts};
    if (d->once)
        return 0;
    return agent_checkin_open(&host, &d->checkin, e);
}

static int open_all(struct daemon *d, struct err *e) {
    char path[256];
    agent_loop_init(&d->loop, chrono_system());
    agent_loop_add_timer(&d->loop, &d->watchdog, on_watchdog, d);
    agent_loop_add_timer(&d->loop, &d->facts_again, on_facts, d);
    if (open_signals(d, e) < 0 || agent_state_open(d->config, d->loop.clock, &d->state, e) < 0)
        return -1;
    if (agent_facts_collect(d->config, d->state.store.dir, &d->facts, e) < 0 ||
        open_trust(d, e) < 0 || open_update(d, e) < 0 || open_checkin(d, e) < 0 ||
        agent_talk_listen(&d->loop, agent_daemon_socket(d->config, path, sizeof path),
                          d->config->socket_group, answer, d, &d->server, e) < 0)
        return -1;
    agent_loop_arm(&d->loop, &d->facts_again, FACTS_MS);
    d->watchdog_ms = d->config->watchdog ? agent_notify_interval_ms() : 0;
    if (d->watchdog_ms > WATCHDOG_MAX)
        d->watchdog_ms = WATCHDOG_MAX;
    if (d->watchdog_ms > 0)
        agent_loop_arm(&d->loop, &d->watchdog, 0);
    return 0;
}

static void close_all(struct daemon *d) {
    agent_talk_close(d->server);
    agent_checkin_close(d->checkin);
    agent_update_close(d->update);
    agent_trust_close(d->trust);
    agent_state_close(&d->state);
    json_decref(d->facts);
    own_drop_fd(&d->signals);
    d->server = NULL;
    d->checkin = NULL;
    d->update = NULL;
    d->trust = NULL;
    d->facts = NULL;
    d->signals = -1;
}

// What systemctl status and a waiting operator see.
static void tell_state(struct daemon *d) {
    char line[sizeof d->told + 64];
    const struct fsm_record *r = &d->state.journal.record;
    const char *name = fsm_machine_state_names[r->state];
    if (strcmp(d->told, name) == 0)
        return;
    (void)snprintf(d->told, sizeof d->told, "%s", name);
    (void)snprintf(line, sizeof line, "STATUS=%s", name);
    agent_notify_send(line);
    if (d->once && d->once->progress && r->state != FSM_IDLE)
        d->once->progress(name);
}

static int begin_install(struct daemon *d, struct err *e) {
    struct fsm_update offer = {.local = true, .attempt = d->once->again ? 0 : 1};
    return agent_update_offer(d->update, &offer, own_take_fd(&d->once->file), e);
}

// What was asked for. A commit is for the probation that the journal says is under way; an install
// and a rollback wait until what an earlier start left behind has ended. 1 while that is so.
static int begin_once(struct daemon *d, struct err *e) {
    enum fsm_state state = d->state.journal.record.state;
    struct err why = ERR_NONE;
    if (d->once->ask == FSM_OFFER)
        return state == FSM_IDLE || state == FSM_FAILED || state == FSM_SHAM_WAITING
                   ? begin_install(d, e)
                   : 1;
    if (d->once->ask == FSM_ASK_REVERT) {
        err_set(&why, &err_rolled_back, "an operator asked to go back");
        if (state != FSM_IDLE && state != FSM_PROBATION && state != FSM_FAILED &&
            !fsm_machine_is_sham(state))
            return 1;
    }
    return agent_update_ask(d->update, d->once->ask, &why, e);
}

// True when the one update of a foreground install is decided and cleaned up after, or nothing more
// can be done about it.
static bool is_decided(struct daemon *d) {
    struct fsm_why why;
    enum fsm_state state = d->state.journal.record.state;
    if (!d->once || (state != FSM_IDLE && state != FSM_FAILED) ||
        !agent_update_is_settled(d->update) ||
        !agent_update_ended(d->update, &d->once->event, &why))
        return false;
    if (d->once->event ==
        (d->once->ask == FSM_ASK_REVERT ? BUNDLE_EVENT_REVERTED : BUNDLE_EVENT_COMMITTED))
        return true;
    const struct err_kind *kind = agent_state_kind(why.code);
    err_set(&d->once->why, kind ? kind : &err_internal, "%s", why.text);
    return true;
}

// One life from open to close.
static int live(struct daemon *d, struct err *e) {
    if (open_all(d, e) < 0)
        return -1;
    agent_update_resume(d->update);
    agent_notify_send("READY=1");
    bool begun = false;
    while (!d->stopping) {
        if (agent_update_fatal(d->update)) {
            *e = *agent_update_fatal(d->update);
            return -1;
        }
        if (d->once && !begun) {
            int asked = begin_once(d, e);
            if (asked < 0)
                return -1;
            begun = asked == 0;
        }
        tell_state(d);
        if (begun && is_decided(d))
            return 0;
        if (agent_loop_turn(&d->loop, -1, e) < 0)
            return -1;
    }
    return d->once ? err_set(e, &err_cancelled, "interrupted; it goes on when the agent runs") : 0;
}

// Where the zone of windows is a name like Europe/Berlin, libc reads it for the whole process.
static void set_timezone(const struct agent_config *config) {
    if (config->timezone[0])
        (void)setenv("TZ", config->timezone, 1);
    tzset();
}

static void note_sharing(const struct agent_config *config) {
    if (geteuid() != 0)
        agent_log_line(AGENT_LOG_WARNING,
                       "not root: the worker and the runners of probes share this user (%u)",
                       (unsigned)geteuid());
    else if (config->worker_user[0] == '\0')
        agent_log_line(AGENT_LOG_WARNING, "worker_user is empty: no worker can be started");
}

// Sleeps without being deaf to SIGTERM, whose signals are blocked. False when it came.
static bool pause_between(struct daemon *d) {
    sigset_t set;
    struct timespec wait = {.tv_sec = PAUSE_MS / 1000};
    (void)d;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    return sigtimedwait(&set, NULL, &wait) < 0;
}

int agent_daemon_run(const struct agent_config *config, struct err *e) {
    struct daemon *d = calloc(1, sizeof *d);
    bool lived = false;
    int done;
    if (!d)
        return err_set(e, &err_memory, "starting: out of memory");
    set_timezone(config);
    note_sharing(config);
    for (;;) {
        *d = (struct daemon){.config = config, .signals = -1};
        d->state = (struct agent_state){
            .store = {-1, -1, NULL}, .private_dir = -1, .lock = -1, .trust.dir = -1};
        done = live(d, e);
        lived = lived || d->told[0] != '\0';
        if (d->stopping)
            agent_notify_send("STOPPING=1");
        close_all(d);
        // A start that cannot succeed is told at once; what ran before is tried again for ever.
        if (done == 0 || !lived)
            break;
        agent_log_line(AGENT_LOG_ERROR, "%s; beginning again in %d s", e->text, PAUSE_MS / 1000);
        if (!pause_between(d)) {
            done = 0;
            break;
        }
        err_clear(e);
    }
    free(d);
    return done;
}

int agent_daemon_once(const struct agent_config *config, struct agent_daemon_once *once,
                      struct err *e) {
    struct daemon *d = calloc(1, sizeof *d);
    if (!d) {
        own_drop_fd(&once->file);
        return err_set(e, &err_memory, "starting: out of memory");
    }
    set_timezone(config);
    *d = (struct daemon){.config = config, .once = once, .signals = -1};
    d->state = (struct agent_state){
        .store = {-1, -1, NULL}, .private_dir = -1, .lock = -1, .trust.dir = -1};
    int done = live(d, e);
    close_all(d);
    own_drop_fd(&once->file);
    free(d);
    return done;
}
