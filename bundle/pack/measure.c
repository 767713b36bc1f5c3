// SPDX-License-Identifier: Apache-2.0
//
// Reading, cutting and hashing everything once.
#include "bundle/pack/measure.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/chunker.h"
#include "bundle/kind.h"
#include "bundle/pack/crew.h"
#include "keys/blocks.h"
#include "keys/lanes.h"

#define BATCH_BYTES (1024UL * 1024)     // small contents read together
#define LARGE_BYTES (4UL * 1024 * 1024) // above this a content is two tasks
#define BATCH_COUNT 64
#define READ_BYTES  (512UL * 1024) // of a large content at a time
#define JOBS_MAX    (LARGE_BYTES / BUNDLE_CHUNK_MIN_BYTES + 2 * BATCH_COUNT)

enum task_kind { TASK_BATCH, TASK_DIGEST, TASK_CHUNKS };

struct task {
    enum task_kind kind;
    size_t first, count; // contents
};

struct measure {
    const struct pack_measure *how;
    struct pack_content *const *contents;
    struct bundle_chunker chunker;
    struct task *tasks;
    pthread_mutex_t lock;
    uint64_t done_bytes;
};

// What one thread has for itself.
struct own {
    uint8_t *buffer; // LARGE_BYTES
    struct keys_lanes_job *jobs;
    size_t n_jobs;
};

static void report(struct measure *m, uint64_t bytes) {
    if (!m->how->progress)
        return;
    (void)pthread_mutex_lock(&m->lock);
    m->done_bytes += bytes;
    m->how->progress(m->how->context, "reading", m->done_bytes, m->how->total_bytes);
    (void)pthread_mutex_unlock(&m->lock);
}

static void add_job(struct own *o, const uint8_t *data, size_t len) {
    o->jobs[o->n_jobs++] = (struct keys_lanes_job){.data = data, .len = len};
}

static int add_piece(struct pack_content *c, const struct keys_lanes_job *job, struct err *e) {
    struct pack_piece piece = {.bytes = (uint32_t)job->len};
    memcpy(piece.digest, job->digest.bytes, sizeof piece.digest);
    return pack_content_add_piece(c, &piece, e);
}

// One job for the whole, and one for each chunk unless it is a single one. The whole comes first,
// as it takes longest.
static void plan_content(const struct measure *m, struct own *o, const uint8_t *data, size_t len) {
    size_t done = bundle_chunker_cut(&m->chunker, data, len);
    add_job(o, data, len);
    if (done == len)
        return;
    add_job(o, data, done);
    while (done < len) {
        size_t n = bundle_chunker_cut(&m->chunker, data + done, len - done);
        add_job(o, data + done, n);
        done += n;
    }
}

static int finish_content(struct pack_content *c, const struct own *o, size_t *at, struct err *e) {
    const struct keys_lanes_job *jobs = o->jobs, *whole = &jobs[(*at)++];
    c->digest = whole->digest;
    if (whole->len == 0)
        return 0;
    if (*at == o->n_jobs || jobs[*at].data != whole->data)
        return add_piece(c, whole, e);
    for (uint64_t done = 0; done < c->size; done += jobs[(*at)++].len)
        if (add_piece(c, &jobs[*at], e) < 0)
            return -1;
    return 0;
}

static void digest_blocks(const uint8_t *data, size_t len, struct keys_digest *ret) {
    struct keys_blocks blocks;
    keys_blocks_init(&blocks);
    keys_blocks_add(&blocks, data, len);
    keys_blocks_final(&blocks, ret);
}

static int measure_batch(struct measure *m, struct own *o, const struct task *task, struct err *e) {
    size_t used = 0, at = 0;
    o->n_jobs = 0;
    for (size_t i = task->first; i < task->first + task->count; i++) {
        struct pack_content *c = m->contents[i];
        OWN(fd) int fd = -1;
        uint64_t planned = c->size;
        if (pack_content_open(c, false, &fd, e) < 0)
            return -1;
        if (c->size != planned)
            return err_set(e, &err_busy, "%s changed while it was being packed", c->path);
        if (pack_content_read(c, fd, 0, o->buffer + used, (size_t)c->size, e) < 0)
            return -1;
        plan_content(m, o, o->buffer + used, (size_t)c->size);
        if (c->by_blocks)
            digest_blocks(o->buffer + used, (size_t)c->size, &c->blocks);
        used += (size_t)c->size;
    }
    keys_lanes_digest(o->jobs, o->n_jobs);
    for (size_t i = task->first; i < task->first + task->count; i++)
        if (finish_content(m->contents[i], o, &at, e) < 0)
            return -1;
    report(m, used);
    return 0;
}

