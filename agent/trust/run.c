// SPDX-License-Identifier: Apache-2.0
//
// The two jobs of a run, and what becomes of it; see agent/trust.h.
#include "agent/trust.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/hire.h"
#include "agent/kind.h"
#include "agent/log.h"
#include "agent/trust/adopt.h"
#include "base/fs.h"
#include "base/own.h"
#include "keys/kind.h"

// A refresh may take so many times the deadline of a check-in: metadata is larger.
#define REFRESH_FACTOR 10
#define SLACK_MS       10000
#define JUDGE_MS       300000

struct agent_trust {
    struct agent_trust_host host;
    struct agent_loop_timer soon; // a hint's run
    struct agent_hire *hire;
    int incoming; // of the run under way, else -1
    int verdict;  // memfd
    char path[AGENT_JOB_TARGET_MAX + 1];
    char delta[AGENT_JOB_TARGET_MAX + 1];
    char mandate_url[BUNDLE_URL_MAX + 1];
    uint64_t mandate_bytes;
    struct buf mandate; // as it came
    struct err failed;  // the refresh
    uint64_t retry_after_s;
    void (*done)(void *context, struct agent_trust_outcome *outcome);
    void *context;
};

static void drop_run(struct agent_trust *t) {
    struct err e = ERR_NONE;
    agent_hire_dismiss(t->hire);
    t->hire = NULL;
    own_drop_fd(&t->verdict);
    t->verdict = -1;
    buf_clear(&t->mandate);
    if (t->incoming < 0)
        return;
    own_drop_fd(&t->incoming);
    t->incoming = -1;
    if (trust_store_drop_incoming(t->host.state->private_dir, &e) < 0)
        agent_log_line(AGENT_LOG_ERROR, "%s", e.text);
}

// Keeps the reason, where it is another one than before.
static void note_why(struct agent_trust *t, const struct err *why) {
    struct agent_state *state = t->host.state;
    struct fsm_why now = {.code = ""};
    struct err e = ERR_NONE;
    if (why->kind)
        now = agent_state_why(why);
    if (strcmp(now.code, state->trust.why.code) == 0 &&
        strcmp(now.text, state->trust.why.text) == 0)
        return;
    state->trust.why = now;
    if (why->kind)
        agent_log_line(AGENT_LOG_WARNING, "repository: %s", why->text);
    if (trust_store_save(state->private_dir, &state->trust, &e) < 0)
        agent_log_line(AGENT_LOG_ERROR, "%s", e.text);
}

static void finish(struct agent_trust *t, const struct err *why, struct trust_verdict *verdict) {
    struct trust_verdict none = {.document = NULL};
    struct buf mandate = t->mandate;
    struct agent_trust_outcome outcome = {.why = *why,
                                          .verdict = verdict ? verdict : &none,
                                          .mandate = buf_slice(&mandate),
                                          .retry_after_s = t->retry_after_s};
    void (*done)(void *, struct agent_trust_outcome *) = t->done;
    void *context = t->context;
    // That one bundle is not named says nothing about the repository.
    struct err fine = ERR_NONE;
    note_why(t, err_is(why, &err_not_in_targets) ? &fine : why);
    t->mandate = (struct buf){.data = NULL};
    drop_run(t);
    t->done = NULL;
    t->context = NULL;
    if (done)
        done(context, &outcome); // may begin the next run
    buf_clear(&mandate);
}

// Metadata that is missing or has expired is waited for; whatever else is wrong says itself what.
static void as_stale(struct err *e) {
    struct err cause = *e;
    if (!err_is(e, &err_expired) && !err_is(e, &err_not_found))
        return;
    err_clear(e);
    err_set(e, &err_stale_repository, "the repository has nothing current: %s", cause.text);
}

