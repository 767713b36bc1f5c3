// SPDX-License-Identifier: Apache-2.0
//
// Certificates and a server by openssl(1); see tls_server.h.
#include "tests/support/tls_server.h"

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/proc.h"
#include "tests/support/tmp.h"

#define OPENSSL    "/usr/bin/openssl"
#define CURVE      "ec_paramgen_curve:P-256"
#define TIME_BYTES 24
#define START_MS   120000
#define COMMAND_MS 120000

struct tls_server {
    struct tmp_dir dir;
    struct proc proc;
    char url[64];
    char authority[TMP_PATH_BYTES + 16];
};

static void need(bool good, const char *what) {
    if (!good) {
        fprintf(stderr, "TLS server: %s\n", what);
        abort();
    }
}

static void write_file(const struct tls_server *s, const char *name, const char *text) {
    int fd = openat(s->dir.fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    need(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0, name);
}

static void run(const struct tls_server *s, const char *const *argv) {
    struct proc_spec spec = proc_spec_none;
    struct err e = ERR_NONE;
    struct buf noise;
    int status = -1;
    buf_init(&noise, 4096);
    spec.argv = argv;
    spec.directory = s->dir.fd;
    const struct proc_run how = {
        .noise = &noise, .timeout_ms = COMMAND_MS, .clock = chrono_system()};
    if (proc_run(&spec, &how, &status, &e) < 0 || status != 0) {
        fprintf(stderr, "%s\n%.*s\n", e.text, (int)noise.len, (const char *)noise.data);
        need(false, argv[1]);
    }
    buf_clear(&noise);
}

// As `openssl ca` wants it: 20261122150000Z.
static const char *format_time(int64_t seconds, char ret[static TIME_BYTES]) {
    time_t time = (time_t)seconds;
    struct tm parts;
    need(gmtime_r(&time, &parts) && strftime(ret, TIME_BYTES, "%Y%m%d%H%M%SZ", &parts) > 0, "time");
    return ret;
}

static void make_certificates(const struct tls_server *s,
                              const struct tls_server_certificate *how) {
    static const char config[] = "[req]\ndistinguished_name = dn\nx509_extensions = authority\n"
                                 "[dn]\n"
                                 "[authority]\nbasicConstraints = critical,CA:TRUE\n"
                                 "[ca]\ndefault_ca = made\n"
                                 "[made]\ndatabase = index\nserial = serial\nnew_certs_dir = .\n"
                                 "default_md = sha256\npolicy = policy\nx509_extensions = server\n"
                                 "[policy]\ncommonName = supplied\n"
                                 "[server]\nsubjectAltName = ";
    char text[sizeof config + 128];
    char from[TIME_BYTES], until[TIME_BYTES];
    snprintf(text, sizeof text, "%s%s\n", config, how->name);
    write_file(s, "config", text);
    write_file(s, "index", "");
    write_file(s, "serial", "01\n");
    const char *const authority[] = {
        OPENSSL, "req",    "-x509", "-config",       "config",  "-newkey", "ec",   "-pkeyopt",
        CURVE,   "-nodes", "-subj", "/CN=authority", "-keyout", "ca.key",  "-out", "ca.pem",
        "-days", "10000",  NULL};
    const char *const request[] = {
        OPENSSL,  "req",   "-config",    "config",  "-newkey", "ec",   "-pkeyopt",    CURVE,
        "-nodes", "-subj", "/CN=server", "-keyout", "key.pem", "-out", "request.pem", NULL};
    const char *const certify[] = {OPENSSL,      "ca",
                                   "-batch",     "-config",
                                   "config",     "-notext",
                                   "-in",        "request.pem",
                                   "-out",       "cert.pem",
                                   "-cert",      "ca.pem",
                                   "-keyfile",   "ca.key",
                                   "-startdate", format_time(how->from_s, from),
                                   "-enddate",   format_time(how->until_s, until),
                                   NULL};
    run(s, authority);
    run(s, request);
    run(s, certify);
}

// The server says on its output where it listens.
static unsigned read_port(int fd) {
    char text[512] = "";
    size_t len = 0;
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    while (len < sizeof text - 1 && poll(&ready, 1, START_MS) > 0) {
        ssize_t got = read(fd, text + len, sizeof text - 1 - len);
        if (got <= 0)
            break;
        len += (size_t)got;
        text[len] = '\0';
        const char *at = strstr(text, "ACCEPT 127.0.0.1:");
        if (at && strchr(at, '\n'))
            return (unsigned)strtoul(at + 17, NULL, 10);
    }
    need(false, text);
    return 0;
}

struct tls_server *tls_server_open(const struct tls_server_certificate *how, const char *answer) {
    static const char *const argv[] = {OPENSSL, "s_server", "-HTTP", "-accept", "127.0.0.1:0",
                                       "-cert", "cert.pem", "-key",  "key.pem", NULL};
    struct tls_server *s = calloc(1, sizeof *s);
    struct proc_spec spec = proc_spec_none;
    struct err e = ERR_NONE;
    int ends[2];
    need(s && pipe2(ends, O_CLOEXEC) == 0, "no memory");
    s->dir = tmp_dir_make();
    make_certificates(s, how);
    write_file(s, "x", answer);
    spec.argv = argv;
    spec.directory = s->dir.fd;
    spec.stdout_fd = ends[1];
    need(proc_start(&spec, &s->proc, &e) == 0, e.text);
    close(ends[1]);
    snprintf(s->url, sizeof s->url, "https://127.0.0.1:%u/x", read_port(ends[0]));
    snprintf(s->authority, sizeof s->authority, "%s/ca.pem", s->dir.path);
    close(ends[0]);
    return s;
}

void tls_server_close(struct tls_server *s) {
    proc_kill(&s->proc);
    tmp_dir_remove(&s->dir);
    free(s);
}

const char *tls_server_url(const struct tls_server *s) {
    return s->url;
}

const char *tls_server_authority(const struct tls_server *s) {
    return s->authority;
}
