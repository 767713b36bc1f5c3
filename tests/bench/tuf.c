// SPDX-License-Identifier: Apache-2.0
//
// What a refresh of repository metadata costs a client:
//
//     bench_tuf [CLIENT]      by default the conformance client beside this program
//
// A repository of 10,000 targets, each with a path, length and two hashes as publishing a release
// writes them, is made in a temporary directory and served on loopback. The client refreshes from
// nothing, once more with the timestamp first, and to the next version of all targets. Prints
// metric<TAB>value<TAB>unit:
//
//     tuf_targets_bytes          size of the top-level targets.json
//     tuf_refresh_10k_dirty_kib  most Private_Dirty of the whole client in any of these refreshes
//     tuf_unchanged_requests     requests of a refresh that finds nothing new
//     tuf_unchanged_bytes        and what they bring
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "tests/support/tmp.h"
#include "tests/support/tuf_repo.h"

#define TARGETS    10000
#define RUNS       5
#define EXPIRES    "2100-01-01T00:00:00Z" // the client takes the machine's clock
#define PATH_BYTES 1024
#define SAMPLE_NS  300000

static void must(bool held, const char *what) {
    if (held)
        return;
    (void)fprintf(stderr, "bench_tuf: %s: %s\n", what, strerror(errno));
    exit(1);
}

// ── The repository ───────────────────────────────────────────────────────────────────────────────

static void add_targets(struct tuf_repo *repo) {
    json_t *targets = json_object_get(tuf_repo_role(repo, "targets"), "targets");
    for (unsigned i = 0; i < TARGETS; i++) {
        char hash[65];
        char path[128];
        for (unsigned j = 0; j < 64; j++)
            hash[j] = "0123456789abcdef"[(i * 2654435761U >> j % 28) % 16];
        hash[64] = '\0';
        (void)snprintf(path, sizeof path, "vibration-%02u/1.%u.0/%s.json", i % 100, i / 100, hash);
        must(json_object_set_new(targets, path,
                                 json_pack("{s:i,s:{s:s,s:s}}", "length", 2000 + (int)i % 500,
                                           "hashes", "blake2b-256", hash, "sha256", hash)) == 0,
             "a target");
    }
}

// In a process of its own, so that the memory is given back.
static void make_repository(const struct tmp_dir *dir, unsigned publications) {
    pid_t child = fork();
    must(child >= 0, "fork");
    if (child == 0) {
        struct tuf_repo repo;
        struct err e = ERR_NONE;
        tuf_repo_make(&repo);
        add_targets(&repo);
        for (size_t i = 0; i < TUF_TYPES; i++)
            tuf_repo_set(&repo, tuf_type_names[i], "expires", json_string(EXPIRES));
        tuf_repo_serve(&repo, "root");
        for (unsigned i = 0; i < publications; i++)
            tuf_repo_publish(&repo, "targets");
        for (size_t i = 0; i < repo.served.n; i++) {
            const struct tuf_repo_file *file = &repo.served.files[i];
            must(fs_replace(dir->fd, file->name, file->bytes.data, file->bytes.len, 0644, &e) == 0,
                 e.text);
        }
        _exit(0);
    }
    int status = 0;
    must(waitpid(child, &status, 0) == child && status == 0, "making the repository");
}

// ── The server ───────────────────────────────────────────────────────────────────────────────────

struct counted {
    unsigned requests;
    uint64_t bytes;
};

static void answer(int connection, const struct tmp_dir *dir, struct counted *counted) {
    char request[4096];
    char name[256];
    char head[128];
    struct err e = ERR_NONE;
    OWN(buf) struct buf file;
    size_t len = 0;
    ssize_t got = 1;
    buf_init(&file, TUF_TARGETS_MAX_BYTES);
    while (len < sizeof request - 1 && got > 0) {
        got = read(connection, request + len, sizeof request - 1 - len);
        len += got > 0 ? (size_t)got : 0;
        request[len] = '\0';
        if (strstr(request, "\r\n\r\n"))
            break;
    }
    counted->requests++;
    if (sscanf(request, "GET /%255[^/ ] ", name) != 1 ||
        fs_read_file(dir->fd, name, TUF_TARGETS_MAX_BYTES, &file, &e) < 0) {
        (void)dprintf(connection, "HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        return;
    }
    counted->bytes += file.len;
    int head_len =
        snprintf(head, sizeof head, "HTTP/1.0 200 OK\r\nContent-Length: %zu\r\n\r\n", file.len);
    must(fs_write(connection, head, (size_t)head_len, &e) == 0, e.text);
    must(fs_write(connection, file.data, file.len, &e) == 0, e.text);
}

// Serves one request after another until it is ended.
static pid_t start_server(const struct tmp_dir *dir, struct counted *counted, unsigned *ret_port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t at_len = sizeof at;
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(listening >= 0 && bind(listening, (struct sockaddr *)&at, sizeof at) == 0 &&
             listen(listening, 16) == 0 &&
             getsockname(listening, (struct sockaddr *)&at, &at_len) == 0,
         "a socket on loopback");
    *ret_port = ntohs(at.sin_port);
    pid_t server = fork();
    must(server >= 0, "fork");
    while (server == 0) {
        int connection = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
        must(connection >= 0, "accept");
        answer(connection, dir, counted);
        (void)close(connection);
    }
    (void)close(listening);
    return server;
}

// ── The client ───────────────────────────────────────────────────────────────────────────────────

// Private_Dirty of a process in KiB; 0 when it has ended.
static unsigned long dirty_kib(pid_t pid) {
    char path[64];
    char line[256];
    unsigned long kib = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "Private_Dirty: %lu", &kib) == 1)
            break;
    if (file)
        (void)fclose(file);
    return kib;
}

