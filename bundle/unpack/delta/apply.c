// SPDX-License-Identifier: Apache-2.0
//
// Frames push their bytes; here they find the content that they belong to.
#include "bundle/unpack/delta/apply.h"

#include <assert.h>
#include <stdlib.h>

#include "base/own.h"
#include "bundle/kind.h"

struct apply {
    struct delta_plan *plan;
    const struct delta_apply_ops *ops;
    void *context;
    uint64_t next;     // number of the content behind the current one
    uint64_t position; // in the coded contents, of the byte that comes next
    bool has_current;  // a coded content of one byte or more
    bool begun;
    struct delta_plan_content current;
    struct keys_digest_state hash;
};

static bool is_needed(const struct delta_plan_content *c) {
    return c->need == DELTA_PLAN_MAKE || c->need == DELTA_PLAN_GO_ON;
}

static int begin(struct apply *a, uint64_t keep, struct err *e) {
    keys_digest_init(&a->hash);
    a->begun = true;
    return a->ops->begin(a->context, &a->current, keep, &a->hash, e);
}

static int end(struct apply *a, struct err *e) {
    struct keys_digest found;
    keys_digest_final(&a->hash, &found);
    bool right = keys_digest_equal(&found, &a->current.entry.digest);
    a->begun = false;
    if (a->ops->end(a->context, &a->current, right, e) < 0)
        return -1;
    return right ? 0
                 : err_set(e, &err_bad_delta,
                           "it does not become what was signed: the delta is wrong, or what it "
                           "starts from is damaged");
}

static int do_next(struct apply *a, struct err *e) {
    struct delta_plan_content *c = &a->current;
    a->has_current = false;
    if (delta_plan_content(a->plan, a->next++, c, e) < 0)
        return -1;
    if (c->way != DELTA_PLAN_CODED)
        return is_needed(c) ? a->ops->take(a->context, c, e) : 0;
    if (c->entry.size > 0) {
        a->has_current = true;
        return 0;
    }
    if (!is_needed(c))
        return 0;
    return begin(a, 0, e) < 0 ? -1 : end(a, e);
}

static int prefix(const struct apply *a, struct err *e) {
    return err_prefix(e, "component %s%s%s", a->plan->view->components[a->current.component].name,
                      a->current.entry.path[0] ? ": " : "", a->current.entry.path);
}

// Makes the content current that holds the position, and does what comes before it.
static int advance(struct apply *a, struct err *e) {
    while (!a->has_current || a->position - a->current.position >= a->current.entry.size)
        if (do_next(a, e) < 0)
            return prefix(a, e);
    return 0;
}

static int give(struct apply *a, const uint8_t *data, size_t len, struct err *e) {
    uint64_t offset = a->position - a->current.position;
    if (!is_needed(&a->current))
        return 0;
    if (!a->begun && begin(a, offset, e) < 0)
        return -1;
    if (a->ops->write(a->context, data, len, offset, e) < 0)
        return -1;
    keys_digest_add(&a->hash, data, len);
    return offset + len == a->current.entry.size ? end(a, e) : 0;
}

static int write_stream(void *context, const void *data, size_t len, struct err *e) {
    struct apply *a = context;
    const uint8_t *bytes = data;
    while (len > 0) {
        // The plan compared what contents need with what frames make: there is one.
        if (advance(a, e) < 0)
            return -1;
        uint64_t left = a->current.entry.size - (a->position - a->current.position);
        size_t n = left < len ? (size_t)left : len;
        if (give(a, bytes, n, e) < 0)
            return prefix(a, e);
        bytes += n;
        len -= n;
        a->position += n;
    }
    return 0;
}

static int run(struct apply *a, struct err *e) {
    struct delta_stream *s = a->plan->stream;
    const struct delta_sink sink = {.write = write_stream, .context = a};
    for (uint64_t i = s->n_trees + s->n_map; i < s->n; i++) {
        if (!delta_plan_needs(a->plan, i))
            continue;
        a->position = s->frames[i].position - delta_plan_border(a->plan);
        if (delta_stream_run(s, i, &sink, e) < 0 ||
            a->ops->progress(a->context, a->position, e) < 0)
            return -1;
    }
    while (a->next < a->plan->rows.n)
        if (do_next(a, e) < 0)
            return prefix(a, e);
    assert(!a->begun);
    return delta_stream_end(s, e);
}

int delta_apply(struct delta_plan *plan, const struct delta_apply_ops *ops, void *context,
                struct err *e) {
    OWN(mem) struct apply *a = calloc(1, sizeof *a);
    if (!a)
        return err_set(e, &err_memory, "applying a delta");
    a->plan = plan;
    a->ops = ops;
    a->context = context;
    return run(a, e);
}
