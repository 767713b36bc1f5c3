// SPDX-License-Identifier: Apache-2.0
//
// Names that lead nowhere, to this machine, or to a name server that never answers: in a network of
// its own with a name server of the test's. Needs root.
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/skip.h"
#include "tests/support/tmp.h"
#include "tests/unit/agent/net/served.h"

#define DNS_PORT 53
#define NXDOMAIN 3

static int name_server, stop[2];
static pthread_t thread;
static struct tmp_dir dir;

// "here.test" is 127.0.0.1, "hang.test" gets no answer, nothing else exists.
static void answer(uint8_t *packet, size_t len, const struct sockaddr_in *to) {
    static const uint8_t address[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1};
    if (len < 17 || memmem(packet, len, "\4hang", 5))
        return;
    bool wants_ipv4 = packet[len - 3] == 1; // the question ends with type and class
    packet[2] |= 0x80;                      // an answer
    packet[10] = packet[11] = 0;            // without extensions
    if (!memmem(packet, len, "\4here", 5)) {
        packet[3] = (uint8_t)((packet[3] & 0xf0) | NXDOMAIN);
    } else if (wants_ipv4) {
        packet[7] = 1;
        memcpy(packet + len, address, sizeof address);
        len += sizeof address;
    }
    (void)sendto(name_server, packet, len, 0, (const struct sockaddr *)to, sizeof *to);
}

static void *serve_names(void *context) {
    (void)context;
    for (;;) {
        uint8_t packet[1024];
        struct sockaddr_in from;
        socklen_t from_len = sizeof from;
        struct pollfd fds[2] = {{.fd = stop[0], .events = POLLIN},
                                {.fd = name_server, .events = POLLIN}};
        poll(fds, 2, -1);
        if (fds[0].revents)
            return NULL;
        ssize_t len = recvfrom(name_server, packet, 512, 0, (struct sockaddr *)&from, &from_len);
        if (len > 0)
            answer(packet, (size_t)len, &from);
    }
}

static void put(const char *name, const char *text, const char *over) {
    char path[TMP_PATH_BYTES + 16];
    snprintf(path, sizeof path, "%s/%s", dir.path, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    cr_assert_eq(mount(path, over, NULL, MS_BIND, NULL), 0, "%s", over);
}

static void start_names(void) {
    struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(DNS_PORT),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        skip_test("only root that may make namespaces can give a test its own name server");
    dir = tmp_dir_make();
    put("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:2\n", "/etc/resolv.conf");
    put("nsswitch.conf", "hosts: files dns\n", "/etc/nsswitch.conf");
    name_server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert(name_server >= 0 && ioctl(name_server, SIOCSIFFLAGS, &loopback) == 0);
    cr_assert_eq(bind(name_server, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(pipe2(stop, O_CLOEXEC), 0);
    cr_assert_eq(pthread_create(&thread, NULL, serve_names, NULL), 0);
    start();
}

static void stop_names(void) {
    if (stop[1] == 0)
        return;
    close(stop[1]);
    pthread_join(thread, NULL);
    close(stop[0]);
    close(name_server);
    tmp_dir_remove(&dir);
}

TestSuite(names, .init = start_names, .fini = stop_names, .timeout = 1200);

static int fetch(const char *url, struct err *e) {
    uint8_t got[sizeof content];
    net.retries = 0;
    cr_assert_eq(net_download_open(&net, url, sizeof content, chrono_system(), &download, e), 0);
    source = net_download_source(download);
    int result = source.read(source.context, 0, got, sizeof got, e);
    net_download_close(download);
    return result;
}

Test(names, one_that_does_not_exist_is_unreachable_and_named) {
    struct err e = ERR_NONE;
    net.allow_http = true;
    cr_assert_lt(fetch("http://nowhere.test/x", &e), 0);
    cr_assert_eq(e.kind, &err_unreachable, "%s", e.text);
    cr_assert(strstr(e.text, "nowhere.test") != NULL, "%s", e.text);
}

Test(names, a_name_server_that_never_answers_is_left) {
    struct err e = ERR_NONE;
    net.allow_http = true;
    net.connect_timeout_s = 1;
    cr_assert_lt(fetch("http://hang.test/x", &e), 0);
    cr_assert_eq(e.kind, &err_too_slow, "%s", e.text);
}

Test(names, one_that_leads_to_this_machine_is_no_loopback) {
    struct err e = ERR_NONE;
    char url[80];
    struct faultd *server = faultd_open(&whole, 1);
    snprintf(url, sizeof url, "http://here.test%s/x", strrchr(faultd_url(server), ':'));
    cr_assert_lt(fetch(url, &e), 0);
    cr_assert_eq(e.kind, &err_permission, "%s", e.text);
    cr_assert_eq(faultd_played(server), 0);
    err_clear(&e);
    net.allow_http = true; // the name server works
    cr_assert_eq(fetch(url, &e), 0, "%s", e.text);
    faultd_close(server);
}
