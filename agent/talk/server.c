// SPDX-License-Identifier: Apache-2.0
//
// The listening side of agent/talk.h.
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent/kind.h"
#include "agent/log.h"
#include "agent/talk.h"
#include "base/doc.h"
#include "base/fs.h"
#include "base/own.h"

struct client {
    struct agent_talk_server *server;
    int fd; // -1: free
    int given;
    bool may_command;
    struct buf in;
    struct buf out;
    struct agent_loop_timer timeout;
};

struct agent_talk_server {
    struct agent_loop *loop;
    int fd;
    char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    int (*answer)(void *context, struct agent_talk_request *request, json_t **ret, struct err *e);
    void *context;
    struct client clients[AGENT_TALK_CLIENTS_MAX];
};

static void drop(struct client *c) {
    agent_loop_unwatch(c->server->loop, c->fd);
    agent_loop_remove_timer(c->server->loop, &c->timeout);
    own_drop_fd(&c->fd);
    own_drop_fd(&c->given);
    c->fd = c->given = -1;
    buf_clear(&c->in);
    buf_clear(&c->out);
}

static void on_timeout(void *context) {
    drop(context);
}

static void write_some(struct client *c) {
    while (c->out.len > 0) {
        ssize_t sent = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            agent_loop_events(c->server->loop, c->fd, POLLOUT);
            return;
        }
        if (sent <= 0)
            break;
        buf_consume(&c->out, (size_t)sent);
    }
    drop(c);
}

static json_t *error_answer(const struct err *e) {
    return json_pack("{s{ss ss}}", "error", "code", e->kind->name, "text", e->text);
}

// One line was read: ask, and begin to write what comes back.
static void answer(struct client *c, size_t line_len) {
    static const struct doc_limits limits = {
        .bytes = AGENT_TALK_LINE_MAX, .depth = 4, .values = 64};
    struct agent_talk_server *s = c->server;
    struct err e = ERR_NONE;
    OWN(json) json_t *message = NULL;
    OWN(json) json_t *reply = NULL;
    struct slice line = {.data = c->in.data, .len = line_len};
    struct agent_talk_request request = {.fd = c->given, .may_command = c->may_command};
    c->given = -1;
    if (doc_parse(line, "request", &limits, &message, &e) == 0) {
        request.message = message;
        if (s->answer(s->context, &request, &reply, &e) < 0)
            reply = NULL;
    }
    own_drop_fd(&request.fd);
    if (!reply && !e.kind)
        err_set(&e, &err_memory, "answering: out of memory");
    if (!reply)
        reply = error_answer(&e);
    OWN(mem) char *text = reply ? json_dumps(reply, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    struct err full = ERR_NONE;
    if (!text || buf_add_text(&c->out, text, &full) < 0 || buf_add_text(&c->out, "\n", &full) < 0) {
        drop(c);
        return;
    }
    write_some(c);
}

// Keeps one descriptor that came along; others are closed.
static void take_descriptors(struct client *c, struct msghdr *packet) {
    for (struct cmsghdr *m = CMSG_FIRSTHDR(packet); m; m = CMSG_NXTHDR(packet, m)) {
        if (m->cmsg_level != SOL_SOCKET || m->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (m->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(m) + i * sizeof fd, sizeof fd);
            if (c->given < 0)
                c->given = fd;
            else
                own_drop_fd(&fd);
        }
    }
}

static void on_client(void *context, short revents) {
    struct client *c = context;
    char chunk[4096];
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))];
    struct err full = ERR_NONE;
    if (revents & POLLOUT) {
        write_some(c);
        return;
    }
    struct iovec part = {.iov_base = chunk, .iov_len = sizeof chunk};
    struct msghdr packet = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof control};
    ssize_t got = recvmsg(c->fd, &packet, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (got > 0)
        take_descriptors(c, &packet);
    size_t before = c->in.len;
    if (got <= 0 || buf_add(&c->in, chunk, (size_t)got, &full) < 0) {
        drop(c);
        return;
    }
    const uint8_t *newline = memchr(c->in.data + before, '\n', c->in.len - before);
    if (newline)
        answer(c, (size_t)(newline - c->in.data));
}

