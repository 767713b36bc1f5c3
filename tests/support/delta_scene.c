// SPDX-License-Identifier: Apache-2.0
//
// The scene.
#include "tests/support/delta_scene.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "bundle/generation.h"
#include "bundle/unpack/stage.h"

#define ROOM (1UL << 22)

#define OLD_A                                                                                      \
    "the first release said hello to the whole wide world, and that was all there was to it"
#define NEW_A                                                                                      \
    "the other release said hello to the whole wide world, and that was all there was to it!"
#define SAME      "what stays where it was"
#define MOVED     "what goes elsewhere"
#define FRESH     "nothing like it was there before"
#define A_PREFIX  "the "
#define A_CHANGED "first"

const char *const delta_scene_paths[DELTA_SCENE_FILES] = {"a",      "away",  "copy",
                                                          "d/same", "fresh", "z"};
const char *const delta_scene_contents[DELTA_SCENE_FILES] = {NEW_A, MOVED, NEW_A, SAME, FRESH, ""};
static const char *const old_paths[] = {"a", "d/same", "moved"};
static const char *const old_contents[] = {OLD_A, SAME, MOVED};
enum { OLD_FILES = sizeof old_paths / sizeof *old_paths };

static void must(bool good, const char *what, const struct err *e) {
    if (good)
        return;
    (void)fprintf(stderr, "delta scene: %s: %s\n", what, e ? e->text : "");
    abort();
}

static struct slice text(const char *t) {
    return (struct slice){(const uint8_t *)t, strlen(t)};
}

static void add(struct buf *b, const void *data, size_t len) {
    struct err e = ERR_NONE;
    must(buf_add(b, data, len, &e) == 0, "memory", &e);
}

static void add_number(struct buf *b, uint64_t value) {
    uint8_t bytes[BUNDLE_DELTA_VARINT_BYTES];
    add(b, bytes, bundle_delta_put_varint(value, bytes));
}

static void make_tree(const char *const *paths, const char *const *contents, size_t n,
                      const char *before_last, struct buf *ret) {
    static const char dir[] = "{\"path\":\"d\",\"type\":\"dir\"}\n";
    for (size_t i = 0; i < n; i++) {
        if (strcmp(paths[i], "d/same") == 0)
            add(ret, dir, sizeof dir - 1);
        if (i + 1 == n && before_last)
            add(ret, before_last, strlen(before_last));
        forge_file_line(paths[i], text(contents[i]), false, ret);
    }
}

static void make_manifest(struct delta_scene *s) {
    struct err e = ERR_NONE;
    OWN(buf) struct buf bundle;
    struct slice contents[DELTA_SCENE_FILES];
    struct bundle_manifest_unverified *m = NULL;
    for (size_t i = 0; i < DELTA_SCENE_FILES; i++)
        contents[i] = text(delta_scene_contents[i]);
    buf_init(&bundle, ROOM);
    const struct forge f = {
        .tree = buf_text(&s->new_tree), .n_contents = DELTA_SCENE_FILES, .contents = contents};
    forge_bundle(&f, &bundle);
    struct slice raw = forge_manifest_of(buf_slice(&bundle));
    add(&s->manifest, raw.data, raw.len);
    must(bundle_manifest_peek(raw, &m, &e) == 0, "a manifest", &e);
    s->id = *bundle_manifest_peek_id(m);
    bundle_manifest_peek_free(m);
}

void delta_scene_plain(struct delta_scene *s, size_t frame, struct slice bytes) {
    static const uint8_t begin[] = {BUNDLE_DELTA_PLAIN, BUNDLE_DELTA_NONE};
    struct buf *stored = &s->stored[frame];
    buf_clear(stored);
    add(stored, begin, sizeof begin);
    add(stored, bytes.data, bytes.len);
    s->out[frame] = bytes.len;
}

void delta_scene_copy(struct delta_scene *s, size_t frame,
                      const struct slice streams[static BUNDLE_DELTA_STREAMS], uint64_t out) {
    struct buf *stored = &s->stored[frame];
    const uint8_t codec = BUNDLE_DELTA_COPY, none = BUNDLE_DELTA_NONE;
    buf_clear(stored);
    add(stored, &codec, 1);
    for (size_t i = 0; i < BUNDLE_DELTA_STREAMS; i++) {
        add(stored, &none, 1);
        add_number(stored, streams[i].len);
        add_number(stored, streams[i].len);
        add(stored, streams[i].data, streams[i].len);
    }
    s->out[frame] = out;
}

