// SPDX-License-Identifier: Apache-2.0
//
// Guessing, making, halving.
#include "bundle/pack/delta/cut.h"

#include <stdlib.h>
#include <string.h>

#include "bundle/pack/crew.h"
#include "bundle/pack/delta/weights.h"
#include "bundle/unpack/delta/frame.h"

// Guesses, in 64ths of a byte: what a span, a literal byte and a byte that differs will take. Most
// of what differs in programs is predicted.
#define SPAN_COST      (6 * 64)
#define LITERAL_COST   24
#define DIFFERS_COST   20
#define PREDICTED_COST 3
// A frame's ceilings, besides those it is told.
#define SPANS_MAX    24576
#define LITERALS_MAX (3UL * 1024 * 1024)
#define OUT_MAX      (1UL << 30)
// No span is larger, so that halving comes to an end before the smallest frame that may be asked
// for.
#define SPAN_LITERAL_MAX (32UL * 1024)
#define SPAN_DIFFERS_MAX (16UL * 1024)
#define SPAN_COPY_MAX    (256UL * 1024 * 1024)
// Weights of one group, so that there is something for each thread.
#define WEIGHTS_MAX (8UL * 1024 * 1024)
#define PLAIN_MAX   (1024UL * 1024)

struct group {
    size_t first, n; // spans, all weights or none
    uint64_t part;   // weights: what is made of the span at hand
    struct pack_delta_frames made;
};

struct cutting {
    const struct pack_delta_cut *how;
    size_t n, max; // spans, none of them too long
    struct pack_delta_span *spans;
    uint64_t *costs; // of each span
    size_t n_groups;
    struct group *groups;
};

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "cutting a delta into frames: no memory");
}

static int append(struct pack_delta_frames *frames, struct pack_delta_made *made, struct err *e) {
    if (frames->n == frames->max) {
        size_t max = frames->max ? 2 * frames->max : 8;
        void *grown = realloc(frames->list, max * sizeof *frames->list);
        if (!grown)
            return no_memory(e);
        frames->list = grown;
        frames->max = max;
    }
    frames->list[frames->n++] = *made;
    *made = (struct pack_delta_made){.out_bytes = 0};
    return 0;
}

void pack_delta_cut_clear(struct pack_delta_frames *frames) {
    for (size_t i = 0; i < frames->n; i++)
        buf_clear(&frames->list[i].stored);
    free(frames->list);
    *frames = (struct pack_delta_frames){.n = 0};
}

static int read_old(void *context, uint64_t address, void *data, size_t len, struct err *e) {
    const struct slice *old = context;
    if (address > old->len || len > old->len - address)
        return err_set(e, &err_internal, "a frame reads behind the old contents");
    memcpy(data, old->data + address, len);
    return 0;
}

// What a frame should make, as far as it was not made yet.
struct expected {
    const struct pack_delta_span *spans;
    size_t n;
    uint64_t done; // of the first one
};

static int compare(void *context, const void *data, size_t len, struct err *e) {
    struct expected *x = context;
    for (const uint8_t *p = data; len > 0;) {
        uint64_t left = x->n > 0 ? x->spans->copy + x->spans->literal - x->done : 0;
        size_t take = left < len ? (size_t)left : len;
        if (x->n == 0 || memcmp(p, x->spans->new_bytes + x->done, take) != 0)
            return err_set(e, &err_internal, "a frame does not decode to what went into it");
        x->done += take;
        p += take;
        len -= take;
        if (take == left) {
            x->spans++;
            x->n--;
            x->done = 0;
        }
    }
    return 0;
}

static int try_frame(const struct pack_delta_cut *how, struct slice stored,
                     const struct pack_delta_span *spans, size_t n, uint64_t begin,
                     uint64_t out_bytes, struct err *e) {
    struct slice old = how->old;
    struct expected expected = {.spans = spans, .n = n, .done = begin};
    const struct delta_base base = {.read = read_old, .bytes = old.len, .context = &old};
    const struct delta_sink sink = {.write = compare, .context = &expected};
    return unpack_delta_frame(stored, out_bytes, how->decode_bytes, &base, &sink, e);
}

// Takes zstd with the old content before it where that is smaller and may be decoded.
static int try_prefix(const struct pack_delta_cut *how, const struct pack_delta_frame *frame,
                      struct buf *stored, struct err *e) {
    struct buf other;
    uint64_t need = 0;
    buf_init(&other, BUNDLE_DELTA_DECODE_MAX_BYTES);
    int r = pack_delta_frame_prefix(frame, &other, e);
    if (r == 0)
        r = unpack_delta_frame_bytes(buf_slice(&other), pack_delta_frame_out(frame), &need, e);
    if (r == 0 && other.len < stored->len && need <= how->decode_bytes) {
        struct buf larger = *stored;
        *stored = other;
        other = larger;
    }
    buf_clear(&other);
    return r < 0 ? -1 : 0;
}

enum { TOO_LARGE = 1 };

