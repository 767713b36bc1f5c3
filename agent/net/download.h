// SPDX-License-Identifier: Apache-2.0
//
// A bundle on a web server as an unpack_source: read by position, streamed. What the reader says that
// it will read next (expect), a run, is asked for exactly, one run after another on one connection;
// without that, going forward costs one request. A small gap is read and dropped, a larger one or a
// step back costs a Range request of its own. A connection that breaks is taken up again with a
// Range request from the byte where it broke to the end of the run, with growing pauses, until
// `retries` of them in a row brought next to nothing.
//
// What it insists on: the total size that the instruction named; a 206 whose Content-Range begins
// where it was asked to, and ends where that says; no content coding; one statement of where the
// answer ends; no more bytes than the budget; bytes of the file, within stall_s, and not others. It
// never sends the controller's token (I9). ETags are not looked at: the nodes of one CDN give the
// same file different ones, and a file that did change fails the digest of the next frame anyway. A
// 200 to a Range request (a server without ranges) is read and dropped up to the position, which
// counts against the budget; from then on all that lies further on comes by that answer, and
// forward_only says so. A site cache (agent/net/cache.h) is asked first; after anything that
// it does wrong the origin is asked for the rest. Nothing it delivers is believed by anybody: the
// bundle reader verifies every byte.
#pragma once

#include "agent/job.h"
#include "agent/net/cache.h"
#include "base/chrono.h"
#include "bundle/unpack/source.h"

#define NET_DOWNLOAD_BUFFER_BYTES (256 * 1024)
#define NET_DOWNLOAD_GAP_BYTES    (64 * 1024) // a forward gap up to this is cheaper than a request
// A connection that brought less before it broke, and less than an eighth of what was left, is no
// progress: a server that gives a byte to each would be asked for ever.
#define NET_DOWNLOAD_PROGRESS_BYTES 1024
#define NET_DOWNLOAD_PAUSE_MIN_MS   500
#define NET_DOWNLOAD_PAUSE_MAX_MS   30000

struct net_download;

// total_bytes: exact size of the file, 0 when unknown (the first answer tells). Everything is
// borrowed until close.
int net_download_open(const struct agent_job_net *net, const char *url, uint64_t total_bytes,
                      const struct chrono *clock, struct net_download **ret, struct err *e)
    __attribute__((nonnull));
void net_download_close(struct net_download *download);
static inline void own_drop_download(struct net_download **download) {
    net_download_close(*download);
    *download = NULL;
}

// The source over it; valid until close. Kinds of its reads: unreachable, tls, http, garbage,
// redirected, too_slow, too_much, truncated, budget.
struct unpack_source net_download_source(struct net_download *download) __attribute__((nonnull));
// Body bytes received from the network so far, dropped ones included.
uint64_t net_download_bytes(const struct net_download *download) __attribute__((nonnull));
// The same by where they came from. Borrowed until close.
const struct net_cache_tally *net_download_tally(const struct net_download *download)
    __attribute__((nonnull));
// What the last failing answer said about when to come back; 0 nothing.
uint64_t net_download_retry_after_s(const struct net_download *download) __attribute__((nonnull));
