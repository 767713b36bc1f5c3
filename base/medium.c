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

#define BLOCK_BYTES 4096UL // the largest that places and lengths are multiples of

#if defined(SYS_io_setup) && defined(SYS_io_getevents)

static bool open_queue(unsigned long *ret) {
    aio_context_t queue = 0;
    if (syscall(SYS_io_setup, (unsigned)MEDIUM_SLICES, &queue) < 0)
        return false;
    *ret = queue;
    return true;
}

// Waits for what is under way.
static void close_queue(unsigned long queue) {
    (void)syscall(SYS_io_destroy, (aio_context_t)queue);
}

static int submit(struct medium *m, uint64_t slice, uint64_t offset, size_t len) {
    struct iocb block = {.aio_data = slice % MEDIUM_SLICES,
                         .aio_lio_opcode = IOCB_CMD_PREAD,
                         .aio_fildes = (uint32_t)m->fd,
                         .aio_buf =
                             (uintptr_t)(m->room + slice % MEDIUM_SLICES * MEDIUM_SLICE_BYTES),
                         .aio_nbytes = len,
                         .aio_offset = (int64_t)offset};
    struct iocb *blocks[] = {&block};
    return (int)syscall(SYS_io_submit, (aio_context_t)m->queue, 1L, blocks) == 1 ? 0 : -1;
}

static int await(struct medium *m) {
    struct io_event events[MEDIUM_SLICES];
    long n =
        syscall(SYS_io_getevents, (aio_context_t)m->queue, 1L, (long)MEDIUM_SLICES, events, NULL);
    for (long i = 0; i < n; i++) {
        m->is_there[events[i].data] = true;
        m->came[events[i].data] = events[i].res;
    }
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

static int submit(struct medium *m, uint64_t slice, uint64_t offset, size_t len) {
    (void)m, (void)slice, (void)offset, (void)len;
    return -1;
}

static int await(struct medium *m) {
    (void)m;
    return -1;
}

#endif

// Whether it can be read like that is known when it was.
static bool is_possible(struct medium *m) {
    int flags = fcntl(m->fd, F_GETFL);
    if (flags < 0 || fcntl(m->fd, F_SETFL, flags | O_DIRECT) < 0)
        return false;
    if (pread(m->fd, m->room, BLOCK_BYTES, 0) >= 0 && open_queue(&m->queue))
        return true;
    (void)fcntl(m->fd, F_SETFL, flags);
    return false;
}

int medium_open(struct medium *m, int fd, struct err *e) {
    void *room = NULL;
    *m = (struct medium){.fd = fd};
    if (posix_memalign(&room, BLOCK_BYTES, MEDIUM_SLICES * MEDIUM_SLICE_BYTES) != 0)
        return err_set(e, &err_memory, "reading from the medium: out of memory");
    m->room = room;
    if (is_possible(m))
        return 0;
    free(room);
    m->room = NULL;
    return MEDIUM_NONE;
}

static int ask(struct medium *m, uint64_t end, struct err *e) {
    while (m->asked_to < end && m->asked - m->given < MEDIUM_SLICES) {
        size_t at = m->asked % MEDIUM_SLICES;
        uint64_t left = end - m->asked_to;
        m->want[at] = left < MEDIUM_SLICE_BYTES ? (size_t)left : MEDIUM_SLICE_BYTES;
        size_t blocks = (m->want[at] + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
        m->is_there[at] = false;
        if (submit(m, m->asked, m->asked_to, blocks) < 0)
            return err_errno(e, errno, "reading from the medium");
        m->asked++;
        m->asked_to += m->want[at];
    }
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
        if (await(m) < 0)
            return err_errno(e, errno, "reading from the medium");
    if (m->came[at] < 0)
        return err_errno(e, (int)-m->came[at], "reading from the medium");
    *ret = m->room + at * MEDIUM_SLICE_BYTES;
    *ret_len = (uint64_t)m->came[at] < m->want[at] ? (size_t)m->came[at] : m->want[at];
    m->given++;
    return 0;
}

void medium_close(struct medium *m) {
    if (!m->room)
        return;
    close_queue(m->queue);
    free(m->room);
    m->room = NULL;
}
