// SPDX-License-Identifier: Apache-2.0
//
// What a download costs the link, and what it may: every byte of a job by kind, told to the agent,
// which makes it durable and answers with what the update may cost in all. In a job that is limited
// no more than AGENT_JOB_SPENT_BYTES are fetched between two answers. A packing whose cost is known
// and does not fit is refused before it is fetched; what turns out larger than it said is broken off
// at the limit.
//
// It sits between the download and its reader: a source over a source.
#pragma once

#include "agent/net/download.h"
#include "agent/worker/voice.h"
#include "agent/worker/way.h"

// Where no agent waits to answer it is told seldom.
#define WORKER_SPEND_TELL_BYTES (64ULL * 1024 * 1024)

struct worker_spend {
    struct worker_voice *voice;
    struct agent_job_net net; // the job's, but for what is left of the budget
    uint64_t limit_bytes;     // UINT64_MAX none
    struct agent_job_spent said;
    bool holds_contents; // the device, that may be some of a bundle's

    // the download that is open
    struct net_download *download;
    struct unpack_source inner;
    enum worker_way way;
    struct bundle_report_bytes before; // of the job, when it was opened
    uint64_t begun_bytes;              // likewise, for what is staged
    uint64_t foreseen_bytes;           // of the whole update, by what is known by now; 0 nothing
    uint64_t index_end;                // where the frames of a bundle begin
    uint64_t index_bytes;              // read before that place
    bool reuses;                       // contents were found in what the device holds
    uint64_t told_bytes;               // in all, when the agent was told last
    int64_t told_ms;
};

void worker_spend_begin(struct worker_spend *s, struct worker_voice *voice)
    __attribute__((nonnull));
// What the update may still cost; WORKER_WAY_NO_LIMIT.
uint64_t worker_spend_left(const struct worker_spend *s) __attribute__((nonnull));
// Kind budget, "needs 412 MiB, budget 60 MiB", when so many bytes more do not fit; the agent hears of
// the need.
int worker_spend_admits(struct worker_spend *s, uint64_t more_bytes, struct err *e)
    __attribute__((nonnull));
// Opens a packing of `bytes` at url; *ret is good until worker_spend_close. Kinds of
// net_download_open.
int worker_spend_open(struct worker_spend *s, enum worker_way way, const char *url, uint64_t bytes,
                      struct unpack_source *ret, struct err *e) __attribute__((nonnull));
// Of a bundle that is open: where its frames begin.
void worker_spend_frames_at(struct worker_spend *s, uint64_t offset) __attribute__((nonnull));
// How many bytes of contents need not be fetched, because the device holds them.
void worker_spend_reused(struct worker_spend *s, uint64_t bytes) __attribute__((nonnull));
// Ends the download, if one is open. e (or NULL) is how: one that broke off at the budget says what
// is needed, by the plan where there was one. True when some of it came from a site cache.
bool worker_spend_close(struct worker_spend *s, struct err *e) __attribute__((nonnull(1)));
// Tells the agent now, and hears the limit where it answers.
int worker_spend_tell(struct worker_spend *s, struct err *e) __attribute__((nonnull));
