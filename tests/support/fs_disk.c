// SPDX-License-Identifier: Apache-2.0
//
// See fs_disk.h.
#include "tests/support/fs_disk.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"

#define FILE_MAX_BYTES (4 * 1024 * 1024)

static void must(int done, const struct err *e) {
    if (done >= 0)
        return;
    (void)fprintf(stderr, "fs_disk: %s\n", e->text);
    abort();
}

static void *copy_of(const void *data, size_t bytes) {
    void *copy = malloc(bytes > 0 ? bytes : 1);
    if (!copy)
        abort();
    if (bytes > 0)
        memcpy(copy, data, bytes);
    return copy;
}

size_t fs_disk_add(struct fs_disk *disk, mode_t type, unsigned mode, const char *target) {
    disk->nodes = realloc(disk->nodes, (disk->n_nodes + 1) * sizeof *disk->nodes);
    if (!disk->nodes)
        abort();
    struct fs_disk_node *node = &disk->nodes[disk->n_nodes];
    *node = (struct fs_disk_node){.type = type, .mode = mode};
    if (target) {
        node->len = strlen(target);
        node->data = copy_of(target, node->len);
    }
    return disk->n_nodes++;
}

void fs_disk_resize(struct fs_disk_node *node, uint64_t len) {
    node->data = realloc(node->data, len > 0 ? len : 1);
    if (!node->data)
        abort();
    if (len > node->len)
        memset(node->data + node->len, 0, len - node->len);
    node->len = len;
}

// The place of a name among the entries; whether it is there.
static bool place_of(const struct fs_disk_node *dir, const char *name, size_t *ret) {
    size_t i = 0;
    while (i < dir->n_entries && strcmp(dir->entries[i].name, name) < 0)
        i++;
    *ret = i;
    return i < dir->n_entries && strcmp(dir->entries[i].name, name) == 0;
}

void fs_disk_set(struct fs_disk *disk, size_t dir, const char *name, size_t node) {
    struct fs_disk_node *d = &disk->nodes[dir];
    size_t at;
    if (!place_of(d, name, &at)) {
        d->entries = realloc(d->entries, (d->n_entries + 1) * sizeof *d->entries);
        if (!d->entries)
            abort();
        memmove(&d->entries[at + 1], &d->entries[at], (d->n_entries - at) * sizeof *d->entries);
        d->n_entries++;
        (void)snprintf(d->entries[at].name, FS_DISK_NAME_BYTES, "%s", name);
    }
    d->entries[at].node = node;
}

void fs_disk_remove(struct fs_disk *disk, size_t dir, const char *name) {
    struct fs_disk_node *d = &disk->nodes[dir];
    size_t at;
    if (!place_of(d, name, &at))
        return;
    d->n_entries--;
    memmove(&d->entries[at], &d->entries[at + 1], (d->n_entries - at) * sizeof *d->entries);
}

bool fs_disk_find(const struct fs_disk *disk, const char *path, size_t *ret) {
    size_t node = 0, at;
    char name[FS_DISK_NAME_BYTES];
    if (strcmp(path, ".") == 0)
        path = "";
    while (*path) {
        size_t len = strcspn(path, "/");
        if (len == 0 || len >= sizeof name)
            return false;
        memcpy(name, path, len);
        name[len] = '\0';
        if (!place_of(&disk->nodes[node], name, &at))
            return false;
        node = disk->nodes[node].entries[at].node;
        path += path[len] ? len + 1 : len;
    }
    *ret = node;
    return true;
}

void fs_disk_copy(const struct fs_disk *disk, struct fs_disk *ret) {
    ret->n_nodes = disk->n_nodes;
    ret->nodes = copy_of(disk->nodes, disk->n_nodes * sizeof *disk->nodes);
    for (size_t i = 0; i < disk->n_nodes; i++) {
        struct fs_disk_node *node = &ret->nodes[i];
        node->data = copy_of(node->data, node->len);
        node->entries = copy_of(node->entries, node->n_entries * sizeof *node->entries);
    }
}

void fs_disk_clear(struct fs_disk *disk) {
    for (size_t i = 0; i < disk->n_nodes; i++) {
        free(disk->nodes[i].data);
        free(disk->nodes[i].entries);
    }
    free(disk->nodes);
    *disk = (struct fs_disk){0};
}

struct scan {
    struct fs_disk *disk;
    size_t node;
    int dir;
};

