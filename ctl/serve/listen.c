// SPDX-License-Identifier: Apache-2.0
//
// The listening socket.
#include "ctl/serve/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/num.h"
#include "base/own.h"
#include "ctl/kind.h"

#define BACKLOG 1024

static int bad(const char *text, struct err *e) {
    return err_set(e, &err_config, "--listen %s: expected ADDRESS:PORT, like 127.0.0.1:8443", text);
}

// Splits at the last colon; brackets around an IPv6 address go.
static int split(const char *text, char *ret_host, size_t host_bytes, const char **ret_port,
                 struct err *e) {
    const char *colon = strrchr(text, ':');
    uint64_t port = 0;
    struct err ignored = ERR_NONE;
    if (colon == NULL || num_parse_u64(colon + 1, "port", 0, 65535, &port, &ignored) < 0)
        return bad(text, e);
    size_t len = (size_t)(colon - text);
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    if (len >= host_bytes)
        return bad(text, e);
    memcpy(ret_host, text, len);
    ret_host[len] = '\0';
    *ret_port = colon + 1;
    return 0;
}

static bool is_loopback(const struct sockaddr *address) {
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)address;
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *in6 = (const void *)address;
    return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

static int describe(int fd, struct serve_listen *ret) {
    struct sockaddr_storage at;
    socklen_t len = sizeof at;
    char host[INET6_ADDRSTRLEN], port[8];
    if (getsockname(fd, (struct sockaddr *)&at, &len) < 0 ||
        getnameinfo((struct sockaddr *)&at, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return -1;
    ret->port = ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                               : ((struct sockaddr_in *)&at)->sin_port);
    (void)snprintf(ret->text, sizeof ret->text, at.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
                   host, port);
    return 0;
}

static int try_address(const struct addrinfo *address, struct serve_listen *ret) {
    int on = 1, off = 0;
    OWN(fd)
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, address->ai_addr, address->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0 ||
        describe(fd, ret) < 0)
        return -1;
    ret->fd = own_take_fd(&fd);
    return 0;
}

static int check_reach(const struct addrinfo *found, const char *text, struct err *e) {
    for (const struct addrinfo *at = found; at != NULL; at = at->ai_next)
        if (!is_loopback(at->ai_addr))
            return err_set(e, &err_cleartext,
                           "listening on %s without TLS: tokens could be read on the way. Give a "
                           "certificate and a key, listen on 127.0.0.1 behind a proxy, or allow it "
                           "with --allow-http",
                           text);
    return 0;
}

static int open_first(const struct addrinfo *found, const char *text, struct serve_listen *ret,
                      struct err *e) {
    int last = EADDRNOTAVAIL;
    for (const struct addrinfo *at = found; at != NULL; at = at->ai_next) {
        if (try_address(at, ret) == 0)
            return 0;
        last = errno;
    }
    return err_set(e, &err_listen_failed, "listening on %s: %s", text, strerror(last));
}

int serve_listen_open(const char *text, enum serve_listen_reach reach, struct serve_listen *ret,
                      struct err *e) {
    char host[256];
    const char *port = NULL;
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (split(text, host, sizeof host, &port, e) < 0)
        return -1;
    int failed = getaddrinfo(host[0] == '\0' ? NULL : host, port, &hints, &found);
    if (failed != 0)
        return err_set(e, &err_listen_failed, "listening on %s: %s", text, gai_strerror(failed));
    int done = reach == SERVE_LISTEN_LOOPBACK ? check_reach(found, text, e) : 0;
    if (done == 0)
        done = open_first(found, text, ret, e);
    freeaddrinfo(found);
    return done;
}
