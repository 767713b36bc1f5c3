// SPDX-License-Identifier: Apache-2.0
//
// See spend.h.
#include "agent/worker/spend.h"

#include <stdio.h>
#include <string.h>

#include "agent/kind.h"
#include "base/num.h"

// A read is passed on in pieces, so that a large one has no more between two answers than a small.
#define PIECE_BYTES (128 * 1024)

_Static_assert((int)WORKER_WAY_DELTA == (int)AGENT_JOB_DELTA &&
                   (int)WORKER_WAY_BUNDLE == (int)AGENT_JOB_BUNDLE &&
                   (int)WORKER_WAY_NONE == (int)AGENT_JOB_NOTHING_BEGUN,
               "what is begun is what was chosen");

// Brings the account up to what the open download received.
static void account(struct worker_spend *s) {
    if (!s->download)
        return;
    struct bundle_report_bytes *b = &s->said.bytes;
    uint64_t got = net_download_bytes(s->download), reused = b->reused;
    *b = s->before;
    b->reused = reused;
    b->cache += net_download_tally(s->download)->cached_bytes;
    if (s->way == WORKER_WAY_DELTA) {
        b->delta += got;
    } else {
        // What the connection brought beyond what was asked for belongs to the frames.
        uint64_t index = s->index_bytes < got ? s->index_bytes : got;
        b->index += index;
        *(s->reuses ? &b->range : &b->full) += got - index;
    }
    s->said.begun = (uint64_t)s->way;
    s->said.begun_bytes = s->begun_bytes + got;
}

static uint64_t spent(const struct worker_spend *s) {
    return s->voice->job->spent_bytes + bundle_report_link_bytes(&s->said.bytes);
}

uint64_t worker_spend_left(const struct worker_spend *s) {
    if (s->limit_bytes == WORKER_WAY_NO_LIMIT)
        return WORKER_WAY_NO_LIMIT;
    return spent(s) < s->limit_bytes ? s->limit_bytes - spent(s) : 0;
}

// The download counts its own bytes only, and takes 0 for no limit.
static void set_budget(struct worker_spend *s) {
    if (!s->voice->job->limited)
        return;
    uint64_t left = worker_spend_left(s);
    uint64_t got = s->download ? net_download_bytes(s->download) : 0;
    s->net.fetch_budget_bytes = left == WORKER_WAY_NO_LIMIT ? 0 : left + got > 0 ? left + got : 1;
}

void worker_spend_begin(struct worker_spend *s, struct worker_voice *voice) {
    const struct agent_job *job = voice->job;
    *s = (struct worker_spend){.voice = voice,
                               .net = job->net,
                               .limit_bytes = WORKER_WAY_NO_LIMIT,
                               .said.begun = job->begun,
                               .said.begun_bytes = job->begun_bytes,
                               .told_ms = chrono_boot_ms(voice->clock)};
    // JSON carries no more.
    if (job->limited && job->limit_bytes < INT64_MAX)
        s->limit_bytes = job->limit_bytes;
    set_budget(s);
}

static int does_not_fit(struct worker_spend *s, uint64_t need, struct err *e) {
    char wanted[NUM_SIZE_TEXT], allowed[NUM_SIZE_TEXT];
    uint64_t budget =
        s->limit_bytes == WORKER_WAY_NO_LIMIT ? s->net.fetch_budget_bytes : s->limit_bytes;
    s->said.need_bytes = need;
    return err_set(e, &err_budget, "needs %s, budget %s", num_format_size(need, wanted),
                   num_format_size(budget, allowed));
}

int worker_spend_admits(struct worker_spend *s, uint64_t more_bytes, struct err *e) {
    account(s);
    s->foreseen_bytes = spent(s) + more_bytes;
    return more_bytes <= worker_spend_left(s) ? 0 : does_not_fit(s, s->foreseen_bytes, e);
}

