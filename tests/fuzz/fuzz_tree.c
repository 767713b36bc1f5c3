// SPDX-License-Identifier: Apache-2.0
//
// Trees: what is read to its end is written again as the same bytes; paths are in order and stay
// below the top.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/own.h"
#include "bundle/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_entry(const struct bundle_tree_entry *entry, const char *before) {
    const char *path = entry->path;
    size_t len = strlen(path);
    if (path[0] == '/' || strstr(path, "//") || strcmp(path, "..") == 0 ||
        strncmp(path, "../", 3) == 0 || strstr(path, "/../") ||
        (len > 2 && strcmp(path + len - 3, "/..") == 0))
        abort();
    if (*before && bundle_tree_compare(before, path) >= 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char before[BUNDLE_PATH_MAX + 1] = "";
    struct bundle_tree_reader *reader = NULL;
    OWN(buf) struct buf again;
    struct err e = ERR_NONE;
    OWN(fd) int fd = memfd_create("tree", MFD_CLOEXEC);
    buf_init(&again, size + 1);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    int r = bundle_tree_open(fd, 0, size, &reader, &e);
    while (r == 0) {
        struct bundle_tree_entry entry;
        r = bundle_tree_next(reader, &entry, &e);
        if (r != 0)
            break;
        check_entry(&entry, before);
        memcpy(before, entry.path, sizeof before);
        if (bundle_tree_format(&entry, &again, &e) < 0)
            abort();
    }
    bundle_tree_close(reader);
    if (r < 0 && !e.kind)
        abort();
    if (again.len > size || (again.len > 0 && memcmp(again.data, data, again.len) != 0) ||
        (r == BUNDLE_TREE_END && again.len != size))
        abort();
    return 0;
}
