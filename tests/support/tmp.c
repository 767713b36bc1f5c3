// SPDX-License-Identifier: Apache-2.0
//
// Directories that are made are remembered, because a failed assertion leaves a test without
// running its cleanups.

#include "tests/support/tmp.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "base/fs.h"

#define REMEMBERED_MAX 64
#define MEMORY         "/dev/shm"
#define MEMORY_BYTES   (64UL << 20) // many times what a test of that kind needs

static char remembered[REMEMBERED_MAX][TMP_PATH_BYTES];
static pid_t owner;

static void remove_path(const char *path) {
    struct err e = ERR_NONE;
    const struct fs_ops *before = fs_swap(&fs_system);
    if (fs_remove_tree(AT_FDCWD, path, &e) < 0)
        (void)fprintf(stderr, "%s\n", e.text);
    (void)fs_swap(before);
}

static void remove_remembered(void) {
    if (getpid() != owner) // a child that a test forked
        return;
    for (size_t i = 0; i < REMEMBERED_MAX; i++) {
        if (remembered[i][0])
            remove_path(remembered[i]);
    }
}

static void remember(const char *path) {
    if (owner != getpid()) {
        memset(remembered, 0, sizeof remembered);
        owner = getpid();
        (void)atexit(remove_remembered);
    }
    for (size_t i = 0; i < REMEMBERED_MAX; i++) {
        if (!remembered[i][0]) {
            (void)snprintf(remembered[i], sizeof remembered[i], "%s", path);
            return;
        }
    }
}

static void forget(const char *path) {
    for (size_t i = 0; i < REMEMBERED_MAX; i++) {
        if (strcmp(remembered[i], path) == 0)
            remembered[i][0] = '\0';
    }
}

struct tmp_dir tmp_dir_make(void) {
    struct tmp_dir dir = {.fd = -1};
    const char *below = getenv("TMPDIR");
    (void)snprintf(dir.path, sizeof dir.path, "%s/edge-test-XXXXXX",
                   below && below[0] == '/' ? below : "/tmp");
    if (!mkdtemp(dir.path) || (dir.fd = open(dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
        perror(dir.path);
        abort();
    }
    remember(dir.path);
    return dir;
}

void tmp_dir_in_memory(void) {
    struct statfs fs;
    if (statfs(MEMORY, &fs) == 0 && fs.f_type == TMPFS_MAGIC && access(MEMORY, W_OK) == 0 &&
        fs.f_bavail * (unsigned long)fs.f_bsize >= MEMORY_BYTES)
        (void)setenv("TMPDIR", MEMORY, 1);
}

void tmp_dir_remove(struct tmp_dir *dir) {
    if (dir->fd < 0)
        return;
    (void)close(own_take_fd(&dir->fd));
    remove_path(dir->path);
    forget(dir->path);
}
