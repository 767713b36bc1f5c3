// SPDX-License-Identifier: Apache-2.0
//
// A bundle in an open file.
#include "bundle/unpack/source.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "bundle/kind.h"

static int read_file(void *context, uint64_t offset, void *data, size_t len, struct err *e) {
    const struct unpack_source_file *file = context;
    size_t got = 0;
    if (fs_pread(file->fd, data, len, offset, &got, e) < 0)
        return err_prefix(e, "reading the bundle");
    if (got < len)
        return err_set(e, &err_truncated,
                       "the bundle ends at byte %llu: it was cut short, get it again",
                       (unsigned long long)(offset + got));
    return 0;
}

static uint64_t size_of_file(void *context) {
    const struct unpack_source_file *file = context;
    return file->size;
}

int unpack_source_from_file(int fd, struct unpack_source_file *ret_state, struct unpack_source *ret,
                            struct err *e) {
    struct stat status;
    if (fstat(fd, &status) < 0)
        return err_errno(e, errno, "looking at the bundle");
    if (!S_ISREG(status.st_mode))
        return err_set(e, &err_usage, "not a file: give the path of a bundle");
    *ret_state = (struct unpack_source_file){.fd = fd, .size = (uint64_t)status.st_size};
    *ret = (struct unpack_source){.read = read_file, .size = size_of_file, .context = ret_state};
    return 0;
}
