// SPDX-License-Identifier: Apache-2.0
//
// A libcurl handle set up the way every request of this program is: HTTP/1.1 over http or https and
// nothing else, no cookies, no content coding, no redirects unless asked, connect and stall limits,
// the configured CA and proxy (the environment is never consulted), and certificate dates judged
// against a clock that cannot be older than what the device knows (a board that wakes up in 1970
// must still get its first metadata).
//
// The settings given to net_handle_open must outlive the handle. One thread; net_handle_start once
// per process before anything else here.
#pragma once

#include <curl/curl.h>

#include "agent/job.h"

#define NET_HANDLE_REDIRECTS_MAX     5
#define NET_HANDLE_HEADERS_MAX_BYTES (32 * 1024) // of one response, all lines together

// Counts header bytes and keeps what responses say that matters here.
struct net_handle_headers {
    uint64_t bytes;
    uint64_t retry_after_s; // 0 none; capped at 24 h
    bool encoded;           // a Content-Encoding other than identity
    bool has_range;         // Content-Range: bytes first-last/total
    uint64_t range_first, range_last, range_total;
    bool bad_range;   // one that cannot be read
    unsigned lengths; // Content-Length lines
    bool chunked;     // any Transfer-Encoding
    bool too_many;
};

// Two lengths, or a length and a transfer coding: where the body ends is anybody's guess.
bool net_handle_is_ambiguous(const struct net_handle_headers *headers) __attribute__((nonnull));

// libcurl's own start. Kind internal.
int net_handle_start(struct err *e) __attribute__((nonnull));

// Kinds: config (the URL or a setting is unusable), permission (plain http to a host that is not
// loopback, without allow_http).
int net_handle_open(const struct agent_job_net *net, const char *url, CURL **ret, struct err *e)
    __attribute__((nonnull));
void net_handle_close(CURL *handle);
static inline void own_drop_handle(CURL **handle) {
    net_handle_close(*handle);
    *handle = NULL;
}

// Collects response headers into *headers, which must outlive the transfer; a redirect's are
// forgotten.
void net_handle_watch_headers(CURL *handle, struct net_handle_headers *headers)
    __attribute__((nonnull));

// Follows redirects for a download: at most NET_HANDLE_REDIRECTS_MAX, to https, and to http only
// from http and with allow_http. Whom the bytes come from does not matter; what they are is
// verified.
void net_handle_follow(CURL *handle, const struct agent_job_net *net, const char *url)
    __attribute__((nonnull));

// Turns libcurl's verdict into an error: unreachable, tls, too_slow, garbage, redirected, memory.
// Returns -1.
int net_handle_fail(CURL *handle, CURLcode code, struct err *e) __attribute__((nonnull));