static void on_connection(void *context, short revents) {
    struct agent_talk_server *s = context;
    struct err e = ERR_NONE;
    struct ucred peer;
    socklen_t peer_len = sizeof peer;
    (void)revents;
    OWN(fd) int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_len) < 0)
        return;
    for (size_t i = 0; i < AGENT_TALK_CLIENTS_MAX; i++) {
        struct client *c = &s->clients[i];
        if (c->fd >= 0)
            continue;
        if (agent_loop_watch(s->loop, fd, POLLIN, on_client, c, &e) < 0)
            return;
        agent_loop_mark_safe(s->loop, fd);
        c->fd = own_take_fd(&fd);
        c->may_command = peer.uid == 0 || peer.uid == geteuid();
        buf_init(&c->in, AGENT_TALK_LINE_MAX);
        buf_init(&c->out, AGENT_TALK_LINE_MAX);
        agent_loop_add_timer(s->loop, &c->timeout, on_timeout, c);
        agent_loop_arm(s->loop, &c->timeout, AGENT_TALK_TIMEOUT_MS);
        return;
    }
    // All places are taken: the connection is closed, the client may come again.
}

static int find_group(const char *group, gid_t *ret, struct err *e) {
    struct group entry, *found = NULL;
    char buffer[4096];
    if (getgrnam_r(group, &entry, buffer, sizeof buffer, &found) != 0 || !found)
        return err_set(e, &err_config, "socket_group: the group %s does not exist", group);
    *ret = found->gr_gid;
    return 0;
}

// The socket is born with its mode and group: there is no instant in which others could connect.
static int bind_at(int fd, const char *path, const char *group, struct err *e) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    gid_t mine = getegid(), wanted = mine;
    if (strlen(path) >= sizeof address.sun_path)
        return err_set(e, &err_config, "socket: the path %s has more than %zu bytes", path,
                       sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if ((group[0] && find_group(group, &wanted, e) < 0) || fs_remove(AT_FDCWD, path, e) < 0)
        return -1;
    if (wanted != mine && setegid(wanted) < 0)
        return err_errno(e, errno, "socket_group: %s", group);
    mode_t before = umask(group[0] ? 0117 : 0177);
    int bound = bind(fd, (const struct sockaddr *)&address, sizeof address);
    int why = errno;
    (void)umask(before);
    if (wanted != mine && setegid(mine) < 0)
        return err_errno(e, errno, "socket_group: %s", group);
    if (bound < 0)
        return err_errno(e, why, "listening at %s", path);
    return listen(fd, AGENT_TALK_CLIENTS_MAX) < 0 ? err_errno(e, errno, "listening at %s", path)
                                                  : 0;
}

int agent_talk_listen(struct agent_loop *loop, const char *path, const char *group,
                      int (*answer_one)(void *context, struct agent_talk_request *request,
                                        json_t **ret, struct err *e),
                      void *context, struct agent_talk_server **ret, struct err *e) {
    struct agent_talk_server *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, &err_memory, "listening at %s: out of memory", path);
    s->loop = loop;
    s->answer = answer_one;
    s->context = context;
    for (size_t i = 0; i < AGENT_TALK_CLIENTS_MAX; i++)
        s->clients[i] = (struct client){.server = s, .fd = -1, .given = -1};
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd < 0)
        err_errno(e, errno, "listening at %s", path);
    if (e->kind || bind_at(s->fd, path, group, e) < 0 ||
        agent_loop_watch(loop, s->fd, POLLIN, on_connection, s, e) < 0) {
        agent_talk_close(s);
        return -1;
    }
    agent_loop_mark_safe(loop, s->fd);
    (void)snprintf(s->path, sizeof s->path, "%s", path);
    *ret = s;
    return 0;
}

void agent_talk_close(struct agent_talk_server *server) {
    struct err ignored = ERR_NONE;
    if (!server)
        return;
    for (size_t i = 0; i < AGENT_TALK_CLIENTS_MAX; i++) {
        if (server->clients[i].fd >= 0)
            drop(&server->clients[i]);
    }
    if (server->fd >= 0)
        agent_loop_unwatch(server->loop, server->fd);
    own_drop_fd(&server->fd);
    if (server->path[0] != '\0')
        (void)fs_remove(AT_FDCWD, server->path, &ignored);
    free(server);
}
