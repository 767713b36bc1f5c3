// SPDX-License-Identifier: Apache-2.0
//
// See notify.h.
#include "agent/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/num.h"
#include "base/own.h"

void agent_notify_send(const char *message) {
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof address.sun_path)
        return;
    size_t len = strlen(path);
    memcpy(address.sun_path, path, len);
    if (path[0] == '@')
        address.sun_path[0] = '\0'; // an abstract name
    OWN(fd) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (fd >= 0)
        (void)sendto(fd, message, strlen(message), MSG_NOSIGNAL | MSG_DONTWAIT,
                     (const struct sockaddr *)&address, size);
}

int64_t agent_notify_interval_ms(void) {
    const char *us = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");
    uint64_t value, who;
    struct err ignored = ERR_NONE;
    if (!us || num_parse_u64(us, "WATCHDOG_USEC", 2000, INT64_MAX, &value, &ignored) < 0)
        return 0;
    if (pid && (num_parse_u64(pid, "WATCHDOG_PID", 1, INT32_MAX, &who, &ignored) < 0 ||
                (pid_t)who != getpid()))
        return 0;
    return (int64_t)(value / 2000);
}
