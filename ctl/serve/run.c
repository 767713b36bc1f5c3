// SPDX-License-Identifier: Apache-2.0
//
// A controller's life: check, open, start, wait for a signal, stop in the order that leaves nobody
// without an answer.
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fs.h"
#include "base/own.h"
#include "ctl/kind.h"
#include "ctl/serve/challenge.h"
#include "ctl/serve/delta.h"
#include "ctl/serve/engine.h"
#include "ctl/serve/listen.h"
#include "ctl/serve/mandate.h"
#include "ctl/serve/notify.h"
#include "ctl/serve/publish.h"
#include "ctl/serve/repository.h"
#include "ctl/serve/serve.h"
#include "ctl/serve/tick.h"
#include "ctl/serve/work.h"
#include "ctl/serve/workspace.h"

#define PEM_MAX_BYTES (256 * 1024)

static void say(const struct serve_server *server, enum serve_say what, const char *line) {
    server->options->say(server->options->context, what, line);
}

static int check_options(const struct serve_options *options, struct err *e) {
    if ((options->tls_cert == NULL) != (options->tls_key == NULL))
        return err_set(e, &err_config, "TLS needs both, a certificate and its key");
    if (options->connections_max > SERVE_CONNECTIONS_MAX)
        return err_set(e, &err_config, "at most %d connections can be served",
                       SERVE_CONNECTIONS_MAX);
    return 0;
}

// ── Opening ──

static int open_store(struct serve_server *server, struct err *e) {
    char path[FS_PATH_BYTES];
    struct store_db *db = NULL;
    bool made = false;
    int len = snprintf(path, sizeof path, "%s/" SERVE_WORKSPACE_STORE, server->options->workspace);
    if (len < 0 || (size_t)len >= sizeof path)
        return err_set(e, &err_config, "the workspace's path is too long");
    if (store_db_open(path, &db, e) < 0)
        return -1;
    if (serve_workspace_found(server, db, chrono_wall_ms(server->clock) / 1000, &made, e) < 0 ||
        store_writer_start(&db, &server->writer, e) < 0) {
        store_db_close(db);
        return -1;
    }
    if (made)
        say(server, SERVE_SAY_INFO,
            "made the first administrator's token: " SERVE_TOKEN_FILE " in the workspace");
    return 0;
}

static int open_parts(struct serve_server *server, struct err *e) {
    if (keys_secret_init(e) < 0 || serve_workspace_open(server, e) < 0)
        return -1;
    if (!server->options->allow_offline_keys && serve_workspace_check_keys(server, e) < 0)
        return -1;
    if (serve_engine_open(&server->engine, e) < 0 ||
        serve_challenge_open(&server->challenges, e) < 0 ||
        serve_work_open_waiting(&server->waiting, e) < 0 || open_store(server, e) < 0)
        return -1;
    serve_mandate_know(server);
    // After the store, whose lock says that no other controller writes here.
    if (serve_repository_open(server, e) < 0)
        return -1;
    if (serve_publish_open(server, &server->publisher, e) < 0)
        return -1;
    return serve_delta_open(server, &server->deltas, e);
}

static void close_parts(struct serve_server *server) {
    serve_publish_close(server->publisher);
    serve_delta_stop(server->deltas);
    store_writer_free(server->writer);
    serve_delta_close(server->deltas);
    serve_work_close_waiting(server->waiting);
    serve_challenge_close(server->challenges);
    serve_engine_close(server->engine);
    serve_repository_close(server->repository);
    serve_workspace_close(server);
}

// ── Listening ──

static int read_pem(const char *path, struct buf *ret, struct err *e) {
    buf_init(ret, PEM_MAX_BYTES);
    if (path == NULL)
        return 0;
    return fs_read_file(AT_FDCWD, path, PEM_MAX_BYTES, ret, e) < 0
               ? err_prefix(e, "reading %s", path)
               : 0;
}