static int scan_entry(void *context, const char *name, mode_t type, struct err *e) {
    struct scan *s = context;
    struct stat status;
    must(fs_stat(s->dir, name, &status, e), e);
    for (size_t i = 0; i < s->disk->n_nodes; i++) {
        if (type == S_IFREG && s->disk->nodes[i].inode == status.st_ino) {
            fs_disk_set(s->disk, s->node, name, i);
            return 0;
        }
    }
    char target[FS_PATH_BYTES] = "";
    if (type == S_IFLNK)
        must(fs_readlink(s->dir, name, target, sizeof target, e), e);
    size_t node =
        fs_disk_add(s->disk, type, status.st_mode & 07777U, type == S_IFLNK ? target : NULL);
    s->disk->nodes[node].inode = status.st_ino;
    fs_disk_set(s->disk, s->node, name, node);
    if (type == S_IFREG) {
        OWN(buf) struct buf text;
        buf_init(&text, FILE_MAX_BYTES);
        must(fs_read_file(s->dir, name, FILE_MAX_BYTES, &text, e), e);
        s->disk->nodes[node].data = copy_of(text.data, text.len);
        s->disk->nodes[node].len = text.len;
    } else if (type == S_IFDIR) {
        OWN(fd) int dir = -1;
        must(fs_open_dir(s->dir, name, &dir, e), e);
        struct scan below = {s->disk, node, dir};
        must(fs_list(dir, ".", scan_entry, &below, e), e);
    }
    return 0;
}

void fs_disk_scan(const char *root, struct fs_disk *ret) {
    OWN(fd) int dir = -1;
    struct err e = ERR_NONE;
    *ret = (struct fs_disk){0};
    (void)fs_disk_add(ret, S_IFDIR, 0700, NULL);
    must(fs_open_dir(AT_FDCWD, root, &dir, &e), &e);
    struct scan s = {ret, 0, dir};
    must(fs_list(dir, ".", scan_entry, &s, &e), &e);
}

// FNV-1a.
static uint64_t mix(uint64_t hash, const void *data, size_t len) {
    const uint8_t *bytes = data;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3ULL;
    return hash;
}

static uint64_t mix_node(const struct fs_disk *disk, size_t index, uint64_t hash) {
    const struct fs_disk_node *node = &disk->nodes[index];
    hash = mix(hash, &node->type, sizeof node->type);
    hash = mix(hash, &node->mode, sizeof node->mode);
    hash = mix(hash, &node->len, sizeof node->len);
    hash = mix(hash, node->data, node->len);
    for (size_t i = 0; i < node->n_entries; i++) {
        hash = mix(hash, node->entries[i].name, strlen(node->entries[i].name) + 1);
        hash = mix_node(disk, node->entries[i].node, hash);
    }
    return mix(hash, "", 1);
}

uint64_t fs_disk_hash(const struct fs_disk *disk) {
    return mix_node(disk, 0, 0xcbf29ce484222325ULL);
}

struct place {
    char path[FS_PATH_BYTES]; // of a file that was made: the next name is a hard link
};

static void write_below(const struct fs_disk *disk, size_t index, int root, const char *above,
                        struct place *places) {
    const struct fs_disk_node *node = &disk->nodes[index];
    struct err e = ERR_NONE;
    for (size_t i = 0; i < node->n_entries; i++) {
        size_t number = node->entries[i].node;
        const struct fs_disk_node *child = &disk->nodes[number];
        char path[FS_PATH_BYTES];
        (void)snprintf(path, sizeof path, "%s%s%s", above, above[0] ? "/" : "",
                       node->entries[i].name);
        if (child->type == S_IFDIR) {
            must(fs_mkdir(root, path, child->mode, &e), &e);
            write_below(disk, number, root, path, places);
        } else if (child->type == S_IFLNK) {
            char target[FS_PATH_BYTES];
            (void)snprintf(target, sizeof target, "%.*s", (int)child->len,
                           (const char *)child->data);
            must(fs_symlink(target, root, path, &e), &e);
        } else if (places[number].path[0]) {
            must(fs_link(root, places[number].path, root, path, &e), &e);
        } else {
            OWN(fd) int fd = -1;
            must(fs_create(root, path, child->mode, &fd, &e), &e);
            must(fs_write(fd, child->data, child->len, &e), &e);
            memcpy(places[number].path, path, sizeof path);
        }
    }
}

void fs_disk_write(const struct fs_disk *disk, int dir) {
    OWN(mem) struct place *places = calloc(disk->n_nodes, sizeof *places);
    if (!places)
        abort();
    write_below(disk, 0, dir, "", places);
}
