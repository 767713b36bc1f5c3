// SPDX-License-Identifier: Apache-2.0
//
// Kernel AIO by its system calls: there is no library for five lines of them. It reads past the page
// cache alone, which is all that is wanted.
#include "base/medium.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fs.h"

#define BLOCK_BYTES 4096UL // the largest that places and lengths are multiples of
#define ROOM_BYTES  (MEDIUM_SLICES * MEDIUM_SLICE_BYTES)
#define SYNC        MEDIUM_SLICES // in the place of a slice's number

#if defined(SYS_io_setup) && defined(SYS_io_getevents)

static bool open_queue(unsigned long *ret) {
    aio_context_t queue = 0;
    if (syscall(SYS_io_setup, (unsigned)MEDIUM_SLICES + 1, &queue) < 0)
        return false;
    *ret = queue;
    return true;
}

// Waits for what is under way.
static void close_queue(unsigned long queue) {
    (void)syscall(SYS_io_destroy, (aio_context_t)queue);
}

// Slices [asked, asked + n), whose lengths are known.
static int submit(struct medium *m, size_t n) {
    struct iocb blocks[MEDIUM_SLICES], *list[MEDIUM_SLICES];
    uint64_t offset = m->asked_to;
    for (size_t i = 0; i < n; i++) {
        size_t at = (m->asked + i) % MEDIUM_SLICES;
        size_t whole = (m->want[at] + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
        blocks[i] = (struct iocb){.aio_data = at,
                                  .aio_lio_opcode = IOCB_CMD_PREAD,
                                  .aio_fildes = (uint32_t)m->fd,
                                  .aio_buf = (uintptr_t)(m->room + at * MEDIUM_SLICE_BYTES),
                                  .aio_nbytes = whole,
                                  .aio_offset = (int64_t)offset};
        list[i] = &blocks[i];
        offset += m->want[at];
    }
    return (int)syscall(SYS_io_submit, (aio_context_t)m->queue, (long)n, list);
}

static bool submit_sync(struct medium *m) {
    struct iocb block = {.aio_data = SYNC,
                         .aio_lio_opcode = IOCB_CMD_FDSYNC,
                         .aio_fildes = (uint32_t)m->fd},
                *list[] = {&block};
    return syscall(SYS_io_submit, (aio_context_t)m->queue, 1L, list) == 1;
}

static void note(struct medium *m, const struct io_event *event) {
    if (event->data == SYNC) {
        m->is_syncing = false;
        m->synced = event->res;
        return;
    }
    m->is_there[event->data] = true;
    m->came[event->data] = event->res;
}

// At least so many of what is under way: 0 or 1.
static int await(struct medium *m, long least) {
    struct io_event events[MEDIUM_SLICES + 1];
    long n =
        syscall(SYS_io_getevents, (aio_context_t)m->queue, least, MEDIUM_SLICES + 1L, events, NULL);
    for (long i = 0; i < n; i++)
        note(m, &events[i]);
    return n < 0 && errno != EINTR ? -1 : 0;
}

#else

static bool open_queue(unsigned long *ret) {
    (void)ret;
    return false;
}

static void close_queue(unsigned long queue) {
    (void)queue;
}

static int submit(struct medium *m, size_t n) {
    (void)m, (void)n;
    return -1;
}

static bool submit_sync(struct medium *m) {
    (void)m;
    return false;
}

static int await(struct medium *m, long least) {
    (void)m, (void)least;
    return -1;
}

#endif

static bool take_queue(struct medium *m) {
    if (!m->spare || !m->spare->is_there)
        return open_queue(&m->queue);
    m->queue = m->spare->queue;
    m->spare->is_there = false;
    return true;
}

// Whether it can be read like that is known when it was: there are file systems that take the flag and read through the
// cache all the same (tmpfs, ext4 with data=journal), and then what was read is there. What is there before, being dirty
// or somebody's, tells nothing.
static bool reads_past_cache(const struct medium *m) {
    fs_drop_cache_range(m->fd, 0, ROOM_BYTES);
    for (uint64_t at = 0; at < ROOM_BYTES; at += MEDIUM_SLICE_BYTES)
        if (fs_uncached(m->fd, at, BLOCK_BYTES) == BLOCK_BYTES)
            return pread(m->fd, m->room, BLOCK_BYTES, (off_t)at) > 0 &&
                   fs_uncached(m->fd, at, BLOCK_BYTES) == BLOCK_BYTES;
    return false;
}

static bool is_possible(struct medium *m) {
    int flags = fcntl(m->fd, F_GETFL);
    if (flags < 0 || fcntl(m->fd, F_SETFL, flags | O_DIRECT) < 0)
        return false;
    if (reads_past_cache(m) && take_queue(m))
        return true;
    (void)fcntl(m->fd, F_SETFL, flags);
    return false;
}

int medium_open(struct medium *m, int fd, struct medium_spare *spare, struct err *e) {
    void *room = NULL;
    *m = (struct medium){.fd = fd, .spare = spare};
    if (posix_memalign(&room, BLOCK_BYTES, ROOM_BYTES) != 0)
        return err_set(e, &err_memory, "reading from the medium: out of memory");
    m->room = room;
    if (is_possible(m))
        return 0;
    free(room);
    m->room = NULL;
    return MEDIUM_NONE;
}

// Asks for what there is room for, when that is worth it or nothing is under way.
static int ask(struct medium *m, uint64_t end, struct err *e) {
    size_t under_way = (size_t)(m->asked - m->given), n = 0;
    uint64_t to = m->asked_to;
    if (under_way > MEDIUM_SLICES - MEDIUM_BATCH)
        return 0;
    for (; to < end && under_way + n < MEDIUM_SLICES; n++) {
        size_t at = (m->asked + n) % MEDIUM_SLICES;
        m->want[at] = end - to < MEDIUM_SLICE_BYTES ? (size_t)(end - to) : MEDIUM_SLICE_BYTES;
        m->is_there[at] = false;
        to += m->want[at];
    }
    int taken = n > 0 ? submit(m, n) : 0;
    if (taken < 0 && (errno != EAGAIN || under_way == 0))
        return err_errno(e, errno, "reading from the medium");
    for (; taken > 0; taken--, m->asked++)
        m->asked_to += m->want[m->asked % MEDIUM_SLICES];
    return 0;
}

int medium_next(struct medium *m, uint64_t end, const uint8_t **ret, size_t *ret_len,
                struct err *e) {
    size_t at = m->given % MEDIUM_SLICES;
    if (ask(m, end, e) < 0)
        return -1;
    if (m->asked == m->given) {
        *ret_len = 0;
        return 0;
    }
    while (!m->is_there[at])
        if (await(m, 1) < 0)
            return err_errno(e, errno, "reading from the medium");
    if (m->came[at] < 0)
        return err_errno(e, (int)-m->came[at], "reading from the medium");
    *ret = m->room + at * MEDIUM_SLICE_BYTES;
    *ret_len = (uint64_t)m->came[at] < m->want[at] ? (size_t)m->came[at] : m->want[at];
    m->given++;
    return 0;
}

bool medium_sync_begin(struct medium *m) {
    if (!m->room || m->is_syncing || !submit_sync(m))
        return false;
    m->is_syncing = true;
    return true;
}

int medium_sync_end(struct medium *m, bool wait, struct err *e) {
    do
        if (m->is_syncing && await(m, wait ? 1 : 0) < 0)
            return err_errno(e, errno, "making a medium durable");
    while (m->is_syncing && wait);
    if (m->is_syncing)
        return MEDIUM_BUSY;
    return m->synced < 0 ? err_errno(e, (int)-m->synced, "making a medium durable") : 0;
}

static bool finish(struct medium *m) {
    for (; m->given < m->asked; m->given++)
        while (!m->is_there[m->given % MEDIUM_SLICES])
            if (await(m, 1) < 0)
                return false;
    while (m->is_syncing)
        if (await(m, 1) < 0)
            return false;
    return true;
}

void medium_close(struct medium *m) {
    if (!m->room)
        return;
    // A queue with something under way is of no use to anybody else.
    if (m->spare && !m->spare->is_there && finish(m))
        *m->spare = (struct medium_spare){.is_there = true, .queue = m->queue};
    else
        close_queue(m->queue);
    free(m->room);
    m->room = NULL;
}

void medium_spare_clear(struct medium_spare *spare) {
    if (spare->is_there)
        close_queue(spare->queue);
    spare->is_there = false;
}