static int write_port(const struct serve_options *options, const struct serve_listen *listener,
                      struct err *e) {
    char text[16];
    int len = snprintf(text, sizeof text, "%u\n", listener->port);
    if (options->port_file == NULL)
        return 0;
    return fs_replace(AT_FDCWD, options->port_file, text, (size_t)len, 0644, e);
}

static int start_http(struct serve_server *server, struct serve_listen *listener,
                      struct serve_http **ret, struct err *e) {
    const struct serve_options *options = server->options;
    OWN(buf) struct buf cert;
    OWN(buf) struct buf key;
    buf_init(&key, PEM_MAX_BYTES);
    int done = read_pem(options->tls_cert, &cert, e);
    if (done == 0)
        done = read_pem(options->tls_key, &key, e);
    if (done == 0)
        done = serve_http_start(server, own_take_fd(&listener->fd),
                                options->tls_cert == NULL ? NULL : buf_text(&cert),
                                options->tls_key == NULL ? NULL : buf_text(&key), ret, e);
    if (key.data != NULL)
        explicit_bzero(key.data, key.len);
    return done;
}

// ── Ending ──

static void nap(void) {
    const struct timespec t = {.tv_nsec = 20 * 1000000L};
    (void)nanosleep(&t, NULL);
}

// Nobody new comes in; those inside get their answer.
static void drain(struct serve_server *server, struct serve_http *http) {
    int64_t until_ms = chrono_boot_ms(server->clock) + SERVE_DRAIN_S * 1000LL;
    serve_work_wake(server->waiting, chrono_boot_ms(server->clock), true);
    while (serve_http_quiesce(http) > 0 && chrono_boot_ms(server->clock) < until_ms)
        nap();
}

// The store's thread ends first: it resumes every connection that waits for it, and the HTTP
// library can only end when none is suspended.
static void stop(struct serve_server *server, struct serve_http *http, struct serve_tick *tick) {
    serve_notify("STOPPING=1");
    serve_tick_stop(tick);
    drain(server, http);
    serve_publish_stop(server->publisher);
    serve_delta_stop(server->deltas);
    store_writer_stop(server->writer);
    serve_http_stop(http);
    free(tick);
}

// ── The whole ──

static int serve(struct serve_server *server, struct serve_listen *listener,
                 const sigset_t *signals, struct err *e) {
    struct serve_http *http = NULL;
    struct serve_tick *tick = NULL;
    char line[SERVE_LISTEN_TEXT + 16];
    int which = 0;
    if (start_http(server, listener, &http, e) < 0)
        return -1;
    if (serve_tick_start(server, http, &tick, e) < 0) {
        serve_http_stop(http);
        return -1;
    }
    int done = write_port(server->options, listener, e);
    if (done == 0) {
        (void)snprintf(line, sizeof line, "listening on %s", listener->text);
        say(server, SERVE_SAY_READY, line);
        serve_notify("READY=1");
        while (sigwait(signals, &which) != 0)
            continue;
        say(server, SERVE_SAY_INFO,
            which == SIGINT ? "interrupted, ending" : "told to end, ending");
    }
    stop(server, http, tick);
    return done;
}

int serve_run(const struct serve_options *options, struct err *e) {
    struct serve_server server = {.options = options,
                                  .clock =
                                      options->clock == NULL ? chrono_system() : options->clock,
                                  .workspace = -1,
                                  .bundles = -1};
    struct serve_listen listener = {.fd = -1};
    bool anyone = options->allow_http || options->tls_cert != NULL;
    enum serve_listen_reach reach = anyone ? SERVE_LISTEN_ANYONE : SERVE_LISTEN_LOOPBACK;
    sigset_t signals, before;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)pthread_sigmask(SIG_BLOCK, &signals, &before);
    int done = check_options(options, e);
    if (done == 0)
        done = open_parts(&server, e);
    if (done == 0)
        done = serve_listen_open(options->listen, reach, &listener, e);
    if (done == 0)
        done = serve(&server, &listener, &signals, e);
    own_drop_fd(&listener.fd);
    close_parts(&server);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return done;
}
