// SPDX-License-Identifier: Apache-2.0
//
// The site cache: an ordinary caching web server near the devices ("site_cache" in the
// configuration, examples/site-cache/) that is asked before the origin. It has what lies at
//
//     https://fleet.example.org/bundles/NAME.edge          under its own base URL as
//     http://cache.local:8080/https/fleet.example.org/bundles/NAME.edge
//
// so that it needs one rule for each origin it serves and is nobody's open proxy.
//
// It is asked for bundles, and for metadata whose name has the version in it: whatever it answers
// is verified, and what never changes cannot be old. It is never asked for what is new, never sees
// a token (I9) or a URL with a query or a password in it, and can redirect nobody. Named in the
// configuration it may speak plain http; it is on the site, so that no proxy is used towards it.
// Whatever it does wrong, the origin is asked instead.
#pragma once

#include "agent/job.h"

#define NET_CACHE_URL_BYTES (AGENT_JOB_SITE_CACHE_MAX + BUNDLE_URL_MAX + 16)

// Where the site cache has what lies at url, in ret of NET_CACHE_URL_BYTES. False when it is not to
// be asked: none is configured, or the URL is not for it.
bool net_cache_url(const struct agent_job_net *net, const char *url,
                   char ret[static NET_CACHE_URL_BYTES]) __attribute__((nonnull));
// The settings of requests to it.
void net_cache_settings(const struct agent_job_net *net, struct agent_job_net *ret)
    __attribute__((nonnull));

// What a job took from where, for the log. trouble: why the origin was asked instead; no error when
// it was not.
struct net_cache_tally {
    uint64_t cached_bytes;
    uint64_t origin_bytes;
    uint64_t fallbacks; // times that the origin was asked instead
    struct err trouble; // the first time's reason
};
// Counts a fallback for this reason.
void net_cache_missed(struct net_cache_tally *tally, const struct err *why)
    __attribute__((nonnull));
// One line about it on stderr, which is the agent's log; nothing when no cache is configured or
// nothing was transferred.
void net_cache_say(const struct agent_job_net *net, const struct net_cache_tally *tally)
    __attribute__((nonnull));
