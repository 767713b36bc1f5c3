// SPDX-License-Identifier: Apache-2.0
//
// See refresh.h.
#include "agent/worker/refresh.h"

#include <stdio.h>
#include <string.h>

#include "agent/kind.h"
#include "agent/net/cache.h"
#include "agent/net/request.h"
#include "agent/worker/depot.h"
#include "base/fs.h"
#include "base/own.h"
#include "keys/foreign/ops.h"
#include "keys/tuf/client.h"

struct refresh {
    struct worker_depot depot; // first: the client's context is also the depot's
    struct worker_voice *voice;
    int64_t deadline_ms;
    bool near; // the site cache is asked, where it can be
    struct net_cache_tally tally;
    struct agent_job_net cache; // settings towards it
};

static int judge_status(struct refresh *r, const char *name,
                        const struct net_request_answer *answer, struct err *e) {
    if (answer->status == 200)
        return worker_depot_served(&r->depot, name, e);
    if (answer->status == 404 || answer->status == 403)
        return TUF_ABSENT;
    r->voice->retry_after_s = answer->retry_after_s;
    return err_set(e, &err_http, "the repository answered with status %ld", answer->status);
}

// What the timestamp names by its version never changes. A root is asked for to learn whether there
// is one, which the origin alone knows.
static bool is_fixed(const char *name) {
    size_t digits = strspn(name, "0123456789");
    return digits > 0 && name[digits] == '.' && strcmp(name + digits, ".root.json") != 0;
}

// 1: the origin has to be asked, for which half of the time is left.
static int fetch_near(struct refresh *r, const char *url, int64_t left_ms,
                      struct net_request_answer *ret) {
    char cache_url[NET_CACHE_URL_BYTES];
    struct err why = ERR_NONE;
    if (!net_cache_url(&r->cache, url, cache_url))
        return 1;
    int done = net_request_get_here(&r->cache, cache_url, (uint64_t)left_ms / 2 + 1, ret, &why);
    r->tally.cached_bytes += ret->body.len;
    r->voice->source_bytes += ret->body.len;
    if (done == 0 && ret->status == 200)
        return 0;
    if (done == 0)
        (void)err_set(&why, &err_http, "the site cache answered with status %ld", ret->status);
    net_cache_missed(&r->tally, &why);
    buf_consume(&ret->body, ret->body.len);
    return 1;
}

static int fetch(void *context, const char *name, size_t max_bytes, struct buf *ret,
                 struct err *e) {
    struct refresh *r = context;
    char url[BUNDLE_URL_MAX + TRUST_VERDICT_FILE_MAX + 16];
    struct net_request_answer answer = {0};
    int64_t left_ms = r->deadline_ms - chrono_boot_ms(r->voice->clock);
    if (!trust_verdict_is_file(name))
        return err_set(e, &err_limit, "a role's name makes no file name of at most %d bytes",
                       TRUST_VERDICT_FILE_MAX);
    if (left_ms <= 0)
        return err_set(e, &err_too_slow, "the refresh did not end in %llu s",
                       (unsigned long long)r->voice->job->timeout_s);
    (void)snprintf(url, sizeof url, "%s/metadata/%s", r->voice->job->repository, name);
    buf_init(&answer.body, max_bytes);
    int done = 0;
    if (!r->near || !is_fixed(name) || fetch_near(r, url, left_ms, &answer) > 0) {
        left_ms = r->deadline_ms - chrono_boot_ms(r->voice->clock);
        done = net_request_get(&r->voice->job->net, url, left_ms > 0 ? (uint64_t)left_ms : 1,
                               &answer, e);
        r->tally.origin_bytes += answer.body.len;
        r->voice->source_bytes += answer.body.len;
    }
    if (done == 0)
        done = judge_status(r, name, &answer, e);
    // Handed over, not copied: a targets file may be megabytes.
    if (done == 0) {
        buf_clear(ret);
        *ret = answer.body;
    } else {
        buf_clear(&answer.body);
    }
    return done < 0 ? err_prefix(e, "fetching %s", name) : done;
}

static int run(struct refresh *r, struct err *e) {
    static const struct tuf_client_ops ops = {.load = worker_depot_load,
                                              .fetch = fetch,
                                              .store = worker_depot_store,
                                              .forget = worker_depot_forget};
    OWN(tuf_client) struct tuf_client *client = NULL;
    const struct tuf_client_options options = {.ops = &ops,
                                               .context = r,
                                               .key_ops = &foreign_ops,
                                               .now_s = r->voice->job->now_s,
                                               .timestamp_first = true};
    if (tuf_client_open(&options, &client, e) < 0)
        return -1;
    // A search brings the delegated files on the way to the target; what it finds is the judge's to
    // say. Without a delta an update goes on: what its search fails at is no reason to fail here.
    struct tuf_target target;
    struct err unnamed = ERR_NONE;
    if (tuf_client_refresh(client, e) < 0 ||
        (r->voice->job->target[0] &&
         tuf_client_find(client, r->voice->job->target, &target, e) < 0))
        return -1;
    if (r->voice->job->delta_target[0])
        (void)tuf_client_find(client, r->voice->job->delta_target, &target, &unnamed);
    return 0;
}

// What people signed for, for the agent to judge: once all else is there, so that nothing lies in the
// directory where there is nothing else. From where the offer says, and no token goes along.
static int fetch_mandate(struct refresh *r, struct err *e) {
    const struct agent_job *job = r->voice->job;
    struct net_request_answer answer = {0};
    int64_t now_ms = chrono_boot_ms(r->voice->clock);
    uint64_t left_ms = r->deadline_ms > now_ms ? (uint64_t)(r->deadline_ms - now_ms) : 1;
    OWN(fd) int fd = -1;
    if (!job->mandate_url[0])
        return 0;
    buf_init(&answer.body, (size_t)job->mandate_bytes);
    int done = net_request_get(&job->net, job->mandate_url, left_ms, &answer, e);
    r->voice->source_bytes += answer.body.len;
    if (done == 0 && answer.status != 200) {
        r->voice->retry_after_s = answer.retry_after_s;
        done = err_set(e, &err_http, "the server answered with status %ld", answer.status);
    }
    if (done == 0 &&
        (fs_open_write(WORKER_REFRESH_INCOMING_FD, AGENT_JOB_MANDATE_FILE, 0644, &fd, e) < 0 ||
         fs_pwrite(fd, answer.body.data, answer.body.len, 0, e) < 0))
        done = -1;
    buf_clear(&answer.body);
    return done < 0 ? err_prefix(e, "fetching the mandate") : 0;
}

int worker_refresh(struct worker_voice *v, struct err *e) {
    struct refresh r = {
        .depot = {.incoming = WORKER_REFRESH_INCOMING_FD,
                  .trusted = WORKER_REFRESH_TRUSTED_FD,
                  .writes = true},
        .voice = v,
        .deadline_ms = chrono_boot_ms(v->clock) + (int64_t)v->job->timeout_s * 1000,
        .near = true,
    };
    struct err why = ERR_NONE;
    net_cache_settings(&v->job->net, &r.cache);
    int done = run(&r, &why);
    worker_depot_clear(&r.depot);
    // What the site cache gave may be what was wrong.
    if (done < 0 && r.tally.cached_bytes > 0) {
        net_cache_missed(&r.tally, &why);
        err_clear(&why);
        r.near = false;
        done = run(&r, &why);
        worker_depot_clear(&r.depot);
    }
    if (done == 0)
        done = fetch_mandate(&r, &why);
    if (done < 0)
        *e = why;
    net_cache_say(&v->job->net, &r.tally);
    return done;
}