static int check_current(const struct agent_state *state, struct err *e) {
    int64_t now_s = agent_state_trusted_s(state);
    int64_t expires_s = keys_root_header(state->root)->expires_s;
    const char *name = "root";
    // What was learned with this refresh may be later than what it was judged by.
    for (size_t i = 0; expires_s > now_s && i < TRUST_STORE_ROLES; i++) {
        expires_s = state->trust.files[i].expires_s;
        name = trust_store_names[i];
    }
    if (expires_s > now_s)
        return 0;
    char at[CHRONO_TEXT_BYTES], now[CHRONO_TEXT_BYTES];
    return err_set(e, &err_stale_repository,
                   "the repository's %s expired at %s; it is %s by what was signed since", name,
                   chrono_format(expires_s, at), chrono_format(now_s, now));
}

static bool is_old(const struct trust_store_versions *trusted,
                   const struct trust_store_versions *hinted) {
    return hinted->root > trusted->root || hinted->snapshot > trusted->snapshot;
}

int agent_trust_check_newest(const struct agent_state *state, struct err *e) {
    const struct trust_store_versions *hinted = &state->trust.hinted;
    struct trust_store_versions trusted = trust_store_versions(&state->trust, state->root);
    if (!is_old(&trusted, hinted))
        return 0;
    return err_set(e, &err_stale_repository,
                   "the repository's copy here has root %" PRIu64 " and snapshot %" PRIu64
                   ", the controller knows %" PRIu64 " and %" PRIu64 ": waiting for the newer ones",
                   trusted.root, trusted.snapshot, hinted->root, hinted->snapshot);
}

// Only by a run that got everything, and nothing older than the controller says that there is: an
// old copy of the repository has old floors as well. A controller that says nothing vouches for
// nothing.
static int renew(struct agent_trust *t, struct err *e) {
    struct agent_state *state = t->host.state;
    struct trust_store_versions trusted = trust_store_versions(&state->trust, state->root);
    const struct trust_store_versions *hinted = &state->trust.hinted;
    if (hinted->root == 0 || hinted->snapshot == 0 || is_old(&trusted, hinted))
        return 0;
    return agent_state_renew(state, e);
}

static int check_named(const struct agent_trust *t, const struct trust_verdict *v, struct err *e) {
    if (t->path[0] == '\0' || v->found)
        return 0;
    if (agent_trust_check_newest(t->host.state, e) < 0)
        return -1;
    return err_set(e, &err_not_in_targets,
                   "the repository's targets do not name %s: it was never published there, or was "
                   "withdrawn",
                   t->path);
}

static int read_verdict(struct agent_trust *t, struct trust_verdict *ret, struct err *e) {
    OWN(buf) struct buf text;
    uint64_t size;
    uint8_t *room;
    size_t got;
    buf_init(&text, TRUST_VERDICT_MAX_BYTES);
    if (fs_size(t->verdict, &size, e) < 0)
        return -1;
    if (size == 0 || size > TRUST_VERDICT_MAX_BYTES)
        return err_set(e, &err_worker_failed, "the judge left no verdict of a possible size");
    if (buf_reserve(&text, (size_t)size, &room, e) < 0 ||
        fs_pread(t->verdict, room, (size_t)size, 0, &got, e) < 0)
        return -1;
    buf_commit(&text, got);
    return trust_verdict_parse(buf_slice(&text), ret, e);
}

// For whoever wanted it to judge.
static int read_mandate(struct agent_trust *t, struct err *e) {
    if (!t->mandate_url[0])
        return 0;
    buf_init(&t->mandate, (size_t)t->mandate_bytes);
    return fs_read_file(t->incoming, AGENT_JOB_MANDATE_FILE, (size_t)t->mandate_bytes, &t->mandate,
                        e) < 0
               ? err_prefix(e, "taking over the mandate")
               : 0;
}

static void result_as_error(const struct agent_job_result *result, struct err *ret) {
    const struct err_kind *kind = agent_state_kind(result->kind);
    if (result->kind[0] != '\0')
        err_set(ret, kind ? kind : &err_worker_failed, "%s", result->text);
    if (ret->kind)
        as_stale(ret);
}

