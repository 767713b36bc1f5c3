// SPDX-License-Identifier: Apache-2.0
//
// Frames: gathered, compressed, written in order.
#include "bundle/pack/press.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/pack/crew.h"
#include "keys/lanes.h"

#define BATCH 8 // frames that one thread takes together, so that their digests run side by side
#define BATCH_FRAME_MAX                                                                            \
    (1024UL * 1024)        // larger ones are taken singly: memory, and then the encoder dominates
#define BATCH_WORTH      8 // batches for each thread, or all threads would not be busy
#define SLOTS_PER_THREAD 2 // batches

// A frame that is finished and not written yet.
struct slot {
    uint8_t *bytes; // owned; of frame_max, or larger by what zstd may need
    bool done;
};

struct press {
    const struct pack_press *how;
    struct pack_table *table;
    size_t bound; // bytes of a buffer
    size_t batch; // frames of a task
    pthread_mutex_t lock;
    pthread_cond_t moved;
    uint64_t next; // the frame to be written next
    bool writing;  // a thread is at it
    bool stopped;
    uint64_t offset; // where it goes
    size_t n_slots;
    struct slot slots[BATCH * SLOTS_PER_THREAD * PACK_CREW_MAX];
};

// What one thread has for itself.
struct own {
    uint8_t *raw;
    uint8_t *packed[BATCH];
    ZSTD_CCtx *encoder;
    size_t content; // whose file is open
    int fd;
};

static int open_content(struct press *p, struct own *o, size_t content, struct err *e) {
    if (o->content == content)
        return 0;
    own_drop_fd(&o->fd);
    o->fd = -1;
    o->content = SIZE_MAX;
    if (pack_content_open(p->table->contents[content], true, &o->fd, e) < 0)
        return -1;
    o->content = content;
    return 0;
}

// Bytes of one content that go into a frame without a gap.
struct run {
    size_t content;
    uint64_t offset;
    size_t bytes;
};

static int read_run(struct press *p, struct own *o, struct run *run, uint8_t *to, struct err *e) {
    if (run->bytes == 0)
        return 0;
    if (open_content(p, o, run->content, e) < 0 ||
        pack_content_read(p->table->contents[run->content], o->fd, run->offset, to, run->bytes, e) <
            0)
        return -1;
    run->bytes = 0;
    return 0;
}

// Fills o->raw with the chunks that this frame holds: those from its first one on that were not
// seen before.
static int gather(struct press *p, struct own *o, const struct pack_table_frame *f, struct err *e) {
    const struct pack_table *t = p->table;
    size_t content = f->content;
    uint64_t chunk = f->chunk, offset = f->offset, raw = f->row.raw;
    uint64_t end = f->row.raw + f->row.raw_bytes;
    struct run run = {.bytes = 0};
    size_t filled = 0; // with what was read; the run comes behind it
    while (raw < end) {
        const struct pack_content *c = t->contents[content];
        if (chunk == c->first_chunk + c->n_chunks) {
            content++;
            offset = 0;
            continue;
        }
        const struct pack_table_chunk *k = &t->chunks[chunk++];
        if (k->raw == raw) {
            if (run.content != content || run.offset + run.bytes != offset) {
                size_t n = run.bytes;
                if (read_run(p, o, &run, o->raw + filled, e) < 0)
                    return -1;
                filled += n;
                run = (struct run){.content = content, .offset = offset};
            }
            run.bytes += k->bytes;
            raw += k->bytes;
        }
        offset += k->bytes;
    }
    return read_run(p, o, &run, o->raw + filled, e);
}

// Leaves the stored form in o->packed[k]. Incompressible frames are stored as they are.
static int pack_frame(struct press *p, struct own *o, size_t k, struct bundle_index_frame *row,
                      struct err *e) {
    size_t n = ZSTD_compress2(o->encoder, o->packed[k], p->bound, o->raw, row->raw_bytes);
    if (ZSTD_isError(n))
        return err_set(e, &err_internal, "zstd: %s", ZSTD_getErrorName(n));
    if (n >= row->raw_bytes) {
        uint8_t *raw = o->raw;
        o->raw = o->packed[k];
        o->packed[k] = raw;
        n = row->raw_bytes;
    }
    row->stored_bytes = (uint32_t)n;
    return 0;
}

// Writes what is ready, from the next frame on. Called with the lock held, by one thread at a time.
static int write_ready(struct press *p, struct err *e) {
    int r = 0;
    p->writing = true;
    while (r == 0 && p->next < p->table->n_frames && p->slots[p->next % p->n_slots].done) {
        struct slot *slot = &p->slots[p->next % p->n_slots];
        struct bundle_index_frame *row = &p->table->frames[p->next].row;
        row->offset = p->offset;
        p->offset += row->stored_bytes;
        (void)pthread_mutex_unlock(&p->lock);
        r = fs_pwrite(p->how->fd, slot->bytes, row->stored_bytes, p->how->data_offset + row->offset,
                      e);
        (void)pthread_mutex_lock(&p->lock);
        slot->done = false;
        p->next++;
        (void)pthread_cond_broadcast(&p->moved);
        if (p->how->progress)
            p->how->progress(p->how->context, "packing", row->raw + row->raw_bytes,
                             p->table->raw_bytes);
    }
    p->writing = false;
    return r;
}

