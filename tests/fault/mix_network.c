// SPDX-License-Identifier: Apache-2.0
//
// Downloads through random mixes of faults. For each seed a server (tests/support/mishap.h) gives a
// small bundle wrongly by a plan drawn from the seed, and the worker's fetch takes it, with
// settings drawn as well, over a generation that has some of its files. Held, whatever happens:
//
//   bytes    what was staged is sealed against the signed digests, or the attempt failed; what runs
//            is untouched and nothing else lies beside it
//   memory   at most MEMORY_BYTES more than before (not with a sanitizer, which takes its own)
//   time     the attempt ends, after at most REQUESTS_MAX requests; never more bytes than the
//   budget space    no scratch files are left, and no more contents than the bundle has cause the
//   error's kind is one that a fault which was played may cause next     one honest attempt over
//   what was left succeeds, without a single retry
//
//   mix_network [SEEDS [FIRST]]       500 from 1; 10000 before a release (CONTRIBUTING.md)
//
// Pauses between tries pass in virtual time: nanosleep is the one below. Several seeds at once,
// each in processes of its own. A seed that fails is printed with its plan.
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/kind.h"
#include "agent/net/handle.h"
#include "agent/worker/fetch.h"
#include "base/num.h"
#include "bundle/kind.h"
#include "keys/kind.h"
#include "tests/fault/mixed.h"

#define SEEDS        500
#define LANES        8 // most of their time is silence and pauses of the server
#define MEMORY_BYTES (8 << 20)
#define REQUESTS_MAX 64
#define HANGS_S      600 // a net

#if !defined(__SANITIZE_ADDRESS__) && defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEASURES_MEMORY false
#else
#define MEASURES_MEMORY true
#endif

// Virtual time: it is as much later as was slept.
static _Atomic int64_t slept_ms;

int nanosleep(const struct timespec *wanted, struct timespec *left) {
    (void)left;
    slept_ms += wanted->tv_sec * 1000 + wanted->tv_nsec / 1000000;
    return 0;
}

static int64_t boot_ms(void *context) {
    (void)context;
    return chrono_boot_ms(chrono_system()) + slept_ms;
}

static int64_t wall_ms(void *context) {
    (void)context;
    return chrono_wall_ms(chrono_system()) + slept_ms;
}

static const struct chrono running_clock = {.wall_ms = wall_ms, .boot_ms = boot_ms};

// One attempt

struct attempt {
    struct agent_job job;
    int generation, partial, manifest;
    struct agent_job_result result; // out
    uint64_t memory_bytes;
};

// The most that this process has taken so far, or takes now.
static uint64_t resident_bytes(const char *line) {
    char text[4096] = "";
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    need(fd >= 0 && read(fd, text, sizeof text - 1) > 0 && close(fd) == 0, "/proc/self/status",
         NULL);
    const char *at = strstr(text, line);
    return at ? strtoull(at + strlen(line), NULL, 10) * 1024 : 0;
}

static void place(int fd, int at) {
    need(dup2(fd, at) == at, "a descriptor", NULL);
}

// In a process of its own: the worker's fetch with its descriptors, its voice and its end.
static _Noreturn void work(struct attempt *a, int control, int report) {
    struct err e = ERR_NONE;
    int high[] = {fcntl(a->partial, F_DUPFD, 100), fcntl(a->generation, F_DUPFD, 100),
                  fcntl(root_fd, F_DUPFD, 100), open("/dev/null", O_RDONLY),
                  fcntl(a->manifest, F_DUPFD, 100)};
    control = fcntl(control, F_DUPFD, 100);
    report = fcntl(report, F_DUPFD, 100);
    for (int i = 0; i < 5; i++)
        place(high[i], WORKER_FETCH_PARTIAL_FD + i);
    struct worker_voice voice = {.control = control, .job = &a->job, .clock = &running_clock};
    (void)alarm(HANGS_S);
    need(net_handle_start(&e) == 0, "libcurl", &e);
    int peak = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    uint64_t before = resident_bytes("VmRSS:"), after = before;
    if (peak >= 0 && write(peak, "5", 1) == 1) { // resets VmHWM
        (void)worker_fetch(&voice, &e);
        after = resident_bytes("VmHWM:");
    } else {
        (void)worker_fetch(&voice, &e);
    }
    uint64_t taken = after > before ? after - before : 0;
    _exit(write(report, &taken, sizeof taken) == sizeof taken &&
                  worker_voice_result(&voice, &e) == 0
              ? 0
              : 1);
}

