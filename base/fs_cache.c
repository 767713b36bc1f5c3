// SPDX-License-Identifier: Apache-2.0
//
// What of a file lies in the page cache, and what is on its way between there and the medium.
// Nothing here changes what the file holds.
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fs.h"

// The medium is kept busy with this much. It takes page cache, no memory of this process.
#define AHEAD_BYTES  (4ULL * 1024 * 1024)
#define AHEAD_STEP   (1024ULL * 1024)
#define WINDOW_BYTES (4ULL * 1024 * 1024) // that is asked about at once
#define PAGES_MAX    1024                 // of it

void fs_drop_cache_range(int fd, uint64_t offset, uint64_t len) {
    (void)posix_fadvise(fd, (off_t)offset, (off_t)len, POSIX_FADV_DONTNEED);
}

void fs_begin_read(int fd, uint64_t offset, uint64_t len) {
    (void)posix_fadvise(fd, (off_t)offset, (off_t)len, POSIX_FADV_WILLNEED);
}

void fs_read_ahead(int fd, uint64_t offset, uint64_t end, uint64_t *asked) {
    for (; *asked < end && *asked < offset + AHEAD_BYTES; *asked += AHEAD_STEP) {
        uint64_t len = end - *asked < AHEAD_STEP ? end - *asked : AHEAD_STEP;
        fs_begin_read(fd, *asked, len);
    }
}

// Of one window. Mapped, and never touched.
static uint64_t count_uncached(int fd, uint64_t offset, uint64_t len, uint64_t page_bytes) {
    unsigned char in_memory[PAGES_MAX];
    uint64_t n = 0, pages = (len + page_bytes - 1) / page_bytes;
    void *map = mmap(NULL, (size_t)len, PROT_READ, MAP_SHARED, fd, (off_t)offset);
    if (map == MAP_FAILED)
        return 0;
    if (mincore(map, (size_t)len, in_memory) == 0)
        while (n < pages && (in_memory[n] & 1) == 0)
            n++;
    (void)munmap(map, (size_t)len);
    return n * page_bytes < len ? n * page_bytes : len;
}

uint64_t fs_uncached(int fd, uint64_t offset, uint64_t len) {
    long page_bytes = sysconf(_SC_PAGESIZE);
    uint64_t done = 0;
    if (page_bytes < (long)(WINDOW_BYTES / PAGES_MAX))
        return 0;
    while (done < len) {
        uint64_t n = len - done < WINDOW_BYTES ? len - done : WINDOW_BYTES;
        uint64_t gone = count_uncached(fd, offset + done, n, (uint64_t)page_bytes);
        done += gone;
        if (gone < n)
            break;
    }
    return done;
}

void fs_begin_write_back(int fd, uint64_t offset, uint64_t len) {
    (void)sync_file_range(fd, (off64_t)offset, (off64_t)len, SYNC_FILE_RANGE_WRITE);
}

int fs_await_write_back(int fd, uint64_t offset, uint64_t len, struct err *e) {
    unsigned flags =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    if (sync_file_range(fd, (off64_t)offset, (off64_t)len, flags) == 0)
        return 0;
    // Where there is no such call the barrier does it all.
    if (errno == ENOSYS || errno == ESPIPE || errno == EINVAL)
        return 0;
    return err_errno(e, errno, "writing to the medium");
}
