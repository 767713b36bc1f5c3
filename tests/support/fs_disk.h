// SPDX-License-Identifier: Apache-2.0
//
// A file system in memory, as much of one as tests/support/fs_replay.h needs: nodes by number, the
// first is the root; names, contents, modes and hard links, no owners and no times. Everything
// aborts instead of failing.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FS_DISK_NAME_BYTES 256

struct fs_disk_entry {
    char name[FS_DISK_NAME_BYTES];
    size_t node;
};

struct fs_disk_node {
    mode_t type; // S_IFREG, S_IFDIR, S_IFLNK
    unsigned mode;
    ino_t inode;   // where it was scanned from; 0
    uint8_t *data; // of a file; a link's target
    size_t len;
    struct fs_disk_entry *entries; // of a directory, sorted by name
    size_t n_entries;
};

struct fs_disk {
    struct fs_disk_node *nodes;
    size_t n_nodes;
};

// What a directory on the real disk holds. Clear with fs_disk_clear.
void fs_disk_scan(const char *root, struct fs_disk *ret) __attribute__((nonnull));
void fs_disk_copy(const struct fs_disk *disk, struct fs_disk *ret) __attribute__((nonnull));
void fs_disk_clear(struct fs_disk *disk) __attribute__((nonnull));

// A node that no name leads to yet; its number. `target` of a link, else NULL.
size_t fs_disk_add(struct fs_disk *disk, mode_t type, unsigned mode, const char *target)
    __attribute__((nonnull(1)));
void fs_disk_resize(struct fs_disk_node *node, uint64_t len) __attribute__((nonnull));
// Makes a name in a directory mean a node, whatever it meant before.
void fs_disk_set(struct fs_disk *disk, size_t dir, const char *name, size_t node)
    __attribute__((nonnull));
// Absence is fine.
void fs_disk_remove(struct fs_disk *disk, size_t dir, const char *name) __attribute__((nonnull));
// "" and "." are the root. Links are not followed.
bool fs_disk_find(const struct fs_disk *disk, const char *path, size_t *ret)
    __attribute__((nonnull));

uint64_t fs_disk_hash(const struct fs_disk *disk) __attribute__((nonnull));
// Makes it below an empty directory of the real disk, hard links included.
void fs_disk_write(const struct fs_disk *disk, int dir) __attribute__((nonnull));