// "the other …!": all of the old content with five bytes changed, and one literal.
static void make_a(struct delta_scene *s) {
    const size_t at = strlen(A_PREFIX), changed = strlen(A_CHANGED);
    struct buf b[BUNDLE_DELTA_STREAMS];
    struct slice streams[BUNDLE_DELTA_STREAMS];
    for (size_t i = 0; i < BUNDLE_DELTA_STREAMS; i++)
        buf_init(&b[i], ROOM);
    add_number(&b[BUNDLE_DELTA_COPIES], strlen(OLD_A));
    add_number(&b[BUNDLE_DELTA_LITERAL_LENGTHS], 1);
    add_number(&b[BUNDLE_DELTA_SEEKS], bundle_delta_zigzag((int64_t)s->old_tree.len));
    add_number(&b[BUNDLE_DELTA_GAPS], at);
    add_number(&b[BUNDLE_DELTA_RUNS], changed);
    for (size_t i = at; i < at + changed; i++) {
        uint8_t value = (uint8_t)(NEW_A[i] - OLD_A[i]);
        add(&b[BUNDLE_DELTA_VALUES], &value, 1);
    }
    add(&b[BUNDLE_DELTA_LITERALS], "!", 1);
    for (size_t i = 0; i < BUNDLE_DELTA_STREAMS; i++)
        streams[i] = buf_slice(&b[i]);
    delta_scene_copy(s, DELTA_SCENE_A, streams, strlen(NEW_A));
    for (size_t i = 0; i < BUNDLE_DELTA_STREAMS; i++)
        buf_clear(&b[i]);
}

void delta_scene_make(struct delta_scene *s) {
    // a: coded; away: old 2 (0 + 2); copy: two before; d/same: old 1 (3 - 2); fresh, z: coded.
    static const uint8_t map[] = {0, 2 * 4 + 1, 2 * 1 + 2, 2 * 3 + 1, 0, 0};
    *s = (struct delta_scene){
        .n_frames = 4, .n_tree_frames = 1, .n_map_frames = 1, .decode_bytes = 1 << 20};
    buf_init(&s->old_tree, ROOM);
    buf_init(&s->new_tree, ROOM);
    buf_init(&s->manifest, BUNDLE_MANIFEST_MAX_BYTES);
    for (size_t i = 0; i < DELTA_SCENE_FRAMES; i++)
        buf_init(&s->stored[i], ROOM);
    make_tree(old_paths, old_contents, OLD_FILES, NULL, &s->old_tree);
    make_tree(delta_scene_paths, delta_scene_contents, DELTA_SCENE_FILES,
              "{\"path\":\"l\",\"target\":\"../x\",\"type\":\"link\"}\n", &s->new_tree);
    make_manifest(s);
    s->base = (struct bundle_delta_component){.name = "c",
                                              .size = s->old_tree.len,
                                              .stream_bytes =
                                                  strlen(OLD_A) + strlen(SAME) + strlen(MOVED)};
    keys_digest_of(s->old_tree.data, s->old_tree.len, &s->base.digest);
    delta_scene_plain(s, DELTA_SCENE_TREE, buf_slice(&s->new_tree));
    delta_scene_plain(s, DELTA_SCENE_MAP, (struct slice){map, sizeof map});
    make_a(s);
    delta_scene_plain(s, DELTA_SCENE_FRESH, text(FRESH));
}

void delta_scene_clear(struct delta_scene *s) {
    buf_clear(&s->old_tree);
    buf_clear(&s->new_tree);
    buf_clear(&s->manifest);
    for (size_t i = 0; i < DELTA_SCENE_FRAMES; i++)
        buf_clear(&s->stored[i]);
}

