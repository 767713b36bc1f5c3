// SPDX-License-Identifier: Apache-2.0
//
// The replay: a disk is an array of nodes, the first is the root, and an operation names nodes by
// number, so that one disk can be had with any part of the operations. There are two: what is
// durable, and what the program saw, which only says what a path meant.
#include "tests/support/fs_replay.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "tests/support/fs_disk.h"

enum part { PART_NONE, PART_WHOLE, PART_HALF, PART_ZEROS, PARTS_OF_A_WRITE };

struct op {
    enum fs_call call;
    const struct fs_record *record; // borrowed: for people
    size_t at;                      // the node that a barrier settles it with
    size_t node;                    // that an entry names
    char from[FS_DISK_NAME_BYTES];  // name that goes
    char to[FS_DISK_NAME_BYTES];    // name that comes
    uint64_t offset, len;
    uint8_t *data; // owned
    unsigned mode;
};

struct fs_replay {
    struct fs_disk durable, seen;
    struct op *ops;
    size_t n_ops, capacity;
    uint64_t seed;
};

struct fs_replay_state {
    struct fs_disk disk;
    const uint8_t *parts;
};

struct fs_replay *fs_replay_make(const char *root) {
    struct fs_replay *r = calloc(1, sizeof *r);
    if (!r)
        abort();
    r->seed = 0x9e3779b97f4a7c15ULL;
    fs_disk_scan(root, &r->durable);
    fs_disk_copy(&r->durable, &r->seen);
    return r;
}

void fs_replay_free(struct fs_replay *replay) {
    if (!replay)
        return;
    for (size_t i = 0; i < replay->n_ops; i++)
        free(replay->ops[i].data);
    free(replay->ops);
    fs_disk_clear(&replay->durable);
    fs_disk_clear(&replay->seen);
    free(replay);
}

bool fs_replay_is_barrier(const struct fs_record *record) {
    return record->error == 0 &&
           (record->call == FS_CALL_fsync || record->call == FS_CALL_fdatasync ||
            record->call == FS_CALL_syncfs);
}

static void apply_data(struct fs_disk *disk, const struct op *op, enum part part) {
    struct fs_disk_node *node = &disk->nodes[op->at];
    if (op->call == FS_CALL_fchmod) {
        node->mode = op->mode;
        return;
    }
    if (op->call == FS_CALL_ftruncate) {
        fs_disk_resize(node, op->len);
        return;
    }
    uint64_t len = part == PART_HALF ? op->len / 2 : op->len;
    if (op->offset + len > node->len)
        fs_disk_resize(node, op->offset + len);
    if (part == PART_ZEROS)
        memset(node->data + op->offset, 0, len);
    else
        memcpy(node->data + op->offset, op->data, len);
}

static void apply(struct fs_disk *disk, const struct op *op, enum part part) {
    if (part == PART_NONE)
        return;
    switch (op->call) {
    case FS_CALL_write:
    case FS_CALL_pwrite:
    case FS_CALL_zero:
    case FS_CALL_ftruncate:
    case FS_CALL_fchmod:
    case FS_CALL_clone:
        apply_data(disk, op, part);
        return;
    default:
        if (op->from[0])
            fs_disk_remove(disk, op->at, op->from);
        if (op->to[0])
            fs_disk_set(disk, op->at, op->to, op->node);
    }
}

static bool is_write(const struct op *op) {
    return op->call == FS_CALL_write || op->call == FS_CALL_pwrite || op->call == FS_CALL_zero ||
           op->call == FS_CALL_clone;
}

static struct op *add(struct fs_replay *r, const struct fs_record *record) {
    if (r->n_ops == r->capacity) {
        r->capacity = r->capacity ? 2 * r->capacity : 64;
        r->ops = realloc(r->ops, r->capacity * sizeof *r->ops);
        if (!r->ops)
            abort();
    }
    r->ops[r->n_ops] = (struct op){.call = record->call, .record = record};
    return &r->ops[r->n_ops++];
}

// A node on both disks; what it holds beyond its birth is operations.
static size_t new_node(struct fs_replay *r, mode_t type, unsigned mode, const char *target) {
    size_t node = fs_disk_add(&r->durable, type, mode, target);
    if (fs_disk_add(&r->seen, type, mode, target) != node)
        abort();
    return node;
}