static int measure_digest(struct measure *m, struct own *o, struct pack_content *c, struct err *e) {
    struct keys_digest_state state;
    struct keys_blocks blocks;
    OWN(fd) int fd = -1;
    keys_digest_init(&state);
    keys_blocks_init(&blocks);
    if (pack_content_open(c, true, &fd, e) < 0)
        return -1;
    for (uint64_t done = 0; done < c->size;) {
        size_t n = c->size - done < READ_BYTES ? (size_t)(c->size - done) : READ_BYTES;
        if (pack_content_read(c, fd, done, o->buffer, n, e) < 0)
            return -1;
        keys_digest_add(&state, o->buffer, n);
        if (c->by_blocks)
            keys_blocks_add(&blocks, o->buffer, n);
        done += n;
        report(m, n);
    }
    keys_digest_final(&state, &c->digest);
    if (c->by_blocks)
        keys_blocks_final(&blocks, &c->blocks);
    return 0;
}

static int measure_chunks(struct measure *m, struct own *o, struct pack_content *c, struct err *e) {
    OWN(fd) int fd = -1;
    size_t have = 0;
    if (pack_content_open(c, true, &fd, e) < 0)
        return -1;
    for (uint64_t done = 0; done < c->size || have > 0;) {
        size_t n = READ_BYTES - have, at = 0;
        if (n > c->size - done)
            n = (size_t)(c->size - done);
        if (pack_content_read(c, fd, done, o->buffer + have, n, e) < 0)
            return -1;
        done += n;
        have += n;
        o->n_jobs = 0;
        // A cut is final when a whole chunk's ceiling, or the end, was in sight.
        while (have - at >= BUNDLE_CHUNK_MAX_BYTES || (done == c->size && at < have)) {
            size_t len = bundle_chunker_cut(&m->chunker, o->buffer + at, have - at);
            add_job(o, o->buffer + at, len);
            at += len;
        }
        keys_lanes_digest(o->jobs, o->n_jobs);
        for (size_t i = 0; i < o->n_jobs; i++)
            if (add_piece(c, &o->jobs[i], e) < 0)
                return -1;
        have -= at;
        memmove(o->buffer, o->buffer + at, have);
    }
    return 0;
}

static int enter(void *context, void **ret_own, struct err *e) {
    (void)context;
    struct own *o = calloc(1, sizeof *o);
    *ret_own = o;
    if (o) {
        o->buffer = malloc(LARGE_BYTES);
        o->jobs = malloc(JOBS_MAX * sizeof *o->jobs);
    }
    return o && o->buffer && o->jobs ? 0 : err_set(e, &err_memory, "reading the input");
}

static void leave(void *context, void *own) {
    (void)context;
    struct own *o = own;
    if (!o)
        return;
    free(o->buffer);
    free(o->jobs);
    free(o);
}

static int work(void *context, void *own, uint64_t number, struct err *e) {
    struct measure *m = context;
    const struct task *task = &m->tasks[number];
    struct pack_content *c = m->contents[task->first];
    if (task->kind == TASK_BATCH)
        return measure_batch(m, own, task, e);
    return task->kind == TASK_DIGEST ? measure_digest(m, own, c, e) : measure_chunks(m, own, c, e);
}

// Contents into tasks. A large one is opened here, so that its two tasks find its stamp taken.
static int plan(struct measure *m, size_t n, size_t *ret_tasks, struct err *e) {
    size_t tasks = 0;
    for (size_t i = 0; i < n;) {
        struct pack_content *c = m->contents[i];
        if (c->size > LARGE_BYTES) {
            OWN(fd) int fd = -1;
            if (pack_content_open(c, false, &fd, e) < 0)
                return -1;
            m->tasks[tasks++] = (struct task){.kind = TASK_DIGEST, .first = i, .count = 1};
            m->tasks[tasks++] = (struct task){.kind = TASK_CHUNKS, .first = i, .count = 1};
            i++;
            continue;
        }
        struct task batch = {.kind = TASK_BATCH, .first = i};
        uint64_t bytes = 0;
        do {
            bytes += m->contents[i++]->size;
            batch.count++;
        } while (i < n && batch.count < BATCH_COUNT && bytes + m->contents[i]->size <= BATCH_BYTES);
        m->tasks[tasks++] = batch;
    }
    *ret_tasks = tasks;
    return 0;
}

int pack_measure_all(const struct pack_measure *how, struct pack_content *const *contents, size_t n,
                     struct err *e) {
    struct measure m = {.how = how, .contents = contents, .lock = PTHREAD_MUTEX_INITIALIZER};
    size_t tasks = 0;
    if (n == 0)
        return 0;
    m.tasks = calloc(n, 2 * sizeof *m.tasks);
    if (!m.tasks)
        return err_set(e, &err_memory, "reading the input");
    bundle_chunker_init(&m.chunker);
    int r = plan(&m, n, &tasks, e);
    const struct pack_crew crew = {.threads = how->threads,
                                   .n_tasks = tasks,
                                   .enter = enter,
                                   .leave = leave,
                                   .work = work,
                                   .context = &m};
    if (r == 0)
        r = pack_crew_run(&crew, e);
    free(m.tasks);
    (void)pthread_mutex_destroy(&m.lock);
    return r;
}