int worker_spend_tell(struct worker_spend *s, struct err *e) {
    account(s);
    s->told_bytes = bundle_report_link_bytes(&s->said.bytes);
    s->told_ms = chrono_boot_ms(s->voice->clock);
    struct agent_job_message say = {.type = AGENT_JOB_SPENT, .u.spent = s->said};
    if (worker_voice_send(s->voice, &say, e) < 0)
        return -1;
    if (!s->voice->job->limited)
        return 0;
    if (worker_voice_expect(s->voice, AGENT_JOB_LIMIT, &say, e) < 0)
        return -1;
    s->limit_bytes = say.u.limit.bytes;
    set_budget(s);
    return 0;
}

// Before more is fetched.
static int tell_when_due(struct worker_spend *s, struct err *e) {
    uint64_t since =
        bundle_report_link_bytes(&s->before) + net_download_bytes(s->download) - s->told_bytes;
    bool due = since >= WORKER_SPEND_TELL_BYTES;
    if (s->voice->job->limited)
        due = since + PIECE_BYTES + NET_DOWNLOAD_BUFFER_BYTES > AGENT_JOB_SPENT_BYTES ||
              chrono_boot_ms(s->voice->clock) - s->told_ms >= AGENT_JOB_SPENT_MS;
    return due ? worker_spend_tell(s, e) : 0;
}

static int read_at(void *context, uint64_t offset, void *data, size_t len, struct err *e) {
    struct worker_spend *s = context;
    uint8_t *to = data;
    if (offset < s->index_end)
        s->index_bytes += len;
    while (len > 0) {
        size_t piece = len < PIECE_BYTES ? len : PIECE_BYTES;
        if (tell_when_due(s, e) < 0 || s->inner.read(s->inner.context, offset, to, piece, e) < 0)
            return -1;
        to += piece;
        offset += piece;
        len -= piece;
    }
    return 0;
}

static uint64_t size_of(void *context) {
    const struct worker_spend *s = context;
    return s->inner.size(s->inner.context);
}

static void expect(void *context, uint64_t offset, uint64_t len) {
    const struct worker_spend *s = context;
    unpack_source_expect(&s->inner, offset, len);
}

static bool forward_only(void *context) {
    const struct worker_spend *s = context;
    return unpack_source_is_forward_only(&s->inner);
}

int worker_spend_open(struct worker_spend *s, enum worker_way way, const char *url, uint64_t bytes,
                      struct unpack_source *ret, struct err *e) {
    set_budget(s);
    if (net_download_open(&s->net, url, bytes, s->voice->clock, &s->download, e) < 0)
        return -1;
    s->inner = net_download_source(s->download);
    s->way = way;
    s->before = s->said.bytes;
    // Of a bundle no more is known before its index is there, when some of it may be held.
    s->foreseen_bytes = way == WORKER_WAY_BUNDLE && s->holds_contents ? 0 : spent(s) + bytes;
    s->begun_bytes = s->said.begun == (uint64_t)way ? s->said.begun_bytes : 0;
    s->index_end = UINT64_MAX;
    s->index_bytes = 0;
    s->reuses = s->said.bytes.reused > 0;
    *ret = (struct unpack_source){.read = read_at,
                                  .size = size_of,
                                  .expect = expect,
                                  .forward_only = forward_only,
                                  .context = s};
    return 0;
}

void worker_spend_frames_at(struct worker_spend *s, uint64_t offset) {
    s->index_end = offset;
}

void worker_spend_reused(struct worker_spend *s, uint64_t bytes) {
    s->said.bytes.reused = bytes;
    s->reuses = bytes > 0;
}

bool worker_spend_close(struct worker_spend *s, struct err *e) {
    if (!s->download)
        return false;
    account(s);
    const struct net_cache_tally *tally = net_download_tally(s->download);
    bool cached = tally->cached_bytes > 0;
    s->voice->source_bytes = bundle_report_link_bytes(&s->said.bytes);
    s->voice->retry_after_s = net_download_retry_after_s(s->download);
    net_cache_say(&s->net, tally);
    // The download knows what it was allowed, not what for.
    if (e && err_is(e, &err_budget) && s->said.need_bytes == 0) {
        err_clear(e);
        (void)does_not_fit(s, s->foreseen_bytes > 0 ? s->foreseen_bytes : spent(s) + 1, e);
    }
    net_download_close(s->download);
    s->download = NULL;
    return cached;
}