static int make(const struct pack_delta_cut *how, const struct pack_delta_span *spans, size_t n,
                struct pack_delta_made *ret, struct err *e) {
    const struct pack_delta_frame frame = {.old = how->old, .n = n, .spans = spans};
    buf_init(&ret->stored, BUNDLE_DELTA_DECODE_MAX_BYTES);
    ret->out_bytes = pack_delta_frame_out(&frame);
    if (pack_delta_frame_encode(&frame, &ret->stored, e) < 0 ||
        try_prefix(how, &frame, &ret->stored, e) < 0 ||
        unpack_delta_frame_bytes(buf_slice(&ret->stored), ret->out_bytes, &ret->decode_bytes, e) <
            0)
        return -1;
    if (ret->stored.len > how->frame_bytes || ret->decode_bytes > how->decode_bytes)
        return TOO_LARGE;
    return try_frame(how, buf_slice(&ret->stored), spans, n, 0, ret->out_bytes, e);
}

static size_t middle(const struct cutting *c, size_t first, size_t n) {
    uint64_t total = 0, sum = 0;
    size_t half = 1;
    for (size_t i = 0; i < n; i++)
        total += c->costs[first + i];
    for (sum = c->costs[first]; half + 1 < n && sum < total / 2; half++)
        sum += c->costs[first + half];
    return half;
}

// Frames of weights: each is filled until its room is used up.
static int make_weights(const struct cutting *c, struct group *g, struct err *e) {
    const struct pack_delta_span *spans = &c->spans[g->first];
    int r = 0;
    for (size_t next = 0; r == 0 && next < g->n;) {
        struct pack_delta_made made = {.out_bytes = 0};
        size_t first = next;
        uint64_t begin = g->part, out = 0;
        buf_init(&made.stored, BUNDLE_DELTA_DECODE_MAX_BYTES);
        r = pack_delta_weights_frame(c->how->old, spans, g->n, c->how->frame_bytes, &next, &g->part,
                                     &made.stored, e);
        for (size_t i = first; i < next; i++)
            out += spans[i].copy + spans[i].literal;
        made.out_bytes = out + g->part - begin;
        struct slice stored = buf_slice(&made.stored);
        if (r == 0)
            r = unpack_delta_frame_bytes(stored, made.out_bytes, &made.decode_bytes, e);
        if (r == 0)
            r = try_frame(c->how, stored, &spans[first], g->n - first, begin, made.out_bytes, e);
        if (r == 0)
            r = append(&g->made, &made, e);
        buf_clear(&made.stored);
    }
    return r;
}

// Makes a group's frames: from its start as many spans as fit, halving until they do.
static int make_group(void *context, void *own, uint64_t task, struct err *e) {
    (void)own;
    const struct cutting *c = context;
    struct group *g = &c->groups[task];
    if (c->spans[g->first].weights)
        return make_weights(c, g, e);
    for (size_t done = 0, n = g->n; done < g->n;) {
        struct pack_delta_made made = {.out_bytes = 0};
        int r = make(c->how, &c->spans[g->first + done], n, &made, e);
        if (r == 0)
            r = append(&g->made, &made, e);
        buf_clear(&made.stored);
        if (r < 0)
            return -1;
        if (r == TOO_LARGE && n == 1)
            return err_set(e, &err_limit,
                           "a frame cannot be made as small as it should be: allow larger frames, "
                           "or more memory to decode them");
        if (r == TOO_LARGE) {
            n = middle(c, g->first + done, n);
            continue;
        }
        done += n;
        n = g->n - done;
    }
    return 0;
}

// Threads need nothing of their own.
static int enter(void *context, void **ret_own, struct err *e) {
    (void)context;
    (void)e;
    *ret_own = NULL;
    return 0;
}

static void leave(void *context, void *own) {
    (void)context;
    (void)own;
}

static int add_span(struct cutting *c, const struct pack_delta_span *span, uint64_t differs,
                    struct err *e) {
    if (c->n == c->max) {
        size_t max = c->max ? 2 * c->max : 1024;
        struct pack_delta_span *spans = realloc(c->spans, max * sizeof *spans);
        if (!spans)
            return no_memory(e);
        c->spans = spans;
        uint64_t *costs = realloc(c->costs, max * sizeof *costs);
        if (!costs)
            return no_memory(e);
        c->costs = costs;
        c->max = max;
    }
    bool predicted = span->item->machine != PACK_DELTA_PROGRAM_NONE;
    c->costs[c->n] = SPAN_COST + LITERAL_COST * span->literal +
                     (predicted ? PREDICTED_COST : DIFFERS_COST) * differs;
    c->spans[c->n++] = *span;
    return 0;
}

// How much of a copy makes one span, and how many of its bytes differ.
static uint64_t count(const struct cutting *c, const struct pack_delta_span *span,
                      uint64_t *ret_differs) {
    const uint8_t *old = c->how->old.data + span->old;
    uint64_t i = 0, differs = 0;
    for (; i < span->copy && i < SPAN_COPY_MAX && differs < SPAN_DIFFERS_MAX; i++)
        differs += old[i] != span->new_bytes[i];
    *ret_differs = differs;
    return i;
}

