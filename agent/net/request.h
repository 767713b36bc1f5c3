// SPDX-License-Identifier: Apache-2.0
//
// One JSON request to the controller: POST, one answer, bounded. Redirects are refused
// (redirected): the token goes to the configured controller and nowhere else (I9).
#pragma once

#include "agent/job.h"

#define NET_REQUEST_ANSWER_MAX_BYTES BUNDLE_MESSAGE_MAX_BYTES

struct net_request {
    const struct agent_job_net *net;
    const char *path;  // "/api/device/v1/checkin"
    const char *token; // "" none
    struct slice body;
};

struct net_request_answer {
    long status; // any HTTP status below 300 or from 400 up
    uint64_t retry_after_s;
    struct buf body; // owned
};

// Kinds: unreachable, tls, too_slow, garbage, redirected, limit (answer too large), permission,
// config. ret->body must be initialised and is filled even for statuses from 400 up.
int net_request_post(const struct net_request *request, struct net_request_answer *ret,
                     struct err *e) __attribute__((nonnull));

// Reads a file of at most ret->body's ceiling from anywhere: no token goes along, redirects are
// followed as for downloads. Kinds as for net_request_post.
int net_request_get(const struct agent_job_net *net, const char *url, uint64_t timeout_ms,
                    struct net_request_answer *ret, struct err *e) __attribute__((nonnull));

// The same from there and nowhere else: a redirect is an error (redirected).
int net_request_get_here(const struct agent_job_net *net, const char *url, uint64_t timeout_ms,
                         struct net_request_answer *ret, struct err *e) __attribute__((nonnull));

// Reads a loopback http: URL for a probe: no proxy, no redirect, at most max bytes. *ret_status is
// the HTTP status.
int net_request_get_local(const char *url, uint64_t timeout_s, struct buf *ret, long *ret_status,
                          struct err *e) __attribute__((nonnull));
