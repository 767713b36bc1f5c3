// SPDX-License-Identifier: Apache-2.0
//
// See way.h.
#include "agent/worker/way.h"

#include <stddef.h>

#include "agent/kind.h"
#include "bundle/kind.h"

static uint64_t rest(uint64_t bytes, const struct worker_way_facts *f, enum worker_way way) {
    if (f->begun != way)
        return bytes;
    return f->begun_bytes < bytes ? bytes - f->begun_bytes : 0;
}

// NULL when the delta can be used.
static const char *unusable(const struct worker_way_facts *f) {
    if (!f->delta_named)
        return "the repository's targets do not name it";
    return f->base_held ? NULL : "what it starts from does not run here";
}

struct worker_way_choice worker_way_choose(const struct worker_way_facts *f) {
    uint64_t delta = rest(f->delta_bytes, f, WORKER_WAY_DELTA);
    uint64_t bundle = rest(f->bundle_bytes, f, WORKER_WAY_BUNDLE);
    const char *why = f->delta_offered ? unusable(f) : NULL;
    bool usable = f->delta_offered && !why;
    bool bundle_fits = bundle <= f->left_bytes || f->holds_contents;
    // Of two that cost the same the begun one is at hand, and a bundle may turn out cheaper.
    bool cheaper =
        delta < bundle || f->bundle_bytes == 0 || (delta == bundle && f->begun == WORKER_WAY_DELTA);
    if (f->left_bytes > 0 && usable && delta <= f->left_bytes && (cheaper || !bundle_fits))
        return (struct worker_way_choice){.way = WORKER_WAY_DELTA, .cost_bytes = delta};
    if (usable && delta > f->left_bytes)
        why = "it does not fit the budget";
    else if (usable)
        why = "the bundle costs less";
    if (f->left_bytes > 0 && bundle_fits)
        return (struct worker_way_choice){
            .way = WORKER_WAY_BUNDLE, .cost_bytes = bundle, .no_delta = why};
    return (struct worker_way_choice){
        .way = WORKER_WAY_NONE, .cost_bytes = usable && cheaper ? delta : bundle, .no_delta = why};
}

// What this device or the agent is the cause of: no other packing helps.
static bool is_ours(const struct err_kind *kind) {
    return kind == &err_budget || kind == &err_worker_failed || kind == &err_memory ||
           kind == &err_io || kind == &err_no_space || kind == &err_read_only ||
           kind == &err_permission || kind == &err_internal || kind == &err_cancelled;
}

enum worker_way_next worker_way_after(const struct err_kind *failed, bool asked_to_wait,
                                      uint64_t tries) {
    if (is_ours(failed))
        return WORKER_WAY_END;
    bool later = failed == &err_unreachable || failed == &err_tls || failed == &err_too_slow ||
                 (failed == &err_http && asked_to_wait);
    return later && tries < WORKER_WAY_DELTA_TRIES ? WORKER_WAY_AGAIN : WORKER_WAY_BUNDLE_NOW;
}