// Rows and head of the frames as they are.
static void make_head(const struct delta_scene *s, struct buf *rows,
                      struct bundle_delta_head *ret) {
    *ret = (struct bundle_delta_head){.bundle = s->id, .n_components = 1, .components = {s->base}};
    struct bundle_delta_packing *p = &ret->packing;
    p->decode_bytes = s->decode_bytes;
    p->n_frames = s->n_frames;
    p->n_tree_frames = s->n_tree_frames;
    p->n_map_frames = s->n_map_frames;
    for (size_t i = 0; i < s->n_frames; i++) {
        uint8_t bytes[BUNDLE_DELTA_ROW_BYTES];
        struct bundle_delta_frame row = {.out_bytes = s->out[i],
                                         .stored_bytes = (uint32_t)s->stored[i].len};
        keys_digest_of(s->stored[i].data, s->stored[i].len, &row.digest);
        bundle_delta_format_row(&row, bytes);
        add(rows, bytes, sizeof bytes);
        p->data_bytes += row.stored_bytes;
        p->stream_bytes += row.out_bytes;
        if (p->frame_bytes < row.stored_bytes)
            p->frame_bytes = row.stored_bytes;
    }
    if (s->edit_rows)
        s->edit_rows(rows->data);
    keys_digest_of(rows->data, rows->len, &p->index_digest);
    if (s->edit)
        s->edit(ret);
}

static void sign_head(const struct delta_scene *s, const struct bundle_delta_head *head,
                      struct buf *ret) {
    struct err e = ERR_NONE;
    OWN(buf) struct buf part;
    buf_init(&part, BUNDLE_DELTA_HEAD_MAX_BYTES);
    must(bundle_delta_format(head, &part, &e) == 0, "a head", &e);
    static const struct keys_envelope_signature none[1];
    if (s->unsigned_head)
        must(keys_envelope_format(buf_slice(&part), none, 0, ret, &e) == 0, "an envelope", &e);
    else
        forge_envelope(buf_slice(&part), ret);
    while (ret->len % BUNDLE_DELTA_HEAD_ALIGN != 0)
        add(ret, " ", 1);
}

void delta_scene_write(const struct delta_scene *s, struct buf *ret) {
    struct err e = ERR_NONE;
    struct bundle_skeleton_delta k;
    uint8_t *file = NULL;
    struct buf member[BUNDLE_SKELETON_DELTA_MEMBERS];
    OWN(mem) struct bundle_delta_head *head = calloc(1, sizeof *head);
    must(head, "memory", NULL);
    for (size_t i = 0; i < BUNDLE_SKELETON_DELTA_MEMBERS; i++)
        buf_init(&member[i], ROOM);
    make_head(s, &member[BUNDLE_SKELETON_DELTA_INDEX], head);
    add(&member[BUNDLE_SKELETON_DELTA_MANIFEST], s->manifest.data, s->manifest.len);
    sign_head(s, head, &member[BUNDLE_SKELETON_DELTA_HEAD]);
    for (size_t i = 0; i < s->n_frames; i++)
        add(&member[BUNDLE_SKELETON_DELTA_DATA], s->stored[i].data, s->stored[i].len);
    uint64_t size[BUNDLE_SKELETON_DELTA_MEMBERS];
    for (size_t i = 0; i < BUNDLE_SKELETON_DELTA_MEMBERS; i++)
        size[i] = member[i].len;
    buf_init(ret, ROOM);
    must(bundle_skeleton_delta_layout(size, &k, &e) == 0 &&
             buf_reserve(ret, k.total, &file, &e) == 0,
         "a container", &e);
    memset(file, 0, k.total);
    for (int i = 0; i < BUNDLE_SKELETON_DELTA_MEMBERS; i++) {
        bundle_skeleton_delta_header(&k, (enum bundle_skeleton_delta_member)i,
                                     file + k.offset[i] - BUNDLE_SKELETON_BLOCK);
        if (member[i].len)
            memcpy(file + k.offset[i], member[i].data, member[i].len);
        buf_clear(&member[i]);
    }
    buf_commit(ret, k.total);
}

