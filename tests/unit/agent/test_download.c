// SPDX-License-Identifier: Apache-2.0
//
// What the resident agent does about a download itself: what it tells the worker, and what it makes
// of a file that is no longer at hand. The worker here is a script that keeps what it is told.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/job.h"
#include "tests/unit/agent/device.h"

#define JOB_FILE "job.json"
#define TURNS    600

// A device whose worker writes its job into JOB_FILE and ends.
static void start(struct device *d) {
    char script[2 * TMP_PATH_BYTES], path[TMP_PATH_BYTES + 16];
    struct err e = ERR_NONE;
    int len;
    device_make(d, json_pack("{ss ss ss}", "controller", "https://controller.example", "worker",
                             "worker", "worker_user", "nobody"));
    len = snprintf(script, sizeof script, "#!/bin/sh\nexec cat <&%d >'%s/" JOB_FILE "'\n",
                   AGENT_JOB_SPEC_FD, d->dir.path);
    device_write(d, "worker", script, (size_t)len);
    device_write(d, JOB_FILE, "", 0);
    // Run as root the worker is another user, who must come in and write.
    (void)snprintf(path, sizeof path, "%s/worker", d->dir.path);
    cr_assert_eq(chmod(path, 0755), 0);
    (void)snprintf(path, sizeof path, "%s/" JOB_FILE, d->dir.path);
    cr_assert_eq(chmod(path, 0666), 0);
    cr_assert_eq(chmod(d->dir.path, 0755), 0);
    d->hires = true;
    cr_assert_eq(device_open(d, &e), 0, "%s", e.text);
}

// The repository said yes to whatever is offered.
static void offer_published(struct device *d, const struct fsm_update *offer) {
    struct err e = ERR_NONE;
    cr_assert_eq(agent_update_offer(d->update, offer, -1, &e), 0, "%s", e.text);
    d->update->verdict.found = true;
}

// The token in the job that the worker was given for a bundle there.
static void read_token(struct device *d, const char *url, char ret[static 64]) {
    struct err e = ERR_NONE;
    OWN(buf) struct buf text;
    OWN(json) json_t *job = NULL;
    buf_init(&text, AGENT_JOB_SPEC_MAX_BYTES);
    cr_assert_eq(fs_read_file(d->dir.fd, JOB_FILE, AGENT_JOB_SPEC_MAX_BYTES, &text, &e), 0, "%s",
                 e.text);
    job = json_loadb((const char *)text.data, text.len, 0, NULL);
    cr_assert(job, "the job: %s", buf_text(&text));
    cr_assert(strstr(buf_text(&text), url) || url[0] == '/', "%s", buf_text(&text));
    const char *token = json_string_value(json_object_get(job, "token"));
    (void)snprintf(ret, 64, "%s", token ? token : "");
    cr_expect_eq(strstr(buf_text(&text), DEVICE_TOKEN) != NULL, ret[0] != '\0',
                 "the token is nowhere else in the job");
}

static void token_for(const char *url, char ret[static 64]) {
    struct device d;
    struct err e = ERR_NONE;
    struct fsm_update offer = {.attempt = 1, .has_bundle = true, .restarts_max = 3};
    (void)snprintf(offer.url, sizeof offer.url, "%s", url);
    start(&d);
    offer_published(&d, &offer);
    for (int turn = 0; turn < TURNS && d.state.journal.record.why.code[0] == '\0'; turn++)
        cr_assert_eq(agent_loop_turn(&d.loop, 100, &e), 0, "%s", e.text);
    cr_assert_str_eq(d.state.journal.record.why.code, "worker_failed", "%s",
                     d.state.journal.record.why.text);
    read_token(&d, url, ret);
    device_drop(&d);
}

// The same when its manifest alone is wanted, for dry probes, which a failed worker ends.
static void dry_token_for(const char *url, char ret[static 64]) {
    struct device d;
    struct err e = ERR_NONE;
    start(&d);
    device_release(&d, "1.0", NULL);
    d.update->host.ask = device_repository;
    device_drive(&d);
    struct bundle_instruction probe = device_told(&d, BUNDLE_ACTION_PROBE, 5);
    (void)snprintf(probe.url, sizeof probe.url, "%s", url);
    cr_assert_eq(agent_update_dry(d.update, &probe, &e), 0, "%s", e.text);
    for (int turn = 0; turn < TURNS && !agent_update_probed(d.update); turn++)
        cr_assert_eq(agent_loop_turn(&d.loop, 100, &e), 0, "%s", e.text);
    cr_assert_not_null(agent_update_probed(d.update));
    cr_assert_str_eq(agent_update_probed(d.update)->code, "worker_failed", "%s",
                     agent_update_probed(d.update)->text);
    cr_expect_eq(agent_update_probed(d.update)->n, 0);
    read_token(&d, url, ret);
    device_drop(&d);
}