// The agent's part. False when the worker ends without a word.
static bool converse(int control, struct agent_job_result *ret) {
    static struct agent_job_message m;
    static const struct agent_job_message proceed = {.type = AGENT_JOB_PROCEED};
    struct err e = ERR_NONE;
    for (;;) {
        if (agent_job_receive(control, &m, &e) != 0)
            return false;
        if (m.type == AGENT_JOB_MANIFEST && agent_job_send(control, &proceed, &e) < 0)
            return false;
        if (m.type == AGENT_JOB_RESULT) {
            *ret = m.u.result;
            return true;
        }
    }
}

// Returns NULL, or what went wrong with the process itself.
static const char *try(struct attempt *a, struct faultd *server) {
    int ends[2], report[2], status = 0;
    need(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0 &&
             pipe2(report, O_CLOEXEC) == 0,
         "a socket", NULL);
    pid_t pid = faultd_fork(server);
    need(pid >= 0, "a process", NULL);
    if (pid == 0)
        work(a, ends[1], report[1]);
    close(ends[1]);
    close(report[1]);
    bool said = converse(ends[0], &a->result);
    if (read(report[0], &a->memory_bytes, sizeof a->memory_bytes) != sizeof a->memory_bytes)
        said = false;
    close(ends[0]);
    close(report[0]);
    need(waitpid(pid, &status, 0) == pid, "a process", NULL);
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGALRM ? "time: it does not end" : "it crashed";
    return said && status == 0 ? NULL : "it ended without a result";
}

// What is held

static bool is_of(const struct err_kind *const *kinds, const char *name) {
    for (; *kinds; kinds++)
        if (strcmp((*kinds)->name, name) == 0)
            return true;
    return false;
}

static bool may_end_with(const char *kind, unsigned ends) {
    static const struct {
        const struct err_kind *kind;
        unsigned end;
    } rows[] = {{&err_unreachable, MISHAP_UNREACHABLE}, {&err_http, MISHAP_HTTP},
                {&err_garbage, MISHAP_GARBAGE},         {&err_redirected, MISHAP_REDIRECTED},
                {&err_too_slow, MISHAP_TOO_SLOW},       {&err_too_much, MISHAP_TOO_MUCH},
                {&err_truncated, MISHAP_TRUNCATED},     {&err_limit, MISHAP_LIMIT}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].kind->name, kind) == 0 && ends & rows[i].end)
            return true;
    return ends & MISHAP_CONTENT &&
           (is_of(bundle_kinds, kind) || is_of(keys_kinds, kind) ||
            strcmp(kind, err_syntax.name) == 0 || strcmp(kind, err_limit.name) == 0 ||
            strcmp(kind, err_newer_format.name) == 0);
}

// A state directory of its own: "1" is what runs, "2.partial" what is being staged.
struct state {
    struct tmp_dir dir;
    struct attempt attempt;
};