// Splits a path into the node of its directory and the last name.
static size_t parent_of(const struct fs_replay *r, const char *path,
                        char ret_name[static FS_DISK_NAME_BYTES]) {
    char above[FS_RECORD_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0, dir;
    memcpy(above, path, len);
    above[len] = '\0';
    if (!fs_disk_find(&r->seen, above, &dir) ||
        snprintf(ret_name, FS_DISK_NAME_BYTES, "%s", slash ? slash + 1 : path) >=
            FS_DISK_NAME_BYTES)
        abort();
    return dir;
}

static size_t node_of(const struct fs_replay *r, const char *path) {
    size_t node;
    if (!fs_disk_find(&r->seen, path, &node)) {
        (void)fprintf(stderr, "fs_replay: %s is not there\n", path);
        abort();
    }
    return node;
}

static void feed_data(struct fs_replay *r, const struct fs_record *record) {
    const struct fs_disk_node *from = NULL;
    if (record->call == FS_CALL_fchmod &&
        r->seen.nodes[node_of(r, record->path)].mode == record->mode)
        return; // born with it
    if (record->call == FS_CALL_clone)
        from = &r->seen.nodes[node_of(r, record->to)];
    struct op *op = add(r, record);
    op->at = node_of(r, record->path);
    op->offset = record->offset;
    op->len = from ? from->len : record->len;
    op->mode = record->mode;
    const uint8_t *data = from ? from->data : record->data;
    if (data && op->len > 0) {
        op->data = malloc(op->len);
        if (!op->data)
            abort();
        memcpy(op->data, data, op->len);
    }
}

static void feed_new(struct fs_replay *r, const struct fs_record *record) {
    size_t there;
    const char *path = record->call == FS_CALL_symlinkat ? record->to : record->path;
    if (fs_disk_find(&r->seen, path, &there))
        return; // opened, not created
    char name[FS_DISK_NAME_BYTES];
    size_t dir = parent_of(r, path, name);
    struct op *op = add(r, record);
    op->at = dir;
    op->node = record->call == FS_CALL_symlinkat ? new_node(r, S_IFLNK, 0777, record->path)
               : record->call == FS_CALL_mkdirat ? new_node(r, S_IFDIR, record->mode, NULL)
                                                 : new_node(r, S_IFREG, record->mode, NULL);
    memcpy(op->to, name, sizeof name);
}

static void feed_name(struct fs_replay *r, const struct fs_record *record) {
    char from[FS_DISK_NAME_BYTES], to[FS_DISK_NAME_BYTES] = "";
    size_t node = node_of(r, record->path);
    size_t from_dir = parent_of(r, record->path, from);
    size_t to_dir = record->to[0] ? parent_of(r, record->to, to) : from_dir;
    struct op *op = add(r, record);
    op->node = node;
    op->at = to_dir;
    memcpy(op->to, to, sizeof to);
    if (record->call == FS_CALL_linkat)
        return;
    if (to_dir != from_dir)
        abort(); // would be settled with two directories
    memcpy(op->from, from, sizeof from);
}

static void settle(struct fs_replay *r, const struct fs_record *record) {
    bool all = record->call == FS_CALL_syncfs;
    size_t at = all ? 0 : node_of(r, record->path), kept = 0;
    for (size_t i = 0; i < r->n_ops; i++) {
        if (all || r->ops[i].at == at) {
            apply(&r->durable, &r->ops[i], PART_WHOLE);
            free(r->ops[i].data);
        } else
            r->ops[kept++] = r->ops[i];
    }
    r->n_ops = kept;
}

void fs_replay_feed(struct fs_replay *replay, const struct fs_record *record) {
    size_t before = replay->n_ops;
    if (record->error)
        return;
    switch (record->call) {
    case FS_CALL_openat:
    case FS_CALL_mkdirat:
    case FS_CALL_symlinkat:
        feed_new(replay, record);
        break;
    case FS_CALL_write:
    case FS_CALL_pwrite:
    case FS_CALL_zero:
    case FS_CALL_ftruncate:
    case FS_CALL_fchmod:
    case FS_CALL_clone:
        feed_data(replay, record);
        break;
    case FS_CALL_renameat:
    case FS_CALL_renameat_noreplace:
    case FS_CALL_linkat:
    case FS_CALL_unlinkat:
        feed_name(replay, record);
        break;
    case FS_CALL_fsync:
    case FS_CALL_fdatasync:
    case FS_CALL_syncfs:
        settle(replay, record);
        return;
    default:
        return; // owners, times, reservations
    }
    if (replay->n_ops > before)
        apply(&replay->seen, &replay->ops[before], PART_WHOLE);
}

size_t fs_replay_pending(const struct fs_replay *replay, bool (*counts)(const char *path)) {
    size_t n = 0;
    for (size_t i = 0; i < replay->n_ops; i++) {
        const struct fs_record *record = replay->ops[i].record;
        n += !counts || counts(record->to[0] ? record->to : record->path);
    }
    return n;
}

struct walk {
    struct fs_replay *replay;
    bool (*visit)(void *context, const struct fs_replay_state *state);
    void *context;
    uint8_t *parts;
};

static bool show(struct walk *w) {
    struct fs_replay_state state = {.parts = w->parts};
    fs_disk_copy(&w->replay->durable, &state.disk);
    for (size_t i = 0; i < w->replay->n_ops; i++)
        apply(&state.disk, &w->replay->ops[i], w->parts[i]);
    bool go_on = w->visit(w->context, &state);
    fs_disk_clear(&state.disk);
    return go_on;
}

static unsigned parts_of(const struct op *op) {
    return is_write(op) ? PARTS_OF_A_WRITE : PART_HALF;
}

static bool walk_all(struct walk *w) {
    const struct fs_replay *r = w->replay;
    memset(w->parts, PART_NONE, r->n_ops);
    for (;;) {
        if (!show(w))
            return false;
        size_t i = 0;
        while (i < r->n_ops && ++w->parts[i] == parts_of(&r->ops[i]))
            w->parts[i++] = PART_NONE;
        if (i == r->n_ops)
            return true;
    }
}

// Every prefix, all but one, one alone; the one (a prefix's last) in each of its parts.
static bool walk_around(struct walk *w, size_t one) {
    const struct fs_replay *r = w->replay;
    for (unsigned part = PART_NONE; part < parts_of(&r->ops[one]); part++) {
        for (int others = 0; others < 3; others++) {
            bool before = others != 2, after = others == 1;
            memset(w->parts, before ? PART_WHOLE : PART_NONE, one);
            memset(w->parts + one, after ? PART_WHOLE : PART_NONE, r->n_ops - one);
            w->parts[one] = (uint8_t)part;
            if (!show(w))
                return false;
        }
    }
    return true;
}

static uint64_t draw(struct fs_replay *r) {
    r->seed ^= r->seed << 13;
    r->seed ^= r->seed >> 7;
    r->seed ^= r->seed << 17;
    return r->seed;
}

static bool walk_some(struct walk *w) {
    struct fs_replay *r = w->replay;
    for (size_t i = 0; i < r->n_ops; i++)
        if (!walk_around(w, i))
            return false;
    for (int n = 0; n < FS_REPLAY_RANDOM; n++) {
        for (size_t i = 0; i < r->n_ops; i++)
            w->parts[i] = (uint8_t)((draw(r) >> 11) % parts_of(&r->ops[i]));
        if (!show(w))
            return false;
    }
    return true;
}

bool fs_replay_is_exhaustive(const struct fs_replay *replay) {
    size_t candidates = 1;
    for (size_t i = 0; i < replay->n_ops && candidates <= FS_REPLAY_EXHAUSTIVE_MAX; i++)
        candidates *= parts_of(&replay->ops[i]);
    return candidates <= FS_REPLAY_EXHAUSTIVE_MAX;
}

bool fs_replay_enumerate(struct fs_replay *replay,
                         bool (*visit)(void *context, const struct fs_replay_state *state),
                         void *context) {
    OWN(mem) uint8_t *parts = calloc(replay->n_ops + 1, 1);
    if (!parts)
        abort();
    struct walk w = {replay, visit, context, parts};
    return fs_replay_is_exhaustive(replay) ? walk_all(&w) : walk_some(&w);
}

uint64_t fs_replay_hash(const struct fs_replay_state *state) {
    return fs_disk_hash(&state->disk);
}

uint64_t fs_replay_hash_of(const char *root) {
    struct fs_disk disk;
    fs_disk_scan(root, &disk);
    uint64_t hash = fs_disk_hash(&disk);
    fs_disk_clear(&disk);
    return hash;
}

bool fs_replay_any(const struct fs_replay *replay, bool (*accepts)(const char *name)) {
    const struct fs_disk *disk = &replay->durable;
    for (size_t i = 0; i < disk->n_nodes; i++)
        for (size_t k = 0; k < disk->nodes[i].n_entries; k++)
            if (accepts(disk->nodes[i].entries[k].name))
                return true;
    return false;
}

void fs_replay_materialise(const struct fs_replay_state *state, int dir) {
    fs_disk_write(&state->disk, dir);
}

char *fs_replay_describe(const struct fs_replay *replay, const struct fs_replay_state *state) {
    static const char *const part_names[] = {"no   ", "done ", "half ", "zeros"};
    static const char *const call_names[] = {
#define CALL_NAME(name) #name,
        FS_CALLS(CALL_NAME)};
    struct buf text;
    struct err e = ERR_NONE;
    buf_init(&text, 1024 * 1024);
    for (size_t i = 0; i < replay->n_ops; i++) {
        const struct fs_record *r = replay->ops[i].record;
        if (buf_add_format(&text, &e, "    %s %s %s%s%s\n", part_names[state->parts[i]],
                           call_names[r->call], r->path, r->to[0] ? " -> " : "", r->to) < 0)
            abort();
    }
    char *copy = strdup(buf_text(&text));
    buf_clear(&text);
    return copy;
}