Test(agent_download, i9_the_token_goes_along_only_to_the_controller_itself, .timeout = 1200) {
    static const char *const others[] = {"https://cdn.example/x.edge",
                                         "https://controller.example/x.edge",
                                         "http://controller.example.evil.example/x.edge"};
    char token[64];
    token_for("/x.edge", token);
    cr_expect_str_eq(token, DEVICE_TOKEN);
    dry_token_for("/x.edge", token);
    cr_expect_str_eq(token, DEVICE_TOKEN);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        token_for(others[i], token);
        cr_expect_str_eq(token, "", "I9: %s", others[i]);
        dry_token_for(others[i], token);
        cr_expect_str_eq(token, "", "I9: %s, dry", others[i]);
    }
}

Test(agent_download, i4_a_restart_during_an_install_from_a_file_is_not_held_against_the_bundle) {
    struct device d;
    device_start_with(&d, "1.0", "");
    device_release(&d, "1.1", NULL);
    struct err e = ERR_NONE;
    cr_assert_eq(device_offer(&d, true, &e), 0, "%s", e.text);
    d.hires = true;
    device_restart(&d);
    device_drive(&d);
    cr_expect_eq(d.state.journal.record.state, FSM_IDLE);
    cr_expect_str_eq(d.update->ended_why.code, "interrupted");
    cr_expect(strstr(d.update->ended_why.text, "install it again"));
    d.hires = false;
    device_restart(&d);
    device_install(&d, "1.1", NULL);
    device_drop(&d);
}

// A server on loopback that takes connections and never says a word.
static int silence(char url[static 64]) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(listen(fd, 4), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    (void)snprintf(url, 64, "http://127.0.0.1:%u/x.edge", (unsigned)ntohs(at.sin_port));
    return fd;
}

// Takes connections until one asks for /x.edge: on a busy machine another program may still knock
// at a port that it had before, long before the worker has begun.
static int meet(int server) {
    static const char wanted[] = "GET /x.edge ";
    for (;;) {
        char said[sizeof wanted - 1];
        int fd = accept(server, NULL, NULL);
        cr_assert_geq(fd, 0, "%s", strerror(errno));
        if (recv(fd, said, sizeof said, MSG_WAITALL) == (ssize_t)sizeof said &&
            memcmp(said, wanted, sizeof said) == 0)
            return fd;
        (void)close(fd);
    }
}

// The one child of this process.
static uint64_t child(void) {
    char path[64];
    OWN(buf) struct buf text;
    struct err e = ERR_NONE;
    buf_init(&text, 4096);
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)getpid(), (int)getpid());
    cr_assert_eq(fs_read_file(AT_FDCWD, path, 4096, &text, &e), 0, "%s", e.text);
    return strtoull(buf_text(&text), NULL, 10);
}

// The kernel gives what it tells of a process to root where nobody else may look into it.
Test(agent_download, a_worker_of_another_user_is_closed_to_that_user, .timeout = 1200) {
    struct device d;
    struct err e = ERR_NONE;
    struct stat status;
    struct fsm_update offer = {.attempt = 1, .has_bundle = true, .restarts_max = 3};
    char path[64];
    OWN(fd) int server = silence(offer.url);
    device_make(&d, json_pack("{ss}", "worker_user", "nobody"));
    d.hires = true;
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    offer_published(&d, &offer);
    for (int turn = 0; turn < TURNS && !d.update->hire; turn++)
        cr_assert_eq(agent_loop_turn(&d.loop, 100, &e), 0, "%s", e.text);
    cr_assert(d.update->hire, "%s", d.state.journal.record.why.text);
    // It has read its job and waits for an answer: from here on there is something to see.
    OWN(fd) int met = meet(server);
    (void)snprintf(path, sizeof path, "/proc/%" PRIu64 "/mem", child());
    cr_assert_eq(stat(path, &status), 0, "%s: %s", path, strerror(errno));
    cr_expect_eq(status.st_uid, geteuid(),
                 "%s is of %u, not of root, and without root of the one user there is", path,
                 (unsigned)status.st_uid);
    device_drop(&d);
}
