// SPDX-License-Identifier: Apache-2.0
//
// A real controller in a child process, on loopback, over a workspace of its own; and a small HTTP
// client to talk to it as people do. Everything here aborts the test when it fails.
#pragma once

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "ctl/serve/serve.h"
#include "keys/root.h"
#include "keys/sign/keyfile.h"
#include "tests/support/forge.h"
#include "tests/support/tmp.h"

#define REPLY_MAX (4 * 1024 * 1024)

struct controller {
    struct tmp_dir dir;
    char workspace[300];
    pid_t pid;
    unsigned port;
    char admin[80];
    struct keys_root *root;
};

struct reply {
    unsigned status;
    struct buf raw;   // head and body
    const char *body; // in raw
    size_t body_len;
    json_t *json; // when the body is JSON
};

#define must(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            cr_assert_fail("%s: %s", #call, e.text);                                               \
    } while (0)

static inline void controller_write(struct controller *c, const char *name, struct slice data) {
    struct err e = ERR_NONE;
    must(fs_replace(c->dir.fd, name, data.data, data.len, 0644, &e));
}

// A workspace: server/root.json, server/keys/director.key. Keys 0 (bundle) and 1 (root) are the
// forge's.
static inline void controller_make(struct controller *c) {
    struct err e = ERR_NONE;
    struct keys_role roles[KEYS_ROOT_ROLES] = {{.threshold = 1, .n_keys = 1},
                                               {.threshold = 1, .n_keys = 1},
                                               {.threshold = 1, .n_keys = 1}};
    struct keys_header header = {
        .version = 1, .issued_s = FORGE_ISSUED_S, .expires_s = FORGE_EXPIRES_S};
    struct buf part, raw;
    int keys = -1;
    memset(c, 0, sizeof *c);
    must(keys_secret_init(&e));
    c->dir = tmp_dir_make();
    (void)snprintf(c->workspace, sizeof c->workspace, "%s/server", c->dir.path);
    must(fs_mkdir(c->dir.fd, "server", 0755, &e));
    must(fs_mkdir(c->dir.fd, "server/keys", 0700, &e));
    must(fs_open_dir(c->dir.fd, "server/keys", &keys, &e));
    must(sign_keyfile_create(keys, "director", NULL, &sign_keyfile_kdf_least,
                             &roles[KEYS_ROOT_ROLE_DIRECTOR].keys[0], &e));
    (void)close(keys);
    struct sign_signer *bundle = forge_signer(0), *root = forge_signer(1);
    roles[KEYS_ROOT_ROLE_BUNDLE].keys[0] = *sign_signer_pub(bundle);
    roles[KEYS_ROOT_ROLE_ROOT].keys[0] = *sign_signer_pub(root);
    buf_init(&part, KEYS_ROOT_MAX_BYTES);
    buf_init(&raw, KEYS_ROOT_MAX_BYTES);
    must(keys_root_format(roles, &header, &part, &e));
    must(sign_signer_envelope(buf_slice(&part), &root, 1, &raw, &e));
    must(keys_root_open(buf_slice(&raw), &c->root, &e));
    controller_write(c, "server/root.json", buf_slice(&raw));
    buf_clear(&part);
    buf_clear(&raw);
    sign_signer_free(bundle);
    sign_signer_free(root);
}

static inline void controller_say(void *context, enum serve_say what, const char *line) {
    int *fd = context;
    if (what == SERVE_SAY_READY)
        (void)!write(*fd, line, strlen(line));
    else if (what >= SERVE_SAY_WARNING)
        (void)fprintf(stderr, "controller: %s\n", line);
}

static inline void controller_start(struct controller *c) {
    int pipes[2];
    char line[128] = "";
    cr_assert_eq(pipe(pipes), 0);
    c->pid = fork();
    if (c->pid == 0) {
        struct err e = ERR_NONE;
        struct serve_options options = {.workspace = c->workspace,
                                        .listen = "127.0.0.1:0",
                                        .say = controller_say,
                                        .context = &pipes[1]};
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); // a test that fails leaves nothing running
        (void)close(pipes[0]);
        keys_root_free(c->root);
        int done = serve_run(&options, &e);
        if (done < 0)
            (void)fprintf(stderr, "controller: %s\n", e.text);
        exit(done < 0 ? 9 : 0);
    }
    (void)close(pipes[1]);
    struct pollfd p = {.fd = pipes[0], .events = POLLIN};
    cr_assert_eq(poll(&p, 1, -1), 1, "the controller did not become ready");
    cr_assert_gt(read(pipes[0], line, sizeof line - 1), 0, "the controller ended");
    (void)close(pipes[0]);
    cr_assert_eq(sscanf(line, "listening on 127.0.0.1:%u", &c->port), 1, "%s", line);
    FILE *token = NULL;
    char path[400];
    (void)snprintf(path, sizeof path, "%s/admin.token", c->workspace);
    cr_assert_not_null(token = fopen(path, "r"));
    cr_assert_not_null(fgets(c->admin, sizeof c->admin, token));
    (void)fclose(token);
    c->admin[strcspn(c->admin, "\n")] = '\0';
}

// Ends it as a service manager does; it must end well.
static inline void controller_stop(struct controller *c) {
    int status = 0;
    (void)kill(c->pid, SIGTERM);
    cr_assert_eq(waitpid(c->pid, &status, 0), c->pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the controller ended with %#x",
              status);
    c->pid = 0;
}