static void open_state(struct state *s, const char *running_path) {
    memset(s, 0, sizeof *s);
    s->dir = tmp_dir_make();
    need(mkdirat(s->dir.fd, "2.partial", 0755) == 0, "a directory", NULL);
    s->attempt.partial = openat(s->dir.fd, "2.partial", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    s->attempt.generation = open(running_path, O_RDONLY | O_CLOEXEC);
    s->attempt.manifest = memfd_create("manifest", MFD_CLOEXEC);
    need(s->attempt.partial >= 0 && s->attempt.generation >= 0 && s->attempt.manifest >= 0,
         "descriptors", NULL);
}

static void close_state(struct state *s) {
    close(s->attempt.partial);
    close(s->attempt.generation);
    close(s->attempt.manifest);
    tmp_dir_remove(&s->dir);
}

static const char *check_what_lies(const struct state *s) {
    char path[TMP_PATH_BYTES + 16];
    struct err e = ERR_NONE;
    struct bundle_generation record;
    (void)snprintf(path, sizeof path, "%s/2.partial", s->dir.path);
    lies_bytes = 0;
    lies_scratch = false;
    need(nftw(path, weigh_one, 16, FTW_PHYS) == 0, path, NULL);
    if (lies_scratch)
        return "space: a scratch file is left";
    if (lies_bytes > 2 * FILES * FILE_BYTES)
        return "space: more is left than the bundle has";
    if (bundle_seal_verify(s->attempt.generation, NULL, NULL, &record, &e) < 0)
        return "bytes: what runs was changed";
    return NULL;
}

// Settings of a device that is in a hurry, and of one that is patient.
static void draw_settings(struct agent_job *job, uint64_t *seed) {
    job->net.retries = mishap_below(seed, 5);
    job->net.stall_s = 1;
    job->net.fetch_budget_bytes =
        mishap_below(seed, 8) ? 0 : mishap_below(seed, 2 * bundles[NEW].len) + 1;
    job->net.fetch_timeout_s = mishap_below(seed, 8) ? 0 : 1 + mishap_below(seed, 5);
    if (mishap_below(seed, 4) == 0)
        job->bundle_bytes = 0;
}

static void set_job(struct agent_job *job, const struct faultd *server, unsigned which) {
    memset(job, 0, sizeof *job);
    job->kind = AGENT_JOB_FETCH;
    job->decode_max_bytes = 1 << 20;
    job->resume = true;
    job->bundle_bytes = bundles[which].len;
    job->net.connect_timeout_s = job->net.stall_s = HANGS_S;
    job->net.rate_min_bytes_s = 1;
    job->net.allow_http = true; // redirects of this server lead to itself
    keys_digest_hex(bundle_manifest_id(manifests[which]), job->bundle);
    (void)snprintf(job->url, sizeof job->url, "%s/x.edge", faultd_url(server));
}

// One seed

struct tally {
    uint64_t seeds, installed, refused, requests, memory_bytes;
};

static const char *judge(const struct attempt *a, size_t requests, unsigned ends) {
    const struct agent_job_net *net = &a->job.net;
    if (requests > REQUESTS_MAX)
        return "time: too many requests";
    if (MEASURES_MEMORY && a->memory_bytes > MEMORY_BYTES)
        return "memory: more than it may take";
    // What libcurl hands over at once may go beyond, and is where it ends.
    if (net->fetch_budget_bytes > 0 && a->result.source_bytes > net->fetch_budget_bytes + 65536)
        return "bytes: more than the budget";
    if (a->result.kind[0] == '\0')
        return NULL;
    if (a->result.text[0] == '\0')
        return "cause: no words";
    if (net->fetch_budget_bytes > 0 && strcmp(a->result.kind, err_budget.name) == 0)
        return NULL;
    if (net->fetch_timeout_s > 0 && strcmp(a->result.kind, err_too_slow.name) == 0)
        return NULL;
    return may_end_with(a->result.kind, ends) ? NULL
                                              : "cause: no fault that was played explains it";
}

static const char *run(struct state *s, struct mishap *m, struct faultd *server, uint64_t seed,
                       struct tally *tally) {
    struct err e = ERR_NONE;
    struct attempt *a = &s->attempt;
    set_job(&a->job, server, NEW);
    draw_settings(&a->job, &seed);
    const char *wrong = try(a, server);
    size_t requests = faultd_played(server);
    if (!wrong)
        wrong = judge(a, requests, mishap_played(m));
    if (!wrong)
        wrong = check_what_lies(s);
    if (wrong)
        return wrong;
    bool installed = a->result.kind[0] == '\0';
    tally->installed += installed;
    tally->refused += !installed;
    tally->requests += requests;
    if (tally->memory_bytes < a->memory_bytes)
        tally->memory_bytes = a->memory_bytes;
    if (!installed) {
        mishap_end(m);
        set_job(&a->job, server, NEW);
        wrong = try(a, server);
        if (wrong || a->result.kind[0])
            return wrong ? wrong : "next: the honest attempt failed";
        if (a->result.source_bytes > bundles[NEW].len)
            return "next: the honest attempt took more than the bundle has";
    }
    return seal(a->partial, a->generation, &running, NEW, &e)
               ? check_what_lies(s)
               : "bytes: what was staged is not what was signed";
}

static bool run_seed(uint64_t seed, struct tally *tally) {
    char generation[TMP_PATH_BYTES + 8];
    struct state s;
    struct mishap *m = mishap_open(seed, buf_slice(&bundles[NEW]), buf_slice(&bundles[OTHER]));
    struct faultd *server = faultd_open_with(mishap_answer, m);
    (void)snprintf(generation, sizeof generation, "%s/1", home.path);
    open_state(&s, generation);
    const char *wrong = run(&s, m, server, seed, tally);
    faultd_close(server);
    if (wrong) {
        const struct agent_job_net *net = &s.attempt.job.net;
        (void)fprintf(
            stderr,
            "seed %" PRIu64 ": %s\n  the attempt: %s: %s\n  retries %" PRIu64 ", budget %" PRIu64
            ", timeout %" PRIu64 " s, size %s, memory %" PRIu64 " KiB\n ",
            seed, wrong, s.attempt.result.kind, s.attempt.result.text, net->retries,
            net->fetch_budget_bytes, net->fetch_timeout_s,
            s.attempt.job.bundle_bytes ? "known" : "unknown", s.attempt.memory_bytes / 1024);
        mishap_print(m, stderr);
    }
    tally->seeds++;
    mishap_close(m);
    close_state(&s);
    return !wrong;
}

// The program

// What runs on the device of every seed: OLD.
static void make_running(void) {
    char target[TMP_PATH_BYTES + 8];
    struct err e = ERR_NONE;
    struct state s;
    struct mishap *m = mishap_open(0, buf_slice(&bundles[OLD]), buf_slice(&bundles[OLD]));
    struct faultd *server = faultd_open_with(mishap_answer, m);
    mishap_end(m);
    open_state(&s, "/dev/null");
    set_job(&s.attempt.job, server, OLD);
    const char *wrong = try(&s.attempt, server);
    need(!wrong && s.attempt.result.kind[0] == '\0', wrong ? wrong : s.attempt.result.text, NULL);
    need(seal(s.attempt.partial, -1, NULL, OLD, &e), "a generation", &e);
    need(bundle_generation_read(s.attempt.partial, &running, &e) == 0, "a generation", &e);
    (void)snprintf(target, sizeof target, "%s/1", home.path);
    need(renameat(s.dir.fd, "2.partial", AT_FDCWD, target) == 0, "a generation", NULL);
    faultd_close(server);
    mishap_close(m);
    close_state(&s);
}

// Every LANES-th seed; the tally goes to fd.
static _Noreturn void run_lane(uint64_t first, uint64_t n, int fd) {
    struct tally tally = {0};
    bool good = true;
    for (uint64_t i = 0; i < n; i += LANES)
        good = run_seed(first + i, &tally) && good;
    good = write(fd, &tally, sizeof tally) == sizeof tally && good;
    _exit(good ? 0 : 1);
}

int main(int argc, char **argv) {
    struct err e = ERR_NONE;
    uint64_t seeds = SEEDS, first = 1;
    int report[2];
    if ((argc > 1 && num_parse_u64(argv[1], "SEEDS", 1, UINT32_MAX, &seeds, &e) < 0) ||
        (argc > 2 && num_parse_u64(argv[2], "FIRST", 0, UINT32_MAX, &first, &e) < 0))
        need(false, "usage: mix_network [SEEDS [FIRST]]", &e);
    need(keys_secret_init(&e) == 0 && pipe2(report, O_CLOEXEC) == 0, "starting", &e);
    tmp_dir_in_memory(); // whether it is durable is not what is looked at
    home = tmp_dir_make();
    need(mkdirat(home.fd, "input", 0755) == 0, "a directory", NULL);
    for (unsigned which = 0; which < BUNDLES; which++)
        make_bundle(which);
    root_fd = make_root();
    make_running();
    uint64_t lanes = seeds < LANES ? seeds : LANES;
    for (uint64_t lane = 0; lane < lanes; lane++) {
        pid_t pid = fork();
        need(pid >= 0, "a process", NULL);
        if (pid == 0)
            run_lane(first + lane, seeds - lane, report[1]);
    }
    struct tally sum = {0}, one;
    bool good = true;
    for (uint64_t lane = 0; lane < lanes; lane++) {
        int status = 0;
        need(wait(&status) > 0, "a lane", NULL);
        good = status == 0 && good;
    }
    close(report[1]);
    while (read(report[0], &one, sizeof one) == sizeof one) {
        sum.seeds += one.seeds;
        sum.installed += one.installed;
        sum.refused += one.refused;
        sum.requests += one.requests;
        sum.memory_bytes =
            one.memory_bytes > sum.memory_bytes ? one.memory_bytes : sum.memory_bytes;
    }
    printf("%" PRIu64 " seeds: %" PRIu64 " installed all the same, %" PRIu64 " refused, %" PRIu64
           " requests, at most %" PRIu64 " KiB\n",
           sum.seeds, sum.installed, sum.refused, sum.requests, sum.memory_bytes / 1024);
    tmp_dir_remove(&home);
    return good && sum.seeds == seeds ? 0 : 1;
}
