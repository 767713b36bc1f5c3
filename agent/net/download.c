// SPDX-License-Identifier: Apache-2.0
//
// Streaming a file over HTTP by position; see download.h.
//
// libcurl pushes, the reader pulls: read() drives the transfer until the buffer has what it needs,
// and the write callback pauses the transfer when the buffer is full. One transfer is `stream`; it
// ends by being complete, broken or no longer wanted.
#include "agent/net/download.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/kind.h"
#include "agent/net/cache.h"
#include "agent/net/download/answer.h"
#include "agent/net/download/pace.h"
#include "agent/net/handle.h"
#include "base/own.h"
#include "bundle/kind.h"

#define POLL_MS   1000
#define SETTLE_MS 2000 // for the end of a body that nobody reads any more

enum verdict { VERDICT_GO_ON, VERDICT_BROKEN }; // of a transfer; failure is < 0

struct net_download {
    const struct agent_job_net *net;
    const char *url;
    const struct chrono *clock;
    uint64_t named;      // the size that the instruction named; 0 none
    uint64_t total;      // 0 unknown yet
    uint64_t received;   // body bytes over all transfers
    int64_t deadline_ms; // boot time; INT64_MAX none
    uint64_t retry_after_s;

    CURLM *multi;
    CURL *stream; // NULL: no transfer
    struct net_handle_headers headers;
    bool checked;   // the answer's status and headers were judged
    bool transient; // the status says that a later try may do better
    bool paused;
    bool finished; // the transfer ended; code says how
    CURLcode code;
    uint64_t skip;      // bytes of the body to drop before `position`
    uint64_t began_at;  // where in the file the transfer's first byte belongs
    uint64_t asked_end; // where what was asked for ends; UINT64_MAX: the end of the file
    uint64_t ends_at;   // where the answer says that it ends; UINT64_MAX when it does not
    unsigned tries;     // transfers that broke in a row and brought next to nothing
    struct err refused; // why the write callback stopped it
    struct download_pace pace;

    uint64_t run_from, run_end; // what the reader said that it will read; empty: nothing
    bool ranged;                // the transfer's request was for a range
    bool no_ranges;             // such a request was answered with the whole file

    uint64_t position; // in the file, of data[start]
    size_t start, len; // what the buffer holds

    bool near; // the site cache is asked: until it does anything wrong
    struct net_cache_tally tally;
    struct agent_job_net cache; // settings towards it
    char cache_url[NET_CACHE_URL_BYTES];
    uint8_t data[NET_DOWNLOAD_BUFFER_BYTES];
};

static void end_stream(struct net_download *d) {
    if (d->stream) {
        curl_multi_remove_handle(d->multi, d->stream);
        net_handle_close(d->stream);
        d->stream = NULL;
    }
}

// Where the next byte of the transfer belongs.
static uint64_t arriving(const struct net_download *d) {
    return d->position + d->len;
}

// Where to end what is asked for from there on.
static uint64_t wanted_end(const struct net_download *d) {
    uint64_t from = arriving(d);
    return from >= d->run_from && from < d->run_end ? d->run_end : UINT64_MAX;
}

// Judges status and headers once, before the first byte of the body is taken.
static int check_answer(struct net_download *d, struct err *e) {
    struct download_answer answer = {.from = arriving(d), .total = d->total, .near = d->near};
    int r = download_answer_check(d->stream, &d->headers, &answer, e);
    d->checked = true;
    d->transient = answer.transient;
    if (answer.transient)
        d->retry_after_s = d->headers.retry_after_s;
    if (r < 0)
        return -1;
    d->total = answer.total;
    d->skip = answer.whole ? answer.from : 0;
    d->no_ranges = answer.whole && d->ranged;
    d->ends_at = answer.ends_at;
    return 0;
}

static size_t on_data(char *data, size_t size, size_t count, void *user) {
    struct net_download *d = user;
    size_t len = size * count;
    if (!d->checked && check_answer(d, &d->refused) < 0)
        return CURL_WRITEFUNC_ERROR;
    size_t dropped = d->skip < len ? (size_t)d->skip : len;
    size_t kept = len - dropped;
    if (kept > sizeof d->data - d->len) {
        d->paused = true; // libcurl keeps the bytes and gives all of them again
        return CURL_WRITEFUNC_PAUSE;
    }
    d->skip -= dropped;
    d->received += len;
    *(d->near ? &d->tally.cached_bytes : &d->tally.origin_bytes) += len;
    if (d->net->fetch_budget_bytes > 0 && d->received > d->net->fetch_budget_bytes) {
        (void)err_set(&d->refused, &err_budget,
                      "the download needs more than the budget of %" PRIu64 " bytes",
                      d->net->fetch_budget_bytes);
        return CURL_WRITEFUNC_ERROR;
    }
    if (d->total > 0 && arriving(d) + kept > d->total) {
        (void)err_set(&d->refused, &err_too_much,
                      "the server sends more than the %" PRIu64 " bytes of the bundle", d->total);
        return CURL_WRITEFUNC_ERROR;
    }
    if (arriving(d) + kept > d->ends_at) {
        (void)err_set(&d->refused, &err_garbage,
                      "the answer goes on behind byte %" PRIu64
                      ", where its Content-Range says it ends",
                      d->ends_at - 1);
        return CURL_WRITEFUNC_ERROR;
    }
    if (d->start + d->len + kept > sizeof d->data) {
        memmove(d->data, d->data + d->start, d->len);
        d->start = 0;
    }
    memcpy(d->data + d->start + d->len, data + dropped, kept);
    d->len += kept;
    return len;
}