static inline void controller_kill(struct controller *c) {
    (void)kill(c->pid, SIGKILL);
    (void)waitpid(c->pid, NULL, 0);
    c->pid = 0;
}

static inline void controller_free(struct controller *c) {
    if (c->pid != 0)
        controller_stop(c);
    keys_root_free(c->root);
    tmp_dir_remove(&c->dir);
}

// ── HTTP ──

// -1: nobody listens.
static inline int http_connect(const struct controller *c) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)c->port)};
    struct timeval limit = {.tv_sec = 60};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

static inline void http_clear(struct reply *r) {
    json_decref(r->json);
    buf_clear(&r->raw);
    r->json = NULL;
}

// Reads to the end of the connection and takes the answer apart. Status 0: closed without an
// answer.
static inline void http_read(int fd, struct reply *ret) {
    struct err e = ERR_NONE;
    memset(ret, 0, sizeof *ret);
    buf_init(&ret->raw, REPLY_MAX);
    char part[16384];
    ssize_t n = 0;
    while ((n = read(fd, part, sizeof part)) > 0)
        must(buf_add(&ret->raw, part, (size_t)n, &e));
    (void)close(fd);
    const char *text = buf_text(&ret->raw), *end = strstr(text, "\r\n\r\n");
    if (sscanf(text, "HTTP/1.%*c %u", &ret->status) != 1 || end == NULL)
        return;
    ret->body = end + 4;
    ret->body_len = ret->raw.len - (size_t)(ret->body - text);
    if (strcasestr(text, "Content-Type: application/json") != NULL && ret->body_len > 0)
        cr_assert_not_null(ret->json = json_loadb(ret->body, ret->body_len, 0, NULL),
                           "not JSON: %s", ret->body);
}

static inline void http_raw(const struct controller *c, const char *request, size_t len,
                            struct reply *ret) {
    int fd = http_connect(c);
    size_t sent = 0;
    memset(ret, 0, sizeof *ret);
    buf_init(&ret->raw, REPLY_MAX);
    if (fd < 0)
        return;
    while (sent < len) {
        ssize_t n = send(fd, request + sent, len - sent, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    http_read(fd, ret);
}

// token NULL: none. extra: further header lines with their ends, or "".
static inline unsigned http_send(const struct controller *c, const char *method, const char *path,
                                 const char *token, const char *extra, struct slice body,
                                 struct reply *ret) {
    struct err e = ERR_NONE;
    struct buf request;
    buf_init(&request, REPLY_MAX);
    must(buf_add_format(&request, &e, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s",
                        method, path, extra));
    if (token != NULL)
        must(buf_add_format(&request, &e, "Authorization: Bearer %s\r\n", token));
    if (strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0)
        must(buf_add_format(&request, &e, "Content-Length: %zu\r\n", body.len));
    must(buf_add_text(&request, "\r\n", &e));
    must(buf_add(&request, body.data, body.len, &e));
    http_raw(c, buf_text(&request), request.len, ret);
    buf_clear(&request);
    return ret->status;
}

// As an administrator; the answer's JSON is the caller's.
static inline json_t *admin(const struct controller *c, unsigned status, const char *method,
                            const char *path, const char *body) {
    struct reply r;
    unsigned got = http_send(c, method, path, c->admin, "",
                             (struct slice){(const uint8_t *)body, strlen(body)}, &r);
    cr_assert_eq(got, status, "%s %s: %u %s", method, path, got, r.body == NULL ? "" : r.body);
    json_t *json = json_incref(r.json);
    http_clear(&r);
    return json;
}

static inline const char *text_at(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "(none)" : text;
}

// ── Bundles ──

// A bundle "app" of one component "app" that holds one file; *ret is the caller's.
static inline void bundle_make(const char *release, const char *variant, const char *requires,
                               struct buf *ret) {
    struct slice content = {(const uint8_t *)release, strlen(release)};
    struct buf tree;
    json_t *component = json_pack("{s:s}", "name", "app");
    json_t *members = json_pack("{s:s, s:s, s:s, s:s}", "name", "app", "release", release,
                                "variant", variant, "requires", requires);
    if (*variant == '\0')
        (void)json_object_set_new(members, "variant", json_null());
    if (*requires == '\0')
        (void)json_object_set_new(members, "requires", json_null());
    buf_init(&tree, 4096);
    forge_file_line("version", content, false, &tree);
    struct forge forge = {.tree = buf_text(&tree),
                          .n_contents = 1,
                          .contents = &content,
                          .members = members,
                          .component = component};
    buf_init(ret, REPLY_MAX);
    forge_bundle(&forge, ret);
    buf_clear(&tree);
    json_decref(component);
    json_decref(members);
}

static inline unsigned bundle_send(struct controller *c, struct slice bytes, struct reply *ret) {
    return http_send(c, "POST", "/api/v1/releases", c->admin, "", bytes, ret);
}

static inline void bundle_publish(struct controller *c, const char *release,
                                  struct keys_digest *ret_id) {
    struct err e = ERR_NONE;
    struct buf bytes;
    struct reply r;
    bundle_make(release, "", "", &bytes);
    cr_assert_eq(bundle_send(c, buf_slice(&bytes), &r), 201, "%s",
                 r.body == NULL ? "closed" : r.body);
    must(keys_digest_parse(text_at(r.json, "id"), "id", ret_id, &e));
    http_clear(&r);
    buf_clear(&bytes);
}
