// SPDX-License-Identifier: Apache-2.0
//
// A bundle in an open file.
#include "bundle/unpack/source.h"

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
    uint64_t size = 0;
    if (fs_size(fd, &size, e) < 0)
        return -1;
    *ret_state = (struct unpack_source_file){.fd = fd, .size = size};
    *ret = (struct unpack_source){.read = read_file, .size = size_of_file, .context = ret_state};
    return 0;
}
