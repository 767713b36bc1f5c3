// SPDX-License-Identifier: Apache-2.0
//
// URLs and settings for the site cache; see cache.h.
#include "agent/net/cache.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

bool net_cache_url(const struct agent_job_net *net, const char *url,
                   char ret[static NET_CACHE_URL_BYTES]) {
    size_t scheme_len = strncmp(url, "https://", 8) == 0  ? 5
                        : strncmp(url, "http://", 7) == 0 ? 4
                                                          : 0;
    size_t base_len = strlen(net->site_cache);
    if (base_len == 0 || scheme_len == 0)
        return false;
    const char *host = url + scheme_len + 3;
    size_t host_len = strcspn(host, "/");
    // A signature in the query is for one device and one hour, and a password for the origin alone.
    if (host_len == 0 || host[host_len] == '\0' || memchr(host, '@', host_len) ||
        strpbrk(host, "?#"))
        return false;
    while (base_len > 0 && net->site_cache[base_len - 1] == '/')
        base_len--;
    int len = snprintf(ret, NET_CACHE_URL_BYTES, "%.*s/%.*s/%s", (int)base_len, net->site_cache,
                       (int)scheme_len, url, host);
    return len > 0 && len < NET_CACHE_URL_BYTES;
}

void net_cache_settings(const struct agent_job_net *net, struct agent_job_net *ret) {
    *ret = *net;
    ret->allow_http = true;
    ret->proxy[0] = '\0';
}

void net_cache_missed(struct net_cache_tally *tally, const struct err *why) {
    if (tally->fallbacks++ == 0)
        tally->trouble = *why;
}

void net_cache_say(const struct agent_job_net *net, const struct net_cache_tally *tally) {
    char safe[2 * ERR_TEXT_BYTES];
    if (net->site_cache[0] == '\0' || tally->cached_bytes + tally->origin_bytes == 0)
        return;
    (void)fprintf(stderr,
                  "site cache: %" PRIu64 " bytes from it, %" PRIu64
                  " from the origin, which was asked instead %" PRIu64 " times%s%s\n",
                  tally->cached_bytes, tally->origin_bytes, tally->fallbacks,
                  tally->fallbacks > 0 ? ": " : "",
                  tally->fallbacks > 0 ? text_safe(tally->trouble.text, safe, sizeof safe) : "");
}
