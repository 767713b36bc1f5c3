// SPDX-License-Identifier: Apache-2.0
//
// The scripted server; see faultd.h.
#include "tests/support/faultd.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MS 120000 // a client that takes longer to ask has gone

struct faultd {
    int listener;
    int stop[2]; // a pipe: closing the write end wakes the thread
    pthread_t thread;
    char url[64];
    const struct faultd_scene *scenes; // or
    faultd_answer *answer;
    void *context;
    size_t n_scenes;
    pthread_mutex_t lock;
    pthread_cond_t calmed;
    bool calm; // the thread waits for a client
    size_t played;
    size_t connections;
    char requests[FAULTD_SCENES_MAX][FAULTD_REQUEST_BYTES];
};

struct line {
    struct faultd *server;
    int fd;
};

// False when the server is being closed.
static bool wait_for(struct faultd *s, int fd, int timeout_ms) {
    struct pollfd fds[2] = {{.fd = s->stop[0], .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    poll(fds, fd < 0 ? 1 : 2, timeout_ms);
    return fds[0].revents == 0;
}

// A silence that ends with the client, or with the server: then it returns false.
static bool keep_silent(struct line *line, unsigned ms) {
    struct pollfd fds[2] = {{.fd = line->server->stop[0], .events = POLLIN},
                            {.fd = line->fd, .events = POLLRDHUP}};
    poll(fds, 2, (int)ms);
    return fds[0].revents == 0 && fds[1].revents == 0;
}

// Whether the client asks again on this connection before it closes it or opens another.
static bool asks_again(struct line *line) {
    struct faultd *s = line->server;
    struct pollfd fds[3] = {{.fd = s->stop[0], .events = POLLIN},
                            {.fd = line->fd, .events = POLLIN},
                            {.fd = s->listener, .events = POLLIN}};
    char byte;
    poll(fds, 3, REQUEST_MS);
    return fds[0].revents == 0 && fds[1].revents != 0 &&
           recv(line->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

// How long a request is, body included, or 0 while its head is not complete.
static size_t request_bytes(const char *request) {
    const char *end = strstr(request, "\r\n\r\n");
    const char *length = strcasestr(request, "\r\nContent-Length:");
    if (!end)
        return 0;
    size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
    return (size_t)(end - request) + 4 + body;
}

static void read_request(struct line *line, char *ret) {
    size_t len = 0;
    while (len < FAULTD_REQUEST_BYTES - 1 &&
           (request_bytes(ret) == 0 || len < request_bytes(ret))) {
        if (!wait_for(line->server, line->fd, REQUEST_MS))
            return;
        ssize_t got = recv(line->fd, ret + len, FAULTD_REQUEST_BYTES - 1 - len, MSG_DONTWAIT);
        if (got <= 0)
            return;
        len += (size_t)got;
        ret[len] = '\0';
    }
}

static void send_all(struct line *line, const void *data, size_t len) {
    const char *at = data;
    while (len > 0) {
        ssize_t sent = send(line->fd, at, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        at += sent;
        len -= (size_t)sent;
    }
}

static void send_part(struct line *line, const struct faultd_scene *scene, size_t from, size_t to) {
    const char *body = scene->body;
    if (scene->drip_ms == 0) {
        send_all(line, body + from, to - from);
        return;
    }
    for (size_t i = from; i < to && wait_for(line->server, -1, (int)scene->drip_ms); i++)
        send_all(line, body + i, 1);
}

static void send_body(struct line *line, const struct faultd_scene *scene) {
    size_t len = scene->cut < scene->body_len ? scene->cut : scene->body_len;
    size_t silent_at = scene->stall_at < len ? scene->stall_at : len;
    send_part(line, scene, 0, silent_at);
    if (scene->stall_ms == 0 || keep_silent(line, scene->stall_ms))
        send_part(line, scene, silent_at, len);
}

static void hang_up(struct line *line, const struct faultd_scene *scene) {
    char rest[256];
    if (scene->cut < scene->body_len) { // a reset, once what was sent has arrived
        struct linger abrupt = {.l_onoff = 1, .l_linger = 0};
        wait_for(line->server, -1, 50);
        setsockopt(line->fd, SOL_SOCKET, SO_LINGER, &abrupt, sizeof abrupt);
        return;
    }
    shutdown(line->fd, SHUT_WR);
    while (wait_for(line->server, line->fd, 1000) &&
           recv(line->fd, rest, sizeof rest, MSG_DONTWAIT) > 0)
        continue;
}

static void choose(struct faultd *s, size_t number, const char *request, struct faultd_scene *ret) {
    pthread_mutex_lock(&s->lock);
    if (number < FAULTD_SCENES_MAX)
        memcpy(s->requests[number], request, FAULTD_REQUEST_BYTES);
    pthread_mutex_unlock(&s->lock);
    if (s->answer)
        s->answer(s->context, number, request, ret);
    else
        *ret = s->scenes[number];
}

// One request and its answer; true when the connection goes on. A client that opened a connection
// and asked nothing gets the scene all the same.
static bool converse(struct line *line, size_t number) {
    struct faultd *s = line->server;
    struct faultd_scene scene = {0};
    char request[FAULTD_REQUEST_BYTES] = "";
    pthread_mutex_lock(&s->lock);
    s->played = number + 1;
    pthread_mutex_unlock(&s->lock);
    if (s->answer || !s->scenes[number].at_once)
        read_request(line, request);
    choose(s, number, request, &scene);
    send_all(line, scene.head, scene.head_len > 0 ? scene.head_len : strlen(scene.head));
    send_body(line, &scene);
    if (scene.keep && scene.cut >= scene.body_len)
        return true;
    hang_up(line, &scene);
    return false;
}

static bool is_over(const struct faultd *s, size_t number) {
    return !s->answer && number >= s->n_scenes;
}

static void set_calm(struct faultd *s, bool calm) {
    pthread_mutex_lock(&s->lock);
    s->calm = calm;
    pthread_cond_broadcast(&s->calmed);
    pthread_mutex_unlock(&s->lock);
}

// False when the server is being closed.
static bool wait_for_client(struct faultd *s) {
    set_calm(s, true);
    bool comes = wait_for(s, s->listener, -1);
    set_calm(s, false);
    return comes;
}

static void *serve(void *context) {
    struct faultd *s = context;
    for (size_t number = 0; !is_over(s, number) && wait_for_client(s);) {
        int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            break;
        struct line line = {s, fd};
        pthread_mutex_lock(&s->lock);
        s->connections++;
        pthread_mutex_unlock(&s->lock);
        while (converse(&line, number++) && !is_over(s, number) && asks_again(&line))
            continue;
        close(fd);
    }
    return NULL;
}

static struct faultd *listen_on_loopback(struct faultd *s) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->calmed, NULL);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(s->listener, 16) < 0 ||
        getsockname(s->listener, (struct sockaddr *)&address, &len) < 0 ||
        pipe2(s->stop, O_CLOEXEC) < 0 || pthread_create(&s->thread, NULL, serve, s) != 0)
        abort();
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
    return s;
}

struct faultd *faultd_open(const struct faultd_scene *scenes, size_t n_scenes) {
    struct faultd *s = calloc(1, sizeof *s);
    if (!s || n_scenes > FAULTD_SCENES_MAX)
        abort();
    s->scenes = scenes;
    s->n_scenes = n_scenes;
    return listen_on_loopback(s);
}

struct faultd *faultd_open_with(faultd_answer *answer, void *context) {
    struct faultd *s = calloc(1, sizeof *s);
    if (!s)
        abort();
    s->answer = answer;
    s->context = context;
    return listen_on_loopback(s);
}

void faultd_close(struct faultd *s) {
    close(s->stop[1]);
    pthread_join(s->thread, NULL);
    close(s->stop[0]);
    close(s->listener);
    pthread_cond_destroy(&s->calmed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

pid_t faultd_fork(struct faultd *s) {
    pthread_mutex_lock(&s->lock);
    while (!s->calm)
        pthread_cond_wait(&s->calmed, &s->lock);
    pid_t pid = fork();
    if (pid != 0)
        pthread_mutex_unlock(&s->lock);
    return pid;
}

const char *faultd_url(const struct faultd *s) {
    return s->url;
}

size_t faultd_played(struct faultd *s) {
    pthread_mutex_lock(&s->lock);
    size_t played = s->played;
    pthread_mutex_unlock(&s->lock);
    return played;
}

size_t faultd_connections(struct faultd *s) {
    pthread_mutex_lock(&s->lock);
    size_t connections = s->connections;
    pthread_mutex_unlock(&s->lock);
    return connections;
}

const char *faultd_request(struct faultd *s, size_t n) {
    return s->requests[n];
}