static void put(int dir, const char *path, struct slice bytes) {
    int fd = openat(dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    must(fd >= 0 && write(fd, bytes.data, bytes.len) == (ssize_t)bytes.len && close(fd) == 0, path,
         NULL);
}

void delta_scene_generation(const struct delta_scene *s, int dir) {
    struct err e = ERR_NONE;
    OWN(buf) struct buf record;
    OWN(mem) struct bundle_generation *g = calloc(1, sizeof *g);
    must(g && mkdirat(dir, "c", 0755) == 0 && mkdirat(dir, "c/d", 0755) == 0 &&
             mkdirat(dir, ".edge", 0755) == 0,
         "directories", NULL);
    for (size_t i = 0; i < OLD_FILES; i++) {
        char path[32];
        (void)snprintf(path, sizeof path, "c/%s", old_paths[i]);
        put(dir, path, text(old_contents[i]));
    }
    put(dir, ".edge/c.tree", buf_slice(&s->old_tree));
    g->number = 1;
    g->n_components = 1;
    g->components[0] = (struct bundle_generation_component){
        .name = "c", .bundle_name = "forged", .release = "0.9", .digest = s->base.digest};
    buf_init(&record, BUNDLE_GENERATION_RECORD_MAX_BYTES);
    must(bundle_generation_format(g, &record, &e) == 0, "a record", &e);
    put(dir, ".edge/generation.json", buf_slice(&record));
}

struct keys_root *delta_scene_root(void) {
    struct err e = ERR_NONE;
    struct keys_root *root = NULL;
    OWN(buf) struct buf part;
    OWN(buf) struct buf raw;
    OWN(mem) struct keys_root_content *c = calloc(1, sizeof *c);
    buf_init(&part, KEYS_ROOT_MAX_BYTES);
    buf_init(&raw, KEYS_ROOT_MAX_BYTES);
    must(c, "memory", NULL);
    c->header = (struct keys_header){1, FORGE_ISSUED_S, FORGE_EXPIRES_S};
    forge_role(1, 1, &c->roles[KEYS_ROOT_ROLE_ROOT]);
    forge_role(1, 1, &c->roles[KEYS_ROOT_ROLE_BUNDLE]);
    forge_role(1, 1, &c->roles[KEYS_ROOT_ROLE_DIRECTOR]);
    must(keys_root_format_content(c, &part, &e) == 0, "a root", &e);
    forge_envelope(buf_slice(&part), &raw);
    must(keys_root_open(buf_slice(&raw), &root, &e) == 0, "a root", &e);
    return root;
}

// Cases open deltas by the thousand, by one root that nobody changes.
static const struct keys_root *kept_root(void) {
    static struct keys_root *root;
    if (root == NULL)
        root = delta_scene_root();
    return root;
}

int delta_scene_open(const struct unpack_source *source, struct unpack_delta **ret, struct err *e) {
    OWN(delta_candidate) struct unpack_delta_candidate *candidate = NULL;
    int r = unpack_delta_open(source, &candidate, e);
    if (r == UNPACK_DELTA_OPEN_NONE)
        return err_set(e, &err_syntax, "it is no delta");
    if (r < 0)
        return -1;
    return unpack_delta_verify_root(&candidate, kept_root(), ret, e);
}

int delta_scene_check(struct slice bytes, int generation, struct err *e) {
    struct forge_memory memory;
    struct unpack_source source;
    OWN(delta) struct unpack_delta *delta = NULL;
    OWN(delta_base) struct unpack_delta_base *base = NULL;
    OWN(fd) int table = memfd_create("table", MFD_CLOEXEC);
    must(table >= 0, "a file in memory", NULL);
    forge_source(&memory, bytes, &source);
    if (delta_scene_open(&source, &delta, e) < 0 ||
        unpack_delta_base_open(delta, generation, NULL, table, &base, e) < 0)
        return -1;
    return unpack_delta_check(delta, &source, base, DELTA_SCENE_DECODE, e);
}

int delta_scene_stage(struct slice bytes, int generation, int target, bool resume,
                      uint64_t break_after, struct unpack_stage_result *ret, struct err *e) {
    struct forge_memory memory;
    struct unpack_source source;
    OWN(delta) struct unpack_delta *delta = NULL;
    forge_source(&memory, bytes, &source);
    if (delta_scene_open(&source, &delta, e) < 0)
        return -1;
    memory.given = 0;
    memory.break_after = break_after;
    const struct unpack_delta_stage how = {.target_dir = target,
                                           .base_dir = generation,
                                           .previous_dir = generation,
                                           .resume = resume,
                                           .decode_max_bytes = DELTA_SCENE_DECODE};
    return unpack_delta_stage(delta, &source, &how, ret, e);
}