// Puts the packed frame into its slot (and takes the slot's buffer for it), waiting until it is
// free.
static int hand_over(struct press *p, uint8_t **packed, uint64_t number, struct err *e) {
    struct slot *slot = &p->slots[number % p->n_slots];
    int r = 0;
    (void)pthread_mutex_lock(&p->lock);
    while (!p->stopped && number >= p->next + p->n_slots)
        (void)pthread_cond_wait(&p->moved, &p->lock);
    if (!p->stopped) {
        uint8_t *empty = slot->bytes;
        slot->bytes = *packed;
        *packed = empty;
        slot->done = true;
        if (!p->writing)
            r = write_ready(p, e);
    }
    (void)pthread_mutex_unlock(&p->lock);
    return r;
}

static void stop(void *context) {
    struct press *p = context;
    (void)pthread_mutex_lock(&p->lock);
    p->stopped = true;
    (void)pthread_cond_broadcast(&p->moved);
    (void)pthread_mutex_unlock(&p->lock);
}

static int enter(void *context, void **ret_own, struct err *e) {
    const struct press *p = context;
    struct own *o = calloc(1, sizeof *o);
    *ret_own = o;
    if (!o)
        return err_set(e, &err_memory, "packing");
    o->content = SIZE_MAX;
    o->fd = -1;
    o->raw = malloc(p->bound);
    o->encoder = ZSTD_createCCtx();
    bool good = o->raw && o->encoder;
    for (size_t k = 0; k < p->batch; k++)
        good = (o->packed[k] = malloc(p->bound)) && good;
    if (!good)
        return err_set(e, &err_memory, "packing");
    // The level decides everything else; the size in the header is what a reader insists on.
    if (ZSTD_isError(ZSTD_CCtx_setParameter(o->encoder, ZSTD_c_compressionLevel, p->how->level)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(o->encoder, ZSTD_c_contentSizeFlag, 1)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(o->encoder, ZSTD_c_checksumFlag, 0)))
        return err_set(e, &err_usage, "zstd refuses level %d", p->how->level);
    return 0;
}

static void leave(void *context, void *own) {
    (void)context;
    struct own *o = own;
    if (!o)
        return;
    own_drop_fd(&o->fd);
    free(o->raw);
    for (size_t k = 0; k < BATCH; k++)
        free(o->packed[k]);
    (void)ZSTD_freeCCtx(o->encoder);
    free(o);
}

static int work(void *context, void *own, uint64_t task, struct err *e) {
    struct press *p = context;
    struct own *o = own;
    struct keys_lanes_job jobs[BATCH];
    struct pack_table_frame *frames = &p->table->frames[task * p->batch];
    size_t n = p->table->n_frames - task * p->batch;
    if (n > p->batch)
        n = p->batch;
    for (size_t k = 0; k < n; k++) {
        if (gather(p, o, &frames[k], e) < 0 || pack_frame(p, o, k, &frames[k].row, e) < 0)
            return -1;
        jobs[k] = (struct keys_lanes_job){.data = o->packed[k], .len = frames[k].row.stored_bytes};
    }
    keys_lanes_digest(jobs, n);
    for (size_t k = 0; k < n; k++) {
        frames[k].row.digest = jobs[k].digest;
        if (hand_over(p, &o->packed[k], task * p->batch + k, e) < 0)
            return -1;
    }
    return 0;
}

int pack_press_all(const struct pack_press *how, uint64_t *ret_data_bytes, struct err *e) {
    struct press p = {.how = how,
                      .table = how->table,
                      .bound = ZSTD_compressBound((size_t)how->frame_max),
                      .lock = PTHREAD_MUTEX_INITIALIZER,
                      .moved = PTHREAD_COND_INITIALIZER};
    unsigned threads = pack_crew_threads(how->threads);
    size_t worth = (size_t)BATCH_WORTH * threads * BATCH;
    p.batch = how->frame_max <= BATCH_FRAME_MAX && how->table->n_frames >= worth ? BATCH : 1;
    p.n_slots = SLOTS_PER_THREAD * p.batch * threads;
    int r = 0;
    for (size_t i = 0; r == 0 && i < p.n_slots; i++)
        if (!(p.slots[i].bytes = malloc(p.bound)))
            r = err_set(e, &err_memory, "packing");
    const struct pack_crew crew = {.threads = how->threads,
                                   .n_tasks = (how->table->n_frames + p.batch - 1) / p.batch,
                                   .enter = enter,
                                   .leave = leave,
                                   .work = work,
                                   .stop = stop,
                                   .context = &p};
    if (r == 0)
        r = pack_crew_run(&crew, e);
    for (size_t i = 0; i < p.n_slots; i++)
        free(p.slots[i].bytes);
    (void)pthread_mutex_destroy(&p.lock);
    (void)pthread_cond_destroy(&p.moved);
    if (r == 0)
        *ret_data_bytes = p.offset;
    return r;
}