static void on_judged(void *context, const struct agent_job_message *message) {
    struct agent_trust *t = context;
    struct trust_verdict verdict = {.document = NULL};
    struct err judged = ERR_NONE, e = ERR_NONE;
    if (message->type != AGENT_JOB_RESULT)
        return;
    result_as_error(&message->u.result, &judged);
    agent_hire_dismiss(t->hire);
    t->hire = NULL;
    // What it accepted before it refused something is taken over all the same. Of several reasons
    // the first one counts: what the judge misses the refresh did not get.
    int read = read_verdict(t, &verdict, &e);
    if (read == 0 && trust_adopt(t->host.state, t->incoming, &verdict, &e) == 0) {
        if (t->failed.kind)
            e = t->failed;
        else if (judged.kind)
            e = judged;
        else if (check_current(t->host.state, &e) == 0 && renew(t, &e) == 0 &&
                 check_named(t, &verdict, &e) == 0)
            (void)read_mandate(t, &e);
    } else if (read < 0 && (t->failed.kind || judged.kind)) {
        e = t->failed.kind ? t->failed : judged;
    }
    finish(t, &e, &verdict);
    trust_verdict_clear(&verdict);
}

static void describe_repository(const struct agent_config *config, char *ret, size_t ret_bytes) {
    bool own = config->repository[0] != '\0';
    const char *base = own ? config->repository : config->controller;
    size_t len = strlen(base);
    while (len > 0 && base[len - 1] == '/')
        len--;
    (void)snprintf(ret, ret_bytes, "%.*s%s", (int)len, base, own ? "" : "/repository");
}

static int hire(struct agent_trust *t, enum agent_job_kind kind,
                void (*heard)(void *context, const struct agent_job_message *message),
                struct err *e) {
    const struct agent_state *state = t->host.state;
    bool refresh = kind == AGENT_JOB_REFRESH;
    struct agent_job *job = calloc(1, sizeof *job);
    if (!job)
        return err_set(e, &err_memory, "refreshing: out of memory");
    job->kind = kind;
    job->now_s = agent_state_trusted_s(state);
    job->timeout_s = state->config->request_timeout_s * REFRESH_FACTOR;
    memcpy(job->target, t->path, sizeof t->path);
    memcpy(job->delta_target, t->delta, sizeof t->delta);
    if (refresh) {
        t->host.fill_net(t->host.context, &job->net);
        describe_repository(state->config, job->repository, sizeof job->repository);
        memcpy(job->mandate_url, t->mandate_url, sizeof t->mandate_url);
        job->mandate_bytes = t->mandate_bytes;
    }
    struct agent_hire_spec spec = {
        .config = state->config,
        .job = job,
        .fds = {t->incoming, state->trust.dir, refresh ? -1 : t->verdict, -1},
        .timeout_ms = refresh ? job->timeout_s * 1000 + SLACK_MS : JUDGE_MS,
    };
    int done = agent_hire_start(t->host.loop, &spec, heard, t, &t->hire, e);
    free(job);
    return done;
}

static void judge(struct agent_trust *t) {
    struct err e = ERR_NONE;
    t->verdict = memfd_create("verdict", MFD_CLOEXEC);
    if (t->verdict < 0)
        err_errno(&e, errno, "making room for the verdict");
    if (e.kind || hire(t, AGENT_JOB_JUDGE, on_judged, &e) < 0)
        finish(t, &e, NULL);
}

static int note_file(void *context, const char *name, mode_t type, struct err *e) {
    bool *any = context;
    (void)name;
    (void)type;
    (void)e;
    *any = true;
    return 0;
}