// Runs the client to its end and returns the most that was seen of its memory.
static unsigned long run(const char *const argv[]) {
    const struct timespec pause = {.tv_nsec = SAMPLE_NS};
    unsigned long most = 0;
    int status = 0;
    pid_t client = fork();
    must(client >= 0, "fork");
    if (client == 0) {
        (void)execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    while (waitpid(client, &status, WNOHANG) == 0) {
        unsigned long now = dirty_kib(client);
        most = now > most ? now : most;
        (void)nanosleep(&pause, NULL);
    }
    must(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the client failed");
    return most;
}

struct figures {
    unsigned long dirty_kib;
    struct counted unchanged;
};

struct bench {
    const char *client;
    const char *url;
    struct tmp_dir dir;
    struct counted *counted; // by the server
};

static void refresh(const struct bench *b, const struct tmp_dir *trusted, struct figures *ret) {
    unsigned long most = run((const char *[]){b->client, "--metadata-url", b->url, "--metadata-dir",
                                              trusted->path, "refresh", NULL});
    ret->dirty_kib = most > ret->dirty_kib ? most : ret->dirty_kib;
}

static void measure(const struct bench *b, struct figures *ret) {
    struct tmp_dir trusted = tmp_dir_make();
    char root[PATH_BYTES];
    (void)snprintf(root, sizeof root, "%s/1.root.json", b->dir.path);
    make_repository(&b->dir, 1);
    run((const char *[]){b->client, "--metadata-dir", trusted.path, "init", root, NULL});
    refresh(b, &trusted, ret);
    *b->counted = (struct counted){.requests = 0};
    run((const char *[]){b->client, "--metadata-url", b->url, "--metadata-dir", trusted.path,
                         "--timestamp-first", "refresh", NULL});
    ret->unchanged = *b->counted;
    make_repository(&b->dir, 2);
    refresh(b, &trusted, ret);
    tmp_dir_remove(&trusted);
}

int main(int argc, char **argv) {
    char client[PATH_BYTES];
    char url[64];
    unsigned port = 0;
    struct stat targets;
    struct figures figures = {.dirty_kib = 0};
    struct err e = ERR_NONE;
    struct bench b = {.client = client, .url = url, .dir = tmp_dir_make()};
    ssize_t len = readlink("/proc/self/exe", client, sizeof client - 32);
    must(len > 0, "/proc/self/exe");
    client[len] = '\0';
    (void)strcpy(strrchr(client, '/'), "/tuf_client");
    b.counted =
        mmap(NULL, sizeof *b.counted, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(b.counted != MAP_FAILED, "mmap");
    pid_t server = start_server(&b.dir, b.counted, &port);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/", port);
    for (size_t i = 0; i < RUNS; i++)
        measure(argc > 1 ? &(struct bench){argv[1], url, b.dir, b.counted} : &b, &figures);
    (void)kill(server, SIGKILL);
    (void)waitpid(server, NULL, 0);
    must(fs_stat(b.dir.fd, "2.targets.json", &targets, &e) == 0, "2.targets.json");
    tmp_dir_remove(&b.dir);
    (void)printf("tuf_targets_bytes\t%lld\tbytes\n", (long long)targets.st_size);
    (void)printf("tuf_refresh_10k_dirty_kib\t%lu\tKiB\n", figures.dirty_kib);
    (void)printf("tuf_unchanged_requests\t%u\trequests\n", figures.unchanged.requests);
    (void)printf("tuf_unchanged_bytes\t%llu\tbytes\n", (unsigned long long)figures.unchanged.bytes);
    return 0;
}
