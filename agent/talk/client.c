// SPDX-License-Identifier: Apache-2.0
//
// The asking side of agent/talk.h; blocking, with a deadline.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "agent/kind.h"
#include "agent/state.h"
#include "agent/talk.h"
#include "base/doc.h"
#include "base/own.h"

#define PATIENCE_S 10

static int connect_to(const char *path, int *ret, struct err *e) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PATIENCE_S};
    OWN(fd) int fd = -1;
    if (strlen(path) >= sizeof address.sun_path)
        return err_set(e, &err_config, "socket: the path %s is too long", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0)
        return err_errno(e, errno, "asking the agent");
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        if (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR)
            return AGENT_TALK_NOBODY;
        return err_errno(e, errno, "asking the agent at %s", path);
    }
    *ret = own_take_fd(&fd);
    return 0;
}

static int send_line(int fd, const char *text, int given, struct err *e) {
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};
    if (given >= 0) {
        packet.msg_control = control;
        packet.msg_controllen = sizeof control;
        struct cmsghdr *m = CMSG_FIRSTHDR(&packet);
        m->cmsg_level = SOL_SOCKET;
        m->cmsg_type = SCM_RIGHTS;
        m->cmsg_len = CMSG_LEN(sizeof given);
        memcpy(CMSG_DATA(m), &given, sizeof given);
    }
    // A request is short: it fits the socket's buffer as a whole.
    if (sendmsg(fd, &packet, MSG_NOSIGNAL) != (ssize_t)part.iov_len)
        return err_errno(e, errno, "asking the agent");
    return 0;
}

static int read_line(int fd, struct buf *ret, struct err *e) {
    for (;;) {
        char chunk[4096];
        ssize_t got = recv(fd, chunk, sizeof chunk, 0);
        if (got < 0 && errno == EINTR)
            continue;
        // Whichever of the two it is depends on what it had read when it went.
        if ((got == 0 && ret->len == 0) || (got < 0 && errno == ECONNRESET))
            return err_set(e, &err_busy,
                           "the agent closed the connection before it answered: ask again");
        if (got < 0)
            return err_errno(e, errno == EAGAIN ? ETIMEDOUT : errno,
                             "waiting for the agent's answer");
        if (got == 0)
            return 0;
        if (buf_add(ret, chunk, (size_t)got, e) < 0)
            return -1;
    }
}

int agent_talk_ask(const char *path, const json_t *request, int fd, json_t **ret, struct err *e) {
    static const struct doc_limits limits = {
        .bytes = AGENT_TALK_LINE_MAX, .depth = 8, .values = 8192, .floats = false};
    OWN(fd) int socket_fd = -1;
    OWN(buf) struct buf line;
    OWN(json) json_t *answer = NULL;
    buf_init(&line, AGENT_TALK_LINE_MAX);
    OWN(mem) char *bare = json_dumps(request, JSON_COMPACT);
    if (!bare)
        return err_set(e, &err_memory, "asking the agent: out of memory");
    int connected = connect_to(path, &socket_fd, e);
    if (connected != 0)
        return connected;
    OWN(buf) struct buf text;
    buf_init(&text, AGENT_TALK_LINE_MAX);
    if (buf_add_format(&text, e, "%s\n", bare) < 0 ||
        send_line(socket_fd, buf_text(&text), fd, e) < 0 || read_line(socket_fd, &line, e) < 0 ||
        doc_parse((struct slice){line.data, line.len}, "the agent's answer", &limits, &answer, e) <
            0)
        return -1;
    json_t *error = json_object_get(answer, "error");
    if (error) {
        const char *code = json_string_value(json_object_get(error, "code"));
        const char *said = json_string_value(json_object_get(error, "text"));
        const struct err_kind *kind = code ? agent_state_kind(code) : NULL;
        return err_set(e, kind ? kind : &err_internal, "%s", said ? said : "the agent said no");
    }
    *ret = own_take(&answer);
    return 0;
}