static void on_refreshed(void *context, const struct agent_job_message *message) {
    struct agent_trust *t = context;
    struct err e = ERR_NONE;
    bool any = false;
    if (message->type != AGENT_JOB_RESULT)
        return;
    result_as_error(&message->u.result, &t->failed);
    t->retry_after_s = message->u.result.retry_after_s;
    agent_hire_dismiss(t->hire);
    t->hire = NULL;
    if (fs_list(t->incoming, ".", note_file, &any, &e) < 0)
        finish(t, &e, NULL);
    else if (t->failed.kind && !any)
        finish(t, &t->failed, NULL);
    else
        judge(t);
}

// False when it is too long.
static bool want(const char *path, char ret[static AGENT_JOB_TARGET_MAX + 1]) {
    int len = snprintf(ret, AGENT_JOB_TARGET_MAX + 1, "%s", path);
    return len >= 0 && (size_t)len <= AGENT_JOB_TARGET_MAX;
}

void agent_trust_begin(struct agent_trust *trust, const struct agent_trust_wanted *wanted,
                       void (*done)(void *context, struct agent_trust_outcome *outcome),
                       void *context) {
    struct agent_state *state = trust->host.state;
    struct err e = ERR_NONE;
    uid_t uid;
    gid_t gid;
    agent_loop_disarm(&trust->soon);
    drop_run(trust);
    err_clear(&trust->failed);
    (void)snprintf(trust->mandate_url, sizeof trust->mandate_url, "%s",
                   wanted->mandate_url ? wanted->mandate_url : "");
    trust->mandate_bytes = wanted->mandate_bytes;
    trust->retry_after_s = 0;
    trust->done = done;
    trust->context = context;
    if (!want(wanted->path, trust->path) || !want(wanted->delta, trust->delta))
        err_set(&e, &err_limit, "the target's path is too long");
    if (e.kind || agent_hire_user(state->config, &uid, &gid, &e) < 0 ||
        trust_store_open_incoming(state->private_dir, uid, gid, &trust->incoming, &e) < 0 ||
        hire(trust, AGENT_JOB_REFRESH, on_refreshed, &e) < 0)
        finish(trust, &e, NULL);
}

void agent_trust_stop(struct agent_trust *trust, const void *context) {
    if (!trust->done || trust->context != context)
        return;
    trust->done = NULL;
    trust->context = NULL;
    drop_run(trust);
}

static void ignore_outcome(void *context, struct agent_trust_outcome *outcome) {
    (void)context;
    (void)outcome;
}

static void on_soon(void *context) {
    static const struct agent_trust_wanted nothing = {.path = "", .delta = ""};
    struct agent_trust *t = context;
    if (!t->hire)
        agent_trust_begin(t, &nothing, ignore_outcome, NULL);
}

void agent_trust_hint(struct agent_trust *trust, uint64_t root, uint64_t snapshot) {
    struct agent_state *state = trust->host.state;
    struct trust_store_versions trusted = trust_store_versions(&state->trust, state->root);
    state->trust.hinted = (struct trust_store_versions){.root = root, .snapshot = snapshot};
    // What failed half-way may have left the versions of the newest; so may a copy put back.
    bool again = state->trust.why.code[0] != '\0' || state->anchor.verdict == AGENT_ANCHOR_RESTORED;
    bool other = (again && (root > 0 || snapshot > 0)) || (root > 0 && root != trusted.root) ||
                 (snapshot > 0 && snapshot != trusted.snapshot);
    if (other && !trust->hire)
        agent_loop_arm(trust->host.loop, &trust->soon, 0);
}

int agent_trust_open(const struct agent_trust_host *host, struct agent_trust **ret, struct err *e) {
    struct agent_trust *t = calloc(1, sizeof *t);
    if (!t)
        return err_set(e, &err_memory, "starting: out of memory");
    t->host = *host;
    t->incoming = t->verdict = -1;
    agent_loop_add_timer(host->loop, &t->soon, on_soon, t);
    *ret = t;
    return 0;
}

void agent_trust_close(struct agent_trust *trust) {
    if (!trust)
        return;
    trust->done = NULL;
    drop_run(trust);
    agent_loop_remove_timer(trust->host.loop, &trust->soon);
    free(trust);
}