static int split_weights(struct cutting *c, struct pack_delta_span span, struct err *e) {
    uint64_t left = span.copy + span.literal, width = tensor_shape_bytes(span.shape.type);
    bool based = span.copy > 0;
    while (left > 0) {
        struct pack_delta_span part = span;
        uint64_t n = left < WEIGHTS_MAX ? left : WEIGHTS_MAX;
        part.copy = based ? n : 0;
        part.literal = based ? 0 : n;
        if (add_span(c, &part, 0, e) < 0)
            return -1;
        if (span.shape.columns > 0)
            span.shape.first_column = (span.shape.first_column + n / width) % span.shape.columns;
        span.old += based ? n : 0;
        span.new_bytes += n;
        left -= n;
    }
    return 0;
}

// Appends one span as several that are not too long.
static int split(struct cutting *c, struct pack_delta_span span, struct err *e) {
    if (span.weights)
        return split_weights(c, span, e);
    while (span.copy + span.literal > 0) {
        struct pack_delta_span part = span;
        uint64_t differs = 0;
        part.copy = count(c, &span, &differs);
        part.literal = part.copy < span.copy ? 0 : span.literal;
        if (part.literal > SPAN_LITERAL_MAX)
            part.literal = SPAN_LITERAL_MAX;
        if (add_span(c, &part, differs, e) < 0)
            return -1;
        span.old += part.copy;
        span.copy -= part.copy;
        span.literal -= part.literal;
        span.new_bytes += part.copy + part.literal;
    }
    return 0;
}

// What a group has so far.
struct sums {
    uint64_t cost, out, literals;
};

static bool fits(const struct cutting *c, const struct group *g, const struct sums *sums,
                 size_t i) {
    const struct pack_delta_span *span = &c->spans[i];
    uint64_t out = sums->out + span->copy + span->literal;
    if (c->spans[g->first].weights != span->weights)
        return false;
    if (span->weights)
        return out <= WEIGHTS_MAX;
    return (sums->cost + c->costs[i]) / 64 <= c->how->frame_bytes && g->n < SPANS_MAX &&
           sums->literals + span->literal <= LITERALS_MAX && out <= OUT_MAX;
}

static int group_all(struct cutting *c, struct err *e) {
    struct sums sums = {.cost = 0};
    c->groups = calloc(c->n + 1, sizeof *c->groups);
    if (!c->groups)
        return no_memory(e);
    for (size_t i = 0; i < c->n; i++) {
        const struct pack_delta_span *span = &c->spans[i];
        if (c->n_groups == 0 || !fits(c, &c->groups[c->n_groups - 1], &sums, i)) {
            c->groups[c->n_groups++].first = i;
            sums = (struct sums){.cost = 0};
        }
        c->groups[c->n_groups - 1].n++;
        sums.cost += c->costs[i];
        sums.out += span->copy + span->literal;
        sums.literals += span->literal;
    }
    return 0;
}

static int collect(struct cutting *c, struct pack_delta_frames *ret, struct err *e) {
    for (size_t i = 0; i < c->n_groups; i++)
        for (size_t k = 0; k < c->groups[i].made.n; k++)
            if (append(ret, &c->groups[i].made.list[k], e) < 0)
                return -1;
    return 0;
}

int pack_delta_cut_spans(const struct pack_delta_cut *how, const struct pack_delta_span *spans,
                         size_t n, struct pack_delta_frames *ret, struct err *e) {
    struct cutting c = {.how = how};
    int r = 0;
    for (size_t i = 0; r == 0 && i < n; i++)
        r = split(&c, spans[i], e);
    if (r == 0)
        r = group_all(&c, e);
    const struct pack_crew crew = {.threads = how->threads,
                                   .n_tasks = c.n_groups,
                                   .enter = enter,
                                   .leave = leave,
                                   .work = make_group,
                                   .context = &c};
    if (r == 0 && c.n_groups > 0)
        r = pack_crew_run(&crew, e);
    if (r == 0)
        r = collect(&c, ret, e);
    for (size_t i = 0; i < c.n_groups; i++)
        pack_delta_cut_clear(&c.groups[i].made);
    free(c.groups);
    free(c.costs);
    free(c.spans);
    return r;
}

int pack_delta_cut_plain(const struct pack_delta_cut *how, struct slice bytes,
                         struct pack_delta_frames *ret, struct err *e) {
    uint64_t max = how->frame_bytes < PLAIN_MAX ? how->frame_bytes / 2 : PLAIN_MAX / 2;
    for (size_t done = 0; done < bytes.len;) {
        size_t n = bytes.len - done < max ? bytes.len - done : (size_t)max;
        struct pack_delta_made made = {.out_bytes = n};
        buf_init(&made.stored, BUNDLE_DELTA_DECODE_MAX_BYTES);
        int r = pack_delta_frame_plain((struct slice){bytes.data + done, n}, &made.stored, e);
        if (r == 0)
            r = unpack_delta_frame_bytes(buf_slice(&made.stored), n, &made.decode_bytes, e);
        if (r == 0)
            r = append(ret, &made, e);
        buf_clear(&made.stored);
        if (r < 0)
            return -1;
        done += n;
    }
    return 0;
}