// A range that ends with the run, or with the file; none when all of it is wanted.
static void ask_for_range(struct net_download *d) {
    char range[48];
    uint64_t from = arriving(d);
    d->asked_end = wanted_end(d);
    d->ranged = from > 0 || d->asked_end != UINT64_MAX;
    if (d->asked_end != UINT64_MAX)
        snprintf(range, sizeof range, "%" PRIu64 "-%" PRIu64, from, d->asked_end - 1);
    else
        snprintf(range, sizeof range, "%" PRIu64 "-", from);
    if (d->ranged)
        curl_easy_setopt(d->stream, CURLOPT_RANGE, range);
}

static int start_stream(struct net_download *d, struct err *e) {
    d->checked = d->transient = d->paused = d->finished = false;
    d->skip = 0;
    d->began_at = arriving(d);
    d->ends_at = UINT64_MAX;
    err_clear(&d->refused);
    if (net_handle_open(d->near ? &d->cache : d->net, d->near ? d->cache_url : d->url, &d->stream,
                        e) < 0)
        return -1;
    if (!d->near)
        net_handle_follow(d->stream, d->net, d->url);
    net_handle_watch_headers(d->stream, &d->headers);
    ask_for_range(d);
    curl_easy_setopt(d->stream, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(d->stream, CURLOPT_WRITEDATA, d);
    if (curl_multi_add_handle(d->multi, d->stream) != CURLM_OK)
        return err_set(e, &err_memory, "starting a download: no memory");
    return 0;
}

static void collect(struct net_download *d) {
    int left = 0;
    for (CURLMsg *m = curl_multi_info_read(d->multi, &left); m;
         m = curl_multi_info_read(d->multi, &left)) {
        if (m->msg == CURLMSG_DONE) {
            d->finished = true;
            d->code = m->data.result;
        }
    }
}

static int64_t now_ms(const struct net_download *d) {
    return chrono_boot_ms(d->clock);
}

static int check_deadline(const struct net_download *d, struct err *e) {
    if (now_ms(d) <= d->deadline_ms)
        return 0;
    return err_set(e, &err_too_slow, "the download takes longer than the %" PRIu64 " s allowed",
                   d->net->fetch_timeout_s);
}

// A wait of ms, or until just after the deadline.
static uint64_t at_most(const struct net_download *d, uint64_t ms) {
    int64_t left_ms = d->deadline_ms - now_ms(d);
    if (left_ms < 0)
        return 1;
    return (uint64_t)left_ms < ms ? (uint64_t)left_ms + 1 : ms;
}

// libcurl's least rate counts whatever a body brings, that of a redirect too, which nobody looks at
// and which may have no end. Ends a transfer that has brought nothing of the file for too long.
static void check_idle(struct net_download *d, int64_t since_ms) {
    uint64_t limit_s = d->net->stall_s;
    if (!d->checked) // each address on the way may take its time to answer
        limit_s += (NET_HANDLE_REDIRECTS_MAX + 1) * (d->net->connect_timeout_s + d->net->stall_s);
    if (d->net->rate_min_bytes_s == 0 || now_ms(d) - since_ms <= (int64_t)limit_s * 1000)
        return;
    (void)err_set(&d->refused, &err_too_slow, "not a byte of the file in %" PRIu64 " s", limit_s);
    d->finished = d->transient = true;
}

// Lets the transfer run until the buffer has `want` bytes or the transfer is over, or until then.
static int drive(struct net_download *d, size_t want, int64_t until_ms, struct err *e) {
    uint64_t received = d->received;
    int64_t since_ms = now_ms(d);
    while (d->len < want && !d->finished && now_ms(d) < until_ms) {
        int running = 0;
        if (d->received != received) {
            received = d->received;
            since_ms = now_ms(d);
        }
        if (check_deadline(d, e) < 0)
            return -1;
        if (d->paused) {
            d->paused = false;
            curl_easy_pause(d->stream, CURLPAUSE_CONT);
        }
        if (curl_multi_perform(d->multi, &running) != CURLM_OK)
            return err_set(e, &err_memory, "downloading: libcurl is out of memory");
        collect(d);
        if (d->len < want && !d->finished)
            check_idle(d, since_ms);
        if (d->len < want && !d->finished && !d->paused)
            curl_multi_poll(d->multi, NULL, 0, (int)at_most(d, POLL_MS), NULL);
    }
    return 0;
}

static void sleep_ms(const struct net_download *d, uint64_t ms) {
    ms = at_most(d, ms);
    struct timespec pause = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

// Why a transfer ended without what was wanted: worth another try (VERDICT_BROKEN), or final (< 0).
// *e says what it was in both cases.
static int judge_end(struct net_download *d, struct err *e) {
    if (!d->checked && d->code == CURLE_OK)
        (void)check_answer(d, &d->refused);
    if (d->refused.kind) {
        *e = d->refused;
        // A server that says when to come back is not asked before: that is the agent's to plan.
        return d->transient && d->retry_after_s == 0 ? VERDICT_BROKEN : -1;
    }
    if (d->headers.too_many)
        return err_set(e, &err_limit, "the answer's headers are longer than %d bytes",
                       NET_HANDLE_HEADERS_MAX_BYTES);
    if (d->code == CURLE_OK) {
        (void)err_set(e, &err_truncated, "the server's file ended after %" PRIu64 " bytes",
                      arriving(d));
        return d->total > 0 ? VERDICT_BROKEN : -1;
    }
    (void)net_handle_fail(d->stream, d->code, e);
    return e->kind == &err_redirected || e->kind == &err_tls ? -1 : VERDICT_BROKEN;
}

// Whether the transfer that broke brought enough to count its break as the first one.
static bool is_progress(const struct net_download *d) {
    uint64_t gained = arriving(d) - d->began_at;
    uint64_t end = d->asked_end < d->total || d->total == 0 ? d->asked_end : d->total;
    uint64_t left = end > d->began_at ? end - d->began_at : UINT64_MAX;
    return gained > 0 && (gained >= NET_DOWNLOAD_PROGRESS_BYTES || gained >= left / 8);
}

// Whether the transfer ended because it brought what it was asked for.
static bool is_run_over(const struct net_download *d) {
    return d->finished && d->checked && d->code == CURLE_OK && !d->refused.kind &&
           arriving(d) == d->asked_end;
}

static int begin(struct net_download *d, struct err *e) {
    sleep_ms(d, download_pace_wait_ms(&d->pace, d->received, now_ms(d)));
    download_pace_begin(&d->pace, d->received, now_ms(d));
    return start_stream(d, e);
}

// Makes the buffer hold at least `want` bytes, mending the connection as often as allowed.
static int bring(struct net_download *d, size_t want, struct err *e) {
    for (;;) {
        if (d->len < want && !d->stream && begin(d, e) < 0)
            return -1;
        if (drive(d, want, INT64_MAX, e) < 0)
            return -1;
        if (d->len >= want)
            return 0;
        if (is_run_over(d)) {
            end_stream(d);
            d->tries = 0;
            continue;
        }
        struct err why = ERR_NONE;
        int verdict = judge_end(d, &why);
        end_stream(d);
        d->tries = is_progress(d) ? 1 : d->tries + 1;
        if (verdict < 0 || d->near || d->tries > d->net->retries) {
            *e = why;
            return verdict < 0
                       ? -1
                       : err_prefix(e, "giving up after %u tries without progress", d->tries);
        }
        sleep_ms(d, download_pace_retry_ms(d->tries));
    }
}

// After the first thing that the site cache does wrong the rest comes from the origin.
static int fill(struct net_download *d, size_t want, struct err *e) {
    struct err why = ERR_NONE;
    if (!d->near)
        return bring(d, want, e);
    if (bring(d, want, &why) == 0)
        return 0;
    if (err_is(&why, &err_budget)) {
        *e = why;
        return -1;
    }
    net_cache_missed(&d->tally, &why);
    end_stream(d);
    d->near = d->no_ranges = false;
    d->total = d->named; // not what the cache made of it
    d->retry_after_s = 0;
    d->tries = 0;
    return bring(d, want, e);
}

static void consume(struct net_download *d, size_t len) {
    d->start += len;
    d->len -= len;
    d->position += len;
    if (d->len == 0)
        d->start = 0;
}

// Whether to wait for `offset` on the transfer that runs, or to ask for it.
static bool is_coming(const struct net_download *d, uint64_t offset) {
    uint64_t next = arriving(d);
    if (offset < d->position)
        return false;
    if (offset <= next)
        return true;
    if (!d->stream)
        return false;
    return d->no_ranges || (offset < d->asked_end && offset - next <= NET_DOWNLOAD_GAP_BYTES);
}

// Ends the transfer. A body that was asked for to its end, and is near it, is taken to there: then
// the connection serves the next request.
static int leave(struct net_download *d, struct err *e) {
    uint64_t end = d->asked_end < d->ends_at ? d->asked_end : d->ends_at;
    d->position = arriving(d);
    d->start = d->len = 0;
    uint64_t left = end >= d->position ? end - d->position : UINT64_MAX;
    if (d->stream && d->checked && !d->no_ranges && left <= NET_DOWNLOAD_GAP_BYTES &&
        drive(d, (size_t)left + 1, now_ms(d) + SETTLE_MS, e) < 0)
        return -1;
    if (d->stream && is_run_over(d))
        d->tries = 0;
    end_stream(d);
    d->len = 0;
    return 0;
}

// Moves to `offset`: by dropping what the transfer brings if it comes soon, else by a new request.
static int seek(struct net_download *d, uint64_t offset, struct err *e) {
    if (!is_coming(d, offset)) {
        if (leave(d, e) < 0)
            return -1;
        d->position = offset;
    }
    while (d->position < offset) {
        uint64_t gap = offset - d->position;
        size_t step = gap < NET_DOWNLOAD_GAP_BYTES ? (size_t)gap : NET_DOWNLOAD_GAP_BYTES;
        if (fill(d, step, e) < 0)
            return -1;
        consume(d, step);
    }
    return 0;
}

static int read_at(void *context, uint64_t offset, void *data, size_t len, struct err *e) {
    struct net_download *d = context;
    uint8_t *to = data;
    if (d->total > 0 && (offset > d->total || len > d->total - offset))
        return err_set(e, &err_truncated, "the bundle has %" PRIu64 " bytes and should have more",
                       d->total);
    if (seek(d, offset, e) < 0)
        return -1;
    while (len > 0) {
        size_t step = len < NET_DOWNLOAD_BUFFER_BYTES / 2 ? len : NET_DOWNLOAD_BUFFER_BYTES / 2;
        if (fill(d, step, e) < 0)
            return -1;
        memcpy(to, d->data + d->start, step);
        consume(d, step);
        to += step;
        len -= step;
    }
    return 0;
}

static void expect(void *context, uint64_t offset, uint64_t len) {
    struct net_download *d = context;
    d->run_from = offset;
    if (__builtin_add_overflow(offset, len, &d->run_end))
        d->run_end = UINT64_MAX;
    if (d->total > 0 && d->run_end > d->total)
        d->run_end = d->total;
}

static bool is_forward_only(void *context) {
    const struct net_download *d = context;
    return d->no_ranges;
}

static uint64_t size_of(void *context) {
    const struct net_download *d = context;
    return d->total > 0 ? d->total : UINT64_MAX;
}

int net_download_open(const struct agent_job_net *net, const char *url, uint64_t total_bytes,
                      const struct chrono *clock, struct net_download **ret, struct err *e) {
    OWN(download) struct net_download *d = calloc(1, sizeof *d);
    if (!d)
        return err_set(e, &err_memory, "preparing a download: no memory");
    d->net = net;
    d->url = url;
    d->clock = clock;
    d->named = d->total = total_bytes;
    d->near = net_cache_url(net, url, d->cache_url);
    net_cache_settings(net, &d->cache);
    d->pace.rate_bytes_s = net->rate_max_bytes_s;
    d->deadline_ms = INT64_MAX;
    if (net->fetch_timeout_s > 0)
        d->deadline_ms = now_ms(d) + (int64_t)net->fetch_timeout_s * 1000;
    d->multi = curl_multi_init();
    if (!d->multi)
        return err_set(e, &err_memory, "preparing a download: no memory");
    *ret = own_take(&d);
    return 0;
}

void net_download_close(struct net_download *d) {
    if (!d)
        return;
    end_stream(d);
    if (d->multi)
        curl_multi_cleanup(d->multi);
    free(d);
}

struct unpack_source net_download_source(struct net_download *d) {
    return (struct unpack_source){.read = read_at,
                                  .size = size_of,
                                  .expect = expect,
                                  .forward_only = is_forward_only,
                                  .context = d};
}

uint64_t net_download_bytes(const struct net_download *d) {
    return d->received;
}

const struct net_cache_tally *net_download_tally(const struct net_download *d) {
    return &d->tally;
}

uint64_t net_download_retry_after_s(const struct net_download *d) {
    return d->retry_after_s;
}
