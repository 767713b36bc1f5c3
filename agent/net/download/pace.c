// SPDX-License-Identifier: Apache-2.0
//
// Waits of a download.
#include "agent/net/download/pace.h"

#include "agent/net/download.h"
#include "base/random.h"

uint64_t download_pace_wait_ms(const struct download_pace *p, uint64_t received, int64_t now_ms) {
    uint64_t rate = p->rate_bytes_s;
    uint64_t bytes = received - p->received;
    if (rate == 0)
        return 0;
    int64_t due_ms = p->began_ms + (int64_t)(bytes / rate * 1000 + bytes % rate * 1000 / rate);
    return due_ms > now_ms ? (uint64_t)(due_ms - now_ms) : 0;
}

void download_pace_begin(struct download_pace *p, uint64_t received, int64_t now_ms) {
    p->began_ms = now_ms;
    p->received = received;
}

uint64_t download_pace_retry_ms(unsigned tries) {
    uint64_t ms = NET_DOWNLOAD_PAUSE_MIN_MS;
    for (unsigned i = 1; i < tries && ms < NET_DOWNLOAD_PAUSE_MAX_MS; i++)
        ms *= 2;
    ms = ms < NET_DOWNLOAD_PAUSE_MAX_MS ? ms : NET_DOWNLOAD_PAUSE_MAX_MS;
    return ms / 2 + random_below(ms / 2 + 1);
}
