// SPDX-License-Identifier: Apache-2.0
//
// Arithmetic of waiting; see pace.h.
#include "agent/fsm/pace.h"

#include <assert.h>

// Uniform in [0, bound): bound * random / 2^32 without overflow.
static int64_t part(int64_t bound, uint32_t random) {
    assert(bound >= 0);
    uint64_t whole = (uint64_t)bound;
    return (int64_t)((whole >> 32) * random + ((whole & UINT32_MAX) * random >> 32));
}

int64_t fsm_pace_poll_ms(uint64_t poll_s, uint32_t random) {
    int64_t poll_ms = (int64_t)poll_s * 1000;
    return poll_ms / 2 + part(poll_ms, random);
}

int64_t fsm_pace_backoff_ms(int64_t last_ms, int64_t base_ms, int64_t cap_ms, uint32_t random) {
    int64_t top = last_ms > cap_ms / 3 ? cap_ms : last_ms * 3;
    if (top < base_ms)
        top = base_ms;
    int64_t pause = base_ms + part(top - base_ms, random);
    return pause < cap_ms ? pause : cap_ms;
}

int64_t fsm_pace_retry_after_ms(uint64_t retry_after_s, uint32_t random) {
    if (retry_after_s > FSM_PACE_RETRY_AFTER_MAX_S)
        retry_after_s = FSM_PACE_RETRY_AFTER_MAX_S;
    int64_t ms = (int64_t)retry_after_s * 1000;
    return ms + part(ms / 10, random);
}
